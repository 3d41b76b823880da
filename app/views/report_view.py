"""What an export found: a badge for exactness, and latency and resources beside their estimate."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt, QUrl
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
_FLOWS = {"c++": "C++ emulation", "rtl": "RTL simulation"}
_HEADS = ("", "Synthesis", "Of the part", "Estimate", "Of the part")


@dataclass(frozen=True)
class Row:
    """A line of the table: its label, the field of SynthesisReport, and whether the part has a number of these."""

    label: str
    field: str
    shared: bool = False


ROWS = (Row("Latency (clock cycles)", "latency_cycles"), Row("Latency (ns)", "latency_ns"),
        Row("Initiation interval (clock cycles)", "ii"), Row("DSP", "dsp", True), Row("LUT", "lut", True),
        Row("FF", "ff", True), Row("BRAM (36 kbit)", "bram", True))


class ReportView(QWidget):
    """Shows one ExportReport; `show_report(None)` clears it."""

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
        below = QHBoxLayout()
        below.addWidget(self.source, 1)
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
        self.table = QTableWidget(len(ROWS), len(_HEADS), self, objectName="report_table")
        self.table.setHorizontalHeaderLabels(list(_HEADS))
        self.table.setAccessibleName("Latency and resources")
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setAlternatingRowColors(True)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        for column in range(len(_HEADS)):
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            self.table.horizontalHeaderItem(column).setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)

    def show_report(self, report: ExportReport | None) -> None:
        """Show this report, or that there is none."""
        self._report = report
        self.open_folder.setVisible(report is not None)
        self._show_exactness(report.exactness if report else None)
        synthesis, estimate = (report.synthesis, report.estimate) if report else (None, None)
        for number, row in enumerate(ROWS):
            self._cell(number, 0, row.label, "")
            for column, figures in ((1, synthesis), (3, estimate)):
                self._cell(number, column, *_figure(figures, row.field))
                self._cell(number, column + 1, *_share(figures, row, report.part if report else ""))
        self.table.setCurrentItem(None)
        height = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(height + sum(self.table.rowHeight(row) for row in range(len(ROWS))) + 4)
        self.table.setVisible(report is not None)
        self.source.setText(_source(report))
        self.warnings.setText("\n".join(report.warnings) if report else "")
        self.warnings.setVisible(bool(report and report.warnings))

    def _cell(self, row: int, column: int, text: str, tip: str) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
        if column:
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.table.setItem(row, column, item)

    def _show_exactness(self, exactness: Exactness | None) -> None:
        self.badge.setVisible(self._report is not None)
        text, note = _badge(exactness)
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


def _badge(exactness: Exactness | None) -> tuple[str, str]:
    """The badge's sentence and a remark below it; the sentence alone says what the colour says."""
    if exactness is None or not exactness.flows or not exactness.events:
        return "Not verified: nothing was compared", exactness.note if exactness else ""
    names = ["Keras", *(_FLOWS.get(flow, flow) for flow in exactness.flows)]
    if exactness.verified:
        return f"Bit-exact: {' = '.join(names)} on {exactness.events:,} test events", exactness.note
    return f"Not bit-exact: {exactness.mismatches:,} values differ from Keras", _first(exactness)


def _first(exactness: Exactness) -> str:
    for flow, check in exactness.flows.items():
        if check.first is not None:
            first = check.first
            cause = f" ({first.cause})" if first.cause else ""
            layer = f", layer {first.layer}" if first.layer else ""
            return (f"{_FLOWS.get(flow, flow)}: {check.mismatches:,} of {check.values:,} values. First: event"
                    f" {first.event}, output {first.output}{layer}, expected {first.expected:g},"
                    f" found {first.found:g}{cause}.")
    return exactness.note


def _figure(figures: SynthesisReport | None, field: str) -> tuple[str, str]:
    if figures is None:
        return DASH, "Not computed for this export"
    value = getattr(figures, field)
    if value is None:
        return DASH, f"{figures.tool} does not tell"
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return text, f"{figures.tool} {figures.tool_version}, {figures.stage}. {figures.note}"


def _share(figures: SynthesisReport | None, row: Row, part: str) -> tuple[str, str]:
    if not row.shared:
        return "", ""
    share = figures.percent.get(row.field) if figures is not None else None
    if share is None:
        return DASH, "The count or the part's total is not known"
    return f"{share:.2f} %", f"Share of the {row.label} of {part}"


def _source(report: ExportReport | None) -> str:
    if report is None:
        return "No export yet: select a candidate and press Generate and synthesize. The proof of bit-exactness," \
               " latency and resources appear here."
    parts = [f"Candidate {report.candidate_id} on {report.part}, {report.clock_ns:g} ns clock."]
    for title, figures in (("Synthesis", report.synthesis), ("Estimate", report.estimate)):
        if figures is not None:
            parts.append(f"{title}: {figures.tool} {figures.tool_version}. {figures.note}".strip())
    return "\n".join(parts)
