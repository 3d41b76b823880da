"""What makes the window pleasant: palette, help, settings, tour, drag and drop; by real keys and clicks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

import resources
from app import help as manual
from app import theme
from app.application import Application
from app.settings import Settings
from app.views.command_palette import CommandPalette, match
from app.views.dialogs import ModelDialog
from app.views.settings_dialog import SettingsDialog
from app.views.tour import STEPS


@pytest.fixture
def parts(qtbot, still_running):
    """The whole application, shown, with no project open."""
    made = Application()
    qtbot.addWidget(made.window)
    made.window.show()
    qtbot.waitExposed(made.window)
    yield made
    made.close()
    made.window.close()
    still_running()


def test_the_palette_runs_what_is_typed(parts, qtbot) -> None:
    QTest.keyClick(parts.window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    palette = parts.window.findChild(CommandPalette)
    assert palette is not None and palette.isVisible()
    QTest.keyClicks(palette.line, "theme dark"[:4])
    QTest.keyClicks(palette.line, "")
    palette.line.clear()
    QTest.keyClicks(palette.line, "settings")
    assert palette.list.item(0).text().startswith("Settings")
    QTest.keyClick(palette.line, Qt.Key.Key_Return)
    dialog = parts.window.findChild(SettingsDialog)
    assert dialog is not None and dialog.isVisible() and not palette.isVisible()
    dialog.reject()


def test_the_palette_does_not_run_what_is_disabled(parts, qtbot) -> None:
    parts.window.show_palette()
    palette = parts.window.findChild(CommandPalette)
    QTest.keyClicks(palette.line, "generate and synth")
    assert palette.list.count() and not palette.list.item(0).flags() & Qt.ItemFlag.ItemIsEnabled
    QTest.keyClick(palette.line, Qt.Key.Key_Return)
    assert palette.isVisible()
    palette.reject()


def test_letters_match_in_their_order_and_words_first() -> None:
    assert match("xyz", "Start search") is None
    assert match("ss", "Start search") < match("ss", "Pause or resume search")
    assert match("", "anything") is not None


def test_help_opens_at_the_page(parts, qtbot) -> None:
    assert parts.session.open_demo()
    for show, section in ((parts.window.show_search, "Search"), (parts.window.show_export, "Export")):
        show()
        QTest.keyClick(parts.window, Qt.Key.Key_F1)
        assert parts.window.help.section == section
        cursor = parts.window.help.browser.textCursor().block().text()
        assert cursor == section
    parts.window.help.close()


def test_the_tour_has_six_steps_that_each_point_at_something(parts, qtbot) -> None:
    parts.window.resize(1440, 900)
    parts.window.actions_by_name["tour"].trigger()
    tour = parts.window.tour
    assert len(STEPS) == 6
    for number in range(len(STEPS)):
        assert tour.number == number
        QTest.qWait(20)
        assert tour.target.width() > 50 and tour.target.height() > 50, STEPS[number].widget
        assert parts.window.rect().contains(tour.card.geometry())
        if number == 2:
            QTest.keyClick(tour, Qt.Key.Key_Left)
            assert tour.number == 1
            QTest.mouseClick(tour.next, Qt.MouseButton.LeftButton)
        QTest.keyClick(tour, Qt.Key.Key_Right)
    assert parts.window.tour is None
    parts.window.actions_by_name["tour"].trigger()
    QTest.keyClick(parts.window.tour, Qt.Key.Key_Escape)
    assert parts.window.tour is None


def test_settings_are_kept_and_the_theme_changes_at_once(parts, qtbot) -> None:
    parts.window.show_settings()
    dialog = parts.window.findChild(SettingsDialog)
    QTest.keyClicks(dialog.theme, "Dark")
    QTest.keyClicks(dialog.scale, "150")
    dialog.workers.setFocus()
    QTest.keyClick(dialog.workers, Qt.Key.Key_Up)
    QTest.mouseClick(dialog.buttons.button(dialog.buttons.StandardButton.Ok), Qt.MouseButton.LeftButton)
    assert theme.tokens().is_dark
    again = Settings()
    assert (again.theme, again.scale, again.workers) == ("dark", 150, 1)
    theme.manager().set_mode("light")


def test_the_size_is_applied_at_the_next_start(fresh_home: Path) -> None:
    Settings().scale = 200
    code = ("from app.application import create_application; application = create_application();"
            "print(application.devicePixelRatio())")
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    environment.pop("QT_SCALE_FACTOR", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert float(done.stdout) == 2.0


def test_a_dropped_model_asks_for_its_data(parts, qtbot, tmp_path: Path, monkeypatch) -> None:
    asked: list[str] = []

    def note(dialog: ModelDialog) -> int:
        asked.append(dialog.model.text())
        return 0

    monkeypatch.setattr(ModelDialog, "exec", note)  # a modal dialog would wait for a user
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "a model.keras"))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPointF(200, 200).toPoint(), Qt.DropAction.CopyAction, data, buttons, keys)
    QApplication.sendEvent(parts.window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(parts.window, QDropEvent(QPointF(200, 200), Qt.DropAction.CopyAction, data, buttons, keys))
    assert asked == [str(tmp_path / "a model.keras")]


def test_all_that_takes_the_focus_has_a_name_for_screen_readers(parts, qtbot) -> None:
    assert parts.session.open_demo()
    unnamed = []
    for show in (parts.window.show_layers, parts.window.show_search, parts.window.show_compare,
                 parts.window.show_export):
        show()
        QTest.qWait(10)
        for widget in parts.window.findChildren(QWidget):
            takes = widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
            named = widget.accessibleName() or getattr(widget, "text", str)() or widget.toolTip()
            own = widget.objectName() and not widget.objectName().startswith("qt_")
            if takes and own and not named:
                unnamed.append(widget.objectName())
    assert not unnamed


def test_the_manual_is_part_of_the_installed_program(monkeypatch, tmp_path) -> None:
    root = Path(__file__).resolve().parents[2]
    packed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert packed["force-include"] == {"docs": "resources/docs"}
    installed = tmp_path / "resources"
    shutil.copytree(root / "docs", installed / "docs")
    monkeypatch.setattr(manual, "_CHECKOUT", tmp_path / "no checkout")
    monkeypatch.setattr(resources, "_ROOT", installed)
    assert manual.folder() == installed / "docs"
    assert {"Layers", "Search", "Compare", "Export"} <= set(manual.sections(manual.manual()))
    shown = {line.split("](")[1].split(")")[0] for line in manual.manual().splitlines() if line.startswith("![")}
    assert shown and all((installed / "docs" / name).is_file() for name in shown)
