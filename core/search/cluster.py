"""Workers of a search on a Dask cluster: they come and go, and what one took with it is tried again by another.

Dask makes a call again whose worker died, and the scheduler holds what is needed to make large values again. Results
are taken as they come in: on a cluster the seed does not decide which candidates are tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import Counter
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from dataclasses import replace
from typing import Any

from core.cluster import connected, renew
from core.cluster_options import ClusterOptions
from core.errors import Cancelled, ClusterError, WorkerDiedError
from core.events import Monitor
from core.search import remote
from core.search.remote import FilesMissing, Parcel
from core.search.worker import Setup
from core.search.workers import Workers

#: seconds between two looks at which workers there are
LOOK = 1.0
#: seconds between two looks at whether jobs have ended
RENEW = 20.0
#: seconds between two lines about waiting for the first worker
PATIENCE = 60.0


class ClusterWorkers(Workers):
    """Makes calls by the workers of a Dask cluster.

    Args:
        setup: what workers build.
        options: the cluster to connect to, or to start.
        monitor: told of workers that come and go.

    Raises:
        ClusterError, ToolMissingError: as `core.cluster.connected`.
    """

    ordered = False

    def __init__(self, setup: Setup, options: ClusterOptions, monitor: Monitor) -> None:
        super().__init__(setup, 0)
        self._monitor, self._options = monitor, options
        self._stack = contextlib.ExitStack()
        self._client = self._stack.enter_context(connected(options, monitor))
        self._hashes = remote.hashes_of(setup)
        self._key = hashlib.sha256(repr((setup, self._hashes)).encode()).hexdigest()
        self._files: Any = None
        self._parcel = self._held(self._packed())
        self._looked = self._asked = 0.0
        self._renewed = time.monotonic()
        self._calls: dict[Future[Any], Any] = {}
        self._places: dict[Any, set[str]] = {}
        self._loads: Counter[str] = Counter()
        self._addresses: list[str] = []

    def _packed(self) -> Parcel:
        return Parcel(self._key, self.setup, self._hashes)

    def _held(self, value: Any) -> Any:
        return self._client.submit(remote.same, value, pure=False)

    def kept(self, value: Any) -> Any:
        """The value as one that workers fetch once each, from each other."""
        return self._held(value)

    @property
    def ahead(self) -> int:
        """Calls that wait at workers, so that none waits for us."""
        return max(1, self.workers // 8)

    # -- calls ---------------------------------------------------------------------------------------------

    def submit(self, call: str, *arguments: Any, shape: Any = None) -> Future[Any]:
        """As `Workers.submit`; Dask chooses the worker, unless a shape does."""
        place = self._place(shape) if shape is not None else None
        where = {"workers": [place], "allow_other_workers": True} if place else {}
        asked = self._client.submit(remote.call, self._parcel, self._files, call, *arguments, pure=False, **where)
        future: Future[Any] = Future()
        self._calls[future] = asked
        if place:
            self._loads[place] += 1

        def done(_: Any) -> None:
            if place:
                self._loads[place] -= 1
            self._calls.pop(future, None)
            try:
                future.set_result(asked.result())
            except BaseException as error:  # a cancelled call as well
                future.set_exception(error)

        asked.add_done_callback(done)
        return future

    def _place(self, shape: Any) -> str | None:
        """The worker for a shape: one that has built its program, if that has not much to do; or any."""
        held = [address for address in self._places.get(shape, ()) if address in self._addresses]
        if held and min(self._loads[address] for address in held) < 2:
            return min(held, key=lambda address: self._loads[address])
        if not self._addresses:
            return None
        place = min(self._addresses, key=lambda address: self._loads[address])
        self._places.setdefault(shape, set()).add(place)
        return place

    def again(self, error: BaseException) -> bool:
        """True where a call has to be made again; Dask has done so already where its worker died.

        Raises:
            ClusterError: the scheduler is gone, or workers cannot run our code.
        """
        if isinstance(error, FilesMissing):
            if self._files is None:
                self._monitor.log("workers do not see our files; they are sent", source="cluster")
                self._files = self._held(remote.files_of(self.setup, self._hashes))
            self._lost = 0
            return True
        self._check()
        if isinstance(error, ModuleNotFoundError):
            raise ClusterError("a worker of the cluster cannot run Quantiscope", str(error),
                               "Start the workers in the environment that Quantiscope is installed in") from None
        return isinstance(error, CancelledError)

    def _check(self) -> None:
        if self._client.status in ("closed", "closing"):
            raise ClusterError("the scheduler of the cluster is gone", remedy="Every finished candidate is stored;"
                               " start the scheduler, and the search again to go on with it")

    def failed(self, error: BaseException) -> BaseException:
        """What a call that ended for good is said to have ended by."""
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            return WorkerDiedError("every worker that tried a candidate died", "it was tried several times",
                                   "Give workers more memory")
        return error

    # -- workers that come and go --------------------------------------------------------------------------

    def watch(self, monitor: Monitor) -> None:
        """See how many workers there are, and say so where that changed; raises ClusterError."""
        if time.monotonic() - self._looked < LOOK:
            return
        self._look()
        if time.monotonic() - self._asked > PATIENCE and not self.workers:
            self._asked = time.monotonic()
            monitor.log("waiting for workers of the cluster", "warning", "cluster")

    def _look(self) -> None:
        self._check()
        before = self.workers
        with contextlib.suppress(OSError, TimeoutError):
            info = self._client.scheduler_info(n_workers=-1 if self.setup.shaped else 0)
            if "n_workers" in info:  # while the scheduler is looked for again there is nothing
                self.workers = int(info["n_workers"])
                self._addresses = list(info["workers"])
        self._looked = time.monotonic()
        if self._looked - self._renewed > RENEW and self.workers < self._options.jobs * self._options.workers_per_job:
            renew(self._client, self._options)
            self._renewed = self._looked
        if before and self.workers != before:
            left = "; what those did that left is tried again" if self.workers < before else ""
            self._monitor.log(f"the cluster has {self.workers} workers, {before} before{left}", source="cluster")

    def prepare(self, monitor: Monitor) -> None:
        """Wait for the first worker."""
        while True:
            self.watch(monitor)
            if self.workers:
                return
            if monitor.stopping:
                raise Cancelled
            time.sleep(0.2)

    def ready(self, monitor: Monitor) -> list[dict[str, Any]]:
        """Have one worker build its program, and all others take the way that was faster there; facts of that one.

        Others build theirs with their first call, whenever they come.
        """
        self.prepare(monitor)
        facts = self.all("facts", [()], monitor)[0]
        if facts.get("way") and not self.setup.way:
            self.setup = replace(self.setup, way=facts["way"])
            self._parcel = self._held(self._packed())
        return [facts]

    def settle(self) -> None:
        """Wait until every worker that is there has built its program."""
        addresses = list(self._client.scheduler_info(n_workers=-1)["workers"])
        wait_for([self._bridged(address) for address in addresses])

    def _bridged(self, address: str) -> Future[Any]:
        asked = self._client.submit(remote.call, self._parcel, self._files, "facts", pure=False, workers=[address])
        future: Future[Any] = Future()
        asked.add_done_callback(lambda done: future.set_result(done.status))
        self._calls[future] = asked
        return future

    def close(self) -> None:
        """Forget what is under way, and end a cluster that was started."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._calls.values()), force=True)
        self._calls.clear()
        self._stack.close()
