"""Foreign HDF5 files are first read by a process that may be lost.

The HDF5 library is C code that takes a file's word for what it holds: a damaged file can make it turn in circles,
crash, or ask for any amount of memory, and no exception handler helps. So a file that was not seen before is read
from end to end by a small process with limits on its time and memory; only when that came through is it opened
here. What came through is remembered by its SHA-256, so that it is read twice only the first time.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import platformdirs

import resources

#: processor seconds for a file, and further ones for each GiB that it claims
SECONDS, SECONDS_PER_GIB = 3, 20
#: so many times longer by the clock: another program may have the processor; Windows has no other limit
PATIENCE = 4 if os.name == "nt" else 200
#: memory for a file beyond what is read of an archive at once, in bytes
MEMORY = 1536 * 2**20
MAX_OBJECTS, MAX_DEPTH = 100_000, 64
#: larger datasets are read at so many places in place of wholly
WHOLE, PLACES = 256 * 2**20, 64
#: names the folder that remembers what came through; "" remembers nothing
CACHE = "QUANTISCOPE_EXAMINED"
_WEIGHTS = "model.weights.h5"
_REMEMBERED = 2000
_known: set[str] = set()


def examine(path: Path, digest: str) -> str:
    """Have a file with HDF5 in it (an `.h5`, or a `.keras` archive) read by a process of its own.

    Args:
        digest: SHA-256 of the file.

    Returns:
        Why it must not be opened here; empty where it may. A file that the other process could read, if only to
        find that it is damaged, may be opened.
    """
    if digest in _known or _is_bundled(path):
        return ""
    mark = _mark(digest)
    if mark is None or not mark.exists():
        if reason := _sent(path):
            return reason
        _remember(mark)
    _known.add(digest)
    return ""


def _sent(path: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                   "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
    seconds = _seconds(path)
    try:
        done = subprocess.run(_command(path, seconds), env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=seconds * PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return "reading it does not come to an end"
    except OSError as error:
        return f"no process could be started to read it safely ({error.strerror})"
    if done.returncode == 0:
        return ""
    if -done.returncode in (getattr(signal, "SIGXCPU", None), getattr(signal, "SIGKILL", None)):
        return "reading it does not come to an end"
    return "it asks for too much memory" if done.returncode == _NO_MEMORY else "the HDF5 library fails on it"


def _command(path: Path, seconds: int) -> list[str]:
    return [sys.executable, "-m", "core.guard", str(path.absolute()), str(seconds)]


_NO_MEMORY = 3


def _seconds(path: Path) -> int:
    return SECONDS + SECONDS_PER_GIB * path.stat().st_size // 2**30


def _is_bundled(path: Path) -> bool:
    return path.absolute().is_relative_to(Path(resources.__file__).parent)


def _mark(digest: str) -> Path | None:
    folder = os.environ.get(CACHE)
    if folder == "":
        return None
    return Path(folder or Path(platformdirs.user_cache_dir("quantiscope")) / "examined") / digest


def _remember(mark: Path | None) -> None:
    with contextlib.suppress(OSError):
        if mark is not None:
            mark.parent.mkdir(parents=True, exist_ok=True)
            if sum(1 for _ in mark.parent.iterdir()) > _REMEMBERED:
                for old in mark.parent.iterdir():
                    old.unlink(missing_ok=True)
            mark.touch()


# -- in the other process --------------------------------------------------------------------------------


def walk(path: Path) -> None:
    """Read all of a file that HDF5 may trip over; any exception, where it is damaged."""
    import h5py

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, archive.open(_WEIGHTS) as member:
            source: Any = io.BytesIO(member.read())
    else:
        source = path
    with h5py.File(source, "r") as file:
        _visit(file, set(), 0)


def _visit(group: Any, seen: set[int], depth: int) -> None:
    import h5py

    address = h5py.h5o.get_info(group.id).addr
    if address in seen or depth > MAX_DEPTH or len(seen) > MAX_OBJECTS:
        return
    seen.add(address)
    for name in group.attrs:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, UnicodeError):
            group.attrs[name]
    if isinstance(group, h5py.Dataset):
        _read(group)
    elif isinstance(group, h5py.Group):
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.HardLink):
                with contextlib.suppress(OSError, ValueError, TypeError, KeyError, UnicodeError):
                    _visit(group[name], seen, depth + 1)


def _read(data: Any) -> None:
    """All of a dataset, or rows of it here and there where it is large."""
    if data.external or data.is_virtual or data.size is None:
        return
    size = data.size * data.dtype.itemsize
    if size <= WHOLE:
        data[()]
        return
    if size // max(len(data), 1) > WHOLE:
        return
    for place in range(PLACES):
        data[place * (len(data) - 1) // (PLACES - 1)]


def _limit(path: Path, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the clock alone limits
        return
    held = 0
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:
        held = 2 * archive.getinfo(_WEIGHTS).file_size
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + held,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(path: str, seconds: str) -> int:
    """Exit code 0 where the file can be opened without harm, whether or not it is damaged."""
    _limit(Path(path), int(seconds))
    try:
        walk(Path(path))
    except MemoryError:
        return _NO_MEMORY
    except Exception:  # damage that HDF5 tells of is harmless: the reader says it in a sentence
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
