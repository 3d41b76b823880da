"""Integer bits from data: for a kind and a width, those that lose least of what the float model really computes.

The criterion is the mean squared difference between a tensor and its quantized self. It chooses by the
width: at few bits it trades rare large values for resolution. numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from core.quant import quantizer
from core.quant.spec import QuantizerSpec, in_force

#: how many integer widths below the one that holds the largest value are tried
DEPTH = 7
#: values of one tensor that are looked at
SAMPLE = 20_000
LOWEST, HIGHEST = -8, 16


class Calibration:
    """Chooses integer bits from samples of what each quantizer will see.

    Args:
        samples: by (layer, parameter): weight values, or, for "output", the float layer's outputs on
            some training events; any shape.
    """

    def __init__(self, samples: Mapping[tuple[str, str], np.ndarray]) -> None:
        self._samples = {key: _thinned(values) for key, values in samples.items()}
        self._known: dict[tuple[str, str, QuantizerSpec], int] = {}

    def integer(self, layer: str, parameter: str, spec: QuantizerSpec) -> int:
        """Integer bits for `spec` at one place; its own where there is no sample or the kind has none."""
        key = (layer, parameter, spec)
        if key not in self._known:
            self._known[key] = self._best(layer, parameter, spec)
        return self._known[key]

    def _best(self, layer: str, parameter: str, spec: QuantizerSpec) -> int:
        values = self._samples.get((layer, parameter))
        if "integer" not in spec.arguments:
            return 0
        applied = in_force(spec, parameter)
        # a data-dependent scale already fits the range
        if values is None or not values.size or isinstance(applied.get("alpha"), str):
            return int(spec["integer"])
        largest = float(np.abs(values).max())
        top = math.ceil(math.log2(largest)) if largest > 0 else 0
        tried = range(max(top - DEPTH, LOWEST), min(max(top, LOWEST), HIGHEST) + 1)
        losses = {integer: _loss(values, applied.replace(integer=integer)) for integer in tried}
        return min(losses, key=lambda integer: losses[integer])


def _loss(values: np.ndarray, spec: QuantizerSpec) -> float:
    return float(np.mean(np.square(np.asarray(quantizer(spec)(values)) - values)))


def _thinned(values: np.ndarray) -> np.ndarray:
    """At most SAMPLE values, evenly spaced, and always the largest, so that the range is kept."""
    flat = np.asarray(values, dtype=np.float32).ravel()
    flat = flat[np.isfinite(flat)]
    if flat.size <= SAMPLE:
        return flat
    kept = flat[:: math.ceil(flat.size / SAMPLE)]
    return np.append(kept, flat[np.argmax(np.abs(flat))])
