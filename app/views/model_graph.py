"""A drawing of the model beside the table: one box a layer; a click selects its row."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import (
    QGraphicsItem,
    QGraphicsPathItem,
    QGraphicsScene,
    QGraphicsView,
    QStyleOptionGraphicsItem,
    QWidget,
)

from app import theme
from app.models import layer_texts
from app.models.layer_table import LayerTableModel
from app.models.model_graph import Graph, graph_of
from app.session import Session
from app.views.layer_delegates import small

WIDTH, GAP, MARGIN = 124, 10, 8


class LayerBox(QGraphicsItem):
    """One layer: its name, its class and output shape, and the part of the energy it takes as a bar."""

    def __init__(self, view: ModelGraph, layer: str, title: str, detail: str, height: float) -> None:
        super().__init__()
        self._view, self.layer = view, layer
        self._title, self._detail, self._height = title, detail, height
        self.share: float | None = None
        self.chosen = False
        self.setToolTip(f"{title}: {detail}")

    def boundingRect(self) -> QRectF:
        """The box."""
        return QRectF(0, 0, WIDTH, self._height)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        """Frame, bar, two lines."""
        table = theme.tokens()
        box = self.boundingRect().adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(QColor(table.accent if self.chosen else table.border), 2 if self.chosen else 1))
        painter.setBrush(QColor(table.selection if self.chosen else table.raised))
        painter.drawRoundedRect(box, 4, 4)
        if self.share:
            painter.fillRect(QRectF(3, self._height - 5, (WIDTH - 6) * self.share, 3), QColor(table.series[0]))
        font = self._view.font()
        painter.setFont(font)
        painter.setPen(QColor(table.selection_text if self.chosen else table.text))
        metrics, below = QFontMetrics(font), QFontMetrics(small(font))
        room = WIDTH - 12
        line = QRectF(6, 3, room, metrics.height())
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft,
                         metrics.elidedText(self._title, Qt.TextElideMode.ElideMiddle, room))
        painter.setFont(small(font))
        painter.setPen(QColor(table.selection_text if self.chosen else table.muted))
        line = QRectF(6, 3 + metrics.height(), room, below.height())
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft,
                         below.elidedText(self._detail, Qt.TextElideMode.ElideRight, room))


class ModelGraph(QGraphicsView):
    """Follows the session's model; Up and Down walk through its layers.

    Signals:
        layerChosen(str): a layer was clicked or walked to.
    """

    layerChosen = Signal(str)

    def __init__(self, session: Session, layers: LayerTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("model_graph")
        self.setAccessibleName("Graph of the model's layers")
        self.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignHCenter)
        self.setMinimumWidth(WIDTH + 2 * MARGIN + 22)  # a scroll bar beside one lane
        self.setScene(QGraphicsScene(self))
        self._session, self._layers = session, layers
        self.boxes: dict[str, LayerBox] = {}
        session.projectChanged.connect(self._on_project)
        session.costsChanged.connect(self._on_costs)
        theme.manager().changed.connect(self._on_project)
        self._on_project()

    def show_layer(self, layer: str) -> None:
        """Mark a layer as the chosen one."""
        for name, box in self.boxes.items():
            if box.chosen != (name == layer):
                box.chosen = name == layer
                box.update()
        if layer in self.boxes:
            self.ensureVisible(self.boxes[layer], 4, 4)

    @property
    def chosen(self) -> str:
        """The chosen layer, or empty."""
        return next((name for name, box in self.boxes.items() if box.chosen), "")

    # -- drawing -----------------------------------------------------------------------------------

    def _on_project(self) -> None:
        chosen = self.chosen
        self.boxes.clear()
        self.scene().clear()
        self.setBackgroundBrush(QColor(theme.tokens().base))
        info = self._session.info
        if info is None:
            return
        graph = graph_of(info)
        height = QFontMetrics(self.font()).height() + QFontMetrics(small(self.font())).height() + 10
        for place in graph.places:
            layer = info.find(place.layer)
            assert layer is not None
            box = LayerBox(self, layer.name, layer.name, f"{layer.class_name} {layer_texts.shape(layer)}", height)
            box.setPos(place.lane * (WIDTH + GAP), place.depth * (height + GAP))
            self.boxes[layer.name] = box
            self.scene().addItem(box)
        self._draw_edges(graph, height)
        self.scene().setSceneRect(self.scene().itemsBoundingRect().adjusted(-MARGIN, -MARGIN, MARGIN, MARGIN))
        self._on_costs()
        self.show_layer(chosen)

    def _draw_edges(self, graph: Graph, height: float) -> None:
        pen = QPen(QColor(theme.tokens().muted), 1.2)
        depths = {place.layer: place.depth for place in graph.places}
        for start, end in graph.edges:
            first = self.boxes[start].pos() + QPointF(WIDTH / 2, height)
            last = self.boxes[end].pos() + QPointF(WIDTH / 2, 0)
            path = QPainterPath(first)
            if depths[end] - depths[start] > 1:  # around the boxes between, on their right
                side = max(first.x(), last.x()) + WIDTH / 2 + GAP / 2
                away = QPointF(side, first.y() + height)
                path.cubicTo(QPointF(side, first.y() + GAP), QPointF(side, first.y()), away)
                path.lineTo(QPointF(side, last.y() - height))
                path.cubicTo(QPointF(side, last.y()), QPointF(side, last.y() - GAP), last)
            else:
                path.cubicTo(first + QPointF(0, GAP / 2), last - QPointF(0, GAP / 2), last)
            path.moveTo(last)
            path.lineTo(last + QPointF(-3.5, -5))
            path.moveTo(last)
            path.lineTo(last + QPointF(3.5, -5))
            item = QGraphicsPathItem(path)
            item.setPen(pen)
            item.setZValue(-1)
            self.scene().addItem(item)

    def _on_costs(self) -> None:
        for name, box in self.boxes.items():
            share = self._layers.energy_share(name)
            if share != box.share:
                box.share = share
                box.update()

    # -- choosing ----------------------------------------------------------------------------------

    def mousePressEvent(self, event: object) -> None:
        """Choose the layer that was clicked."""
        super().mousePressEvent(event)  # type: ignore[arg-type]
        item = self.itemAt(event.position().toPoint())  # type: ignore[attr-defined]
        if isinstance(item, LayerBox):
            self._choose(item.layer)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and Down choose the layer before and behind."""
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        names = list(self.boxes)
        if step is None or not names:
            super().keyPressEvent(event)
            return
        at = names.index(self.chosen) if self.chosen else -step
        self._choose(names[min(max(at + step, 0), len(names) - 1)])

    def _choose(self, layer: str) -> None:
        self.show_layer(layer)
        self.layerChosen.emit(layer)
