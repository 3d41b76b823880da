"""Accuracy against a cost: every candidate, the front among them, the float model and the recipe being edited."""

from __future__ import annotations

import math
from collections.abc import Callable

import pyqtgraph as pg
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QComboBox, QGraphicsItem, QWidget

from app import theme
from app.session import Session
from app.views.plot_base import LogAxis, Plot, Table
from core.candidate import Candidate, Costs
from core.search.front import candidate_front

#: what can stand on the cost axis: key -> (label with unit, value of Costs)
COSTS: dict[str, tuple[str, Callable[[Costs], float | None]]] = {
    "energy_pj": ("Energy per inference (pJ, 45 nm)", lambda c: c.energy_pj),
    "parameter_bits": ("Parameter bits", lambda c: c.parameter_bits),
    "activation_bits": ("Activation bits", lambda c: c.activation_bits),
    "ebops": ("EBOPs", lambda c: c.ebops),
}
#: new candidates are drawn together, this often
LIVE_MS = 50
EMPTY = "No candidate yet.\nStart a search, or train the recipe, and points appear here while it runs."


class ParetoPlot(Plot):
    """Click a point, or walk along the front with the arrow keys, to select a candidate."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("pareto_plot", "Accuracy against cost", {"bottom": LogAxis("bottom")}, parent)
        self._session = session
        self._points: list[tuple[float, float, Candidate]] = []
        self._front: list[Candidate] = []
        self._dirty = True
        self._cost_box = QComboBox(self, objectName="pareto_cost", toolTip="What the horizontal axis shows")
        self._cost_box.setAccessibleName("Cost on the horizontal axis")
        for key, (label, _) in COSTS.items():
            self._cost_box.addItem(label, key)
        self.head.insertWidget(2, self._cost_box)
        self.item.setLabel("left", "Accuracy")
        self._make_items()
        self.widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFocusProxy(self.widget)
        self.widget.keyPressEvent = self._on_key  # type: ignore[method-assign]  # pyqtgraph's view would eat arrows
        self._timer = QTimer(self, objectName="pareto_timer", interval=LIVE_MS)
        self._timer.timeout.connect(self._on_timer)
        self._timer.start()
        self._cost_box.currentIndexChanged.connect(self._mark_dirty)
        for signal in (session.projectChanged, session.candidateAdded, session.selectionChanged,
                       session.costsChanged, session.evaluationChanged):
            signal.connect(self._mark_dirty)
        self.apply_theme()
        self.redraw()

    # -- drawing -----------------------------------------------------------------------------------

    def _make_items(self) -> None:
        self._line = pg.PlotCurveItem(name="Pareto front")
        self._scatter = pg.ScatterPlotItem(name="Candidates (trained)", pxMode=True, hoverable=True, tip=self._tip,
                                           hoverSize=12)
        self._scatter.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self._proxies = pg.ScatterPlotItem(pxMode=True, hoverable=True, tip=self._tip)
        self._recipe = pg.ScatterPlotItem(name="Recipe being edited (not trained)", symbol="d", size=13)
        self._float = pg.InfiniteLine(angle=0)
        self._chosen = pg.ScatterPlotItem(name="Selected", symbol="o", size=18)
        for entry in (self._float, self._line, self._proxies, self._scatter, self._recipe, self._chosen):
            self.item.addItem(entry)
        self._float_label = pg.InfLineLabel(self._float, "", position=0.03, anchors=[(0, 1), (0, 1)])
        self._scatter.sigClicked.connect(self._on_clicked)
        self._proxies.sigClicked.connect(self._on_clicked)

    def _mark_dirty(self, *_: object) -> None:
        self._dirty = True

    def _on_timer(self) -> None:
        if self._dirty and self.isVisible():
            self.redraw()

    def redraw(self) -> None:
        """Draw what the session holds now."""
        self._dirty = False
        label, value = COSTS[self._cost_box.currentData()]
        self.item.setLabel("bottom", label)
        self._points = []
        for candidate in self._session.candidates.values():
            cost = value(candidate.costs)
            if cost and cost > 0:
                self._points.append((math.log10(cost), candidate.evaluation.accuracy, candidate))
        trained = [p for p in self._points if p[2].evaluation.kind == "trained"]
        self._draw_candidates(trained, [p for p in self._points if p[2].evaluation.kind != "trained"])
        self._draw_references(value)
        self.show_empty("" if self._points or len(self._recipe.data) else EMPTY)

    def _draw_candidates(self, trained: list[tuple[float, float, Candidate]],
                         others: list[tuple[float, float, Candidate]]) -> None:
        colours = theme.tokens()
        self._scatter.setData(x=[p[0] for p in trained], y=[p[1] for p in trained], data=[p[2].id for p in trained],
                              size=8, pen=pg.mkPen(colours.plot_background), brush=pg.mkBrush(colours.series[0]))
        self._proxies.setData(x=[p[0] for p in others], y=[p[1] for p in others], data=[p[2].id for p in others],
                              size=7, pen=pg.mkPen(colours.series[6]), brush=None)
        self._front = candidate_front([p[2] for p in trained], self._cost_box.currentData())[::-1]
        places = {p[2].id: (p[0], p[1]) for p in trained}
        self._line.setData(*_steps([places[c.id] for c in self._front if c.id in places]))
        self._line.setPen(self.pen(colours.series[1], 2))

    def _draw_references(self, value: Callable[[Costs], float | None]) -> None:
        colours, session = theme.tokens(), self._session
        report, evaluation = session.report, session.evaluation
        cost = value(report.costs) if report is not None else None
        here = [(math.log10(cost), evaluation.accuracy)] if cost and evaluation is not None else []
        self._recipe.setData(pos=here, brush=pg.mkBrush(colours.series[2]), pen=pg.mkPen(colours.plot_background))
        floats = session.float_evaluation
        self._float.setVisible(floats is not None)
        if floats is not None:
            self._float.setValue(floats.accuracy)
            self._float.setPen(self.pen(colours.plot_foreground, 1, Qt.PenStyle.DashLine))
            self._float_label.setFormat(f"float model {floats.accuracy:.4f}")
            self._float_label.setColor(colours.plot_foreground)
        chosen = [(p[0], p[1]) for p in self._points if p[2].id == session.selected_id]
        self._chosen.setData(pos=chosen, brush=None, pen=pg.mkPen(colours.danger, width=2))

    # -- choosing ----------------------------------------------------------------------------------

    def _on_clicked(self, _: object, points: list[object]) -> None:
        if len(points):
            self._session.select_candidate(points[0].data())  # type: ignore[attr-defined]

    def _on_key(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Right: 1, Qt.Key.Key_Up: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Down: -1}.get(event.key())
        if step is None or not self._front:
            event.ignore()
            return
        ids = [candidate.id for candidate in self._front]
        here = ids.index(self._session.selected_id) + step if self._session.selected_id in ids else 0
        self._session.select_candidate(ids[min(max(here, 0), len(ids) - 1)])

    def _tip(self, x: float, y: float, data: str) -> str:
        candidate = self._session.candidates.get(data)
        if candidate is None:
            return ""
        costs = candidate.costs
        lines = [f"{candidate.id}  ({candidate.evaluation.kind})", f"accuracy {candidate.evaluation.accuracy:.4f}",
                 f"{costs.energy_pj:.0f} pJ, {costs.parameter_bits} parameter bits"]
        lines += [f"{layer}: " + ", ".join(entry.quantizers.values())
                  for layer, entry in candidate.recipe.layers.items() if entry.quantizers]
        return "\n".join(lines)

    def table(self) -> Table:
        """One row a candidate, true values."""
        front = {candidate.id for candidate in self._front}
        rows = [(c.id, c.evaluation.kind, c.evaluation.accuracy, c.costs.energy_pj, c.costs.parameter_bits,
                 c.costs.activation_bits, c.costs.ebops, c.id in front) for _, _, c in self._points]
        return Table(("candidate", "evaluation", "accuracy", "energy_pj", "parameter_bits", "activation_bits", "ebops",
                      "on_front"), tuple(rows))


def _steps(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The staircase below which nothing better is known."""
    x: list[float] = []
    y: list[float] = []
    for number, (px, py) in enumerate(points):
        if number:
            x.append(px)
            y.append(y[-1])
        x.append(px)
        y.append(py)
    return x, y
