"""Time series: a rising chirp, as of merging black holes, in coloured noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 24
PROVENANCE = "generated: Newtonian chirps in coloured noise"


def chirps(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(count, 24, 1) windows and 1 where a chirp is hidden in them."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    time = np.linspace(0, 1, STEPS)
    white = random.normal(0, 1, (count, STEPS + 4))
    noise = sum(0.5**lag * white[:, lag:lag + STEPS] for lag in range(3))
    start = random.uniform(0.9, 1.2, (count, 1))
    phase = random.uniform(0, 2 * np.pi, (count, 1))
    ahead = np.maximum(start - time, 0.03)  # time left to the merger
    chirp = 1.8 * ahead**-0.25 * np.cos(phase - 22 * ahead**0.625)
    x = 0.5 * (noise + labels[:, None] * chirp)
    return x[..., None].astype(np.float32), labels.astype(np.int64)


def _recurrent(kind: str) -> Any:
    from keras import Input, Model, layers

    x = Input((STEPS, 1), name="strain")
    tensor = getattr(layers, kind)(16, name="recurrent")(x)
    tensor = layers.Dense(16, name="fc1")(tensor)
    tensor = layers.Activation("relu", name="relu1")(tensor)
    tensor = layers.Dense(2, name="output")(tensor)
    return Model(x, layers.Activation("softmax", name="softmax")(tensor), name=f"gravitational_{kind.lower()}")


def lstm() -> Any:
    """LSTM of 16 units on 24 steps, then dense 16 and 2 classes."""
    return _recurrent("LSTM")


def gru() -> Any:
    """GRU of 16 units on 24 steps, then dense 16 and 2 classes."""
    return _recurrent("GRU")
