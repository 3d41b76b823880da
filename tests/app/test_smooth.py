"""Nothing holds the window up: files are read in a thread, pages are built after it is seen, garbage is collected
where it belongs."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PySide6.QtCore import QObject, QTimer

import app.session
from app import application, theme
from app.collector import Collector
from app.jobs.background import in_background
from app.opening import read_project
from app.session import Session
from core.errors import ProjectError
from tests.app.played import PlayedRunner

ROOT = Path(__file__).resolve().parents[2]
FIRST_WINDOW = """
import sys, time
from app import application
application.create_application()
parts = application.Application()
parts.window.show()
print(parts.window.tabs.complete, "pyqtgraph" in sys.modules)
end = time.monotonic() + 40
while not parts.window.tabs.complete and time.monotonic() < end:
    application.process_events()
print(parts.window.tabs.complete, parts.window.tabs.count(), "pyqtgraph" in sys.modules)
parts.close()
"""


def test_that_events_turn_while_work_is_done_in_the_background(qtbot):
    ticks: list[int] = []
    timer = QTimer(interval=5)
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start()

    def work() -> threading.Thread:
        time.sleep(0.2)
        return threading.current_thread()

    thread = in_background(work)
    timer.stop()
    assert thread is not threading.main_thread()
    assert len(ticks) >= 5


def test_that_what_is_raised_in_the_background_reaches_the_caller(qtbot):
    def work() -> None:
        raise ProjectError("it is gone")

    with pytest.raises(ProjectError, match="it is gone"):
        in_background(work)


def test_that_a_project_is_read_without_holding_the_window_up(qtbot, jets_folder, monkeypatch):
    readers: list[threading.Thread] = []

    def slowly(folder: Path):
        readers.append(threading.current_thread())
        time.sleep(0.2)
        return read_project(folder)

    monkeypatch.setattr(app.session, "read_project", slowly)
    ticks: list[int] = []
    timer = QTimer(interval=5)
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start()
    session = Session(PlayedRunner())
    try:
        assert session.open_project(jets_folder, warm=False)
    finally:
        timer.stop()
        session.close()
    assert readers[0] is not threading.main_thread()
    assert len(ticks) >= 5


def test_that_the_first_window_comes_without_the_pages_and_builds_them_by_itself(tmp_path):
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QUANTISCOPE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", FIRST_WINDOW], cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "False", "True", "4", "True"]


def test_that_garbage_made_in_a_thread_is_collected_in_the_windows_thread(qtbot):
    died_in: list[threading.Thread] = []

    class Cycle(QObject):
        def __init__(self) -> None:
            super().__init__()
            self.me = self

        def __del__(self) -> None:
            died_in.append(threading.current_thread())

    def fill() -> None:
        for _ in range(20_000):  # far above the threshold at which Python would collect
            keep: list[object] = []
            keep.append(keep)

    collector = Collector()
    try:
        Cycle()
        thread = threading.Thread(target=fill)
        thread.start()
        thread.join()
        assert not died_in
        qtbot.waitUntil(lambda: bool(died_in), timeout=3000)
    finally:
        collector.close()
    assert died_in == [threading.main_thread()]
    assert gc.isenabled()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_that_every_page_fits_a_small_screen_whatever_its_texts_say(qtbot, jets_folder, mode):
    parts = application.Application(runner=PlayedRunner())
    window = parts.window
    qtbot.addWidget(window)
    try:
        theme.manager().set_mode(mode)
        assert parts.session.open_project(jets_folder, warm=False)
        window.resize(1280, 800)
        window.show()
        for name in ("layers", "search", "compare", "export"):
            getattr(window, f"show_{name}")()
            application.process_events()
            area = window.tabs.widget(window.tabs.currentIndex())
            assert not area.horizontalScrollBar().isVisible(), name
            assert not area.verticalScrollBar().isVisible(), name
        window.show_search()
        window.search.pareto.value.setText("c0001: " + "accuracy 74.76 %, " * 40)  # as under the pointer
        window.search.roc.title.setText("ROC of " + "a candidate with a long name " * 20)
        application.process_events()
        assert window.size().width() == 1280
        assert window.search.pareto.value.shown.endswith("…")
        assert not window.tabs.widget(1).horizontalScrollBar().isVisible()
    finally:
        parts.close()
        theme.manager().set_mode("light")
