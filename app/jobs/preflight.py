"""What an export would meet, asked of the worker whenever its settings rest."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from app.jobs.job import Job
from app.jobs.runner import INTERACTIVE, JobRunner
from core.hls.preflight import FAIL, Finding, worst
from core.requests import Export, Preflight

#: settings are looked at this long after their last change, in ms
REST_MS = 400


class PreflightCheck(QObject):
    """Findings of the newest request; late answers are dropped, and at most one is worked out at a time.

    Attributes:
        findings: of the newest request; None until they are known. problem: why they could not be found out.

    Signals:
        changed(): findings, problem or `computing` changed.
    """

    changed = Signal()

    def __init__(self, runner: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("preflight_check")
        self._runner = runner
        self.findings: list[Finding] | None = None
        self.problem = ""
        self._wanted: Export | None = None
        self._running: Export | None = None
        self._answered: Export | None = None
        self._timer = QTimer(self, objectName="preflight_timer", singleShot=True, interval=REST_MS)
        self._timer.timeout.connect(self._submit)

    @property
    def computing(self) -> bool:
        """True from a request to its answer."""
        return self._wanted is not None and self._wanted != self._answered

    @property
    def forbids(self) -> bool:
        """True where it is known that the export would fail."""
        return self.findings is not None and not self.computing and worst(self.findings) == FAIL

    def ask(self, request: Export | None) -> None:
        """Look at this export; None at none, and forget what was found."""
        if request == self._wanted:
            return
        self._wanted = request
        self._answered = None
        self.findings, self.problem = None, ""
        self._timer.stop()
        if self.computing:
            self._timer.start()
        self.changed.emit()

    def _submit(self) -> None:
        if self._running is not None or self._wanted is None:
            return
        self._running = self._wanted
        job = self._runner.submit(Preflight(export=self._running), INTERACTIVE)
        job.ended.connect(self._on_ended)

    def _on_ended(self, job: Job) -> None:
        asked, self._running = self._running, None
        if asked != self._wanted:
            if self._wanted is not None and not self._timer.isActive():
                self._submit()
            return
        self._answered = asked
        self.findings = job.result if job.error is None and job.result is not None else None
        self.problem = str(job.error) if job.error is not None else ""
        self.changed.emit()
