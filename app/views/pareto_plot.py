"""Any measure against any other: every candidate, the front among them, the float model, the recipe being edited."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QGraphicsItem, QLabel, QSizePolicy, QToolTip, QWidget

from app import theme
from app.inspection import compared_colour
from app.jobs.job import Job
from app.models.front_model import FrontModel, drawn, published_points
from app.models.measures import MEASURES, SYNTHESIZED, Known, Measure, for_metric, known_of, quality_text, syntheses
from app.models.proxies import ProxyPoints
from app.models.recipe_summary import recipe_lines
from app.session import Session
from app.views.front_items import BY_METHOD, BY_ORDER, UNIFORM, Key, Palette, PointLayer, Rings
from app.views.plot_base import Axis, LogAxis, Plot, true_value
from app.views.plot_export import Table
from core.candidate import Candidate
from core.events import ProxiesScored
from core.requests import Search

#: new candidates are drawn together, this often
LIVE_MS = 50
#: proxies come in hundreds and are drawn this often
PROXY_MS = 400
#: opacity of their outlines, in hex
PROXY_INK = "90"
#: pixels around the pointer within which a point is meant
REACH = 10.0
#: letters that the boxes of the axes have room for at least
BOX_LETTERS = 11
#: lines of a recipe that a tool tip shows
TIP_LINES = 12
PROXIES = "Proxies: scored, not trained"
PROXY_TIP = ("A recipe scored on validation events with weights that all recipes share.\n"
             "It was never trained, cannot be selected and is not on the front.")
EMPTY = "No candidate yet.\nStart a search, or train the recipe, and points appear here while it runs."
NO_SYNTHESIS = "No candidate has been synthesized yet.\nExport one, and it appears here."
STEPS = {Qt.Key.Key_Right: 1, Qt.Key.Key_Up: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Down: -1,
         Qt.Key.Key_End: 10**6, Qt.Key.Key_Home: -(10**6)}
COLOURINGS = {UNIFORM: "One colour", BY_METHOD: "By method", BY_ORDER: "By trial order"}


class AnyAxis(LogAxis):
    """An axis that is logarithmic or linear, as its measure asks."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self.measure: Measure = MEASURES["accuracy"]

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """Ticks of the scale in force."""
        if self.measure.log:
            return super().tickValues(minVal, maxVal, size)
        return Axis.tickValues(self, minVal, maxVal, size)

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """The true values."""
        return super().tickStrings(values, scale, spacing) if self.measure.log \
            else Axis.tickStrings(self, values, scale, spacing)


