"""Integer bits from data, and how often values are too large or too small for their type.

Which integer bits lose least depends on the width: at few bits rare large values are given up for
resolution. The choice is numpy alone; what looks at a model imports TensorFlow when it is called.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from core.arrays import Arrays
from core.errors import QuantizerError
from core.quant.quantizers import FixedPoint, Quantizer, quantizer
from core.quant.recipe import INPUT, OUTPUT, LayerRecipe, Recipe
from core.quant.spec import QuantizerSpec, in_force

if TYPE_CHECKING:
    import keras

Key = tuple[str, str]
Samples = dict[Key, "Sample"]

METHODS = ("mse", "min_max", "percentile")
#: how many integer widths below the one that holds the largest value are tried
DEPTH = 7
#: values of one tensor that are looked at, and least number of rows where it has channels
SAMPLE, ROWS = 40_000, 512
LOWEST, HIGHEST = -8, 16
#: share in percent of the values that "percentile" holds, if nothing is said
PERCENTILE = 99.9
#: events that go through a model at a time
BATCH = 1000


@dataclass
class Sample:
    """Some values at one place: what its quantizer is given and what the float model has there, (values, channels).

    `low` and `high` are each channel's least and largest value of all that were seen, (channels,).
    """

    given: np.ndarray
    wanted: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of(given: np.ndarray, wanted: np.ndarray) -> Sample:
        """Evenly spaced rows of arrays whose last axis are channels."""
        given, wanted = (np.asarray(v, np.float32).reshape(-1, np.shape(v)[-1] if np.ndim(v) else 1)
                         for v in (given, wanted))
        finite = np.isfinite(wanted).all(axis=1) & np.isfinite(given).all(axis=1)
        given, wanted = given[finite], wanted[finite]
        if not wanted.size:
            zero = np.zeros(wanted.shape[1], np.float32)
            return Sample(given, wanted, zero, zero)
        return Sample(_spaced(given), _spaced(wanted), wanted.min(axis=0), wanted.max(axis=0))

    @staticmethod
    def joined(parts: Sequence[Sample]) -> Sample:
        """All together; channels are kept where all parts have as many."""
        if len({part.wanted.shape[1] for part in parts}) > 1:
            parts = [part.as_one() for part in parts]
        if len(parts) == 1:
            return parts[0]
        return Sample(_spaced(np.concatenate([part.given for part in parts])),
                      _spaced(np.concatenate([part.wanted for part in parts])),
                      np.min([part.low for part in parts], axis=0), np.max([part.high for part in parts], axis=0))

    def as_one(self) -> Sample:
        """All channels as one."""
        low, high = self.low.min(keepdims=True, initial=np.inf), self.high.max(keepdims=True, initial=-np.inf)
        return Sample(self.given.reshape(-1, 1), self.wanted.reshape(-1, 1), low, high)

    @property
    def largest(self) -> np.ndarray:
        """Largest magnitude of each channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def _spaced(rows: np.ndarray) -> np.ndarray:
    count = max(SAMPLE // max(rows.shape[1], 1), ROWS)
    return rows if len(rows) <= count else rows[:: math.ceil(len(rows) / count)]


# -- the choice --------------------------------------------------------------------------------------


def best_integers(sample: Sample, spec: QuantizerSpec, method: str = "mse",
                  percentile: float = PERCENTILE) -> np.ndarray:
    """Integer bits for each channel of a sample, (channels,) int; the total bits stay as they are.

    Args:
        spec: as applied (see `spec.in_force`), of a kind with integer bits.
        method: "mse" loses least in the mean square; "min_max" are the fewest that hold every value;
            "percentile" the fewest that hold this share, in percent, of the values between both tails.

    A channel of zeros, or of a scale that is fitted to the data anyway, keeps the spec's own.
    """
    if method not in METHODS or not 50 < percentile <= 100:
        raise QuantizerError(f"there is no calibration by {method!r} at {percentile}",
                             remedy=f"Use one of {', '.join(METHODS)}; a percentile lies above 50")
    own = np.full(sample.wanted.shape[1], int(spec["integer"]))
    if isinstance(spec.get("alpha"), str) or not sample.wanted.size:
        return own
    found = _least_error(sample, spec) if method == "mse" else \
        _holding(sample, spec, percentile if method == "percentile" else 100.0)
    return np.where(sample.largest > 0, found, own)


def _least_error(sample: Sample, spec: QuantizerSpec) -> np.ndarray:
    largest = sample.largest
    tops = np.ceil(np.log2(largest, where=largest > 0, out=np.zeros_like(largest))).clip(LOWEST, HIGHEST)
    # one more than holds the largest: a type of few bits may then round to it, where it would have clipped
    tried = np.arange(max(int(tops.min()) - DEPTH, LOWEST), int(tops.max()) + 2)
    chosen = quantizer(spec)
    losses = np.stack([np.square(np.asarray(chosen(sample.given, integer=int(integer))) - sample.wanted).mean(axis=0)
                       for integer in tried])
    matters = losses.max(axis=0) > losses.min(axis=0)  # it does not where only the sign is kept
    return np.where(matters, tried[losses.argmin(axis=0)], int(spec["integer"]))


def _holding(sample: Sample, spec: QuantizerSpec, percentile: float) -> np.ndarray:
    low, high = sample.low, sample.high
    if percentile < 100:
        low, high = np.percentile(sample.wanted, (100.0 - percentile, percentile), axis=0)
    beyond = HIGHEST + 1
    found = np.full(len(high), beyond)
    for integer in range(HIGHEST, LOWEST - 1, -1):
        reach = Reach.of(quantizer(spec), integer=integer)
        if reach is not None:
            held = (high <= reach.above) & ((low >= reach.below) | (reach.low == 0))
            found[held & (found == integer + 1)] = integer
    return np.where(found == beyond, int(spec["integer"]), found)  # nothing holds them: a bound, or no range


class Calibration:
    """Chooses integer bits, least in the mean square error, from samples of what each quantizer will see.

    Args:
        samples: by (layer, parameter): weight values, or, for "output", the float layer's outputs on
            some training events; any shape.
    """

    def __init__(self, samples: Mapping[Key, np.ndarray]) -> None:
        self._samples = {key: Sample.of(values, values).as_one() for key, values in samples.items()}
        self._known: dict[tuple[str, str, QuantizerSpec], int] = {}

    def integer(self, layer: str, parameter: str, spec: QuantizerSpec) -> int:
        """Integer bits for `spec` at one place; its own where there is no sample, 0 where the kind has none."""
        key = (layer, parameter, spec)
        if key not in self._known:
            sample = self._samples.get((layer, parameter))
            if "integer" not in spec.arguments:
                self._known[key] = 0
            elif sample is None:
                self._known[key] = int(spec["integer"])
            else:
                self._known[key] = int(best_integers(sample, in_force(spec, parameter))[0])
        return self._known[key]


# -- what a type holds -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """Least and largest value of a quantizer, and what still rounds to them; arrays where widths are."""

    low: Any
    high: Any
    below: Any
    above: Any

    @staticmethod
    def of(chosen: Quantizer, bits: Any = None, integer: Any = None) -> Reach | None:
        """For a scale of 1; None for kinds that give every value some sign or code, so that none is out of reach."""
        spec = chosen.spec
        plain = {name: 1.0 for name in ("alpha", "qnoise_factor") if name in spec.arguments}
        fixed = Quantizer(spec.replace(**plain)).fixed_point()
        if fixed is not None:
            fixed = FixedPoint(fixed.signed, fixed.bits if bits is None else bits,
                               fixed.integer if integer is None else integer, fixed.symmetric)
            half = 0.5 * 2.0**-fixed.fraction
            return Reach(fixed.minimum, fixed.maximum, fixed.minimum - half, fixed.maximum + half)
        if "bits" not in spec.arguments:
            return None
        widths = {name: int(np.max(v)) for name, v in (("bits", bits), ("integer", integer)) if v is not None}
        grid = Quantizer(spec.replace(**plain, **widths)).grid()
        if grid is None or len(grid) < 2:
            return None
        low, high = float(grid[0]), float(grid[-1])
        if "po2" in spec.kind:  # rounds in the logarithm
            return Reach(low, high, low * math.sqrt(2.0), high * math.sqrt(2.0))
        return Reach(low, high, low - (grid[1] - grid[0]) / 2, high + (grid[-1] - grid[-2]) / 2)


class Counts(msgspec.Struct, frozen=True):
    """Of one quantizer's `values`: how many saturate, how many that are not 0 become 0, least and largest seen."""

    values: int = 0
    overflow: int = 0
    underflow: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf

    @property
    def overflow_share(self) -> float:
        """Share of the values that saturate."""
        return self.overflow / max(self.values, 1)

    @property
    def underflow_share(self) -> float:
        """Share of the values that are not 0 and become 0."""
        return self.underflow / max(self.values, 1)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.values + other.values, self.overflow + other.overflow, self.underflow + other.underflow,
                      min(self.minimum, other.minimum), max(self.maximum, other.maximum))


