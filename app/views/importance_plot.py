"""How much each choice of the space matters for each objective, as bars; worked out by the worker."""

from __future__ import annotations

import time

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QTimer
from PySide6.QtWidgets import QComboBox, QWidget

from app import theme
from app.jobs.job import Job
from app.jobs.runner import INTERACTIVE
from app.models.search_form import kept_fields
from app.session import Session
from app.views.plot_base import Plot
from app.views.plot_export import Table
from core.requests import Importances
from core.search.summary import EVALUATOR, Importance

TITLE = "Importance of each choice"
#: candidates that came are waited for so long before the next look, in ms
REST_MS = 3000
#: of the worker's time that this may take while a search runs
SHARE = 0.05
#: bars that are drawn; the values on the clipboard and in a file are all of them
MOST = 14
EMPTY = "Which choices matter is told once enough candidates are trained."
LOOKING = "Working out how much each choice matters\u2026"


class ImportancePlot(Plot):
    """One bar a layer and parameter: its share of the importance of all choices for the objective that is shown."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("importance_plot", TITLE, parent=parent)
        self._session = session
        self.found: dict[str, list[Importance]] = {}
        self._problem = ""
        self._job: Job | None = None
        self._known = -1
        self._asked = 0.0
        self.objective = QComboBox(self, objectName="importance_objective", toolTip="What the choices matter for")
        self.objective.setAccessibleName("What the choices matter for")
        self.objective.currentIndexChanged.connect(self.redraw)
        self.controls.addWidget(self.objective)
        self.controls.addStretch(1)
        self._bars = pg.BarGraphItem(x0=0, y=[], height=0.66, width=[])
        self.item.addItem(self._bars)
        self.item.invertY(True)
        self.item.showGrid(x=True, y=False, alpha=0.22)
        self.item.setLabel("bottom", "Share of the importance (%)")
        self.legend.setVisible(False)
        self.widget.setToolTip(f"By {EVALUATOR}")
        self._timer = QTimer(self, objectName="importance_timer", singleShot=True, interval=REST_MS)
        self._timer.timeout.connect(self._ask)
        self.failed.connect(session.errorRaised)
        session.projectChanged.connect(self._on_project)
        session.candidateAdded.connect(self._on_candidate)
        self.apply_theme()
        self._on_project()

    # -- asking ------------------------------------------------------------------------------------

    def _on_project(self) -> None:
        self.found, self._problem, self._known, self._job = {}, "", -1, None
        self._timer.stop()
        self.redraw()
        self._ask()

    def _on_candidate(self, *_: object) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def showEvent(self, event: object) -> None:
        """Catch up with what came while the plot was hidden."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._ask()

    def _ask(self) -> None:
        session = self._session
        number = len(session.candidates)
        if not self.isVisible() or session.project is None or not number or number == self._known \
                or self._job is not None:
            return
        self._known = number
        fields = kept_fields(session)
        request = Importances(project=str(session.project.folder), objectives=fields.get("objectives") or [],
                              constraints=fields.get("constraints") or [])
        self._asked = time.monotonic()
        self._job = session.runner.submit(request, INTERACTIVE)
        self._job.ended.connect(self._on_ended)
        self.redraw()

    def _on_ended(self, job: Job) -> None:
        if job is not self._job:  # of another project
            return
        self._job = None
        taken = time.monotonic() - self._asked
        self._timer.setInterval(max(REST_MS, int(1000 * taken / SHARE)))  # edits are answered by the same worker
        if job.error is None:
            self.found, self._problem = job.result or {}, ""
        else:
            self.found, self._problem = {}, str(job.error)
        self._offer()
        self.redraw()
        if len(self._session.candidates) != self._known:
            self._timer.start()

    def _offer(self) -> None:
        chosen = self.objective.currentText()
        if [self.objective.itemText(row) for row in range(self.objective.count())] == list(self.found):
            return
        blocked = self.objective.blockSignals(True)
        self.objective.clear()
        self.objective.addItems(list(self.found))
        self.objective.setCurrentIndex(max(self.objective.findText(chosen), 0))
        self.objective.blockSignals(blocked)

    # -- drawing -----------------------------------------------------------------------------------

    @property
    def shown(self) -> list[Importance]:
        """The choices that are drawn, the one that matters most first."""
        return self.found.get(self.objective.currentText(), [])[:MOST]

    def redraw(self) -> None:
        """Draw the bars of the objective that is chosen."""
        rows = self.shown
        ink = pg.mkBrush(theme.tokens().series[0])
        self._bars.setOpts(x0=0, y=np.arange(len(rows)), height=0.66, width=[100 * one.share for one in rows],
                           brush=ink, pen=pg.mkPen(None))
        self.item.getAxis("left").setTicks([[(row, f"{one.layer} {one.parameter}") for row, one in enumerate(rows)]])
        self.objective.setVisible(bool(rows))
        self.title.setText(TITLE + (f" for {self.objective.currentText()}" if rows else ""))
        waiting = LOOKING if self._job is not None else EMPTY
        self.show_empty("" if rows else self._problem or waiting)
        self.show_all()

    def show_all(self) -> None:
        """All bars from zero."""
        rows = self.shown
        most = max((100 * one.share for one in rows), default=100.0)
        self.item.setXRange(0, most, padding=0.02)
        self.item.setYRange(-0.6, max(len(rows), 4) - 0.4, padding=0)

    def readout(self, at: QPointF) -> str:
        """The bar at the pointer's height."""
        rows, number = self.shown, round(at.y())
        if not 0 <= number < len(rows):
            return ""
        one = rows[number]
        return f"{one.layer} {one.parameter}: {100 * one.share:.1f} %, {one.options} different ones tried"

    def table(self) -> Table:
        """One row a choice of each objective."""
        return Table(("objective", "layer", "parameter", "share", "options"), tuple(
            (name, one.layer, one.parameter, one.share, one.options) for name, rows in self.found.items()
            for one in rows))
