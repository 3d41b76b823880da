"""What an export found: a badge for exactness, and latency and resources beside their estimate."""

from __future__ import annotations

from PySide6.QtCore import QUrl
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
from core.hls.report import Exactness, ExportReport, SynthesisReport

DASH = "\N{EN DASH}"
#: row label, field of SynthesisReport, unit, key in `percent`
ROWS = (
    ("Latency", "latency_cycles", "cycles", ""), ("Latency", "latency_ns", "ns", ""),
    ("Initiation interval", "ii", "cycles", ""), ("DSP", "dsp", "", "dsp"), ("LUT", "lut", "", "lut"),
    ("FF", "ff", "", "ff"), ("BRAM (36 kbit)", "bram", "", "bram"),
)
_FLOWS = {"c++": "C++ emulation", "rtl": "RTL"}


class ReportView(QWidget):
    """Shows one ExportReport; `show_report(None)` clears it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("report_view")
        self.badge = QFrame(self, objectName="exactness_badge")
        self.badge_text = QLabel("", self.badge, objectName="exactness_text", wordWrap=True)
        QHBoxLayout(self.badge).addWidget(self.badge_text)
        self.note = QLabel("", self, objectName="exactness_note", wordWrap=True)
        theme.set_role(self.note, "muted")
        self.table = QTableWidget(len(ROWS), 3, self, objectName="report_table")
        self.table.setHorizontalHeaderLabels(["", "Synthesis", "Estimate"])
        self.table.setAccessibleName("Latency and resources")
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.source = QLabel("", self, objectName="report_source", wordWrap=True)
        theme.set_role(self.source, "muted")
        self.open_folder = QPushButton("Open folder", self, objectName="open_export_folder")
        self.open_folder.clicked.connect(self._on_open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.badge, self.note, self.table, self.source, self.open_folder):
            layout.addWidget(widget)
        self._directory = ""
        theme.manager().changed.connect(self._paint_badge)
        self.show_report(None)

    def show_report(self, report: ExportReport | None) -> None:
        """Show this report, or that there is none."""
        self._report = report
        self._directory = report.directory if report else ""
        self.open_folder.setEnabled(bool(report))
        self._show_exactness(report.exactness if report else None)
        for row, (label, field, unit, share) in enumerate(ROWS):
            self._cell(row, 0, f"{label} ({unit})" if unit else label, "")
            results = (report.synthesis, report.estimate) if report else (None, None)
            for column, figures in enumerate(results, start=1):
                self._cell(row, column, *_figure(figures, field, share))
        self.table.setFixedHeight(self.table.horizontalHeader().sizeHint().height()
                                  + sum(self.table.rowHeight(row) for row in range(len(ROWS))) + 4)
        self.source.setText(_source(report))

    def _cell(self, row: int, column: int, text: str, tip: str) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        self.table.setItem(row, column, item)

    def _show_exactness(self, exactness: Exactness | None) -> None:
        self.badge.setVisible(exactness is not None)
        self.note.setVisible(exactness is not None)
        if exactness is None:
            return
        names = ["Keras", *(_FLOWS.get(flow, flow) for flow in exactness.flows)]
        if exactness.verified:
            text = f"Bit-exact: {' = '.join(names)} on {exactness.events:,} test events, every value"
        else:
            text = f"NOT bit-exact: {exactness.mismatches:,} values differ. {_first(exactness)}"
        self.badge_text.setText(text)
        self.badge.setAccessibleName(text)
        self.note.setText(exactness.note)
        self._paint_badge()

    def _paint_badge(self) -> None:
        exactness = self._report.exactness if getattr(self, "_report", None) else None
        if exactness is None:
            return
        theme.set_role(self.badge, "badge-good" if exactness.verified else "badge-bad")
        ink = "#ffffff" if not theme.tokens().is_dark else "#08131f"
        self.badge_text.setStyleSheet(f"color: {ink}; font-weight: 600;")

    def _on_open(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self._directory))


def _figure(figures: SynthesisReport | None, field: str, share: str) -> tuple[str, str]:
    if figures is None:
        return DASH, "Not computed for this export"
    value = getattr(figures, field)
    if value is None:
        return DASH, f"{figures.tool} does not tell"
    text = f"{value:,.0f}" if isinstance(value, int) or float(value).is_integer() else f"{value:,.1f}"
    if share in figures.percent:
        text += f"  ({figures.percent[share]:.2f} %)"
    return text, f"{figures.tool} {figures.tool_version}, {figures.stage}. {figures.note}"


def _first(exactness: Exactness) -> str:
    for flow, check in exactness.flows.items():
        if check.first is not None:
            first = check.first
            return (f"First in {_FLOWS.get(flow, flow)}: event {first.event}, output {first.output},"
                    f" expected {first.expected:g}, found {first.found:g} ({first.cause})")
    return "Nothing was compared."


def _source(report: ExportReport | None) -> str:
    if report is None:
        return "No export yet: choose a candidate and press Generate and synthesize."
    parts = [f"Candidate {report.candidate_id}, {report.part}, {report.clock_ns:g} ns clock; percent are of this part."]
    if report.synthesis:
        parts.append(f"{report.synthesis.tool} {report.synthesis.tool_version}: {report.synthesis.note}")
    return " ".join([*parts, *report.warnings])
