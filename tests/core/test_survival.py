"""Killed, crowded out or misled: whatever happens to a project, it opens and what was finished is in it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.errors import ProjectError
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
        print(f"{told.counts['kills']} kills survived, {dict(told.counts)}", flush=True)
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


# -- disks, clocks, files elsewhere --------------------------------------------------------------------

MOUNTS = pytest.mark.skipif(
    os.name == "nt" or subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False,
                                      capture_output=True).returncode != 0,
    reason="this system lets nobody mount a small disk in a namespace of his own")


def adversity(case: str, *arguments: object, before: str = "", **environment: str) -> dict[str, str]:
    """What a case of `adversity` found, after shell commands in a namespace of its own."""
    command = [sys.executable, "-m", "tests.core.adversity", case, *map(str, arguments)]
    if before:
        command = ["unshare", "-rm", "sh", "-ec", f'{before}; exec "$@"', "sh", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "HERE": str(arguments[0]), **environment})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@MOUNTS
@pytest.mark.parametrize("training", ["", pytest.param("training", marks=pytest.mark.slow)])
def test_that_a_full_disk_loses_nothing_and_is_told_in_a_sentence(tmp_path, sources, training):
    found = adversity("full_disk", tmp_path, *sources, training, before='mount -t tmpfs -o size=3m tmpfs "$HERE"')
    print("\n".join(f"{name}: {sentence}" for name, sentence in found.items()))
    full = {name: sentence for name, sentence in found.items() if name.startswith("full")}
    assert len(full) == (9 if training else 6)
    for sentence in full.values():
        assert "No space left on device" in sentence or "disk is full" in sentence or "disk I/O error" in sentence
    assert {sentence for name, sentence in found.items() if name.startswith("space")} == {"done"}


@MOUNTS
def test_that_a_disk_that_may_only_be_read_shows_all_and_says_why_it_keeps_nothing(tmp_path, sources):
    from tests.core.test_project import WEIGHTS, make

    with Project.create(tmp_path / "p", *sources) as project:
        project.add_candidate(make(), WEIGHTS)
    found = adversity("read_only", tmp_path, before='mount --bind "$HERE" "$HERE"; mount -o remount,ro,bind "$HERE"')
    create = found.pop("create")
    assert "cannot be made: Read-only file system" in create
    assert len(found) == 8 and all("open for reading only: its folder cannot be written" in s for s in found.values())


_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  static volatile long *shift;
  if (!real) {
    real = dlsym(RTLD_NEXT, "clock_gettime");
    int file = open(getenv("CLOCK"), O_RDONLY);
    shift = file < 0 ? NULL : mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  }
  int found = real(id, t);
  if (id == CLOCK_REALTIME && shift) t->tv_sec += *shift;
  return found;
}
"""


@POSIX
@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("gcc"), reason="a clock is put in by the loader")
def test_that_a_clock_that_is_put_back_loses_nothing(tmp_path, sources):
    (tmp_path / "clock.c").write_text(_CLOCK)
    (tmp_path / "shift").write_bytes(bytes(8))
    library = tmp_path / "clock.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "clock.c", "-ldl"], check=True)
    found = adversity("backwards", tmp_path, *sources, LD_PRELOAD=str(library), CLOCK=str(tmp_path / "shift"))
    assert len(found) == 12 and set(found.values()) == {"done"}


def test_that_a_source_that_was_moved_or_changed_is_named_and_nothing_is_lost(tmp_path, sources):
    from core import requests, workflows
    from tests.core.test_project import WEIGHTS, make

    model, data = (Path(shutil.copy(source, tmp_path)) for source in sources)
    with Project.create(tmp_path / "p", model, data, copy_model=False) as project:
        stored = project.add_candidate(make(), WEIGHTS)
    request = requests.Search(project=str(project.folder), trials=1)
    for path in (model, data):
        original = path.read_bytes()
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(ProjectError, match=re.escape(path.name)) as caught:
            workflows.run(request)
        assert "\n" not in str(caught.value) and caught.value.remedy
        path.write_bytes(original + b" ")
        with pytest.raises(ProjectError, match="changed since"):
            workflows.run(request)
        with Project.open(project.folder) as again:
            assert again.candidates() == [stored] and not again.read_only
        path.write_bytes(original)
    with Project.open(project.folder) as again:
        again.check_sources()


# -- schemas ---------------------------------------------------------------------------------------------

SCHEMA_1 = Path(__file__).parent / "fixtures" / "schema1"


def copy_of_schema_1(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SCHEMA_1, tmp_path / "old.qscope"))


