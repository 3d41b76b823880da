"""What `search` and `export` are told of a cluster: the same options for both, as one `ClusterOptions`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from core.cluster_options import STARTED, ClusterOptions

_PANEL = "Cluster"


def _option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_PANEL)


#: field of ClusterOptions -> its option; the default is the field's own
_OPTIONS: dict[str, Any] = {
    "scheduler": Annotated[str, _option("A Dask scheduler that runs: tcp://HOST:PORT or tls://HOST:PORT.")],
    "start": Annotated[str, _option(f"Start a cluster for this job: {', '.join(STARTED)}.", "--cluster")],
    "jobs": Annotated[int, _option("How many jobs to start; of local, 0 is one a core.")],
    "workers_per_job": Annotated[int, _option("Processes in each job, one core each.")],
    "queue": Annotated[str, _option("Partition of Slurm, accounting group of HTCondor.")],
    "account": Annotated[str, _option("Whom Slurm charges.")],
    "memory_gb": Annotated[float, _option("GB of each worker; 0: no limit.", "--worker-memory")],
    "hours": Annotated[float, _option("After which Slurm ends a job.", "--job-hours")],
    "interface": Annotated[str, _option("Network that workers reach this machine by, such as ib0.")],
    "tls_ca": Annotated[str, _option("PEM file of the authority of a tls:// scheduler.")],
    "tls_cert": Annotated[str, _option("PEM file of this side's certificate.")],
    "tls_key": Annotated[str, _option("PEM file of this side's key.")],
    "plain": Annotated[bool, _option("Allow an unencrypted scheduler outside of private networks.", "--plain-tcp")],
}


def on_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a cluster; it is called with what they make as `cluster`."""
    defaults = ClusterOptions()
    own = inspect.signature(command, eval_str=True).parameters
    added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation,
                               default=getattr(defaults, name)) for name, annotation in _OPTIONS.items()]
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in own.items() if name != "cluster"]

    @functools.wraps(command)
    def wrapped(**given: Any) -> Any:
        options = ClusterOptions(**{name: given.pop(name) for name in _OPTIONS})
        return command(**given, cluster=options)

    wrapped.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in [*kept, *added]}
    del wrapped.__wrapped__  # else its hints, which name `cluster`, would be read
    return wrapped
