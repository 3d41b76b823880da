"""How a quantizer's representable values lie among the values it has to represent; plain numbers, no widgets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.quant import Quantizer, quantizer
from core.quant.calibration import Reach
from core.quant.spec import in_force, parse

BINS = 80
#: values of one tensor that are looked at: more would make an edit wait
LOOKED_AT = 200_000
#: grids of more values than this are drawn as a band, not as lines
GRID_LINES = 300


@dataclass(frozen=True)
class Distribution:
    """A histogram of values with what a quantizer does to them.

    `values` of `of` were looked at; `edges` (n + 1) and `counts` (n) are the histogram; `grid` the representable
    values, None where they are too many to list; `low` and `high` the range of the quantized values; `levels` how
    many different ones there are, of `representable` (None where the scale is found from the values). `clipped`
    (None where a kind gives every value a code) and `zeroed` count values that saturate and values other than zero
    that become zero; `error` is the root mean square difference.
    """

    values: int
    edges: np.ndarray
    counts: np.ndarray
    minimum: float
    maximum: float
    of: int = 0
    quantizer: str = ""
    bits: float | None = None
    grid: np.ndarray | None = None
    low: float | None = None
    high: float | None = None
    levels: int = 0
    representable: int | None = None
    clipped: int | None = None
    zeroed: int = 0
    error: float = 0.0


def distribution(values: np.ndarray, text: str | None, parameter: str = "kernel") -> Distribution:
    """Histogram of `values` (any shape) and the effect of the quantizer string `text` on them (None: float).

    The quantizer is taken as it is in force: QKeras's alpha=None of a kernel is a scale found from the values.
    A stochastic kind is shown as it is at inference.

    Raises:
        QuantizerError: `text` is not a quantizer.
    """
    array = _thinned(np.asarray(values, dtype=np.float64))
    flat, total = array.ravel(), int(np.size(values))
    if not flat.size:
        return Distribution(0, np.zeros(2), np.zeros(1), 0.0, 0.0)
    if text is None:
        return Distribution(flat.size, *_histogram(flat, flat), float(flat.min()), float(flat.max()), total)
    made = quantizer(in_force(parse(text), parameter))
    result = np.asarray(made(array.astype(np.float32)), dtype=np.float64).ravel()
    scaled = made.spec.get("alpha") in ("auto", "auto_po2")
    grid = np.unique(result) if scaled else made.grid()
    shown = grid if grid is not None and len(grid) <= GRID_LINES else None
    low, high = _range(made, grid, result)
    count = None if scaled or grid is None else len(grid)
    return Distribution(flat.size, *_histogram(flat, result), float(flat.min()), float(flat.max()), total,
                        str(made.spec), made.bits, shown, low, high, int(np.unique(result).size), count,
                        _saturated(made, array), int(((result == 0) & (flat != 0)).sum()),
                        float(np.sqrt(np.mean((result - flat) ** 2))))


def _thinned(array: np.ndarray) -> np.ndarray:
    """The array, or evenly spaced rows of its last axis, the channels, where it is too large for an edit."""
    if array.size <= LOOKED_AT:
        return array
    rows = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array
    return rows[:: -(-array.size // LOOKED_AT)]


def _histogram(flat: np.ndarray, also: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = min(flat.min(), also.min()), max(flat.max(), also.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(flat, bins=BINS, range=(low, high))
    return edges, counts


def _range(made: Quantizer, grid: np.ndarray | None, result: np.ndarray) -> tuple[float, float]:
    """Smallest and largest value that can come out, as far as that is known beforehand."""
    fixed = made.fixed_point()
    if fixed is not None:
        return fixed.minimum, fixed.maximum
    ends = grid if grid is not None else result
    return float(ends.min()), float(ends.max())


def _saturated(made: Quantizer, values: np.ndarray) -> int | None:
    """How many values lie more than half a step beyond what the quantizer gives; None where it gives all a code."""
    reach = Reach.of(made)
    if reach is None:
        return None
    found = isinstance(made.spec.get("alpha"), str)
    scale = np.asarray(made.with_scale(values.astype(np.float32))[1]) if found else 1.0
    return int(((values > reach.above * scale) | (values < reach.below * scale)).sum())