class ParetoPlot(Plot):
    """Click a point, or walk along the front with the arrow keys, to select a candidate; space compares it.

    Signals:
        frontChanged(list): ids on the front are others now, from left to right.
    """

    frontChanged = Signal(list)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        self._axes = {side: AnyAxis(side) for side in ("bottom", "left")}
        super().__init__("pareto_plot", "Pareto front", self._axes, parent)
        self._session = session
        self.points = FrontModel()
        self.proxies = ProxyPoints()
        self.palette_in_force = Palette()
        self._queue: list[Candidate] = []
        self._front: list[str] = []
        self._make_controls()
        self._make_items()
        self._timer = QTimer(self, objectName="pareto_timer", interval=LIVE_MS, singleShot=True)
        self._timer.timeout.connect(self._on_timer)
        self.widget.installEventFilter(self)
        self.widget.scene().sigMouseClicked.connect(self._on_clicked)
        self.failed.connect(session.errorRaised)
        self._proxy_timer = QTimer(self, objectName="proxy_timer", interval=PROXY_MS, singleShot=True)
        self._proxy_timer.timeout.connect(self._draw_proxies)
        session.projectChanged.connect(self._on_project)
        session.candidateAdded.connect(self._on_candidate)
        session.proxiesScored.connect(self._on_proxies)
        session.jobStarted.connect(self._on_job)
        session.selectionChanged.connect(self._draw_selection)
        session.costsChanged.connect(self._draw_references)
        session.evaluationChanged.connect(self._on_evaluation)
        session.exportFinished.connect(self._on_exported)
        session.inspection.comparedChanged.connect(self._draw_compared)
        self.apply_theme()
        self._on_axes()

    def _make_controls(self) -> None:
        self.vertical = self._measure_box("pareto_vertical", "What the vertical axis shows", "accuracy")
        self.horizontal = self._measure_box("pareto_horizontal", "What the horizontal axis shows", "energy_pj")
        self.colouring = QComboBox(self, objectName="pareto_colouring", toolTip="What the colours tell")
        self.colouring.setAccessibleName("Colours of the points")
        for key, text in COLOURINGS.items():
            self.colouring.addItem(text, key)
        self.published = QCheckBox("Published", self, objectName="pareto_published")
        self.published.setToolTip("Show the networks of the literature with the accuracy printed there,"
                                  " priced by the same model")
        against = QLabel("against", self, objectName="pareto_against")
        theme.set_role(against, "muted")
        for widget in (self.vertical, against, self.horizontal, self.colouring, self.published):
            self.controls.addWidget(widget, 1 if widget in (self.vertical, self.horizontal) else 0)
        self.vertical.currentIndexChanged.connect(self._on_axes)
        self.horizontal.currentIndexChanged.connect(self._on_axes)
        self.colouring.currentIndexChanged.connect(self._on_colouring)
        self.published.toggled.connect(self._draw_references)

    def _measure_box(self, name: str, tip: str, chosen: str) -> QComboBox:
        box = QComboBox(self, objectName=name, toolTip=tip)
        box.setAccessibleName(tip)
        for measure in MEASURES.values():
            box.addItem(measure.label, measure.key)
        box.setCurrentIndex(box.findData(chosen))
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(BOX_LETTERS)
        box.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed)
        return box

    def _make_items(self) -> None:
        self._line = pg.PlotCurveItem()
        self._recipe = pg.ScatterPlotItem(symbol="d", size=14)
        self._papers = pg.ScatterPlotItem(symbol="s", size=9)
        self._float = pg.InfiniteLine(angle=0)
        # a line without end is not counted when the range is chosen; this unseen point is
        self._float_anchor = pg.ScatterPlotItem(size=1, pen=None, brush=None)
        self._chosen = pg.ScatterPlotItem(symbol="o", size=19)
        self._names: list[pg.TextItem] = []
        for entry in (self._float, self._float_anchor, self._line):
            self.item.addItem(entry)
        self._shades = pg.ScatterPlotItem(symbol="o", size=5, brush=None)
        self._shades.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.item.addItem(self._shades, ignoreBounds=True)
        self._layer = PointLayer(self.item, self.palette_in_force)
        self._rings = Rings(self.item)
        for entry in (self._papers, self._recipe, self._chosen):
            self.item.addItem(entry)
        self._float_label = pg.InfLineLabel(self._float, "", position=0.03, anchors=[(0, 1), (0, 1)])
        self._key = Key(self.legend)

    # -- following the session ---------------------------------------------------------------------

    @property
    def _metric(self) -> str:
        """What the model's evaluations call accuracy."""
        session = self._session
        found = session.float_evaluation or session.evaluation or next(
            (c.evaluation for c in session.candidates.values()), None)
        return found.metric if found is not None else "accuracy"

    def _on_project(self) -> None:
        self.proxies.clear()
        self._on_axes()

    def _on_job(self, job: Job) -> None:
        """Another search has other shared weights."""
        if isinstance(job.request, Search):
            self.proxies.clear()
            self._draw_proxies()

    def _on_proxies(self, event: ProxiesScored) -> None:
        self.proxies.add(event)
        if not self._proxy_timer.isActive():
            self._proxy_timer.start()

    def _on_axes(self) -> None:
        session, metric = self._session, self._metric
        self.points.set_axes(self.horizontal.currentData(), self.vertical.currentData(), session.candidates.values(),
                             syntheses(session.exports), metric)
        for box in (self.horizontal, self.vertical):
            for row in range(box.count()):
                box.setItemText(row, for_metric(MEASURES[box.itemData(row)], metric).label)
        self._queue.clear()
        self.redraw()
        self.show_all()

    def _on_colouring(self) -> None:
        self.palette_in_force.by = self.colouring.currentData()
        self._layer.draw(self.points)
        self._show_text()

    def _on_candidate(self, candidate: Candidate) -> None:
        self._queue.append(candidate)
        if not self._timer.isActive():
            self._timer.start()

    def _on_timer(self) -> None:
        """Take in what has come since the last time."""
        queue, self._queue = self._queue, []
        for candidate in queue:
            self.points.add(candidate)
        self._frame_proxies()
        if not self._layer.follow(self.points):
            self._timer.start()
        self._draw_front()
        self._draw_selection()
        self._draw_compared()

    def _on_evaluation(self) -> None:
        if for_metric(MEASURES["accuracy"], self._metric).label != self.vertical.itemText(0):
            self._on_axes()
        self._draw_references()

    def _on_exported(self, *_: object) -> None:
        if {self.points.horizontal.key, self.points.vertical.key} & set(SYNTHESIZED):
            self._on_axes()

    # -- drawing -----------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw everything anew."""
        self._key.forget()
        for side, measure in (("bottom", self.points.horizontal), ("left", self.points.vertical)):
            self._axes[side].measure = measure
            self.item.setLabel(side, measure.label)
        self.title.setText(f"{self.points.vertical.title} against {self.points.horizontal.title[:1].lower()}"
                           f"{self.points.horizontal.title[1:]}")
        self._paint_items()
        self._draw_proxies()
        self._layer.draw(self.points)
        self._draw_front()
        self._draw_references()
        self._draw_selection()
        self._draw_compared()

    def _paint_items(self) -> None:
        colours = theme.tokens()
        edge = pg.mkPen(colours.plot_background)
        self._layer.paint()
        self._shades.setPen(pg.mkPen(f"{colours.muted}{PROXY_INK}"))
        for item, pen, brush in ((self._recipe, edge, pg.mkBrush(colours.series[2])),
                                 (self._papers, edge, pg.mkBrush(colours.series[3])),
                                 (self._chosen, pg.mkPen(colours.plot_foreground, width=2), None)):
            item.setPen(pen)
            item.setBrush(brush)
        self._line.setPen(self.pen(colours.series[1], 2))
        self._float.setPen(self.pen(colours.plot_foreground, 1, Qt.PenStyle.DashLine))
        self._float_label.setColor(colours.plot_foreground)

    def _draw_proxies(self) -> None:
        """What was scored without training: hollow, below all else, and nothing that could be selected."""
        x, y = self.proxies.places(self.points.horizontal, self.points.vertical)
        self._shades.setData(x=x, y=y)
        self._frame_proxies()
        self._show_text()

    def _frame_proxies(self) -> None:
        """Proxies are within the range that is shown as long as nothing is trained; then candidates say what is."""
        counted, alone = self.box.addedItems, not len(self.points)
        if alone and self._shades not in counted:
            counted.append(self._shades)
        elif not alone and self._shades in counted:
            counted.remove(self._shades)
        else:
            return
        self.box.queueUpdateAutoRange()

    def _draw_front(self) -> None:
        self._line.setData(*self.points.staircase())
        front = self.points.front
        if front != self._front:
            self._front = front
            self.frontChanged.emit(front)

    def _draw_selection(self) -> None:
        place = self.points.where(self._session.selected_id)
        self._chosen.setData(pos=[place] if place else [])
        self._show_text()

    def _draw_compared(self) -> None:
        places = [(key, self.points.where(key), compared_colour(number))
                  for number, key in enumerate(self._session.inspection.compared)]
        self._rings.draw([(key, place, colour) for key, place, colour in places if place is not None])

    def _draw_references(self) -> None:
        session, quality = self._session, self.points.vertical
        costs = session.report.costs if session.report is not None else None
        place = self.points.place(Known(costs, session.evaluation))
        self._recipe.setData(pos=[place] if place else [])
        floats = Known(evaluation=session.float_evaluation)
        best, shown = drawn(quality, floats), quality.shown(floats)
        self._float.setVisible(best is not None)
        if best is not None:
            self._float.setValue(best)
            self._float_label.setFormat(f"float model: {shown:.4g}")
        here = self.points.x[:1] or ([place[0]] if place else [])
        self._float_anchor.setData(pos=[(x, best) for x in here] if best is not None else [])
        self._draw_papers()
        self._show_text()

    def _draw_papers(self) -> None:
        for name in self._names:
            self.item.removeItem(name)
        shown = self.points.published() if self.published.isChecked() else []
        self._papers.setData(pos=[(x, y) for _, x, y in shown])
        self._names = []
        for point, x, y in shown:
            name = pg.TextItem(point.name, color=theme.tokens().plot_foreground, anchor=(-0.25, 0.5))
            name.setPos(x, y)
            self.item.addItem(name, ignoreBounds=True)
            self._names.append(name)

    def _show_text(self) -> None:
        """Legend entries for what is drawn, and why where nothing is."""
        points, colours = self.points, theme.tokens()
        any_trained = bool(points.front)
        papers = ", ".join(p.name for p in published_points()) if len(self._papers.data) else ""
        entries = [("line", colours.series[1], "", "Pareto front")] if any_trained else []
        if any_trained:
            entries += [("dot", *entry) for entry in self.palette_in_force.key(points)]
        if len(self._shades.data):
            entries.append(("ring", colours.muted, "o", PROXIES))
        if not all(points.trained):
            entries.append(("ring", colours.series[6], "o", "Candidates, not trained"))
        if len(self._chosen.data):
            entries.append(("ring", colours.plot_foreground, "o", f"Selected: {self._session.selected_id}"))
        if len(self._recipe.data):
            entries.append(("dot", colours.series[2], "d", "Recipe being edited, not trained"))
        if papers:
            entries.append(("dot", colours.series[3], "s", f"Published {papers} (Nat. Mach. Intell. 3, 675)"))
        self._key.show(entries)
        lacking = {self.points.horizontal.key, self.points.vertical.key} & set(SYNTHESIZED)
        self.show_empty("" if len(points) or len(self._recipe.data) or len(self._shades.data) else
                        NO_SYNTHESIS if lacking and self._session.candidates else EMPTY)

    # -- choosing ----------------------------------------------------------------------------------

    def candidate_at(self, at: QPointF) -> str | None:
        """The candidate drawn nearest to a place of the plot, if one is within reach."""
        if not len(self.points):
            return None
        width, height = self.box.viewPixelSize()
        distance = np.hypot((np.asarray(self.points.x) - at.x()) / width, (np.asarray(self.points.y) - at.y()) / height)
        nearest = int(distance.argmin())
        return self.points.ids[nearest] if distance[nearest] <= REACH else None

    def _proxy_at(self, at: QPointF) -> QPointF | None:
        """Where the proxy under the pointer is drawn, if there is one."""
        x, y = self._shades.getData()
        if not len(x):
            return None
        width, height = self.box.viewPixelSize()
        distance = np.hypot((x - at.x()) / width, (y - at.y()) / height)
        nearest = int(distance.argmin())
        return QPointF(x[nearest], y[nearest]) if distance[nearest] <= REACH else None

    def _told(self, at: QPointF) -> str:
        """A place in the true values of the axes."""
        axes = ((self.points.horizontal, at.x()), (self.points.vertical, at.y()))
        return ", ".join(f"{true_value(10**value) if measure.log else format(value, '.4g')} {measure.unit}".strip()
                         for measure, value in axes)

    def _global(self, at: QPointF) -> QPoint:
        return self.widget.mapToGlobal(self.widget.mapFromScene(self.box.mapViewToScene(at)))

    def readout(self, at: QPointF) -> str:
        """The candidate under the pointer, its recipe in a tool tip; else the place itself."""
        found = self.candidate_at(at)
        if found is None:
            proxy = self._proxy_at(at)
            if proxy is not None:
                text = f"proxy, not trained: {self._told(proxy)}"
                QToolTip.showText(self._global(at), f"{text}\n{PROXY_TIP}", self.widget)
                return text
            QToolTip.hideText()
            return self._told(at) if len(self.points) else ""
        candidate = self._session.candidates[found]
        QToolTip.showText(self._global(at), _tip(candidate), self.widget)
        return f"{candidate.id}: {_figures(candidate)}"

    def _on_clicked(self, event: object) -> None:
        if event.button() != Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            return
        found = self.candidate_at(self.box.mapSceneToView(event.scenePos()))  # type: ignore[attr-defined]
        if found is None:
            return
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:  # type: ignore[attr-defined]
            self._session.toggle_compared(found)
        else:
            self._session.select_candidate(found)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys walk along the front, space compares; the canvas would eat them."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and watched is self.widget:
            if event.key() == Qt.Key.Key_Space and self._session.selected_id is not None:
                self._session.toggle_compared(self._session.selected_id)
                return True
            step = STEPS.get(Qt.Key(event.key()))
            found = self.points.neighbour(self._session.selected_id, step) if step else None
            if found is not None:
                self._session.select_candidate(found)
                return True
        return super().eventFilter(watched, event)

    def table(self) -> Table:
        """One row a candidate, true values of every measure."""
        front, synthesized = set(self.points.front), syntheses(self._session.exports)
        rows = []
        for candidate in (self._session.candidates[key] for key in self.points.ids):
            known = known_of(candidate, synthesized)
            rows.append((candidate.id, candidate.method, candidate.evaluation.kind, candidate.id in front,
                         *(measure.value(known) for measure in MEASURES.values())))
        return Table(("candidate", "method", "evaluation", "on_front", *MEASURES), tuple(rows))


def _figures(candidate: Candidate) -> str:
    costs = candidate.costs
    return f"{quality_text(candidate.evaluation)}, {costs.energy_pj:.0f} pJ, {costs.parameter_bits} parameter bits"


def _tip(candidate: Candidate) -> str:
    """What a point stands for: figures, then its recipe in short."""
    lines = recipe_lines(candidate.recipe)
    more = [f"and {len(lines) - TIP_LINES} more layers"] if len(lines) > TIP_LINES else []
    return "\n".join([f"{candidate.id} ({candidate.evaluation.kind}, {candidate.method})", _figures(candidate),
                      *lines[:TIP_LINES], *more])
