"""Trains candidates of a search space through one compiled program. Imports TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from core.arrays import Arrays
from core.candidate import Evaluation
from core.dataset import Dataset
from core.events import Monitor
from core.quant import weights
from core.quant.calibration import Calibration, calibration_samples
from core.quant.layers import QuantizedLayer
from core.quant.objectives import Objective, objective_of
from core.quant.pruning import Pruner, Pruning, prune_once
from core.quant.recipe import OUTPUT, Recipe
from core.search.objectives import qualities_of
from core.search.program import Program, Prune, State, cosine
from core.search.space import SPARSITY, SearchSpace
from core.search.switches import Place, Switches
from core.search.trainer import CALIBRATION_EVENTS, NOTHING, Extras, Trained

#: validation events that proxies are scored on
PROXY_EVENTS = 4096


class CompiledTrainer:
    """Trains recipes of one search space, given to `prepare`; nothing is traced again for another recipe.

    Args:
        model: the float model; not changed.
        dataset: what it is trained and judged on.
        learning_rate: of Adam at the start of a cosine.
        batch_size: events a step.
        way: "xla", "graph", or "" for the faster.
        extras: what is told of a candidate beside its accuracy.
    """

    def __init__(self, model: keras.Model, dataset: Dataset, learning_rate: float = 5e-3, batch_size: int = 512,
                 way: str = "", extras: Extras = NOTHING) -> None:
        self._float, self._dataset, self._extras = model, dataset, extras
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
        self.program = Program(self._model, self.switches, self._dataset, self._batch_size, self._way,
                               pruned=space.varies(SPARSITY))
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
        kept = slice(0, PROXY_EVENTS)
        x, y = self._dataset.x_val[kept], self._dataset.y_val[kept]
        start = self.program.start(shared)

        def figure(recipe: Recipe) -> float:
            rows = self.switches.rows(recipe)
            return self._figure(self.program.settled(self._pruned_once(start, recipe, rows), rows), rows, x, y)

        return np.array([figure(self.space.decode(point)) for point in points])

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
        pruner = self._pruner(recipe, rows, total)
        if not epochs:
            state = self._pruned_once(state, recipe, rows)
        untrained = (start is None and pruner is None) or not epochs
        best, figure = state, self._figure(state, rows, x, y) if untrained else -np.inf
        for epoch in range(epochs):
            monitor.check()
            state, loss = self._epoch(state, rows[None], random, epoch, total, pruner)
            found = self._figure(state, rows, x, y)
            dense = pruner is not None and (epoch + 1) * self.program.steps <= pruner.last
            if np.isfinite(loss) and found >= figure and not dense:
                best, figure = state, found
        return self._told(best, rows, figure, "trained" if epochs else "post-training")

    def _told(self, state: State, rows: np.ndarray, figure: float, kind: str) -> Trained:
        scores = self.program.outputs(state, rows, self._dataset.x_test)
        validation: dict[str, float] = {}
        if self._extras.qualities:
            outputs = self.program.outputs(state, rows, self._dataset.x_val)
            validation = qualities_of(judged(self._objective, self._dataset, outputs, kind, validation=True))
        self.program.install(self._model, state)
        return Trained(judged(self._objective, self._dataset, scores, kind), float(figure),
                       weights.weights_of(self._model), validation, self._exact(rows))

    def _exact(self, rows: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        if not self._extras.weights:
            return {}
        self.switches.install(tf.constant(rows))
        return exact_of(self._model)

    # -- pruning -----------------------------------------------------------------------------------------

    def _pruner(self, recipe: Recipe, rows: np.ndarray, steps: int) -> Pruner | None:
        """The masks of a training, chosen anew whenever they are asked for; None where nothing is pruned."""
        wanted = Pruning.of_recipe(recipe, updates=max(steps, 1))
        if wanted is None or not steps:
            return None
        self.switches.install(tf.constant(rows))
        return Pruner(self._model, wanted, steps)

    def _pruned_once(self, state: State, recipe: Recipe, rows: np.ndarray) -> State:
        if Pruning.of_recipe(recipe) is None:
            return state
        self.switches.install(tf.constant(rows))
        self.program.install(self._model, state)
        prune_once(self._model, recipe)
        return state._replace(weights=tuple(tf.identity(v.value) for v in self._model.trainable_variables))

    def _prune(self, pruner: Pruner, first: int) -> Prune:
        """What a program asks while it trains: all is done on the model's variables, as a plain training does it."""
        def prune(state: State, steps: int) -> tuple[State, tuple[object, ...]]:
            self.program.install(self._model, state)
            pruner.step(tf.constant(min(first + steps, pruner.last)))
            held = pruner.by_variable()
            variables = self._model.trainable_variables
            masks = tuple(held.get(id(v), tf.ones_like(w)) for v, w in zip(variables, state.weights, strict=True))
            return state._replace(weights=tuple(tf.identity(v.value) for v in variables)), masks

        return prune

    def state_of(self, trained: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Weights by name, as a candidate stores them, in the order a start wants them."""
        weights.set_weights(self._model, trained)
        return self.program.weights_of(self.program.start())

    def _epoch(self, state: State, rows: np.ndarray, random: np.random.Generator, epoch: int,
               total: int, pruner: Pruner | None = None) -> tuple[State, float]:
        steps = self.program.steps
        order = random.permutation(self.program.events)[: steps * self.program.batch]
        return self.program.train(state, rows, cosine(self._rate, steps, epoch * steps, total), order,
                                  None if pruner is None else self._prune(pruner, epoch * steps))

    def _figure(self, state: State, rows: np.ndarray, x: Arrays, y: Arrays) -> float:
        return self._objective.figure(x, y, self.program.outputs(state, rows, x))


def judged(objective: Objective, dataset: Dataset, outputs: Arrays, kind: str,
           validation: bool = False) -> Evaluation:
    """What outputs for the test events, or the validation events, are worth."""
    x, y = (dataset.x_val, dataset.y_val) if validation else (dataset.x_test, dataset.y_test)
    kept = objective.trains_on(y)
    loss = None
    if kept.any() and not objective.draws:
        _, targets = objective.batch(x[kept], y[kept], training=False)
        loss = float(np.mean(objective.loss(targets, outputs[kept])))
    return objective.evaluation(x, y, outputs, dataset.class_names, kind, loss)


def exact_of(model: keras.Model) -> dict[str, dict[str, np.ndarray]]:
    """Weights as used at inference, by layer and parameter, of the layers that have a quantizer for one."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for layer in model.layers:
        if isinstance(layer, QuantizedLayer) and set(layer.quantizers) - {OUTPUT}:
            found[str(layer.name)] = layer.quantized_weights()  # type: ignore[attr-defined]
    return found


def _options(space: SearchSpace) -> dict[Place, tuple[str, ...]]:
    """What each place may take: the choices of the space, and what its base recipe fixes."""
    fixed = {(layer, parameter): (text,) for layer, entry in space.base.layers.items()
             for parameter, text in entry.quantizers.items()}
    return {**fixed, **{(choice.layer, choice.parameter): choice.options for choice in space.quantized}}
