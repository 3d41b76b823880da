"""Searches on a Dask cluster: settings and what is refused; workers that come, go, are killed, and lack our files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from core import cluster
from core.cluster_options import ClusterOptions
from core.errors import Cancelled, ClusterError, SearchError, ToolMissingError, WorkerDiedError
from core.events import LogLine, Monitor
from core.files import sha256_of
from core.project import Project
from core.quant.recipe import Recipe
from core.requests import Search
from core.search import remote
from core.search.cluster import ClusterWorkers
from core.search.engine import check_request
from core.search.remote import FilesMissing, located
from core.search.space import build_space
from core.search.worker import Setup
from tests.core.search.test_staged import OPTIONS, ROOT, files, small_info, wait_for  # noqa: F401

distributed = pytest.importorskip("distributed")
#: a scheduler, and Dask's own timers, warn where a machine is busy
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def scheduler():
    """A scheduler in this process, without workers."""
    with distributed.LocalCluster(n_workers=0, processes=False, host="127.0.0.1", protocol="tcp://",
                                  dashboard_address=None, silence_logs=50) as found:
        yield found


@pytest.fixture
def start(scheduler, tmp_path):
    """Starts worker processes of the scheduler; they see none of our files, and are ended with the test."""
    started = []

    def worker():
        started.append(subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.scheduler_address, "--nthreads", "1",
             "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path), "--death-timeout", "20"],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}))
        return started[-1]

    yield worker
    for process in started:
        process.kill()
        process.wait()


def at(scheduler, **changes):
    return ClusterOptions(scheduler=scheduler.scheduler_address, **changes)


# -- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "told"), [
    ({"scheduler": "tcp://a:1", "start": "local"}, "a scheduler was named, and one is to be started"),
    ({"scheduler": "a:1"}, "not the address of a scheduler"),
    ({"scheduler": "tcp://a:99999"}, "not the address of a scheduler"),
    ({"scheduler": "tcp://user:word@a:1"}, "not the address of a scheduler"),
    ({"scheduler": "tcp://a:1", "tls_ca": "ca.pem"}, "not encrypted"),
    ({"start": "cloud"}, "cannot be started"),
    ({"start": "slurm"}, "how many jobs"),
    ({"start": "local", "jobs": -1}, "out of range"),
    ({"start": "local", "memory_gb": float("nan")}, "out of range"),
    ({"start": "slurm", "jobs": 1, "queue": "short\n#SBATCH --wrap=x"}, "cannot be the queue"),
    ({"start": "slurm", "jobs": 1, "interface": "ib0;x"}, "cannot be the interface"),
])
def test_settings_that_cannot_be_meant(given, told):
    with pytest.raises(ClusterError, match=told):
        ClusterOptions(**given).check()


def test_settings_cross_a_process_border():
    options = ClusterOptions(start="slurm", jobs=3, queue="short")
    assert options.asked and not ClusterOptions().asked
    request = Search(project="p", cluster=options, storage="sqlite://")
    assert msgspec.json.decode(msgspec.json.encode(request), type=Search) == request


@pytest.mark.parametrize(("address", "refused"), [
    ("tcp://8.8.8.8:8786", True), ("tcp://[2001:4860:4860::8888]:8786", True), ("tls://8.8.8.8:8786", False),
    ("tcp://10.1.2.3:8786", False), ("tcp://192.168.0.1:8786", False), ("tcp://127.0.0.1:8786", False),
    ("tcp://[::1]:8786", False)])
def test_a_plain_scheduler_in_the_open_is_refused(address, refused):
    options = ClusterOptions(scheduler=address)
    if refused:
        with pytest.raises(ClusterError, match=r"not in a private network.*--plain-tcp"):
            cluster.refuse_plain(options)
        options = msgspec.structs.replace(options, plain=True)
    cluster.refuse_plain(options)


def test_who_does_not_answer_or_is_not_installed(monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 1)
    with pytest.raises(ClusterError, match="does not answer"), \
            cluster.connected(ClusterOptions(scheduler="tcp://127.0.0.1:9"), Monitor()):
        pass
    with pytest.raises(ClusterError, match=r"TLS file /none\.pem is not there"), \
            cluster.connected(ClusterOptions(scheduler="tls://127.0.0.1:9", tls_ca="/none.pem"), Monitor()):
        pass
    assert shutil.which("condor_submit") is None
    with pytest.raises(ToolMissingError, match="condor_submit is not on the PATH"), \
            cluster.connected(ClusterOptions(start="htcondor", jobs=1), Monitor()):
        pass


@pytest.mark.parametrize(("start", "lines"), [
    ("slurm", ["#SBATCH -p short", "#SBATCH -A us", "#SBATCH -n 1", "#SBATCH --cpus-per-task=2", "#SBATCH --mem=6G",
               "#SBATCH -t 01:30:00"]),
    ("htcondor", ["accounting_group = short", "MY.DaskWorkerCores = 2", f"MY.DaskWorkerMemory = {6 * 2**30}"])])
def test_jobs_ask_for_what_is_set(start, lines):
    options = ClusterOptions(start=start, jobs=4, workers_per_job=2, queue="short", account="us", memory_gb=3,
                             hours=1.5)
    kind = cluster.queue_class(options)
    with kind(**cluster.job_settings(options)) as made:
        script = made.job_script()
    for line in lines:
        assert line in script.splitlines()
    assert f"{sys.executable} -m distributed.cli.dask_worker" in script
    assert "--nthreads 1 " in script and "--nworkers 2 " in script


def test_a_gradient_search_stays_here(tmp_path, files):  # noqa: F811
    with Project.create(tmp_path / "p", *files) as project, pytest.raises(SearchError, match="gradient"):
        check_request(Search(project="", method="gradient", cluster=ClusterOptions(start="local")), project)


# -- files -------------------------------------------------------------------------------------------------


def test_files_are_taken_from_where_they_are_or_as_they_were_sent(tmp_path):
    path, own = tmp_path / "m.keras", tmp_path / "own"
    own.mkdir()
    path.write_bytes(b"model")
    digest = sha256_of(path)
    assert located(str(path), digest, None, lambda: own) == str(path)
    path.write_bytes(b"another of the same name")
    with pytest.raises(FilesMissing):
        located(str(path), digest, None, lambda: own)
    found = Path(located(str(path), digest, {digest: ("m.keras", b"model")}, lambda: own))
    assert found.parent == own and found.read_bytes() == b"model"
    assert located("jets", sha256_of(remote.bundled_path("jets")), None, lambda: own) == "jets"
    with pytest.raises(ClusterError, match="other events"):
        located("jets", "0" * 64, None, lambda: own)


def test_a_worker_of_another_version_is_refused(monkeypatch):
    parcel = remote.Parcel("k", Setup("", "", None), {}, version="0.0.0")
    with pytest.raises(ClusterError, match=r"has Quantiscope .* and this is 0\.0\.0"):
        remote.call(parcel, None, "facts")


# -- workers -----------------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_workers_that_are_killed_and_others_that_come_lose_nothing(files, scheduler, start, monkeypatch):  # noqa: F811
    """Real processes that do not see the model: it is sent. The one that trains is killed, another takes its place."""
    monkeypatch.chdir(Path(files[0]).parent)
    space = build_space(small_info(files), Recipe(), OPTIONS)
    wanted = [space.decode(space.uniform(bits)) for bits in (2, 4, 6)]
    tasks = [(n, (recipe, 0, 30, None, None)) for n, recipe in enumerate(wanted)]
    setup = Setup(Path(files[0]).name, Path(files[1]).name, space, batch_size=128, way="graph")
    logged = []
    monitor = Monitor(lambda event: logged.append(event.text) if isinstance(event, LogLine) else None)
    with ClusterWorkers(setup, at(scheduler), monitor) as workers:
        first = start()
        assert workers.ready(monitor)[0]["way"] == "graph"
        assert workers.workers == 1
        results = {}
        for key, result in workers.each("train", tasks, monitor):
            results[key] = result
            if len(results) == 1:  # the next is under way
                first.kill()
                start()
        assert sorted(results) == [0, 1, 2]
        again = workers.all("train", [tasks[1][1]], monitor)[0]
        assert again.evaluation == results[1].evaluation
        assert workers.kept([1, 2]).result() == [1, 2]
    assert "workers do not see our files; they are sent" in logged


class Sleepy:
    """Stands for a trainer: answers after a while, and notes what it was asked."""

    def __init__(self, setup):
        self.setup = setup

    def call(self, name, arguments):
        time.sleep(arguments[0])
        return arguments


def test_a_scheduler_that_is_gone_and_a_user_who_stops(files, scheduler, monkeypatch):  # noqa: F811
    monkeypatch.setattr(remote, "Worker", Sleepy)
    asked_to_stop = []
    monitor = Monitor(cancelled=lambda: bool(asked_to_stop))
    setup = Setup(*files, build_space(small_info(files), Recipe(), OPTIONS))
    with ClusterWorkers(setup, at(scheduler), monitor) as workers:
        asked_to_stop.append(1)
        with pytest.raises(Cancelled):  # there is no worker to wait for
            workers.prepare(monitor)
        asked_to_stop.clear()
        scheduler.scale(1)
        assert workers.all("train", [(0.01,), (0.0,)], monitor) == [(0.01,), (0.0,)]
        calls = workers.each("train", enumerate([(0.0,), (5.0,)]), monitor)
        next(calls)
        workers._client._timeout = 1  # seconds in which the scheduler may come back
        scheduler.close()
        with pytest.raises(ClusterError, match=r"is gone.*Every finished candidate is stored"):
            next(calls)


def test_a_candidate_that_kills_every_worker_is_given_up(files, scheduler, start, monkeypatch):  # noqa: F811
    scheduler.scheduler.allowed_failures = 1
    monkeypatch.setattr(remote, "call", lambda *_: os._exit(1))
    with ClusterWorkers(Setup(*files, None), at(scheduler), Monitor()) as workers:
        start()
        start()
        with pytest.raises(WorkerDiedError, match="every worker that tried a candidate died"):
            workers.all("train", [()], Monitor())


# -- whole searches ----------------------------------------------------------------------------------------


def search(folder, scheduler, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "search", str(folder), "--scheduler", scheduler.scheduler_address,
         "--method", "nsga2", "--epochs", "1", *more], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_with_the_same_workers(tmp_path, files, scheduler, start):  # noqa: F811
    Project.create(tmp_path / "p", *files).close()
    folder = tmp_path / "p.qscope"
    workers = [start(), start()]
    first = search(folder, scheduler, "--trials", "1000")
    wait_for(lambda: len(list((folder / "candidates").glob("c*"))) >= 5 or first.poll() is not None)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with Project.open(folder) as project:
        before = project.candidates()
    assert len(before) >= 4
    second = search(folder, scheduler, "--trials", "6", "--resume", "--json-lines")
    lines = [msgspec.json.decode(line) for line in second.communicate()[0].splitlines()]
    assert second.returncode == 0
    assert [worker.poll() for worker in workers] == [None, None]
    assert lines[-1]["type"] == "Result" and len(lines[-1]["result"]["added"]) == 6
    assert sum(line["type"] == "CandidateDone" for line in lines) == 6
    with Project.open(folder) as project:
        assert project.candidates()[:len(before)] == before


@pytest.mark.slow
@pytest.mark.parametrize("method", ["staged", "hyperband"])
def test_a_cluster_started_for_a_search(tmp_path, files, method):  # noqa: F811
    from core import workflows

    Project.create(tmp_path / "p", *files).close()
    request = Search(project=str(tmp_path / "p.qscope"), method=method, trials=5, epochs=1, options=OPTIONS,
                     cluster=ClusterOptions(start="local", jobs=2))
    logged = []
    assert len(workflows.run(request, Monitor(logged.append))) == 5
    told = [event.text for event in logged if isinstance(event, LogLine)]
    assert any(text.startswith("connected to tls://127.0.0.1:") for text in told)
