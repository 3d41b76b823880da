"""The compiled program of a gradient search: weights and their bit widths trained together, the cost in the loss.

After HGQ (arXiv:2405.00645): the fraction bits of every width are a number that is rounded when used, with the
gradient of what rounding to 2**-f does to the value; magnitude bits follow from the values themselves. A weight
that rounds to 0 has no bits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.dataset import Dataset
from core.quant.build import quantize
from core.quant.feeding import Tensors, each
from core.quant.layers import QInput, QuantizedLayer
from core.quant.quantizers import REPLACES, Quantizer
from core.quant.recipe import INPUT, OUTPUT, Recipe
from core.quant.spec import QuantizerSpec, in_force, parse
from core.search.program import Program, State, adam
from core.search.switches import Switches
from core.search.trim import trimmed
from core.search.widths import Counted, Ebops, Width

#: magnitude bits of the largest value of a tensor at the start
START_BITS = 8
#: fraction bits may go this far below and above where they start
BELOW, ABOVE = 16.0, 4.0
#: how fast the largest value follows that share, and how far at most in a step, as logarithms
_FOLLOWING, _JUMP = 0.02, 0.3
#: what a width learns faster than a weight
HASTE = 4.0
_TRAIN, _MEASURE, _SCORE = "train", "measure", "score"


def bit_length(codes: Any) -> Any:
    """Bits of whole numbers from 0 on (float32 tensor), 0 for 0; exact below 2**24."""
    exponent = tf.bitwise.right_shift(tf.bitcast(codes, tf.int32), 23) - 126
    return tf.where(codes >= 1.0, tf.cast(exponent, tf.float32), tf.zeros_like(codes))


def two_to(exponent: Any) -> Any:
    """2**exponent of whole numbers (float32 tensor), exact."""
    return tf.bitcast(tf.bitwise.left_shift(tf.cast(exponent, tf.int32) + 127, 23), tf.float32)


def rounded(value: Any) -> Any:
    """The nearest whole number, with the gradient of the value."""
    return value + tf.stop_gradient(tf.round(value) - value)


class TrainedQuantizer:
    """Stands in a layer's `quantizers`; what it reads is set while a program is traced.

    `peak` is the magnitude up to which values of events are kept. In training they saturate there, and it follows
    their share above it, so that this comes to `overflow`. When measured, at the start, they are not cut off, and
    `peak` is the largest magnitude seen. When scored they are what the quantizer of the final model makes of them.
    """

    def __init__(self, width: Width, spec: QuantizerSpec) -> None:
        self.width, self.spec = width, spec
        self._final = Quantizer(spec)
        self._relu = bool(REPLACES.get(spec.kind))
        self.mode = _TRAIN
        self.latent: Any = None
        self.peak: Any = None
        self.overflow: Any = None
        #: magnitude bits after a call, with their gradient
        self.magnitude: Any = None

    def __str__(self) -> str:
        return str(self.spec)

    @property
    def fraction(self) -> Any:
        """Fraction bits, with the gradient of the latent number."""
        return rounded(self.latent)

    def __call__(self, x: Any, training: bool = False, bits: Any = None, integer: Any = None, noise: Any = None) -> Any:
        """`x` on its grid."""
        if self._relu and self.mode != _SCORE:
            x = tf.nn.relu(x)
        fraction = self.fraction
        step = two_to(-tf.stop_gradient(fraction))
        if self.width.of_weight:
            largest = self._over_events(tf.reduce_max, x)
        else:
            if self.mode == _MEASURE:
                self.peak = tf.maximum(self.peak, self._over_events(tf.reduce_max, x))
            largest = self.peak
        self._count(tf.round(largest / step), fraction)
        if self.mode == _SCORE:
            n = self.magnitude
            return self._final(x, bits=tf.where(n > 0, n + float(self.width.signed), tf.zeros_like(n)),
                               integer=n - fraction)
        if self.mode == _TRAIN and not self.width.of_weight:
            x = self._saturated(x, step)
        grid = tf.stop_gradient(tf.round(x / step) * step)
        error = tf.stop_gradient(x - grid)
        return grid + (x - tf.stop_gradient(x)) + math.log(2.0) * error * (fraction - tf.stop_gradient(fraction))

    def _over_events(self, reduce: Any, x: Any) -> Any:
        """The magnitudes of the values that share a width, reduced to one."""
        size = tf.stop_gradient(tf.abs(x))
        shape, rank = self.width.shape, len(x.shape)
        if self.width.of_weight and len(shape) == rank:
            return size
        return reduce(size, axis=list(range(rank - len(shape))))

    def _saturated(self, x: Any, step: Any) -> Any:
        """`x` cut off at the largest value of its format where it has one; the peak follows."""
        n = tf.stop_gradient(self.magnitude)
        most = tf.where(n > 0, two_to(n) - 1.0, two_to(n) * 2.0**16) * step  # a dead channel keeps its gradient
        above = self._over_events(lambda size, axis: tf.reduce_mean(tf.cast(size > self.peak, tf.float32), axis), x)
        self.peak *= tf.exp(tf.minimum(_FOLLOWING * (above / self.overflow - 1.0), _JUMP))
        return tf.clip_by_value(x, -most, most)

    def _count(self, codes: Any, fraction: Any) -> None:
        n = bit_length(codes)
        if not self.width.of_weight and not self.width.shape:
            n = tf.maximum(n, 1.0)  # a tensor of values keeps a bit; a channel may have none
        self.magnitude = n + tf.where(n > 0, fraction - tf.stop_gradient(fraction), tf.zeros_like(n))


def _joined(kind: str, widths: Sequence[Any]) -> Any:
    """Widths of what a merge or pooling reads, joined as `core.search.widths.Read` says; the mean over channels."""
    if kind == "product":
        return tf.reduce_mean(functools.reduce(tf.multiply, widths))
    if kind == "largest":
        return tf.reduce_mean(functools.reduce(tf.maximum, widths))
    least = functools.reduce(tf.minimum, widths) if kind == "rest" else 0.0
    return tf.reduce_mean(functools.reduce(tf.add, widths) - least)


def _met(weights: Any, read: Any) -> Any:
    """Sum of the widths of a weight, each times that of what it reads: one, or one for each place on its axis -2."""
    if not len(read.shape):
        return tf.reduce_sum(weights) * read
    axes = [axis for axis in range(len(weights.shape)) if axis != len(weights.shape) - 2]
    return tf.reduce_sum(tf.reduce_sum(weights, axis=axes) * tf.tile(read, [weights.shape[-2] // read.shape[0]]))


class WidthSwitches(Switches):
    """The trained quantizers of one model, in the place of switches."""

    def __init__(self, widths: Sequence[Width], recipe: Recipe) -> None:
        super().__init__({})
        self.widths = tuple(widths)
        self.quantizers = tuple(TrainedQuantizer(width, _spec(recipe, width)) for width in widths)
        self.places = (INPUT,)  # one row carries the cost weight and the share of values that may saturate

    def model(self, source: keras.Model, base: Recipe) -> keras.Model:
        """The float model with a trained quantizer wherever a width is trained, else quantized by the base recipe."""
        built = quantize(source, base)
        for width, chosen in zip(self.widths, self.quantizers, strict=True):
            targets = [layer for layer in built.layers if isinstance(layer, QInput)] if width.key == INPUT \
                else [built.get_layer(width.layer)]
            for target in targets:
                assert isinstance(target, QuantizedLayer)
                target.quantizers[OUTPUT if width.key == INPUT else width.parameter] = chosen  # type: ignore[assignment]
        return built

    def install(self, rows: Any) -> None:
        """Nothing: what is trained is in the state."""

    @contextmanager
    def reading(self, latents: Sequence[Any], peaks: Sequence[Any], mode: str, overflow: Any = None) -> Iterator[None]:
        """The quantizers read these latent numbers and largest values, in order of the widths, within.

        `overflow` is the share of values that may saturate, for training.
        """
        for chosen, latent, peak in zip(self.quantizers, latents, peaks, strict=True):
            chosen.latent, chosen.peak, chosen.mode, chosen.magnitude = latent, peak, mode, None
            chosen.overflow = overflow
        try:
            yield
        finally:
            for chosen in self.quantizers:
                # tensors of a trace do not outlive it
                chosen.latent = chosen.peak = chosen.magnitude = chosen.overflow = None


def _spec(recipe: Recipe, width: Width) -> QuantizerSpec:
    if width.key == INPUT:
        return recipe.input_spec()
    text = recipe.text(*width.key)
    assert text
    return in_force(parse(text), width.parameter)


class GradientProgram(Program):
    """Training and scoring of one model whose widths are trained.

    Of its states, the weights end with the latent fraction bits, the other variables with the largest values.

    Args:
        model: as `WidthSwitches.model` gives it.
        switches: its quantizers.
        ebops: what widths cost.
        dataset, batch_size, way: as of `Program`.
    """

    def __init__(self, model: keras.Model, switches: WidthSwitches, ebops: Ebops, dataset: Dataset,
                 batch_size: int = 1024, way: str = "") -> None:
        self._widths, self._ebops = switches, ebops
        self._latents = [np.full(width.shape, float(START_BITS), np.float32) for width in switches.widths]
        self._peaks = [np.ones(() if width.of_weight else width.shape, np.float32) for width in switches.widths]
        self._limits = [(low - BELOW, low + ABOVE) for low in self._latents]
        super().__init__(model, switches, dataset, batch_size, way)
        xla = self.way == "xla"
        self._outputs = tf.function(self._forward, autograph=False, jit_compile=xla)
        self._measure = tf.function(self._measured, autograph=False, jit_compile=xla)
        self._count = tf.function(self._counted, autograph=False)
        self._set_out()

    def _set_out(self) -> None:
        """Fraction bits with which the largest value of each tensor has START_BITS bits."""
        state = self.start()
        names = {id(v): number for number, v in enumerate(self._model.trainable_variables)}
        peaks = self.measured(state).others[-len(self._peaks):]
        for number, width in enumerate(self._widths.widths):
            peak = float(np.max(peaks[number]))
            if width.of_weight:
                variable = self._model.get_layer(width.layer).weight(width.parameter)
                place = names.get(id(variable))
                peak = float(np.abs(state.weights[place] if place is not None else variable.value).max())
            whole = float(np.frexp(peak)[1]) if peak > 0 else 0.0
            self._latents[number] = np.full(width.shape, START_BITS - whole, np.float32)
            self._peaks[number] = np.asarray(peaks[number])
        self._limits = [(start - BELOW, start + ABOVE) for start in self._latents]

    # -- state -------------------------------------------------------------------------------------------

    def start(self, weights: Sequence[np.ndarray] | None = None) -> State:
        """A state to train from: the model's weights and the widths at the start."""
        state = super().start(weights)
        latents = tuple(tf.constant(latent / HASTE) for latent in self._latents)
        values = (*state.weights, *latents)
        zeros = tuple(tf.zeros_like(v) for v in values)
        return State(values, (*state.others, *(tf.constant(p) for p in self._peaks)), zeros, zeros, state.steps)

    def _split(self, state: State) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """Weights, fraction bits, other variables, largest values."""
        count = len(self._latents)
        return (list(state.weights[:-count]), [HASTE * v for v in state.weights[-count:]],
                list(state.others[:-count]), list(state.others[-count:]))

    def restored(self, values: Sequence[np.ndarray]) -> State:
        """The state that has these values: weights, other variables, both moments, steps."""
        like = self.start()
        kinds = [*like.weights, *like.others, *like.first, *like.second, like.steps]
        found = [tf.constant(value, dtype=kind.dtype) for value, kind in zip(values, kinds, strict=True)]
        a, b = len(like.weights), len(like.others)
        return State(tuple(found[:a]), tuple(found[a:a + b]), tuple(found[a + b:2 * a + b]),
                     tuple(found[2 * a + b:-1]), found[-1])

    def settled(self, state: State, rows: np.ndarray, batches: int = 8) -> State:
        """The state as it is: the widths that its moving averages were learnt with are its own."""
        return state

    def stored(self, state: State) -> dict[str, np.ndarray]:
        """Weights by name as `core.quant.weights.weights_of` has them for a model with these widths as variables."""
        weights, _, others, _ = self._split(state)
        variables = (*self._model.trainable_variables, *self._model.non_trainable_variables)
        values = {id(v): np.asarray(value) for v, value in zip(variables, (*weights, *others), strict=True)}
        found = {f"{layer.name}/{v.path.split('/', 1)[-1]}": values[id(v)]
                 for layer in self._model.layers for v in layer.weights}
        for key, counted in self.counted(state).items():
            width = next(w for w in self._widths.widths if w.key == key)
            if not width.of_weight and not width.shape:
                continue  # its quantizer says it
            names = ["/".join(key)] if key != INPUT else [
                f"{layer.name}/{OUTPUT}" for layer in self._model.layers if isinstance(layer, QInput)]
            for name in names:
                found[f"{name}_bits"] = counted.bits(width.signed).astype(np.float32)
                found[f"{name}_integer"] = counted.integer.astype(np.float32)
        return found

    # -- training ----------------------------------------------------------------------------------------

    def _step(self, state: State, rows: Any, x: Tensors, y: Tensors, rate: Any) -> tuple[State, Any]:
        inputs, targets = self._objective.batch(x, y)
        with tf.GradientTape() as tape:
            tape.watch(state.weights)
            weights, latents, others, peaks = self._split(state)
            with self._widths.reading(latents, peaks, _TRAIN, rows[0, 1]):
                outputs, others, extra = self._model.stateless_call(weights, others, inputs, training=True,
                                                                    return_losses=True)
                loss = tf.reduce_mean(self._objective.loss(targets, outputs))
                whole = loss + rows[0, 0] * self._cost()
                peaks = [chosen.peak for chosen in self._widths.quantizers]
            whole = whole + tf.add_n(extra) if extra else whole
        after = adam(state, tape.gradient(whole, state.weights), (*others, *peaks), rate)
        count = len(latents)
        held = (tf.clip_by_value(v, low / HASTE, high / HASTE)
                for v, (low, high) in zip(after.weights[-count:], self._limits, strict=True))
        return after._replace(weights=(*after.weights[:-count], *held)), loss

    def _cost(self) -> Any:
        """EBOPs of the widths as last used, with their gradient."""
        bits: Mapping[tuple[str, str], Any] = {
            chosen.width.key: chosen.magnitude for chosen in self._widths.quantizers}
        total = tf.constant(0.0)
        for term in self._ebops.terms:
            weight = bits[term.weight] if term.weight else tf.constant(term.weight_bits)
            read = bits[term.read] if term.read else tf.constant(term.read_bits)
            each = np.asarray(np.broadcast_to(term.uses, term.shape), np.float32)
            total += _met(each * weight, read)
        for key, uses in self._ebops.biases.items():
            total += uses * tf.reduce_mean(bits[key])
        for values in self._ebops.values:
            total += values.uses * _joined(values.kind, [bits[k] if isinstance(k, tuple) else tf.constant(k)
                                                         for k in values.reads])
        return total

    # -- what is stored ----------------------------------------------------------------------------------

    def measured(self, state: State) -> State:
        """The state with its largest values those of all training events, as it is to begin with."""
        return state._replace(others=(*self._split(state)[2], *self._measure(state)))

    def _measured(self, state: State) -> list[Any]:
        self.traces["measure"] = self.traces.get("measure", 0) + 1
        weights, latents, others, peaks = self._split(state)
        size = min(self._scored, self.events)

        def body(number: Any, found: list[Any]) -> tuple[Any, list[Any]]:
            start = tf.minimum(number * size, self.events - size)
            x, y = (each(lambda v: tf.slice(v, [start] + [0] * (len(v.shape) - 1), [size, *v.shape[1:]]), values)
                    for values in (self._x, self._y))
            inputs = self._objective.batch(x, y, training=False)[0]
            with self._widths.reading(latents, found, _MEASURE):
                self._model.stateless_call(weights, others, inputs, training=False)
                return number + 1, [chosen.peak for chosen in self._widths.quantizers]

        parts = -(-self.events // size)
        start = (tf.constant(0), [tf.zeros_like(peak) for peak in peaks])
        return tf.while_loop(lambda number, *_: number < parts, body, start)[1]

    def _forward(self, state: State, rows: Any, x: Any) -> Any:
        self.traces["outputs"] = self.traces.get("outputs", 0) + 1
        weights, latents, others, peaks = self._split(state)
        with self._widths.reading(latents, peaks, _SCORE):
            return self._model.stateless_call(weights, others, x, training=False)[0]

    def cost(self, state: State) -> float:
        """EBOPs of a measured state as the loss has them."""
        weights, latents, others, peaks = self._split(state)
        inputs = self._objective.batch(*self._events_of([0]), training=False)[0]
        with self._widths.reading(latents, peaks, _SCORE):
            self._model.stateless_call(weights, others, inputs, training=False)
            return float(self._cost())

    def counted(self, state: State, trim: bool = True) -> dict[tuple[str, str], Counted]:
        """The widths of a measured state in whole bits; those that change nothing are left away, if asked for."""
        found = {width.key: Counted(np.rint(n).astype(int), np.rint(f).astype(int))
                 for width, (n, f) in zip(self._widths.widths, self._count(state), strict=True)}
        if not trim:
            return found
        weights = {id(v): value for v, value in zip(self._model.trainable_variables, state.weights, strict=False)}
        codes = {}
        for width in self._widths.widths:
            if width.of_weight:
                variable = self._model.get_layer(width.layer).weight(width.parameter)
                value = np.asarray(weights.get(id(variable), variable))
                codes[width.key] = np.rint(value * np.exp2(found[width.key].fraction))
        return trimmed(self._ebops.info, self._widths.widths, found, codes)

    def _counted(self, state: State) -> list[tuple[Any, Any]]:
        self.traces["count"] = self.traces.get("count", 0) + 1
        weights, latents, others, peaks = self._split(state)
        inputs = self._objective.batch(*self._events_of([0]), training=False)[0]
        with self._widths.reading(latents, peaks, _SCORE):
            self._model.stateless_call(weights, others, inputs, training=False)
            return [(tf.broadcast_to(chosen.magnitude, chosen.width.shape), chosen.fraction)
                    for chosen in self._widths.quantizers]
