"""A small model with two inputs and two outputs, or one of them, and events on which both outputs can be learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TRACKS, CALO, CLASSES = 5, 3, 3


def arrays(events: int = 600, seed: int = 0) -> dict[str, np.ndarray]:
    """X_tracks (events, 5), X_calo (events, 3), y_kind (three classes) and y_energy, as a file has them."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(0, 2, (CLASSES, TRACKS + CALO))
    kind = random.integers(0, CLASSES, events)
    x = (centres[kind] + random.normal(0, 1, (events, TRACKS + CALO))).astype(np.float32)
    energy = (0.5 * x[:, -1] - 0.3 * x[:, 0] + random.normal(0, 0.1, events)).astype(np.float32)
    return {"X_tracks": x[:, :TRACKS], "X_calo": x[:, TRACKS:], "y_kind": kind, "y_energy": energy,
            "task_energy": np.array("regression"), "class_names_kind": np.array(["electron", "muon", "tau"])}


def write(path: Path, events: int = 600, **changes: np.ndarray) -> Path:
    """An .npz of `arrays`, with other or more arrays; None leaves one away."""
    held = {**arrays(events), **changes}
    np.savez(path, **{name: values for name, values in held.items() if values is not None})
    return path


def network(inputs: int = 2, outputs: int = 2, seed: int = 0):
    """tracks and calo -> kind (softmax of three) and energy (one number); layers "one", "two", "both", "deep"."""
    import keras

    keras.utils.set_random_seed(seed)
    calo, tracks = keras.Input((CALO,), name="calo"), keras.Input((TRACKS,), name="tracks")
    merged = keras.layers.Dense(8, activation="relu", name="one")(tracks)
    if inputs == 2:
        other = keras.layers.Dense(6, activation="relu", name="two")(calo)
        merged = keras.layers.Concatenate(name="both")([merged, other])
    deep = keras.layers.Dense(10, activation="relu", name="deep")(merged)
    kind = keras.layers.Activation("softmax", name="kind")(keras.layers.Dense(CLASSES, name="scores")(deep))
    energy = keras.layers.Dense(1, name="energy")(deep)
    # the order is not that of the names: what goes by name must not go by place
    return keras.Model([tracks, calo][:inputs], [kind, energy][:outputs], name="several")
