"""The table of layers: one row a layer, quantizers editable, costs from the session's report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor

from app import theme
from app.session import Session
from core.errors import QuantiscopeError
from core.model_info import PARAMETERS, LayerInfo
from core.quant.recipe import OUTPUT

Index = QModelIndex | QPersistentModelIndex
#: share between 0 and 1, for columns drawn as bars
BAR_ROLE = Qt.ItemDataRole.UserRole + 1
#: (layer name, parameter) of a cell that holds a quantizer
QUANTIZER_ROLE = Qt.ItemDataRole.UserRole + 2
FLOAT = "float"
#: parameter columns in the order they are shown; those that no layer has are left out
PARAMETER_ORDER = tuple(dict.fromkeys(["kernel", "recurrent_kernel", "depthwise", "pointwise", "bias",
                                       *(p for names in PARAMETERS.values() for p in names)]))


@dataclass(frozen=True)
class Column:
    """One column: its title, what its header's tool tip says, and how a cell is computed."""

    title: str
    tip: str
    parameter: str = ""
    value: Callable[[LayerTableModel, LayerInfo], Any] = lambda model, layer: None
    text: Callable[[Any], str] = str
    numeric: bool = True
    bar: bool = False


def _shape(layer: LayerInfo) -> str:
    return " \u00d7 ".join("?" if side is None else str(side) for side in layer.output_shape)


def grouped(value: float | int | None) -> str:
    """An integer with thin blanks between thousands; a dash for nothing."""
    return "\u2013" if value is None else f"{int(value):,}".replace(",", "\u2009")


