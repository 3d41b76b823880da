"""Window tests: no display needed, settings never the user's, nothing left running behind a test."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

if not os.environ.get("DISPLAY") and sys.platform.startswith("linux"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# two cores are shared with the worker's TensorFlow
os.environ.setdefault("OMP_NUM_THREADS", "1")

from PySide6.QtCore import QThread

from app.jobs.runner import JobRunner


@pytest.fixture(autouse=True)
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, logs and the demo project of this test alone."""
    home = tmp_path / "home"
    monkeypatch.setenv("QUANTISCOPE_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def nothing_left_running(request: pytest.FixtureRequest):
    """Fail a test that leaves a thread or a worker process alive; an application kept for a file checks at its end."""
    yield
    if "parts" not in request.fixturenames:
        check_nothing_runs()


@pytest.fixture(scope="session")
def still_running():
    """The same check, for a fixture that lives longer than a test."""
    return check_nothing_runs


def check_nothing_runs() -> None:
    """Assert that no QThread and no child process is alive; kills the processes that are."""
    gc.collect()
    threads = running_threads()
    children = multiprocessing.active_children()
    for child in children:
        child.kill()
    assert not threads, f"threads left running: {threads}"
    assert not children, f"processes left running: {children}"


def running_threads() -> list[QThread]:
    return [thread for thread in gc.get_objects() if isinstance(thread, QThread) and _running(thread)]


def _running(thread: QThread) -> bool:
    try:
        return thread.isRunning() and thread is not QThread.currentThread()
    except RuntimeError:
        return False


@pytest.fixture
def runner(qtbot, tmp_path: Path):
    """Workers that run tests.app.workloads instead of core.workflows."""
    made = JobRunner(tmp_path, target="tests.app.workloads.run", grace_s=0.5)
    yield made
    made.close()


@pytest.fixture(scope="session")
def jets_folder(tmp_path_factory) -> Path:
    """A project of the bundled jet tagger, 6 bits everywhere."""
    import resources
    from core.project import Project
    from core.quant.recipe import uniform

    path = tmp_path_factory.mktemp("project") / "jets.qscope"
    with Project.create(path, resources.path("models/jet_tagger.keras"), "jets", name="jets") as project:
        project.save_recipe(uniform(project.info, 6))
    return path


@pytest.fixture
def played(qtbot, jets_folder, tmp_path):
    """A session on a copy of that project whose jobs the test plays itself."""
    import shutil

    from app.session import Session
    from tests.app.played import PlayedRunner

    folder = tmp_path / jets_folder.name
    shutil.copytree(jets_folder, folder)
    made = Session(PlayedRunner())
    assert made.open_project(folder)
    yield made
    made.close()


@pytest.fixture
def page(qtbot, played):
    """The Layers page of that session, in an active window, precisions worked out."""
    from app import theme
    from app.views.layers_page import LayersPage

    made = LayersPage(played)
    qtbot.addWidget(made)
    made.resize(1400, 820)
    made.show()
    qtbot.waitExposed(made)
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow, timeout=5000)  # an editor closes when its window loses the focus
    qtbot.waitUntil(lambda: bool(played.analysis.effective.tensors), timeout=3000)
    yield made
    theme.manager().set_mode("light")
