"""From a candidate to firmware: flow, part, clock; generate, prove, synthesize; the tools' log and the report."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.session import Session
from app.views.report_view import ReportView
from core.errors import Cancelled, QuantiscopeError
from core.events import LogLine, Progress
from core.hls.parts import parts
from core.hls.report import ExportReport
from core.hls.tools import Tool, survey
from core.requests import Export

FLOWS = {"both": "RTL and C++, both proved", "rtl": "RTL (alkaid, Yosys)", "hls4ml": "hls4ml project for Vitis"}
NEEDED = {"both": ("hls4ml", "alkaid", "verilator", "yosys", "g++"), "rtl": ("alkaid", "verilator", "yosys", "g++"),
          "hls4ml": ("hls4ml", "g++")}
LOG_LINES = 5000


class ExportPanel(QWidget):
    """The export form on the left, its log and report on the right."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("export_panel")
        self._session = session
        self._tools: dict[str, Tool] = {tool.name: tool for tool in survey()}
        self.report = ReportView(self)
        self.log = QPlainTextEdit(self, objectName="export_log", readOnly=True, maximumBlockCount=LOG_LINES)
        self.log.setAccessibleName("Log of the export")
        self.log.setPlaceholderText("The tools' output appears here while they run.")
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        left = self._build_form()
        right = QSplitter(Qt.Orientation.Vertical, self, objectName="export_splitter")
        right.addWidget(self.report)
        right.addWidget(self.log)
        right.setStretchFactor(1, 1)
        layout = QHBoxLayout(self)
        layout.addWidget(left)
        layout.addWidget(right, 1)
        session.projectChanged.connect(self._on_project)
        session.selectionChanged.connect(self._on_selection)
        session.exportStateChanged.connect(self._on_state)
        session.exportFinished.connect(self.report.show_report)
        session.jobLogged.connect(self._on_log)
        session.jobStage.connect(self._on_stage)
        session.jobProgress.connect(self._on_progress)
        session.errorRaised.connect(self._on_error)
        self._on_project()

    def _build_form(self) -> QWidget:
        defaults = Export(project="", candidate_id="")
        box = QWidget(self, objectName="export_form")
        box.setFixedWidth(330)
        self.candidate = QLabel("", box, objectName="export_candidate", wordWrap=True)
        self.flow = QComboBox(box, objectName="export_flow", toolTip="What is generated and checked")
        for key, label in FLOWS.items():
            self.flow.addItem(label, key)
        self.part = QComboBox(box, objectName="export_part", toolTip="The FPGA; percentages are of its resources")
        for part in parts():
            self.part.addItem(f"{part.family}", part.name)
            tip = f"{part.name}: {part.lut:,} LUT, {part.ff:,} FF, {part.dsp:,} DSP"
            self.part.setItemData(self.part.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.part.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.clock = QDoubleSpinBox(box, objectName="export_clock", minimum=0.5, maximum=1000, decimals=2,
                                    value=defaults.clock_ns, suffix=" ns", toolTip="Clock period; 5 ns are 200 MHz")
        self.events = QSpinBox(box, objectName="export_events", minimum=1, maximum=1_000_000, value=defaults.events,
                               toolTip="Test events on which Keras and the firmware are compared")
        form = QFormLayout()
        form.addRow("Candidate", self.candidate)
        for label, widget in (("Flow", self.flow), ("Part", self.part), ("Clock", self.clock), ("Events", self.events)):
            widget.setAccessibleName(label)
            form.addRow(label, widget)
        self.tools = QLabel("", box, objectName="export_tools", wordWrap=True)
        self.start = QPushButton("Generate and synthesize", box, objectName="export_start")
        theme.set_role(self.start, "primary")
        self.cancel = QPushButton("Cancel", box, objectName="export_cancel")
        self.bar = QProgressBar(box, objectName="export_progress", textVisible=False, maximum=0)
        self.bar.setAccessibleName("Progress of the export")
        self.stage = QLabel("", box, objectName="export_stage", wordWrap=True)
        theme.set_role(self.stage, "muted")
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 8, 0)
        layout.addLayout(form)
        for widget in (self.tools, self.start, self.cancel, self.bar, self.stage):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.flow.currentIndexChanged.connect(self._show_tools)
        self.start.clicked.connect(self._on_start)
        self.cancel.clicked.connect(self._session.cancel_export)
        self._show_tools()
        return box

    # -- acting ------------------------------------------------------------------------------------

    def request_fields(self) -> dict[str, object]:
        """What the form asks for, as fields of core.requests.Export."""
        return {"flow": self.flow.currentData(), "part": self.part.currentData(), "clock_ns": self.clock.value(),
                "events": self.events.value()}

    def _on_start(self) -> None:
        self.log.clear()
        self._session.start_export(**self.request_fields())

    # -- following ---------------------------------------------------------------------------------

    def _on_project(self) -> None:
        exports: list[ExportReport] = self._session.exports
        self.report.show_report(exports[-1] if exports else None)
        self._on_selection()
        self._on_state(self._session.export_state)

    def _on_selection(self) -> None:
        chosen = self._session.selected
        if chosen is None:
            self.candidate.setText("none: select a point of the front")
        else:
            self.candidate.setText(f"{chosen.id}: accuracy {chosen.evaluation.accuracy:.4f},"
                                   f" {chosen.costs.energy_pj:.0f} pJ")
        self._on_state(self._session.export_state)

    def _on_state(self, state: str) -> None:
        idle = state == "idle"
        missing = [name for name in NEEDED[self.flow.currentData()] if not self._tools[name].found]
        self.start.setEnabled(idle and self._session.selected is not None and not missing)
        self.cancel.setEnabled(state == "running")
        self.cancel.setText("Stopping…" if state == "stopping" else "Cancel")
        self.bar.setVisible(not idle)
        self.stage.setVisible(not idle)
        for widget in (self.flow, self.part, self.clock, self.events):
            widget.setEnabled(idle)

    def _on_stage(self, name: str) -> None:
        if self._session.export_state != "idle":
            self.bar.setMaximum(0)
            self.stage.setText(f"{name[:1].upper()}{name[1:]}…")

    def _on_progress(self, progress: Progress) -> None:
        if self._session.export_state == "idle" or not progress.total:
            return
        self.bar.setMaximum(1000)
        self.bar.setValue(int(1000 * progress.done / progress.total))
        left = f", about {progress.remaining_s:.0f} s left" if progress.remaining_s is not None else ""
        self.stage.setText(f"{progress.message}: {progress.done:.0f} of {progress.total:.0f}{left}")

    def _on_log(self, line: LogLine) -> None:
        if self._session.export_state == "idle" or line.level == "debug":
            return
        text = html.escape(f"{line.source}: {line.text}" if line.source else line.text)
        if line.level == "error":
            text = f'<span style="color:{theme.tokens().danger}; font-weight:600">{text}</span>'
        self.log.appendHtml(text)

    def _on_error(self, error: QuantiscopeError | Cancelled) -> None:
        if self._session.export_state != "idle":
            self._on_log(LogLine(str(error), "error"))

    def _show_tools(self) -> None:
        lines = []
        for name in NEEDED[self.flow.currentData()]:
            tool = self._tools[name]
            lines.append(f"✓ {name} {tool.version}" if tool.found else
                         f"✗ {name} is missing ({html.escape(tool.purpose)}). Install it with:<br><code>"
                         f"{html.escape(tool.install)}</code>")
        self.tools.setText("<br>".join(lines))
        if hasattr(self, "start"):
            self._on_state(self._session.export_state)
