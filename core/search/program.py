"""One compiled program that trains and scores any candidate of a model: nothing is traced for a new one.

The loop over batches is inside; weights, Adam's moments, rows of quantizers and learning rates are inputs and
outputs. Whether it runs through XLA or as a plain graph is found by timing (XLA on a CPU is fast for matrix
products in small networks and slow for convolutions).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from core.arrays import Arrays
from core.dataset import Dataset
from core.quant.feeding import Tensors, gathered, taken, tensors
from core.quant.objectives import objective_of
from core.search.switches import Switches

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7
#: steps of one call, and of one where weights may be pruned between calls; the last call of a training may do fewer
CHUNK, PRUNE_EVERY = 64, 16
#: seconds for which each way is timed; other work on the machine only ever makes it slower
TIMED = 0.15
#: events that go through the model at a time when it is scored
SCORED = 4096


class State(NamedTuple):
    """What a training changes: weights, the other variables, Adam's two moments, and the steps done."""

    weights: tuple[Any, ...]
    others: tuple[Any, ...]
    first: tuple[Any, ...]
    second: tuple[Any, ...]
    steps: Any


#: (state, steps done) -> (state with zeros in it, a mask of each weight): how a program prunes between its calls
Prune = Callable[[State, int], tuple[State, tuple[Any, ...]]]


