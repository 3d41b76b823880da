"""The space of a search layer by layer, its groups, and AutoQKeras's dictionaries pasted in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QUndoStack
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QTableView,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.models.search_form import Checked, sentence
from app.models.space_table import Group, SpaceTable
from core.errors import QuantiscopeError
from core.model_info import ModelInfo
from core.search.autoqkeras import QUANTIZERS, read_text

if TYPE_CHECKING:
    from app.views.search_space import SpaceEditor

SIZE = (900, 560)
LAYERS_HINT = ("A double click or F2 on a cell says what that layer alone may take: quantizer strings parted by"
               " blanks. Emptied, the lists of the Search page hold again.")
GROUPS_HINT = ("The first line whose pattern matches the beginning of a layer's name holds. A layer's own line, from"
               " the table of layers, comes first.")
AUTOQKERAS_HINT = ("Paste quantization_config and limit as JSON or as a Python dictionary; nothing in it is executed."
                   " While they are in force, the lists and groups are not.")


class SpaceDialog(QDialog):
    """Stays open beside the window; every edit holds at once.

    Signals:
        frozenWanted(str, bool): a layer is to keep its quantizers, or no longer.
        settingsWanted(dict, dict): quantization_config and limit to search by; both empty: the lists.
    """

    frozenWanted = Signal(str, bool)
    settingsWanted = Signal(dict, dict)

    def __init__(self, editor: SpaceEditor) -> None:
        super().__init__(editor)
        self.setObjectName("space_dialog")
        self.setWindowTitle("Search space")
        self.resize(*SIZE)
        self._groups = editor.groups
        self.message = QLabel("", self, objectName="space_message", wordWrap=True)
        theme.set_role(self.message, "error")
        self.tabs = QTabWidget(self, objectName="space_tabs")
        self.tabs.addTab(self._layers_page(), "Layers")
        self.tabs.addTab(self._groups_page(), "Groups")
        self.tabs.addTab(self._autoqkeras_page(), "AutoQKeras")
        self.summary = QLabel("", self, objectName="space_summary", wordWrap=True)
        theme.set_role(self.summary, "muted")
        self._make_undo(editor.undo_stack)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.message)
        layout.addWidget(self.summary)
        layout.addWidget(buttons)

    def _make_undo(self, stack: QUndoStack) -> None:
        """The window's undo and redo, by the same keys: a dialog does not see the window's."""
        for action, key in ((stack.createUndoAction(self), "Ctrl+Z"), (stack.createRedoAction(self), "Ctrl+Shift+Z")):
            action.setShortcut(QKeySequence(key))
            self.addAction(action)

    # -- building ----------------------------------------------------------------------------------

    def _layers_page(self) -> QWidget:
        self.layers = SpaceTable(self)
        self.layers.keptChanged.connect(self.frozenWanted)
        self.layers.optionsWanted.connect(self._on_options)
        self.layers.refused.connect(self._on_refused)
        self.layer_table = _table("space_layers", "What each layer may take", self.layers, self)
        return _page("space_layers_page", LAYERS_HINT, self.layer_table)

    def _groups_page(self) -> QWidget:
        self._groups.refused.connect(self._on_refused)
        self._groups.changed.connect(self._on_taken)
        self.group_table = _table("space_groups", "Groups of layers", self._groups, self)
        header = self.group_table.horizontalHeader()
        header.resizeSection(0, 180)
        header.resizeSection(1, 120)
        self.add = QPushButton("Add group", self, objectName="space_group_add")
        self.remove = QPushButton("Remove group", self, objectName="space_group_remove")
        self.add.clicked.connect(self._on_add)
        self.remove.clicked.connect(self._on_remove)
        return _page("space_groups_page", GROUPS_HINT, self.group_table, self.add, self.remove)

    def _autoqkeras_page(self) -> QWidget:
        self.text = QPlainTextEdit(self, objectName="space_autoqkeras", tabChangesFocus=True)
        self.text.setAccessibleName("AutoQKeras's quantization_config and limit")
        self.text.setPlaceholderText('{"quantization_config": {"kernel": {"quantized_bits(4,0,1)": 4}},'
                                     ' "limit": {"Dense": [4, 8, 4]}}')
        self.use = QPushButton("Search by these", self, objectName="space_autoqkeras_use")
        self.defaults = QPushButton("AutoQKeras's own", self, objectName="space_autoqkeras_defaults")
        self.defaults.setToolTip("Fill in what AutoQKeras offers where nothing else is said")
        self.drop = QPushButton("Back to the lists", self, objectName="space_autoqkeras_drop")
        self.use.clicked.connect(self._on_use)
        self.defaults.clicked.connect(self._on_defaults)
        self.drop.clicked.connect(self._on_drop)
        return _page("space_autoqkeras_page", AUTOQKERAS_HINT, self.text, self.use, self.defaults, self.drop)

    # -- following ---------------------------------------------------------------------------------

    def show_settings(self, config: dict[str, Any], limit: dict[str, Any]) -> None:
        """Show the dictionaries in force."""
        if config or limit:
            self.text.setPlainText(json.dumps({"quantization_config": config, "limit": limit}, indent=2))

    def show_checked(self, checked: Checked, info: ModelInfo | None, frozen: list[str]) -> None:
        """Show what every layer may take in the space in force."""
        self.layers.show(info, checked.space, frozen)
        self.layer_table.resizeColumnsToContents()
        self.summary.setText(checked.problem or checked.summary)
        theme.set_role(self.summary, "error" if checked.problem else "muted")

    # -- acting ------------------------------------------------------------------------------------

    def _on_options(self, layer: str, parameter: str, options: list[str] | None) -> None:
        self._groups.set_layer(layer, parameter, options)

    def _on_refused(self, text: str) -> None:
        self.message.setText(text)

    def _on_taken(self) -> None:
        self.message.clear()

    def _on_add(self) -> None:
        self._groups.add(Group(""))
        index = self._groups.index(self._groups.rowCount() - 1, 0)
        self.group_table.setCurrentIndex(index)
        self.group_table.edit(index)

    def _on_remove(self) -> None:
        row = self.group_table.currentIndex().row()
        if row >= 0:
            self._groups.remove(row)

    def _on_use(self) -> None:
        try:
            config, limit = read_text(self.text.toPlainText())
        except QuantiscopeError as error:
            self.message.setText(sentence(error))
            return
        self.message.clear()
        self.settingsWanted.emit(config, limit)

    def _on_defaults(self) -> None:
        self.text.setPlainText(json.dumps({"quantization_config": QUANTIZERS, "limit": {}}, indent=2))

    def _on_drop(self) -> None:
        self.message.clear()
        self.settingsWanted.emit({}, {})


def _table(name: str, title: str, model: Any, parent: QWidget) -> QTableView:
    table = QTableView(parent, objectName=name)
    table.setAccessibleName(title)
    table.setModel(model)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setAlternatingRowColors(True)
    table.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed
                          | QAbstractItemView.EditTrigger.AnyKeyPressed)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(26)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    table.horizontalHeader().setStretchLastSection(True)
    table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    table.setShowGrid(False)
    return table


def _page(name: str, hint: str, main: QWidget, *buttons: QWidget) -> QWidget:
    page = QWidget(objectName=name)
    label = QLabel(hint, page, objectName=f"{name}_hint", wordWrap=True)
    theme.set_role(label, "muted")
    layout = QVBoxLayout(page)
    layout.setContentsMargins(4, 8, 4, 4)
    layout.addWidget(label)
    layout.addWidget(main, 1)
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    row.addStretch(1)
    layout.addLayout(row)
    return page
