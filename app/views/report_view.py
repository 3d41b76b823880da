"""What an export found: a badge for exactness, and latency and resources beside their estimate."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.models import report_rows
from core.hls.report import Exactness, ExportReport


class ReportView(QWidget):
    """Shows one ExportReport; `show_report(None)` clears it.

    Signals:
        saveWanted(): the report shown is to be saved.
    """

    saveWanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("report_view")
        self._report: ExportReport | None = None
        self.badge = QFrame(self, objectName="exactness_badge")
        self.badge_text = QLabel("", self.badge, objectName="exactness_text", wordWrap=True)
        self.note = QLabel("", self.badge, objectName="exactness_note", wordWrap=True)
        inside = QVBoxLayout(self.badge)
        inside.setContentsMargins(12, 8, 12, 8)
        inside.setSpacing(2)
        inside.addWidget(self.badge_text)
        inside.addWidget(self.note)
        self._make_table()
        self.source = QLabel("", self, objectName="report_source", wordWrap=True)
        theme.set_role(self.source, "muted")
        self.warnings = QLabel("", self, objectName="report_warnings", wordWrap=True)
        theme.set_role(self.warnings, "warning")
        self.open_folder = QPushButton("Open folder", self, objectName="open_export_folder")
        self.open_folder.clicked.connect(self._on_open)
        self.save = QPushButton("Save report\u2026", self, objectName="save_report")
        self.save.setToolTip("Figures, plots and provenance as one HTML or PDF file")
        self.save.clicked.connect(self.saveWanted)
        below = QHBoxLayout()
        below.addWidget(self.source, 1)
        below.addWidget(self.save, 0, Qt.AlignmentFlag.AlignTop)
        below.addWidget(self.open_folder, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.badge, self.table, self.warnings):
            layout.addWidget(widget)
        layout.addLayout(below)
        layout.addStretch(1)
        theme.manager().changed.connect(self._paint_badge)
        self.show_report(None)

    def _make_table(self) -> None:
        self.table = QTableWidget(0, 0, self, objectName="report_table")
        self.table.setAccessibleName("Latency and resources")
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setAlternatingRowColors(True)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setHighlightSections(False)

    @property
    def report(self) -> ExportReport | None:
        """What is shown."""
        return self._report

    def show_report(self, report: ExportReport | None) -> None:
        """Show this report, or that there is none."""
        self._report = report
        for button in (self.open_folder, self.save):
            button.setVisible(report is not None)
        self._show_exactness(report.exactness if report else None)
        self._fill(report)
        self.table.setVisible(report is not None)
        self.source.setText(report_rows.source(report))
        self.warnings.setText("\n".join(report.warnings) if report else "")
        self.warnings.setVisible(bool(report and report.warnings))

    def _fill(self, report: ExportReport | None) -> None:
        columns = report_rows.columns(report)
        rows = report_rows.rows(columns)
        self.table.setRowCount(len(rows))
        self.table.setColumnCount(1 + 2 * len(columns))
        self._head(["", *(text for column in columns for text in (column.title, "Of the part"))])
        part = report.part if report else ""
        for number, row in enumerate(rows):
            self._cell(number, 0, row.label, "")
            for place, column in enumerate(columns):
                self._cell(number, 1 + 2 * place, *report_rows.figure(column.figures, row.field))
                self._cell(number, 2 + 2 * place, *report_rows.share(column.figures, row, part))
        self.table.setCurrentItem(None)
        height = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(height + sum(self.table.rowHeight(row) for row in range(len(rows))) + 4)

    def _head(self, titles: list[str]) -> None:
        self.table.setHorizontalHeaderLabels(titles)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        for column in range(len(titles)):
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            self.table.horizontalHeaderItem(column).setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)

    def _cell(self, row: int, column: int, text: str, tip: str) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
        if column:
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.table.setItem(row, column, item)

    def _show_exactness(self, exactness: Exactness | None) -> None:
        self.badge.setVisible(self._report is not None)
        text, note = report_rows.badge(exactness)
        self.badge_text.setText(text)
        self.badge.setAccessibleName(text)
        self.note.setText(note)
        self.note.setVisible(bool(note))
        self._paint_badge()

    def _paint_badge(self) -> None:
        exactness = self._report.exactness if self._report else None
        good = exactness is not None and exactness.verified
        theme.set_role(self.badge, "badge-good" if good else "badge-bad")
        ink = "#08131f" if theme.tokens().is_dark else "#ffffff"
        self.badge_text.setStyleSheet(f"color: {ink}; font-weight: 600;")
        self.note.setStyleSheet(f"color: {ink};")

    def _on_open(self) -> None:
        if self._report is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self._report.directory))
