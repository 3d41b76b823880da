"""Accuracy against a cost: every candidate, the front among them, the float model and the recipe being edited."""

from __future__ import annotations

import time

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QGraphicsItem, QToolTip, QWidget

from app import theme
from app.models.front_model import COSTS, QUALITIES, FrontModel, published_points
from app.session import Session
from app.views.plot_base import LogAxis, Plot
from app.views.plot_export import Table
from core.candidate import Candidate

#: new candidates are drawn together, this often
LIVE_MS = 50
#: those drawn apart from the cached bulk before it is made anew, and how often that may be
LIVE_POINTS = 200
BULK_S = 0.5
#: pixels around the pointer within which a point is meant
REACH = 10.0
EMPTY = "No candidate yet.\nStart a search, or train the recipe, and points appear here while it runs."
STEPS = {Qt.Key.Key_Right: 1, Qt.Key.Key_Up: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Down: -1,
         Qt.Key.Key_End: 10**6, Qt.Key.Key_Home: -(10**6)}


class ParetoPlot(Plot):
    """Click a point, or walk along the front with the arrow keys, to select a candidate."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("pareto_plot", "Pareto front", {"bottom": LogAxis("bottom")}, parent)
        self._session = session
        self.points = FrontModel()
        self._queue: list[Candidate] = []
        self._in_bulk = 0
        self._bulk_at = 0.0
        self._legend_entries: list[tuple[str, str]] | None = None
        self._make_controls()
        self._make_items()
        self._timer = QTimer(self, objectName="pareto_timer", interval=LIVE_MS, singleShot=True)
        self._timer.timeout.connect(self._on_timer)
        self.widget.installEventFilter(self)
        self.widget.scene().sigMouseClicked.connect(self._on_clicked)
        self.failed.connect(session.errorRaised)
        session.projectChanged.connect(self._on_project)
        session.candidateAdded.connect(self._on_candidate)
        session.selectionChanged.connect(self._draw_selection)
        session.costsChanged.connect(self._draw_references)
        session.evaluationChanged.connect(self._draw_references)
        self.apply_theme()
        self._on_project()

    def _make_controls(self) -> None:
        self.quality = QComboBox(self, objectName="pareto_quality", toolTip="What the vertical axis shows")
        self.quality.setAccessibleName("Quality on the vertical axis")
        for quality in QUALITIES.values():
            self.quality.addItem(quality.label, quality.key)
        self.cost = QComboBox(self, objectName="pareto_cost", toolTip="What the horizontal axis shows")
        self.cost.setAccessibleName("Cost on the horizontal axis")
        for cost in COSTS.values():
            self.cost.addItem(cost.label, cost.key)
        self.published = QCheckBox("Published", self, objectName="pareto_published")
        self.published.setToolTip("Show the networks of the literature with the accuracy printed there,"
                                  " priced by the same model")
        for place, widget in enumerate((self.quality, self.cost, self.published), start=2):
            self.head.insertWidget(place, widget)
        self.quality.currentIndexChanged.connect(self._on_axes)
        self.cost.currentIndexChanged.connect(self._on_axes)
        self.published.toggled.connect(self._draw_references)

    def _make_items(self) -> None:
        self._line = pg.PlotCurveItem()
        self._bulk, self._live = pg.ScatterPlotItem(pxMode=True), pg.ScatterPlotItem(pxMode=True)
        self._bulk.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self._bulk_proxies = pg.ScatterPlotItem(pxMode=True)
        self._recipe = pg.ScatterPlotItem(symbol="d", size=14)
        self._papers = pg.ScatterPlotItem(symbol="s", size=9)
        self._float = pg.InfiniteLine(angle=0)
        # a line without end is not counted when the range is chosen; this unseen point is
        self._float_anchor = pg.ScatterPlotItem(size=1, pen=None, brush=None)
        self._chosen = pg.ScatterPlotItem(symbol="o", size=17)
        self._names: list[pg.TextItem] = []
        for entry in (self._float, self._float_anchor, self._line, self._bulk_proxies, self._bulk, self._live,
                      self._papers, self._recipe, self._chosen):
            self.item.addItem(entry)
        self._float_label = pg.InfLineLabel(self._float, "", position=0.03, anchors=[(0, 1), (0, 1)])
        self._key = {"front": pg.PlotCurveItem(), "trained": pg.ScatterPlotItem(symbol="o"),
                     "proxy": pg.ScatterPlotItem(symbol="o"), "chosen": pg.ScatterPlotItem(symbol="o"),
                     "recipe": pg.ScatterPlotItem(symbol="d"), "papers": pg.ScatterPlotItem(symbol="s")}

    # -- following the session ---------------------------------------------------------------------

    def _on_project(self) -> None:
        self._queue.clear()
        self._on_axes()
        self.show_all()

    def _on_axes(self) -> None:
        self.points.set_axes(self.cost.currentData(), self.quality.currentData(), self._session.candidates.values())
        self._queue.clear()
        self.redraw()
        self.show_all()

    def _on_candidate(self, candidate: Candidate) -> None:
        self._queue.append(candidate)
        if not self._timer.isActive():
            self._timer.start()

    def _on_timer(self) -> None:
        """Take in what has come since the last time."""
        queue, self._queue = self._queue, []
        for candidate in queue:
            self.points.add(candidate)
        waiting = len(self.points) - self._in_bulk
        if waiting > LIVE_POINTS and time.monotonic() - self._bulk_at >= BULK_S:
            self._draw_bulk()
        self._draw_live()
        self._draw_front()
        self._draw_selection()
        self._show_text()

    # -- drawing -----------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw everything anew."""
        self._legend_entries = None  # its labels keep the colours they were made with
        self.item.setLabel("bottom", self.points.cost.label)
        self.item.setLabel("left", self.points.quality.label)
        self._paint_items()
        self._draw_bulk()
        self._draw_live()
        self._draw_front()
        self._draw_references()
        self._draw_selection()

    def _paint_items(self) -> None:
        colours = theme.tokens()
        edge, ink = pg.mkPen(colours.plot_background), pg.mkPen(colours.plot_foreground, width=2)
        dots = pg.mkBrush(colours.series[0])
        for item, look in ((self._bulk, (8, edge, dots)), (self._live, (8, edge, dots)),
                           (self._key["trained"], (8, edge, dots)),
                           (self._bulk_proxies, (7, pg.mkPen(colours.series[6]), None)),
                           (self._key["proxy"], (7, pg.mkPen(colours.series[6]), None)),
                           (self._recipe, (14, edge, pg.mkBrush(colours.series[2]))),
                           (self._key["recipe"], (12, edge, pg.mkBrush(colours.series[2]))),
                           (self._papers, (9, edge, pg.mkBrush(colours.series[3]))),
                           (self._key["papers"], (9, edge, pg.mkBrush(colours.series[3]))),
                           (self._chosen, (17, ink, None)), (self._key["chosen"], (13, ink, None))):
            item.setSize(look[0])
            item.setPen(look[1])
            item.setBrush(look[2])
        for line in (self._line, self._key["front"]):
            line.setPen(self.pen(colours.series[1], 2))
        self._float.setPen(self.pen(colours.plot_foreground, 1, Qt.PenStyle.DashLine))
        self._float_label.setColor(colours.plot_foreground)

    def _draw_bulk(self) -> None:
        points = self.points
        trained = np.asarray(points.trained, dtype=bool)
        x, y = np.asarray(points.x), np.asarray(points.y)
        self._bulk.setData(x=x[trained], y=y[trained])
        self._bulk_proxies.setData(x=x[~trained], y=y[~trained])
        self._in_bulk = len(points)
        self._bulk_at = time.monotonic()

    def _draw_live(self) -> None:
        points, begin = self.points, self._in_bulk
        if not all(points.trained[begin:]):
            self._draw_bulk()
            begin = self._in_bulk
        self._live.setData(x=points.x[begin:], y=points.y[begin:])

    def _draw_front(self) -> None:
        self._line.setData(*self.points.staircase())

    def _draw_selection(self) -> None:
        place = self.points.where(self._session.selected_id)
        self._chosen.setData(pos=[place] if place else [])
        self._show_text()

    def _draw_references(self) -> None:
        session, quality = self._session, self.points.quality
        costs = session.report.costs if session.report is not None else None
        place = self.points.place(costs, session.evaluation)
        self._recipe.setData(pos=[place] if place else [])
        best = quality.value(session.float_evaluation) if session.float_evaluation is not None else None
        self._float.setVisible(best is not None)
        if best is not None:
            self._float.setValue(best * quality.scale)
            self._float_label.setFormat(f"float model: {best * quality.scale:.4g}")
        here = self.points.x[:1] or ([place[0]] if place else [])
        self._float_anchor.setData(pos=[(x, best * quality.scale) for x in here] if best is not None else [])
        self._draw_papers()
        self._show_text()

    def _draw_papers(self) -> None:
        for name in self._names:
            self.item.removeItem(name)
        shown = self.points.published() if self.published.isChecked() else []
        self._papers.setData(pos=[(x, y) for _, x, y in shown])
        self._names = []
        for point, x, y in shown:
            name = pg.TextItem(point.name, color=theme.tokens().plot_foreground, anchor=(0.5, 1.2))
            name.setPos(x, y)
            self.item.addItem(name, ignoreBounds=True)
            self._names.append(name)

    def _show_text(self) -> None:
        """Legend entries for what is drawn, and why where nothing is."""
        points = self.points
        trained = sum(points.trained)
        papers = ", ".join(p.name for p in published_points()) if len(self._papers.data) else ""
        entries = (("front", "Pareto front", trained > 0), ("trained", "Candidates, trained", trained > 0),
                   ("proxy", "Candidates, not trained", trained < len(points)),
                   ("chosen", f"Selected: {self._session.selected_id}", len(self._chosen.data) > 0),
                   ("recipe", "Recipe being edited, not trained", len(self._recipe.data) > 0),
                   ("papers", f"Published {papers} (Nat. Mach. Intell. 3, 675)", bool(papers)))
        wanted = [(key, text) for key, text, there in entries if there]
        if wanted != self._legend_entries:
            self._legend_entries = wanted
            self.legend.clear()
            for key, text in wanted:
                marker = self._key[key]
                self.legend.addItem(marker, text)
        self.legend.setVisible(bool(wanted))
        self.show_empty("" if len(points) or len(self._recipe.data) else EMPTY)

    # -- choosing ----------------------------------------------------------------------------------

    def candidate_at(self, at: QPointF) -> str | None:
        """The candidate drawn nearest to a place of the plot, if one is within reach."""
        if not len(self.points):
            return None
        width, height = self.box.viewPixelSize()
        distance = np.hypot((np.asarray(self.points.x) - at.x()) / width, (np.asarray(self.points.y) - at.y()) / height)
        nearest = int(distance.argmin())
        return self.points.ids[nearest] if distance[nearest] <= REACH else None

    def readout(self, at: QPointF) -> str:
        """The candidate under the pointer, its recipe in a tool tip; else the place itself."""
        found = self.candidate_at(at)
        if found is None:
            QToolTip.hideText()
            cost = self.points.cost
            return f"{10 ** at.x():.4g} {cost.unit}, {at.y():.4g}" if len(self.points) else ""
        candidate = self._session.candidates[found]
        place = self.widget.mapToGlobal(self.widget.mapFromScene(self.box.mapViewToScene(at)))
        QToolTip.showText(place, _tip(candidate), self.widget)
        return f"{candidate.id}: accuracy {100 * candidate.evaluation.accuracy:.2f} %," \
               f" {candidate.costs.energy_pj:.0f} pJ, {candidate.costs.parameter_bits} bits"

    def _on_clicked(self, event: object) -> None:
        if event.button() != Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            return
        found = self.candidate_at(self.box.mapSceneToView(event.scenePos()))  # type: ignore[attr-defined]
        if found is not None:
            self._session.select_candidate(found)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys walk along the front; the canvas would eat them."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and watched is self.widget:
            step = STEPS.get(Qt.Key(event.key()))
            found = self.points.neighbour(self._session.selected_id, step) if step else None
            if found is not None:
                self._session.select_candidate(found)
                return True
        return super().eventFilter(watched, event)

    def table(self) -> Table:
        """One row a candidate, true values."""
        front, known = set(self.points.front), self._session.candidates
        rows = [(c.id, c.evaluation.kind, c.evaluation.accuracy, c.costs.energy_pj, c.costs.parameter_bits,
                 c.costs.activation_bits, c.costs.ebops, c.id in front) for c in (known[i] for i in self.points.ids)]
        return Table(("candidate", "evaluation", "accuracy", "energy_pj", "parameter_bits", "activation_bits", "ebops",
                      "on_front"), tuple(rows))


def _tip(candidate: Candidate) -> str:
    costs = candidate.costs
    lines = [f"{candidate.id} ({candidate.evaluation.kind}, {candidate.method})",
             f"accuracy {100 * candidate.evaluation.accuracy:.2f} %, {costs.energy_pj:.0f} pJ,"
             f" {costs.parameter_bits} parameter bits"]
    lines += [f"{layer}: " + ", ".join(f"{parameter} {text}" for parameter, text in entry.quantizers.items())
              for layer, entry in candidate.recipe.layers.items() if entry.quantizers]
    return "\n".join(lines)
