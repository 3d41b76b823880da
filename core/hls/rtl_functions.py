"""Any function of one fixed-point value as logic, exactly: a table where that is small, else comparisons.

The function is evaluated on every value its input can take, so nothing is assumed of it but that. Beyond the values
at which it changes the input is cut off; bits that never decide are replaced by one that tells whether any is set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ExportError
from core.hls.rtl_steps import constant, is_constant

#: an input that can take more values than 2 ** this is not evaluated
MOST_BITS = 21
#: tables of so many bits at the input at most; larger ones would outgrow comparisons
TABLE_BITS = 10
#: so many comparisons at most; above, tables of up to LARGE_BITS are made
MOST_STEPS = 160
LARGE_BITS = 14
#: alkaid holds the values of a table as 32-bit integers
_VALUE_BITS = 31
_REMEDY = "Give the layer before it, or its own output, a quantized_bits of fewer bits"

Values = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Form:
    """A function on its input's values from `low` to `high` in `step`, all that it takes to build it.

    Values `xs` ascend; `ys` are the function's. `dropped` low bits are held in one; `sticky` tells whether that one
    bit matters.
    """

    xs: np.ndarray
    ys: np.ndarray
    dropped: int
    sticky: bool


def looked_up(element: Any, function: Values, key: object, known: dict[object, Any], name: str) -> Any:
    """One value of alkaid's through a function.

    Args:
        key: what tells the function from others.
        known: forms already found, by function and range; extended here.
        name: of the layer, for messages.

    Raises:
        ExportError: the input takes too many values, or the results are no fixed-point numbers.
    """
    if is_constant(element):
        return constant(float(_results(function, np.array([element.low]), name)[0]), element)
    place = (key, element.low, element.high, element.step)
    if place not in known:
        known[place] = form_of(function, *place[1:], name)
    form = known[place]
    if len(form.xs) == 1:
        return constant(float(form.ys[0]), element)
    return _built(element.max_of(float(form.xs[0])).min_of(float(form.xs[-1])), form, name)


def form_of(function: Values, low: float, high: float, step: float, name: str) -> Form:
    count = round((high - low) / step) + 1
    if count > 2**MOST_BITS:
        raise ExportError(f"the values at the end of layer {name!r} have more than {MOST_BITS} bits to be looked up",
                          remedy=_REMEDY)
    xs = low + step * np.arange(count)
    ys = _results(function, xs, name)
    changes = np.flatnonzero(np.diff(ys))
    if not len(changes):
        return Form(xs[:1], ys[:1], 0, False)
    kept = slice(int(changes[0]), int(changes[-1]) + 2)
    whole = np.rint(xs / step).astype(np.int64)
    dropped = int(min(_twos(np.stack([whole[changes], whole[changes + 1]])).max(axis=0)))
    behind = (whole[changes] % 2**dropped == 0).any() and dropped > 0
    return Form(xs[kept], ys[kept], dropped, bool(behind))


def _results(function: Values, xs: np.ndarray, name: str) -> np.ndarray:
    """The function's values; ExportError unless all are multiples of one power of two, within 31 bits."""
    ys = np.asarray(function(xs), dtype=np.float64).reshape(xs.shape) + 0.0
    if not np.isfinite(ys).all():
        raise ExportError(f"the end of layer {name!r} gives values that are not finite", remedy=_REMEDY)
    top = np.abs(ys).max()
    if top == 0:
        return ys
    scaled = ys * 2.0 ** (_VALUE_BITS - 1 - np.floor(np.log2(top)))
    if (scaled != np.rint(scaled)).any():
        raise ExportError(f"the values at the end of layer {name!r} have no exact fixed-point form",
                          "they are not multiples of one power of two within 31 bits",
                          "Give its output quantized_bits with alpha=1, quantized_relu, quantized_tanh or"
                          " quantized_sigmoid")
    return ys


def _twos(whole: np.ndarray) -> np.ndarray:
    """How often 2 divides each integer; 62 for 0."""
    lowest = np.where(whole == 0, 2**62, whole & -whole)
    return np.log2(lowest.astype(np.float64)).astype(np.int64)


def _built(element: Any, form: Form, name: str) -> Any:
    """The logic on an element that is cut off to the form's values."""
    step = element.step
    cells = int(np.floor(form.xs[-1] / (step * 2**form.dropped)) - np.floor(form.xs[0] / (step * 2**form.dropped))) + 1
    entries = cells * (2 if form.sticky else 1)
    steps = int(np.count_nonzero(np.diff(form.ys)))
    direct = len(form.xs)
    if min(entries, direct) > 2**TABLE_BITS and steps <= MOST_STEPS:
        return _compared(element, form)
    if form.dropped and entries < direct and entries <= 2**LARGE_BITS:
        return _coarse_table(element, form)
    if direct <= 2**LARGE_BITS:
        return element.lookup(form.ys)
    raise ExportError(f"the function at the end of layer {name!r} needs a table of {min(entries, direct)} values",
                      f"more than {2**LARGE_BITS} are not built", _REMEDY)


def _coarse_table(element: Any, form: Form) -> Any:
    """A table addressed by the high bits and, where it matters, by whether any of the low ones is set."""
    step = element.step * 2**form.dropped
    signed, integer, fraction = (int(n) for n in element.kif)
    coarse = fraction - form.dropped
    upper = element.quantize(signed, integer, coarse) if signed + integer + coarse > 0 else None
    key, grain = upper, step
    if form.sticky:
        rest = element.quantize(0, -coarse, fraction)
        bit = rest.unary_bit_op("any") * (step / 2)
        key, grain = bit if upper is None else upper + bit, step / 2
    if key is None or is_constant(key):
        return constant(float(form.ys[0]), element)
    keys = key.low + grain * np.arange(round((key.high - key.low) / grain) + 1)
    cell = np.floor(keys / step)
    inside = np.where(keys == cell * step, cell * step, cell * step + element.step)
    place = np.rint((inside - form.xs[0]) / element.step).astype(np.int64)
    return key.lookup(form.ys[np.clip(place, 0, len(form.ys) - 1)])


def _compared(element: Any, form: Form) -> Any:
    """The lowest value and, at each change, the difference where the input has reached it."""
    total: Any = None
    for place in np.flatnonzero(np.diff(form.ys)):
        rise = float(form.ys[place + 1] - form.ys[place])
        reached = (element >= float(form.xs[place + 1])) * rise
        total = reached if total is None else total + reached
    return total + float(form.ys[0])
