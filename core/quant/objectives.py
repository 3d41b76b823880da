"""What a model is trained for and judged by, chosen by the task of its dataset. Imports TensorFlow.

A training loop keeps the events that `trains_on` names, gives the model the inputs of `batch` and lowers the
mean of `loss`. Nothing here has variables, so that every objective goes with any model, optimizer and checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from core import metrics
from core.arrays import Arrays, parts_of
from core.candidate import Evaluation
from core.dataset import Dataset
from core.dataset_files import Head
from core.quant.feeding import Tensors, apart
from core.quant.ops import ops_for

#: log variances outside are cut: exp() of what an untrained quantized encoder gives must stay a number
MAX_LOG_VARIANCE = 10.0
#: seed of the noise that losses without training are measured with, so that they can be compared
NOISE_SEED = 1


class Objective:
    """Classification: labels (events, ...) of class numbers, outputs probabilities.

    Outputs are (events, ..., classes), or of one column or the labels' own shape the probability of the
    second of two classes; a loss over several labels of an event is their mean.
    """

    #: what `Evaluation.accuracy` is
    metric = "accuracy"
    #: True where `batch` gives other inputs than the events themselves
    draws = False

    def trains_on(self, y: Arrays) -> NDArray[np.bool_]:
        """(events,) True for the events that are trained and validated on."""
        return np.ones(len(y), bool)

    def batch(self, x: Any, y: Any, training: bool = True) -> tuple[Any, Any]:
        """Inputs of the model and targets of the loss, for tensors of events and labels (TensorFlow operations).

        May draw random numbers: new ones each call when training, else always the same.
        """
        return x, y

    def loss(self, targets: Any, outputs: Any) -> Any:
        """(events,) the loss of each event (TensorFlow operations)."""
        return cross_entropy(targets, outputs)

    def scores(self, x: NDArray[Any], outputs: NDArray[Any]) -> NDArray[Any]:
        """What is judged of the model's outputs (numpy) for events x: here the outputs themselves."""
        return outputs

    def figure(self, x: NDArray[Any], y: NDArray[Any], outputs: NDArray[Any]) -> float:
        """`Evaluation.accuracy` alone: cheap, for validation."""
        return metrics.accuracy(self.scores(x, outputs), y)

    def evaluation(self, x: NDArray[Any], y: NDArray[Any], outputs: NDArray[Any], class_names: tuple[str, ...],
                   kind: str, loss: float | None = None) -> Evaluation:
        """Everything that is told of outputs (numpy) for the events x with labels y."""
        return metrics.evaluate_scores(self.scores(x, outputs), y, class_names, kind, loss)


class Regression(Objective):
    """Targets (events, ...) of numbers, mean square error, judged by R2."""

    metric = "R2"

    def loss(self, targets: Any, outputs: Any) -> Any:
        targets = tf.cast(tf.reshape(targets, tf.shape(outputs)), outputs.dtype)
        return _mean_of_event(tf.square(outputs - targets))

    def figure(self, x: NDArray[Any], y: NDArray[Any], outputs: NDArray[Any]) -> float:
        return metrics.r_squared(outputs, y)

    def evaluation(self, x: NDArray[Any], y: NDArray[Any], outputs: NDArray[Any], class_names: tuple[str, ...],
                   kind: str, loss: float | None = None) -> Evaluation:
        return metrics.evaluate_regression(outputs, y, kind, loss)


