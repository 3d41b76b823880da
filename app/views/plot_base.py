"""What every plot shares: theme, units on the axes, an honest empty state, hover values, copy and save."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pyqtgraph as pg
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.views.elided import ElidedLabel
from app.views.plot_export import Picture, Table, save
from core.errors import QuantiscopeError

# antialiased noisy lines take seconds a frame; curves that are smooth ask for it one by one
pg.setConfigOptions(antialias=False)


#: half a tick label: as much as one may stand over the end of an axis, horizontally and vertically
OVERHANG = (20, 9)


class Axis(pg.AxisItem):
    """An axis that keeps the labels at its two ends; with a grid, pyqtgraph leaves them out."""

    def boundingRect(self) -> QRectF:
        """The axis and what stands over its ends."""
        over, above = (OVERHANG[0], 0) if self.orientation in ("bottom", "top") else (0, OVERHANG[1])
        return super().boundingRect().adjusted(-over, -above, over, above)


class LogAxis(Axis):
    """Ticks for values that were drawn as their logarithm to base 10; the labels are the true values."""

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """Decades as major ticks; between them as many as there is room for."""
        decades = range(math.floor(minVal), math.ceil(maxVal) + 1)
        span = maxVal - minVal
        major = [float(d) for d in decades if minVal <= d <= maxVal]
        steps = () if span > 5 else (2, 5) if span > 1.2 else (1.5, 2, 3, 4, 5, 6, 8)
        minor = [d + math.log10(k) for d in decades for k in steps if minVal <= d + math.log10(k) <= maxVal]
        if span < 0.15:  # zoomed in further than these steps reach: even steps of the true value
            return [(span, _even_steps(minVal, maxVal))]
        return [(1.0, major), (0.3, minor)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """The true values."""
        return [true_value(10.0**value) for value in values]


def _even_steps(low: float, high: float) -> list[float]:
    bottom, top = 10.0**low, 10.0**high
    raw = (top - bottom) / 5
    step = next(k * 10.0 ** math.floor(math.log10(raw)) for k in (1, 2, 5, 10)
                if k * 10.0 ** math.floor(math.log10(raw)) >= raw)
    first = math.ceil(bottom / step)
    return [math.log10(number * step) for number in range(first, math.floor(top / step) + 1) if number > 0]


def true_value(value: float) -> str:
    """A number for an axis, without needless digits; thin blanks between thousands."""
    if value >= 1000:
        return f"{value:,.0f}".replace(",", "\u2009")
    return f"{value:.6f}".rstrip("0").rstrip(".") if value >= 1e-4 else f"{value:.3g}"


class Plot(QWidget):
    """A canvas below a row of title, value under the pointer and menu, and a row of `controls` where there are any.

    Subclasses draw into `self.item`, tell their numbers by `table()` and what lies under the pointer by
    `readout()`.

    Signals:
        failed(QuantiscopeError): a file could not be written.
    """

    failed = Signal(object)

    def __init__(self, name: str, title: str, axes: dict[str, pg.AxisItem] | None = None,
                 parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.title = ElidedLabel(title, self, objectName=f"{name}_title")
        theme.set_role(self.title, "heading")
        self.value = ElidedLabel("", self, objectName=f"{name}_value")
        theme.set_role(self.value, "muted")
        self.widget = pg.PlotWidget(self, enableMenu=False,
                                    axisItems={"left": Axis("left"), "bottom": Axis("bottom"), **(axes or {})})
        self.widget.setObjectName(f"{name}_canvas")
        self.widget.setAccessibleName(title)
        self.widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFocusProxy(self.widget)
        self.item: pg.PlotItem = self.widget.getPlotItem()
        self.box: pg.ViewBox = self.item.getViewBox()
        self._prepare_item()
        self._empty = QLabel("", self.widget, objectName=f"{name}_empty", alignment=Qt.AlignmentFlag.AlignCenter,
                             wordWrap=True)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.set_role(self._empty, "muted")
        self._make_actions(name)
        self.head = QHBoxLayout()
        for widget, stretch in ((self.title, 0), (self.value, 1), (self._button, 0)):
            self.head.addWidget(widget, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(self.head)
        self.controls = QHBoxLayout()
        layout.addLayout(self.controls)
        layout.addWidget(self.widget, 1)
        self.widget.scene().sigMouseMoved.connect(self._on_moved)
        theme.manager().changed.connect(self._on_theme)

    def _prepare_item(self) -> None:
        self.item.showGrid(x=True, y=True, alpha=0.22)
        self.item.setMenuEnabled(False)
        self.item.hideButtons()
        for side in ("left", "bottom"):
            axis = self.item.getAxis(side)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(tickTextOffset=6, hideOverlappingLabels=OVERHANG[0])
        self.item.setContentsMargins(2, 8, 18, 2)  # room for half a label at the ends of the axes
        self.legend = self.item.addLegend(offset=(-12, -12), labelTextSize="9pt", verSpacing=-4)

    # -- for subclasses ----------------------------------------------------------------------------

    def table(self) -> Table:
        """The numbers that are drawn."""
        raise NotImplementedError  # every plot tells its own

    def redraw(self) -> None:
        """Draw again what is to be seen, in the colours in force."""

    def readout(self, at: QPointF) -> str:
        """What lies at a place of the plot, in one line."""
        return ""

    def show_empty(self, text: str) -> None:
        """Say why there is nothing to see; an empty text takes the message away."""
        self._empty.setText(text)
        self._empty.setVisible(bool(text))
        self._place_empty()

    def pen(self, colour: str, width: float = 1.0, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> object:
        """A pen whose width does not change with the zoom."""
        return pg.mkPen(colour, width=width, style=style)

    # -- theme and layout --------------------------------------------------------------------------

    def apply_theme(self) -> None:
        """Background, axes, grid and legend in the colours in force."""
        colours = theme.tokens()
        self.widget.setBackground(colours.plot_background)
        for side in ("left", "bottom"):
            axis = self.item.getAxis(side)
            axis.setPen(colours.plot_foreground)
            axis.setTextPen(colours.plot_foreground)
        self.legend.setLabelTextColor(colours.plot_foreground)
        self.legend.setBrush(pg.mkBrush(f"{colours.plot_background}d8"))
        self.legend.setPen(pg.mkPen(colours.plot_grid))

    def _on_theme(self) -> None:
        self.apply_theme()
        self.redraw()

    def resizeEvent(self, event: object) -> None:
        """Keep the empty message in the middle."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._place_empty()

    def _place_empty(self) -> None:
        self._empty.setGeometry(self.widget.rect().adjusted(70, 10, -20, -50))

    # -- the pointer -------------------------------------------------------------------------------

    def _on_moved(self, position: QPointF) -> None:
        inside = self.box.sceneBoundingRect().contains(position)
        self.value.setText(self.readout(self.box.mapSceneToView(position)) if inside else "")

    # -- copy and save -----------------------------------------------------------------------------

    def _make_actions(self, name: str) -> None:
        self._button = QToolButton(self, objectName=f"{name}_menu", text="Save", toolTip="Copy or save this plot")
        self._button.setStyleSheet("QToolButton { padding: 2px 16px 2px 6px; }")  # room for the arrow
        self._button.setAccessibleName(f"Copy or save: {self.title.text()}")
        self._button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(self, objectName=f"{name}_actions")
        entries = (("copy", "Copy picture", self.copy, QKeySequence(QKeySequence.StandardKey.Copy)),
                   ("copy_values", "Copy values", self.copy_values, QKeySequence("Ctrl+Shift+C")),
                   ("save", "Save picture or values…", self.choose_file, QKeySequence("Ctrl+Alt+S")),
                   ("show_all", "Show everything", self.show_all, QKeySequence("Ctrl+0")))
        for key, text, slot, shortcut in entries:
            action = QAction(text, self, objectName=f"{name}_{key}", shortcut=shortcut)
            # each plot has these: the one with the focus answers
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            action.triggered.connect(slot)
            self.addAction(action)
            self.menu.addAction(action)
        self._button.setMenu(self.menu)
        self.widget.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.widget.customContextMenuRequested.connect(self._on_context_menu)

    def _on_context_menu(self, position: QPoint) -> None:
        self.menu.popup(self.widget.mapToGlobal(position))

    def show_all(self) -> None:
        """Undo zooming and moving."""
        self.item.autoRange()
        self.item.enableAutoRange()

    def picture(self) -> Picture:
        """The plot as it is seen, for saving."""
        colours = theme.tokens()
        return Picture(self.widget, self.title.text(), colours.plot_background, colours.plot_foreground)

    def copy(self) -> None:
        """Put the picture on the clipboard."""
        QGuiApplication.clipboard().setPixmap(self.picture().pixmap())

    def copy_values(self) -> None:
        """Put the numbers on the clipboard, as CSV."""
        QGuiApplication.clipboard().setText(self.table().csv())

    def choose_file(self) -> None:
        """Ask where to save and save there."""
        name, kind = QFileDialog.getSaveFileName(self, "Save plot", f"{self.objectName()}.png",
                                                 "Picture (*.png);;Drawing (*.svg);;Values (*.csv)")
        if not name:
            return
        ending = kind[kind.find("*") + 1:kind.rfind(")")]
        try:
            self.save(Path(name if Path(name).suffix else name + ending))
        except QuantiscopeError as error:
            self.failed.emit(error)

    def save(self, path: Path) -> None:
        """Write PNG, SVG or CSV, by the file's ending; raises ProjectError."""
        save(path, self.picture(), self.table())
