"""Line icons from resources/icons, in the theme's text colour."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

import resources
from app import theme

_SIZE = 64


def icon(name: str) -> QIcon:
    """The icon of that name, drawn for enabled and disabled."""
    table = theme.tokens()
    made = QIcon()
    made.addPixmap(_drawn(name, table.text), QIcon.Mode.Normal)
    made.addPixmap(_drawn(name, table.disabled), QIcon.Mode.Disabled)
    return made


def application_icon() -> QIcon:
    """The application's own icon."""
    return QIcon(_drawn("quantiscope", ""))


def _drawn(name: str, colour: str) -> QPixmap:
    svg = resources.path(f"icons/{name}.svg").read_text(encoding="utf-8").replace("currentColor", colour)
    pixmap = QPixmap(_SIZE, _SIZE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(svg.encode())).render(painter)
    painter.end()
    return pixmap
