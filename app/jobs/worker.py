"""The worker process: takes one job at a time, speaks of it in events, stays warm. No Qt in here.

Messages to the worker: ("run", id, request), ("cancel", id), ("pause", id), ("resume", id),
("grant", id, (candidates, seconds) in all), ("quit",).
Messages from it: ("ready", pid), ("event", id, event), ("finished", id, result), ("cancelled", id),
("failed", id, (error class, what, why, remedy, details)).
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from core.errors import Cancelled, QuantiscopeError
from core.events import Event, Monitor, Progress

#: progress of one message is sent at most this often, in seconds
PROGRESS_INTERVAL = 0.05
#: output of TensorFlow and of tools goes to the log file; its chatter about the processor does not
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}


def main(connection: Connection, target: str, log_path: str, niceness: int = 0) -> None:
    """Entry point of the spawned process.

    Args:
        connection: our end of the pipe to the window.
        target: dotted name of the function `(request, monitor) -> result` that carries out a job.
        log_path: file that takes the process's own output and the traceback of a hard crash.
        niceness: added to the process priority, so that the window stays ahead of long jobs.
    """
    _become_leader(log_path, niceness)
    Worker(connection, target).serve()


def _become_leader(log_path: str, niceness: int) -> None:
    if hasattr(os, "setsid"):
        os.setsid()
        os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    except OSError:  # a full disk or a folder that is gone must not keep anyone from working
        log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    faulthandler.enable(file=2)


class Worker:
    """Runs jobs in the main thread while a second thread listens for cancel and pause."""

    def __init__(self, connection: Connection, target: str) -> None:
        self._connection = connection
        self._target = target
        self._jobs: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._paused: set[int] = set()
        self._granted: dict[int, tuple[int, float]] = {}
        self._sending = threading.Lock()

    def serve(self) -> None:
        """Take jobs until told to quit or until the window is gone."""
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        self._send(("ready", os.getpid()))
        while (job := self._jobs.get()) is not None:
            self._run(*job)

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                _end_group()
            kind, arguments = message[0], message[1:]
            if kind == "run":
                self._jobs.put((arguments[0], arguments[1]))
            elif kind == "cancel":
                self._cancelled.add(arguments[0])
            elif kind == "pause":
                self._paused.add(arguments[0])
            elif kind == "resume":
                self._paused.discard(arguments[0])
            elif kind == "grant":
                self._granted[arguments[0]] = arguments[1]
            elif kind == "quit":
                self._jobs.put(None)

    def _run(self, identifier: int, request: Any) -> None:
        if identifier in self._cancelled:
            self._send(("cancelled", identifier))
            return
        emitter = _Emitter(identifier, self._send)
        monitor = Monitor(emitter.emit, lambda: identifier in self._cancelled, lambda: identifier in self._paused,
                          lambda: self._granted.get(identifier, (0, 0.0)))
        try:
            function = _resolve(self._target)
            self._send(("finished", identifier, function(request, monitor)))
        except Cancelled:
            self._send(("cancelled", identifier))
        except Exception as error:
            self._send(("failed", identifier, _told(error)))

    def _send(self, message: tuple[Any, ...]) -> None:
        with self._sending:
            try:
                self._connection.send(message)
            except (BrokenPipeError, ConnectionError):
                _end_group()


class _Emitter:
    """Sends a job's events and drops progress that comes faster than anyone can read."""

    def __init__(self, identifier: int, send: Callable[[tuple[Any, ...]], None]) -> None:
        self._identifier = identifier
        self._send = send
        self._last: dict[str, float] = {}

    def emit(self, event: Event) -> None:
        if isinstance(event, Progress) and event.done < event.total:
            now = time.monotonic()
            if now - self._last.get(event.message, -1.0) < PROGRESS_INTERVAL:
                return
            self._last[event.message] = now
        self._send(("event", self._identifier, event))


def _resolve(target: str) -> Callable[[Any, Monitor], Any]:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _told(error: Exception) -> tuple[str, str, str, str, str]:
    """An exception as plain text: an expected one keeps its class, any other becomes an internal error."""
    details = traceback.format_exc()
    if isinstance(error, QuantiscopeError):
        return type(error).__name__, error.what, error.why, error.remedy, details
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ("QuantiscopeError", "an internal error ended the job", why,
            "Nothing that was stored is lost; try again, and report the details if it comes back", details)


def _end_group() -> None:
    """The window is gone: end this process and every tool it started."""
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
