"""What a search scored without training it: figures to be drawn, never candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.models.measures import Measure
from core.events import ProxiesScored

#: as many as are kept; the oldest go first
MOST = 5000
#: measures whose stored value is that figure of a proxy
FIGURES = {"accuracy": "accuracy", "mean_auc": "mean_auc", "energy_pj": "energy_pj", "parameter_bits": "parameter_bits",
           "activation_bits": "activation_bits", "ebops": "ebops", "lut": "lut", "dsp": "dsp"}


class ProxyPoints:
    """Figures of proxies by name, one column each, on validation events."""

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {}

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), []))

    def clear(self) -> None:
        """Forget all of them."""
        self._columns.clear()

    def add(self, event: ProxiesScored) -> None:
        """Take some in; those of another goal take the place of what there was."""
        if set(event.figures) != set(self._columns):
            self._columns = {name: [] for name in event.figures}
        for name, values in event.figures.items():
            column = self._columns[name]
            column += values
            del column[:-MOST]

    def places(self, horizontal: Measure, vertical: Measure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where they are drawn on these axes; none where a measure is not known of them."""
        x, y = self._drawn(horizontal), self._drawn(vertical)
        if x is None or y is None:
            return np.empty(0), np.empty(0)
        there = np.isfinite(x) & np.isfinite(y)
        return x[there], y[there]

    def _drawn(self, measure: Measure) -> NDArray[np.float64] | None:
        column = "accuracy" if measure.key == "error" else FIGURES.get(measure.key, "")
        if column not in self._columns:
            return None
        values = np.asarray(self._columns[column], float)
        values = (1 - values if measure.key == "error" else values) * measure.scale
        if not measure.log:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log10(values)