class Anomaly(Objective):
    """Trained on background (label 0) alone, judged by how well a score tells signal from it."""

    metric = "AUC"

    def trains_on(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray(y) == 0

    def figure(self, x: NDArray[Any], y: NDArray[Any], outputs: NDArray[Any]) -> float:
        return metrics.anomaly_auc(self.scores(x, outputs), y)

    def evaluation(self, x: NDArray[Any], y: NDArray[Any], outputs: NDArray[Any], class_names: tuple[str, ...],
                   kind: str, loss: float | None = None) -> Evaluation:
        return metrics.evaluate_anomaly(self.scores(x, outputs), y, class_names, kind, loss)


class Reconstruction(Anomaly):
    """An autoencoder: the target is the event itself; the score is its mean square error."""

    def batch(self, x: Any, y: Any, training: bool = True) -> tuple[Any, Any]:
        return x, x

    def loss(self, targets: Any, outputs: Any) -> Any:
        return _mean_of_event(tf.square(outputs - tf.cast(targets, outputs.dtype)))

    def scores(self, x: NDArray[Any], outputs: NDArray[Any]) -> NDArray[Any]:
        return ((outputs.astype(np.float64) - x) ** 2).reshape(len(x), -1).mean(axis=1)


class Variational(Anomaly):
    """The encoder of a variational autoencoder, which is the part a trigger runs.

    Outputs are (events, 2 latent): the means, then the log variances. The score is the divergence of that
    Gaussian from the standard one, as in arXiv:2108.03986. The loss is the negative evidence lower bound with
    the linear decoder and the noise that are best for the batch. Both have closed forms, the expectation over
    the latent Gaussian too, so no decoder has to be stored with the encoder or trained again beside it.
    """

    def batch(self, x: Any, y: Any, training: bool = True) -> tuple[Any, Any]:
        return x, x

    def loss(self, targets: Any, outputs: Any) -> Any:
        features = tf.cast(tf.reshape(targets, (tf.shape(outputs)[0], -1)), outputs.dtype)
        mean, log_variance = tf.split(outputs, 2, axis=-1)
        log_variance = tf.clip_by_value(log_variance, -MAX_LOG_VARIANCE, MAX_LOG_VARIANCE)
        variance = tf.exp(log_variance)
        divergence = 0.5 * tf.reduce_sum(tf.square(mean) + variance - 1 - log_variance, axis=-1)
        return _best_linear_decoder(features, mean, variance) + divergence

    def scores(self, x: NDArray[Any], outputs: NDArray[Any]) -> NDArray[Any]:
        mean, log_variance = np.split(outputs.astype(np.float64), 2, axis=-1)
        log_variance = np.clip(log_variance, -MAX_LOG_VARIANCE, MAX_LOG_VARIANCE)
        return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=-1)


class Flow(Anomaly):
    """The vector field of a continuous normalizing flow from noise (time 0) to events (time 1).

    Events are (events, features + 1): the last value is the time at which the field is asked for the score,
    the squared norm of its output. Trained by flow matching along straight lines (arXiv:2210.02747): at a
    point between noise and event at a random time, the target is event minus noise.
    """

    draws = True

    def batch(self, x: Any, y: Any, training: bool = True) -> tuple[Any, Any]:
        event, count = x[:, :-1], tf.shape(x)[0]
        if training:
            draw = ops_for(x).source
            noise, time = draw.normal(tf.shape(event), dtype=x.dtype), draw.uniform((count, 1), dtype=x.dtype)
        else:
            noise = tf.random.stateless_normal(tf.shape(event), (NOISE_SEED, 0), dtype=x.dtype)
            time = tf.random.stateless_uniform((count, 1), (NOISE_SEED, 1), dtype=x.dtype)
        return tf.concat([noise + time * (event - noise), time], axis=-1), event - noise

    def loss(self, targets: Any, outputs: Any) -> Any:
        return _mean_of_event(tf.square(outputs - tf.cast(targets, outputs.dtype)))

    def scores(self, x: NDArray[Any], outputs: NDArray[Any]) -> NDArray[Any]:
        return (outputs.astype(np.float64) ** 2).sum(axis=-1)


