"""The processes that a tool started, also those that left its group: found by a mark in their environment (Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: the environment variable that everything a tool starts inherits
MARK = "QUANTISCOPE_RUN"
_PROC = Path("/proc")


def _processes() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (entry for entry in _PROC.iterdir() if entry.name.isdigit())


def _has_mark(entry: Path, stamp: str) -> bool:
    try:
        return f"{MARK}={stamp}".encode() in (entry / "environ").read_bytes()
    except OSError:  # it has ended, or is another user's
        return False


def _session(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[3])
    except (OSError, ValueError, IndexError):
        return -1


def marked(stamp: str) -> list[int]:
    """Ids of the processes that run and carry the mark; empty where there is no /proc."""
    return [int(entry.name) for entry in _processes() if _has_mark(entry, stamp)]


def kill_marked(stamp: str) -> None:
    """Kill what is left of a tool, wherever it went."""
    for process in marked(stamp):
        if process != os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)


#: waits for its input to end, which is when we end, however that comes; $1: group, $2: mark
_GUARD = ('read -r never; kill -9 -- "-$1"; for each in $(grep -lsa -- "$2" /proc/[0-9]*/environ); do '
          'each=${each#/proc/}; kill -9 "${each%/environ}"; done')


class Guard:
    """Ends a tool and all it started when this process is gone, even by a kill that lets nothing be tidied up."""

    def __init__(self, leader: int, stamp: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError):  # without a shell the tool goes on unguarded
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "quantiscope-guard", str(leader), f"{MARK}={stamp}"], stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def release(self) -> None:
        """The tool has ended: there is nothing to guard any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()


def resident_bytes(leader: int, stamp: str) -> int:
    """Bytes that a tool holds in memory, with everything it started; 0 where there is no /proc."""
    page, total = os.sysconf("SC_PAGE_SIZE"), 0
    for entry in _processes():
        if _session(entry) == leader or _has_mark(entry, stamp):
            with contextlib.suppress(OSError, ValueError, IndexError):
                total += int((entry / "statm").read_text().split()[1]) * page
    return total
