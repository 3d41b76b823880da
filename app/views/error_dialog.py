"""One window that lists what went wrong: what, why, and what to do; the details open on request."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.notifications import Notification
from core.errors import QuantiscopeError

KEPT = 20


class ErrorCard(QFrame):
    """One error."""

    def __init__(self, notification: Notification, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("error_card")
        theme.set_role(self, "card")
        error = notification.error or QuantiscopeError(notification.text)
        self.what = self._label("error_what", f"{error.what[:1].upper()}{error.what[1:]}", "error")
        font = self.what.font()
        font.setBold(True)
        self.what.setFont(font)
        self.when = self._label("error_when", f"{notification.when:%H:%M:%S}", "muted")
        self.why = self._label("error_why", f"Cause: {error.why}" if error.why else "", "")
        self.remedy = self._label("error_remedy", f"What to do: {error.remedy}" if error.remedy else "", "")
        self.details = QPlainTextEdit(error.details.strip(), self, objectName="error_details", readOnly=True)
        self.details.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.details.setAccessibleName("Details of the error")
        self.details.setMinimumHeight(140)
        self.details.hide()
        self.toggle = QPushButton("Details", self, objectName="error_toggle", checkable=True)
        self.toggle.setVisible(bool(error.details.strip()))
        self.copy_button = QPushButton("Copy", self, objectName="error_copy")
        self._text = "\n".join(part for part in (str(error), error.details) if part)
        self._arrange()
        self.toggle.toggled.connect(self.details.setVisible)
        self.copy_button.clicked.connect(self._on_copy)

    def _label(self, name: str, text: str, role: str) -> QLabel:
        label = QLabel(text, self, objectName=name, wordWrap=True)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        label.setVisible(bool(text))
        theme.set_role(label, role)
        return label

    def _arrange(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.what, 1)
        head.addWidget(self.when, 0, Qt.AlignmentFlag.AlignTop)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.toggle)
        buttons.addWidget(self.copy_button)
        layout = QVBoxLayout(self)
        layout.addLayout(head)
        for widget in (self.why, self.remedy, self.details):
            layout.addWidget(widget)
        layout.addLayout(buttons)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._text)


class ErrorDialog(QDialog):
    """Not modal: the window stays usable. The newest error is on top."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("error_dialog")
        self.setWindowTitle("Errors and remedies")
        self.resize(620, 380)
        self.cards: list[ErrorCard] = []
        body = QWidget(self, objectName="error_body")
        self._body = QVBoxLayout(body)
        self._none = QLabel("Nothing went wrong so far.", body, objectName="error_none")
        theme.set_role(self._none, "muted")
        self._body.addWidget(self._none)
        self._body.addStretch(1)
        area = QScrollArea(self, objectName="error_area", widgetResizable=True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setAccessibleName("Errors, newest first")
        area.setWidget(body)
        self.close_button = QPushButton("Close", self, objectName="error_close", default=True)
        self.close_button.clicked.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(area, 1)
        layout.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignRight)

    def add(self, notification: Notification) -> None:
        """Put an error on top and forget the oldest above the limit."""
        self._none.hide()
        card = ErrorCard(notification, self)
        self._body.insertWidget(0, card)
        self.cards.insert(0, card)
        for old in self.cards[KEPT:]:
            old.deleteLater()
        del self.cards[KEPT:]

    def present(self) -> None:
        """Show it in front."""
        self.show()
        self.raise_()
        self.activateWindow()
