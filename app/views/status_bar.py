"""What runs, how far it is, how long it will take, and the button that ends it."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton, QStatusBar, QWidget

from app import theme
from app.jobs.job import Job, JobState
from app.session import Session
from app.views.elided import ElidedLabel
from core.events import Progress

MESSAGE_MS = 8000
STEPS = 1000
TITLES = {"train": "Training", "search": "Searching", "export": "Exporting", "synthesize": "Synthesizing"}


def duration(seconds: float) -> str:
    """A time to go, as a person would say it."""
    if seconds < 1:
        return "less than 1 s left"
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


class StatusBar(QStatusBar):
    """Shows the long job that was started last; Cancel ends that one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("status_bar")
        self.setSizeGripEnabled(False)
        self._jobs: list[Job] = []
        self.title = ElidedLabel("", self, objectName="status_title")
        self.bar = QProgressBar(self, objectName="status_progress", maximum=STEPS, textVisible=False)
        self.bar.setAccessibleName("Progress")
        self.bar.setFixedSize(180, 14)
        self.remaining = QLabel("", self, objectName="status_remaining")
        self.remaining.setAccessibleName("Remaining time")
        theme.set_role(self.remaining, "muted")
        self.cancel = QPushButton("Cancel", self, objectName="status_cancel")
        self.cancel.setAccessibleName("Cancel the running job")
        for widget in (self.title, self.bar, self.remaining, self.cancel):
            self.addPermanentWidget(widget)
        self.cancel.clicked.connect(self._on_cancel)
        session.jobStarted.connect(self._on_started)
        session.jobEnded.connect(self._on_ended)
        session.noticed.connect(self.notice)
        self._show_job()

    def notice(self, text: str) -> None:
        """Show a sentence for some seconds."""
        self.showMessage(f"{text[:1].upper()}{text[1:]}", MESSAGE_MS)

    def _on_started(self, job: Job) -> None:
        self._jobs.append(job)
        job.progress.connect(self._on_progress)
        job.stage.connect(self._on_stage)
        job.stateChanged.connect(self._show_state)
        self._show_job()

    def _on_ended(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.remove(job)
        outcome = {JobState.FINISHED: "finished", JobState.CANCELLED: "stopped"}.get(job.state, "failed")
        self.notice(f"{TITLES.get(job.title, job.title)} {outcome}.")
        self._show_job()

    def _on_cancel(self) -> None:
        if self._jobs:
            self._jobs[-1].cancel()

    def _show_job(self) -> None:
        running = bool(self._jobs)
        for widget in (self.title, self.bar, self.remaining, self.cancel):
            widget.setVisible(running)
        if running:
            self.bar.setRange(0, 0)  # nothing is known yet
            self.remaining.clear()
            self._show_state()

    def _show_state(self, *_: object) -> None:
        if not self._jobs:
            return
        job = self._jobs[-1]
        ending = job.state is JobState.CANCELLING
        self.title.setText(f"{TITLES.get(job.title, job.title)}{' (paused)' if job.state is JobState.PAUSED else ''}")
        self.cancel.setText("Stopping\u2026" if ending else "Cancel")
        self.cancel.setEnabled(not ending)

    def _on_stage(self, name: str) -> None:
        if self._jobs and self.sender() is self._jobs[-1]:
            self.title.setText(f"{TITLES.get(self._jobs[-1].title, '')}: {name}")
            self.bar.setRange(0, 0)
            self.remaining.clear()

    def _on_progress(self, progress: Progress) -> None:
        if not self._jobs or self.sender() is not self._jobs[-1] or progress.total <= 0:
            return
        self.bar.setRange(0, STEPS)
        self.bar.setValue(round(STEPS * min(progress.done / progress.total, 1.0)))
        self.bar.setToolTip(progress.message)
        self.remaining.setText(duration(progress.remaining_s) if progress.remaining_s is not None else "")
