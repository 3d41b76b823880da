"""Outputs of models on events, and what they are worth."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.candidate import Evaluation
from core.dataset import Dataset
from core.metrics import evaluate_scores
from core.quant.build import in_double

PREDICT_BATCH = 4096


def cross_entropy(labels: Any, outputs: Any) -> Any:
    """Cross-entropy of class numbers and probabilities, (events,); one column: of the second of two classes."""
    if outputs.shape[-1] == 1:
        return keras.losses.binary_crossentropy(tf.cast(tf.reshape(labels, (-1, 1)), outputs.dtype), outputs)
    return keras.losses.sparse_categorical_crossentropy(labels, outputs)


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
