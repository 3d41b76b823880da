"""Accumulator widths: what QTools gives each sum, and what its worst case really needs.

With the quantized weights the worst case is exact: of each output sum(max(w*low, w*high)) over its weights, plus its
bias, for inputs from low to high (sum |w| * max |x| where the input is symmetric). Without them it is the fan-in bound:
the number of terms times the largest product of the two formats. Fraction bits follow from the lowest bit that is set.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.energy import windows
from core.energy.graph import Node, dot_terms, pool_shape
from core.energy.operators import as_fixed
from core.energy.pricing import CostReport, Pricer, Row, Weights
from core.energy.rules_mac import DIRECTIONS, fan_in, kernel_name
from core.energy.settings import EnergySettings, corrected
from core.energy.types import BINARY, BINARY01, TERNARY, DataType
from core.model_info import ModelInfo
from core.quant.recipe import Recipe

Values = NDArray[np.float64]
WEIGHTS, FAN_IN = "weights", "fan-in"


class Range(NamedTuple):
    """Lowest and highest value, arrays over what is ranged, and the bits behind the point that hold them all."""

    low: Values
    high: Values
    fraction: int

    def plus(self, other: Range) -> Range:
        """Range of the sum of two numbers."""
        return Range(self.low + other.low, self.high + other.high, max(self.fraction, other.fraction))


class AccumulatorCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One sum of a layer: the format it is given and the one it needs.

    `sum` is the name of the format in `Row.types` ("accumulator", "between"); `low` and `high` are the worst case over
    all inputs the format allows; `needed_*` leave the sign out of `integer`; `source` is "weights" where the case is
    exact and "fan-in" where it is a bound; `note` says why nothing could be checked.
    """

    name: str
    class_name: str
    sum: str
    source: str = FAN_IN
    given_bits: int = 0
    given_integer: int = 0
    given_signed: bool = True
    needed_bits: int = 0
    needed_integer: int = 0
    needed_signed: bool = True
    low: float = 0.0
    high: float = 0.0
    note: str = ""

    @property
    def overflow(self) -> bool:
        """True where a value can occur that the given format does not hold."""
        return not self.note and (self.needed_integer > self.given_integer
                                  or (self.needed_signed and not self.given_signed))

    @property
    def missing_bits(self) -> int:
        """Integer bits, and the sign, that the given format lacks."""
        if self.note:
            return 0
        return max(0, self.needed_integer - self.given_integer) + (self.needed_signed and not self.given_signed)

    @property
    def spare_bits(self) -> int:
        """Integer bits, and the sign, that no input can ever use."""
        if self.note or self.overflow:
            return 0
        return self.given_integer - self.needed_integer + (self.given_signed and not self.needed_signed)

    @property
    def lost_fraction(self) -> int:
        """Bits behind the point that the given format cuts off."""
        return 0 if self.note else max(0, _fraction(self.needed_bits, self.needed_integer, self.needed_signed)
                                       - _fraction(self.given_bits, self.given_integer, self.given_signed))


def _fraction(bits: int, integer: int, signed: bool) -> int:
    return bits - integer - signed


def range_of(kind: DataType) -> Range:
    """All values of a format. Raises ValueError for a floating-point one."""
    if kind.floating:
        raise ValueError(f"{kind} has no fixed point")
    if kind.mode in (BINARY, TERNARY, BINARY01):
        return _ranged(0.0 if kind.mode == BINARY01 else -1.0, 1.0, 0)
    if kind.power:
        right, left = kind.exponents()
        high = 2.0**left
        return _ranged(-high if kind.signed else 0.0, high, int(right))
    fraction = kind.bits - kind.integer - kind.signed
    high = 2.0**kind.integer - 2.0**-fraction
    low = -high if kind.symmetric else -(2.0**kind.integer)
    return _ranged(low if kind.signed else 0.0, high, fraction)


def _ranged(low: float, high: float, fraction: int) -> Range:
    return Range(np.array([low]), np.array([high]), fraction)


def fraction_bits(values: NDArray[Any]) -> int:
    """Bits behind the point that hold every value exactly; negative where all are even, 0 for zeros alone."""
    held = np.abs(np.asarray(values, dtype=np.float64))
    held = held[held > 0]
    if not held.size:
        return 0
    parts, exponents = np.frexp(held)
    whole = (parts * 2.0**53).astype(np.int64)
    _, lowest = np.frexp((whole & -whole).astype(np.float64))
    return int(np.max(53 - exponents - (lowest - 1)))


