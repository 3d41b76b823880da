"""How the two flows write firmware: settings of hls4ml and of the RTL, each with its defaults."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme
from core.hls.hls4ml_options import BACKENDS, PIPELINES, Hls4mlOptions
from core.hls.rtl_options import LANGUAGES, RtlOptions
from core.hls.synthesis_options import TOOLS, YOSYS, SynthesisOptions

_SOFTMAX = {"strip": "Leave it out", "argmax": "Argmax (exact)", "keep": "Keep (tables, not exact)"}
_LANGUAGES = {"verilog": "Verilog", "vhdl": "VHDL"}
_DEFAULT = "as above"
TABLE_HEIGHT = 130
FIELD_HEIGHT = 26


class RtlSettings(QWidget):
    """RtlOptions as a form.

    Signals:
        changed().
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("rtl_settings")
        default = RtlOptions()
        self.language = _choice(self, "rtl_language", {name: _LANGUAGES[name] for name in LANGUAGES},
                                "Language of the files that are written")
        self.ternary = QCheckBox("Ternary adders", self, objectName="rtl_ternary", checked=default.ternary_adders)
        self.ternary.setToolTip("Sums of three in one adder: about a fifth fewer LUT on UltraScale+")
        self.fast = QCheckBox("Fast solver", self, objectName="rtl_fast", checked=default.fast_solver)
        self.fast.setToolTip("Find the adder trees four times faster, for 3 to 5 % more LUT")
        self.depth = QSpinBox(self, objectName="rtl_depth", minimum=-1, maximum=32, value=default.depth_limit,
                              specialValueText="no limit", toolTip="Adder levels above the least that a tree may have;"
                              " more save LUT and cost latency")
        self.stage = QDoubleSpinBox(self, objectName="rtl_stage", minimum=0.0, maximum=1000.0, decimals=2,
                                    suffix=" ns", specialValueText="four fifths of the clock",
                                    toolTip="Longest delay of a pipeline stage in alkaid's model, ns")
        self.stages = QSpinBox(self, objectName="rtl_stages", minimum=0, maximum=1000, specialValueText="as needed",
                               toolTip="Number of pipeline stages")
        form = QFormLayout(self)
        for label, widget in (("Language", self.language), ("Depth limit", self.depth), ("Stage", self.stage),
                              ("Stages", self.stages), ("", self.ternary), ("", self.fast)):
            if label:
                widget.setAccessibleName(label)
            widget.setMinimumHeight(FIELD_HEIGHT)
            form.addRow(label, widget)
        self.language.currentIndexChanged.connect(self.changed)
        for box in (self.depth, self.stage, self.stages):
            box.valueChanged.connect(self.changed)
        for tick in (self.ternary, self.fast):
            tick.toggled.connect(self.changed)

    def value(self) -> RtlOptions:
        """What the form says."""
        return RtlOptions(language=self.language.currentData(), ternary_adders=self.ternary.isChecked(),
                          depth_limit=self.depth.value(), stage_ns=self.stage.value() or None,
                          stages=self.stages.value() or None, fast_solver=self.fast.isChecked())


