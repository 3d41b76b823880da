"""What each layer may take in a search, and the groups that say so for several at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from app.models.recipe_summary import short
from app.models.search_form import quantizers_of, sentence, texts_of
from core.errors import QuantiscopeError
from core.model_info import ModelInfo
from core.quant.recipe import OUTPUT
from core.quant.spec import parse
from core.search.space import KERNEL, KERNEL_LIKE, SPARSITY, UNITS, SearchSpace

Index = QModelIndex | QPersistentModelIndex
ROLE = Qt.ItemDataRole
DASH = "\u2013"
TITLES = {KERNEL: "Kernel", "bias": "Bias", OUTPUT: "Output"}
LAYER, KIND, KEPT = 0, 1, 2
FIRST = 3


def widths(options: Sequence[str]) -> str:
    """Options in short: "bits 2-8, ternary": fixed-point kinds by their range of widths, others by name."""
    ranges: dict[str, list[int]] = {}
    others: list[str] = []
    for text in options:
        spec = parse(text)
        bits = spec.get("bits")
        if bits is None or spec.kind not in ("quantized_bits", "quantized_relu"):
            others.append(short(text))
        else:
            ranges.setdefault("relu" if spec.kind == "quantized_relu" else "bits", []).append(int(bits))
    parts = [f"{kind} {_ranges(sorted(set(found)))}" for kind, found in ranges.items()]
    return ", ".join([*parts, *others])


def _ranges(values: list[int]) -> str:
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return " ".join(f"{run[0]}\u2013{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


@dataclass
class Group:
    """One line of the groups: which layers, which parameter type, which quantizers."""

    pattern: str
    parameter: str = KERNEL
    options: str = ""


class GroupTable(QAbstractTableModel):
    """Editable lines; `groups()` is what a Search takes. Lines that cannot be read are refused as they are typed.

    Signals:
        changed(): another set of groups holds. refused(str): why an edit was not taken.
    """

    changed = Signal()
    refused = Signal(str)
    HEADERS = (("Layers", "A layer's name, or a regular expression that matches its beginning: fc[12]"),
               ("Parameter", "kernel, bias, output ..."),
               ("Quantizers", "Strings parted by blanks; none leaves that parameter as the recipe has it"))

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("group_table_model")
        self.lines: list[Group] = []

    def groups(self) -> dict[str, dict[str, list[str]]]:
        """By pattern and parameter type; lines whose pattern is empty are left out."""
        found: dict[str, dict[str, list[str]]] = {}
        for line in self.lines:
            if line.pattern:
                found.setdefault(line.pattern, {})[line.parameter] = texts_of(line.options)
        return found

    def take(self, groups: dict[str, dict[str, list[str]]]) -> None:
        """Show these and no others."""
        self.beginResetModel()
        self.lines = [Group(pattern, parameter, " ".join(options))
                      for pattern, entry in groups.items() for parameter, options in entry.items()]
        self.endResetModel()
        self.changed.emit()

    def take_lines(self, lines: Sequence[tuple[str, str, str]]) -> None:
        """Show these (pattern, parameter, quantizers), also unfinished ones."""
        self.beginResetModel()
        self.lines = [Group(*line) for line in lines]
        self.endResetModel()
        self.changed.emit()

    def add(self, line: Group) -> None:
        """Append a line."""
        self.beginInsertRows(QModelIndex(), len(self.lines), len(self.lines))
        self.lines.append(line)
        self.endInsertRows()
        self.changed.emit()

    def remove(self, row: int) -> None:
        """Take a line away."""
        self.beginRemoveRows(QModelIndex(), row, row)
        del self.lines[row]
        self.endRemoveRows()
        self.changed.emit()

    def set_layer(self, layer: str, parameter: str, options: list[str] | None) -> None:
        """What one layer may take, before any pattern; None lets the other lines and the lists hold again."""
        pattern = f"{re.escape(layer)}$"
        self.beginResetModel()
        self.lines = [line for line in self.lines if (line.pattern, line.parameter) != (pattern, parameter)]
        if options is not None:
            self.lines.insert(0, Group(pattern, parameter, " ".join(options)))
        self.endResetModel()
        self.changed.emit()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of lines."""
        return 0 if parent.isValid() else len(self.lines)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Pattern, parameter type, quantizers."""
        return 0 if parent.isValid() else len(self.HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = ROLE.DisplayRole) -> Any:
        """Titles and tool tips above."""
        if orientation is not Qt.Orientation.Horizontal or role not in (ROLE.DisplayRole, ROLE.ToolTipRole):
            return None
        return self.HEADERS[section][0 if role == ROLE.DisplayRole else 1]

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Every cell can be edited."""
        return super().flags(index) | Qt.ItemFlag.ItemIsEditable

    def data(self, index: Index, role: int = ROLE.DisplayRole) -> Any:
        """A cell's text."""
        if not index.isValid() or role not in (ROLE.DisplayRole, ROLE.EditRole):
            return None
        line = self.lines[index.row()]
        return (line.pattern, line.parameter, line.options)[index.column()]

    def setData(self, index: Index, value: Any, role: int = ROLE.EditRole) -> bool:
        """Take a text, where it can be read."""
        if role != ROLE.EditRole:
            return False
        line, text = self.lines[index.row()], str(value).strip()
        try:
            if index.column() == 0:
                re.compile(text)
                line.pattern = text
            elif index.column() == 1:
                line.parameter = text
            else:
                line.options = " ".join(quantizers_of(text))
        except re.error as error:
            self.refused.emit(f"The pattern {text!r} cannot be read: {error}.")
            return False
        except QuantiscopeError as error:
            self.refused.emit(sentence(error))
            return False
        self.dataChanged.emit(index, index)
        self.changed.emit()
        return True


