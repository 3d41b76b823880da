"""Training quantized models: the loop over batches is one compiled TensorFlow program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.dataset import Dataset
from core.errors import QuantiscopeError
from core.events import Monitor
from core.quant.evaluation import cross_entropy

Loss = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class TrainOptions:
    """How to train: Adam with a cosine from `learning_rate` to 0.

    `patience` stops after so many epochs without a better validation loss (0: never) and always keeps the
    best epoch's weights. `loss` maps (labels, outputs) to one value an event; None: cross-entropy.
    """

    epochs: int = 10
    learning_rate: float = 1e-3
    batch_size: int = 1024
    seed: int = 0
    patience: int = 0
    loss: Loss | None = None


@dataclass
class History:
    """Mean training loss and validation loss of each epoch, and the epoch whose weights were kept (-1: the start)."""

    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = -1


def train(model: keras.Model, dataset: Dataset, options: TrainOptions, monitor: Monitor | None = None) -> History:
    """Quantization-aware training in place, from the weights the model has.

    The model's own regularization losses are added. The weights of the epoch with the least validation
    loss are kept, those at the start included.

    Raises:
        Cancelled: when asked to stop; the model then has the weights of the last epoch.
        QuantiscopeError: the loss stopped being a number.
    """
    monitor = monitor or Monitor()
    history = History()
    loop = _Loop(model, dataset, options)
    best, best_loss = model.get_weights(), loop.validation_loss()
    for epoch in range(options.epochs):
        monitor.check()
        training_loss = loop.epoch(epoch)
        if not np.isfinite(training_loss):
            model.set_weights(best)
            raise QuantiscopeError("training did not converge", "the loss is not a number any more",
                                   "Lower the learning rate, or give the layers more bits")
        validation_loss = loop.validation_loss()
        history.training_loss.append(training_loss)
        history.validation_loss.append(validation_loss)
        if validation_loss < best_loss:
            best, best_loss, history.best_epoch = model.get_weights(), validation_loss, epoch
        monitor.progress("training, epochs", epoch + 1, options.epochs)
        if options.patience and epoch - history.best_epoch >= options.patience:
            break
    model.set_weights(best)
    return history


class _Loop:
    """One model's compiled epoch and validation."""

    def __init__(self, model: keras.Model, dataset: Dataset, options: TrainOptions) -> None:
        self._model, self._options = model, options
        self._loss = options.loss or cross_entropy
        self._random = np.random.default_rng(options.seed)
        tf.random.set_seed(options.seed)
        self._train = tf.constant(dataset.x_train), tf.constant(dataset.y_train)
        self._val = tf.constant(dataset.x_val), tf.constant(dataset.y_val)
        self._batch = min(options.batch_size, len(dataset.x_train))
        self._steps = len(dataset.x_train) // self._batch
        self._optimizer = keras.optimizers.Adam(options.learning_rate)
        self._optimizer.build(model.trainable_variables)
        self._compiled = tf.function(self._run)
        self._validate = tf.function(self._mean_loss)

    def epoch(self, number: int) -> float:
        """One pass over the training events; the mean loss."""
        order = self._random.permutation(len(self._train[0]))[: self._steps * self._batch]
        total = max(self._options.epochs * self._steps, 1)
        first = tf.constant(number * self._steps / total, tf.float32)
        return float(self._compiled(tf.constant(order), first, tf.constant(1 / total, tf.float32)))

    def _run(self, order: tf.Tensor, progress: tf.Tensor, step_share: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for step in tf.range(self._steps):
            rows = order[step * self._batch:(step + 1) * self._batch]
            done = progress + tf.cast(step, tf.float32) * step_share
            rate = 0.5 * self._options.learning_rate * (1 + tf.cos(np.pi * done))
            total += self._step(tf.gather(self._train[0], rows), tf.gather(self._train[1], rows), rate)
        return total / self._steps

    def _step(self, x: tf.Tensor, y: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(self._loss(y, self._model(x, training=True)))
            whole = value + tf.add_n(self._model.losses) if self._model.losses else value
        self._optimizer.learning_rate.assign(rate)
        self._optimizer.apply(tape.gradient(whole, self._model.trainable_variables), self._model.trainable_variables)
        return value

    def _mean_loss(self) -> tf.Tensor:
        return tf.reduce_mean(self._loss(self._val[1], self._model(self._val[0], training=False)))

    def validation_loss(self) -> float:
        """Mean loss over the validation events."""
        return float(self._validate())
