"""Small examples of the model families the field puts on FPGAs, each with data that ships or is generated here.

`FAMILIES` maps a short name to a `Family`. Building a model imports Keras; listing and generating data
does not. Shapes follow the cited papers, at a size that trains in about a minute on two cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.families import anomaly, graphs, images, jets, series

Events = tuple[NDArray[np.float32], NDArray[np.int64]]

_BACKGROUND_SIGNAL = ("background", "signal")


@dataclass(frozen=True)
class Family:
    """One family: how to build its float model and make its events.

    `task` is that of `core.dataset.Dataset`; `build()` gives an untrained keras.Model; `events(count, seed)`
    gives features (count, ...) float32 and labels int64, the same for the same arguments. `default_events`,
    `epochs`, `batch_size` and `learning_rate` train it in about a minute; `data` says where the events come from.
    """

    name: str
    title: str
    source: str
    task: str
    build: Callable[[], Any]
    events: Callable[[int, int], Events]
    class_names: tuple[str, ...]
    data: str
    default_events: int
    epochs: int
    batch_size: int = 128
    learning_rate: float = 3e-3


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("jet_mlp", "Jet tagger, multilayer perceptron", "arXiv:2006.10159", "classification",
               jets.mlp, jets.features, jets.CLASSES, jets.PROVENANCE, 50_000, 40),
        Family("deep_sets", "Jet tagger, Deep Sets on 16 constituents", "arXiv:2402.01876", "classification",
               jets.deep_sets, jets.constituents, jets.CLASSES, jets.PROVENANCE, 50_000, 40),
        Family("interaction_network", "Jet tagger, interaction network on 8 constituents", "arXiv:2402.01876",
               "classification", jets.interaction_network, jets.leading_constituents, jets.CLASSES,
               jets.PROVENANCE, 50_000, 30),
        Family("digits_cnn", "Digits in street-view-like pictures, CNN", "arXiv:2101.05108",
               "classification", images.digits_cnn, images.digits, tuple("0123456789"), images.DIGITS, 12_000, 12, 64),
        Family("segmentation", "Road scenes, encoder-decoder", "arXiv:2205.07690", "classification",
               images.encoder_decoder, images.scenes, images.REGIONS, images.SCENES, 2_500, 10, 32),
        Family("dense_autoencoder", "Anomaly detection, dense autoencoder on 57 inputs", "arXiv:2108.03986",
               "reconstruction", anomaly.dense_autoencoder, anomaly.events, _BACKGROUND_SIGNAL, anomaly.PROVENANCE,
               30_000, 20),
        Family("conv_autoencoder", "Anomaly detection, convolutional autoencoder on 19 x 3", "arXiv:2108.03986",
               "reconstruction", anomaly.conv_autoencoder, anomaly.event_images, _BACKGROUND_SIGNAL,
               anomaly.PROVENANCE, 20_000, 12),
        Family("vae", "Anomaly detection, encoder of a variational autoencoder", "arXiv:2108.03986",
               "vae", anomaly.encoder, anomaly.events, _BACKGROUND_SIGNAL, anomaly.PROVENANCE, 30_000, 20),
        Family("flow", "Anomaly detection, vector field of a continuous normalizing flow", "arXiv:2210.02747",
               "flow", anomaly.vector_field, anomaly.timed_events, _BACKGROUND_SIGNAL, anomaly.PROVENANCE, 30_000, 20),
        Family("gravitational_lstm", "Chirps in noise, LSTM", "arXiv:2106.14089", "classification",
               series.lstm, series.chirps, ("noise", "chirp"), series.PROVENANCE, 12_000, 12),
        Family("gravitational_gru", "Chirps in noise, GRU", "arXiv:2106.14089", "classification",
               series.gru, series.chirps, ("noise", "chirp"), series.PROVENANCE, 12_000, 12),
        Family("track_graph", "Tracks, edge classifier on a hit graph", "arXiv:2012.01563", "classification",
               graphs.edge_classifier, graphs.tracks, ("other", "same track"), graphs.PROVENANCE, 20_000, 12),
    )
}
