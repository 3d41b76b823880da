"""The table of layers as it is seen: filtered by words, sorted by a column, and edited in blocks of cells."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel

from app.models.layer_table import DETAIL_ROLE, KEY_ROLE, LAYER_ROLE, PLAIN_ROLE, SORT_ROLE, LayerTableModel
from core.quant.edits import NUMBERS
from core.quant.measures import Key

Index = QModelIndex | QPersistentModelIndex


class LayerViewModel(QSortFilterProxyModel):
    """Rows whose texts hold every word of the filter. An edit moves no row: sorting is done when asked for."""

    def __init__(self, layers: LayerTableModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layer_view_model")
        self.layers = layers
        self._words: list[str] = []
        self.setSortRole(SORT_ROLE)
        self.setDynamicSortFilter(False)
        self.setSourceModel(layers)

    def set_filter(self, text: str) -> None:
        """Show the layers that have all these words in their name, class, quantizers or precisions."""
        words = text.lower().split()
        if words != self._words:
            self.beginFilterChange()
            self._words = words
            self.endFilterChange()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        """True where every word is in one of the row's texts."""
        if not self._words:
            return True
        layers = self.layers
        indexes = [layers.index(row, column) for column in range(layers.columnCount())]
        text = " ".join(str(index.data(role) or "") for index in indexes
                        for role in (PLAIN_ROLE, DETAIL_ROLE)).lower()
        return all(word in text for word in self._words)

    def row_of(self, layer: str) -> int:
        """The row that shows a layer; -1 where it is filtered out."""
        return next((row for row in range(self.rowCount()) if self.index(row, 0).data(LAYER_ROLE) == layer), -1)


def block(indexes: Sequence[Index]) -> str:
    """Cells as text for the clipboard: lines of cells with tabs between; cells between that are not chosen are empty.
    """
    rows = sorted({index.row() for index in indexes})
    columns = sorted({index.column() for index in indexes})
    texts = {(index.row(), index.column()): str(index.data(PLAIN_ROLE) or "") for index in indexes}
    return "\n".join("\t".join(texts.get((row, column), "") for column in columns) for row in rows)


def pasted(model: LayerViewModel, text: str, chosen: Sequence[Index], columns: Sequence[int]) -> dict[Key, str]:
    """What pasting a text changes, by cell.

    One line of one cell goes into every chosen cell it fits. A block goes where the chosen cells begin, and is
    repeated where more rows or columns are chosen than it has.

    Args:
        columns: the columns that are seen, in the order they are seen.
    """
    lines = [line.split("\t") for line in text.replace("\r\n", "\n").strip("\n").split("\n")]
    if not chosen or not text.strip():
        return {}
    if len(lines) == 1 and len(lines[0]) == 1:
        keys = [key for index in chosen if (key := index.data(KEY_ROLE)) is not None]
        number = _is_number(lines[0][0])
        return {key: lines[0][0] for key in keys if (key[1] in NUMBERS) == number}
    seen = [column for column in columns if column >= min(index.column() for index in chosen)]
    top = min(index.row() for index in chosen)
    height = max(len(lines), max(index.row() for index in chosen) - top + 1)
    width = max(max(len(line) for line in lines), len({index.column() for index in chosen}))
    changes = {}
    for down in range(height):
        line = lines[down % len(lines)]
        for right, column in enumerate(seen[:width]):
            key = model.index(top + down, column).data(KEY_ROLE)
            cell = line[right % len(line)].strip()
            if key is not None and cell:
                changes[key] = cell
    return changes


def filled(model: LayerViewModel, chosen: Sequence[Index]) -> dict[Key, str]:
    """What filling down changes: in each column the uppermost value goes into the chosen cells below it.

    Where one row is chosen it is filled from the row above.
    """
    changes = {}
    for column in sorted({index.column() for index in chosen}):
        rows = sorted(index.row() for index in chosen if index.column() == column)
        if len(rows) == 1 and rows[0] > 0:
            above = [row for row in range(rows[0]) if model.index(row, column).data(KEY_ROLE) is not None]
            rows = [*above[-1:], *rows]
        cells = [model.index(row, column) for row in rows]
        cells = [cell for cell in cells if cell.data(KEY_ROLE) is not None]
        if cells:
            changes.update({cell.data(KEY_ROLE): str(cells[0].data(PLAIN_ROLE)) for cell in cells[1:]})
    return changes


def _is_number(text: str) -> bool:
    try:
        float(text.strip().rstrip("%"))
    except ValueError:
        return False
    return True
