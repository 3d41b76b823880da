"""The table of layers: quantizers are edited in place, in one cell or in many at once."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QColor, QGuiApplication, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from app import theme
from app.models.layer_table import BAR_ROLE, QUANTIZER_ROLE, LayerTableModel
from app.session import Session
from app.views.quantizer_editor import QuantizerDelegate

Index = QModelIndex | QPersistentModelIndex
QUANTIZER_WIDTH = 205
_PAD = 4


class BarDelegate(QStyledItemDelegate):
    """Draws a share between 0 and 1 as a bar with its text beside it."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Ground and text as any cell has them, the bar between."""
        self.initStyleOption(option, index)
        text, option.text = option.text, ""  # type: ignore[attr-defined]
        view = option.widget  # type: ignore[attr-defined]
        view.style().drawControl(view.style().ControlElement.CE_ItemViewItem, option, painter, view)
        share = index.data(BAR_ROLE)
        room = option.rect.adjusted(_PAD, 5, -_PAD, -5)  # type: ignore[attr-defined]
        label = painter.fontMetrics().horizontalAdvance("100.0 %") + _PAD
        full = max(room.width() - label, 0)
        table = theme.tokens()
        if share is not None:
            ground = QRect(room.left(), room.top(), full, room.height())
            painter.fillRect(ground, QColor(table.window))
            ground.setWidth(round(full * share))
            painter.fillRect(ground, QColor(table.series[0]))
        painter.setPen(QColor(table.text))
        painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)


class LayerTable(QTableView):
    """Keys: Enter or F2 edits, Delete is float, copy and paste take cells as text, tabs between columns."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layer_table")
        self.setAccessibleName("Layers and their quantizers")
        self.layers = LayerTableModel(session, self)
        self.setModel(self.layers)
        self.quantizer_delegate = QuantizerDelegate(self)
        self.bar_delegate = BarDelegate(self)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table; arrow keys move within it
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(30)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed
                             | QAbstractItemView.EditTrigger.AnyKeyPressed)
        self.layers.modelReset.connect(self._arrange)
        self._arrange()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter, Delete, copy and paste; all else as in any table."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self.edit(self.currentIndex())
        elif event.key() == Qt.Key.Key_Delete:
            self.layers.set_cells(self.selectedIndexes(), "")
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.matches(QKeySequence.StandardKey.Paste):
            self.paste()
        else:
            super().keyPressEvent(event)

    def copy(self) -> None:
        """The selected cells as text, tabs between columns."""
        chosen = sorted(self.selectedIndexes(), key=lambda index: (index.row(), index.column()))
        rows: dict[int, list[str]] = {}
        for index in chosen:
            rows.setdefault(index.row(), []).append(str(index.data() or ""))
        QGuiApplication.clipboard().setText("\n".join("\t".join(cells) for cells in rows.values()))

    def paste(self) -> None:
        """One text into every selected quantizer cell, or a block of texts from the current cell on."""
        lines = [line.split("\t") for line in QGuiApplication.clipboard().text().strip("\n").split("\n")]
        if len(lines) == 1 and len(lines[0]) == 1:
            self.layers.set_cells(self.selectedIndexes(), lines[0][0])
            return
        corner = self.currentIndex()
        changes = {}
        for row, cells in enumerate(lines):
            for column, text in enumerate(cells):
                key = self.layers.index(corner.row() + row, corner.column() + column).data(QUANTIZER_ROLE)
                if key is not None and text:
                    changes[key] = text
        self.layers.set_quantizers(changes)

    def _arrange(self) -> None:
        """Delegates and widths by what each column holds."""
        for number, column in enumerate(self.layers.columns):
            if column.parameter:
                self.setItemDelegateForColumn(number, self.quantizer_delegate)
                self.setColumnWidth(number, QUANTIZER_WIDTH)
            elif column.bar:
                self.setItemDelegateForColumn(number, self.bar_delegate)
                self.horizontalHeader().setMinimumSectionSize(50)
                self.horizontalHeader().setSectionResizeMode(number, QHeaderView.ResizeMode.Stretch)
            else:
                self.setItemDelegateForColumn(number, None)  # type: ignore[arg-type]
                self.horizontalHeader().setSectionResizeMode(number, QHeaderView.ResizeMode.ResizeToContents)
