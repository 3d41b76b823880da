"""The log: follows the newest line unless the user has scrolled up."""

from __future__ import annotations

from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QListView, QPushButton, QVBoxLayout, QWidget

from app.models.log_model import LogModel
from app.session import Session


class LogView(QWidget):
    """Log lines: those of every job where a session is given, else those that `lines.add` is given."""

    def __init__(self, session: Session | None, parent: QWidget | None = None, name: str = "log") -> None:
        super().__init__(parent)
        self.setObjectName(f"{name}_view")
        self.lines = LogModel(self)
        self.list = QListView(self, objectName=f"{name}_list")
        self.list.setAccessibleName("Log")
        self.list.setModel(self.lines)
        self.list.setUniformItemSizes(True)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.copy_button = QPushButton("Copy all", self, objectName=f"{name}_copy")
        self.clear_button = QPushButton("Clear", self, objectName=f"{name}_clear")
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.copy_button)
        row.addWidget(self.clear_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 6)
        layout.addWidget(self.list, 1)
        layout.addLayout(row)
        self._following = True
        if session is not None:
            session.jobLogged.connect(self.lines.add)
        self.lines.rowsAboutToBeInserted.connect(self._before_lines)
        self.lines.rowsInserted.connect(self._after_lines)
        self.copy_button.clicked.connect(self._on_copy)
        self.clear_button.clicked.connect(self.lines.clear)

    def _before_lines(self, *_: object) -> None:
        bar = self.list.verticalScrollBar()
        self._following = bar.value() >= bar.maximum() - 2

    def _after_lines(self, *_: object) -> None:
        if self._following:
            self.list.scrollToBottom()

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.lines.text())