def _picojoule(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return "\u2013" if value is None else f"{100 * value:.1f} %"


_BEFORE = (
    Column("Layer", "Name of the layer", value=lambda model, layer: layer.name, numeric=False),
    Column("Type", "Keras class of the layer", value=lambda model, layer: layer.class_name, numeric=False),
    Column("Output shape", "Without the batch axis", value=lambda model, layer: _shape(layer), numeric=False),
    Column("Parameters", "Number of weights", value=lambda model, layer: layer.parameters, text=grouped),
    Column("MACs", "Multiply-accumulates for one event", value=lambda model, layer: layer.macs, text=grouped),
)
_AFTER = (
    Column("Energy (pJ)", "Energy for one event, QTools' 45 nm model",
           value=lambda model, layer: model.energy(layer.name), text=_picojoule),
    Column("Energy share", "Part of the whole network's energy",
           value=lambda model, layer: model.share(layer.name), text=_percent, bar=True),
    Column("Parameter bits", "Weights times their widths",
           value=lambda model, layer: model.parameter_bits(layer.name), text=grouped),
)


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
        self._rows: dict[str, Any] = {}
        session.projectChanged.connect(self._on_project)
        session.recipeChanged.connect(self._on_values)
        session.costsChanged.connect(self._on_costs)
        theme.manager().changed.connect(self._on_values)
        self._on_project()

    # -- what cells are computed from --------------------------------------------------------------

    def energy(self, layer: str) -> float | None:
        """pJ of a layer, or None where it is not priced."""
        row = self._rows.get(layer)
        return None if row is None else row.total_pj

    def share(self, layer: str) -> float | None:
        """A layer's part of the total energy, 0 to 1."""
        energy, report = self.energy(layer), self._session.report
        return None if energy is None or not report.energy_pj else energy / report.energy_pj

    def parameter_bits(self, layer: str) -> int | None:
        """Bits of a layer's weights."""
        row = self._rows.get(layer)
        return None if row is None else row.parameter_bits

    def layer(self, row: int) -> LayerInfo:
        """The layer of a row."""
        return self._layers[row]

    def is_editable(self, layer: LayerInfo, parameter: str) -> bool:
        """True where the layer has such a quantizer."""
        if self._session.info is not None and layer.name in self._session.info.inputs:
            return parameter == OUTPUT
        return parameter in layer.quantizable

    # -- Qt's side ---------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of layers."""
        return 0 if parent.isValid() else len(self._layers)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of columns, which depends on what parameters the model has."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation,
                   role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles above, nothing beside."""
        if orientation is not Qt.Orientation.Horizontal or section >= len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip
        if role == Qt.ItemDataRole.TextAlignmentRole:
            right = column.numeric and not column.bar
            return Qt.AlignmentFlag.AlignVCenter | (Qt.AlignmentFlag.AlignRight if right
                                                    else Qt.AlignmentFlag.AlignLeft)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Quantizer cells that exist can be edited; those that do not exist are off."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.isValid() and self.data(index, QUANTIZER_ROLE) is not None:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text, tool tip, colour, alignment, bar length or quantizer key."""
        if not index.isValid():
            return None
        layer, column = self._layers[index.row()], self.columns[index.column()]
        if column.parameter:
            return self._quantizer_data(layer, column.parameter, role)
        value = column.value(self, layer)
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(value)
        if role == BAR_ROLE and column.bar:
            return value
        if role == Qt.ItemDataRole.TextAlignmentRole and column.numeric and not column.bar:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.title} of {layer.name}: {column.text(value)}"
        return None

    def _quantizer_data(self, layer: LayerInfo, parameter: str, role: int) -> Any:
        if not self.is_editable(layer, parameter):
            return None
        text = self._session.quantizer(layer.name, parameter)
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return text or FLOAT
            case Qt.ItemDataRole.EditRole:
                return text or ""
            case Qt.ItemDataRole.ForegroundRole:
                return None if text else QColor(theme.tokens().muted)
            case Qt.ItemDataRole.ToolTipRole:
                return self._tip(layer, parameter, text)
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{parameter} quantizer of {layer.name}: {text or FLOAT}"
            case role if role == QUANTIZER_ROLE:
                return layer.name, parameter
        return None

    def _tip(self, layer: LayerInfo, parameter: str, text: str | None) -> str:
        """The quantizer in force, where QKeras turns what was written into something else; the weights' range."""
        lines = [f"{layer.name}, {parameter}: {text or 'not quantized'}"]
        spec = self._session.recipe.spec(layer.name, parameter) if text else None
        if spec is not None and str(spec) != text:
            lines.append(f"In force: {spec}")
            if "alpha" in spec.arguments:
                lines.append(f"alpha is {spec['alpha']!r}: QKeras scales a kernel without alpha by itself")
        weight = layer.weight(parameter)
        if weight is not None and weight.minimum is not None and weight.maximum is not None:
            lines.append(f"Weights lie between {weight.minimum:.4g} and {weight.maximum:.4g}")
        return "\n".join(lines)

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Set one quantizer; see `set_cells`."""
        return role == Qt.ItemDataRole.EditRole and self.set_cells([index], str(value))

    def set_cells(self, indexes: Iterable[Index], text: str) -> bool:
        """Give the quantizer cells among `indexes` the same text, as one edit; the others are passed over.

        Returns:
            False where nothing changed; `rejected` then says why, if the text was at fault.
        """
        keys = [self.data(index, QUANTIZER_ROLE) for index in indexes]
        return self.set_quantizers({key: text for key in keys if key is not None})

    def set_quantizers(self, changes: dict[tuple[str, str], str]) -> bool:
        """Change quantizers by (layer, parameter); "float" and "" are float."""
        plain = {key: "" if text.strip().lower() == FLOAT else text.strip() for key, text in changes.items()}
        try:
            self._session.set_quantizers(plain)
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
        held = {parameter for layer in self._layers for parameter in layer.quantizable}
        middle = [Column(name.replace("_", " ").capitalize(), f"Quantizer of the {name.replace('_', ' ')}", name,
                         numeric=False) for name in PARAMETER_ORDER if name in held]
        middle.append(Column("Output", "Quantizer of what the layer gives", OUTPUT, numeric=False))
        self.columns = (*_BEFORE, *middle, *_AFTER) if self._layers else ()
        self._read_rows()
        self.endResetModel()

    def _on_costs(self) -> None:
        self._read_rows()
        self._on_values()

    def _on_values(self) -> None:
        if self._layers:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._layers) - 1, len(self.columns) - 1))

    def _read_rows(self) -> None:
        report = self._session.report
        self._rows = {row.name: row for row in report.rows} if report is not None else {}
