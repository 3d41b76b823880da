"""The launcher, on a stand-in for Vitis HLS: streams, cancel, crash, huge log, limits; and the usual failures."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import Cancelled, ToolFailedError
from core.events import LogLine, Monitor
from core.hls import failures, launcher, processes
from core.hls.launcher import require_disk, run_tool

STAND_IN = [sys.executable, str(Path(__file__).with_name("stand_in_vitis.py"))]


def _run(folder: Path, mode: str, monitor: Monitor | None = None, words: str = "", **limits: float) -> float:
    environment = {**os.environ, "STAND_IN_MODE": mode, "STAND_IN_WORDS": words}
    return run_tool(STAND_IN, folder, monitor or Monitor(), name="stand-in", log=folder / "tool.log",
                    environment=environment, **limits)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 5
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_alive, pids))


def test_lines_come_while_the_tool_runs_and_the_log_has_them(tmp_path: Path) -> None:
    said: list[LogLine] = []
    _run(tmp_path, "ok", Monitor(lambda event: said.append(event)))  # type: ignore[arg-type]
    assert "not a real tool" in said[0].text and said[0].source == "stand-in"
    assert (tmp_path / "tool.log").read_text().splitlines() == [line.text for line in said]


def test_a_result_on_standard_output_goes_to_its_file_and_what_is_said_beside_it_to_the_log(tmp_path: Path) -> None:
    said: list[LogLine] = []
    program = "import sys; print('a result'); print('a word', file=sys.stderr); sys.exit(int(sys.argv[1]))"
    for status in (0, 3):
        command = [sys.executable, "-c", program, str(status)]
        expected = pytest.raises(ToolFailedError, match="status 3: a word") if status else contextlib.nullcontext()
        with expected:
            run_tool(command, tmp_path, Monitor(said.append), name="t", result=tmp_path / "r")  # type: ignore[arg-type]
        assert (tmp_path / "r").read_text() == "a result\n"
    assert [line.text for line in said] == ["a word", "a word"]


def test_a_cancel_leaves_no_child_not_even_one_that_left_the_group(tmp_path: Path) -> None:
    pids: list[int] = []

    def listen(event: object) -> None:
        if isinstance(event, LogLine) and event.text.startswith("children"):
            pids.extend(map(int, event.text.split()[1:]))

    started = time.monotonic()
    with pytest.raises(Cancelled):
        _run(tmp_path, "slow", Monitor(listen, cancelled=lambda: bool(pids)))
    assert len(pids) == 2 and _gone(pids) and time.monotonic() - started < 8


def test_when_we_are_killed_the_tool_and_all_it_started_end_too(tmp_path: Path) -> None:
    ours = (f"import sys; from pathlib import Path; from core.events import Monitor; "
            f"from core.hls.launcher import run_tool\n"
            f"run_tool({STAND_IN!r}, Path({str(tmp_path)!r}), Monitor(lambda e: print(e.text, flush=True)), name='s')")
    process = subprocess.Popen([sys.executable, "-c", ours], stdout=subprocess.PIPE, text=True,
                               cwd=Path(__file__).parents[3], env={**os.environ, "STAND_IN_MODE": "slow"})
    assert process.stdout is not None
    line = next(line for line in process.stdout if line.startswith("children"))
    pids = [int(word) for word in line.split()[1:]]
    assert all(map(_alive, pids))
    process.kill()
    process.wait(10)
    assert _gone(pids)


def test_a_crash_names_its_signal_and_a_kill_is_taken_for_want_of_memory(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="ended by signal 11"):
        _run(tmp_path, "crash")
    with pytest.raises(ToolFailedError, match="not enough memory") as caught:
        _run(tmp_path, "killed")
    assert "more memory" in caught.value.remedy and caught.value.details


def test_a_huge_log_is_bounded_and_does_not_drown_the_watcher(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "MOST_LOG_BYTES", 2 * 2**20)
    said: list[LogLine] = []
    _run(tmp_path, "huge", Monitor(lambda event: said.append(event)))  # type: ignore[arg-type]
    log = tmp_path / "tool.log"
    assert 2 * 2**20 < log.stat().st_size < 2.2 * 2**20 and "the log ends here, at 2 MiB" in log.read_text()[-200:]
    assert 10 < len(said) < 50_000 and max(len(line.text) for line in said) < 2 * launcher.LONGEST_LINE


def test_a_tool_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="more memory than its limit"):
        _run(tmp_path, "memory", memory_gb=0.2, limit_s=30)


def test_a_tool_that_closes_its_output_and_stays_is_ended_at_the_time_limit(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ToolFailedError):
        run_tool(["sh", "-c", "exec >&- 2>&-; sleep 100"], tmp_path, Monitor(), name="mute", limit_s=0.5)
    assert time.monotonic() - started < 8


def test_input_that_is_held_ends_with_the_tool(tmp_path: Path) -> None:
    run_tool(["sh", "-c", "echo ready"], tmp_path, Monitor(), name="ready", hold_input=True, limit_s=5)


def test_marked_processes_are_found_by_their_mark(tmp_path: Path) -> None:
    assert processes.marked("0123456789abcdef") == []


def test_too_little_disk_is_said_before_anything_runs(tmp_path: Path) -> None:
    require_disk(tmp_path, 0.001, "a test")
    with pytest.raises(ToolFailedError, match="GB free, and about 1e\\+06 GB are needed"):
        require_disk(tmp_path, 1e6, "a test")


@pytest.mark.parametrize(("words", "kind"), [
    ("ERROR: [HLS 200-70] Part 'xcku115-flvb2104-2-i' is not installed.", "part"),
    ("ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device 'xcvu9p'", "licence"),
    ("# Error: License request for catapult_ultra feature failed", "licence"),
    ("terminate called after throwing an instance of 'std::bad_alloc'", "memory"),
    ("g++: fatal error: Killed signal terminated program cc1plus", "memory"),
    ("ERROR: [XFORM 203-504] Stop unrolling loop 'Product1' in function 'nnet::dense_latency' because it may cause"
     " large runtime and excessive memory usage due to increase in code size.", "unroll"),
    ("firmware/myproject.h:4:10: fatal error: 'ap_int.h' file not found", "header"),
    ("myproject.cpp:1:10: fatal error: ac_int.h: No such file or directory", "header"),
    ("ERROR: [Common 17-1294] write failed: No space left on device", "disk"),
    ("sh: 1: vivado: not found", "command"),
    ("ERROR: [HLS 200-70] Project/solution path '/home/me/my files' contains illegal character ' '.", "path"),
    ("ERROR: [Place 30-640] Place Check : This design requires more LUT as Logic cells than are available", "fit"),
    ("Host key verification failed.", "host"), ("me@build01: Permission denied (publickey).", "login"),
    ("ssh: Could not resolve hostname build01: Name or service not known", "reach"),
])
def test_the_usual_failures_are_known_by_their_words(words: str, kind: str, tmp_path: Path) -> None:
    known = failures.recognize(["INFO: all is well", words])
    assert known is not None and known[0].kind == kind and known[1] == words and failures.is_known(words)
    with pytest.raises(ToolFailedError) as caught:
        _run(tmp_path, "fail", words=words)
    assert known[0].remedy in str(caught.value) and words[:60] in caught.value.why


def test_words_of_a_good_run_are_no_failure() -> None:
    good = ["INFO: [HLS 200-10] Analyzing design file 'firmware/myproject.cpp' ...", "Checked out license 'HLS'",
            "INFO: [HLS 200-111] Finished Source Code Analysis and Preprocessing: CPU user time: 4.2 seconds",
            "WARNING: [HLS 200-885] The II Violation in module", "0 errors, 12 warnings", "Part: xcvu9p-flgb2104-2L-e"]
    assert failures.recognize(good) is None


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None] | None:
    monkeypatch.setattr(launcher, "GRACE_S", 1.0)
    return None
