"""A figure with its name above and a remark below."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app import theme
from app.views.elided import ElidedLabel


class Card(QFrame):
    """A figure with its name above and a remark below."""

    def __init__(self, name: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"card_{name}")
        theme.set_role(self, "card")
        self.title = ElidedLabel(title, self, objectName=f"{name}_title")
        theme.set_role(self.title, "muted")
        self.figure = ElidedLabel("\u2013", self, objectName=f"{name}_figure")
        theme.set_role(self.figure, "figure")
        self.remark = ElidedLabel("", self, objectName=f"{name}_remark")
        theme.set_role(self.remark, "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(1)
        for label in (self.title, self.figure, self.remark):
            layout.addWidget(label)

    def show_figure(self, figure: str, remark: str = "", title: str = "") -> None:
        """Show a figure; a screen reader hears title, figure and remark."""
        if title:
            self.title.setText(title)
        self.figure.setText(figure)
        self.remark.setText(remark)
        self.figure.setAccessibleName(f"{self.title.text()}: {figure} {remark}".strip())
