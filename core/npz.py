"""Arrays out of foreign `.npz` and `.npy` files: what a file claims is checked before memory is given to it.

A compressed archive of a few kilobytes can claim terabytes, and a header can claim a shape that the file does not
hold. Pickled objects are never read.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from core.files import open_regular

#: the most that arrays of one file of ours (weights, curves, checkpoints) may hold, in bytes
MAX_OURS = 4 * 2**30
#: a file may unpack to so many times its own size; what is below `ALWAYS` bytes is always taken
MAX_RATIO, ALWAYS = 200, 64 * 2**20
MAX_MEMBERS = 4096
_PIECE = 16 * 2**20
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0,
}


def unpacks_too_far(claimed: int, stored: int, limit: int, always: int = ALWAYS) -> bool:
    """True where a file of `stored` bytes may not unpack to `claimed` bytes; `always` bytes any file may claim."""
    return claimed > limit or claimed > max(always, MAX_RATIO * stored)


def read_npz(source: Path | bytes, limit: int = MAX_OURS) -> dict[str, NDArray[Any]]:
    """All arrays of an npz file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, holds pickled objects, or claims more than `limit` bytes.
    """
    with _opened(source) as file:
        return {name: read() for name, read in members(file, limit).items()}


def members(file: BinaryIO, limit: int, always: int = ALWAYS) -> dict[str, Callable[[], NDArray[Any]]]:
    """The arrays of an open npz file by name, each read when it is called for; raises as `read_npz`, also then."""
    stored = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
        entries = archive.infolist()
    except Exception as error:  # a damaged archive makes zipfile raise nearly anything
        raise ValueError(f"it is not an npz file ({error})") from None
    if len(entries) > MAX_MEMBERS:
        raise ValueError(f"it holds more than {MAX_MEMBERS} arrays")
    if unpacks_too_far(sum(entry.file_size for entry in entries), stored, limit, always):
        raise ValueError("it claims more memory than such a file may")
    return {entry.filename.removesuffix(".npy"): partial(_member, archive, entry)
            for entry in entries if entry.filename.endswith(".npy")}


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    try:
        with archive.open(entry) as file:
            return read_array(file, entry.file_size)  # type: ignore[arg-type]  # read() is all that is needed
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive makes zipfile raise nearly anything
        raise ValueError(f"{entry.filename}: {error or type(error).__name__}") from None


def read_npy(path: Path, limit: int) -> NDArray[Any]:
    """The array of an npy file; raises as `read_npz`."""
    with open_regular(path) as file:
        size = file.seek(0, io.SEEK_END)
        if size > limit:
            raise ValueError("it is larger than may be read")
        file.seek(0)
        return read_array(file, size)


def read_array(file: BinaryIO, size: int) -> NDArray[Any]:
    """The array of a stream in npy's format that holds `size` bytes; raises ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old headers
        version = np.lib.format.read_magic(file)
        header = _HEADERS.get(version)
        if header is None:
            raise ValueError(f"its npy version {version} is not known")
        try:
            shape, fortran, dtype = header(file)
        except Exception as error:  # descriptions of types make numpy raise nearly anything
            raise ValueError(f"its header cannot be read ({type(error).__name__})") from None
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects (allow_pickle is never set)")
    count = math.prod(shape)
    if dtype.itemsize == 0 or count < 0 or len(shape) > 32 or count * dtype.itemsize > size:
        raise ValueError("its header claims values that the file does not hold")
    values = np.empty(count, dtype)
    if count:
        _fill(file, values.view(np.uint8).data)
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def _fill(file: BinaryIO, bytes_of: memoryview) -> None:
    """Read in pieces, so that nothing is held twice."""
    done = 0
    while done < len(bytes_of):
        piece = file.read(min(len(bytes_of) - done, _PIECE))
        if not piece:
            raise ValueError("it ends too early")
        bytes_of[done:done + len(piece)] = piece
        done += len(piece)


def _opened(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else open_regular(Path(source))