def test_that_a_project_of_schema_1_is_migrated_with_all_it_holds(tmp_path):
    folder = copy_of_schema_1(tmp_path)
    with Project.open(folder) as project:
        candidates = project.candidates()
        assert [c.id for c in candidates] == ["c0001", "c0002"] and project.notes == []
        assert project.settings == {"plots": ["energy"], "note": "écrit avant"}
        assert project.recipe == candidates[1].recipe
        assert project.float_evaluation.accuracy > 0.75 and len(project.exports()) == 1
        for candidate in candidates:
            assert candidate.hashes["weights.npz"] == sha256_of(project.weights_path(candidate.id))
            assert candidate.hashes["model"] == sha256_of(project.model_path)
            assert candidate.evaluation.roc and candidate.costs.energy_pj > 0 and candidate.seed == 0
        project.check_sources()
    assert json.loads((folder / "project.json").read_text())["schema_version"] == 2
    assert (folder / "project.json.schema1").read_bytes() == (SCHEMA_1 / "project.json").read_bytes()
    with Project.open(folder) as again:
        assert again.candidates() == candidates


def test_that_a_migration_that_is_interrupted_is_done_again(tmp_path, monkeypatch):
    from core import project_files

    folder = copy_of_schema_1(tmp_path)
    real, left = project_files.write_atomically, [0]

    def dies_later(path: Path, data: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, data)

    monkeypatch.setattr(project_files, "write_atomically", dies_later)
    for writes in range(2):  # fewer than the two candidates, the copy and project.json take in all these runs
        left[0] = writes
        with pytest.raises(KeyboardInterrupt):
            Project.open(folder)
        assert json.loads((folder / "project.json").read_text())["schema_version"] == 1
    monkeypatch.undo()
    with Project.open(folder) as project:
        assert all(candidate.hashes for candidate in project.candidates()) and len(project.candidates()) == 2


def test_that_a_project_of_schema_1_that_cannot_be_written_is_read_all_the_same(tmp_path, monkeypatch):
    folder = copy_of_schema_1(tmp_path)
    monkeypatch.setattr("core.files.FolderLock.acquire", lambda self: False)
    project = Project.open(folder)
    assert project.read_only and len(project.candidates()) == 2
    assert (folder / "project.json").read_bytes() == (SCHEMA_1 / "project.json").read_bytes()


def test_that_a_newer_schema_is_refused_and_a_newer_candidate_left_out(tmp_path):
    folder = copy_of_schema_1(tmp_path)
    metrics = folder / "candidates" / "c0002" / "metrics.json"
    metrics.write_text(json.dumps({**json.loads(metrics.read_text()), "schema_version": 99}))
    with Project.open(folder) as project:
        assert [c.id for c in project.candidates()] == ["c0001"]
        assert "c0002" in project.notes[0] and "newer Quantiscope" in project.notes[0]
    described = json.loads((folder / "project.json").read_text())
    (folder / "project.json").write_text(json.dumps({**described, "schema_version": 99}))
    with pytest.raises(ProjectError, match="newer Quantiscope"):
        Project.open(folder)
    assert json.loads((folder / "project.json").read_text())["schema_version"] == 99


# -- links -----------------------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("name", ["lock", "study.sqlite3", "candidates", "exports", "checkpoints", "float"])
def test_that_a_project_with_a_link_out_of_it_is_refused_and_the_target_untouched(tmp_path, name):
    folder = copy_of_schema_1(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".tmp-precious").write_text("mine")
    target = outside if name in ("candidates", "exports", "checkpoints", "float") else outside / ".tmp-precious"
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    with pytest.raises(ProjectError, match="is a link"):
        Project.open(folder)
    assert (outside / ".tmp-precious").read_text() == "mine"
    assert [path.name for path in outside.iterdir()] == [".tmp-precious"]


@POSIX
def test_that_what_a_link_or_pipe_stands_for_is_neither_read_nor_written(tmp_path):
    folder = copy_of_schema_1(tmp_path)
    outside = tmp_path / "outside"
    shutil.move(folder / "candidates" / "c0002", outside)
    (folder / "candidates" / "c0002").symlink_to(outside)
    (folder / "exports" / "c0001-rtl").mkdir()
    (folder / "exports" / "c0001-rtl" / "src").symlink_to(tmp_path)
    os.link(outside / "recipe.json", folder / "lock")
    with Project.open(folder) as project:
        assert not project.read_only
        assert [c.id for c in project.candidates()] == ["c0001"] and "is a link" in project.notes[0]
        with pytest.raises(ProjectError, match="leads out of the project"), project.exporting("c0001", "rtl"):
            pass
    assert (outside / "recipe.json").read_bytes() == (SCHEMA_1 / "candidates" / "c0002" / "recipe.json").read_bytes()
    described = json.loads((folder / "project.json").read_text())
    os.mkfifo(folder / "pipe")
    (folder / "project.json").write_text(json.dumps({**described, "data": str(folder / "pipe")}))
    with Project.open(folder) as project, pytest.raises(ProjectError, match="not a regular file"):
        project.check_sources()
    (folder / "project.json").unlink()
    os.mkfifo(folder / "project.json")
    with pytest.raises(ProjectError, match="not a regular file"):
        Project.open(folder)
