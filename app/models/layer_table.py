"""The table of layers: one row a layer, quantizers and numbers of units editable, costs from the session's report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor

from app import theme
from app.models import layer_texts
from app.models.layer_columns import FLOAT, Column, columns_of
from app.models.layer_texts import grouped
from app.session import Session
from core.energy import Row
from core.energy.accumulator import AccumulatorCheck
from core.energy.effective import Tensor
from core.errors import QuantiscopeError
from core.model_info import LayerInfo
from core.quant.edits import NUMBERS, SPARSITY, UNITS, editable
from core.quant.measures import Key, Sensitivity

Index = QModelIndex | QPersistentModelIndex
_Q = Qt.ItemDataRole
#: share between 0 and 1, for columns drawn as bars
BAR_ROLE = _Q.UserRole + 1
#: (layer name, parameter) of a cell that holds a quantizer
QUANTIZER_ROLE = _Q.UserRole + 2
#: the same of any cell that can be edited
KEY_ROLE = _Q.UserRole + 3
#: second line of a cell: the precision in force and where it came from
DETAIL_ROLE = _Q.UserRole + 4
#: name of the row's layer
LAYER_ROLE = _Q.UserRole + 5
#: a number or a text to sort by
SORT_ROLE = _Q.UserRole + 6
#: what a cell is on the clipboard
PLAIN_ROLE = _Q.UserRole + 7


class LayerTableModel(QAbstractTableModel):
    """Rows are the layers of the session's model in topological order.

    Signals:
        rejected(QuantiscopeError): an edit was refused and changed nothing. accepted(): one was taken.
    """

    rejected = Signal(object)
    accepted = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layer_table_model")
        self._session = session
        self._layers: tuple[LayerInfo, ...] = ()
        self.columns: tuple[Column, ...] = ()
        self._rows: dict[str, Row] = {}
        self._worst: dict[str, Sensitivity] | None = None
        session.projectChanged.connect(self._on_project)
        session.recipeChanged.connect(self._on_values)
        session.costsChanged.connect(self._on_costs)
        session.analysis.effectiveChanged.connect(self._on_values)
        session.analysis.sensitivityChanged.connect(self._on_values)
        theme.manager().changed.connect(self._on_values)
        self._on_project()

    # -- what cells are computed from --------------------------------------------------------------

    def layer(self, row: int) -> LayerInfo:
        """The layer of a row."""
        return self._layers[row]

    def row_of(self, layer: str) -> int:
        """Row of a layer; -1 where there is none."""
        return next((row for row, known in enumerate(self._layers) if known.name == layer), -1)

    def price(self, layer: str) -> Row | None:
        """What a layer costs, or None where it is not priced."""
        return self._rows.get(layer)

    def energy_share(self, layer: str) -> float | None:
        """A layer's part of the total energy, 0 to 1."""
        row, report = self.price(layer), self._session.report
        return None if row is None or report is None or not report.energy_pj else row.profile_pj / report.energy_pj

    def bits_share(self, layer: str) -> float | None:
        """A layer's part of the parameter bits, 0 to 1."""
        row, report = self.price(layer), self._session.report
        if row is None or report is None or not report.parameter_bits:
            return None
        return row.parameter_bits / report.parameter_bits

    def tensor(self, layer: str, parameter: str) -> Tensor | None:
        """The precision in force, or None while it is worked out."""
        return self._session.analysis.effective.tensors.get((layer, parameter))

    def sums(self, layer: str) -> list[AccumulatorCheck]:
        """The layer's accumulators, the one that matters most first."""
        return sorted(self._session.analysis.effective.sums.get(layer, []),
                      key=lambda one: (-one.missing_bits, -one.lost_fraction, one.sum != "accumulator"))

    def sensitivity(self, key: Key) -> Sensitivity | None:
        """What is known of the quantizer that is there now."""
        one = self._session.analysis.sensitivities.get(key)
        return one if one is not None and one.quantizer == self._in_force(key) else None

    def worst(self, layer: str) -> Sensitivity | None:
        """The layer's quantizer that loses most."""
        return self._all_worst().get(layer)

    def worst_share(self, layer: str) -> float | None:
        """That loss against the greatest of all layers, 0 to 1."""
        one = self.worst(layer)
        if one is None:
            return None
        most = max(other.metric_drop for other in self._all_worst().values())
        return max(one.metric_drop, 0.0) / most if most > 0 else 0.0

    def sensitivity_text(self, key: Key) -> str:
        """One line of what is known of a quantizer; empty for nothing."""
        one = self.sensitivity(key)
        return f"Alone it changes the {one.name} by {layer_texts.drop(one)}" if one is not None else ""

    def _all_worst(self) -> dict[str, Sensitivity]:
        info = self._session.info
        if self._worst is None and info is not None:
            self._worst = {}
            for layer in self._layers:
                known = [one for parameter in editable(info, layer)
                         if (one := self.sensitivity((layer.name, parameter))) is not None]
                if known:
                    self._worst[layer.name] = max(known, key=lambda one: one.metric_drop)
        return self._worst or {}

    def _in_force(self, key: Key) -> str:
        recipe, info = self._session.recipe, self._session.info
        if info is not None and key[0] in info.inputs:
            return recipe.input
        spec = recipe.spec(*key)
        return str(spec) if spec is not None else ""

    def is_editable(self, layer: LayerInfo, parameter: str) -> bool:
        """Whether that layer has such a quantizer, or number, to choose."""
        info = self._session.info
        if info is None:
            return False
        if parameter == UNITS:
            return layer.name in self._session.resizable
        if parameter == SPARSITY:
            return any(weight.parameter != "bias" for weight in layer.weights) and bool(layer.quantizable)
        return parameter in editable(info, layer)

    def is_changed(self, key: Key) -> bool:
        """Whether a cell holds something else than the float model has."""
        return self._session.quantizer(*key) is not None

    # -- Qt's side ---------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of layers."""
        return 0 if parent.isValid() else len(self._layers)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of columns, which depends on what parameters the model has."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _Q.DisplayRole) -> Any:
        """Titles above, names of layers beside."""
        if orientation is not Qt.Orientation.Horizontal:
            return self._layers[section].name if role == _Q.DisplayRole and section < len(self._layers) else None
        if section >= len(self.columns):
            return None
        column = self.columns[section]
        if role == _Q.DisplayRole:
            return column.title
        if role == _Q.ToolTipRole:
            return column.tip
        if role == _Q.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignVCenter | (Qt.AlignmentFlag.AlignRight if column.right
                                                    else Qt.AlignmentFlag.AlignLeft)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Cells that can be edited; those that do not exist are off."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.isValid() and self.data(index, KEY_ROLE) is not None:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: Index, role: int = _Q.DisplayRole) -> Any:
        """A cell's text, tool tip, colour, alignment, bar length, key, or what it sorts and copies by."""
        if not index.isValid():
            return None
        layer, column = self._layers[index.row()], self.columns[index.column()]
        if role == LAYER_ROLE:
            return layer.name
        if column.parameter:
            return self._cell_data(layer, column, role)
        value = column.value(self, layer)
        match role:
            case _Q.DisplayRole:
                return column.text(value)
            case role if role in (SORT_ROLE, PLAIN_ROLE):
                plain = column.sort(value)
                return plain if role == SORT_ROLE else "" if plain is None else str(plain)
            case role if role == BAR_ROLE and column.share is not None:
                return column.share(self, layer)
            case role if role == DETAIL_ROLE and column.detail is not None:
                return column.detail(self, layer)
            case _Q.ToolTipRole if column.explain is not None:
                return column.explain(self, layer)
            case _Q.ForegroundRole if column.alarm is not None:
                role_of = column.alarm(self, layer)
                return QColor(getattr(theme.tokens(), role_of)) if role_of else None
            case _Q.TextAlignmentRole if column.right:
                return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            case _Q.AccessibleTextRole:
                more = column.detail(self, layer) if column.detail is not None else ""
                return f"{column.title} of {layer.name}: {column.text(value)} {more}".strip()
        return None

    def _cell_data(self, layer: LayerInfo, column: Column, role: int) -> Any:
        """Of a cell that holds a quantizer or a number."""
        if not self.is_editable(layer, column.parameter):
            return None
        key = layer.name, column.parameter
        written = self._session.quantizer(*key)
        text, detail = self._shown(layer, column.parameter, written)
        match role:
            case _Q.DisplayRole:
                return text
            case _Q.EditRole:
                return written or ("" if key[1] not in NUMBERS else text)
            case role if role == PLAIN_ROLE:
                return written or (FLOAT if key[1] not in NUMBERS else text)
            case role if role == DETAIL_ROLE:
                return detail
            case role if role == SORT_ROLE:
                tensor = self.tensor(*key)
                return float(text.rstrip("%")) if key[1] in NUMBERS else tensor.bits if tensor is not None else 0
            case _Q.ForegroundRole:
                return None if written else QColor(theme.tokens().muted)
            case _Q.ToolTipRole:
                return layer_texts.cell_tip(self, self._session, layer, column.parameter, written)
            case _Q.AccessibleTextRole:
                return f"{column.title} of {layer.name}: {text}, {detail}"
            case _Q.TextAlignmentRole if column.right:
                return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            case role if role == KEY_ROLE:
                return key
            case role if role == QUANTIZER_ROLE:
                return key if key[1] not in NUMBERS else None
        return None

    def _shown(self, layer: LayerInfo, parameter: str, written: str | None) -> tuple[str, str]:
        if parameter == UNITS:
            return written or "1", layer_texts.units(layer, float(written or 1))
        if parameter == SPARSITY:
            return f"{100 * float(written or 0):.0f}%", "of the weights zero" if written else ""
        return layer_texts.quantizer(self.tensor(layer.name, parameter), written)

    # -- edits -------------------------------------------------------------------------------------

    def setData(self, index: Index, value: Any, role: int = _Q.EditRole) -> bool:
        """Set one cell; see `set_cells`."""
        return role == _Q.EditRole and self.set_cells([index], str(value))

    def set_cells(self, indexes: Iterable[Index], text: str, verb: str = "set") -> bool:
        """Give the editable cells among `indexes` the same text, as one edit; the others are passed over.

        Returns:
            False where nothing changed; `rejected` then says why, if the text was at fault.
        """
        keys = [index.data(KEY_ROLE) for index in indexes]
        return self.set_quantizers({key: text for key in keys if key is not None}, verb)

    def set_quantizers(self, changes: Mapping[Key, str], verb: str = "set", step: str = "") -> bool:
        """Change cells by (layer, parameter); "float" and "" are float. See Session.set_quantizers."""
        plain = {key: "" if text.strip().lower() == FLOAT else text.strip() for key, text in changes.items()}
        try:
            self._session.set_quantizers(plain, verb, step)
        except QuantiscopeError as error:
            self.rejected.emit(error)
            return False
        self.accepted.emit()
        return bool(plain)

    # -- following the session ---------------------------------------------------------------------

    def _on_project(self) -> None:
        self.beginResetModel()
        info = self._session.info
        self._layers = info.layers if info is not None else ()
        self._worst = None
        self.columns = columns_of(self._layers)
        self._read_rows()
        self.endResetModel()

    def _on_costs(self) -> None:
        self._read_rows()
        self._on_values()

    def _on_values(self) -> None:
        self._worst = None
        if self._layers:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._layers) - 1, len(self.columns) - 1))

    def _read_rows(self) -> None:
        report = self._session.report
        self._rows = {row.name: row for row in report.rows} if report is not None else {}


__all__ = ["BAR_ROLE", "DETAIL_ROLE", "FLOAT", "KEY_ROLE", "LAYER_ROLE", "PLAIN_ROLE", "QUANTIZER_ROLE",
           "SORT_ROLE", "LayerTableModel", "grouped"]
