"""Writing that a crash cannot tear: temporary file, fsync, rename; and the lock of a folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

TEMPORARY = ".tmp-"  # every name that begins with this is unfinished and may be deleted


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes; OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable; does nothing where folders cannot be synced (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data` as a whole: a reader sees the old bytes or the new ones, also after a crash."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        _write_synced(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_folder_atomically(folder: Path, files: Mapping[str, bytes]) -> None:
    """Create `folder` with these files, all or none; FileExistsError where it is already there."""
    if folder.exists():
        raise FileExistsError(folder)
    temporary = folder.with_name(f"{TEMPORARY}{os.getpid()}-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for name, data in files.items():
            _write_synced(temporary / name, data)
        sync_folder(temporary)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an npz file; arrays of objects are refused (they would be pickled)."""
    if any(np.asarray(array).dtype == object for array in arrays.values()):
        raise ValueError("arrays of objects are not stored")
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    return buffer.getvalue()


class FolderLock:
    """An advisory lock on a folder, held by one process until it ends or `release` is called.

    The lock belongs to the operating system, so that a killed process cannot leave it behind. The file
    `lock` tells others who holds it. The holder and its direct children (worker processes) may write.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it or the folder cannot be written."""
        try:
            file = self._path.open("a+", encoding="utf-8")
        except OSError:
            return False
        try:
            _lock_file(file)
        except OSError:
            file.close()
            return False
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid()}, file)
        file.flush()
        self._file = file
        return True

    def holder(self) -> int | None:
        """Process id that the lock file names, or None."""
        try:
            return int(json.loads(self._path.read_text(encoding="utf-8"))["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def in_family(self) -> bool:
        """True where the holder is this process or its parent (the window whose worker this is)."""
        return self.holder() in (os.getpid(), os.getppid())

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.seek(0)
                self._file.truncate()
            self._file.close()
            self._file = None


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock_file(file: IO[str]) -> None:
        # Windows locks are mandatory: take a byte far behind the text, so that others can read it
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock_file(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
