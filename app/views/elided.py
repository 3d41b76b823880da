"""What keeps the window small: lines of text that end in an ellipsis, and scroll bars around what needs room."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QToolTip, QWidget

#: least width, in pixels: a few letters
LEAST = 36


def scrolled(widget: QWidget, name: str) -> QScrollArea:
    """A widget within scroll bars, which show where there is too little room for it."""
    area = QScrollArea(objectName=name, widgetResizable=True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(widget)
    return area


class ElidedLabel(QLabel):
    """One line of plain text; `text()` is all of it, and so is the tool tip where it is cut."""

    def minimumSizeHint(self) -> QSize:
        """A few letters."""
        hint = super().minimumSizeHint()
        return QSize(min(LEAST, hint.width()), hint.height())

    @property
    def shown(self) -> str:
        """The text as it is painted."""
        return self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.contentsRect().width())

    def paintEvent(self, event: QPaintEvent) -> None:
        """As much of the text as there is room for."""
        painter = QPainter(self)
        flags = self.alignment() | Qt.TextFlag.TextSingleLine
        self.style().drawItemText(painter, self.contentsRect(), int(flags), self.palette(), self.isEnabled(),
                                  self.shown, self.foregroundRole())
        painter.end()

    def event(self, event: QEvent) -> bool:
        """The whole text as a tool tip, unless there is another."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and not self.toolTip() \
                and self.shown != self.text():
            QToolTip.showText(event.globalPos(), self.text(), self)
            return True
        return super().event(event)
