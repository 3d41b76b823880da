"""Every action of the window by typing part of its name: the command palette."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QDialog, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

WIDTH, HEIGHT = 520, 380
_MOVES = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


def match(wanted: str, text: str) -> float | None:
    """How well a text holds the letters of `wanted` in their order; smaller is better, None where it does not.

    Letters that stand together, and at the beginning of words, count as nearer.
    """
    at, cost = -1, 0.0
    for letter in wanted.lower().replace(" ", ""):
        found = text.lower().find(letter, at + 1)
        if found < 0:
            return None
        begins = found == 0 or not text[found - 1].isalnum()
        cost += 0 if found == at + 1 else (0.5 if begins else 1 + 0.05 * (found - at))
        at = found
    return cost + 0.01 * len(text)


class CommandPalette(QDialog):
    """A line to type in and the actions that fit; Enter runs the chosen one.

    Args:
        actions: all that may be run; those not enabled are listed grey.
    """

    def __init__(self, actions: Iterable[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("command_palette")
        self.setWindowTitle("Run an action")
        self.resize(WIDTH, HEIGHT)
        self._actions = [action for action in actions if action.text() and not action.isSeparator()]
        self.line = QLineEdit(self, objectName="palette_line", placeholderText="Type part of an action's name")
        self.line.setAccessibleName("Action to run")
        self.list = QListWidget(self, objectName="palette_list", uniformItemSizes=True)
        self.list.setAccessibleName("Actions that fit")
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.addWidget(self.line)
        layout.addWidget(self.list, 1)
        self.line.textChanged.connect(self._fill)
        self.line.returnPressed.connect(self._run)
        self.list.itemClicked.connect(self._run)
        self.line.installEventFilter(self)
        self._fill("")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys move in the list while the line keeps the focus."""
        if watched is self.line and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress \
                and event.key() in _MOVES:
            self.list.keyPressEvent(event)
            return True
        return super().eventFilter(watched, event)

    def _fill(self, wanted: str) -> None:
        self.list.clear()
        scored = []
        for number, action in enumerate(self._actions):
            costs = [cost for cost in (match(wanted, _plain(action)), match(wanted, action.statusTip())) if
                     cost is not None]
            if costs:
                scored.append((not action.isEnabled(), min(costs) if wanted else 0.0, number, action))
        for _, _, _, action in sorted(scored, key=lambda entry: entry[:3]):
            keys = action.shortcut().toString()
            item = QListWidgetItem(f"{_plain(action)}    {keys}" if keys else _plain(action))
            item.setIcon(action.icon())
            item.setToolTip(action.statusTip())
            item.setData(Qt.ItemDataRole.UserRole, action)
            if not action.isEnabled():
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _run(self, *_: object) -> None:
        item = self.list.currentItem()
        if item is not None and item.flags() & Qt.ItemFlag.ItemIsEnabled:
            action = item.data(Qt.ItemDataRole.UserRole)
            self.accept()
            action.trigger()


def _plain(action: QAction) -> str:
    return action.text().replace("&", "").rstrip("\u2026")
