"""Searches with real worker processes: the same candidates killed or not, and as many workers as memory allows."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from core.errors import SearchError
from core.events import Monitor
from core.project import Project
from core.requests import Search
from core.search import staged, workers
from core.search.engine import run_pooled
from core.search.staged import run_staged
from tests.core.search.test_staged import OPTIONS, ROOT, alive, children, files, recipes, wait_for  # noqa: F401


@pytest.fixture
def make(tmp_path, files):  # noqa: F811
    """Projects of the small model by name; closed at the end."""
    made = []

    def new(name):
        made.append(Project.create(tmp_path / name, *files))
        return made[-1]

    yield new
    for project in made:
        project.close()


def request(project, trials, method="nsga2", **changes):
    return Search(project=str(project.folder), trials=trials, epochs=2, options=OPTIONS, method=method,
                  **{"workers": 2, "way": "graph", **changes})


_SEARCH = """
import sys
from core.events import Monitor
from core.project import Project
from core.search.engine import run_pooled
from tests.core.search.test_pooled import request
if __name__ == "__main__":
    with Project.open(sys.argv[1]) as project:
        run_pooled(project, request(project, 1000), Monitor())
"""


@pytest.mark.slow
def test_a_search_killed_and_resumed_is_the_search_that_was_not(make, tmp_path):
    killed, whole = make("killed"), make("whole")
    killed.close()
    script = tmp_path / "search.py"
    script.write_text(_SEARCH)
    search = subprocess.Popen([sys.executable, str(script), str(killed.folder)], cwd=ROOT,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        wait_for(lambda: len(list((killed.folder / "candidates").glob("c*"))) >= 3 or search.poll() is not None)
        started = children(search.pid)
    finally:
        search.kill()
        search.wait()
    assert len(started) >= 2
    wait_for(lambda: not any(map(alive, started)), 20)
    with Project.open(killed.folder) as again:
        before = again.candidates()
        rest = max(20 - len(before), 1)
        assert len(run_pooled(again, request(again, rest), Monitor())) == rest
        found = again.candidates()
        run_pooled(whole, request(whole, len(found)), Monitor())
        assert recipes(again) == recipes(whole)
        assert found[:len(before)] == before
        assert [c.evaluation for c in found] == [c.evaluation for c in whole.candidates()]


@pytest.mark.slow
def test_a_staged_search_by_two_workers_is_the_same_by_its_seed(make, monkeypatch):
    for name, value in {"SHARED_EPOCHS": 2, "GENERATION": 12, "GENERATIONS": 2, "ROUND": 4}.items():
        monkeypatch.setattr(staged, name, value)
    first, second = make("first"), make("second")
    for project, count in ((first, 2), (second, 3)):
        run_staged(project, request(project, 10, "staged", workers=count), Monitor())
    assert recipes(first) == recipes(second)
    assert [c.evaluation for c in first.candidates()] == [c.evaluation for c in second.candidates()]


def test_one_worker_where_memory_is_for_one(make):
    """A stated budget that one real worker fits into; it says itself what it took."""
    project = make("tight")
    budget = 1.5 * workers.WORKER_BYTES
    logged = []
    added = run_pooled(project, request(project, 2, memory_gb=budget / 2**30), Monitor(logged.append))
    assert len(added) == 2
    told = next(event.text for event in logged if "GiB each" in getattr(event, "text", ""))
    assert told.startswith("1 worker,")
    assert float(told.split(", ")[1].split()[0]) * 2**30 <= budget
    with pytest.raises(SearchError, match="does not fit into its memory"):
        run_pooled(project, request(project, 2, memory_gb=0.1), Monitor())
