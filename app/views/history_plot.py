"""How the search gets on: the volume that its front dominates, over candidates or time."""

from __future__ import annotations

import bisect
import time

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QTimer
from PySide6.QtWidgets import QComboBox, QWidget

from app import theme
from app.models.history import Corner, corner_of, history_of, told
from app.models.search_form import kept_fields
from app.session import Session
from app.views.plot_base import Plot
from app.views.plot_export import Table
from core.search.summary import HypervolumeHistory

#: candidates are drawn together, this often, in ms; and at most this share of the time is spent on it
LIVE_MS, SHARE = 300, 0.02
EMPTY = "The volume that the front dominates appears with the first trained candidate."
NUMBER, TIME = "number", "time"
AXES = {NUMBER: "Trained candidates", TIME: "Training time, summed (s)"}
TIP = "What the volume is drawn against"
NOTHING = HypervolumeHistory((), (), (), (), "")


class HistoryPlot(Plot):
    """One curve: the volume between the front and a stated reference point, in the goal of the last search."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("history_plot", "Hypervolume", parent=parent)
        self._session = session
        self.history = NOTHING
        self._corner: Corner | None = None
        self.over = QComboBox(self, objectName="history_over", toolTip=TIP)
        self.over.setAccessibleName("Horizontal axis of the hypervolume")
        for key, text in AXES.items():
            self.over.addItem(text, key)
        self.over.currentIndexChanged.connect(self.redraw)
        self.controls.addWidget(self.over)
        self.controls.addStretch(1)
        self._curve = pg.PlotCurveItem(stepMode="right")
        self.item.addItem(self._curve)
        self._timer = QTimer(self, objectName="history_timer", singleShot=True, interval=LIVE_MS)
        self._timer.timeout.connect(self._follow)
        self.failed.connect(session.errorRaised)
        session.projectChanged.connect(self._on_goal)
        session.searchStateChanged.connect(self._on_goal)
        session.candidateAdded.connect(self._on_candidate)
        self.apply_theme()
        self._on_goal()

    def _on_goal(self, *_: object) -> None:
        """Another project, or a search with other objectives."""
        info = self._session.info
        self._corner = corner_of(info, kept_fields(self._session)) if info is not None else None
        self._follow()

    def _on_candidate(self, *_: object) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def showEvent(self, event: object) -> None:
        """Catch up with what came while the plot was hidden."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._follow()

    def _follow(self) -> None:
        if not self.isVisible():
            return
        started = time.thread_time()
        corner = self._corner
        self.history = history_of(self._session.candidates.values(), corner) if corner is not None else NOTHING
        self._timer.setInterval(max(LIVE_MS, int(1000 * (time.thread_time() - started) / SHARE)))
        self.redraw()

    def _places(self) -> list[float]:
        if self.over.currentData() == TIME:
            return list(self.history.seconds)
        return [float(number) for number in range(1, len(self.history.ids) + 1)]

    def redraw(self) -> None:
        """Draw the curve of the history as it is."""
        there = bool(self.history.ids)
        self._curve.setPen(self.pen(theme.tokens().series[0], 2))
        self._curve.setData(self._places(), list(self.history.volumes))
        self.item.setLabel("bottom", AXES[self.over.currentData()])
        self.item.setLabel("left", f"Hypervolume ({self.history.unit})" if self.history.unit else "Hypervolume")
        self.legend.clear()
        if there and self._corner is not None:
            self.legend.addItem(self._curve, f"From {told(self._corner)}")
        self.legend.setVisible(there)
        self.show_empty("" if there else EMPTY)

    def readout(self, at: QPointF) -> str:
        """The last candidate at or before the pointer."""
        number = bisect.bisect_right(self._places(), at.x()) - 1
        if number < 0:
            return ""
        return f"{self.history.ids[number]}, candidate {number + 1} after {self.history.seconds[number]:.0f}\u00a0s:" \
               f" volume {self.history.volumes[number]:.4g}"

    def table(self) -> Table:
        """One row a trained candidate."""
        history = self.history
        rows = zip(history.ids, range(1, len(history.ids) + 1), history.seconds, history.volumes, strict=True)
        return Table(("candidate", "number", "seconds", "hypervolume"), tuple(rows))
