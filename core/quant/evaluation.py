"""Outputs of models on events, and what they are worth."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from core.arrays import Arrays
from core.candidate import Evaluation
from core.dataset import Dataset
from core.quant.build import in_double
from core.quant.feeding import gathered, specs, tensors
from core.quant.objectives import Objective, cross_entropy, objective_of

PREDICT_BATCH = 4096


def predict(model: keras.Model, x: Arrays, precision: str = "float32") -> Arrays:
    """Outputs for events (events, ...), in batches; of several inputs and outputs `Several` each.

    "float64" rebuilds the model in double precision, in which sums of fixed-point products are exact: the
    reference of every bit-exactness proof.
    """
    if precision == "float64":
        model = in_double(model)
    # one trace for whole batches and the rest: tracing takes longer than running a small model
    run = tf.function(lambda batch: model(batch, training=False), input_signature=[specs(x, precision)],
                      autograph=False)
    return gathered(model, [run(tensors(x[start:start + PREDICT_BATCH], precision))
                            for start in range(0, len(x), PREDICT_BATCH)])


def evaluate(model: keras.Model, dataset: Dataset, kind: str, events: int | None = None) -> Evaluation:
    """What the model is worth on the (first `events`) test events, judged by the dataset's task."""
    return judge(model, dataset.x_test[:events], dataset.y_test[:events], dataset.class_names, kind,
                 objective_of(dataset))


def judge(model: keras.Model, x: Arrays, y: Arrays, class_names: tuple[str, ...], kind: str,
          objective: Objective | None = None) -> Evaluation:
    """As `evaluate`, on any events; without an objective they are to be classified."""
    objective = objective or Objective()
    outputs = predict(model, x)
    loss = mean_loss(model, x, y, objective, outputs)
    return objective.evaluation(x, y, outputs, class_names, kind, loss)


def validation_figure(model: keras.Model, dataset: Dataset) -> float:
    """`Evaluation.accuracy` on the validation events: what a search compares."""
    objective = objective_of(dataset)
    return objective.figure(dataset.x_val, dataset.y_val, predict(model, dataset.x_val))


def mean_loss(model: keras.Model, x: Arrays, y: Arrays, objective: Objective,
              outputs: Arrays | None = None) -> float | None:
    """Mean loss of the events that the objective trains on, None without any; `outputs` of x saves running again."""
    kept = objective.trains_on(y)
    if not kept.any():
        return None
    inputs, targets = objective.batch(tensors(x[kept]), tensors(y[kept]), training=False)
    if outputs is None or objective.draws:
        found = predict(model, inputs.numpy() if objective.draws else x[kept])
    else:
        found = outputs[kept]
    return float(np.mean(objective.loss(targets, tensors(found))))


__all__ = ["PREDICT_BATCH", "cross_entropy", "evaluate", "judge", "mean_loss", "predict", "validation_figure"]
