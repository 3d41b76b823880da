"""One place through which everything that the user should know passes, and where it can be read again."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime

from PySide6.QtCore import QObject, Signal

from core.errors import QuantiscopeError

logger = logging.getLogger("quantiscope")
#: older ones are forgotten
KEPT = 200


@dataclass(frozen=True)
class Notification:
    """A sentence for the user. `level` is "info", "warning" or "error"; an error brings cause and remedy."""

    level: str
    text: str
    error: QuantiscopeError | None = None
    when: datetime = field(default_factory=datetime.now)


class Notifications(QObject):
    """Collects notifications; the window shows them.

    Signals:
        posted(Notification).
    """

    posted = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("notifications")
        self.history: list[Notification] = []

    def info(self, text: str) -> None:
        """Something happened that needs no answer."""
        self._post(Notification("info", text))

    def warn(self, text: str) -> None:
        """Something the user should know before going on."""
        self._post(Notification("warning", text))

    def error(self, error: QuantiscopeError) -> None:
        """Something failed."""
        self._post(Notification("error", str(error), error))

    def _post(self, notification: Notification) -> None:
        self.history = [*self.history[1 - KEPT:], notification]
        logger.log({"info": 20, "warning": 30, "error": 40}[notification.level], notification.text)
        self.posted.emit(notification)
