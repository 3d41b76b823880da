"""Every action of the window, declared once: name, text, shortcut, tip. The shortcut sheet reads it too."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from app import icons


@dataclass(frozen=True)
class ActionSpec:
    """One action. `handler` names the window's method; `menu` the menu that holds it.

    `short` is its text in the tool bar.
    """

    name: str
    menu: str
    text: str
    shortcut: str
    tip: str
    handler: str
    icon: str = ""
    short: str = ""
    checkable: bool = False


ACTIONS = (
    ActionSpec("open_model", "File", "&New from model…", "Ctrl+N", "Make a project from a Keras model",
               "choose_model", "plus"),
    ActionSpec("open_project", "File", "&Open project…", "Ctrl+O", "Open a project folder", "choose_project",
               "open", "Open"),
    ActionSpec("open_demo", "File", "Open &demo", "Ctrl+Shift+D", "Open the bundled jet tagger", "open_demo"),
    ActionSpec("settings", "File", "&Settings…", "Ctrl+,", "Theme, size, processes of a search", "show_settings"),
    ActionSpec("quit", "File", "&Quit", "Ctrl+Q", "Close the window", "close"),
    ActionSpec("train", "Run", "&Train this recipe", "Ctrl+T",
               "Train with the quantizers of the table; the result becomes a candidate", "start_training",
               "train", "Train"),
    ActionSpec("search", "Run", "Start &search", "F5", "Search with the settings of the Search page",
               "start_search", "play", "Search"),
    ActionSpec("pause", "Run", "&Pause or resume search", "F6", "Let the search wait, or go on", "pause_search",
               "pause", "Pause"),
    ActionSpec("stop", "Run", "S&top search", "Shift+F5", "End the search; finished candidates stay", "stop_search",
               "stop", "Stop"),
    ActionSpec("apply", "Run", "&Edit selected candidate's recipe", "Ctrl+Return",
               "Take the selected candidate's quantizers into the table", "apply_candidate"),
    ActionSpec("export", "Run", "&Generate and synthesize", "Ctrl+E",
               "Export the selected candidate with the settings of the Export page", "start_export", "chip", "Export"),
    ActionSpec("layers_page", "View", "&Layers", "Ctrl+1", "The table of layers", "show_layers"),
    ActionSpec("search_page", "View", "&Search", "Ctrl+2", "Search and Pareto front", "show_search"),
    ActionSpec("compare_page", "View", "&Compare", "Ctrl+3", "Candidates side by side", "show_compare"),
    ActionSpec("export_page", "View", "&Export", "Ctrl+4", "Firmware export", "show_export"),
    ActionSpec("errors", "View", "E&rrors and remedies", "Ctrl+Shift+E", "What went wrong so far, and what to do",
               "show_errors"),
    ActionSpec("palette", "View", "&Run an action…", "Ctrl+Shift+P", "Find any action by typing part of its name",
               "show_palette"),
    ActionSpec("help", "Help", "&Help for this page", "F1", "The manual, at the section of this page", "show_help"),
    ActionSpec("tour", "Help", "&Tour", "", "Six steps on the demo", "start_tour"),
    ActionSpec("shortcuts", "Help", "&Keyboard shortcuts", "Ctrl+F1", "A list of all shortcuts", "show_shortcuts"),
    ActionSpec("about", "Help", "&About Quantiscope", "", "Version and licence", "show_about"),
)
MENUS = ("File", "Edit", "Run", "View", "Help")
TOOLBAR = ("open_project", "", "undo", "redo", "", "train", "search", "pause", "stop", "", "export")


def build(window: QWidget) -> dict[str, QAction]:
    """The actions, connected to the window's methods, by name."""
    made = {}
    for spec in ACTIONS:
        action = QAction(spec.text, window, objectName=f"action_{spec.name}")
        action.setShortcut(QKeySequence(spec.shortcut))
        action.setIconText(spec.short or action.iconText())
        action.setToolTip(f"{spec.tip} ({spec.shortcut})" if spec.shortcut else spec.tip)
        action.setStatusTip(spec.tip)
        action.setCheckable(spec.checkable)
        action.triggered.connect(getattr(window, spec.handler))
        made[spec.name] = action
    return made


def paint_icons(actions: dict[str, QAction]) -> None:
    """Give the actions their icons in the colours of the theme."""
    for name, icon in {**{spec.name: spec.icon for spec in ACTIONS}, "undo": "undo", "redo": "redo"}.items():
        if icon and name in actions:
            actions[name].setIcon(icons.icon(icon))
