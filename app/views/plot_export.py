"""Pictures and numbers of a plot as files: PNG, SVG with real lines and text, CSV with true values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyqtgraph as pg
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QGraphicsItem

from core.errors import ProjectError
from core.files import write_atomically

ENDINGS = (".png", ".svg", ".csv")
#: pictures are drawn at this many pixels for each one on the screen
PNG_SCALE = 2.0
TITLE_HEIGHT = 30


@dataclass(frozen=True)
class Table:
    """What a plot shows, as numbers: one header and rows of true values."""

    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def csv(self) -> str:
        """Comma-separated, one line a row; None is an empty cell, numbers keep all their digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        return text.getvalue()


@dataclass(frozen=True)
class Picture:
    """A plot's canvas with the title and colours to draw it in."""

    canvas: pg.PlotWidget
    title: str
    background: str
    ink: str

    def size(self) -> QSize:
        """Pixels on the screen, title included."""
        return self.canvas.size() + QSize(0, TITLE_HEIGHT)

    def paint(self, painter: QPainter) -> None:
        """Draw title and plot from the upper left corner on."""
        size = self.size()
        painter.fillRect(QRect(0, 0, size.width(), size.height()), QColor(self.background))
        painter.setPen(QColor(self.ink))
        font = QFont(painter.font())
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(QRect(12, 0, size.width() - 24, TITLE_HEIGHT), Qt.AlignmentFlag.AlignVCenter, self.title)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # the viewport's rectangle, not the scene's: what is seen is what is saved
        self.canvas.render(painter, QRectF(0, TITLE_HEIGHT, size.width(), size.height() - TITLE_HEIGHT),
                           self.canvas.viewport().rect())

    def pixmap(self, scale: float = PNG_SCALE) -> QPixmap:
        """The picture in pixels."""
        pixmap = QPixmap(self.size() * scale)
        pixmap.setDevicePixelRatio(scale)
        pixmap.fill(QColor(self.background))
        painter = QPainter(pixmap)
        with _real_shapes(self.canvas):
            self.paint(painter)
        painter.end()
        return pixmap

    def png(self) -> bytes:
        """The picture as a PNG file."""
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        self.pixmap().save(buffer, "PNG")
        return bytes(buffer.data().data())

    def svg(self) -> bytes:
        """The picture as an SVG file: curves stay curves, text stays text."""
        content = QByteArray()
        buffer = QBuffer(content)
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(self.size())
        generator.setViewBox(QRect(0, 0, self.size().width(), self.size().height()))
        # pyqtgraph's axes are recorded at the screen's resolution
        generator.setResolution(self.canvas.logicalDpiX())
        generator.setTitle(self.title)
        painter = QPainter(generator)
        with _real_shapes(self.canvas):
            self.paint(painter)
        painter.end()
        buffer.close()
        return bytes(content.data())


@contextmanager
def _real_shapes(canvas: pg.PlotWidget) -> Iterator[None]:
    """Let pyqtgraph draw shapes instead of the pixel copies it keeps for speed."""
    items = canvas.scene().items()
    caches = [(item, item.cacheMode()) for item in items]
    exporting = [item for item in items if isinstance(item, (pg.ScatterPlotItem, pg.PlotCurveItem, pg.AxisItem))]
    try:
        for item in items:
            item.setCacheMode(QGraphicsItem.CacheMode.NoCache)
        for item in exporting:
            item.setExportMode(True, {"antialias": True, "resolutionScale": 1.0})
        yield
    finally:
        for item in exporting:
            item.setExportMode(False)
        for item, cache in caches:
            item.setCacheMode(cache)


def save(path: Path, picture: Picture, table: Table) -> None:
    """Write a picture (.png, .svg) or the numbers (.csv), by the file's ending; whole or not at all.

    Raises:
        ProjectError: another ending, or a folder that cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ProjectError(f"a plot cannot be saved as {path.name!r}", remedy=f"End it with {', '.join(ENDINGS)}")
    content = {".png": picture.png, ".svg": picture.svg, ".csv": lambda: table.csv().encode()}[ending]()
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ProjectError(f"{path} cannot be written", error.strerror or str(error),
                           "Choose a folder that you may write to") from None
