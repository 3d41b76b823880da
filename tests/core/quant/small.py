"""A small classification task and a model trained on it, for tests that train for real."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from core.dataset import Dataset

FEATURES, CLASSES = 8, 3


def dataset(events: int = 2400, seed: int = 0, features: int = FEATURES) -> Dataset:
    """Gaussian events around three centres, in units of their width."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(0, 1.5, (CLASSES, features))
    y = rng.integers(0, CLASSES, events)
    x = (centres[y] + rng.normal(0, 1, (events, features))).astype(np.float32)
    a, b = events * 6 // 10, events * 8 // 10
    return Dataset(name="small", x_train=x[:a], y_train=y[:a], x_val=x[a:b], y_val=y[a:b], x_test=x[b:], y_test=y[b:],
                   feature_names=tuple(f"x{i}" for i in range(features)), class_names=("a", "b", "c"),
                   mean=np.zeros(features, np.float32), scale=np.ones(features, np.float32),
                   provenance="Gaussian", hash=f"small{events}-{seed}-{features}")


def network(seed: int = 0, dropout: float = 0.0) -> keras.Model:
    """8-16-12-3 with named layers "first", "second", "last"."""
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((FEATURES,), name="events"), keras.layers.Dense(16, activation="relu", name="first")]
    layers += [keras.layers.Dropout(dropout, name="drop")] if dropout else []
    layers += [keras.layers.Dense(12, activation="relu", name="second"),
               keras.layers.Dense(CLASSES, activation="softmax", name="last")]
    return keras.Sequential(layers)


def files(folder: Path, events: int = 1200, model: keras.Model | None = None) -> tuple[str, str]:
    """The network (or another model) and its events as files in a folder: paths of both."""
    data = dataset(events)
    (model or network()).save(folder / "model.keras")
    np.savez(folder / "events.npz", X=np.concatenate([data.x_train, data.x_val, data.x_test]),
             y=np.concatenate([data.y_train, data.y_val, data.y_test]))
    return str(folder / "model.keras"), str(folder / "events.npz")
