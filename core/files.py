"""Writing that a crash cannot tear: temporary file, fsync, rename; and the lock of a folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import stat
import sys
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO

import numpy as np

TEMPORARY = ".tmp-"  # every name that begins with this is unfinished and may be deleted
#: where a folder waits while another takes its place; put back when that was interrupted
_FORMER = f"{TEMPORARY}former-"
#: the most that a description (JSON, text) may hold, in bytes
MAX_TEXT = 64 * 2**20


def open_regular(path: Path) -> BufferedReader:
    """A file opened for reading; OSError for a pipe or device, which could be read for ever."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path, limit: int = MAX_TEXT) -> bytes:
    """All bytes of a regular file; OSError where it cannot be read or holds more than `limit` bytes."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit // 2**20} MiB", str(path))
    return data


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a regular file's bytes; OSError where it cannot be read."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Make a file, or renames within a folder, durable; does nothing where folders cannot be synced (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
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
    sync(path.parent)


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
        sync(temporary)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(folder.parent)


def replace_folder_atomically(folder: Path, files: Mapping[str, bytes]) -> None:
    """As `write_folder_atomically`, in the place of a folder that may be there: its files are lost only when these
    are stored. What a crash in between leaves is put in order by `restore_folders`.
    """
    former = aside(folder)
    fresh = folder.with_name(f"{TEMPORARY}{os.getpid()}-fresh-{folder.name}")
    write_folder_atomically(fresh, files)
    try:
        if folder.exists():
            shutil.rmtree(former, ignore_errors=True)
            folder.rename(former)
        fresh.rename(folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    sync(folder.parent)
    shutil.rmtree(former, ignore_errors=True)


def aside(folder: Path) -> Path:
    """Where a folder waits while another takes its place."""
    return folder.with_name(_FORMER + folder.name)


def restore_folders(parent: Path, finished: str = "") -> None:
    """`restore_folder` for each folder that a crash left moved aside."""
    for former in parent.glob(f"{_FORMER}*"):
        restore_folder(former.with_name(former.name.removeprefix(_FORMER)), finished)


def restore_folder(folder: Path, finished: str = "") -> None:
    """Put a folder back that was moved aside and has no successor, or one without the file named `finished`."""
    former = aside(folder)
    if not former.exists():
        return
    if finished and folder.exists() and not (folder / finished).exists():
        shutil.rmtree(folder)
    if not folder.exists():
        former.rename(folder)


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
            file = _open_own(self._path)
        except OSError:
            return False
        try:
            _lock_file(file)
        except OSError:
            file.close()
            return False
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, its file names nobody
            file.seek(0)
            file.truncate()
            file.write(json.dumps({"pid": os.getpid()}))
            file.flush()
        self._file = file
        return True

    def holder(self) -> int | None:
        """Process id that the lock file names, or None."""
        try:
            return int(json.loads(read_bounded(self._path, 4096))["pid"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
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
            with contextlib.suppress(OSError):  # what a full disk kept from being written is written on closing
                self._file.close()
            self._file = None


def _open_own(path: Path) -> IO[str]:
    """A file to be overwritten, made where it is missing; OSError where its name leads to a file elsewhere."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    found = os.fstat(descriptor)
    if found.st_nlink > 1:  # of a copy made of hard links, or of a file elsewhere: leave that one alone
        os.close(descriptor)
        path.unlink()
        return _open_own(path)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "r+", encoding="utf-8")


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
