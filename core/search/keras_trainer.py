"""The plain trainer: Keras `fit` on a quantized model, one candidate after another. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from core.dataset import Dataset
from core.events import Monitor
from core.quant import evaluation, pruning, quantize, training, weights
from core.quant.calibration import Calibration, calibration_samples
from core.quant.recipe import Recipe
from core.search.compiled_trainer import exact_of
from core.search.objectives import qualities_of
from core.search.space import SearchSpace
from core.search.trainer import CALIBRATION_EVENTS, NOTHING, Extras, Trained

# each candidate is a program of its own and traced once: TensorFlow's advice about that is no news
tf.get_logger().setLevel("ERROR")



class KerasTrainer:
    """Trains recipes of one float model on one dataset, each beginning with the float weights.

    Args:
        model: the float model; not changed.
        dataset: what it is trained and judged on.
        learning_rate: of Adam; the default, with the default batch, suits a few epochs on the jet tagger best
            of five settings tried.
        batch_size: events a step.
        options: everything else that a training may be told.
        pruning_schedule: how the recipe's sparsities are reached.
        extras: what is told of a candidate beside its accuracy.
    """

    def __init__(self, model: keras.Model, dataset: Dataset, learning_rate: float = 3e-3, batch_size: int = 256,
                 options: training.TrainOptions | None = None, pruning_schedule: str = "polynomial",
                 extras: Extras = NOTHING) -> None:
        self._model = model
        self._extras = extras
        self._dataset = dataset
        self._learning_rate = learning_rate
        self._batch_size = batch_size
        self._options = options or training.TrainOptions()
        self._pruning_schedule = pruning_schedule
        self._samples: dict[tuple[str, str], np.ndarray] | None = None

    @property
    def settings(self) -> Mapping[str, float]:
        """Learning rate and batch size."""
        return {"learning_rate": self._learning_rate, "batch_size": float(self._batch_size)}

    def samples(self) -> dict[tuple[str, str], np.ndarray]:
        """Float weights, and the outputs of each layer on `CALIBRATION_EVENTS` training events; computed once."""
        if self._samples is None:
            self._samples = calibration_samples(self._model, self._dataset.x_train[:CALIBRATION_EVENTS])
        return self._samples

    def prepare(self, space: SearchSpace) -> None:
        """Choose what a space leaves open; each recipe is a program of its own."""
        #: the space, nothing open
        self.space = space.resolved(Calibration(self.samples()).integer) if space.has_open else space

    def train(self, recipe: Recipe, seed: int, epochs: int, monitor: Monitor,
              checkpoint: Path | None = None) -> Trained:
        """Quantize, prune, train for `epochs` (0: only judge) and judge on validation and test events.

        `checkpoint` is a file from which a training that was killed goes on; see `training.train`.
        """
        monitor.check()
        model = quantize(self._model, recipe)
        if epochs > 0:
            options = replace(self._options, epochs=epochs, learning_rate=self._learning_rate, seed=seed,
                              batch_size=self._batch_size,
                              pruning=pruning.Pruning.of_recipe(recipe, schedule=self._pruning_schedule))
            training.train(model, self._dataset, options, monitor, checkpoint)
        else:
            pruning.prune_once(model, recipe, monitor)
        kind = "trained" if epochs > 0 else "post-training"
        validation = {}
        if self._extras.qualities:
            judge = replace(self._dataset, x_test=self._dataset.x_val, y_test=self._dataset.y_val)
            validation = qualities_of(evaluation.evaluate(model, judge, kind))
        return Trained(evaluation.evaluate(model, self._dataset, kind),
                       evaluation.validation_figure(model, self._dataset), weights.weights_of(model), validation,
                       exact_of(model) if self._extras.weights else {})
