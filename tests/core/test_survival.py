"""Killed, crowded out or misled: whatever happens to a project, it opens and what was finished is in it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.files import TEMPORARY, sha256_of
from core.npz import read_npz
from core.project import Project
from tests.core.survival_victim import digest_of

ROOT = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="fork and signals of POSIX")
#: a victim gets processor time up to this before it is killed, in seconds: however busy the machine is
SPANS = {"save": 0.5, "create": 0.3, "search": 4.0, "staged": 25.0, "train": 3.0, "export_rtl": 6.0, "export_hls": 12.0}
FEW = {"save": 2, "create": 1, "search": 3, "train": 2, "export_rtl": 1}
HUNDRED = {"save": 20, "create": 10, "search": 25, "staged": 5, "train": 20, "export_rtl": 10, "export_hls": 10}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A small network and its events as files, under a name with a space and letters that are not ASCII."""
    import keras

    from tests.core.quant import small

    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential([keras.Input((small.FEATURES,)), layers.Dense(6, name="first"), layers.ReLU(),
                              layers.Dense(small.CLASSES, name="last"), layers.Softmax()])
    folder = tmp_path_factory.mktemp("with späce 測定")
    data = small.dataset(600)
    model.save(folder / "modèle 1.keras")
    np.savez(folder / "données.npz", X=np.concatenate([data.x_train, data.x_val, data.x_test]),
             y=np.concatenate([data.y_train, data.y_val, data.y_test]))
    return folder / "modèle 1.keras", folder / "données.npz"


class Server:
    """The process that forks victims (see `survival_victim`)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.orders = folder, 0
        self._errors = (folder / "stderr").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.core.survival_victim"], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"})
        assert self._process.stdout.readline() == "ready\n", (folder / "stderr").read_text()

    def start(self, job: str, project: Path) -> tuple[int, Path]:
        """Process id of a new victim and its log."""
        self.orders += 1
        log = self.folder / f"log{self.orders}"
        log.touch()
        self._process.stdin.write(json.dumps({"job": job, "project": str(project), "log": str(log)}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline()), log

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("victims"))
    yield server
    server.close()


def wait_for(log: Path, word: str, seconds: float = 60) -> list[list[str]]:
    """Lines of a victim's log, once one begins with `word`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lines = [line.split() for line in log.read_text().splitlines()]
        if any(line[0] == word for line in lines):
            return lines
        assert not any(line[0] == "failed" for line in lines), lines
        time.sleep(0.02)
    raise AssertionError(f"no {word} in {seconds} s: {log.read_text()}")


def let_live(pid: int, seconds: float, limit: float = 60) -> None:
    """Wait until a process and the tools it ran have used so much processor time."""
    tick, end = os.sysconf("SC_CLK_TCK"), time.monotonic() + limit
    while time.monotonic() < end:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if sum(map(int, fields[11:15])) >= seconds * tick or fields[0] == "Z":
            return
        time.sleep(0.003)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while time.monotonic() < end:  # a zombie without threads holds nothing any more
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        except OSError:
            return
        if state == "Z" and threads == 1:
            return
        time.sleep(0.005)
    raise AssertionError(f"process {pid} lives on")


class Told:
    """What victims said is stored."""

    def __init__(self) -> None:
        self.candidates: dict[str, str] = {}
        self.exports: set[tuple[str, str]] = set()
        self.saved = 0
        self.counts: Counter[str] = Counter()

    def take(self, log: Path, folder: Path) -> None:
        """The lines of one victim's log; the projects it made are opened."""
        for word, *rest in (line.split() for line in log.read_text().splitlines()):
            assert word != "failed", rest
            self.counts[word] += 1
            if word == "candidate":
                self.candidates[rest[0]] = rest[1]
            elif word == "exported":
                self.exports.add((rest[0], rest[1]))
            elif word == "saved":
                self.saved = int(rest[0])
            elif word == "made":
                with Project.open(folder.parent / " ".join(rest)) as made:
                    assert not made.read_only and made.info.layers

    def check(self, folder: Path) -> None:
        """The project opens for writing and holds all of it, unharmed."""
        with Project.open(folder) as project:
            assert not project.read_only
            found = {candidate.id: candidate for candidate in project.candidates()}
            assert project.notes == []
            for identity, digest in self.candidates.items():
                assert digest_of(found[identity]) == digest, identity
            for identity, candidate in found.items():
                weights = project.weights_path(identity)
                assert sha256_of(weights) == candidate.hashes["weights.npz"]
                assert read_npz(weights)
            assert self.exports <= {(report.candidate_id, report.flow) for report in project.exports()}
            last = int(project.settings.get("last", 0))
            assert last >= self.saved
            assert project.recipe.name in ((f"r{last}", f"r{last + 1}") if last else ("r1", "float"))
            assert project.float_evaluation is not None or not self.saved
            left = [path for parent in (folder, *folder.glob("*/")) for path in parent.glob(f"{TEMPORARY}*")]
            assert left == []


def rehearse(server: Server, folder: Path, kills: dict[str, int], seed: int) -> Counter[str]:
    """Kill each job's victims at random moments and check the project after each; counts what was stored."""
    chance = random.Random(seed)
    jobs = [job for job, count in kills.items() for _ in range(count)]
    chance.shuffle(jobs)
    told = Told()
    pid, log = server.start("train", folder)  # so that there is something to export
    wait_for(log, "candidate")
    for job in [*jobs, ""]:
        kill(pid)
        told.counts["kills"] += 1
        told.take(log, folder)
        told.check(folder)
        if job:
            pid, log = server.start(job, folder)
            let_live(pid, chance.uniform(0, SPANS[job]))
    return told.counts


def finish(server: Server, folder: Path, jobs: dict[str, str]) -> None:
    """What was killed so often still comes to a result."""
    for job, word in jobs.items():
        pid, log = server.start(job, folder)
        try:
            wait_for(log, word)
        finally:
            kill(pid)


@pytest.fixture
def project(tmp_path, sources):
    with Project.create(tmp_path / "projekt ü 1", *sources) as project:
        return project.folder


@POSIX
def test_that_a_project_survives_a_few_kills(server, project):
    counts = rehearse(server, project, FEW, seed=8)
    print(dict(counts))
    assert counts["kills"] == 10 and counts["candidate"] >= 2 and counts["saved"] >= 2
    finish(server, project, {"search": "candidate"})


@POSIX
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_that_a_project_survives_a_hundred_kills(server, project):
    counts = rehearse(server, project, HUNDRED, seed=100)
    print(dict(counts))
    assert counts["kills"] == 101 and counts["candidate"] >= 50 and counts["exported"] >= 3
    finish(server, project, {"search": "candidate", "export_rtl": "exported", "export_hls": "exported"})
