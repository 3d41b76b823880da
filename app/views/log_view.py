"""The log: follows the newest line unless the user has scrolled up."""

from __future__ import annotations

from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QPushButton, QTableView, QVBoxLayout, QWidget

from app.models.log_model import LogModel
from app.session import Session

_MARGIN = 8


class LogView(QWidget):
    """Log lines: those of every job where a session is given, else those that `lines.add` is given."""

    def __init__(self, session: Session | None, parent: QWidget | None = None, name: str = "log") -> None:
        super().__init__(parent)
        self.setObjectName(f"{name}_view")
        self.lines = LogModel(self)
        self.list = QTableView(self, objectName=f"{name}_list")
        self.list.setAccessibleName("Log")
        self.list.setModel(self.lines)
        # a list view lays every line out again at each burst: 150 ms at 20,000 lines, a table takes 15
        self.list.horizontalHeader().hide()
        self.list.verticalHeader().hide()
        self.list.setShowGrid(False)
        self.list.setWordWrap(False)
        self.list.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        metrics = self.list.fontMetrics()
        self._letter = metrics.horizontalAdvance("m")
        header = self.list.verticalHeader()
        header.setMinimumSectionSize(1)
        header.setDefaultSectionSize(metrics.height() + 1)
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
        self.list.verticalScrollBar().rangeChanged.connect(self._on_range)
        self.copy_button.clicked.connect(self._on_copy)
        self.clear_button.clicked.connect(self.lines.clear)

    def _before_lines(self, *_: object) -> None:
        bar = self.list.verticalScrollBar()
        self._following = bar.value() >= bar.maximum() - 2

    def _after_lines(self, *_: object) -> None:
        width = max(self.lines.longest * self._letter + 2 * _MARGIN, self.list.viewport().width())
        if width != self.list.columnWidth(0):
            self.list.setColumnWidth(0, width)

    def _on_range(self, _: int, end: int) -> None:
        """The bar knows of new lines only once they are laid out."""
        if self._following:
            self.list.verticalScrollBar().setValue(end)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.lines.text())
