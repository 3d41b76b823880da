"""Runs an external tool: in its own process group, its output line by line, with a time limit and a cancel
that leaves no child behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, Queue

from core.errors import Cancelled, ToolFailedError, ToolMissingError
from core.events import Monitor

GRACE_S = 3.0
_TAIL = 12
_POLL_S = 0.1


def run_tool(
    command: Sequence[str | os.PathLike[str]], directory: Path, monitor: Monitor, *, name: str,
    log: Path | None = None, environment: Mapping[str, str] | None = None, limit_s: float = 3600.0,
    telling: Callable[[str], bool] = lambda line: True,
) -> float:
    """Run a command to its end and return the seconds it took.

    Each line of its output goes to the monitor (source `name`) and to the file `log`; a line that is not
    `telling` and names no error is of level "debug".

    Raises:
        ToolMissingError: it cannot be started.
        ToolFailedError: it ended with an error or ran past `limit_s`; says the last or first telling line.
        Cancelled: the user asked to stop; the tool and all its children are gone.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            [os.fspath(part) for part in command], cwd=directory, env=dict(environment) if environment else None,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True)
    except OSError as error:
        raise ToolMissingError(f"{name} cannot be started", error.strerror or str(error),
                               f"Check that {os.fspath(command[0])} is installed and may be run") from None
    lines: Queue[str | None] = Queue()
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    try:
        tail = _follow(process, lines, monitor, name, log, started + limit_s, telling)
    finally:
        end_group(process)
        reader.join(GRACE_S)
    if process.returncode != 0:
        raise ToolFailedError(f"{name} ended with status {process.returncode}", telling_line(tail),
                              f"See the log {log}" if log else "See the log")
    return time.monotonic() - started


def _read(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip("\n"))
    lines.put(None)


def _follow(process: subprocess.Popen[str], lines: Queue[str | None], monitor: Monitor, name: str,
            log: Path | None, deadline: float, telling: Callable[[str], bool]) -> list[str]:
    """Pass lines on until the output ends; the last lines and every line that names an error."""
    kept: deque[str] = deque(maxlen=_TAIL)
    errors: list[str] = []
    file = log.open("a", encoding="utf-8") if log else None
    try:
        while True:
            if monitor.stopping:
                raise Cancelled
            if time.monotonic() > deadline:
                raise ToolFailedError(f"{name} ran past its time limit",
                                      remedy="Give it more time, or a smaller design")
            try:
                line = lines.get(timeout=_POLL_S)
            except Empty:
                continue
            if line is None:
                process.wait()
                return errors[:_TAIL] + list(kept)
            if file:
                file.write(line + "\n")
            bad = _is_error(line)
            if bad:
                errors.append(line)
            kept.append(line)
            monitor.log(line, "error" if bad else "info" if telling(line) else "debug", name)
    finally:
        if file:
            file.close()


def _is_error(line: str) -> bool:
    lowered = line.lower()
    return any(mark in lowered for mark in ("error:", "%error", "fatal", "command not found", "out of memory"))


def telling_line(lines: Sequence[str]) -> str:
    """The first line that names an error, else the last one that says anything."""
    bad = [line for line in lines if _is_error(line)]
    said = [line for line in lines if line.strip()]
    return (bad or said[-1:] or ["it said nothing"])[0].strip()[:300]


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and everything it started: asked first, then killed."""
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