def _counts(chosen: Quantizer, given: np.ndarray, wanted: np.ndarray, quantized: np.ndarray,
            widths: Mapping[str, np.ndarray]) -> Counts:
    reach = Reach.of(chosen, **widths)
    scale: Any = 1.0
    if reach is not None and (isinstance(chosen.spec.get("alpha"), str) or chosen.spec.kind == "quantized_linear"):
        scale = np.asarray(chosen.with_scale(given)[1])
    over = 0 if reach is None else int(((wanted > reach.above * scale) | (wanted < reach.below * scale)).sum())
    return Counts(wanted.size, over, int(((quantized == 0) & (wanted != 0)).sum()), float(wanted.min()),
                  float(wanted.max()))


# -- looking at models -------------------------------------------------------------------------------


def samples_of(model: keras.Model, recipe: Recipe, x: Arrays) -> Samples:
    """What every quantizer of a recipe would be given in the float model: weights, and values on the events x."""
    from core.quant.build import quantize

    found: dict[Key, list[Sample]] = {}

    def see(key: Key, chosen: Any, given: np.ndarray, wanted: np.ndarray, quantized: Any, widths: Any) -> None:
        found.setdefault(key, []).append(Sample.of(given, wanted))

    _watch(quantize(model, recipe), x, see, in_float=True)
    return {key: Sample.joined(parts) for key, parts in found.items()}


