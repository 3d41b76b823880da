"""What every plot shares: theme, units on the axes, an honest empty state, copy, and saving true values."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyqtgraph as pg
from pyqtgraph.exporters import SVGExporter
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from app import theme

pg.setConfigOptions(antialias=False)


@dataclass(frozen=True)
class Table:
    """What a plot shows, as numbers: one header and rows of true values."""

    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


class LogAxis(pg.AxisItem):
    """Ticks for values that were drawn as their logarithm to base 10."""

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """Decades as major ticks; 2 and 5 of each as minor ones where few decades are seen."""
        decades = range(math.floor(minVal), math.ceil(maxVal) + 1)
        major = [float(d) for d in decades if minVal <= d <= maxVal]
        steps = (2, 5) if maxVal - minVal > 1.2 else (1.5, 2, 3, 4, 5, 6, 8)
        minor = [d + math.log10(k) for d in decades for k in steps if minVal <= d + math.log10(k) <= maxVal]
        if maxVal - minVal > 4:
            minor = []
        return [(1.0, major), (0.3, minor)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """The true values."""
        return [true_value(10.0**value) for value in values]


def true_value(value: float) -> str:
    """A number for an axis, without needless digits."""
    if value >= 10_000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}"


class Plot(QWidget):
    """A plot with a title row and a menu; subclasses draw into `self.item` and tell `table()`."""

    def __init__(self, name: str, title: str, axes: dict[str, pg.AxisItem] | None = None,
                 parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.title = QLabel(title, self, objectName=f"{name}_title")
        theme.set_role(self.title, "heading")
        self.widget = pg.PlotWidget(self, axisItems=axes or {})
        self.widget.setObjectName(f"{name}_canvas")
        self.item: pg.PlotItem = self.widget.getPlotItem()
        self.item.showGrid(x=True, y=True, alpha=0.25)
        self.item.setMenuEnabled(False)
        self.item.hideButtons()
        self.legend = self.item.addLegend(offset=(-12, -12), labelTextSize="9pt")
        self._empty = QLabel("", self.widget, objectName=f"{name}_empty", alignment=Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        theme.set_role(self._empty, "muted")
        self.head = QHBoxLayout()
        self.head.addWidget(self.title)
        self.head.addStretch(1)
        self.head.addWidget(self._menu_button(name))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(self.head)
        layout.addWidget(self.widget, 1)
        theme.manager().changed.connect(self._on_theme)

    # -- for subclasses ----------------------------------------------------------------------------

    def table(self) -> Table:
        """The numbers that are drawn."""
        raise NotImplementedError  # every plot tells its own

    def redraw(self) -> None:
        """Draw again with the colours in force."""

    def show_empty(self, text: str) -> None:
        """Say why there is nothing to see; an empty text takes the message away."""
        self._empty.setText(text)
        self._empty.setVisible(bool(text))
        self._place_empty()

    def pen(self, colour: str, width: float = 1.0, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> object:
        """A cosmetic pen."""
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
            axis.setStyle(tickTextOffset=6)
        self.legend.setLabelTextColor(colours.plot_foreground)
        self.legend.setBrush(pg.mkBrush(colours.plot_background + "d0" if len(colours.plot_background) == 7 else None))

    def _on_theme(self) -> None:
        self.apply_theme()
        self.redraw()

    def resizeEvent(self, event: object) -> None:
        """Keep the empty message in the middle."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._place_empty()

    def _place_empty(self) -> None:
        self._empty.setGeometry(self.widget.rect().adjusted(60, 10, -20, -50))

    # -- copy and save -----------------------------------------------------------------------------

    def _menu_button(self, name: str) -> QToolButton:
        button = QToolButton(self, objectName=f"{name}_menu", text="Save ▾", toolTip="Copy or save this plot")
        button.setAccessibleName(f"Copy or save: {self.title.text()}")
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        menu.addAction("Copy picture", self.copy)
        for label, kind in (("Save as PNG…", "png"), ("Save as SVG…", "svg"), ("Save values as CSV…", "csv")):
            action = menu.addAction(label)
            action.setData(kind)
        menu.triggered.connect(self._on_menu)
        button.setMenu(menu)
        return button

    def _on_menu(self, action: object) -> None:
        kind = action.data()  # type: ignore[attr-defined]
        if not kind:
            return
        name, _ = QFileDialog.getSaveFileName(self, "Save plot", f"{self.objectName()}.{kind}", f"*.{kind}")
        if name:
            self.save(Path(name if Path(name).suffix else f"{name}.{kind}"))

    def copy(self) -> None:
        """Put the picture on the clipboard."""
        QGuiApplication.clipboard().setPixmap(self.widget.grab())

    def save(self, path: Path) -> None:
        """Write PNG, SVG or CSV, by the file's ending."""
        if path.suffix == ".csv":
            table = self.table()
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(table.header)
                writer.writerows(table.rows)
        elif path.suffix == ".svg":
            SVGExporter(self.item).export(str(path))
        else:
            self.grab().save(str(path))
