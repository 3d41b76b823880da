"""A search on a machine without Qt, told as JSON lines; its project is opened in the window later."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from app.session import Session
from core.events import CandidateDone, event_from
from tests.app.played import PlayedRunner
from tests.core.quant import small

ROOT = Path(__file__).resolve().parents[2]
#: a machine that has not got Qt: its packages cannot be imported
_WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("PySide6", "shiboken6", "pyqtgraph"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from app.cli import main
sys.exit(main(sys.argv[1:]))
"""


def without_qt(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _WITHOUT, *arguments], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)


def test_a_search_without_qt_is_told_line_by_line_and_opened_in_the_window(tmp_path, qtbot):
    model, data = small.files(tmp_path)
    folder = tmp_path / "far away.qscope"
    done = without_qt("search", str(folder), "--model", model, "--data", data, "--method", "random", "--trials", "2",
                      "--epochs", "1", "--workers", "1", "--way", "graph", "--json-lines")
    assert done.returncode == 0, done.stderr
    lines = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert lines[-1]["type"] == "Result" and lines[-1]["result"]["added"] == ["c0001", "c0002"]
    events = [event_from(line) for line in lines[:-1]]
    told = [event.candidate for event in events if isinstance(event, CandidateDone)]
    assert {type(event).__name__ for event in events} == {"Stage", "LogLine", "Progress", "CandidateDone"}
    assert "c0002: accuracy" in done.stderr and "search, candidates: 100 %" in done.stderr

    session = Session(PlayedRunner())
    assert session.open_project(folder, warm=False)
    assert list(session.candidates.values()) == told
    session.close()


@pytest.mark.parametrize("command", ["gui", "demo"])
def test_the_window_without_qt_is_one_sentence(command):
    done = without_qt(command)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == ("the window cannot be opened: No module named 'PySide6'. Install it by: pip install"
                           " 'quantiscope[gui]'; every other command works without\n")


def test_an_error_is_a_json_line(tmp_path):
    done = without_qt("search", str(tmp_path / "none.qscope"), "--json-lines")
    assert done.returncode == 1
    assert "there is no project folder" in msgspec.json.decode(done.stdout)["error"]


def test_that_the_base_install_names_no_qt_and_developers_get_all():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    qt = [name for name in project["dependencies"] if name.lower().startswith(("pyside", "pyqtgraph", "shiboken"))]
    assert qt == []
    extras = project["optional-dependencies"]
    assert {"PySide6-Essentials", "pyqtgraph"} <= {name.partition(">")[0] for name in extras["gui"]}
    assert "quantiscope[gui,cluster,postgresql]" in extras["dev"]
