"""Jobs in real worker processes."""

from __future__ import annotations

import ast
import os
import signal
import sys
import time
from pathlib import Path

import pytest

import app.jobs
from app.jobs.job import Job, JobState
from core.errors import DatasetError, QuantiscopeError, WorkerDiedError

INTERACTIVE = "interactive"


def over(qtbot, job: Job, timeout: int = 15000) -> Job:
    qtbot.waitUntil(lambda: job.state.over, timeout=timeout)
    return job


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def test_that_a_job_returns_its_result_log_and_progress_in_order(qtbot, runner):
    job = runner.submit(("add", 2, 3), INTERACTIVE)
    seen = []
    job.logged.connect(lambda line: seen.append(line.text))
    job.progress.connect(lambda progress: seen.append(progress.done))
    job.finished.connect(seen.append)
    over(qtbot, job)
    assert (job.state, job.result) == (JobState.FINISHED, 5)
    assert seen == ["adding 2 and 3", 1, 5]


def test_that_the_worker_stays_warm_and_another_lane_is_another_process(qtbot, runner):
    jobs = [runner.submit(("pid",), lane) for lane in (INTERACTIVE, INTERACTIVE, "long")]
    pids = [over(qtbot, job).result for job in jobs]
    assert pids[0] == pids[1] != pids[2]
    assert os.getpid() not in pids


def test_that_a_flood_of_lines_arrives_whole_without_freezing_the_window(qtbot, runner):
    job = runner.submit(("flood", 3000), INTERACTIVE)
    lines = []
    progress = []
    job.logged.connect(lines.append)
    job.progress.connect(progress.append)
    gaps = []
    last = time.monotonic()
    while not job.state.over:
        qtbot.wait(1)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
    assert [line.text for line in lines] == [f"line {n}" for n in range(3000)]
    assert len(progress) < 300  # thinned in the worker
    assert max(gaps) < 0.5


def test_that_a_known_error_keeps_its_class_and_sentence(qtbot, runner):
    error = over(qtbot, runner.submit(("known",), INTERACTIVE)).error
    assert type(error) is DatasetError
    assert str(error) == "the dataset has 3 columns: 16 were expected. Choose another file"
    assert "do_known" in error.details


def test_that_an_unknown_error_becomes_a_sentence_with_its_traceback_as_details(qtbot, runner):
    error = over(qtbot, runner.submit(("unknown",), INTERACTIVE)).error
    assert type(error) is QuantiscopeError
    assert "ZeroDivisionError: division by zero" in error.why
    assert "Traceback" in error.details


def test_that_cancel_stops_a_job_and_leaves_the_worker_warm(qtbot, runner):
    before = over(qtbot, runner.submit(("pid",), INTERACTIVE)).result
    job = runner.submit(("wait", 30), INTERACTIVE)
    with qtbot.waitSignal(job.progress, timeout=5000):
        pass
    job.cancel()
    assert job.state is JobState.CANCELLING
    over(qtbot, job, 3000)
    assert job.state is JobState.CANCELLED
    assert over(qtbot, runner.submit(("pid",), INTERACTIVE)).result == before


def test_that_a_waiting_job_is_cancelled_without_ever_running(qtbot, runner):
    first = runner.submit(("wait", 0.3), INTERACTIVE)
    second = runner.submit(("add", 1, 1), INTERACTIVE)
    second.cancel()
    assert second.state is JobState.CANCELLED
    assert over(qtbot, first).result == "waited"


def test_that_a_job_stands_still_while_paused(qtbot, runner):
    job = runner.submit(("count", 40), INTERACTIVE)
    lines = []
    job.logged.connect(lines.append)
    qtbot.waitUntil(lambda: len(lines) > 3)
    job.pause()
    qtbot.wait(150)
    held = len(lines)
    qtbot.wait(300)
    assert (job.state, len(lines)) == (JobState.PAUSED, held)
    job.resume()
    assert over(qtbot, job).result == 40


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")
def test_that_a_deaf_job_is_killed_after_the_grace_time_with_its_children(qtbot, runner, tmp_path):
    pid_file = tmp_path / "child"
    job = runner.submit(("deaf", str(pid_file)), INTERACTIVE)
    with qtbot.waitSignal(job.stage, timeout=10000):
        pass
    child = int(pid_file.read_text())
    assert alive(child)
    job.cancel()
    over(qtbot, job, 5000)
    assert job.state is JobState.CANCELLED
    qtbot.waitUntil(lambda: not alive(child), timeout=2000)
    assert over(qtbot, runner.submit(("add", 1, 1), INTERACTIVE)).result == 2


def test_that_a_dead_worker_is_reported_with_its_last_lines_and_started_again(qtbot, runner):
    job = runner.submit(("die", int(signal.SIGKILL)), INTERACTIVE)
    waiting = runner.submit(("add", 4, 4), INTERACTIVE)
    died = []
    runner.workerDied.connect(lambda lane, error: died.append(lane))
    over(qtbot, job)
    assert isinstance(job.error, WorkerDiedError)
    assert "SIGKILL" in job.error.why
    assert "about to fall over" in job.error.details
    assert "the card caught fire" in job.error.details
    assert over(qtbot, waiting).result == 8
    assert died == [INTERACTIVE]


def test_that_a_worker_killed_while_idle_is_started_again(qtbot, runner):
    first = over(qtbot, runner.submit(("pid",), INTERACTIVE)).result
    os.kill(first, signal.SIGKILL)
    with qtbot.waitSignal(runner.workerDied, timeout=5000):
        pass
    second = over(qtbot, runner.submit(("pid",), INTERACTIVE)).result
    assert second != first


def test_that_closing_ends_every_process(qtbot, runner):
    job = runner.submit(("wait", 30), "long")
    pid = over(qtbot, runner.submit(("pid",), INTERACTIVE)).result
    runner.close()
    assert job.state is JobState.CANCELLED
    qtbot.waitUntil(lambda: not alive(pid), timeout=2000)


def test_that_signals_of_jobs_are_connected_to_methods_only():
    """A lambda or a plain function connected to a signal of another thread would run in that thread."""
    folder = Path(app.jobs.__file__).parent
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Lambda) or path.name == "worker.py", f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "connect":
                assert isinstance(node.args[0], ast.Attribute), f"{path.name}:{node.lineno} {ast.unparse(node)}"
