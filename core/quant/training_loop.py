"""One model's compiled epoch and validation, with everything that changes in them as variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from core.arrays import Arrays
from core.dataset import Dataset
from core.errors import TrainingError
from core.events import Monitor
from core.quant.feeding import Tensors, each, taken, tensors
from core.quant.layers import QuantizedLayer
from core.quant.objectives import objective_of
from core.quant.ops import ops_for
from core.quant.pruning import Pruner

if TYPE_CHECKING:
    from core.quant.training import TrainOptions

#: validation events that go through the model at a time
VALIDATION_BATCH = 8192


@contextmanager
def frozen(model: keras.Model, patterns: Sequence[str]) -> Iterator[None]:
    """The layers so named are not trained within; raises TrainingError where a pattern names none."""
    chosen = []
    for pattern in patterns:
        found = [layer for layer in model.layers if fnmatchcase(layer.name, pattern)]
        if not found:
            raise TrainingError(f"there is no layer {pattern!r} to freeze",
                                remedy=f"The model has: {', '.join(layer.name for layer in model.layers)}")
        chosen += found
    before = [(layer, layer.trainable) for layer in chosen]
    try:
        for layer in chosen:
            layer.trainable = False
        yield
    finally:
        for layer, trainable in before:
            layer.trainable = trainable


class Loop:
    """Compiled once: neither a new epoch nor a changed rate, noise or mask traces anything again."""

    def __init__(self, model: keras.Model, dataset: Dataset, options: TrainOptions,
                 monitor: Monitor | None = None) -> None:
        self._model, self._options = model, options
        self._objective = objective_of(dataset)
        self._loss = options.loss or self._objective.loss
        *self._train, self._events = self._kept(dataset.x_train, dataset.y_train, "training")
        *self._val, self._validated = self._kept(dataset.x_val, dataset.y_val, "validation")
        self._batch = min(options.batch_size, self._events)
        self._steps = self._events // self._batch
        self._total = max(options.epochs * self._steps, 1)
        if not model.trainable_variables:
            raise TrainingError("nothing is left to train", remedy="Freeze fewer layers")
        self._optimizer = keras.optimizers.Adam(options.learning_rate)
        self._optimizer.build(model.trainable_variables)
        self._pruner = Pruner(model, options.pruning, self._total, monitor) if options.pruning else None
        self._noise = tf.Variable(1.0, trainable=False) if options.noise else None
        self._seed()
        self._compiled = tf.function(self._run, autograph=False)
        self._validate = tf.function(self._mean_loss, autograph=False)

    def _kept(self, x: Arrays, y: Arrays, part: str) -> tuple[Tensors, Tensors, int]:
        """Events and labels of a part, and how many."""
        kept = self._objective.trains_on(y)
        if not kept.any():
            raise TrainingError(f"the dataset has no {part} events that this task trains on",
                                remedy="Give it background events, labelled 0")
        x, y = (x, y) if kept.all() else (x[kept], y[kept])
        return tensors(x), tensors(y), len(x)

    def _seed(self) -> None:
        """Every random number of the training comes from a state that can be stored."""
        tf.random.set_seed(self._options.seed)
        self._generator = tf.random.Generator.from_seed(self._options.seed)
        weights = {id(v) for v in self._model.weights}
        self._seeds = [v for v in self._model.variables if id(v) not in weights and "seed" in v.name]
        for number, variable in enumerate(self._seeds):
            variable.assign(np.array([self._options.seed, number], variable.dtype))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The layers listen to the noise factor and draw from the loop's generator."""
        ops = ops_for(*tf.nest.flatten(self._train[0]))
        with ExitStack() as stack:
            stack.callback(setattr, ops, "generator", ops.generator)
            ops.generator = self._generator
            for layer in self._model._flatten_layers() if self._noise is not None else ():
                if isinstance(layer, QuantizedLayer):
                    stack.callback(object.__setattr__, layer, "noise", layer.noise)
                    object.__setattr__(layer, "noise", self._noise)
            yield

    @property
    def first_complete_epoch(self) -> int:
        """The first epoch that ends with all the zeros that are wanted; -1: the start already counts."""
        return self._pruner.last // self._steps if self._pruner else -1

    def epoch(self, number: int) -> float:
        """One pass over the training events; the mean loss."""
        order = np.random.default_rng((self._options.seed, number)).permutation(self._events)
        order = order[: self._steps * self._batch]
        with self._explained():
            return float(self._compiled(tf.constant(order), tf.constant(number * self._steps)))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """A given loss that fails says why in a sentence."""
        try:
            yield
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            if self._options.loss is None:
                raise
            raise TrainingError("the loss does not go with these outputs and labels", str(error).splitlines()[0][:200],
                                "Train with the loss of the dataset's task") from error

    def _run(self, order: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        def body(step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            numbers = order[step * self._batch:(step + 1) * self._batch]
            x, y = (taken(values, numbers) for values in self._train)
            return step + 1, total + self._step(x, y, first + step)

        return _loop(self._steps, body) / self._steps

    def _step(self, x: Tensors, y: Tensors, number: tf.Tensor) -> tf.Tensor:
        done = tf.cast(number, tf.float32) / float(self._total)
        if self._noise is not None and self._options.noise is not None:
            self._noise.assign(self._options.noise(done))
        inputs, targets = self._objective.batch(x, y)
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(self._loss(targets, self._model(inputs, training=True)))
            whole = value + tf.add_n(self._model.losses) if self._model.losses else value
        self._optimizer.learning_rate.assign(self._options.learning_rate * self._options.schedule(done))
        self._optimizer.apply(tape.gradient(whole, variables), variables)
        if self._pruner is not None:
            self._pruner.step(number)
        return value

    def _mean_loss(self) -> tf.Tensor:
        def body(part: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            some = slice(part * VALIDATION_BATCH, (part + 1) * VALIDATION_BATCH)
            x, y = (each(lambda value: value[some], values) for values in self._val)
            inputs, targets = self._objective.batch(x, y, training=False)
            return part + 1, total + tf.reduce_sum(self._loss(targets, self._model(inputs, training=False)))

        return _loop(-(-self._validated // VALIDATION_BATCH), body) / float(self._validated)

    def validation_loss(self) -> float:
        """Mean loss over the validation events, at full quantization."""
        if self._noise is not None:
            self._noise.assign(1.0)
        with self._explained():
            return float(self._validate())

    # -- checkpoints -------------------------------------------------------------------------------------

    def _variables(self) -> dict[str, Any]:
        """Everything that an epoch changes, by a name in the checkpoint."""
        groups = {"model": self._model.weights, "optimizer": self._optimizer.variables, "seed": self._seeds,
                  "mask": self._pruner.masks if self._pruner else [], "random": [self._generator.state]}
        return {f"{group}/{i}": v for group, found in groups.items() for i, v in enumerate(found)}

    def state(self) -> dict[str, np.ndarray]:
        """Arrays from which `restore` makes the same loop again."""
        return {name: np.array(keras.ops.convert_to_numpy(v)) for name, v in self._variables().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` gave."""
        for name, variable in self._variables().items():
            variable.assign(state[name])


def _loop(count: int, body: Any) -> tf.Tensor:
    """The sum of what `body(step, sum)` adds in `count` steps; one loop in the graph, converted by no AutoGraph."""
    return tf.while_loop(lambda step, _: step < count, body, (tf.constant(0), tf.constant(0.0)))[1]
