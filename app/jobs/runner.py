"""Hands jobs to worker processes: one that answers edits at once, others for what takes minutes."""

from __future__ import annotations

import atexit
import signal
import time
from collections import deque
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from app import settings
from app.jobs.job import Job, JobState, error_from
from app.jobs.process import WorkerProcess
from core.errors import WorkerDiedError
from core.requests import Evaluate, Export, Synthesize, WarmUp

INTERACTIVE, LONG, EXPORT = "interactive", "long", "export"
TARGET = "core.workflows.run"
#: seconds a job may take to end itself after it was asked to
GRACE_S = 6.0
#: a worker that died this often within a minute is started again only when there is work for it
MAX_RESTARTS = 3


class Lane(QObject):
    """One worker process with the queue of jobs that wait for it."""

    died = Signal(str, object)
    ready = Signal(str)
    jobStarted = Signal(object)

    def __init__(self, name: str, target: str, log_folder: Path, grace_s: float, parent: QObject) -> None:
        super().__init__(parent)
        self.setObjectName(f"lane_{name}")
        self.name = name
        self.worker: WorkerProcess | None = None
        self.current: Job | None = None
        self._queue: deque[Job] = deque()
        self._target = target
        self._log_folder = log_folder
        self._grace_ms = int(grace_s * 1000)
        self._deaths: deque[float] = deque(maxlen=MAX_RESTARTS)
        self._grace = QTimer(self, objectName=f"grace_{name}", singleShot=True)
        self._grace.timeout.connect(self._on_grace_over)
        self._closing = False

    @property
    def idle(self) -> bool:
        """True while no job runs or waits."""
        return self.current is None and not self._queue

    def submit(self, job: Job) -> None:
        """Run the job when those before it are over."""
        job.controlled.connect(self._on_controlled)
        self._queue.append(job)
        self._next()

    def start(self) -> None:
        """Start the process if there is none."""
        if self.worker is None and not self._closing:
            niceness = 0 if self.name == INTERACTIVE else 5
            self.worker = WorkerProcess(self.name, self._target, self._log_folder, niceness, self)
            self.worker.received.connect(self._on_received)
            self.worker.ended.connect(self._on_ended)

    def close(self) -> None:
        """End the process and every job."""
        self._closing = True
        self._grace.stop()
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.received.disconnect(self._on_received)
            worker.ended.disconnect(self._on_ended)
            worker.stop()
        for job in [*([self.current] if self.current else []), *self._queue]:
            job.give_up()
        self.current = None
        self._queue.clear()

    def _next(self) -> None:
        if self.current is not None or not self._queue:
            return
        self.start()
        job = self.current = self._queue.popleft()
        job.enter(JobState.RUNNING)
        self.jobStarted.emit(job)
        if self.worker is not None:
            self.worker.send("run", job.id, job.request)
            if any(job.granted):  # while it waited
                self.worker.send("grant", job.id, job.granted)

    def _on_controlled(self, job: Job, action: str) -> None:
        if job is not self.current:
            if action == "cancel" and job in self._queue:
                self._queue.remove(job)
                job.give_up()
            return
        if self.worker is not None:
            self.worker.send(action, job.id, *([job.granted] if action == "grant" else []))
        if action == "grant":
            return
        job.enter({"cancel": JobState.CANCELLING, "pause": JobState.PAUSED, "resume": JobState.RUNNING}[action])
        if action == "cancel":
            self._grace.start(self._grace_ms)

    def _on_grace_over(self) -> None:
        if self.worker is not None and self.current is not None and self.current.state is JobState.CANCELLING:
            self.current.last_lines.append("It did not stop when asked to and was ended.")
            self.worker.kill()

    def _on_received(self, batch: list[Any]) -> None:
        for message in batch:
            self._take(message)

    def _take(self, message: tuple[Any, ...]) -> None:
        if message[0] == "ready":
            self.ready.emit(self.name)
            return
        job = self.current
        if job is None or message[1] != job.id:
            return
        match message:
            case ("event", _, event):
                job.tell(event)
            case ("finished", _, result):
                self._release().succeed(result)
            case ("failed", _, told):
                self._release().fail(error_from(told))
            case ("cancelled", _):
                self._release().give_up()
        self._next()

    def _release(self) -> Job:
        """The current job, which is over."""
        self._grace.stop()
        job, self.current = self.current, None
        assert job is not None
        return job

    def _on_ended(self) -> None:
        worker, self.worker = self.worker, None
        if worker is None:
            return
        job = self._release() if self.current is not None else None
        error = _death(worker, job)
        worker.deleteLater()
        self._deaths.append(time.monotonic())
        asked_for = job is not None and job.state is JobState.CANCELLING
        often = len(self._deaths) == MAX_RESTARTS and time.monotonic() - self._deaths[0] < 60
        if asked_for or not often:
            self.start()
        if job is not None and asked_for:
            job.give_up()
        elif job is not None:
            job.fail(error)
        self.died.emit(self.name, error)
        self._next()


