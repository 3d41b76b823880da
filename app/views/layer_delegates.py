"""How the cells of the table of layers are drawn: two lines of text, and a share as a bar."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app import theme
from app.models.layer_table import BAR_ROLE, DETAIL_ROLE

Index = QModelIndex | QPersistentModelIndex
PAD = 6
#: size of the second line against the first
SMALL = 0.86
BAR_HEIGHT = 4


def small(font: QFont) -> QFont:
    """The font of second lines."""
    made = QFont(font)
    if font.pointSizeF() > 0:
        made.setPointSizeF(font.pointSizeF() * SMALL)
    else:
        made.setPixelSize(round(font.pixelSize() * SMALL))
    return made


class CellDelegate(QStyledItemDelegate):
    """Draws the text of a cell, below it what is in force, below that its share as a bar.

    Attributes:
        details: whether second lines are drawn.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.details = True

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Ground as any cell has it, then the lines."""
        self.initStyleOption(option, index)
        text, option.text = option.text, ""  # type: ignore[attr-defined]
        style = option.widget.style()  # type: ignore[attr-defined]
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)  # type: ignore[attr-defined]
        detail = index.data(DETAIL_ROLE) if self.details else ""
        share = index.data(BAR_ROLE)
        table = theme.tokens()
        room = option.rect.adjusted(PAD, 3, -PAD, -3)  # type: ignore[attr-defined]
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)  # type: ignore[attr-defined]
        painter.save()
        painter.setFont(option.font)  # type: ignore[attr-defined]
        if share is not None:
            _bar(painter, room, share)
            room.setBottom(room.bottom() - BAR_HEIGHT - 1)
        colour = index.data(Qt.ItemDataRole.ForegroundRole)
        first, second = colour or QColor(table.text), QColor(table.muted)
        if chosen:
            first = second = QColor(table.selection_text)
        self._lines(painter, room, index, text, detail, (first, second))
        painter.restore()

    def _lines(self, painter: QPainter, room: QRect, index: Index, text: str, detail: str | None,
               colours: tuple[QColor, QColor]) -> None:
        alignment = index.data(Qt.ItemDataRole.TextAlignmentRole) or Qt.AlignmentFlag.AlignLeft
        flags = (Qt.AlignmentFlag(alignment) & Qt.AlignmentFlag.AlignHorizontal_Mask) | Qt.AlignmentFlag.AlignVCenter \
            | Qt.TextFlag.TextDontClip
        metrics, below = painter.fontMetrics(), QFontMetrics(small(painter.font()))
        both = metrics.height() + (below.height() if detail else 0)
        top = room.top() + max((room.height() - both) // 2, 0)
        line = QRect(room.left(), top, room.width(), metrics.height())
        painter.setPen(colours[0])
        painter.drawText(line, flags,
                         metrics.elidedText(text, Qt.TextElideMode.ElideRight, room.width()))
        if detail:
            line = QRect(room.left(), top + metrics.height(), room.width(), below.height())
            painter.setFont(small(painter.font()))
            painter.setPen(colours[1])
            painter.drawText(line, flags,
                             below.elidedText(detail, Qt.TextElideMode.ElideRight, room.width()))

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Room for the wider of both lines."""
        font = option.font  # type: ignore[attr-defined]
        wide = QFontMetrics(font).horizontalAdvance(str(index.data() or ""))
        if self.details:
            wide = max(wide, QFontMetrics(small(font)).horizontalAdvance(str(index.data(DETAIL_ROLE) or "")))
        return QSize(wide + 2 * PAD + 2, row_height(font, self.details))


def row_height(font: QFont, details: bool) -> int:
    """Height of a row in this font."""
    return QFontMetrics(font).height() + (QFontMetrics(small(font)).height() if details else 0) + 12


def _bar(painter: QPainter, room: QRect, share: float) -> None:
    table = theme.tokens()
    ground = QRect(room.left(), room.bottom() - BAR_HEIGHT + 1, room.width(), BAR_HEIGHT)
    painter.fillRect(ground, QColor(table.border))
    ground.setWidth(round(room.width() * min(max(share, 0.0), 1.0)))
    painter.fillRect(ground, QColor(table.series[0]))
