"""One step of a synthesis: a command, what it reads, what it leaves; done once, and known to be done afterwards."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from core.errors import ToolFailedError
from core.files import write_atomically

FOLDER = ".finished"


@dataclass(frozen=True)
class Step:
    """A command to run in `directory`.

    Args:
        sources: files it reads; when one changes, the step is not finished any more.
        results: files (or patterns) it must leave, relative to `directory`.
        settings: what else it depends on, such as the tool's version.
    """

    name: str
    command: Sequence[str]
    directory: Path
    sources: Sequence[Path]
    results: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.directory / f"{self.name}.log"


class _Stamp(msgspec.Struct, frozen=True):
    fingerprint: str
    seconds: float


def fingerprint(step: Step) -> str:
    """Changes with the step's command, settings and the bytes of its sources; not with where the folder lies."""
    digest = hashlib.sha256()
    for text in (*map(str, step.command), *(f"{key}={value}" for key, value in sorted(step.settings.items()))):
        digest.update(text.replace(str(step.directory), ".").encode() + b"\0")
    for path in sorted(step.sources):
        digest.update(os.path.relpath(path, step.directory).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _stamp_file(step: Step) -> Path:
    return step.directory / FOLDER / f"{step.name}.json"


def seconds_of_finished(step: Step) -> float | None:
    """The seconds it took when it was run before on the same sources with the same settings; None: it must be run."""
    try:
        stamp = msgspec.json.decode(_stamp_file(step).read_bytes(), type=_Stamp)
    except (OSError, ValueError):
        return None
    same = stamp.fingerprint == fingerprint(step) and not missing(step)
    return stamp.seconds if same else None


def missing(step: Step) -> list[str]:
    """The results that are not there, or empty."""
    def there(pattern: str) -> bool:
        return any(path.stat().st_size for path in step.directory.glob(pattern) if path.is_file())

    return [pattern for pattern in step.results if not there(pattern)]


def mark_finished(step: Step, seconds: float) -> None:
    """Note that it ran; raises ToolFailedError where it left no result, whatever its exit status said."""
    absent = missing(step)
    if absent:
        raise ToolFailedError(f"{step.name} ended without its result", f"{absent[0]} is missing",
                              f"See the log {step.log}")
    _stamp_file(step).parent.mkdir(exist_ok=True)
    write_atomically(_stamp_file(step), msgspec.json.encode(_Stamp(fingerprint(step), seconds)))


def forget(step: Step) -> None:
    """Let the step be run again, without what it left the last time: an old report must not pass for a new one."""
    _stamp_file(step).unlink(missing_ok=True)
    for pattern in step.results:
        for path in step.directory.glob(pattern):
            if path.is_file():
                path.unlink()


def files_under(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files in a folder that match one of the patterns."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def since(started: float) -> float:
    """Seconds since a `time.monotonic()`."""
    return time.monotonic() - started