def _death(worker: WorkerProcess, job: Job | None) -> WorkerDiedError:
    """Why a worker ended, with the last lines it and its job wrote."""
    doing = f" during {job.title}" if job is not None else ""
    error = WorkerDiedError(f"the worker process ended{doing}", _reason(worker.exit_code),
                            "It was started again and nothing stored is lost; try the step again")
    lines = job.last_lines if job is not None else []
    error.details = "\n".join([*lines, worker.tail()]).strip()
    return error


def _reason(code: int | None) -> str:
    if code is None:
        return "its exit status is unknown"
    if code >= 0:
        return f"it exited with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"it was ended by {name}{hint}"


class JobRunner(QObject):
    """Gives each request to the lane that fits it.

    Evaluations and warm-ups go to a worker of their own, so that a search never delays the answer to an
    edit; an export goes beside a running search, not behind it.

    Args:
        target: dotted name of the function `(request, monitor) -> result` the workers call.
        log_folder: where workers write their own output; the user's log folder unless given.
        grace_s: seconds between a polite cancel and the kill.

    Signals:
        jobStarted(Job); workerReady(lane name); workerDied(lane name, WorkerDiedError), after the restart.
    """

    jobStarted = Signal(object)
    workerReady = Signal(str)
    workerDied = Signal(str, object)

    def __init__(self, log_folder: Path | None = None, target: str = TARGET, grace_s: float = GRACE_S,
                 parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("job_runner")
        self.lanes: dict[str, Lane] = {}
        for name in (INTERACTIVE, LONG, EXPORT):
            lane = Lane(name, target, log_folder or settings.log_folder(), grace_s, self)
            lane.jobStarted.connect(self.jobStarted)
            lane.ready.connect(self.workerReady)
            lane.died.connect(self.workerDied)
            self.lanes[name] = lane
        # multiprocessing waits at exit for workers that live: ours must be gone before
        atexit.register(self.close)

    def submit(self, request: Any, lane: str | None = None) -> Job:
        """Queue a request; connect to the returned job's signals before control returns to the event loop."""
        job = Job(request, self)
        self.lanes[lane or self._lane_for(request)].submit(job)
        job.ended.connect(self._on_ended)
        return job

    def busy(self, lane: str) -> bool:
        """True while a job of this lane runs or waits."""
        return not self.lanes[lane].idle

    def start(self, lane: str) -> None:
        """Start a lane's process ahead of its first job."""
        self.lanes[lane].start()

    def close(self) -> None:
        """End every worker; jobs still running are given up."""
        atexit.unregister(self.close)
        for lane in self.lanes.values():
            lane.close()

    def _lane_for(self, request: Any) -> str:
        if isinstance(request, (Evaluate, WarmUp)):
            return INTERACTIVE
        if isinstance(request, (Export, Synthesize)) and not self.lanes[LONG].idle:
            return EXPORT
        return LONG

    def _on_ended(self, job: Job) -> None:
        job.deleteLater()
