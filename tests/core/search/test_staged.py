"""The staged search and its workers: what is stored survives whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from core.errors import WorkerDiedError
from core.events import CandidateDone, LogLine, Monitor
from core.loading import dataset_of, model_of
from core.project import Project
from core.quant import quantize, weights
from core.quant.evaluation import evaluate
from core.quant.recipe import Recipe
from core.requests import Search
from core.search import staged, worker
from core.search.engine import goal_of, setup_of
from core.search.front import candidate_front
from core.search.objectives import goal_front
from core.search.pool import Pool
from core.search.space import build_space
from core.search.staged import run_staged
from core.search.worker import Setup, Worker
from core.search.workers import Workers
from tests.core.quant import small

OPTIONS = {"kernel": [f"quantized_bits({bits},0,alpha=1)" for bits in (2, 4, 6)] + ["ternary(alpha='auto_po2')"],
           "output": ["quantized_relu(4,2)", "quantized_relu(6,3)"]}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model and its events as files."""
    return small.files(tmp_path_factory.mktemp("files"))


@pytest.fixture
def project(tmp_path, files):
    with Project.create(tmp_path / "p", *files) as project:
        yield project


class InThisProcess(Workers):
    """Makes the workers' calls here, at once, by a worker that was built."""

    def __init__(self, built):
        super().__init__(built.setup, 1)
        self.built = built

    def ready(self, monitor):
        return [self.built.call("facts", ())]

    def submit(self, call, *arguments, shape=None):
        future = Future()
        try:
            future.set_result(self.built.call(call, arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self):
        pass


@pytest.fixture
def here(monkeypatch):
    """Short stages, without other processes."""
    built = []

    def workers_of(project, request, monitor):
        setup = setup_of(project, request)
        if not built or built[-1].setup.space != setup.space:
            built[:] = [Worker(setup)]
        return InThisProcess(built[-1])

    monkeypatch.setattr(staged, "workers_of", workers_of)
    for name, value in {"SHARED_EPOCHS": 2, "GENERATION": 12, "GENERATIONS": 2, "ROUND": 4}.items():
        monkeypatch.setattr(staged, name, value)


def request(project, trials=6, **changes):
    return Search(project=str(project.folder), trials=trials, epochs=1, options=OPTIONS, workers=1, **changes)


def recipes(project):
    return [c.recipe.renamed("").to_json() for c in project.candidates()]


def test_candidates_are_stored_before_they_are_told_and_are_what_they_say(project, here):
    seen = []

    def emit(event):
        if isinstance(event, CandidateDone):
            assert Project.open(project.folder).candidate(event.candidate.id) == event.candidate
            seen.append(event.candidate.id)

    added = run_staged(project, request(project, 9), Monitor(emit))
    assert added == seen == [f"c{n:04d}" for n in range(1, 10)]
    stored = project.candidates()
    assert {c.evaluation.kind for c in stored} == {"trained"}  # proxies are nowhere
    assert {c.id for c in candidate_front(stored)} <= set(added)
    assert {c.training["epochs"] for c in stored} == {1, staged.REFINED}
    for candidate in (stored[0], stored[-1]):
        model = quantize(model_of(project.model_path), candidate.recipe)
        weights.load_weights(model, project.weights_path(candidate.id))
        again = evaluate(model, dataset_of(project.data_reference), "trained")
        assert again.accuracy == candidate.evaluation.accuracy


def test_same_seed_same_candidates(project, tmp_path, here):
    run_staged(project, request(project, 9), Monitor())
    with Project.create(tmp_path / "again", project.model_path, project.data_reference) as again:
        run_staged(again, request(again, 9), Monitor())
        assert recipes(again) == recipes(project)
        assert [c.evaluation for c in again.candidates()] == [c.evaluation for c in project.candidates()]
        fronts = [[c.id for c in candidate_front(one.candidates())] for one in (project, again)]
        assert fronts[0] == fronts[1] != []
    with Project.create(tmp_path / "other", project.model_path, project.data_reference) as other:
        run_staged(other, request(other, 9, seed=1), Monitor())
        assert recipes(other) != recipes(project)


def test_stopped_and_resumed_without_doing_anything_twice(project, here):
    told = []
    monitor = Monitor(lambda e: told.append(e) if isinstance(e, CandidateDone) else None,
                      cancelled=lambda: len(told) >= 3)
    first = run_staged(project, request(project, 9), monitor)
    assert [e.candidate.id for e in told] == first == [c.id for c in project.candidates()]
    assert 3 <= len(first) < 9
    run_staged(project, request(project, 5), Monitor())
    assert len(project.candidates()) == len(first) + 5
    done = [(c.recipe.renamed("").to_json(), c.training["epochs"]) for c in project.candidates()]
    assert len(set(done)) == len(done)


def test_other_goals_and_zeros(project, here):
    """Three objectives, a constraint, and shares of zeros: what is stored was trained, measured and priced so."""
    asked = request(project, 8, sparsity=[0.0, 0.5], objectives=["mean_auc", "lut", "ebops"],
                    constraints=["accuracy>=0.2"])
    run_staged(project, asked, Monitor())
    stored = project.candidates()
    assert len(stored) == 8
    assert all(c.costs.lut and c.training["validation_mean_auc"] > 0 for c in stored)
    sparse = [c for c in stored if c.recipe.layers["second"].sparsity]
    assert 0 < len(sparse) < 8
    with np.load(project.weights_path(sparse[0].id)) as held:
        zeros = np.mean(held["second/kernel"] == 0)
    assert zeros == (0.0 if "binary" in str(sparse[0].recipe.text("second", "kernel")) else 0.5)
    goal = goal_of(asked)
    assert {c.id for c in goal_front(stored, goal)} <= {c.id for c in stored}


def test_an_exhausted_space_ends_the_search(project, here):
    few = Search(project=str(project.folder), trials=50, epochs=1, workers=1, frozen=["first", "second"],
                 options={"kernel": OPTIONS["kernel"][:3]})
    logged = []
    added = run_staged(project, few, Monitor(logged.append))
    assert len(added) <= 6
    assert len(set(recipes(project))) == 3
    assert any(isinstance(e, LogLine) and "ends here" in e.text for e in logged)


# -- real processes --------------------------------------------------------------------------------------


def children(parent: int) -> list[int]:
    """Running processes whose parent is this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, owner = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(owner) == parent and state != "Z":
            found.append(int(folder.name))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=300.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_killed_worker_loses_nothing(files):
    space = build_space(small_info(files), Recipe(), OPTIONS)
    wanted = [space.decode(space.uniform(bits)) for bits in (2, 4, 6)]
    tasks = [(n, (recipe, 0, 4, None, None)) for n, recipe in enumerate(wanted)]
    with Pool(Setup(files[0], files[1], space, batch_size=128, way="graph"), 1) as workers:
        results = {}
        for key, result in workers.each("train", tasks, Monitor()):
            results[key] = result
            if len(results) == 1:  # the next is under way
                os.kill(workers.processes[0], signal.SIGKILL)
        assert sorted(results) == [0, 1, 2]
        again = workers.all("train", [task[1] for task in tasks], Monitor())
        assert [r.evaluation for r in again] == [results[n].evaluation for n in range(3)]
        processes = workers.processes
    wait_for(lambda: not any(map(alive, processes)), 10)


def small_info(files):
    from core.model_io import inspect_model

    return inspect_model(files[0])


def test_workers_that_cannot_live_are_an_error(files, monkeypatch):
    space = build_space(small_info(files), Recipe(), OPTIONS)
    monkeypatch.setattr(worker, "call", os.execv)  # the worker becomes a program that ends at once
    with Pool(Setup(files[0], files[1], space), 1) as workers, pytest.raises(WorkerDiedError):
        workers.all("/bin/false", [("false",)], Monitor())


_SEARCH = """
import sys
from core.events import Monitor
from core.project import Project
from core.search import staged
from tests.core.search.test_staged import request
if __name__ == "__main__":
    staged.SHARED_EPOCHS = staged.GENERATIONS = 1
    with Project.open(sys.argv[1]) as project:
        staged.run_staged(project, request(project, 1000), Monitor())
"""


def test_a_killed_search_leaves_no_workers_and_is_resumed(project, tmp_path, here):
    script = tmp_path / "search.py"
    script.write_text(_SEARCH)
    project.close()
    search = subprocess.Popen([sys.executable, str(script), str(project.folder)], cwd=ROOT,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        wait_for(lambda: len(list((project.folder / "candidates").glob("c*"))) >= 4 or search.poll() is not None)
        assert search.poll() is None
        workers = children(search.pid)
    finally:
        search.kill()
        search.wait()
    assert workers
    wait_for(lambda: not any(map(alive, workers)), 10)
    with Project.open(project.folder) as again:
        before = again.candidates()
        assert len(before) >= 3  # the last may be unfinished
        assert all(again.weights_path(c.id).exists() for c in before)
        added = run_staged(again, request(again, 3), Monitor())
        assert len(added) == 3
        assert not {c.id for c in before} & set(added)
        assert again.candidates()[:len(before)] == before