class Together(Objective):
    """Several outputs, each with an objective of its own.

    The loss of an event is the weighted sum of theirs, as Keras has it. The figure is the mean of theirs, so that a
    search gives up no output for another; each is told apart in `Evaluation.figures`, and ROCs by output and class.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        self._heads = tuple((head, _OBJECTIVES[head.task]()) for head in heads)
        names = list(dict.fromkeys(objective.metric for _, objective in self._heads))
        self.metric = names[0] if len(names) == 1 else f"mean of {' and '.join(names)}"

    def loss(self, targets: Tensors, outputs: Tensors) -> Any:
        each = [objective.loss(target, output) * head.weight for (head, objective), target, output in
                zip(self._heads, apart(targets), apart(outputs), strict=True)]
        return sum(each[1:], each[0])

    def figure(self, x: Arrays, y: Arrays, outputs: Arrays) -> float:
        return float(np.mean([objective.figure(x, labels, found) for (_, objective), labels, found in
                              zip(self._heads, parts_of(y), parts_of(outputs), strict=True)]))

    def evaluation(self, x: Arrays, y: Arrays, outputs: Arrays, class_names: tuple[str, ...],
                   kind: str, loss: float | None = None) -> Evaluation:
        found = {head.name: objective.evaluation(x, labels, scores, head.class_names, kind)
                 for (head, objective), labels, scores in zip(self._heads, parts_of(y), parts_of(outputs), strict=True)}
        return metrics.together(found, self.metric, loss)


_OBJECTIVES: dict[str, type[Objective]] = {
    "classification": Objective, "regression": Regression, "reconstruction": Reconstruction, "vae": Variational,
    "flow": Flow,
}


def objective_of(dataset: Dataset) -> Objective:
    """The objective of a dataset's task."""
    if dataset.heads:
        return Together(dataset.heads)
    return _OBJECTIVES[dataset.task]()


def cross_entropy(labels: Any, outputs: Any) -> Any:
    """Cross-entropy of class numbers and probabilities, (events,).

    Outputs of the labels' rank, or of one column, are probabilities of the second of two classes.
    """
    if len(outputs.shape) == len(labels.shape) or outputs.shape[-1] == 1:
        wanted = tf.cast(tf.reshape(labels, tf.shape(outputs)), outputs.dtype)
        return _mean_of_event(keras.losses.binary_crossentropy(wanted[..., None], outputs[..., None]))
    return _mean_of_event(keras.losses.sparse_categorical_crossentropy(labels, outputs))


def _mean_of_event(values: Any) -> Any:
    """(events, ...) -> (events,)."""
    axes = list(range(1, len(values.shape)))
    return tf.reduce_mean(values, axis=axes) if axes else values


def _best_linear_decoder(features: Any, mean: Any, variance: Any) -> Any:
    """(events,) negative log likelihood of features by the linear decoder and noise that are best for the batch.

    The decoder minimizes sum |x - W mean - b|^2 + variance |W|^2, the expected square error: ridge regression with
    the summed variances as penalty. What is best needs no gradient of its own: the loss is flat there.
    """
    latent, count = tf.shape(mean)[1], tf.cast(tf.shape(mean)[0], mean.dtype)
    known = tf.concat([mean, tf.ones_like(mean[:, :1])], axis=1)
    penalty = tf.pad(tf.reduce_sum(variance, axis=0), [[0, 1]])
    gram = tf.matmul(known, known, transpose_a=True) + tf.linalg.diag(penalty)
    gram += 1e-6 * count * tf.eye(latent + 1, dtype=mean.dtype)  # a latent that is always 0 must not be singular
    weights = tf.linalg.cholesky_solve(tf.linalg.cholesky(gram), tf.matmul(known, features, transpose_a=True))
    weights = tf.stop_gradient(weights)
    error = tf.reduce_sum(tf.square(features - tf.matmul(known, weights)), axis=1)
    error += tf.linalg.matvec(variance, tf.reduce_sum(tf.square(weights[:-1]), axis=1))
    width = tf.cast(tf.shape(features)[1], mean.dtype)
    noise = tf.stop_gradient(tf.maximum(tf.reduce_mean(error) / width, 1e-6))
    return 0.5 * (error / noise + width * tf.math.log(noise))
