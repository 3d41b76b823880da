"""What a training needs to go on after its process was killed: arrays in one file, written whole or not at all."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from core.events import Monitor
from core.files import npz_bytes, write_atomically
from core.npz import read_npz

#: a checkpoint is written at most this often, in seconds
EVERY_S = 2.0
FORMAT = "1"
_FINGERPRINT = "fingerprint"


class Checkpoint:
    """The state of one training in one file.

    Args:
        path: the file; its folder is made when first needed. None: nothing is kept.
        fingerprint: says which training it is; a file of another one is not continued.
    """

    def __init__(self, path: Path | None, fingerprint: str, monitor: Monitor) -> None:
        self._path = path
        self._fingerprint = f"{FORMAT}:{fingerprint}"
        self._monitor = monitor
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """True where enough time has passed since the last writing."""
        return self._path is not None and time.monotonic() - self._written >= EVERY_S

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the file. Where it cannot be written that is logged once, and training goes on without."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, npz_bytes({**arrays, _FINGERPRINT: np.array(self._fingerprint)}))
        except OSError as error:
            self._monitor.log(f"no checkpoint can be written ({error.strerror or error}): a training that is killed"
                              " begins anew", "warning")
            self._path = None
        self._written = time.monotonic()

    def load(self) -> dict[str, np.ndarray] | None:
        """What was saved last by the same training, or None."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            arrays = read_npz(self._path)
        except (OSError, ValueError) as error:
            self._monitor.log(f"the checkpoint {self._path.name} cannot be read ({error}): training begins anew",
                              "warning")
            return None
        if str(arrays.pop(_FINGERPRINT, "")) != self._fingerprint:
            self._monitor.log("the checkpoint is of another training: this one begins anew")
            return None
        return arrays


def tidy(folder: Path, kept: int = 3, wanted: Path | None = None) -> None:
    """Delete all but the latest checkpoints of a folder; `wanted` stays, whatever the clock says of it."""
    files = sorted(folder.glob("[!.]*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in [path for path in files if path != wanted][kept:]:
        path.unlink(missing_ok=True)


def fingerprint(*parts: object) -> str:
    """SHA-256 of texts and arrays."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(f"{part}\0".encode())
    return digest.hexdigest()