def saturation(model: keras.Model, recipe: Recipe | None, x: Arrays) -> dict[Key, Counts]:
    """How many values overflow and underflow at every quantizer on the events x, by (layer, parameter).

    Args:
        model: the float model; or, with recipe None, a quantized model as it is.
        x: events (events, ...), as the model takes them.

    A value overflows where it is more than half a step beyond what its quantizer can give, and underflows
    where it is not 0 and becomes 0. Each is counted as it comes, after whatever is quantized before it.
    The quantizer of the inputs has the key `core.quant.recipe.INPUT`.
    """
    from core.quant.build import quantize

    found: dict[Key, Counts] = {}

    def see(key: Key, chosen: Quantizer, given: np.ndarray, wanted: np.ndarray, quantized: np.ndarray,
            widths: Mapping[str, np.ndarray]) -> None:
        found[key] = found.get(key, Counts()) + _counts(chosen, given, wanted, quantized, widths)

    _watch(model if recipe is None else quantize(model, recipe), x, see, in_float=False)
    return found


def _watch(model: keras.Model, x: Arrays, see: Any, in_float: bool) -> None:
    """Run the model on x, in float or quantized, and show `see` what every quantizer meets; weights once."""
    from contextlib import ExitStack

    import keras

    from core.quant.feeding import tensors
    from core.quant.layer_base import replaced
    from core.quant.taps import Place, places, tapped

    to_numpy, first = keras.ops.convert_to_numpy, [True]

    def tap(place: Place, given: Any, wanted: Any, quantized: Any) -> Any:
        layer, parameter, key = place
        plain, result = wanted(), None if in_float else quantized()
        if first[0] or not (parameter in layer.slots or parameter == "average"):
            widths = {what: to_numpy(v) for what, v in layer.width_variables(parameter).items()}
            see(key, layer.quantizers[parameter], to_numpy(given), to_numpy(plain),
                None if result is None else to_numpy(result), widths)
        return plain if in_float else result

    with ExitStack() as stack:
        stack.enter_context(tapped(model, tap))
        for layer in {id(layer): layer for layer, _, _ in places(model) if hasattr(layer, "unroll")}.values():
            stack.enter_context(replaced(layer, "unroll", True))  # else Keras asks for the first step twice
        for start in range(0, len(x), BATCH):
            model(tensors(x[start:start + BATCH]), training=False)
            first[0] = False


