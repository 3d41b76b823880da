"""Runs an external tool: in its own process group, its output line by line, within limits of time, memory and
disk, and with a cancel that leaves no child behind."""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, Full, Queue
from typing import IO

from core.errors import Cancelled, ToolFailedError, ToolMissingError
from core.events import Monitor
from core.hls import failures
from core.hls.processes import MARK, Guard, kill_marked, resident_bytes

GRACE_S = 3.0
#: a line much longer than this is cut in pieces, so that a tool that writes no line ends cannot fill the memory
LONGEST_LINE = 1 << 16
#: the log file's bound; a tool that says more is let on, without its words
MOST_LOG_BYTES = 256 * 2**20
#: lines a second that are passed on to the watcher; the log file has them all
MOST_LINES_A_SECOND = 500
_TAIL = 12
_POLL_S = 0.1
_MEASURE_S = 0.5
#: pieces of output that may wait, of LONGEST_LINE bytes at most
_WAITING = 64


def run_tool(
    command: Sequence[str | os.PathLike[str]], directory: Path, monitor: Monitor, *, name: str,
    log: Path | None = None, environment: Mapping[str, str] | None = None, limit_s: float = 3600.0,
    memory_gb: float | None = None, telling: Callable[[str], bool] = lambda line: True, hold_input: bool = False,
    result: Path | None = None,
) -> float:
    """Run a command to its end and return the seconds it took.

    Each line of its output goes to the monitor (source `name`) and to the file `log`; a line that is not
    `telling` and names no error is of level "debug". `memory_gb` bounds what the tool and all it started hold
    resident, in 10^9 bytes (Linux only). With `hold_input` its standard input is a pipe that stays open until its
    end, or ours. `result` is a file that its standard output is written to, for tools that give their result there;
    then only what it says on standard error is followed.

    Raises:
        ToolMissingError: it cannot be started.
        ToolFailedError: it ended with an error or ran past a limit; says the cause and, for the usual ones, a remedy.
        Cancelled: the user asked to stop; the tool and all its children are gone.
    """
    started, stamp = time.monotonic(), uuid.uuid4().hex
    surroundings = {**(os.environ if environment is None else environment), MARK: stamp}
    follower = _Follower(monitor, name, log, telling)
    try:
        with result.open("wb") if result is not None else contextlib.nullcontext() as target:
            process = subprocess.Popen(
                [os.fspath(part) for part in command], cwd=directory, env=surroundings,
                stdin=subprocess.PIPE if hold_input else subprocess.DEVNULL, stdout=target or subprocess.PIPE,
                stderr=subprocess.PIPE if target else subprocess.STDOUT, start_new_session=True)
    except OSError as error:
        follower.close()
        raise ToolMissingError(f"{name} cannot be started", error.strerror or str(error),
                               f"Check that {os.fspath(command[0])} is installed and may be run") from None
    guard, output = Guard(process.pid, stamp), _Output(process)
    try:
        _follow(process, output, follower, stamp, started + limit_s, memory_gb)
    finally:
        output.close()
        end_group(process)
        kill_marked(stamp)
        guard.release()
        follower.close()
    if process.returncode != 0:
        raise _failure(name, process.returncode, follower, log)
    return time.monotonic() - started


def _failure(name: str, status: int, follower: _Follower, log: Path | None) -> ToolFailedError:
    lines = follower.telling_lines()
    known, line = failures.recognize(lines) or (failures.of_status(status), telling_line(lines))
    said = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
    seen = f"See the log {log}" if log else "See the log"
    error = ToolFailedError(f"{name} {said}", f"{line.strip()[:300]} ({known.cause})" if known else line,
                            f"{known.remedy}. {seen}" if known else seen)
    error.details = "\n".join(lines)
    return error


