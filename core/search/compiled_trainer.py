"""Trains candidates of a search space through one compiled program. Imports TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from core.candidate import Evaluation
from core.dataset import Dataset
from core.events import Monitor
from core.quant import weights
from core.quant.calibration import Calibration, calibration_samples
from core.quant.objectives import Objective, objective_of
from core.quant.recipe import Recipe
from core.search.program import Program, State, cosine
from core.search.space import SearchSpace
from core.search.switches import Place, Switches
from core.search.trainer import CALIBRATION_EVENTS, Trained

#: validation events that proxies are scored on
PROXY_EVENTS = 8192


class CompiledTrainer:
    """Trains recipes of one search space, given to `prepare`; nothing is traced again for another recipe.

    Args:
        model: the float model; not changed.
        dataset: what it is trained and judged on.
        learning_rate: of Adam at the start of a cosine.
        batch_size: events a step.
        way: "xla", "graph", or "" for the faster.
    """

    def __init__(self, model: keras.Model, dataset: Dataset, learning_rate: float = 5e-3, batch_size: int = 512,
                 way: str = "") -> None:
        self._float, self._dataset = model, dataset
        self._rate, self._batch_size, self._way = learning_rate, batch_size, way
        self._objective = objective_of(dataset)
        self._samples: dict[Place, np.ndarray] | None = None

    def samples(self) -> dict[Place, np.ndarray]:
        """Float weights, and the outputs of each layer on `CALIBRATION_EVENTS` training events; computed once."""
        if self._samples is None:
            self._samples = calibration_samples(self._float, self._dataset.x_train[:CALIBRATION_EVENTS])
        return self._samples

    def prepare(self, space: SearchSpace) -> None:
        """Build and compile the program for a space; its open integer bits are chosen here."""
        if space.has_open:
            space = space.resolved(Calibration(self.samples()).integer)
        #: the space, nothing open
        self.space = space
        options = _options(space)
        self.switches = Switches(options)
        self._tables = self.switches.option_rows(options)
        self._model = self.switches.model(self._float, space.base)
        started = time.perf_counter()
        self.program = Program(self._model, self.switches, self._dataset, self._batch_size, self._way)
        #: seconds to build, trace, compile and time the program
        self.build_seconds = time.perf_counter() - started
        self._start = self.program.weights_of(self.program.start())

    @property
    def settings(self) -> Mapping[str, float]:
        """Learning rate and batch size."""
        return {"learning_rate": self._rate, "batch_size": float(self._batch_size)}

    def share(self, epochs: int, seed: int, monitor: Monitor) -> list[np.ndarray]:
        """Weights that serve all recipes: trained from the float weights with quantizers drawn anew at each step.

        The single-path form of one-shot search (arXiv:1904.00420). Raises Cancelled.
        """
        random = np.random.default_rng((seed, 1))
        state = self.program.start(self._start)
        total = epochs * self.program.steps
        for epoch in range(epochs):
            monitor.check()
            rows = np.stack([table[random.integers(len(table), size=self.program.steps)] for table in self._tables],
                            axis=1)
            state, _ = self._epoch(state, rows, random, epoch, total)
            monitor.progress("shared weights, epochs", epoch + 1, epochs)
        return self.program.weights_of(state)

    def proxies(self, shared: Sequence[np.ndarray], points: Sequence[Mapping[str, int]]) -> np.ndarray:
        """(points,) the metric of each point of the space with shared weights, untrained, on validation events."""
        state = self.program.start(shared)
        kept = slice(0, PROXY_EVENTS)
        x, y = self._dataset.x_val[kept], self._dataset.y_val[kept]
        return np.array([self._figure(self.program.settled(state, rows), rows, x, y)
                         for rows in (self.switches.rows(self.space.decode(p)) for p in points)])

    def train(self, recipe: Recipe, seed: int, epochs: int, monitor: Monitor,
              start: Sequence[np.ndarray] | None = None) -> Trained:
        """Train a recipe of the space from the float weights, or from `start`; keep the best epoch.

        Raises Cancelled.
        """
        random = np.random.default_rng((seed, 2))
        rows = self.switches.rows(recipe)
        state = self.program.start(self._start if start is None else start)
        total = epochs * self.program.steps
        x, y = self._dataset.x_val, self._dataset.y_val
        best, figure = state, self._figure(state, rows, x, y) if start is None or not epochs else -np.inf
        for epoch in range(epochs):
            monitor.check()
            state, loss = self._epoch(state, rows[None], random, epoch, total)
            found = self._figure(state, rows, x, y)
            if np.isfinite(loss) and found >= figure:
                best, figure = state, found
        kind = "trained" if epochs else "post-training"
        scores = self.program.outputs(best, rows, self._dataset.x_test)
        self.program.install(self._model, best)
        return Trained(judged(self._objective, self._dataset, scores, kind), figure, weights.weights_of(self._model))

    def state_of(self, trained: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Weights by name, as a candidate stores them, in the order a start wants them."""
        weights.set_weights(self._model, trained)
        return self.program.weights_of(self.program.start())

    def _epoch(self, state: State, rows: np.ndarray, random: np.random.Generator, epoch: int,
               total: int) -> tuple[State, float]:
        steps = self.program.steps
        order = random.permutation(self.program.events)[: steps * self.program.batch]
        return self.program.train(state, rows, cosine(self._rate, steps, epoch * steps, total), order)

    def _figure(self, state: State, rows: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
        return self._objective.figure(x, y, self.program.outputs(state, rows, x))


def judged(objective: Objective, dataset: Dataset, outputs: np.ndarray, kind: str) -> Evaluation:
    """What outputs for the test events are worth."""
    x, y = dataset.x_test, dataset.y_test
    kept = objective.trains_on(y)
    loss = None
    if kept.any() and not objective.draws:
        _, targets = objective.batch(x[kept], y[kept], training=False)
        loss = float(np.mean(objective.loss(targets, outputs[kept])))
    return objective.evaluation(x, y, outputs, dataset.class_names, kind, loss)


def _options(space: SearchSpace) -> dict[Place, tuple[str, ...]]:
    """What each place may take: the choices of the space, and what its base recipe fixes."""
    fixed = {(layer, parameter): (text,) for layer, entry in space.base.layers.items()
             for parameter, text in entry.quantizers.items()}
    return {**fixed, **{(choice.layer, choice.parameter): choice.options for choice in space.choices}}