class Hls4mlSettings(QWidget):
    """Hls4mlOptions as a form; what a backend does not offer cannot be chosen.

    Signals:
        changed().
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("hls4ml_settings")
        self.backend = _choice(self, "hls4ml_backend", {name: name for name, found in BACKENDS.items() if found.writes},
                               "Whose compiler the project is written for")
        self.board = QComboBox(self, objectName="hls4ml_board", toolTip="The board decides the part")
        self.io_type = QComboBox(self, objectName="hls4ml_io", toolTip="All values of a layer at once, or one pixel"
                                 " after the other")
        self.strategy = QComboBox(self, objectName="hls4ml_strategy", toolTip="How products are laid out")
        self.reuse = QSpinBox(self, objectName="hls4ml_reuse", minimum=1, maximum=2**20,
                              toolTip="Products that share a multiplier; 1 is fully parallel")
        self.softmax = QComboBox(self, objectName="hls4ml_softmax", toolTip="What becomes of a softmax at the end")
        self.pipeline = _choice(self, "hls4ml_pipeline", {name: name for name in PIPELINES},
                                "Style of the top function")
        self.layers = QTableWidget(0, 3, self, objectName="hls4ml_layers")
        self.layers.setAccessibleName("Strategy and reuse factor by layer")
        self.layers.setHorizontalHeaderLabels(["Layer", "Strategy", "Reuse"])
        self.layers.verticalHeader().hide()
        self.layers.setFixedHeight(TABLE_HEIGHT)
        self.layers.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.note = QLabel("", self, objectName="hls4ml_note", wordWrap=True)
        theme.set_role(self.note, "muted")
        self._arrange()
        self.backend.currentIndexChanged.connect(self._on_backend)
        for box in (self.strategy, self.io_type):
            box.currentIndexChanged.connect(self.changed)
        self.reuse.valueChanged.connect(self.changed)
        self._on_backend()

    def _arrange(self) -> None:
        self.form = QFormLayout()
        for label, widget in (("Backend", self.backend), ("Board", self.board), ("Values", self.io_type),
                              ("Strategy", self.strategy), ("Reuse factor", self.reuse), ("Softmax", self.softmax),
                              ("Pipeline", self.pipeline)):
            widget.setAccessibleName(label)
            widget.setMinimumHeight(FIELD_HEIGHT)
            self.form.addRow(label, widget)
        layout = QVBoxLayout(self)
        layout.addLayout(self.form)
        layout.addWidget(self.layers)
        layout.addWidget(self.note)

    def set_layers(self, names: Sequence[str]) -> None:
        """The layers that may have a strategy and a reuse factor of their own; all as the network's."""
        self.layers.setRowCount(len(names))
        for row, name in enumerate(names):
            self.layers.setItem(row, 0, QTableWidgetItem(name))
            strategy = QComboBox(self.layers, objectName=f"strategy_{name}")
            strategy.setAccessibleName(f"Strategy of {name}")
            reuse = QSpinBox(self.layers, objectName=f"reuse_{name}", minimum=0, maximum=2**20,
                             specialValueText=_DEFAULT)
            reuse.setAccessibleName(f"Reuse factor of {name}")
            strategy.currentIndexChanged.connect(self.changed)
            reuse.valueChanged.connect(self.changed)
            self.layers.setCellWidget(row, 1, strategy)
            self.layers.setCellWidget(row, 2, reuse)
        self._offer_strategies()

    def value(self) -> Hls4mlOptions:
        """What the form says."""
        strategies, reuses = {}, {}
        for row in range(self.layers.rowCount()):
            name = self.layers.item(row, 0).text()
            strategy, reuse = self.layers.cellWidget(row, 1), self.layers.cellWidget(row, 2)
            if strategy.currentData():
                strategies[name] = strategy.currentData()
            if reuse.value():
                reuses[name] = reuse.value()
        return Hls4mlOptions(
            backend=self.backend.currentData(), io_type=self.io_type.currentText(),
            strategy=self.strategy.currentText(), reuse_factor=self.reuse.value(), layer_strategy=strategies,
            layer_reuse=reuses, softmax=self.softmax.currentData(), pipeline=self.pipeline.currentData(),
            board=self.board.currentText())

    def _on_backend(self, *_: object) -> None:
        backend = BACKENDS[self.backend.currentData()]
        _offer(self.io_type, {name: name for name in backend.io_types})
        _offer(self.strategy, {name: name for name in backend.strategies})
        _offer(self.softmax, {name: _SOFTMAX[name] for name in backend.softmax})
        _offer(self.board, {name: name for name in backend.boards})
        self.form.setRowVisible(self.board, bool(backend.boards))
        here = "Its C++ is compiled and compared here." if backend.emulates else "Its C++ cannot be run here."
        self.note.setText(f"For {backend.tool}. {here}{f' Note: {backend.note}.' if backend.note else ''}")
        self._offer_strategies()
        self.changed.emit()

    def _offer_strategies(self) -> None:
        offered = {"": _DEFAULT, **{name: name for name in BACKENDS[self.backend.currentData()].strategies}}
        for row in range(self.layers.rowCount()):
            _offer(self.layers.cellWidget(row, 1), offered)


def _choice(parent: QWidget, name: str, entries: dict[str, str], tip: str) -> QComboBox:
    box = QComboBox(parent, objectName=name, toolTip=tip)
    _offer(box, entries)
    return box


def _offer(box: QComboBox, entries: dict[str, str]) -> None:
    """Put these in the box, by what they mean; what was chosen stays chosen where it is still offered."""
    before = box.currentData()
    blocked = box.blockSignals(True)
    box.clear()
    for key, text in entries.items():
        box.addItem(text, key)
    box.setCurrentIndex(max(box.findData(before), 0))
    box.blockSignals(blocked)


_TOOLS = {"yosys": "Yosys (comes along)", "vitis": "Vitis HLS", "vivado_hls": "Vivado HLS", "vivado": "Vivado",
          "quartus": "Quartus", "intel_hls": "Intel HLS", "oneapi": "oneAPI", "catapult": "Catapult",
          "libero": "SmartHLS (Libero)"}


class SynthesisSettings(QWidget):
    """SynthesisOptions as a form: which tool, and where it is.

    Signals:
        changed().
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("synthesis_settings")
        self.tool = _choice(self, "synthesis_tool", {name: _TOOLS.get(name, name) for name in TOOLS},
                            "What synthesizes the project")
        self.host = QLineEdit(self, objectName="synthesis_host", placeholderText="this machine")
        self.host.setToolTip("A build host as your ssh knows it; its key must be known already")
        self.path = QLineEdit(self, objectName="synthesis_path", placeholderText="found on the PATH")
        self.path.setToolTip("The tool's program, or the folder of its installation")
        self.setup = QLineEdit(self, objectName="synthesis_setup", placeholderText="none")
        self.setup.setToolTip("A script to source before the tool, such as settings64.sh")
        self.hours = QDoubleSpinBox(self, objectName="synthesis_hours", minimum=0.1, maximum=1000.0, decimals=1,
                                    value=SynthesisOptions().hours, suffix=" h", toolTip="Time limit of each step")
        form = QFormLayout(self)
        for label, widget in (("Tool", self.tool), ("Build host", self.host), ("Tool's place", self.path),
                              ("Set-up script", self.setup), ("Time limit", self.hours)):
            widget.setAccessibleName(label)
            widget.setMinimumHeight(FIELD_HEIGHT)
            form.addRow(label, widget)
        self.tool.currentIndexChanged.connect(self._on_tool)
        self._on_tool()

    def value(self) -> SynthesisOptions:
        """What the form says."""
        if self.tool.currentData() == YOSYS:
            return SynthesisOptions(hours=self.hours.value())
        return SynthesisOptions(tool=self.tool.currentData(), hours=self.hours.value(), host=self.host.text().strip(),
                                path=self.path.text().strip(), setup=self.setup.text().strip())

    def _on_tool(self, *_: object) -> None:
        for widget in (self.host, self.path, self.setup):
            widget.setEnabled(self.tool.currentData() != YOSYS)
        self.changed.emit()