class _Output:
    """The lines of a process, read by a thread of its own in pieces; who lags slows the tool, not the memory."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        stream = process.stdout or process.stderr  # standard output may go to a file
        assert stream is not None
        self._lines: Queue[list[str] | None] = Queue(_WAITING)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        with contextlib.suppress(ValueError, OSError):
            while data := os.read(stream.fileno(), LONGEST_LINE):
                text = rest + decoder.decode(data).replace("\r\n", "\n").replace("\r", "\n")
                *lines, rest = text.split("\n")
                if len(rest) >= LONGEST_LINE:
                    lines, rest = [*lines, rest], ""
                self._put(lines)
        self._put([rest] if rest else [])
        self._put(None)

    def _put(self, lines: list[str] | None) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(Full):
                self._lines.put(lines, timeout=_POLL_S)
                return

    def get(self) -> list[str] | None:
        """The next lines, None at the end; raises Empty where none come for a moment."""
        return self._lines.get(timeout=_POLL_S)

    def close(self) -> None:
        """Let the thread go, whatever it still holds."""
        self._closed.set()


class _Follower:
    """Passes lines on, and keeps the last ones and those that name an error."""

    def __init__(self, monitor: Monitor, name: str, log: Path | None, telling: Callable[[str], bool]) -> None:
        self._monitor, self._name, self._telling = monitor, name, telling
        self._file = log.open("a", encoding="utf-8") if log else None
        self._left = MOST_LOG_BYTES - (log.stat().st_size if log else 0)
        self._last: deque[str] = deque(maxlen=_TAIL)
        self._errors: list[str] = []
        self._second, self._passed, self._held = 0.0, 0, 0

    def take(self, line: str) -> None:
        """One line of the tool."""
        self._write(line)
        bad = _is_error(line)
        if (bad or failures.is_known(line)) and len(self._errors) < 4 * _TAIL:
            self._errors.append(line)
        self._last.append(line)
        if self._admits() or (bad and len(self._errors) < 4 * _TAIL):
            self._monitor.log(line, "error" if bad else "info" if self._telling(line) else "debug", self._name)

    def _write(self, line: str) -> None:
        if self._file is None or self._left <= 0:
            return
        self._left -= len(line) + 1
        self._file.write(line + "\n")
        if self._left <= 0:
            self._file.write(f"... the log ends here, at {MOST_LOG_BYTES >> 20} MiB; {self._name} says more\n")

    def _admits(self) -> bool:
        """False for a line that comes after too many others in this second; what was held back is told after."""
        now = time.monotonic()
        if now - self._second >= 1.0:
            if self._held:
                self._monitor.log(f"{self._held} more lines are in the log", "debug", self._name)
            self._second, self._passed, self._held = now, 0, 0
        self._passed += 1
        admitted = self._file is None or self._passed <= MOST_LINES_A_SECOND
        self._held += not admitted
        return admitted

    def telling_lines(self) -> list[str]:
        """Those that name an error, then the last ones."""
        return [*self._errors[:_TAIL], *self._last]

    def close(self) -> None:
        """End the log file."""
        if self._file is not None:
            self._file.close()


def _follow(process: subprocess.Popen[bytes], output: _Output, follower: _Follower, stamp: str, deadline: float,
            memory_gb: float | None) -> None:
    """Pass lines on until the output ends, watching for a cancel and the limits."""
    measured = 0.0
    while True:
        now = time.monotonic()
        if follower._monitor.stopping:
            raise Cancelled
        if now > deadline:
            raise ToolFailedError(f"{follower._name} ran past its time limit",
                                  remedy="Give it more time, or a smaller design")
        if memory_gb is not None and now - measured > _MEASURE_S:
            measured = now
            used = resident_bytes(process.pid, stamp)
            if used > memory_gb * 1e9:
                raise ToolFailedError(f"{follower._name} needs more memory than its limit",
                                      f"it held {used / 1e9:.1f} GB of {memory_gb:g} GB",
                                      "Give it more memory, a larger reuse factor, or a smaller design")
        try:
            lines = output.get()
        except Empty:
            continue
        if lines is None:
            _wait(process, deadline)
            return
        for line in lines:
            follower.take(line)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> None:
    """The output has ended; the process may still work, but not past its limit."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))


def _is_error(line: str) -> bool:
    lowered = line.lower()
    return any(mark in lowered for mark in ("error:", "error (", "%error", "fatal", "command not found",
                                            "out of memory"))


def telling_line(lines: Sequence[str]) -> str:
    """The first line that names an error, else the last one that says anything."""
    bad = [line for line in lines if _is_error(line)]
    said = [line for line in lines if line.strip()]
    return (bad or said[-1:] or ["it said nothing"])[0].strip()[:300]


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything in its group: asked first, then killed."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    for signal_number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        try:
            os.killpg(process.pid, signal_number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def require_disk(folder: Path, gigabytes: float, what: str) -> None:
    """Raise ToolFailedError where `folder` has less than so many 10^9 bytes free."""
    free = shutil.disk_usage(folder).free
    if free < gigabytes * 1e9:
        raise ToolFailedError(f"there is not enough disk space for {what}",
                              f"{folder} has {free / 1e9:.1f} GB free, and about {gigabytes:g} GB are needed",
                              "Free some space, or move the project to another disk")
