"""Which cluster a job runs on, as plain values for a request, a command or a form."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from core.errors import ClusterError

#: what can be started, and the command that has to be on the PATH for it
STARTED = {"local": "", "slurm": "sbatch", "htcondor": "condor_submit"}
#: schemes of a scheduler's address, and whether they are encrypted
SCHEMES = {"tcp": False, "tls": True, "ws": False, "wss": True}
_WORD = re.compile(r"[A-Za-z0-9_.:@/+-]*")  # nothing that ends a line or an option of a job script


class ClusterOptions(msgspec.Struct, frozen=True):
    """A Dask cluster that is there, or one to be started for the job and ended with it; neither: this machine alone.

    Attributes:
        scheduler: address of a scheduler that runs, such as "tcp://10.0.0.5:8786" or "tls://head:8786".
        start: "local", "slurm" or "htcondor".
        jobs: how many jobs to start; 0: of local, one a core.
        workers_per_job: processes in each job, one core each.
        queue: partition of Slurm, accounting group of HTCondor.
        account: whom Slurm charges.
        memory_gb: of each worker; more ends it.
        hours: after which Slurm ends a job; it is started again while the search lasts.
        interface: of the network that workers reach this machine by, such as "ib0".
        tls_ca, tls_cert, tls_key: PEM files for a tls:// scheduler; none: those of Dask's own configuration.
        plain: allow an unencrypted scheduler outside of private networks.
    """

    scheduler: str = ""
    start: str = ""
    jobs: int = 0
    workers_per_job: int = 1
    queue: str = ""
    account: str = ""
    memory_gb: float = 4.0
    hours: float = 24.0
    interface: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    plain: bool = False

    @property
    def asked(self) -> bool:
        """True where a job is to run on a cluster."""
        return bool(self.scheduler or self.start)

    @property
    def encrypted(self) -> bool:
        """True where the scheduler's address says so."""
        return SCHEMES.get(urlsplit(self.scheduler).scheme, False)

    def check(self) -> None:
        """Raise ClusterError for settings that cannot be meant; asks neither network nor disk."""
        if self.scheduler and self.start:
            raise ClusterError("a scheduler was named, and one is to be started", remedy="Give one of the two")
        if self.scheduler:
            self.check_address()
        if self.start and self.start not in STARTED:
            raise ClusterError(f"a cluster of {self.start!r} cannot be started",
                               remedy=f"Use one of {', '.join(STARTED)}, or name a scheduler that runs")
        if STARTED.get(self.start) and self.jobs < 1:
            raise ClusterError(f"{self.start} is not told how many jobs to start", remedy="Give 1 or more jobs")
        if self.jobs < 0 or self.workers_per_job < 1 or not self.memory_gb >= 0 or not self.hours > 0:
            raise ClusterError("the jobs of the cluster are out of range",
                               remedy="Give 1 or more workers a job, and memory and hours above 0")
        for name in ("queue", "account", "interface"):
            if not _WORD.fullmatch(getattr(self, name)):
                raise ClusterError(f"{getattr(self, name)!r} cannot be the {name} of a job",
                                   remedy="Use letters, digits and _ . : @ / + -")

    def check_address(self) -> None:
        """Raise ClusterError where `scheduler` is no address."""
        parts = urlsplit(self.scheduler)
        try:
            whole = parts.scheme in SCHEMES and parts.hostname and parts.port
        except ValueError:
            whole = False
        if not whole or parts.username or parts.path:
            raise ClusterError(f"{self.scheduler!r} is not the address of a scheduler",
                               remedy="Write tcp://HOST:PORT or tls://HOST:PORT, as the scheduler says at its start")
        if any((self.tls_ca, self.tls_cert, self.tls_key)) and not self.encrypted:
            raise ClusterError(f"TLS files were given for {self.scheduler}, which is not encrypted",
                               remedy="Write tls:// in the place of tcp://")
