"""An export made by a worker of a cluster: the candidate goes there as bytes, its firmware project comes back so."""

from __future__ import annotations

import contextlib
import io
import queue
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core import __version__
from core.candidate import Candidate
from core.cluster import connected
from core.cluster_options import ClusterOptions
from core.errors import Cancelled, ClusterError, WorkerDiedError
from core.events import Event, Monitor
from core.hls.manifest import NAME as MANIFEST
from core.hls.report import ExportReport
from core.npz import read_npz
from core.project import Project
from core.project_exports import REPORT
from core.requests import Export
from core.search import remote
from core.search.remote import Files, FilesMissing, located
from core.search.space import SearchSpace
from core.search.worker import Setup

if TYPE_CHECKING:
    from distributed import Client

#: seconds between two looks at whether the user asked to stop
LOOK = 1.0


@dataclass(frozen=True)
class Parcel:
    """What a worker needs. `earlier` are files by which an export knows the one before it; `topic` names the job."""

    request: Export
    candidate: Candidate
    weights: bytes
    model: str
    data: str
    hashes: Mapping[str, str]
    earlier: Mapping[str, bytes]
    topic: str
    version: str = __version__


# -- here --------------------------------------------------------------------------------------------------


def export_there(request: Export, monitor: Monitor) -> ExportReport:
    """As `core.workflows` exports, by a worker of `request.cluster`; tools have to be installed where it runs.

    Raises:
        ClusterError, ToolMissingError: as `core.cluster.connected`.
        WorkerDiedError: every worker that tried it died.
        Cancelled, and all that an export raises.
    """
    with Project.open(request.project) as project:
        project.require_writable()
        candidate = project.candidate(request.candidate_id)
        project.check_sources()
        with connected(request.cluster, monitor) as client:
            parcel = _parcel(project, request, candidate)
            report, files = _made(client, parcel, monitor)
        with project.exporting(candidate.id, request.flow) as (directory, _):
            directory.mkdir(parents=True)
            with tarfile.open(fileobj=io.BytesIO(files)) as archive:
                archive.extractall(directory, filter="data")
            report = msgspec.structs.replace(report, directory=str(directory))
            project.save_export(report)  # last: an export without it is not listed
        return report


def _parcel(project: Project, request: Export, candidate: Candidate) -> Parcel:
    earlier = {}
    for name in (REPORT, MANIFEST):
        with contextlib.suppress(OSError):
            earlier[name] = (project.export_directory(candidate.id, request.flow) / name).read_bytes()
    setup = _setup(project)
    asked = msgspec.structs.replace(request, cluster=ClusterOptions())
    return Parcel(asked, candidate, project.weights_path(candidate.id).read_bytes(), setup.model, setup.data,
                  remote.hashes_of(setup), earlier, f"quantiscope-{uuid.uuid4().hex}")


def _setup(project: Project) -> Setup:
    return Setup(str(project.model_path), project.data_reference, SearchSpace(project.recipe, ()))


def _made(client: Client, parcel: Parcel, monitor: Monitor) -> tuple[ExportReport, bytes]:
    told: queue.Queue[bytes] = queue.Queue()
    client.subscribe_topic(parcel.topic, lambda event: told.put(event[1]))
    files: Any = None
    try:
        while True:
            try:
                return _waited(client, client.submit(run, parcel, files, pure=False), parcel.topic, told, monitor)
            except FilesMissing:
                if files is not None:
                    raise
                monitor.log("workers do not see our files; they are sent", source="cluster")
                files = remote.files_of(Setup(parcel.model, parcel.data, SearchSpace(parcel.candidate.recipe, ())),
                                        parcel.hashes)
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.unsubscribe_topic(parcel.topic)


def _waited(client: Client, future: Any, topic: str, told: queue.Queue[bytes], monitor: Monitor) -> Any:
    from distributed import Event as Flag
    from distributed.scheduler import KilledWorker

    while not future.done():
        _tell(told, monitor)
        if monitor.stopping:
            Flag(topic, client=client).set()
            future.cancel(force=True)
            raise Cancelled
        time.sleep(0.1)
    _tell(told, monitor)
    try:
        return future.result()
    except KilledWorker:
        raise WorkerDiedError("every worker that tried the export died",
                              remedy="Give workers more memory") from None
    except ModuleNotFoundError as error:
        raise ClusterError("a worker of the cluster cannot run Quantiscope", str(error),
                           "Start the workers in the environment that Quantiscope is installed in") from None


def _tell(told: queue.Queue[bytes], monitor: Monitor) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            monitor.pass_on(msgspec.json.decode(told.get_nowait(), type=Event))


# -- on a worker -------------------------------------------------------------------------------------------


def run(parcel: Parcel, files: Files | None) -> tuple[ExportReport, bytes]:
    """The report, and the folder as a tar archive, of an export made in a project that is made for it."""
    from core import workflows

    if parcel.version != __version__:
        raise ClusterError(f"a worker of the cluster has Quantiscope {__version__} and this is {parcel.version}",
                           remedy="Install the same version on all")
    with _monitor(parcel.topic) as (monitor, folder):
        model, data = (located(reference, parcel.hashes[reference], files, lambda: folder)
                       for reference in (parcel.model, parcel.data))
        weights = folder / "weights.npz"
        weights.write_bytes(parcel.weights)
        with Project.create(folder / "export", model, data) as project:
            project.add_candidate(parcel.candidate, dict(read_npz(weights)))
            directory = project.export_directory(parcel.candidate.id, parcel.request.flow)
            directory.mkdir(parents=True)
            for name, held in parcel.earlier.items():
                (directory / name).write_bytes(held)
        request = msgspec.structs.replace(parcel.request, project=str(project.folder))
        report = workflows.run(request, monitor)
        return report, _archive(directory)


@contextlib.contextmanager
def _monitor(topic: str) -> Iterator[tuple[Monitor, Path]]:
    """A monitor that is heard and stopped where the job was asked for, and a folder that goes with the job."""
    from distributed import Event as Flag
    from distributed import get_worker

    worker, flag = get_worker(), Flag(topic)
    with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
        yield Monitor(lambda event: worker.log_event(topic, msgspec.json.encode(event)),
                      cancelled=_seldom(flag.is_set)), Path(folder)


def _seldom(asked: Callable[[], bool]) -> Callable[[], bool]:
    """The answer to a question over the network, asked again only after a while."""
    known = [False, 0.0]

    def answer() -> bool:
        if not known[0] and time.monotonic() - known[1] > LOOK:
            known[:] = asked(), time.monotonic()
        return bool(known[0])

    return answer


def _archive(directory: Path) -> bytes:
    """Everything in a folder but its report, which is written when all else is there."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for path in sorted(directory.iterdir()):
            if path.name != REPORT:
                archive.add(path, path.name)
    return buffer.getvalue()
