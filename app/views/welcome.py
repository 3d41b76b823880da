"""The first page: open a model, a project, a recent one, or the demo."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app import icons, theme

SHOWN = 6


class Welcome(QWidget):
    """Says what can be opened; the window does it.

    Signals:
        modelWanted(), projectWanted(), demoWanted(), recentWanted(folder as str).
    """

    modelWanted = Signal()
    projectWanted = Signal()
    demoWanted = Signal()
    recentWanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("welcome")
        self.box = QFrame(self, objectName="welcome_box")
        theme.set_role(self.box, "card")
        self.box.setFixedWidth(560)
        self.inner = QVBoxLayout(self.box)
        self.inner.setContentsMargins(36, 30, 36, 30)
        self.inner.setSpacing(12)
        self._head()
        self._choices()
        self.recent_title = QLabel("Recent projects", self.box, objectName="recent_title")
        theme.set_role(self.recent_title, "heading")
        self.inner.addWidget(self.recent_title)
        self.recent = QVBoxLayout()
        self.recent.setSpacing(0)
        self.inner.addLayout(self.recent)
        layout = QVBoxLayout(self)
        layout.addWidget(self.box, 0, Qt.AlignmentFlag.AlignCenter)
        self.set_recent([])

    def set_recent(self, folders: list[Path]) -> None:
        """List these project folders, newest first."""
        while self.recent.count():
            self.recent.takeAt(0).widget().deleteLater()
        self.recent_title.setVisible(bool(folders))
        for number, folder in enumerate(folders[:SHOWN]):
            button = QPushButton(f"{folder.stem}   \u2014   {folder.parent}", self.box, objectName=f"recent_{number}")
            theme.set_role(button, "link")
            button.setProperty("folder", str(folder))
            button.setToolTip(str(folder))
            button.clicked.connect(self._on_recent)
            self.recent.addWidget(button)

    def _head(self) -> None:
        row = QHBoxLayout()
        logo = QLabel(self.box, objectName="welcome_logo")
        logo.setPixmap(icons.application_icon().pixmap(52, 52))
        title = QLabel("Quantiscope", self.box, objectName="welcome_title")
        theme.set_role(title, "title")
        row.addWidget(logo)
        row.addWidget(title, 1)
        self.inner.addLayout(row)
        what = QLabel("Take a trained Keras model to trigger firmware: choose quantizers, see energy, bits and"
                      " accuracy, search the front, export and prove it.", self.box,
                      objectName="welcome_text", wordWrap=True)
        theme.set_role(what, "muted")
        self.inner.addWidget(what)

    def _choices(self) -> None:
        row = QHBoxLayout()
        for name, text, role, signal in (
            ("welcome_model", "Open a model\u2026", "primary", self.modelWanted),
            ("welcome_project", "Open a project\u2026", "", self.projectWanted),
            ("welcome_demo", "Try the demo", "", self.demoWanted),
        ):
            button = QPushButton(text, self.box, objectName=name)
            theme.set_role(button, role)
            button.setMinimumHeight(36)
            button.clicked.connect(signal)
            row.addWidget(button, 1)
        self.inner.addLayout(row)

    def _on_recent(self) -> None:
        button = self.sender()
        if button is not None:
            self.recentWanted.emit(button.property("folder"))
