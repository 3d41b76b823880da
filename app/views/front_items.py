"""What the front plot draws: points in a cached bulk and a small live part, the front line, rings, legend."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QBrush
from PySide6.QtWidgets import QGraphicsItem

from app import theme
from app.models.front_model import FrontModel

#: points drawn apart from the cached bulk before it is made anew
LIVE_POINTS = 200
#: seconds between two rebuilds of the bulk, and how many times its own CPU time that must be at least
BULK_S, BULK_SHARE = 0.5, 20
SIZE = 8
UNIFORM, BY_METHOD, BY_ORDER = "uniform", "method", "order"
#: shapes tell methods apart where colours do not
SYMBOLS = ("o", "t1", "s", "d", "p", "star", "t", "h")
#: shades of the trial order, and the part of the map that shows on the ground
SHADES = 16
ORDER_MAP = "cividis"
SHOWN = {"light": (0.0, 0.72), "dark": (0.22, 1.0)}


class Points(pg.ScatterPlotItem):
    """Points of one size without outline; look is by brush and symbol of each, or one for all."""

    def put(self, x: np.ndarray, y: np.ndarray, brushes: list[QBrush] | QBrush, symbols: list[str] | str) -> None:
        """Draw these and nothing else."""
        self.setData(x=x, y=y, brush=brushes, symbol=symbols)


class Palette:
    """The look of each candidate under a way to colour."""

    def __init__(self) -> None:
        self.by = UNIFORM
        self._methods: list[str] = []

    def shades(self) -> list[str]:
        """Colours of the trial order, oldest first; the map is safe for colour-blind eyes."""
        low, high = SHOWN[theme.tokens().name]
        colours = pg.colormap.get(ORDER_MAP).map(np.linspace(low, high, SHADES), mode="qcolor")
        return [colour.name() for colour in colours]

    def looks(self, model: FrontModel, rows: Sequence[int]) -> tuple[list[QBrush] | QBrush, list[str] | str]:
        """Brushes and symbols of these rows of the model."""
        series = theme.tokens().series
        if self.by == BY_METHOD:
            self._meet(model)
            numbers = [self._methods.index(model.methods[row]) for row in rows]
            brushes = [pg.mkBrush(series[n % len(series)]) for n in range(len(self._methods))]
            return [brushes[n] for n in numbers], [SYMBOLS[n % len(SYMBOLS)] for n in numbers]
        if self.by == BY_ORDER:
            shades = [pg.mkBrush(colour) for colour in self.shades()]
            last = max(len(model) - 1, 1)
            return [shades[row * (SHADES - 1) // last] for row in rows], "o"
        return pg.mkBrush(series[0]), "o"

    def key(self, model: FrontModel) -> list[tuple[str, str, str]]:
        """(colour, symbol, text) of the legend for trained candidates."""
        if self.by == BY_METHOD:
            self._meet(model)
            series = theme.tokens().series
            return [(series[n % len(series)], SYMBOLS[n % len(SYMBOLS)], f"Trained, {method}")
                    for n, method in enumerate(self._methods)]
        if self.by == BY_ORDER and len(model) > 1:
            shades = self.shades()
            return [(shades[0], "o", f"Trained, oldest ({model.ids[0]})"),
                    (shades[-1], "o", f"Trained, newest ({model.ids[-1]})")]
        return [(theme.tokens().series[0], "o", "Candidates, trained")]

    def _meet(self, model: FrontModel) -> None:
        """Methods in the order they came, so that a colour stays."""
        self._methods = list(dict.fromkeys(method for method, trained in zip(model.methods, model.trained, strict=True)
                                           if trained))


class PointLayer:
    """All candidates: a bulk whose picture is kept, and those that came since."""

    def __init__(self, item: pg.PlotItem, palette: Palette) -> None:
        self._palette = palette
        self._bulk, self.live, self._proxies = Points(), Points(), Points()
        self._bulk.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        for entry in (self._proxies, self._bulk, self.live):
            entry.setSize(SIZE)
            item.addItem(entry)
        self._drawn = 0
        self._at = self._took = 0.0

    def paint(self) -> None:
        """Outlines in the colours in force."""
        edge = pg.mkPen(theme.tokens().plot_background)
        for entry in (self._bulk, self.live):
            entry.setPen(edge)
        self._proxies.setSize(SIZE - 1)
        self._proxies.setPen(pg.mkPen(theme.tokens().series[6]))

    def draw(self, model: FrontModel) -> None:
        """Everything anew."""
        started = time.thread_time()
        trained = np.asarray(model.trained, dtype=bool)
        x, y = np.asarray(model.x, float), np.asarray(model.y, float)
        rows = np.flatnonzero(trained)
        self._bulk.put(x[rows], y[rows], *self._palette.looks(model, rows.tolist()))
        self._proxies.put(x[~trained], y[~trained], QBrush(Qt.BrushStyle.NoBrush), "o")
        self.live.clear()
        self._drawn = len(model)
        self._at = time.monotonic()
        self._took = time.thread_time() - started

    def follow(self, model: FrontModel) -> bool:
        """Draw what has come since; the bulk anew only now and then. False where it is due later."""
        waiting = len(model) - self._drawn
        due = time.monotonic() - self._at >= max(BULK_S, BULK_SHARE * self._took)
        if (waiting > LIVE_POINTS and due) or not all(model.trained[self._drawn:]):
            self.draw(model)
            return True
        rows = list(range(self._drawn, len(model)))
        self.live.put(np.asarray(model.x[self._drawn:], float), np.asarray(model.y[self._drawn:], float),
                      *self._palette.looks(model, rows))
        return waiting <= LIVE_POINTS


class Rings:
    """Rings around the candidates that are compared, each in its colour, with its id."""

    def __init__(self, item: pg.PlotItem) -> None:
        self._item = item
        self._rings = pg.ScatterPlotItem(symbol="o", size=15, brush=None)
        self._names: list[pg.TextItem] = []
        item.addItem(self._rings)

    def draw(self, places: Sequence[tuple[str, tuple[float, float], str]]) -> None:
        """(id, place, colour) of each."""
        for name in self._names:
            self._item.removeItem(name)
        self._rings.setData(pos=[place for _, place, _ in places] or np.empty((0, 2)),
                            pen=[pg.mkPen(colour, width=2.5) for _, _, colour in places] or None)
        self._names = []
        for text, (x, y), colour in places:
            name = pg.TextItem(text, color=colour, anchor=(0.5, 1.35))
            name.setPos(x, y)
            self._item.addItem(name, ignoreBounds=True)
            self._names.append(name)


class Key:
    """The legend, made anew only when its entries change."""

    def __init__(self, legend: pg.LegendItem) -> None:
        self._legend = legend
        self._entries: list[tuple[object, ...]] = []

    def forget(self) -> None:
        """Make it anew next time; its labels keep the colours they were made with."""
        self._entries = []

    def show(self, entries: Sequence[tuple[str, str, str, str]]) -> None:
        """(kind, colour, symbol, text); kind is "line", "dot", "ring" or "mark"."""
        wanted = [tuple(entry) for entry in entries]
        if wanted == self._entries:
            return
        self._entries = wanted
        self._legend.clear()
        for kind, colour, symbol, text in entries:
            self._legend.addItem(_sample(kind, colour, symbol), text)
        self._legend.setVisible(bool(wanted))


def _sample(kind: str, colour: str, symbol: str) -> pg.PlotCurveItem | pg.ScatterPlotItem:
    if kind == "line":
        return pg.PlotCurveItem(pen=pg.mkPen(colour, width=2))
    if kind == "ring":
        return pg.ScatterPlotItem(symbol=symbol, size=12, pen=pg.mkPen(colour, width=2), brush=None)
    return pg.ScatterPlotItem(symbol=symbol, size=10, pen=None, brush=pg.mkBrush(colour))
