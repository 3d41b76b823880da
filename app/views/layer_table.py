"""The table of layers: edited in place, in one cell or in many at once, filtered, sorted, copied and filled."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from app.models.layer_table import KEY_ROLE, LAYER_ROLE, QUANTIZER_ROLE, LayerTableModel
from app.models.layer_view import LayerViewModel, block, filled, pasted
from app.session import Session
from app.views.layer_delegates import CellDelegate, row_height
from app.views.quantizer_editor import NumberDelegate, QuantizerDelegate
from core.quant.edits import NUMBERS
from core.quant.measures import Key

Index = QModelIndex | QPersistentModelIndex
QUANTIZER_WIDTH = 194
#: quantizer columns that fit a window beside everything else
SEEN_AT_ONCE = 3
#: widths of columns that hold a bar, by title; the last takes what is left
WIDTHS = {"Accumulator": 132, "Energy": 96, "Bits": 84, "Sensitivity": 96}
#: (name, text, shortcut, method)
ACTIONS = (("copy", "&Copy cells", "Ctrl+C", "copy"), ("cut", "Cu&t cells", "Ctrl+X", "cut"),
           ("paste", "&Paste cells", "Ctrl+V", "paste"), ("fill", "Fill &down", "Ctrl+D", "fill_down"),
           ("clear", "Leave in &float", "Del", "clear"))


class LayerTable(QTableView):
    """Keys: Enter or F2 edits, Delete is float, copy and paste take cells as text with tabs between, Ctrl+D fills."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layer_table")
        self.setAccessibleName("Layers and their quantizers")
        self.layers = LayerTableModel(session, self)
        self.shown = LayerViewModel(self.layers, self)
        self.setModel(self.shown)
        self._cell = CellDelegate(self)
        self._quantizer = QuantizerDelegate(self, self.layers)
        self._number = NumberDelegate(self, self.layers)
        self.setItemDelegate(self._cell)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table; arrow keys move within it
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed
                             | QAbstractItemView.EditTrigger.AnyKeyPressed)
        self._header()
        self._make_actions()
        self.set_details(True)
        #: by column title, what was chosen in the columns menu
        self.chosen_columns: dict[str, bool] = {}
        self.layers.modelReset.connect(self._arrange)
        session.recipeChanged.connect(self._show_used)
        self._arrange()

    def _header(self) -> None:
        header = self.horizontalHeader()
        header.setSortIndicatorShown(True)
        header.setSortIndicatorClearable(True)  # a third click: the model's own order
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSectionsClickable(True)
        header.setHighlightSections(False)
        header.sortIndicatorChanged.connect(self.shown.sort)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(self._on_header_menu)
        self.columns_menu = QMenu(self, objectName="layer_columns_menu", title="Columns")
        self.columns_menu.aboutToShow.connect(self._list_columns)
        self.columns_menu.triggered.connect(self._on_column)

    def _make_actions(self) -> None:
        self.edit_actions: list[QAction] = []
        for name, text, shortcut, method in ACTIONS:
            action = QAction(text, self, objectName=f"action_cells_{name}", shortcut=QKeySequence(shortcut))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(getattr(self, method))
            self.edit_actions.append(action)
        self.addActions(self.edit_actions)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    # -- what is chosen ----------------------------------------------------------------------------

    def chosen_keys(self) -> list[Key]:
        """The selected quantizers, the one with the cursor first."""
        current = self.currentIndex().data(QUANTIZER_ROLE)
        keys = [key for index in self.selectedIndexes() if (key := index.data(QUANTIZER_ROLE)) is not None]
        return list(dict.fromkeys([*([current] if current is not None and current in keys else []), *keys]))

    def chosen_layers(self) -> list[str]:
        """Names of the layers with a selected cell, from above."""
        rows = sorted({index.row() for index in self.selectedIndexes()})
        return [self.shown.index(row, 0).data(LAYER_ROLE) for row in rows]

    def show_layer(self, layer: str) -> None:
        """Put the cursor on a layer's first cell that can be edited."""
        row = self.shown.row_of(layer)
        if row < 0:
            return
        seen = self._seen_columns()
        column = next((c for c in seen if self.shown.index(row, c).data(QUANTIZER_ROLE) is not None), seen[0])
        self.setCurrentIndex(self.shown.index(row, column))

    # -- keys and edits ----------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter edits; all else as in any table."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers()
        if enter and self.state() == QAbstractItemView.State.EditingState:
            event.accept()  # the editor of a number lets it through before it closes
        elif enter and self.currentIndex().data(KEY_ROLE) is not None:
            self.edit(self.currentIndex())
        elif event.text() and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            event.ignore()  # a shortcut of the window, not the first letter of a quantizer
        else:
            super().keyPressEvent(event)

    def copy(self) -> None:
        """The selected cells as text, tabs between columns."""
        chosen = [index for index in self.selectedIndexes() if not self.isColumnHidden(index.column())]
        if chosen:
            QGuiApplication.clipboard().setText(block(chosen))

    def cut(self) -> None:
        """Copy, then leave the cells in float."""
        self.copy()
        self.layers.set_cells(self.selectedIndexes(), "", "cut")

    def paste(self) -> None:
        """One text into every selected cell, or a block of texts from the first selected cell on."""
        text = QGuiApplication.clipboard().text()
        self.layers.set_quantizers(pasted(self.shown, text, self.selectedIndexes(), self._seen_columns()), "paste")

    def fill_down(self) -> None:
        """The uppermost selected value of each column into the cells selected below it."""
        self.layers.set_quantizers(filled(self.shown, self.selectedIndexes()), "fill")

    def clear(self) -> None:
        """Leave the selected cells in float."""
        self.layers.set_cells(self.selectedIndexes(), "", "clear")

    # -- columns and rows --------------------------------------------------------------------------

    def set_details(self, shown: bool) -> None:
        """Show, below each quantizer, the precision in force and where it came from."""
        for delegate in (self._cell, self._quantizer, self._number):
            delegate.details = shown
        self.verticalHeader().setDefaultSectionSize(row_height(self.font(), shown))
        self.viewport().update()

    def choose_columns(self, shown: dict[str, bool]) -> None:
        """Show and hide columns by their titles, as the menu does."""
        self.chosen_columns = dict(shown)
        for number, column in enumerate(self.layers.columns):
            if number > 0 and column.title in shown:
                self.setColumnHidden(number, not shown[column.title])

    @property
    def details(self) -> bool:
        """Whether second lines are shown."""
        return self._cell.details

    def _seen_columns(self) -> list[int]:
        header = self.horizontalHeader()
        logical = [header.logicalIndex(place) for place in range(header.count())]
        return [column for column in logical if not self.isColumnHidden(column)]

    def _on_header_menu(self, place: QPoint) -> None:
        self.columns_menu.popup(self.horizontalHeader().mapToGlobal(place))

    def _list_columns(self) -> None:
        self.columns_menu.clear()
        for number, column in enumerate(self.layers.columns):
            action = self.columns_menu.addAction(column.title)
            action.setObjectName(f"column_{column.title.lower().replace(' ', '_')}")
            action.setCheckable(True)
            action.setChecked(not self.isColumnHidden(number))
            action.setEnabled(number > 0)
            action.setData(number)
        self.columns_menu.addSeparator()
        action = self.columns_menu.addAction("Precision and origin in each cell")
        action.setObjectName("column_details")
        action.setCheckable(True)
        action.setChecked(self.details)

    def _on_column(self, action: QAction) -> None:
        if action.data() is None:
            self.set_details(action.isChecked())
        else:
            self.chosen_columns[self.layers.columns[action.data()].title] = action.isChecked()
            self.setColumnHidden(action.data(), not action.isChecked())

    def _show_used(self) -> None:
        """A hidden column that holds something is shown."""
        for number, column in enumerate(self.layers.columns):
            if column.hidden and column.parameter in NUMBERS and self.isColumnHidden(number):
                rows = range(self.layers.rowCount())
                keys = (self.layers.index(row, number).data(KEY_ROLE) for row in rows)
                if any(key is not None and self.layers.is_changed(key) for key in keys):
                    self.setColumnHidden(number, False)

    def _arrange(self) -> None:
        """Delegates and widths by what each column holds."""
        header = self.horizontalHeader()
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        for number, column in enumerate(self.layers.columns):
            delegate = self._cell if not column.parameter else (
                self._number if column.parameter in NUMBERS else self._quantizer)
            self.setItemDelegateForColumn(number, delegate)
            self.setColumnHidden(number, not self.chosen_columns.get(column.title, not column.hidden))
            wide = QUANTIZER_WIDTH if delegate is self._quantizer else WIDTHS.get(column.title)
            header.setSectionResizeMode(number, QHeaderView.ResizeMode.Interactive)
            if wide is None:
                self.resizeColumnToContents(number)
            else:
                self.setColumnWidth(number, wide)
        header.setStretchLastSection(True)
        quantizers = sum(bool(column.parameter) and column.parameter not in NUMBERS for column in self.layers.columns)
        many = quantizers > SEEN_AT_ONCE
        self.verticalHeader().setVisible(many)  # names that stay while the columns scroll
        if self.layers.columns:
            self.setColumnHidden(0, many)
        self._show_used()
