"""A session whose jobs the test plays itself, candidates made by hand, and ways to click on plots."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QObject, QPoint, QPointF, Signal
from PySide6.QtTest import QTest

from app.jobs.job import Job, JobState
from app.session import Session
from app.views.plot_base import Plot
from core.candidate import Candidate, Costs, Evaluation
from core.events import CandidateDone
from core.quant.recipe import Recipe
from core.requests import Search


class PlayedRunner(QObject):
    """Takes requests as JobRunner does; the test then plays the worker on `jobs`."""

    jobStarted = Signal(object)
    workerDied = Signal(str, object)

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def submit(self, request: object, lane: str | None = None) -> Job:
        job = Job(request, self)
        self.jobs.append(job)
        job.controlled.connect(self._on_controlled)
        job.enter(JobState.RUNNING)
        self.jobStarted.emit(job)
        return job

    def _on_controlled(self, job: Job, action: str) -> None:
        if action == "grant":
            return
        job.enter({"cancel": JobState.CANCELLING, "pause": JobState.PAUSED, "resume": JobState.RUNNING}[action])

    def last(self, kind: type) -> Job:
        return [job for job in self.jobs if isinstance(job.request, kind)][-1]

    def busy(self, lane: str) -> bool:
        return any(not job.state.over for job in self.jobs)

    def close(self) -> None:
        """Nothing to end."""


def evaluation(accuracy: float, kind: str = "trained") -> Evaluation:
    rates = np.linspace(0, 1, 50)
    return Evaluation(kind=kind, events=1000, accuracy=accuracy, auc={"g": 0.93, "q": 0.9},
                      auc_error={"g": 0.002, "q": 0.003},
                      roc={name: ((rates**power).tolist(), rates.tolist()) for name, power in (("g", 6.0), ("q", 4.0))})


def candidate(number: int, accuracy: float, energy: float, kind: str = "trained") -> Candidate:
    return Candidate(id=f"c{number:04d}", recipe=Recipe(name=f"r{number}"), evaluation=evaluation(accuracy, kind),
                     costs=Costs(energy_pj=energy, parameter_bits=int(10 * energy), activation_bits=500, ebops=9000))


THREE = (candidate(1, 0.65, 900.25), candidate(2, 0.72, 2000.5), candidate(3, 0.75, 7000.75), candidate(4, 0.60, 3000))


def find_candidates(session: Session, found) -> None:
    """Let a search find these candidates, as the worker would tell."""
    assert session.start_search(trials=10)
    job = session.runner.last(Search)
    for one in found:
        job.tell(CandidateDone(one))
    job.succeed([one.id for one in found])


def shown(qtbot, widget, size=(700, 450)):
    qtbot.addWidget(widget)
    widget.resize(*size)
    widget.show()
    qtbot.waitExposed(widget)
    QTest.qWait(80)
    return widget


def pixel(plot: Plot, x: float, y: float) -> QPoint:
    return plot.widget.mapFromScene(plot.box.mapViewToScene(QPointF(x, y)))
