"""What a running job tells its watcher, and the handle through which it is told.

Events are frozen and made of plain values, so that they cross a process border and can be written
as JSON lines. A core function that takes long accepts a `Monitor`; the default one listens to nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from core.candidate import Candidate
from core.errors import Cancelled


class Progress(msgspec.Struct, frozen=True, tag=True):
    """`done` of `total` units of work; `remaining_s` is an estimate in seconds, or None."""

    message: str
    done: float
    total: float
    remaining_s: float | None = None


class LogLine(msgspec.Struct, frozen=True, tag=True):
    """One line for the log; `level` is "debug", "info", "warning" or "error"."""

    text: str
    level: str = "info"
    source: str = ""


class CandidateDone(msgspec.Struct, frozen=True, tag=True):
    """A candidate that is finished and already stored."""

    candidate: Candidate


class Stage(msgspec.Struct, frozen=True, tag=True):
    """A named part of a longer job begins ("load", "train", "c++ emulation" ...)."""

    name: str


class ProxiesScored(msgspec.Struct, frozen=True, tag=True):
    """Recipes that were scored on validation events with weights shared by all, and not trained.

    `figures` has a column a figure, such as "accuracy" and "energy_pj", with one entry a recipe.
    """

    figures: dict[str, list[float]]


Event = Progress | LogLine | CandidateDone | Stage | ProxiesScored


class Monitor:
    """A job's way to speak and to be stopped.

    Args:
        emit: receives each event; called in the job's own thread.
        cancelled: returns True once the user has asked the job to stop.
        paused: returns True while the job should wait between two units of work.
        granted: candidates and seconds that were added to the job's budget since it began, all together.
    """

    def __init__(
        self,
        emit: Callable[[Event], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        paused: Callable[[], bool] | None = None,
        granted: Callable[[], tuple[int, float]] | None = None,
    ) -> None:
        self._emit = emit or (lambda event: None)
        self._cancelled = cancelled or (lambda: False)
        self._paused = paused or (lambda: False)
        self.granted = granted or (lambda: (0, 0.0))
        self._started: dict[str, tuple[float, float]] = {}  # by message: when it began, units done last

    def log(self, text: str, level: str = "info", source: str = "") -> None:
        """Emit one log line."""
        self._emit(LogLine(text, level, source))

    def stage(self, name: str) -> None:
        """Announce the next named part of the job; raises Cancelled when asked to stop."""
        self.check()
        self._emit(Stage(name))

    def progress(self, message: str, done: float, total: float) -> None:
        """Emit progress with the remaining time at the rate seen since this message first came or went back."""
        now = time.monotonic()
        start, last = self._started.get(message, (now, done))
        if done < last:
            start = now
        self._started[message] = start, done
        elapsed = now - start
        remaining = elapsed * (total - done) / done if done > 0 and elapsed > 0.2 else None
        self._emit(Progress(message, done, total, remaining))

    def candidate(self, candidate: Candidate) -> None:
        """Emit a candidate that has been stored."""
        self._emit(CandidateDone(candidate))

    def pass_on(self, event: Event) -> None:
        """Emit what a job elsewhere told."""
        self._emit(event)

    def proxies(self, figures: Sequence[Mapping[str, float]]) -> None:
        """Emit the figures of recipes that were scored without being trained, those that all of them have."""
        names = [name for name in figures[0] if all(name in one for one in figures)] if figures else []
        if names:
            self._emit(ProxiesScored({name: [float(one[name]) for one in figures] for name in names}))

    @property
    def stopping(self) -> bool:
        """True once the user asked to stop; for loops that end by themselves and keep their result."""
        return self._cancelled()

    @property
    def waiting(self) -> bool:
        """True while the user wants the job to wait."""
        return self._paused()

    def check(self) -> None:
        """Raise Cancelled when asked to stop; wait here while paused."""
        while self._paused() and not self._cancelled():
            time.sleep(0.05)
        if self._cancelled():
            raise Cancelled


def event_from(value: dict[str, Any]) -> Event:
    """The event that `msgspec.to_builtins` turned into `value` (JSON-lines reader)."""
    return msgspec.convert(value, Event)
