"""Editing a cell in its place: pick a quantizer from the list or type QKeras's string; type a number."""

from __future__ import annotations

from PySide6.QtCore import QAbstractItemModel, QEvent, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QLineEdit, QStyleOptionViewItem, QWidget

from app.models.layer_table import FLOAT, KEY_ROLE, QUANTIZER_ROLE, LayerTableModel
from app.views.layer_delegates import CellDelegate
from core.errors import QuantizerError
from core.model_info import LayerInfo
from core.quant.recipe import OUTPUT
from core.quant.spec import parse

Index = QModelIndex | QPersistentModelIndex
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_WIDTHS = (16, 12, 10, 8, 6, 5, 4, 3, 2)
_WEIGHTS = [*(f"quantized_bits({bits},0,alpha=1)" for bits in _WIDTHS), "ternary(alpha='auto_po2')",
            "binary(alpha='auto_po2')", "quantized_po2(4)", FLOAT]
_RELU = [*(f"quantized_relu({bits},{integer})" for bits, integer in ((16, 6), (8, 3), (6, 2), (6, 0), (4, 1), (3, 1))),
         "quantized_relu_po2(4)", FLOAT]
_LINEAR = [*(f"quantized_bits({bits},{integer},alpha=1)" for bits, integer in ((16, 5), (12, 5), (10, 4), (8, 3))),
           FLOAT]


def suggestions(layer: LayerInfo, parameter: str) -> list[str]:
    """Quantizers that make sense there; any other may be typed."""
    if parameter != OUTPUT:
        return _WEIGHTS
    return _RELU if layer.is_relu else _LINEAR


def problem(text: str) -> QuantizerError | None:
    """What is wrong with a text, or None; nothing and "float" are fine."""
    if text.strip().lower() in ("", FLOAT):
        return None
    try:
        parse(text)
    except QuantizerError as error:
        return error
    return None


class QuantizerEditor(QComboBox):
    """A combo box that knows whether its list was opened.

    Qt emits `activated` for a click in the list, and again when an editor that is being closed holds a text
    of the list; `picking` tells the two apart.
    """

    picking = False

    def showPopup(self) -> None:
        """Open the list."""
        self.picking = True
        super().showPopup()


class EditingDelegate(CellDelegate):
    """Gives what was typed to every selected cell of the column, as one edit."""

    def __init__(self, view: QAbstractItemView, layers: LayerTableModel) -> None:
        super().__init__(view)
        self._view = view
        self._model = layers

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: Index) -> None:
        """Give the text to the selected cells of the column, or to this one where it is not among them."""
        chosen = [other for other in self._view.selectionModel().selectedIndexes()
                  if other.column() == index.column()]
        if not any(other.row() == index.row() for other in chosen):
            chosen = [index]  # type: ignore[list-item]
        self._model.set_cells(chosen, self.text_of(editor))

    def text_of(self, editor: QWidget) -> str:
        """What the editor holds."""
        assert isinstance(editor, QLineEdit)
        return editor.text()


class NumberDelegate(EditingDelegate):
    """A line for a number of units or a sparsity."""

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        """A line edit named after its cell."""
        layer, parameter = index.data(KEY_ROLE)
        editor = QLineEdit(parent, objectName="number_editor")
        editor.setAccessibleName(f"{parameter.replace('_', ' ').capitalize()} of {layer}")
        return editor

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        """Begin with what the cell holds, selected whole."""
        assert isinstance(editor, QLineEdit)
        editor.setText(str(index.data(Qt.ItemDataRole.EditRole)))
        editor.selectAll()


class QuantizerDelegate(EditingDelegate):
    """Opens a combo box with free text. A text that is no quantizer keeps the editor open and changes nothing."""

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        """A combo box with the suggestions for the cell."""
        layer, parameter = index.data(QUANTIZER_ROLE)
        editor = QuantizerEditor(parent, objectName="quantizer_editor", editable=True)
        editor.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        editor.setAccessibleName(f"Quantizer of the {parameter} of {layer}")
        editor.addItems(suggestions(self._model.layer(self._model.row_of(layer)), parameter))
        editor.setMinimumWidth(230)
        editor.setCompleter(None)  # type: ignore[arg-type]
        editor.editTextChanged.connect(self._on_text)
        editor.activated.connect(self._on_activated)
        return editor

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        """Begin with what the cell holds, selected whole."""
        assert isinstance(editor, QComboBox)
        editor.setEditText(index.data(Qt.ItemDataRole.EditRole) or FLOAT)
        editor.lineEdit().selectAll()

    def text_of(self, editor: QWidget) -> str:
        """What was chosen or typed."""
        assert isinstance(editor, QComboBox)
        return editor.currentText()

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        """As wide as the longest quantizer, also in a narrow column."""
        rect = option.rect  # type: ignore[attr-defined]
        rect.setWidth(max(rect.width(), editor.minimumWidth()))
        editor.setGeometry(rect)

    def eventFilter(self, editor: QObject, event: QEvent) -> bool:
        """Enter takes the text where it is a quantizer; else the editor stays and the message says why."""
        if not isinstance(editor, QuantizerEditor):
            return super().eventFilter(editor, event)
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and event.key() in _ENTER:
            error = problem(editor.currentText())
            if error is not None:
                self._model.rejected.emit(error)
            else:
                self._finish(editor)
            return True
        if isinstance(event, QFocusEvent) and event.lostFocus() and not editor.view().isVisible():
            editor.picking = False
        return super().eventFilter(editor, event)

    def _on_activated(self, _: int) -> None:
        editor = self.sender()
        if isinstance(editor, QuantizerEditor) and editor.picking:
            self._finish(editor)

    def _on_text(self, text: str) -> None:
        editor = self.sender()
        if isinstance(editor, QComboBox):
            line = editor.lineEdit()
            line.setProperty("invalid", "true" if problem(text) else "false")
            line.style().unpolish(line)
            line.style().polish(line)

    def _finish(self, editor: QuantizerEditor) -> None:
        editor.picking = False
        self.commitData.emit(editor)
        self.closeEditor.emit(editor, CellDelegate.EndEditHint.NoHint)