def needed(span: Range) -> tuple[int, int, bool]:
    """(bits, integer bits without the sign, signed) of the smallest fixed-point format that holds a range."""
    step = 2.0**span.fraction
    low, high = (int(np.floor(np.min(span.low) * step)), int(np.ceil(np.max(span.high) * step)))
    magnitude = max(max(high, 0).bit_length(), (-low - 1).bit_length() if low < 0 else 0)
    return magnitude + (low < 0), magnitude - span.fraction, low < 0


def summed(matrix: NDArray[Any], inputs: Range) -> Range:
    """Range of matrix @ x for x in `inputs`.

    Args:
        matrix: (outputs, terms) exact weights.
        inputs: of each term, or one for all.
    """
    held = np.asarray(matrix, dtype=np.float64)
    up, down = np.maximum(held, 0.0), np.minimum(held, 0.0)
    terms = held.shape[1]
    low, high = (np.broadcast_to(end, (terms,)) for end in (inputs.low, inputs.high))
    return Range(up @ low + down @ high, up @ high + down @ low, fraction_bits(held) + inputs.fraction)


def bounded(terms: int, weight: DataType, inputs: Range) -> Range:
    """The fan-in bound: `terms` products of any weight of the format with any input."""
    held = range_of(weight)
    corners = np.array([w * x for w in (held.low[0], held.high[0]) for x in (inputs.low.min(), inputs.high.max())])
    return _ranged(terms * float(corners.min()), terms * float(corners.max()), held.fraction + inputs.fraction)


def check(info: ModelInfo, recipe: Recipe, weights: Weights | None = None,
          settings: EnergySettings | None = None) -> list[AccumulatorCheck]:
    """Every sum of a model under a recipe, in topological order.

    Args:
        weights: quantized weights by layer and parameter, shapes as in `info`; layers that are not there get the
            fan-in bound.
        settings: which formats are checked; those of the corrected mode when left out.

    Raises:
        CostError, QuantizerError: as `Pricer.price`.
    """
    pricer = Pricer(info, settings or corrected(), weights)
    return check_report(pricer, pricer.price(recipe))


def check_report(pricer: Pricer, report: CostReport) -> list[AccumulatorCheck]:
    """As `check`, for a price that is already there; `pricer.weights` are the weights."""
    found: list[AccumulatorCheck] = []
    for node, row in zip(pricer.nodes, report.rows, strict=True):
        found += check_row(node, row, pricer.weights.get(row.name, {}))
    return found


def check_row(node: Node, row: Row, weights: Mapping[str, NDArray[Any]]) -> list[AccumulatorCheck]:
    """The sums of one priced layer, given its quantized weights by parameter; none for a layer without sums."""
    if "accumulator" not in row.types or node.base == "BatchNormalization":
        return []
    first = "depthwise" if "between" in row.types else "kernel"
    kinds = [*row.inputs, *(row.types[name] for name in ("weight", "state", "accumulator") if name in row.types)]
    if any(kind.floating for kind in kinds):
        return [AccumulatorCheck(name=row.name, class_name=row.class_name, sum="accumulator",
                                 note="computed in floating point")]
    source = range_of(row.inputs[0])
    if node.base == "Dot":
        return [_checked(row, "accumulator", bounded(dot_terms(node), row.inputs[-1], source), FAN_IN)]
    if "Pooling" in node.base:
        area = int(np.prod(pool_shape(node.layer)))
        return [_checked(row, "accumulator", summed(np.ones((1, area)), source), WEIGHTS)]
    if first == "depthwise":
        return _separable(node, row, weights, source)
    name = kernel_name(node.base)
    if "state" in row.types:
        return [_with_bias(row, _direction(weights, prefix), *_step(node, row, _direction(weights, prefix), source))
                for prefix in DIRECTIONS if node.layer.weight(f"{prefix}recurrent_kernel")]
    exact = name in weights
    span = _products(node, weights[name], source) if exact else bounded(fan_in(node), row.types["weight"], source)
    return [_with_bias(row, weights, span, exact)]