class Program:
    """Training and scoring of one switched model on one dataset.

    Args:
        model: as `Switches.model` gives it.
        switches: its switches.
        dataset: what it is trained on; its task fixes the loss.
        batch_size: events a step.
        way: "xla", "graph", or "" to time both.
        pruned: True where some trainings are told which weights stay zero.
    """

    def __init__(self, model: keras.Model, switches: Switches, dataset: Dataset, batch_size: int = 1024,
                 way: str = "", pruned: bool = False) -> None:
        self._model, self._switches, self.pruned = model, switches, pruned
        self._objective = objective_of(dataset)
        kept = self._objective.trains_on(dataset.y_train)
        self._x, self._y = tensors(dataset.x_train[kept]), tensors(dataset.y_train[kept])
        self.events = int(kept.sum())
        self.batch = min(batch_size, self.events)
        self.steps = self.events // self.batch
        self._scored = min(SCORED, max(len(dataset.x_val), len(dataset.x_test)))
        #: how often something was traced, by what it was; a test counts them
        self.traces: dict[str, int] = {}
        #: seconds a step, and to trace and compile, of each way that was timed
        self.timings: dict[str, float] = {}
        self.compile_seconds: dict[str, float] = {}
        self._averages = [id(v) for layer in model._flatten_layers()
                          if isinstance(layer, keras.layers.BatchNormalization)
                          for v in (layer.moving_mean, layer.moving_variance)]
        self._momenta = {id(v): float(layer.momentum) for layer in model._flatten_layers()
                         if isinstance(layer, keras.layers.BatchNormalization)
                         for v in (layer.moving_mean, layer.moving_variance)}
        self.chunk = PRUNE_EVERY if pruned else CHUNK
        self._compiled: dict[str, Any] = {}
        self._train: Any = None
        # scored as a plain graph: compiling it by XLA takes longer than a search of a minute gains by it
        self._outputs = tf.function(self._forward, autograph=False)
        self._settle = tf.function(self._averaged, autograph=False)
        self._choose((way,) if way else ("xla", "graph"))

    def _choose(self, ways: Sequence[str]) -> None:
        """Compile each way, and keep the faster; one that cannot be compiled is out."""
        for way in ways:
            try:
                self.use(way)
            except (tf.errors.OpError, ValueError, NotImplementedError):
                if len(ways) == 1:
                    raise
        self.use(min(self.timings, key=lambda way: self.timings[way]))

    def use(self, way: str) -> None:
        """Train by a way from now on; it is compiled and timed where it was not yet."""
        if way not in self._compiled:
            before, self._train = self._train, tf.function(self._run, autograph=False, jit_compile=way == "xla")
            started = time.perf_counter()
            try:
                self._timed(1)
                self.compile_seconds[way] = time.perf_counter() - started
                self.timings[way] = self._fastest()
            except BaseException:
                self._train = before  # what cannot be compiled changes nothing
                raise
            self._compiled[way] = self._train
        self.way, self._train = way, self._compiled[way]

    def _fastest(self) -> float:
        """Seconds a step, at best, of the way compiled last."""
        found, end = self._timed(2) / 2, time.perf_counter() + TIMED
        while time.perf_counter() < end:
            found = min(found, self._timed(2) / 2)
        return found

    def _timed(self, steps: int) -> float:
        rows = np.zeros((len(self._switches.places), 3), np.float32)
        rows[:, 1] = 8
        started = time.perf_counter()
        self.train(self.start(), rows[None], np.zeros(steps), np.arange(steps * self.batch) % self.events)
        return time.perf_counter() - started

    # -- state -------------------------------------------------------------------------------------------

    def start(self, weights: Sequence[np.ndarray] | None = None) -> State:
        """A state to train from: the model's weights, or these in the order of `weights_of`."""
        trainable = [v.value for v in self._model.trainable_variables]
        others = [v.value for v in self._model.non_trainable_variables]
        if weights is not None:
            count = len(trainable)
            trainable = [tf.constant(w) for w in weights[:count]]
            others = [tf.constant(w, dtype=v.dtype) for w, v in zip(weights[count:], others, strict=True)]
        values = tuple(tf.identity(v) for v in trainable)
        zeros = tuple(tf.zeros_like(v) for v in values)
        return State(values, tuple(tf.identity(v) for v in others), zeros, zeros, tf.constant(0.0))

    def weights_of(self, state: State) -> list[np.ndarray]:
        """All variables of a state as arrays: those trained, then the others."""
        return [np.asarray(v) for v in (*state.weights, *state.others)]

    def install(self, model: keras.Model, state: State) -> None:
        """Give a model of the same layers, quantized in any way, the variables of a state."""
        for variable, value in zip(model.trainable_variables, state.weights, strict=True):
            variable.assign(value)
        for variable, value in zip(model.non_trainable_variables, state.others, strict=True):
            variable.assign(value)

    # -- training ----------------------------------------------------------------------------------------

    def train(self, state: State, rows: np.ndarray, rates: np.ndarray, order: np.ndarray,
              prune: Prune | None = None) -> tuple[State, float]:
        """Adam for len(rates) steps.

        Args:
            state: where it begins; not changed.
            rows: (1, places, 3), or (steps, places, 3) for other quantizers at each step.
            rates: (steps,) learning rates.
            order: (steps * batch,) numbers of training events.
            prune: asked before every PRUNE_EVERY steps and at the end, of a program that is `pruned`.

        Returns:
            the state after, and the mean loss.
        """
        total = 0.0
        masks = tuple(tf.ones_like(weight) for weight in state.weights) if self.pruned else ()
        for start in range(0, len(rates), self.chunk):
            count = min(self.chunk, len(rates) - start)
            if prune is not None:
                state, masks = prune(state, start)
            table = np.broadcast_to(rows if len(rows) == 1 else self._filled(rows[start:start + count]),
                                    (self.chunk, *rows.shape[1:]))
            numbers = self._filled(order[start * self.batch:(start + count) * self.batch].reshape(count, self.batch))
            state, loss = self._train(state, tf.constant(table, tf.float32), tf.constant(numbers, tf.int32),
                                      tf.constant(self._filled(rates[start:start + count]), tf.float32),
                                      tf.constant(count), masks)
            total += float(loss)
        if prune is not None:
            state, _ = prune(state, len(rates))
        return state, total / len(rates)

    def _filled(self, values: np.ndarray) -> np.ndarray:
        """As many rows as a call takes, the missing ones 0: another length would be another trace."""
        missing = [(0, self.chunk - len(values))] + [(0, 0)] * (values.ndim - 1)
        return np.pad(values, missing)

    def _run(self, state: State, rows: Any, order: Any, rates: Any, count: Any,
             masks: tuple[Any, ...]) -> tuple[State, Any]:
        self.traces["train"] = self.traces.get("train", 0) + 1

        def body(step: Any, now: State, total: Any) -> tuple[Any, State, Any]:
            after, loss = self._step(now, rows[step], *self._events_of(order[step]), rates[step])
            if masks:
                after = after._replace(weights=tuple(w * m for w, m in zip(after.weights, masks, strict=True)))
            return step + 1, after, total + loss

        start = (tf.constant(0), state, tf.constant(0.0))
        return tf.while_loop(lambda step, *_: step < count, body, start)[1:]

    def _events_of(self, numbers: Any) -> tuple[Tensors, Tensors]:
        """Training events of these numbers, and their labels."""
        return taken(self._x, numbers), taken(self._y, numbers)

    def _step(self, state: State, rows: Any, x: Tensors, y: Tensors, rate: Any) -> tuple[State, Any]:
        self._switches.install(rows)
        inputs, targets = self._objective.batch(x, y)
        with tf.GradientTape() as tape:
            tape.watch(state.weights)
            outputs, others, extra = self._model.stateless_call(
                list(state.weights), list(state.others), inputs, training=True, return_losses=True)
            loss = tf.reduce_mean(self._objective.loss(targets, outputs))
            whole = loss + tf.add_n(extra) if extra else loss
        return adam(state, tape.gradient(whole, state.weights), tuple(others), rate), loss

    # -- scoring -----------------------------------------------------------------------------------------

    def outputs(self, state: State, rows: np.ndarray, x: Arrays) -> Arrays:
        """The model's outputs for events (events, ...) under one table of rows (places, 3)."""
        table = tf.constant(rows, tf.float32)
        parts = []
        for start in range(0, len(x), self._scored):
            part = x[start:start + self._scored]
            missing = self._scored - len(part)  # the last part is filled up: another shape is another trace
            filled = part[np.r_[:len(part), np.zeros(missing, np.int64)]] if missing else part
            found = self._outputs(state, table, tensors(filled))
            parts.append([value.numpy()[:len(part)] for value in tf.nest.flatten(found)])
        return gathered(self._model, parts)

    def _forward(self, state: State, rows: Any, x: Any) -> Any:
        self.traces["outputs"] = self.traces.get("outputs", 0) + 1
        self._switches.install(rows)
        return self._model.stateless_call(list(state.weights), list(state.others), x, training=False)[0]

    def settled(self, state: State, rows: np.ndarray, batches: int = 8) -> State:
        """The state with BatchNormalization's statistics those of these quantizers: means over some batches.

        Nothing where the model has no BatchNormalization.
        """
        if not self._averages:
            return state
        order = np.random.default_rng(0).permutation(self.events)[: batches * self.batch]
        others = self._settle(state, tf.constant(rows, tf.float32), tf.constant(order, tf.int32))
        return state._replace(others=tuple(others))

    def _averaged(self, state: State, rows: Any, order: Any) -> list[Any]:
        self.traces["settle"] = self.traces.get("settle", 0) + 1
        self._switches.install(rows)
        variables = self._model.non_trainable_variables
        batches = order.shape[0] // self.batch
        means = list(state.others)
        for number in range(batches):
            inputs, _ = self._objective.batch(*self._events_of(order[number * self.batch:(number + 1) * self.batch]))
            _, after = self._model.stateless_call(list(state.weights), list(state.others), inputs, training=True)[:2]
            for place, variable in enumerate(variables):
                momentum = self._momenta.get(id(variable))
                if momentum is not None:  # a moving average gives back the batch's own statistic
                    found = (after[place] - momentum * state.others[place]) / (1 - momentum)
                    means[place] = found if number == 0 else means[place] + (found - means[place]) / (number + 1)
        return means


def adam(state: State, gradients: Sequence[Any], others: tuple[Any, ...], rate: Any) -> State:
    """One step of Adam (arXiv:1412.6980) as Keras does it; a weight without a gradient stays."""
    steps = state.steps + 1.0
    size = rate * tf.sqrt(1.0 - _BETA2**steps) / (1.0 - _BETA1**steps)
    weights, first, second = [], [], []
    for weight, gradient, m, v in zip(state.weights, gradients, state.first, state.second, strict=True):
        if gradient is None:
            gradient = tf.zeros_like(weight)
        m = m + (gradient - m) * (1.0 - _BETA1)
        v = v + (tf.square(gradient) - v) * (1.0 - _BETA2)
        weights.append(weight - size * m / (tf.sqrt(v) + _EPSILON))
        first.append(m)
        second.append(v)
    return State(tuple(weights), others, tuple(first), tuple(second), steps)


def cosine(rate: float, steps: int, first: int = 0, last: int | None = None) -> np.ndarray:
    """(steps,) learning rates of a cosine from `rate` to 0 over `last` steps, from step `first` on."""
    done = (first + np.arange(steps)) / (last or steps)
    return (0.5 * rate * (1 + np.cos(np.pi * np.minimum(done, 1.0)))).astype(np.float32)
