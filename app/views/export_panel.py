"""From a candidate to firmware: flow, part, clock; generate, prove, synthesize; the tools' log and the report."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.jobs.job import Job
from app.jobs.preflight import PreflightCheck
from app.session import Session
from app.views.elided import scrolled
from app.views.export_settings import Hls4mlSettings, RtlSettings, SynthesisSettings
from app.views.log_view import LogView
from app.views.preflight_view import PreflightView
from app.views.report_view import ReportView
from app.views.status_bar import duration
from core.errors import QuantiscopeError
from core.events import LogLine, Progress
from core.hls.parts import parts, source
from core.hls.report import ExportReport
from core.hls.synthesis_options import YOSYS
from core.hls.tools import Tool, find_tool
from core.requests import Export

FLOWS = {"both": "RTL and C++, both proved", "rtl": "RTL only (alkaid, Yosys)",
         "hls4ml": "C++ only (hls4ml project for Vitis)"}
_CPP = ("hls4ml", "g++")
_RTL = ("alkaid", "verilator", "perl", "g++", "make", "yosys")
NEEDED = {"both": tuple(dict.fromkeys(_CPP + _RTL)), "rtl": _RTL, "hls4ml": _CPP}
FORM_WIDTH = 330
FIELD_HEIGHT = 28


class ExportPanel(QWidget):
    """The export form on the left, its report and log on the right."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("export_panel")
        self._session = session
        self._tools: dict[str, Tool] = {}
        self._job: Job | None = None
        self.check = PreflightCheck(session.runner, self)
        self.report = ReportView(self)
        self.log = LogView(None, self, "export_log")
        self.log.list.setAccessibleName("Log of the export")
        left = self._build_form()
        self.splitter = QSplitter(Qt.Orientation.Vertical, self, objectName="export_splitter")
        self.history = QComboBox(self, objectName="export_history", toolTip="Every export of this project")
        self.history.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.history.setAccessibleName("Exports of this project")
        self.history.currentIndexChanged.connect(self._on_history)
        right = QWidget(self, objectName="export_results")
        above = QVBoxLayout(right)
        above.setContentsMargins(0, 0, 0, 0)
        above.addWidget(self.history)
        above.addWidget(scrolled(self.report, "export_report_area"), 1)
        self.splitter.addWidget(right)
        self.splitter.addWidget(self.log)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setSizes([460, 190])
        self.splitter.setChildrenCollapsible(False)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 8)
        layout.addWidget(left)
        layout.addWidget(self.splitter, 1)
        session.projectChanged.connect(self._on_project)
        session.selectionChanged.connect(self._on_selection)
        session.exportStateChanged.connect(self._on_state)
        session.exportFinished.connect(self._on_finished)
        self._on_project()

    def _build_form(self) -> QWidget:
        box = QWidget(self, objectName="export_form")
        box.setFixedWidth(FORM_WIDTH)
        self.candidate = QLabel("", box, objectName="export_candidate", wordWrap=True)
        self._build_fields(box)
        self.rtl, self.hls4ml, self.synthesis = RtlSettings(box), Hls4mlSettings(box), SynthesisSettings(box)
        self.tabs = QTabWidget(box, objectName="export_tabs", documentMode=True)
        self.tabs.setAccessibleName("Settings of the flows and of the synthesis")
        for page, title in ((self.rtl, "RTL"), (self.hls4ml, "C++ (hls4ml)"), (self.synthesis, "Synthesis")):
            self.tabs.addTab(page, title)
        self.tools = QLabel("", box, objectName="export_tools", wordWrap=True)
        self.tools.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.tools.setAccessibleName("Tools that are needed")
        self.preflight = PreflightView(self.check, box)
        self.start = QPushButton("Generate and synthesize", box, objectName="export_start")
        theme.set_role(self.start, "primary")
        self.cancel = QPushButton("Cancel", box, objectName="export_cancel")
        self.bar = QProgressBar(box, objectName="export_progress", textVisible=False, maximum=0)
        self.bar.setAccessibleName("Progress of the export")
        self.stage = QLabel("", box, objectName="export_stage", wordWrap=True)
        theme.set_role(self.stage, "muted")
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 8, 0)
        settings = QWidget(box, objectName="export_settings")
        inside = QVBoxLayout(settings)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addLayout(self.form)
        inside.addWidget(self.tabs, 1)
        area = scrolled(settings, "export_settings_area")
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout.addWidget(area, 1)
        for widget in (self.tools, self.preflight, self.start, self.cancel, self.bar, self.stage):
            layout.addWidget(widget)
        self.flow.currentIndexChanged.connect(self._on_flow)
        self.synthesis.changed.connect(self._on_flow)
        for signal in (self.part.currentIndexChanged, self.clock.valueChanged, self.events.valueChanged,
                       self.rtl.changed, self.hls4ml.changed):
            signal.connect(self._look)
        self.check.changed.connect(self._on_checked)
        self.start.clicked.connect(self._on_start)
        self.cancel.clicked.connect(self._session.cancel_export)
        return box

    def _build_fields(self, box: QWidget) -> None:
        defaults = Export(project="", candidate_id="")
        self.flow = QComboBox(box, objectName="export_flow", toolTip="What is generated and checked")
        for key, label in FLOWS.items():
            self.flow.addItem(label, key)
        self.part = QComboBox(box, objectName="export_part", toolTip=f"The FPGA; totals from: {source()}")
        for part in parts():
            self.part.addItem(f"{part.family} ({part.name})", part.name)
            tip = f"{part.name}: {part.lut:,} LUT, {part.ff:,} FF, {part.dsp:,} DSP, {part.bram:,} BRAM"
            self.part.setItemData(self.part.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.part.setCurrentIndex(max(self.part.findData(defaults.part), 0))
        self.part.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.clock = QDoubleSpinBox(box, objectName="export_clock", minimum=0.5, maximum=1000, decimals=2,
                                    value=defaults.clock_ns, suffix=" ns", toolTip="Clock period; 5 ns are 200 MHz")
        self.events = QSpinBox(box, objectName="export_events", minimum=1, maximum=1_000_000, value=defaults.events,
                               toolTip="Test events on which Keras and the firmware are compared")
        self.form = QFormLayout(horizontalSpacing=12)
        self.form.addRow("Candidate", self.candidate)
        for label, widget in (("Flow", self.flow), ("Part", self.part), ("Clock", self.clock),
                              ("Events", self.events)):
            widget.setAccessibleName(label)
            widget.setMinimumHeight(FIELD_HEIGHT)
            self.form.addRow(label, widget)

    # -- acting ------------------------------------------------------------------------------------

    def request_fields(self) -> dict[str, object]:
        """What the form asks for, as fields of core.requests.Export."""
        return {"flow": self.flow.currentData(), "part": self.part.currentData(), "clock_ns": self.clock.value(),
                "events": self.events.value(), "rtl": self.rtl.value(), "hls4ml": self.hls4ml.value()}

    def _look(self, *_: object) -> None:
        """Have it looked at what the export would meet, while someone is there to read it."""
        session = self._session
        if not self.isVisible() or session.project is None or session.selected is None:
            self.check.ask(None)
        elif session.export_state == "idle":
            request = Export(project=str(session.project.folder), candidate_id=session.selected.id,
                             synthesize=self.synthesis.value().tool == YOSYS, **self.request_fields())
            self.check.ask(request)

    def _on_checked(self) -> None:
        self._show_tools()
        self._on_state(self._session.export_state)

    def _on_start(self) -> None:
        self.log.lines.clear()
        options = self.synthesis.value()
        if options.tool == YOSYS:
            self._session.start_export(**self.request_fields())
        else:
            flow = "both" if self.flow.currentData() == "both" else ""  # else that on which the tool works
            self._session.start_export(**{**self.request_fields(), "flow": flow, "options": options})

    # -- following the session ---------------------------------------------------------------------

    def _on_project(self) -> None:
        project = self._session.project
        self.hls4ml.set_layers([layer.name for layer in project.info.layers if layer.weights] if project else [])
        self._list_exports()
        self._on_selection()

    def _on_finished(self, report: ExportReport) -> None:
        self._list_exports()
        self.report.show_report(report)

    def _list_exports(self) -> None:
        """All exports of the project, the newest first and shown."""
        exports = self._session.exports if self._session.project is not None else []
        blocked = self.history.blockSignals(True)
        self.history.clear()
        for report in sorted(exports, key=lambda one: one.created, reverse=True):
            good = report.exactness is not None and report.exactness.verified
            self.history.addItem(f"{report.candidate_id}, {report.flow}, {report.part}, {report.created[:16]}"
                                 f"{', bit-exact' if good else ', not verified'}", report)
        self.history.blockSignals(blocked)
        self.history.setEnabled(self.history.count() > 0)
        self._on_history()

    def _on_history(self, *_: object) -> None:
        self.report.show_report(self.history.currentData())

    def _on_selection(self) -> None:
        chosen = self._session.selected
        if chosen is None:
            self.candidate.setText("None: select a point of the Pareto front.")
        else:
            self.candidate.setText(f"{chosen.id}: accuracy {100 * chosen.evaluation.accuracy:.2f} %,"
                                   f" {chosen.costs.energy_pj:.0f} pJ, {chosen.costs.parameter_bits} bits")
        self._look()
        self._on_state(self._session.export_state)

    def _on_state(self, state: str) -> None:
        idle = state == "idle"
        ready = all(tool.found for tool in self._needed())
        self.start.setEnabled(idle and self._session.selected is not None and ready and not self.check.forbids)
        self.cancel.setEnabled(state == "running")
        self.cancel.setText("Stopping…" if state == "stopping" else "Cancel")
        self.bar.setVisible(not idle)
        self.stage.setVisible(not idle)
        for widget in (self.flow, self.part, self.clock, self.events, self.tabs):
            widget.setEnabled(idle)
        job = self._session.export_job
        if not idle and job is not None and job is not self._job:
            self._follow(job)

    def _follow(self, job: Job) -> None:
        self._job = job
        self.bar.setMaximum(0)
        self.stage.setText("Starting…")
        job.logged.connect(self._on_log)
        job.stage.connect(self._on_stage)
        job.progress.connect(self._on_progress)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)

    def _on_stage(self, name: str) -> None:
        self.bar.setMaximum(0)
        self.stage.setText(f"{name[:1].upper()}{name[1:]}…")
        self.log.lines.add(LogLine(f"— {name} —"))

    def _on_progress(self, progress: Progress) -> None:
        if progress.total <= 0:
            return
        self.bar.setMaximum(1000)
        self.bar.setValue(int(1000 * min(progress.done / progress.total, 1.0)))
        what, _, unit = progress.message.rpartition(", ")
        left = f", {duration(progress.remaining_s)}" if progress.remaining_s is not None else ""
        self.stage.setText(f"{what[:1].upper()}{what[1:]}: {progress.done:.0f} of {progress.total:.0f} {unit}{left}")

    def _on_log(self, line: LogLine) -> None:
        if line.level != "debug":
            self.log.lines.add(line)

    def _on_failed(self, error: QuantiscopeError) -> None:
        self.log.lines.add(LogLine(str(error), "error"))

    def _on_cancelled(self) -> None:
        self.log.lines.add(LogLine("Cancelled; what was stored before stays.", "warning"))

    # -- tools -------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Look again which tools there are: one may have been installed meanwhile."""
        super().showEvent(event)
        self._tools = {name: tool for name, tool in self._tools.items() if tool.found}
        self.check.ask(None)  # it may find something else now
        self._on_flow()

    def _on_flow(self, *_: object) -> None:
        if self.isVisible():
            for name in NEEDED[self.flow.currentData()]:
                if name not in self._tools:
                    self._tools[name] = find_tool(name)
        self._show_tools()
        self._on_state(self._session.export_state)
        self._look()

    def _needed(self) -> list[Tool]:
        """The flow's tools as far as they were looked up."""
        return [self._tools[name] for name in NEEDED[self.flow.currentData()] if name in self._tools]

    def _show_tools(self) -> None:
        colours = theme.tokens()
        found = [f"{tool.name} {tool.version}".strip() for tool in self._needed() if tool.found]
        lines = [f'<span style="color:{colours.success}">✓</span> {html.escape(", ".join(found))}'] if found else []
        lines += [f'<span style="color:{colours.danger}">✗ {tool.name} is missing</span>: it'
                  f" {html.escape(tool.purpose)}. Install it with<br><code>{html.escape(tool.install)}</code>"
                  for tool in self._needed() if not tool.found]
        self.tools.setText("<br>".join(lines))
        self.tools.setVisible(self.check.findings is None)  # they name the tools too
