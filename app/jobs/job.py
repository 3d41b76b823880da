"""A job as the window sees it."""

from __future__ import annotations

from enum import Enum
from itertools import count
from typing import Any

from PySide6.QtCore import QObject, Signal

import core.errors
from core.errors import QuantiscopeError
from core.events import CandidateDone, Event, LogLine, Progress, ProxiesScored, Stage

_numbers = count(1)


class JobState(Enum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """True once nothing more will come."""
        return self in (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)


class Job(QObject):
    """One submitted request. Exactly one of `finished`, `failed`, `cancelled` comes, then `ended`.

    Signals:
        progress(Progress), logged(LogLine), candidate(Candidate), proxies(ProxiesScored), stage(str): while it runs.
        finished(object): the result. failed(QuantiscopeError). cancelled().
        stateChanged(JobState); ended(Job).
        controlled(Job, str): "cancel", "pause", "resume" or "grant" was asked for; the runner listens.
    """

    progress = Signal(object)
    logged = Signal(object)
    candidate = Signal(object)
    proxies = Signal(object)
    stage = Signal(str)
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    stateChanged = Signal(object)
    ended = Signal(object)
    controlled = Signal(object, str)

    def __init__(self, request: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.id = next(_numbers)
        self.setObjectName(f"job_{self.id}")
        self.request = request
        self.state = JobState.QUEUED
        self.result: Any = None
        self.error: QuantiscopeError | None = None
        self.last_lines: list[str] = []
        #: candidates and seconds added to the budget since it began
        self.granted: tuple[int, float] = (0, 0.0)

    @property
    def title(self) -> str:
        """What it does, for a person: "evaluate", "search" ..."""
        return type(self.request).__name__.lower()

    def cancel(self) -> None:
        """Ask it to stop; after the runner's grace time it is made to."""
        if not self.state.over and self.state is not JobState.CANCELLING:
            self.controlled.emit(self, "cancel")

    def pause(self) -> None:
        """Ask it to wait between two units of work."""
        if self.state is JobState.RUNNING:
            self.controlled.emit(self, "pause")

    def resume(self) -> None:
        """Go on after a pause."""
        if self.state is JobState.PAUSED:
            self.controlled.emit(self, "resume")

    def grant(self, trials: int = 0, seconds: float = 0.0) -> None:
        """Add candidates and seconds to the budget of what runs or waits."""
        if not self.state.over and self.state is not JobState.CANCELLING:
            self.granted = self.granted[0] + trials, self.granted[1] + seconds
            self.controlled.emit(self, "grant")

    # -- called by the runner ----------------------------------------------------------------------

    def enter(self, state: JobState) -> None:
        """Take a new state and say so."""
        self.state = state
        self.stateChanged.emit(state)

    def tell(self, event: Event) -> None:
        """Turn one event of the worker into the signal for it."""
        match event:
            case Progress():
                self.progress.emit(event)
            case LogLine(text=text):
                self.last_lines = [*self.last_lines[-11:], text]
                self.logged.emit(event)
            case CandidateDone(candidate=candidate):
                self.candidate.emit(candidate)
            case ProxiesScored():
                self.proxies.emit(event)
            case Stage(name=name):
                self.stage.emit(name)

    def succeed(self, result: Any) -> None:
        """End with a result."""
        self.result = result
        self.enter(JobState.FINISHED)
        self.finished.emit(result)
        self.ended.emit(self)

    def fail(self, error: QuantiscopeError) -> None:
        """End with an error."""
        self.error = error
        self.enter(JobState.FAILED)
        self.failed.emit(error)
        self.ended.emit(self)

    def give_up(self) -> None:
        """End because the user asked for it."""
        self.enter(JobState.CANCELLED)
        self.cancelled.emit()
        self.ended.emit(self)


def error_from(told: tuple[str, str, str, str, str]) -> QuantiscopeError:
    """The error that the worker put into plain text."""
    name, what, why, remedy, details = told
    kind = getattr(core.errors, name, QuantiscopeError)
    if not (isinstance(kind, type) and issubclass(kind, QuantiscopeError)):
        kind = QuantiscopeError
    error = kind(what, why, remedy)
    error.details = details
    return error
