"""Trains recipes of any numbers of units: one trainer for each shape, built once. Imports TensorFlow.

A network of another shape cannot begin with the float model's weights: its float weights are trained first, from
scratch, and every recipe of that shape begins with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from core.dataset import Dataset
from core.events import Monitor
from core.quant import training
from core.quant.calibration import Calibration
from core.quant.recipe import Recipe
from core.search.shapes import of_one_shape, shape_of, unscaled
from core.search.space import SearchSpace
from core.search.trainer import Trained, Trainer

#: passes over the training events for the float weights of another shape
FLOAT_EPOCHS = 12
#: shapes whose programs are held at a time; float weights of all are kept
KEPT = 6
SIZES = ("units", "filters")

Shape = tuple[tuple[str, float], ...]


class ShapedTrainer:
    """A trainer for a space with several shapes.

    Args:
        model: the float model; not changed.
        dataset: what it is trained and judged on.
        make: gives a trainer for a float model.
        seed: of the weights that other shapes begin with.
    """

    def __init__(self, model: keras.Model, dataset: Dataset, make: Callable[[keras.Model], Trainer],
                 seed: int = 0) -> None:
        self._model, self._dataset, self._make, self._seed = model, dataset, make, seed
        self._first = make(model)
        self._trainers: dict[Shape, Trainer] = {}
        self._floats: dict[Shape, keras.Model] = {(): model}
        #: programs built, by shape; a test counts them
        self.built: dict[Shape, int] = {}

    @property
    def settings(self) -> Mapping[str, float]:
        """Those of the trainers."""
        return self._first.settings

    def samples(self) -> dict[tuple[str, str], np.ndarray]:
        """Of the float model."""
        return self._first.samples()

    def prepare(self, space: SearchSpace) -> None:
        """Take a space; its open integer bits are chosen on the float model, for all shapes alike."""
        #: the space, nothing open
        self.space = space.resolved(Calibration(self.samples()).integer) if space.has_open else space
        self._trainers.clear()

    def train(self, recipe: Recipe, seed: int, epochs: int, monitor: Monitor,
              start: Sequence[np.ndarray] | None = None) -> Trained:
        """Train a recipe from the float weights of its shape. Raises Cancelled."""
        shape = shape_of(recipe)
        trainer = self._of(shape, monitor)
        given: dict[str, Any] = {} if start is None else {"start": start}
        trained = trainer.train(unscaled(recipe), seed, epochs, monitor, **given)
        return replace(trained, notes={**trained.notes, "float_epochs": float(FLOAT_EPOCHS)}) if shape else trained

    def _of(self, shape: Shape, monitor: Monitor) -> Trainer:
        if shape not in self._trainers:
            while len(self._trainers) >= KEPT:
                del self._trainers[next(iter(self._trainers))]
            trainer = self._make(self._float(shape, monitor)) if shape else self._first
            trainer.prepare(of_one_shape(self.space))
            self.built[shape] = self.built.get(shape, 0) + 1
            self._trainers[shape] = trainer
        self._trainers[shape] = self._trainers.pop(shape)  # the one used last is given up last
        return self._trainers[shape]

    def _float(self, shape: Shape, monitor: Monitor) -> keras.Model:
        if shape not in self._floats:
            model = resized(self._model, dict(shape), self._seed)
            monitor.log("training in float, from scratch, with "
                        + ", ".join(f"{name} x {factor:g}" for name, factor in shape), source="search")
            options = training.TrainOptions(epochs=FLOAT_EPOCHS, learning_rate=5e-3, batch_size=512, seed=self._seed)
            training.train(model, self._dataset, options, monitor)
            self._floats[shape] = model
        return self._floats[shape]


def resized(model: keras.Model, factors: Mapping[str, float], seed: int) -> keras.Model:
    """The model with units and filters multiplied, at least one, and new weights throughout."""
    keras.utils.set_random_seed(seed)

    def clone(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        for size in SIZES:
            if size in config:
                config[size] = max(int(config[size] * factors.get(layer.name, 1.0)), 1)
        return layer.__class__.from_config(config)

    return keras.models.clone_model(model, clone_function=clone)