class SpaceTable(QAbstractTableModel):
    """One row a layer that can be quantized: what it may take in the space in force; cells set it for that layer.

    Signals:
        keptChanged(str, bool): a layer is to keep its quantizers, or no longer.
        optionsWanted(str, str, object): a layer and parameter type, and its list of quantizers or None.
        refused(str): why an edit was not taken.
    """

    keptChanged = Signal(str, bool)
    optionsWanted = Signal(str, str, object)
    refused = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("space_table_model")
        self._layers: list[Any] = []
        self._types: list[str] = []
        self._frozen: frozenset[str] = frozenset()
        self._options: dict[tuple[str, str], tuple[str, ...]] = {}

    def show(self, info: ModelInfo | None, space: SearchSpace | None, frozen: Sequence[str]) -> None:
        """Show the layers of a model under a space; None where there is none that can be used."""
        self.beginResetModel()
        self._layers = [layer for layer in info.layers if layer.quantizable] if info is not None else []
        known = [*TITLES, *KERNEL_LIKE, "gamma", "beta", "mean", "variance"]
        there = {parameter for layer in self._layers for parameter in layer.quantizable}
        self._types = [parameter for parameter in known if parameter in there]
        self._frozen = frozenset(frozen)
        self._options = {(layer, choice.parameter): choice.options for choice in (space.choices if space else ())
                         for layer in (choice.layer, *choice.also)}
        self.endResetModel()

    @property
    def _columns(self) -> list[str]:
        extra = [name for name in (UNITS, SPARSITY) if any(key[1] == name for key in self._options)]
        return [*self._types, *extra]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of layers."""
        return 0 if parent.isValid() else len(self._layers)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Name, class, kept, one column a parameter type."""
        return 0 if parent.isValid() else FIRST + len(self._columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = ROLE.DisplayRole) -> Any:
        """Titles and tool tips above."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == ROLE.ToolTipRole and section == KEPT:
            return "Ticked layers keep the quantizers of the table of layers"
        if role != ROLE.DisplayRole:
            return None
        if section < FIRST:
            return ("Layer", "Type", "Frozen")[section]
        name = self._columns[section - FIRST]
        return TITLES.get(name, {UNITS: "Units \u00d7", SPARSITY: "Zeros"}.get(name, name))

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Frozen is a tick; quantizers can be typed where the layer has such a parameter."""
        flags = super().flags(index)
        if index.column() == KEPT:
            return flags | Qt.ItemFlag.ItemIsUserCheckable
        return flags | Qt.ItemFlag.ItemIsEditable if self._editable(index) else flags

    def _editable(self, index: Index) -> bool:
        layer = self._layers[index.row()]
        return index.column() >= FIRST and self._columns[index.column() - FIRST] in layer.quantizable \
            and layer.name not in self._frozen

    def data(self, index: Index, role: int = ROLE.DisplayRole) -> Any:
        """Options in short; the strings themselves as tool tip and for editing."""
        if not index.isValid():
            return None
        layer, column = self._layers[index.row()], index.column()
        if column == KEPT:
            if role == ROLE.CheckStateRole:
                return Qt.CheckState.Checked if layer.name in self._frozen else Qt.CheckState.Unchecked
            return f"{layer.name} frozen" if role == ROLE.AccessibleTextRole else None
        if column < FIRST:
            return (layer.name, layer.class_name)[column] if role == ROLE.DisplayRole else None
        name = self._columns[column - FIRST]
        options = self._options.get((layer.name, name), ())
        if role == ROLE.DisplayRole:
            number = name in (UNITS, SPARSITY)
            return (" ".join(options) if number else widths(options)) if options else DASH
        if role == ROLE.EditRole:
            return " ".join(options)
        if role == ROLE.ToolTipRole:
            return "\n".join(options) or "Stays as the recipe has it"
        return None

    def setData(self, index: Index, value: Any, role: int = ROLE.EditRole) -> bool:
        """Freeze or let go; or take quantizers for this layer alone; an empty text lets the lists hold again."""
        layer = self._layers[index.row()]
        if index.column() == KEPT and role == ROLE.CheckStateRole:
            self.keptChanged.emit(layer.name, Qt.CheckState(value) == Qt.CheckState.Checked)
            return True
        if role != ROLE.EditRole or not self._editable(index):
            return False
        try:
            options = quantizers_of(str(value))
        except QuantiscopeError as error:
            self.refused.emit(sentence(error))
            return False
        self.optionsWanted.emit(layer.name, self._columns[index.column() - FIRST], options or None)
        return True
