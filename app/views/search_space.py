"""What the search may choose from: quantizers by parameter type, frozen layers, units, zeros, groups, AutoQKeras."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.models.search_form import Checked, numbers_of
from app.models.space_state import ChangeSpace, SpaceState
from app.models.space_table import GroupTable
from app.session import Session
from app.views.space_dialog import SpaceDialog
from core.errors import QuantizerError
from core.quant.spec import parse
from core.search.shapes import BLOCK, LAYER
from core.search.space import default_options, is_open

TYPES = {"kernel": "Kernels", "bias": "Biases", "output": "Activations"}
CALIBRATED = "Its integer bits are chosen for each layer from the range of the values"
SHARED = {LAYER: "each layer its own", BLOCK: "the same for all"}


class CheckList(QListWidget):
    """Texts to tick, by mouse or space bar."""

    def __init__(self, name: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(title)

    def add(self, text: str, ticked: bool, tip: str = "") -> None:
        """Append a text."""
        item = QListWidgetItem(text, self)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        item.setToolTip(tip)

    def chosen(self) -> list[str]:
        """The ticked texts."""
        items = (self.item(row) for row in range(self.count()))
        return [item.text() for item in items if item.checkState() == Qt.CheckState.Checked]

    def tick(self, text: str, ticked: bool = True) -> bool:
        """Tick a text that is there, or take its tick away; False where it is not there."""
        found = self.findItems(text, Qt.MatchFlag.MatchExactly)
        for item in found:
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        return bool(found)

    def choose(self, texts: list[str]) -> None:
        """Tick these and no others; those that are not there are added."""
        for row in range(self.count()):
            self.item(row).setCheckState(Qt.CheckState.Unchecked)
        for text in texts:
            if not self.tick(text):
                self.add(text, True)


class OptionList(QWidget):
    """Quantizer strings one parameter type may take: tick, or type another and press Enter.

    Signals:
        changed(): another set is ticked.
    """

    changed = Signal()

    def __init__(self, parameter: str, options: list[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"options_{parameter}")
        self.list = CheckList(f"options_{parameter}_list", f"Quantizers allowed for {TYPES[parameter].lower()}", self)
        self.entry = QLineEdit(self, objectName=f"options_{parameter}_entry",
                               placeholderText="Add another, for example quantized_bits(5,0,alpha=1)")
        self.entry.setAccessibleName(f"Another quantizer for {TYPES[parameter].lower()}")
        self.message = QLabel("", self, objectName=f"options_{parameter}_message", wordWrap=True)
        theme.set_role(self.message, "error")
        self.message.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.entry)
        layout.addWidget(self.message)
        for text in options:
            self._add(text)
        self.entry.returnPressed.connect(self._on_entered)
        self.list.itemChanged.connect(self._on_ticked)

    def chosen(self) -> list[str]:
        """The ticked strings."""
        return self.list.chosen()

    def _add(self, text: str) -> None:
        self.list.add(text, True, CALIBRATED if is_open(text) else "")

    def _on_ticked(self, *_: object) -> None:
        self.changed.emit()

    def _on_entered(self) -> None:
        text = self.entry.text().strip()
        try:
            parse(text)
        except QuantizerError as error:
            self.message.setText(str(error))
            self.message.show()
            return
        self.message.hide()
        self.entry.clear()
        if not self.list.tick(text):
            self._add(text)
        self.changed.emit()


class SpaceEditor(QWidget):
    """The space of a search; the dialog for layers, groups and AutoQKeras's settings opens beside it.

    Signals:
        changed(): another space is asked for.
    """

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("search_space")
        self._session = session
        self.groups = GroupTable(self)
        self.quantization_config: dict[str, Any] = {}
        self.limit: dict[str, Any] = {}
        self.dialog: SpaceDialog | None = None
        #: while the form is filled in by the program, nothing is an edit
        self._quiet = True
        self._make_lists()
        self._make_numbers()
        self._arrange()
        self.groups.changed.connect(self._on_changed)
        self.changed.connect(self._record)
        self._state = self.state()
        self._quiet = False

    def _make_lists(self) -> None:
        self.tabs = QTabWidget(self, objectName="search_options")
        self.tabs.setAccessibleName("Quantizers to choose from")
        self.options = {}
        for parameter, options in default_options().items():
            self.options[parameter] = OptionList(parameter, options, self)
            self.tabs.addTab(self.options[parameter], TYPES[parameter])
            self.options[parameter].changed.connect(self._on_changed)
        self.frozen = CheckList("search_frozen", "Layers that keep the quantizers of the table", self)
        self.frozen.itemChanged.connect(self._on_changed)
        self.tabs.addTab(self.frozen, "Frozen")
        self.tabs.setTabToolTip(self.tabs.count() - 1, "Layers that keep the quantizers of the table")
        self.tabs.setStyleSheet("QTabBar::tab { padding: 6px 9px; }")  # four tabs fit a narrow panel

    def _make_numbers(self) -> None:
        self.units = QLineEdit(self, objectName="search_units", placeholderText="for example 0.5 1 2",
                               toolTip="Multipliers of the layers' numbers of units or filters")
        self.shared = QComboBox(self, objectName="search_shared", toolTip="How the multipliers are chosen")
        self.shared.setAccessibleName("How units are chosen")
        for key, text in SHARED.items():
            self.shared.addItem(text, key)
        self.zeros = QLineEdit(self, objectName="search_sparsity", placeholderText="for example 0 0.5",
                               toolTip="Shares of the weights that are pruned to zero")
        for line, title in ((self.units, "Units multipliers"), (self.zeros, "Shares of zeros")):
            line.setAccessibleName(title)
            line.textChanged.connect(self._on_changed)
        self.shared.currentIndexChanged.connect(self._on_changed)
        self.open = QPushButton("Layers, groups, AutoQKeras\u2026", self, objectName="search_space_open")
        self.open.setToolTip("What each layer may take, groups of layers, and AutoQKeras's dictionaries")
        self.open.clicked.connect(self.show_dialog)
        self.summary = QLabel("", self, objectName="search_space_summary", wordWrap=True)
        theme.set_role(self.summary, "muted")

    def _arrange(self) -> None:
        form = QFormLayout(horizontalSpacing=12)
        units = QHBoxLayout()
        units.addWidget(self.units, 1)
        units.addWidget(self.shared)
        form.addRow("Units", units)
        form.addRow("Zeros", self.zeros)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(self.tabs, 1)
        layout.addLayout(form)
        layout.addWidget(self.open)
        layout.addWidget(self.summary)

    @property
    def undo_stack(self) -> QUndoStack:
        """The stack that edits are on."""
        return self._session.undo_stack

    # -- reading and writing -----------------------------------------------------------------------

    def problem(self) -> str:
        """Why the lists cannot be used as they are."""
        if self.quantization_config or self.limit:
            return ""
        empty = [TYPES[parameter] for parameter, options in self.options.items() if not options.chosen()]
        return f"Tick at least one quantizer under {empty[0]}." if empty else ""

    def fields(self) -> dict[str, Any]:
        """Fields of core.requests.Search; raises SearchError where numbers cannot be read."""
        return {"options": {parameter: chosen.chosen() for parameter, chosen in self.options.items()},
                "frozen": self.frozen.chosen(), "groups": self.groups.groups(),
                "units": numbers_of(self.units.text(), "units multipliers"),
                "sparsity": numbers_of(self.zeros.text(), "shares of zeros"), "tune_units": self.shared.currentData(),
                "quantization_config": self.quantization_config, "limit": self.limit}

    def state(self) -> SpaceState:
        """The form as it is, also where it cannot be used."""
        return SpaceState({parameter: tuple(chosen.chosen()) for parameter, chosen in self.options.items()},
                          tuple(self.frozen.chosen()),
                          tuple((line.pattern, line.parameter, line.options) for line in self.groups.lines),
                          self.units.text(), self.shared.currentData(), self.zeros.text(),
                          self.quantization_config, self.limit)

    def show_state(self, state: SpaceState) -> None:
        """Fill the form in anew, for undo and redo."""
        self._quiet = True
        for parameter, options in self.options.items():
            options.list.choose(list(state.options.get(parameter, ())))
        for row in range(self.frozen.count()):
            name = self.frozen.item(row).text()
            self.frozen.tick(name, name in state.frozen)
        self.groups.take_lines(state.groups)
        self.units.setText(state.units)
        self.shared.setCurrentIndex(max(self.shared.findData(state.shared), 0))
        self.zeros.setText(state.zeros)
        self.quantization_config, self.limit = state.config, state.limit
        if self.dialog is not None:
            self.dialog.show_settings(state.config, state.limit)
        self._quiet = False
        self._state = state
        self.changed.emit()

    def _record(self) -> None:
        """An edit by hand, on the stack with those of the recipe."""
        if self._quiet:
            return
        old, self._state = self._state, self.state()
        if old != self._state and self._session.project is not None:
            self._session.undo_stack.push(ChangeSpace(self.show_state, old, self._state))

    def take(self, fields: dict[str, Any]) -> None:
        """Show kept fields, or those a project begins with."""
        self._quiet = True
        self._fill(fields)
        self._quiet = False
        self._state = self.state()

    def _fill(self, fields: dict[str, Any]) -> None:
        defaults = default_options()
        for parameter, options in self.options.items():
            options.list.choose((fields.get("options") or defaults).get(parameter, []))
        self.units.setText(" ".join(f"{value:g}" for value in fields.get("units") or []))
        self.zeros.setText(" ".join(f"{value:g}" for value in fields.get("sparsity") or []))
        self.shared.setCurrentIndex(max(self.shared.findData(fields.get("tune_units", LAYER)), 0))
        self.quantization_config = fields.get("quantization_config") or {}
        self.limit = fields.get("limit") or {}
        self.groups.take(fields.get("groups") or {})
        self.frozen.clear()
        for layer in self._session.info.layers if self._session.info is not None else ():
            if layer.quantizable:
                self.frozen.add(layer.name, layer.name in (fields.get("frozen") or []), layer.class_name)

    def show_checked(self, checked: Checked) -> None:
        """Tell how large the space is, or why there is none."""
        self.summary.setText(checked.problem or checked.summary)
        theme.set_role(self.summary, "error" if checked.problem else "muted")
        self.tabs.setEnabled(not (self.quantization_config or self.limit))
        if self.dialog is not None:
            self.dialog.show_checked(checked, self._session.info, self.frozen.chosen())

    def show_dialog(self) -> None:
        """Open the table of layers, the groups and AutoQKeras's settings."""
        if self.dialog is None:
            self.dialog = SpaceDialog(self)
            self.dialog.frozenWanted.connect(self._on_frozen)
            self.dialog.settingsWanted.connect(self._on_settings)
        self.dialog.show_settings(self.quantization_config, self.limit)
        self.dialog.show()
        self.dialog.raise_()
        self.changed.emit()

    def _on_frozen(self, layer: str, frozen: bool) -> None:
        self.frozen.tick(layer, frozen)

    def _on_settings(self, config: dict[str, Any], limit: dict[str, Any]) -> None:
        self.quantization_config, self.limit = config, limit
        self.changed.emit()

    def _on_changed(self, *_: object) -> None:
        self.changed.emit()