def calibration_samples(model: keras.Model, x: Arrays) -> dict[Key, np.ndarray]:
    """By (layer, parameter), for all that can be quantized: weights, and values in the float model on the events x."""
    from core.model_io import describe_model

    anything = "quantized_bits(8,0,alpha=1)"
    layers = {layer.name: LayerRecipe(quantizers=dict.fromkeys(layer.quantizable, anything))
              for layer in describe_model(model).layers if layer.quantizable}
    found = samples_of(model, Recipe(layers=layers), x)
    return {key: sample.wanted for key, sample in found.items() if key != INPUT}


# -- recipes -----------------------------------------------------------------------------------------


def calibrate(model: keras.Model, recipe: Recipe, x: Arrays, method: str = "mse", per: str = "tensor",
              percentile: float = PERCENTILE) -> Recipe:
    """The recipe with the integer bits of its weights, outputs and input chosen from data; its bits stay.

    Args:
        model: the float model.
        x: events (events, ...), as the model takes them.
        method, percentile: see `best_integers`.
        per: "tensor", or "channel": weights and outputs then have `widths` by channel, the strings hold the
            largest, and `set_integer_bits` gives the quantized model those of each channel.

    Raises:
        RecipeError: the recipe does not fit the model.
        QuantizerError: unknown method.
    """
    if per not in ("tensor", "channel"):
        raise QuantizerError(f"integer bits cannot be chosen per {per!r}", remedy="Use tensor or channel")
    for (layer, parameter), integers in integer_bits(model, recipe, x, method, per, percentile).items():
        if (layer, parameter) == INPUT:
            recipe = msgspec.structs.replace(recipe, input=_with_integer(recipe.input, integers))
            continue
        text = _with_integer(recipe.layers[layer].quantizers[parameter], integers)
        recipe = recipe.with_quantizer(layer, parameter, text)
        if np.ndim(integers):
            entry = recipe.layers[layer]
            widths = {**entry.widths, parameter: "channel"}
            recipe = recipe.with_layer(layer, msgspec.structs.replace(entry, widths=widths))
    return recipe


def _with_integer(text: str, integers: Any) -> str:
    return str(quantizer(text).spec.replace(integer=int(np.max(integers))))


def integer_bits(model: keras.Model, recipe: Recipe, x: Arrays, method: str = "mse", per: str = "tensor",
                 percentile: float = PERCENTILE) -> dict[Key, Any]:
    """Integer bits of every quantizer that has some and no scale from data, by (layer, parameter); see `calibrate`.

    An int each; with `per="channel"`, for weights and outputs with more than one, an array (channels,).
    """
    found: dict[Key, Any] = {}
    for key, sample in samples_of(model, recipe, x).items():
        spec = recipe.input_spec() if key == INPUT else recipe.spec(*key)
        if spec is None or "integer" not in spec.arguments or isinstance(spec.get("alpha"), str):
            continue
        by_channel = per == "channel" and sample.wanted.shape[1] > 1 and key != INPUT and _has_channels(model, key)
        integers = best_integers(sample if by_channel else sample.as_one(), spec, method, percentile)
        found[key] = integers if by_channel else int(integers[0])
    return found


def _has_channels(model: keras.Model, key: Key) -> bool:
    """True for what a quantized layer can hold widths by channel for."""
    from core.quant.layers import QUANTIZED_CLASSES

    cls: Any = QUANTIZED_CLASSES.get(model.get_layer(key[0]).__class__.__name__.removeprefix("Q"))
    if cls is None or cls.__name__ == "QBidirectional":
        return False
    return key[1] in cls.slots or key[1] == OUTPUT


def set_integer_bits(model: keras.Model, bits: Mapping[Key, Any]) -> None:
    """Give a quantized model's widths by channel the values of `integer_bits`, in place."""
    for (layer, parameter), integers in _by_channel(bits):
        variable = model.get_layer(layer).width_variables(parameter).get("integer")
        if variable is not None:
            variable.assign(np.broadcast_to(np.asarray(integers, np.float32), variable.shape))


def _by_channel(bits: Mapping[Key, Any]) -> Iterator[tuple[Key, Any]]:
    return ((key, integers) for key, integers in bits.items() if np.ndim(integers) and key != INPUT)


__all__ = ["METHODS", "Calibration", "Counts", "Reach", "Sample", "best_integers", "calibrate",
           "calibration_samples", "integer_bits", "samples_of", "saturation", "set_integer_bits"]
