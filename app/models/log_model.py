"""The log as a list: lines come in bursts and are taken over a few times a second."""

from __future__ import annotations

from collections import deque
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer
from PySide6.QtGui import QColor

from app import theme
from core.events import LogLine

Index = QModelIndex | QPersistentModelIndex
KEPT = 20_000
FLUSH_MS = 100
LEVEL_ROLE = Qt.ItemDataRole.UserRole + 1


class LogModel(QAbstractListModel):
    """The last lines of the log, oldest first."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("log_model")
        self.longest = 0  # letters of the longest line so far
        self._lines: deque[LogLine] = deque()
        self._pending: list[LogLine] = []
        self._timer = QTimer(self, objectName="log_flush", singleShot=True, interval=FLUSH_MS)
        self._timer.timeout.connect(self.flush)

    def add(self, line: LogLine) -> None:
        """Take one line; it is shown within a tenth of a second."""
        self._pending.append(line)
        if not self._timer.isActive():
            self._timer.start()

    def flush(self) -> None:
        """Show what is pending and forget the oldest lines above the limit."""
        self._timer.stop()
        new, self._pending = self._pending[-KEPT:], []
        if not new:
            return
        excess = len(self._lines) + len(new) - KEPT
        if excess > 0:
            self.beginRemoveRows(QModelIndex(), 0, excess - 1)
            for _ in range(excess):
                self._lines.popleft()
            self.endRemoveRows()
        self.longest = max(self.longest, *(len(line.source) + len(line.text) + 2 for line in new))
        first = len(self._lines)
        self.beginInsertRows(QModelIndex(), first, first + len(new) - 1)
        self._lines.extend(new)
        self.endInsertRows()

    def clear(self) -> None:
        """Forget everything."""
        self.beginResetModel()
        self._lines.clear()
        self._pending.clear()
        self.longest = 0
        self.endResetModel()

    def text(self) -> str:
        """Every line, for the clipboard."""
        self.flush()
        return "\n".join(_shown(line) for line in self._lines)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of lines."""
        return 0 if parent.isValid() else len(self._lines)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A line's text, level and colour."""
        if not index.isValid():
            return None
        line = self._lines[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return _shown(line)
        if role == LEVEL_ROLE:
            return line.level
        if role == Qt.ItemDataRole.ForegroundRole:
            table = theme.tokens()
            colour = {"error": table.danger, "warning": table.warning, "debug": table.muted}.get(line.level)
            return QColor(colour) if colour else None
        return None


def _shown(line: LogLine) -> str:
    return f"{line.source}: {line.text}" if line.source else line.text
