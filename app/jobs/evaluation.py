"""The accuracy of the recipe being edited: asked for after each edit, late answers dropped."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.jobs.job import Job
from app.jobs.runner import JobRunner
from core.candidate import Evaluation
from core.errors import QuantiscopeError
from core.requests import Evaluate

#: an edit waits this long for the next one before it is evaluated, in ms
DEBOUNCE_MS = 150
KEPT = 64


class LiveEvaluation(QObject):
    """Evaluates the newest request only. At most one job runs; while it does, the newest request waits.

    Attributes:
        evaluation: the answer to the newest request; None while there is none.
        computing: True from a request to its answer.
        error: why the newest request has no answer.

    Signals:
        changed(): any of the three changed. failed(QuantiscopeError).
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, runner: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("live_evaluation")
        self.evaluation: Evaluation | None = None
        self.computing = False
        self.error: QuantiscopeError | None = None
        self._runner = runner
        self._wanted: Evaluate | None = None
        self._running: Evaluate | None = None
        self._known: OrderedDict[bytes, Evaluation] = OrderedDict()
        self._debounce = QTimer(self, objectName="evaluation_debounce", singleShot=True, interval=DEBOUNCE_MS)
        self._debounce.timeout.connect(self._submit)

    def ask(self, request: Evaluate, at_once: bool = False) -> None:
        """Evaluate this and forget what was asked before; known answers come at once."""
        self._wanted = request
        self.error = None
        known = self._known.get(_key(request))
        if known is not None:
            self._debounce.stop()
            self._settle(known)
            return
        self.computing = True
        self.changed.emit()
        if at_once:
            self._submit()
        else:
            self._debounce.start()

    def rest(self) -> None:
        """What is shown now cannot be evaluated; known answers are kept."""
        self._debounce.stop()
        self._wanted = None
        self._settle(None)

    def forget(self) -> None:
        """No project: no request, no answers."""
        self._known.clear()
        self.rest()

    def _submit(self) -> None:
        self._debounce.stop()
        if self._running is not None or self._wanted is None:
            return
        self._running = self._wanted
        job = self._runner.submit(self._running)
        job.ended.connect(self._on_ended)

    def _on_ended(self, job: Job) -> None:
        answered, self._running = self._running, None
        if isinstance(job.result, Evaluation) and answered is not None:
            self._known[_key(answered)] = job.result
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        if answered is not self._wanted:
            if self._wanted is not None and not self._debounce.isActive():
                self.ask(self._wanted, at_once=True)
            return
        self.error = job.error
        self._settle(job.result)
        if job.error is not None:
            self.failed.emit(job.error)

    def _settle(self, evaluation: Evaluation | None) -> None:
        self.computing = False
        self.evaluation = evaluation
        self.changed.emit()


def _key(request: Evaluate) -> bytes:
    """Requests that differ in the recipe's name only have the same answer."""
    recipe = request.recipe.renamed("") if request.recipe is not None else None
    return msgspec.json.encode(msgspec.structs.replace(request, recipe=recipe))