def _direction(weights: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Weights of one direction of a recurrent layer, by their plain names."""
    return {name.removeprefix(prefix): held for name, held in weights.items()
            if name.startswith("backward_") == bool(prefix)}


def _step(node: Node, row: Row, weights: Mapping[str, NDArray[Any]], source: Range) -> tuple[Range, bool]:
    """(sum of the input's and the state's products, whether it is exact) of one step of a recurrent layer."""
    state, again = range_of(row.types["state"]), weights.get("recurrent_kernel")
    if again is not None and "kernel" in weights:
        return summed(np.asarray(weights["kernel"]).T, source).plus(summed(np.asarray(again).T, state)), True
    held = node.layer.weight("recurrent_kernel")
    units = held.shape[0] if held else 1
    return bounded(fan_in(node), row.types["weight"], source).plus(
        bounded(units, row.types["recurrent_kernel"], state)), False


def _separable(node: Node, row: Row, weights: Mapping[str, NDArray[Any]], source: Range) -> list[AccumulatorCheck]:
    depthwise, pointwise = weights.get("depthwise"), weights.get("pointwise")
    held = node.layer.weight("depthwise")
    shape = held.shape if held else (1, 1, 1)
    taps, middle = int(np.prod(shape[:-2])), int(np.prod(shape[-2:]))
    exact = depthwise is not None and pointwise is not None
    inner = summed(np.asarray(depthwise).reshape(taps, -1).T, source) if depthwise is not None else bounded(
        taps, row.types["weight"], source)
    outer = summed(np.asarray(pointwise).reshape(middle, -1).T, inner) if exact else bounded(
        middle, row.types["pointwise"], inner)
    return [_checked(row, "between", inner, FAN_IN if depthwise is None else WEIGHTS),
            _with_bias(row, weights, outer, exact)]


def _products(node: Node, kernel: NDArray[Any], source: Range) -> Range:
    """Range of the sums of products of a layer's first weight with its input, before the bias."""
    held = np.asarray(kernel, dtype=np.float64)
    if node.base.endswith("Transpose"):
        spans = [summed(matrix, source) for matrix in _phases(node, held)]
        return Range(np.concatenate([span.low for span in spans]), np.concatenate([span.high for span in spans]),
                     max(span.fraction for span in spans))
    if node.base == "EinsumDense":
        letters, result = str(node.layer.config["equation"]).replace(" ", "").split(",")[1].split("->")
        added = [place for place, letter in enumerate(letters) if letter not in result]
        held = np.moveaxis(held, added, range(len(added)))
        return summed(held.reshape(int(np.prod(held.shape[:len(added)])), -1).T, source)
    if node.base.startswith("Depthwise"):
        return summed(held.reshape(-1, held.shape[-2] * held.shape[-1]).T, source)
    return summed(held.reshape(-1, held.shape[-1]).T, source)


def _phases(node: Node, kernel: Values) -> list[Values]:
    """Matrices (filters, terms) of a transposed convolution: an output value meets every stride-th tap only."""
    rank = kernel.ndim - 2
    strides = windows.sides(node.layer.config.get("strides", 1), rank)
    starts = (range(min(step, side)) for step, side in zip(strides, kernel.shape, strict=False))
    found = []
    for start in itertools.product(*starts):
        taps = kernel[tuple(slice(at, None, step) for at, step in zip(start, strides, strict=True))]
        found.append(np.moveaxis(taps, -2, 0).reshape(kernel.shape[-2], -1))
    return found


def _with_bias(row: Row, weights: Mapping[str, NDArray[Any]], span: Range, exact: bool) -> AccumulatorCheck:
    if "bias" in weights and "bias" in row.types:
        span = span.plus(_offset(np.asarray(weights["bias"], dtype=np.float64), span.low.size))
    elif "bias" in row.types and not row.types["bias"].floating:
        span, exact = span.plus(range_of(row.types["bias"])), False
    return _checked(row, "accumulator", span, WEIGHTS if exact else FAN_IN)


def _offset(bias: Values, outputs: int) -> Range:
    """Known biases beside `outputs` sums, the channel running fastest."""
    fraction = fraction_bits(bias)
    if bias.size == 2 * outputs:
        bias = bias.reshape(2, outputs).sum(axis=0)  # a GRU adds one to each of its two products
    if outputs % bias.size:
        return _ranged(float(bias.min()), float(bias.max()), fraction)
    value = np.tile(bias.reshape(-1), outputs // bias.size)
    return Range(value, value, fraction)


def _checked(row: Row, name: str, span: Range, source: str) -> AccumulatorCheck:
    given = as_fixed(row.types[name])
    product = row.types.get("multiplier", given)
    # of ternary and binary products QTools counts the sign among the integer bits
    integer = given.bits - given.signed if product.mode in (BINARY, TERNARY) else given.integer
    bits, whole, signed = needed(span)
    return AccumulatorCheck(
        name=row.name, class_name=row.class_name, sum=name, source=source, given_bits=given.bits,
        given_integer=integer, given_signed=given.signed, needed_bits=bits, needed_integer=whole,
        needed_signed=signed, low=float(span.low.min()), high=float(span.high.max()))
