"""A search by jobs of a real Slurm of one node, started here; a job that is cancelled is submitted again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from core import workflows
from core.cluster_options import ClusterOptions
from core.events import CandidateDone, LogLine, Monitor
from core.project import Project
from core.requests import Search
from core.search import cluster
from tests.core.quant import small
from tests.core.search.test_staged import OPTIONS

NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")
pytestmark = [
    pytest.mark.slow, pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(os.getuid() != 0 or not all(map(shutil.which, NEEDED)),
                       reason="as root, after: apt-get install slurmctld slurmd slurm-client munge")]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """SLURM_CONF of a cluster of this machine alone; munge and both daemons end with the test."""
    host, folder = socket.gethostname().partition(".")[0], tmp_path / "slurm"
    folder.mkdir()
    configuration = folder / "slurm.conf"
    settings = {
        "ClusterName": "trial", "SlurmctldHost": f"{host}(127.0.0.1)", "AuthType": "auth/munge", "SlurmUser": "root",
        "StateSaveLocation": folder, "SlurmdSpoolDir": folder, "SlurmctldPidFile": folder / "controller.pid",
        "SlurmdPidFile": folder / "node.pid", "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core", "ReturnToService": 2, "MpiDefault": "none"}
    node = f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=6000 State=UNKNOWN"
    configuration.write_text("\n".join([*(f"{name}={value}" for name, value in settings.items()), node,
                                        f"PartitionName=short Nodes={host} Default=YES MaxTime=INFINITE State=UP", ""]))
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge")
    daemons = [subprocess.Popen(["munged", "-F", "--force"], user="munge", group="munge", extra_groups=[])]
    time.sleep(1)
    daemons += [subprocess.Popen([name, "-D"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for name in ("slurmctld", "slurmd")]
    yield
    for daemon in reversed(daemons):
        daemon.terminate()
        daemon.wait(30)


def jobs() -> list[str]:
    return subprocess.run(["squeue", "-h", "-t", "R", "-o", "%i"], capture_output=True, text=True,
                          check=True).stdout.split()


def test_a_job_that_is_cancelled_is_submitted_again(tmp_path, slurm, monkeypatch):
    monkeypatch.setattr(cluster, "RENEW", 3.0)
    Project.create(tmp_path / "p", *small.files(tmp_path)).close()
    told, done, seen = [], [], set()

    def emit(event):
        if isinstance(event, LogLine):
            told.append(event.text)
        if isinstance(event, CandidateDone):
            done.append(event.candidate.id)
            seen.update(jobs())
            if len(done) == 3:
                subprocess.run(["scancel", jobs()[0]], check=True)

    request = Search(project=str(tmp_path / "p.qscope"), method="random", trials=1000, epochs=1,
                     options={**OPTIONS, "kernel": [f"quantized_bits({b},0,alpha=1)" for b in range(2, 9)]},
                     way="graph", cluster=ClusterOptions(start="slurm", jobs=1, queue="short", memory_gb=2, hours=1))
    started = time.monotonic()
    monitor = Monitor(emit, cancelled=lambda: (len(seen) > 1 and len(done) > 6) or time.monotonic() - started > 400)
    added = workflows.run(request, monitor)
    assert len(seen) == 2 and len(added) == len(done) > 6
    assert any(text.startswith("connected to tls://") for text in told)
    for _ in range(60):  # what was started ends with the search
        if not jobs():
            break
        time.sleep(0.5)
    assert jobs() == []
