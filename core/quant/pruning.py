"""Pruning in the same run as training: the smallest weights become zero and stay zero.

Schedules: constant, and the polynomial one of Zhu and Gupta (arXiv:1710.01878).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.errors import TrainingError
from core.events import Monitor
from core.quant.layers import QuantizedLayer
from core.quant.recipe import Recipe

SCHEDULES = ("polynomial", "constant")


@dataclass(frozen=True)
class Pruning:
    """How many weights become zero, and when.

    Args:
        targets: share of zeros in [0, 1) of every kernel of a layer, by its name or a pattern ("conv*").
        schedule: "polynomial" or "constant" (all at `begin`).
        begin, end: shares of the training between which weights are taken away; none afterwards.
        initial: share of zeros at `begin`, for the polynomial schedule.
        exponent: of the polynomial.
        updates: how often, between begin and end, the choice is made anew.

    Raises:
        TrainingError: a value out of its range.
    """

    targets: Mapping[str, float] = field(default_factory=dict)
    schedule: str = "polynomial"
    begin: float = 0.0
    end: float = 0.5
    initial: float = 0.0
    exponent: float = 3.0
    updates: int = 50

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise TrainingError(f"unknown pruning schedule {self.schedule!r}", remedy=f"Use {' or '.join(SCHEDULES)}")
        if not 0 <= self.begin <= self.end <= 1 or self.updates < 1 or self.exponent <= 0:
            raise TrainingError("the pruning schedule is out of range", remedy="Give 0 <= begin <= end <= 1")
        if any(not 0 <= share < 1 for share in (self.initial, *self.targets.values())):
            raise TrainingError("a share of zeros is out of range", remedy="Sparsity lies in [0, 1)")

    @staticmethod
    def of_recipe(recipe: Recipe, **options: Any) -> Pruning | None:
        """The recipe's sparsities, layer by layer; None where it asks for none."""
        targets = {name: entry.sparsity for name, entry in recipe.layers.items() if entry.sparsity > 0}
        return Pruning(targets=targets, **options) if targets else None


def prune_once(model: keras.Model, recipe: Recipe, monitor: Monitor | None = None) -> None:
    """The recipe's share of zeros at once, in place: what sparsity costs without training."""
    pruning = Pruning.of_recipe(recipe, schedule="constant")
    if pruning is not None:
        Pruner(model, pruning, 1, monitor).step(tf.constant(0))


def kernels(layer: keras.Layer) -> list[Any]:
    """The trainable variables of a layer that are pruned: all with two axes or more that are no bias."""
    return [v for v in layer.trainable_weights if len(v.shape) > 1 and v.name != "bias"]


class Pruner:
    """The masks of one model in one training.

    Args:
        model: its kernels change in place; a pattern that matches no layer is an error.
        pruning: what to do.
        steps: of the whole training.

    Raises:
        TrainingError: a target names no layer, or one without kernels that are trained.
    """

    def __init__(self, model: keras.Model, pruning: Pruning, steps: int, monitor: Monitor | None = None) -> None:
        self._pruning = pruning
        self._first = min(round(pruning.begin * steps), max(steps - 1, 0))
        self.last = max(self._first, min(int(np.ceil(pruning.end * steps)), steps) - 1)
        if pruning.schedule == "constant":
            self.last = self._first
        self._period = max(1, (self.last - self._first) // pruning.updates)
        chosen = _chosen(model, pruning.targets, monitor or Monitor())
        self._weights = [variable for variable, _ in chosen]
        self._targets = [target for _, target in chosen]
        self.masks = [tf.Variable(tf.ones(variable.shape, variable.dtype), trainable=False)
                      for variable in self._weights]

    def step(self, number: Any) -> None:
        """After the optimizer's step `number` (a scalar tensor, from 0): choose anew when due, hold zeros at zero."""
        inside = (number >= self._first) & (number <= self.last)
        due = inside & (((number - self._first) % self._period == 0) | (number == self.last))
        def choose() -> Any:
            for variable, mask, target in zip(self._weights, self.masks, self._targets, strict=True):
                mask.assign(_mask(tf.convert_to_tensor(variable), self._share(target, number)))
            return tf.constant(True)

        tf.cond(due, choose, lambda: tf.constant(False))
        for variable, mask in zip(self._weights, self.masks, strict=True):
            variable.assign(tf.convert_to_tensor(variable) * mask)

    def by_variable(self) -> dict[int, Any]:
        """The masks as tensors, by the id of the variable they belong to."""
        return {id(variable): tf.identity(mask) for variable, mask in zip(self._weights, self.masks, strict=True)}

    def _share(self, target: float, number: Any) -> Any:
        """Equation 1 of arXiv:1710.01878: s_f + (s_i - s_f) (1 - t)**3, with t from 0 to 1."""
        if self.last == self._first:
            return tf.constant(target)
        t = tf.cast(number - self._first, tf.float32) / float(self.last - self._first)
        start = min(self._pruning.initial, target)
        return target + (start - target) * (1.0 - t) ** self._pruning.exponent


def _mask(value: Any, share: Any) -> Any:
    """1 where a weight stays; exactly round(share * size) of least magnitude get 0, ties by position."""
    flat = tf.abs(tf.reshape(value, [-1]))
    size = flat.shape[0]
    zeros = tf.cast(tf.round(share * size), tf.int32)
    order = tf.argsort(flat, stable=True)
    kept = tf.cast(tf.range(size) >= zeros, value.dtype)
    return tf.reshape(tf.scatter_nd(order[:, None], kept, [size]), tf.shape(value))


def _chosen(model: keras.Model, targets: Mapping[str, float], monitor: Monitor) -> list[tuple[Any, float]]:
    found: dict[int, tuple[Any, float]] = {}
    for pattern, target in targets.items():
        layers = [layer for layer in model.layers if fnmatchcase(layer.name, pattern)]
        if not layers:
            raise TrainingError(f"there is no layer {pattern!r} to prune",
                                remedy=f"The model has: {', '.join(layer.name for layer in model.layers)}")
        for layer in layers:
            variables = kernels(layer)
            if not variables and pattern == layer.name:
                raise TrainingError(f"layer {layer.name!r} has no kernel that is trained",
                                    remedy="Take its sparsity away, or do not freeze it")
            for text in _without_zero(layer):
                monitor.log(f"layer {layer.name} is not pruned: {text} has no zero", "warning")
                variables = []
            found.update({id(variable): (variable, target) for variable in variables})  # the last to name it holds
    return [(variable, target) for variable, target in found.values() if target > 0]


def _without_zero(layer: keras.Layer) -> Iterator[str]:
    """Quantizers of kernels that make something else of a zero."""
    for part in layer._flatten_layers():
        for parameter, chosen in getattr(part, "quantizers", {}).items() if isinstance(part, QuantizedLayer) else ():
            if parameter in part.slots and parameter != "bias":
                probe = np.linspace(-1, 1, 25, dtype=np.float32).reshape(5, 5)
                if np.asarray(chosen(probe))[2, 2] != 0:
                    yield str(chosen)
