"""Training and judging quantized models: the loop over batches is one compiled TensorFlow program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.candidate import Evaluation
from core.dataset import Dataset
from core.errors import ModelFileError, QuantiscopeError
from core.events import Monitor
from core.files import npz_bytes, write_atomically
from core.metrics import evaluate_scores
from core.quant.build import in_double

Loss = Callable[[Any, Any], Any]
PREDICT_BATCH = 4096


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


def cross_entropy(labels: Any, outputs: Any) -> Any:
    """Cross-entropy of class numbers and probabilities, (events,); one column: of the second of two classes."""
    if outputs.shape[-1] == 1:
        return keras.losses.binary_crossentropy(tf.cast(tf.reshape(labels, (-1, 1)), outputs.dtype), outputs)
    return keras.losses.sparse_categorical_crossentropy(labels, outputs)


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


def predict(model: keras.Model, x: np.ndarray, precision: str = "float32") -> np.ndarray:
    """Outputs for events (events, ...), in batches.

    "float64" rebuilds the model in double precision, in which sums of fixed-point products are exact: the
    reference of every bit-exactness proof.
    """
    if precision == "float64":
        model = in_double(model)
    run = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True)
    parts = [run(tf.constant(x[start:start + PREDICT_BATCH], precision)).numpy()
             for start in range(0, len(x), PREDICT_BATCH)]
    return np.concatenate(parts)


def evaluate(model: keras.Model, dataset: Dataset, kind: str, events: int | None = None) -> Evaluation:
    """Accuracy, ROC and AUC per class on the (first `events`) test events."""
    return judge(model, dataset.x_test[:events], dataset.y_test[:events], dataset.class_names, kind)


def judge(model: keras.Model, x: np.ndarray, y: np.ndarray, class_names: tuple[str, ...], kind: str) -> Evaluation:
    """As `evaluate`, on any events."""
    scores = predict(model, x)
    loss = float(np.mean(cross_entropy(tf.constant(y), tf.constant(scores))))
    return evaluate_scores(scores, y, class_names, kind, loss)


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """All weights by "<layer>/<variable>", as `save_weights` stores them."""
    return {f"{layer.name}/{variable.path.split('/', 1)[-1]}": keras.ops.convert_to_numpy(variable)
            for layer in model.layers for variable in layer.weights}


def save_weights(model: keras.Model, path: Path) -> None:
    """Write all weights as npz, atomically."""
    write_atomically(Path(path), npz_bytes(weights_of(model)))


def load_weights(model: keras.Model, path: Path) -> None:
    """Read weights that `save_weights` wrote; raises ModelFileError unless every name and shape fits."""
    try:
        with np.load(path, allow_pickle=False) as data:
            stored: Mapping[str, np.ndarray] = {key: data[key] for key in data.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ModelFileError(f"the weights {path} cannot be read", str(error), "Train the candidate again") from None
    set_weights(model, stored, str(path))


def set_weights(model: keras.Model, stored: Mapping[str, np.ndarray], where: str = "the weights") -> None:
    """Give a model the weights of `weights_of`; raises ModelFileError unless every name and shape fits."""
    wanted = {f"{layer.name}/{variable.path.split('/', 1)[-1]}": variable
              for layer in model.layers for variable in layer.weights}
    wrong = next((n for n, v in wanted.items() if n not in stored or stored[n].shape != tuple(v.shape)), None)
    if wrong is not None:
        raise ModelFileError(f"{where} do not fit the model", f"{wrong} is missing or of another shape",
                             "Choose the weights of a candidate of this model")
    for name, variable in wanted.items():
        variable.assign(stored[name])
