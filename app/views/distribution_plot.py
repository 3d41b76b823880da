"""Histogram of one tensor, logarithmic, with the values its quantizer can represent as a comb under it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QLabel, QWidget

from app import theme
from app.models.distribution import Distribution, distribution
from app.session import Session
from app.views.plot_base import LogAxis, Plot
from app.views.plot_export import Table
from core.errors import QuantiscopeError
from core.quant.recipe import OUTPUT

EMPTY = "Select a quantizer in the table to see the values it has to represent."
RECORDING = "Running the float model on validation events to see these values\u2026"
NOT_RECORDED = "The values of this tensor could not be recorded: see the errors."

#: foot of the bars on the logarithmic axis, below one weight; the comb of values hangs from it
FOOT = -0.3
COMB = -0.65
#: height of the plot against that of the highest bar
HEADROOM = 1.3


class CountAxis(LogAxis):
    """A logarithmic axis that begins at one."""

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """The ticks from one on."""
        levels = super().tickValues(minVal, maxVal, size)
        return [(spacing, [value for value in values if value >= 0]) for spacing, values in levels]


class DistributionPlot(Plot):
    """Follows the quantizer of one parameter or output of one layer: call `show_quantizer`."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("distribution_plot", "Values", {"left": CountAxis("left")}, parent)
        self._session = session
        self._shown: tuple[str, str] | None = None
        self._distribution: Distribution | None = None
        self._kept: tuple[NDArray[Any], str | None, str, Distribution] | None = None
        self._bars = pg.BarGraphItem(x=[], y0=[], height=[], width=1)
        self._grid = pg.PlotCurveItem(connect="pairs")
        self._range = pg.LinearRegionItem(movable=False)
        self._range.setZValue(-10)
        for entry in (self._range, self._bars, self._grid):
            self.item.addItem(entry)
        self.legend.setColumnCount(2)  # one line, in the room that is left above the bars
        self.legend.anchor((1, 0), (1, 0), offset=(-4, 2))
        self.summary = QLabel("", self, objectName="distribution_summary", wordWrap=True)
        theme.set_role(self.summary, "muted")
        self.layout().addWidget(self.summary)
        self.failed.connect(session.errorRaised)
        session.projectChanged.connect(self._on_project)
        session.recipeChanged.connect(self.redraw)
        session.analysis.recordedChanged.connect(self._on_recorded)
        self.apply_theme()
        self._on_project()

    def show_all(self) -> None:
        """All values, as much of the range as they can be told apart in, and room for the legend above."""
        super().show_all()
        found = self._distribution
        if found is not None:
            top = float(np.log10(max(found.counts.max(), 10)))
            span = max(found.maximum - found.minimum, 1e-9)
            ends = (found.edges[0], found.edges[-1]) if found.low is None or found.high is None else (
                min(found.minimum, max(found.low, found.minimum - span)),
                max(found.maximum, min(found.high, found.maximum + span)))
            self.item.setXRange(*ends, padding=0.05)
            self.item.setYRange(COMB, top * HEADROOM, padding=0.02)

    def show_quantizer(self, layer: str, parameter: str) -> None:
        """Show this parameter of this layer from now on; an empty layer shows none."""
        self._shown = (layer, parameter) if layer else None
        self.redraw()
        self.show_all()

    @property
    def _noun(self) -> str:
        """What the values are of: their axis and their number."""
        return "value" if self._shown is not None and self._is_recorded(*self._shown) else "weight"

    def _is_recorded(self, layer: str, parameter: str) -> bool:
        """True for what only exists while the model runs."""
        info = self._session.info
        found = info.find(layer) if info is not None else None
        return found is not None and found.weight(parameter) is None

    def _on_project(self) -> None:
        """Begin with the first weight that can be quantized."""
        info = self._session.info
        weights = ((layer.name, parameter) for layer in (info.layers if info is not None else ())
                   for parameter in layer.quantizable if parameter != OUTPUT)
        self.show_quantizer(*next(weights, ("", "")))

    def _on_recorded(self) -> None:
        self.redraw()
        self.show_all()

    def redraw(self) -> None:
        """Draw the tensor with the quantizer it has now."""
        found, why = self._find()
        self._distribution = found
        name = " of ".join(reversed(self._shown)) if self._shown else ""
        self.title.setText(f"Values: {name}" if name else "Values")
        self.item.setLabel("bottom", f"Value of the {self._noun}" if self._noun == "weight" else "Value")
        self.item.setLabel("left", f"{self._noun.capitalize()}s in a bin")
        self.show_empty(why)
        self.summary.setText(_summary(found, self._noun, self._events) if found else "")
        self.summary.setVisible(found is not None)
        self._draw(found)

    @property
    def _events(self) -> int:
        """Events the values were recorded on; 0 for weights."""
        recorded = self._session.analysis.recorded
        return recorded.events if recorded is not None and self._noun == "value" else 0

    def _find(self) -> tuple[Distribution | None, str]:
        session = self._session
        if self._shown is None or session.project is None:
            return None, EMPTY
        layer, parameter = self._shown
        try:
            if self._is_recorded(layer, parameter):
                recorded = session.analysis.recorded
                values = recorded.values.get((layer, parameter)) if recorded is not None else None
                if values is None:
                    return None, RECORDING if session.analysis.recording else NOT_RECORDED
            else:
                values = session.analysis.weights.get(layer, {}).get(parameter)
                if values is None:
                    return None, f"{layer} has no {parameter}."
            return self._of(values, session.quantizer(layer, parameter), parameter), ""
        except QuantiscopeError as error:
            return None, str(error)

    def _of(self, values: NDArray[Any], quantizer: str | None, parameter: str) -> Distribution:
        """The one worked out last is kept: opening a project asks for it twice."""
        if self._kept is None or self._kept[0] is not values or self._kept[1:3] != (quantizer, parameter):
            self._kept = values, quantizer, parameter, distribution(values, quantizer, parameter)
        return self._kept[3]

    def _draw(self, found: Distribution | None) -> None:
        colours = theme.tokens()
        self.legend.clear()
        self.legend.setVisible(found is not None)
        for entry in (self._bars, self._grid, self._range):
            entry.setVisible(found is not None)
        if found is None:
            self._bars.setOpts(x=[], y0=[], height=[], width=1)
            self._grid.setData([], [])
            return
        width = float(found.edges[1] - found.edges[0])
        filled = found.counts > 0
        middle = (found.edges[:-1] + found.edges[1:])[filled] / 2
        self._bars.setOpts(x=middle, y0=np.full(middle.size, FOOT), height=np.log10(found.counts[filled]) - FOOT,
                           width=width, brush=pg.mkBrush(colours.series[0]), pen=pg.mkPen(colours.series[0]))
        self.legend.addItem(self._bars, f"{self._noun}s")
        quantized = found.low is not None
        self._range.setVisible(quantized)
        self._grid.setVisible(found.grid is not None)
        if not quantized:
            return
        self._range.setRegion((found.low, found.high))
        self._range.setBrush(pg.mkBrush(f"{colours.series[2]}28"))
        for line in self._range.lines:
            line.setPen(self.pen(colours.series[2], 1, Qt.PenStyle.DashLine))
        marks = found.grid if found.grid is not None else np.zeros(0)
        self._grid.setData(np.repeat(marks, 2), np.tile([COMB, FOOT], len(marks)))
        self._grid.setPen(self.pen(colours.series[1], 1))
        if found.grid is not None:
            self.legend.addItem(self._grid, "representable values")

    def readout(self, at: QPointF) -> str:
        """The bin under the pointer."""
        found = self._distribution
        if found is None or not found.edges[0] <= at.x() < found.edges[-1]:
            return ""
        row = int(np.searchsorted(found.edges, at.x(), side="right")) - 1
        return f"{found.edges[row]:.4g} to {found.edges[row + 1]:.4g}: {found.counts[row]} {self._noun}s"

    def table(self) -> Table:
        """One row a bin."""
        found = self._distribution
        rows = [] if found is None else [(float(a), float(b), int(n)) for a, b, n in
                                         zip(found.edges[:-1], found.edges[1:], found.counts, strict=True)]
        return Table(("from", "to", f"{self._noun}s"), tuple(rows))


def _summary(found: Distribution, noun: str, events: int) -> str:
    """What the quantizer does to the values, in one line."""
    where = f" on {events} events" if events else ""
    some = f" of {found.of}" if found.of > found.values else ""
    parts = [f"{found.values}{some} {noun}s{where} from {found.minimum:.3g} to {found.maximum:.3g}"]
    if found.low is not None:
        used = f"{found.levels} different values" + (f" of {found.representable}" if found.representable else "")
        parts += [f"{found.quantizer}: {used}, {found.low:.4g} to {found.high:.4g}"]
        if found.clipped is not None:
            parts.append(f"{found.clipped} saturate ({100 * found.clipped / found.values:.1f} %)")
        parts += [f"{found.zeroed} underflow to zero ({100 * found.zeroed / found.values:.1f} %)",
                  f"rms change {found.error:.3g}"]
    return "; ".join(parts) + "."
