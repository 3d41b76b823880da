"""One spawned worker process and the thread that reads what it says."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QThread, Signal

from app.jobs import worker

#: messages handed to the window at once, and the pause between two hand-overs in ms: bounds the window's load
BATCH = 256
PAUSE_MS = 15
TAIL_LINES = 12


class Pump(QThread):
    """Reads a worker's messages in the background and emits them in batches."""

    received = Signal(list)

    def __init__(self, process: multiprocessing.process.BaseProcess, connection: Connection, theirs: Connection,
                 parent: QObject) -> None:
        super().__init__(parent)
        self.setObjectName("pump")
        self._process = process
        self._connection = connection
        self._theirs = theirs
        self.exit_code: int | None = None
        #: set once the process runs, or could not be started
        self.launched = threading.Event()

    def run(self) -> None:
        """Start the process, which takes some 20 ms; read until it has ended and nothing is left in the pipe."""
        try:
            self._process.start()
        except OSError:  # no memory or no process left: told as a worker that died
            self._connection.close()
            return
        finally:
            self._theirs.close()
            self.launched.set()
        open_ = True
        while open_:
            ready = wait([self._connection, self._process.sentinel])
            batch, open_ = self._drain()
            if batch:
                self.received.emit(batch)
            elif self._process.sentinel in ready:
                break
            self.msleep(PAUSE_MS)
        self._process.join()
        self.exit_code = self._process.exitcode
        self._connection.close()

    def _drain(self) -> tuple[list[Any], bool]:
        batch: list[Any] = []
        try:
            while len(batch) < BATCH and self._connection.poll():
                batch.append(self._connection.recv())
        except (EOFError, OSError):
            return batch, False
        return batch, True


class WorkerProcess(QObject):
    """A running worker. `ended` comes once, after the last batch of messages."""

    received = Signal(list)
    ended = Signal()

    def __init__(self, name: str, target: str, log_folder: Path, niceness: int, parent: QObject) -> None:
        super().__init__(parent)
        self.setObjectName(f"worker_{name}")
        self.log_path = log_folder / f"worker-{name}-{os.getpid()}.log"
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        # not a daemon: a job may need processes of its own, which daemons are not allowed
        self._process = context.Process(target=worker.main, name=f"quantiscope-{name}", daemon=False,
                                        args=(theirs, target, str(self.log_path), niceness))
        self._connection = ours
        self._pump = Pump(self._process, ours, theirs, self)
        self._pump.received.connect(self.received)
        self._pump.finished.connect(self._on_finished)
        self._pump.start()

    @property
    def pid(self) -> int:
        """Process id, also that of its process group; 0 where it could not be started."""
        self._pump.launched.wait()
        return int(self._process.pid or 0)

    @property
    def exit_code(self) -> int | None:
        """How it ended: 0, a positive code, or minus the signal's number; None while it runs."""
        return self._pump.exit_code

    def send(self, *message: Any) -> None:
        """Send a message; one that cannot arrive is dropped, `ended` follows anyway."""
        with contextlib.suppress(OSError, ValueError):
            self._connection.send(message)

    def kill(self) -> None:
        """End the process with everything it started."""
        if self._pump.isFinished():
            return
        if self.pid:
            for pid in (self.pid, *descendants(self.pid)):
                _kill(pid)

    def stop(self) -> None:
        """Kill and wait; for the end of the application."""
        self.kill()
        self._pump.wait(5000)
        self.log_path.unlink(missing_ok=True)

    def tail(self) -> str:
        """The last lines the process wrote itself (a hard crash leaves its traceback here)."""
        try:
            text = self.log_path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def _on_finished(self) -> None:
        self._pump.wait()  # `finished` comes a moment before the thread is really over
        self.ended.emit()


def _kill(pid: int) -> None:
    """Kill a process, and the group it leads if it leads one."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        return
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)


def descendants(pid: int) -> list[int]:
    """Children of a process and theirs, which may lead groups of their own; empty where /proc is absent."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # the name in brackets may hold blanks: the parent's id is the second field behind it
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
