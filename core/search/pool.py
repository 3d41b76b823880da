"""Worker processes on this machine that train candidates side by side, one thread each. Needs no TensorFlow here."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import Cancelled, WorkerDiedError
from core.events import Monitor
from core.search import worker
from core.search.worker import Setup
from core.search.workers import COPIES, WORKER_BYTES, Workers, cores, fitting

#: of a lane that has nothing to prepare
_DONE: Future[Any] = Future()
_DONE.set_result(None)


@dataclass
class _Lane:
    """One worker; `running` are its calls that are not done, `shapes` what it has built programs for.

    While it is `preparing`, others that are not are asked first.
    """

    executor: ProcessPoolExecutor
    running: set[Future[Any]] = field(default_factory=set)
    shapes: set[Any] = field(default_factory=set)
    preparing: Future[Any] = field(default_factory=lambda: _DONE)


class Pool(Workers):
    """Runs trainer calls in `workers` processes; they end with this process, however it ends.

    Where a worker is killed, its calls under way are made again in a new one. A call that names a shape goes to
    the worker that has built a program for it.

    Args:
        setup: what workers build.
        workers: how many; 0: one a core.
        memory: bytes that all of them may take; 0: as much as there is. There are fewer workers where it is short.
        events_bytes: size of the dataset.

    Raises:
        SearchError: not even one worker fits.
    """

    def __init__(self, setup: Setup, workers: int = 0, memory: int = 0, events_bytes: int = 0) -> None:
        super().__init__(setup, fitting(workers or cores(), memory, WORKER_BYTES + COPIES * events_bytes))
        self.memory = memory
        ways = self._ways()
        self._agreed = len(ways) == 1
        self._lanes = [_Lane(self._started(way)) for way, _ in zip(itertools.cycle(ways), range(self.workers))]

    def _ways(self) -> tuple[str, ...]:
        """What workers try in turn: of two workers each compiles and times one way, and the faster is for both."""
        open_ = self.setup.compiled and not self.setup.shaped and not self.setup.way
        return ("xla", "graph") if open_ and self.workers > 1 else ("",)

    def _started(self, way: str = "") -> ProcessPoolExecutor:
        setup = replace(self.setup, way=way or self.setup.way, trial=bool(way))
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"),
                                   initializer=worker.begin, initargs=(setup, os.getpid()))

    def submit(self, call: str, *arguments: Any, shape: Any = None) -> Future[Any]:
        """As `Workers.submit`; a worker that died is replaced."""
        lane = self._lane(shape)
        try:
            future = lane.executor.submit(worker.call, call, arguments)
        except BrokenProcessPool:
            lane.executor = self._started()
            future = lane.executor.submit(worker.call, call, arguments)
        lane.running = {other for other in lane.running if not other.done()} | {future}
        return future

    def _lane(self, shape: Any) -> _Lane:
        for lane in self._lanes:
            if shape is not None and shape in lane.shapes:
                return lane
        free = [lane for lane in self._lanes if lane.preparing.done()] or self._lanes
        best = min(free, key=lambda lane: (len(lane.shapes) if shape is not None else 0,
                                           sum(not future.done() for future in lane.running)))
        if shape is not None:
            best.shapes.add(shape)
        return best

    def again(self, error: BaseException) -> bool:
        """True of a worker that died."""
        return isinstance(error, BrokenProcessPool)

    def prepare(self, monitor: Monitor) -> None:
        """Have the workers agree on a way."""
        if not self._agreed:
            self.ready(monitor)

    def ready(self, monitor: Monitor) -> list[dict[str, Any]]:
        """Have every worker build its program; facts of each. Workers that take too much memory are ended.

        Raises:
            SearchError: one worker alone takes more memory than there may be.
        """
        futures = [lane.executor.submit(worker.call, "facts", ()) for lane in self._lanes]
        while not all(future.done() for future in futures):
            if monitor.stopping:
                raise Cancelled
            wait(futures, timeout=0.1)
        try:
            facts = [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise WorkerDiedError("a worker of the search died while it was built",
                                  remedy="Free some memory, and try again") from error
        kept = fitting(self.workers, self.memory, max(fact["peak_bytes"] for fact in facts))
        if kept < self.workers:
            monitor.log(f"{kept} workers instead of {self.workers}: each takes"
                        f" {max(fact['peak_bytes'] for fact in facts) / 2**30:.1f} GiB", "warning", "search")
            for lane in self._lanes[kept:]:
                _end(lane.executor)
            self._lanes, self.workers = self._lanes[:kept], kept
        self._agree(facts[:kept])
        return facts[:kept]

    def _agree(self, facts: list[dict[str, Any]]) -> None:
        """Let all workers compute by the same way, which rounds alike: the one that is faster.

        A worker that tried another compiles this one before its next call, while others go on.
        """
        self._agreed = True
        timings = {way: seconds for fact in facts for way, seconds in fact.get("timings", {}).items()}
        if not timings:
            return
        best = min(timings, key=lambda way: timings[way])
        self.setup = replace(self.setup, way=best)
        for lane, fact in zip(self._lanes, facts, strict=True):
            if fact["way"] != best:
                lane.preparing = lane.executor.submit(worker.call, "use", (best,))
            fact |= {"way": best, "timings": timings}

    def settle(self) -> None:
        """Wait until every worker has compiled the way agreed on."""
        wait([lane.preparing for lane in self._lanes])

    @property
    def processes(self) -> list[int]:
        """Ids of the workers that were started."""
        return [process for lane in self._lanes for process in (lane.executor._processes or {})]

    def close(self) -> None:
        """End the workers, also in the middle of a call."""
        for lane in self._lanes:
            _end(lane.executor)


def _end(executor: ProcessPoolExecutor) -> None:
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5)
