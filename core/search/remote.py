"""What a worker process of a cluster does for a search: it builds its trainer once and answers calls in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core import __version__
from core.dataset import FAMILY, bundled_path
from core.errors import ClusterError
from core.files import sha256_of, write_atomically
from core.search.worker import Setup, Worker, one_thread

#: name of a file -> its bytes, by SHA-256
Files = Mapping[str, tuple[str, bytes]]


class FilesMissing(Exception):
    """A worker has not got the model or the events where they lie on the machine that asks."""


@dataclass(frozen=True)
class Parcel:
    """What every worker needs before the first call. `key` names the trainer, `hashes` the files of the setup."""

    key: str
    setup: Setup
    hashes: Mapping[str, str]
    version: str = __version__


_turn = threading.Lock()  # a worker with several threads has one trainer all the same
_held: dict[str, Worker] = {}


def call(parcel: Parcel, files: Files | None, name: str, *arguments: Any) -> Any:
    """One call; raises what it raises, FilesMissing where `files` are needed and were not sent."""
    with _turn:
        return _worker(parcel, files).call(name, arguments)


def _worker(parcel: Parcel, files: Files | None) -> Worker:
    if parcel.version != __version__:
        raise ClusterError(f"a worker of the cluster has Quantiscope {__version__} and this is {parcel.version}",
                           remedy="Install the same version on all")
    worker = _held.get(parcel.key)
    if worker is None:
        _held.clear()  # of one search at a time
        one_thread()
        worker = _held[parcel.key] = Worker(_located(parcel, files))
    elif parcel.setup.way not in ("", worker.setup.way):
        if worker.trainer.program.way != parcel.setup.way:
            worker.use(parcel.setup.way)
        worker.setup = replace(worker.setup, way=parcel.setup.way)
    return worker


def _located(parcel: Parcel, files: Files | None) -> Setup:
    """The setup with files where they are here."""
    setup = parcel.setup
    return replace(setup, model=located(setup.model, parcel.hashes[setup.model], files, _folder),
                   data=located(setup.data, parcel.hashes[setup.data], files, _folder))


def located(reference: str, digest: str, files: Files | None, folder: Callable[[], Path]) -> str:
    """Where a file of that SHA-256 is on this machine: at the same path, or as it was sent, in `folder`.

    Raises:
        FilesMissing: it is not here, and was not sent.
        ClusterError: a dataset that ships with Quantiscope is another one here.
    """
    if reference.startswith(FAMILY):
        return reference
    bundled = bundled_path(reference)
    path = bundled or Path(reference)
    if path.is_file() and sha256_of(path) == digest:
        return reference
    if bundled:
        raise ClusterError(f"a worker has other events by the name of {reference}",
                           remedy="Install the same version on all")
    if files is None:
        raise FilesMissing(reference)
    name, data = files[digest]
    path = folder() / f"{digest[:16]}-{name}"
    if not path.is_file() or sha256_of(path) != digest:
        write_atomically(path, data)
    return str(path)


def _folder() -> Path:
    """This worker's own folder, which goes with it."""
    from distributed import get_worker

    return Path(get_worker().local_directory)


def same(value: Any) -> Any:
    """A value that workers hand on to each other; computed again where all that held it are gone."""
    return value


def hashes_of(setup: Setup) -> dict[str, str]:
    """SHA-256 of the model and the events of a setup; of events made by a seed there is none."""
    paths = {reference: bundled_path(reference) or Path(reference) for reference in (setup.model, setup.data)
             if not reference.startswith(FAMILY)}
    return {setup.data: "", **{reference: sha256_of(path) for reference, path in paths.items()}}


def files_of(setup: Setup, hashes: Mapping[str, str]) -> dict[str, tuple[str, bytes]]:
    """The files of a setup that do not ship with Quantiscope."""
    return {hashes[reference]: (Path(reference).name, Path(reference).read_bytes())
            for reference in (setup.model, setup.data)
            if not reference.startswith(FAMILY) and bundled_path(reference) is None}
