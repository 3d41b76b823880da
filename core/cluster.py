"""Connections to a Dask cluster, or one started for a job; `distributed` is imported on first use.

Processes of a cluster trust each other: whoever reaches its scheduler can run code as its user, and messages are
pickles. A cluster started here is therefore encrypted with keys made for it, also on this machine alone; a scheduler
that is not encrypted is refused outside of private networks unless it is asked for.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from core.cluster_options import STARTED, ClusterOptions
from core.errors import ClusterError, ToolMissingError
from core.events import Monitor

if TYPE_CHECKING:
    from distributed import Client

INSTALL = "pip install 'quantiscope[cluster]'"
#: seconds in which a scheduler has to answer
ANSWER = 30


@contextlib.contextmanager
def connected(options: ClusterOptions, monitor: Monitor) -> Iterator[Client]:
    """A client of the cluster that options name or ask to be started; what was started ends with the context.

    Raises:
        ClusterError: settings that cannot be meant, no answer, or an unencrypted scheduler far away.
        ToolMissingError: `distributed` or a batch system is not installed.
    """
    options.check()
    distributed = _installed()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        if options.scheduler:
            refuse_plain(options)
            address, security = options.scheduler, _security(options)
        else:
            cluster = stack.enter_context(_started(options, monitor))
            address, security = cluster, cluster.security
        try:
            client = distributed.Client(address, security=security, timeout=ANSWER, set_as_default=False)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise ClusterError(f"the scheduler {options.scheduler or options.start} does not answer",
                               str(error) or "it took too long",
                               "See that it runs, that its address is right and that tls:// has its files") from None
        stack.callback(client.close, timeout=5)
        monitor.log(f"connected to {client.scheduler_info(n_workers=0)['address']}", source="cluster")
        yield client


def _installed() -> Any:
    try:
        import distributed
    except ImportError:
        raise ToolMissingError("a cluster needs Dask, which is not installed", remedy=INSTALL) from None
    return distributed


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What Dask would write to stderr of workers that come and go is told by us in a line."""
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed|dask")
            yield
    finally:
        log.setLevel(level)


# -- a scheduler that runs -------------------------------------------------------------------------------


def refuse_plain(options: ClusterOptions) -> None:
    """Raise ClusterError where the scheduler is not encrypted, is not in a private network, and that was not allowed.
    """
    if options.encrypted or options.plain:
        return
    parts = urlsplit(options.scheduler)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ClusterError(f"the scheduler {options.scheduler} cannot be found", error.strerror or str(error),
                           "See that its name is right") from None
    for *_, place in found:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if not (address.is_private or address.is_loopback or address.is_link_local):
            raise ClusterError(
                f"{options.scheduler} is not encrypted and {address} is not in a private network",
                "whoever can read or reach it can run programs as you",
                "Use a tls:// scheduler, or allow it by --plain-tcp where the network is guarded otherwise")


def _security(options: ClusterOptions) -> Any:
    from distributed.security import Security

    if not options.encrypted:
        return None
    given = {"tls_ca_file": options.tls_ca, "tls_client_cert": options.tls_cert, "tls_client_key": options.tls_key}
    for path in filter(None, given.values()):
        if not Path(path).is_file():
            raise ClusterError(f"the TLS file {path} is not there", remedy="Give the PEM files of the scheduler's CA")
    return Security(require_encryption=True, **{name: path for name, path in given.items() if path})


# -- a cluster of our own --------------------------------------------------------------------------------


@contextlib.contextmanager
def _started(options: ClusterOptions, monitor: Monitor) -> Iterator[Any]:
    from distributed.security import Security

    command = STARTED[options.start]
    if command and shutil.which(command) is None:
        raise ToolMissingError(f"{options.start} cannot be asked for jobs", f"{command} is not on the PATH",
                               "Start the search on a machine that submits jobs, or name a scheduler that runs")
    try:
        security = Security.temporary()
    except ImportError:
        raise ToolMissingError("a cluster is encrypted by the package cryptography, which is not installed",
                               remedy=INSTALL) from None
    make = _local if options.start == "local" else _queued
    with tempfile.TemporaryDirectory(prefix=".quantiscope-cluster-", dir=_shared(options)) as folder:
        try:
            cluster = make(options, security, folder)
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(f"the {options.start} cluster cannot be started", str(error).strip(),
                               "Mend that and try again") from None
        with contextlib.closing(cluster):
            monitor.log(f"started a {options.start} cluster of {options.jobs or 'one a core'} jobs", source="cluster")
            yield cluster


def _shared(options: ClusterOptions) -> Path | None:
    """Where keys lie that jobs have to read: the home folder, which batch systems share; readable by its user alone."""
    return None if options.start == "local" else Path.home()


def _local(options: ClusterOptions, security: Any, folder: str) -> Any:
    from dask.system import CPU_COUNT  # those this process may use
    from distributed import LocalCluster

    return LocalCluster(n_workers=options.jobs * options.workers_per_job or CPU_COUNT, threads_per_worker=1,
                        processes=True, protocol="tls://", security=security, dashboard_address=None,
                        host="127.0.0.1", memory_limit=_bytes(options) or None, local_directory=folder,
                        silence_logs=logging.CRITICAL)


def _queued(options: ClusterOptions, security: Any, folder: str) -> Any:
    cluster = queue_class(options)(security=_in_files(security, Path(folder)), silence_logs=logging.CRITICAL,
                                   **job_settings(options))
    cluster.scale(jobs=options.jobs)
    return cluster


def _in_files(security: Any, folder: Path) -> Any:
    """Keys that jobs read from files, which only their user can."""
    from distributed.security import Security

    paths = {}
    for name in [name for name in security.__slots__ if name.startswith("tls_")]:
        text = getattr(security, name)
        if isinstance(text, str) and "\n" in text:
            path = folder / f"{name}.pem"
            path.touch(mode=0o600)
            path.write_text(text, encoding="ascii")
            paths[name] = str(path)
    return Security(require_encryption=True, **paths)


def renew(client: Client, options: ClusterOptions) -> None:
    """Submit a job again in the place of each that has ended; nothing for clusters without jobs."""
    if client.cluster is not None and STARTED.get(options.start):
        client.cluster.scale(jobs=options.jobs)


def queue_class(options: ClusterOptions) -> Any:
    """The class of dask-jobqueue for what is to be started."""
    try:
        import dask_jobqueue
    except ImportError:
        raise ToolMissingError(f"jobs of {options.start} need dask-jobqueue, which is not installed",
                               remedy=INSTALL) from None
    return {"slurm": dask_jobqueue.SLURMCluster, "htcondor": dask_jobqueue.HTCondorCluster}[options.start]


def job_settings(options: ClusterOptions) -> dict[str, Any]:
    """What that class is given; everything else is as dask-jobqueue's configuration says."""
    count = options.workers_per_job
    settings: dict[str, Any] = {
        "cores": count, "processes": count, "memory": f"{_bytes(options) * count} B", "python": sys.executable,
        "worker_extra_args": ["--no-dashboard"],
        "scheduler_options": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        "interface": options.interface or None}
    if options.start == "slurm":
        minutes = round(60 * options.hours)
        settings |= {"walltime": f"{minutes // 60:02d}:{minutes % 60:02d}:00", "queue": options.queue or None,
                     "account": options.account or None}
    else:
        settings |= {"disk": "2 GB",
                     "job_extra_directives": {"accounting_group": options.queue} if options.queue else {}}
    return settings


def _bytes(options: ClusterOptions) -> int:
    return int(options.memory_gb * 2**30)
