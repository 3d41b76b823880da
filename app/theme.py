"""Colours: one token table each for light and dark, turned into a palette, a style sheet and plot pens.

`tokens()` gives the table in force; `manager().changed` is emitted when another takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

import resources

MODES = ("system", "light", "dark")


@dataclass(frozen=True)
class Tokens:
    """Every colour the application uses, as "#rrggbb". `series` is safe for colour-blind eyes."""

    name: str
    window: str
    base: str
    alternate: str
    raised: str
    border: str
    text: str
    muted: str
    disabled: str
    accent: str
    accent_text: str
    selection: str
    selection_text: str
    success: str
    warning: str
    danger: str
    plot_background: str
    plot_foreground: str
    plot_grid: str
    series: tuple[str, ...]

    @property
    def is_dark(self) -> bool:
        """True for light text on a dark ground."""
        return self.name == "dark"


# Okabe and Ito's set (2008), yellow replaced by one that shows on white; black leads as the foreground
LIGHT = Tokens(
    name="light", window="#f3f4f6", base="#ffffff", alternate="#f7f8fa", raised="#ffffff", border="#d3d7de",
    text="#1b2230", muted="#5b6473", disabled="#a0a7b3", accent="#0b62b0", accent_text="#ffffff",
    selection="#cfe4f8", selection_text="#10243a", success="#17713a", warning="#945200", danger="#b3261e",
    plot_background="#ffffff", plot_foreground="#333b49", plot_grid="#d9dde4",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#3a9bd9", "#4b5563"),
)
DARK = Tokens(
    name="dark", window="#20252d", base="#14171c", alternate="#191d23", raised="#2a303a", border="#454d5a",
    text="#e6e9ee", muted="#9aa4b2", disabled="#626b79", accent="#4aa3e8", accent_text="#08131f",
    selection="#1f4566", selection_text="#f1f6fb", success="#4cc38a", warning="#f0b050", danger="#ff7b72",
    plot_background="#14171c", plot_foreground="#c3cad5", plot_grid="#333a45",
    series=("#56b4e9", "#e69f00", "#2fc79a", "#e08fc0", "#f0e442", "#6c8cff", "#c3cad5"),
)


class ThemeManager(QObject):
    """Chooses between light and dark, and repaints the application when the choice changes."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("theme_manager")
        self._mode = "system"
        self._tokens = LIGHT
        self._watching = False

    @property
    def mode(self) -> str:
        """ "system", "light" or "dark"."""
        return self._mode

    @property
    def tokens(self) -> Tokens:
        """The token table in force."""
        return self._tokens

    def set_mode(self, mode: str) -> None:
        """Follow the system, or stay light or dark."""
        self._mode = mode if mode in MODES else "system"
        if not self._watching:
            QGuiApplication.styleHints().colorSchemeChanged.connect(self.refresh)
            self._watching = True
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Work out which table holds and apply it to the application."""
        dark = self._mode == "dark" or (self._mode == "system" and system_is_dark())
        self._tokens = DARK if dark else LIGHT
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.setPalette(palette(self._tokens))
            application.setStyleSheet(style_sheet(self._tokens))
        self.changed.emit()


def system_is_dark() -> bool:
    """True where the desktop asks for dark."""
    return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark


@lru_cache(maxsize=1)
def manager() -> ThemeManager:
    """The one ThemeManager of this process."""
    return ThemeManager()


def tokens() -> Tokens:
    """The token table in force."""
    return manager().tokens


def palette(table: Tokens) -> QPalette:
    """The Qt palette of a token table."""
    result = QPalette()
    role = QPalette.ColorRole
    for target, colour in (
        (role.Window, table.window), (role.WindowText, table.text), (role.Base, table.base),
        (role.AlternateBase, table.alternate), (role.Text, table.text), (role.PlaceholderText, table.muted),
        (role.Button, table.raised), (role.ButtonText, table.text), (role.BrightText, table.danger),
        (role.ToolTipBase, table.raised), (role.ToolTipText, table.text), (role.Highlight, table.selection),
        (role.HighlightedText, table.selection_text), (role.Link, table.accent), (role.LinkVisited, table.accent),
        (role.Mid, table.border), (role.Midlight, table.border), (role.Dark, table.border),
        (role.Light, table.raised), (role.Shadow, table.border), (role.Accent, table.accent),
    ):
        result.setColor(target, QColor(colour))
    for target in (role.WindowText, role.Text, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, target, QColor(table.disabled))
    return result


def style_sheet(table: Tokens) -> str:
    """The little that a palette cannot say; rules go by the dynamic property `role`."""
    return f"""
    QToolTip {{ color: {table.text}; background: {table.raised}; border: 1px solid {table.border}; padding: 4px; }}
    QLabel[role="title"] {{ font-size: 20pt; font-weight: 600; }}
    QLabel[role="heading"] {{ font-weight: 600; }}
    QLabel[role="muted"] {{ color: {table.muted}; }}
    QLabel[role="figure"] {{ font-size: 15pt; font-weight: 600; }}
    QLabel[role="figure-muted"] {{ font-size: 15pt; font-weight: 600; color: {table.disabled}; }}
    QLabel[role="error"] {{ color: {table.danger}; }}
    QLabel[role="warning"] {{ color: {table.warning}; }}
    QLabel[role="success"] {{ color: {table.success}; }}
    QFrame[role="card"] {{ background: {table.raised}; border: 1px solid {table.border}; border-radius: 6px; }}
    QFrame[role="badge-good"] {{ background: {table.success}; border-radius: 4px; }}
    QFrame[role="badge-bad"] {{ background: {table.danger}; border-radius: 4px; }}
    QLineEdit[invalid="true"] {{ color: {table.danger}; }}
    QPushButton {{ padding: 5px 12px; border: 1px solid {table.border}; border-radius: 4px;
                   background: {table.raised}; }}
    QPushButton:hover, QPushButton:focus {{ border-color: {table.accent}; }}
    QPushButton:pressed {{ background: {table.selection}; }}
    QPushButton:disabled {{ color: {table.disabled}; background: {table.window}; }}
    QPushButton[role="primary"] {{ background: {table.accent}; color: {table.accent_text};
                                   border-color: {table.accent}; font-weight: 600; }}
    QPushButton[role="primary"]:focus {{ border-color: {table.text}; }}
    QPushButton[role="primary"]:disabled {{ background: {table.border}; border-color: {table.border};
                                            color: {table.muted}; }}
    QPushButton[role="link"] {{ border: none; background: transparent; color: {table.accent}; text-align: left;
                                padding: 3px; }}
    QPushButton[role="link"]:focus {{ border: 1px solid {table.accent}; }}
    QToolBar {{ border: none; border-bottom: 1px solid {table.border}; spacing: 4px; padding: 3px; }}
    QHeaderView::section {{ background: {table.window}; color: {table.muted}; border: none;
                            border-bottom: 1px solid {table.border}; padding: 5px 6px; }}
    QTableView {{ gridline-color: {table.border}; selection-background-color: {table.selection};
                  selection-color: {table.selection_text}; border: 1px solid {table.border}; }}
    QTableView QLineEdit {{ border: 1px solid {table.accent}; background: {table.base}; }}
    QTabWidget::pane {{ border: none; border-top: 1px solid {table.border}; }}
    QTabBar::tab {{ padding: 7px 18px; color: {table.muted}; border: none; border-bottom: 2px solid transparent; }}
    QTabBar::tab:selected {{ color: {table.text}; border-bottom-color: {table.accent}; font-weight: 600; }}
    QTabBar::tab:hover, QTabBar::tab:focus {{ color: {table.text}; }}
    QStatusBar {{ border-top: 1px solid {table.border}; }}
    QStatusBar::item {{ border: none; }}
    QProgressBar {{ border: 1px solid {table.border}; border-radius: 4px; background: {table.base};
                    text-align: center; }}
    QProgressBar::chunk {{ background: {table.accent}; border-radius: 3px; }}
    QCheckBox::indicator, QListView::indicator {{ width: 13px; height: 13px; border: 1px solid {table.muted};
                                                   border-radius: 3px; background: {table.base}; }}
    QCheckBox::indicator:checked, QListView::indicator:checked {{ background: {table.accent};
        border-color: {table.accent}; image: url("{_check_mark(table)}"); }}
    QSplitter::handle {{ background: {table.window}; }}
    """


def _check_mark(table: Tokens) -> str:
    return resources.path(f"icons/check_{table.name}.svg").as_posix()


def set_role(widget: QObject, role: str) -> None:
    """Give a widget a style role ("card", "error", "primary" ...), also after it was shown."""
    widget.setProperty("role", role)
    style = getattr(widget, "style", None)
    if style is not None:
        style().unpolish(widget)
        style().polish(widget)
