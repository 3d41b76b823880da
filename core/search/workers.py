"""Workers of a search, wherever they are: calls go out as workers come free, and lost ones are made again."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Self

from core.dataset import Dataset
from core.errors import Cancelled, SearchError, WorkerDiedError
from core.events import Monitor
from core.quant.recipe import Recipe
from core.search.worker import Setup

#: how often a lost task is tried again
RETRIES = 2
#: memory of a worker in bytes before it holds any events, measured: TensorFlow, a model, its compiled program
WORKER_BYTES = 800 * 2**20
#: copies of the events that a worker holds: as read, as scaled, as TensorFlow's
COPIES = 4
#: what a task generator gives where it has none before more results are in
NONE_NOW = None

_END: Any = object()
Task = tuple[Any, tuple[Any, ...]]


class Workers(ABC):
    """Makes calls of `core.search.worker.Worker` in processes. A kind of workers says how one call is made.

    Attributes:
        setup: what each worker builds.
        workers: how many there are; of some kinds it changes.
        ordered: True where results are taken in the order of their calls, so that the seed decides all.
    """

    ordered = True

    def __init__(self, setup: Setup, workers: int) -> None:
        self.setup = setup
        self.workers = workers
        self._lost = 0

    # -- what a kind of workers says -----------------------------------------------------------------------

    @abstractmethod
    def submit(self, call: str, *arguments: Any, shape: Any = None) -> Future[Any]:
        """Make one call, where there is least to do; of a shape, where there is a program for it."""

    @abstractmethod
    def ready(self, monitor: Monitor) -> list[dict[str, Any]]:
        """Have workers build their programs; `Worker.facts` of those that have. Raises SearchError, Cancelled."""

    @abstractmethod
    def close(self) -> None:
        """Let the workers go, also in the middle of a call."""

    def settle(self) -> None:  # noqa: B027  most kinds have nothing to do
        """Wait until every worker is as fast as it will be; a measurement of speed does, a search need not."""

    def prepare(self, monitor: Monitor) -> None:  # noqa: B027
        """What has to be done before the first of several calls."""

    def again(self, error: BaseException) -> bool:
        """True where a call that ended so was lost with its worker and is to be made again."""
        return False

    def failed(self, error: BaseException) -> BaseException:
        """The error of a call that is not made again, as it is told."""
        return error

    def watch(self, monitor: Monitor) -> None:  # noqa: B027
        """Called again and again while calls are under way."""

    @property
    def ahead(self) -> int:
        """How many calls are made beyond one a worker, so that none waits for the next."""
        return 1

    def kept(self, value: Any) -> Any:
        """A large value as an argument of many calls: something to be given in its place."""
        return value

    # -- the same for all ----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def each(self, call: str, tasks: Iterable[Task | None], monitor: Monitor,
             patient: bool = True) -> Iterator[tuple[Any, Any]]:
        """Make a call for each (key, arguments) as workers come free; gives (key, result, or the exception it raised).

        A task of NONE_NOW means that there is none before a result is taken. Asks for no more when the monitor is
        stopping; what is still under way is given, unless not `patient`. An argument that is a recipe of other
        numbers of units goes where its program is.

        Raises:
            Cancelled: the user stops the job, and `patient` is False.
            WorkerDiedError: workers die again and again.
        """
        self.prepare(monitor)
        waiting, running = iter(tasks), dict[Future[Any], Task]()
        while True:
            if monitor.stopping and not patient:
                raise Cancelled
            ended = False
            self.watch(monitor)
            while len(running) < self.workers + self.ahead and not monitor.stopping:
                task = next(waiting, _END)
                ended = task is _END
                if task is None or task is _END:
                    break
                running[self._submitted(call, task)] = task
            if not running:
                if ended or monitor.stopping:
                    return
                continue
            yield from self._done(call, running)

    def all(self, call: str, arguments: Sequence[tuple[Any, ...]], monitor: Monitor) -> list[Any]:
        """The results of a call for each of the arguments; raises what a call raised, and as `each`, not patient."""
        found: dict[int, Any] = {}
        for key, result in self.each(call, enumerate(arguments), monitor, patient=False):
            if isinstance(result, BaseException):
                raise result
            found[key] = result
        if len(found) < len(arguments):
            raise Cancelled
        return [found[number] for number in range(len(arguments))]

    def _submitted(self, call: str, task: Task) -> Future[Any]:
        return self.submit(call, *task[1], shape=self._shape(task[1]))

    def _done(self, call: str, running: dict[Future[Any], Task]) -> Iterator[tuple[Any, Any]]:
        """What has come in, in the order it was asked for; a call whose worker died is made again."""
        done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in [future for future in running if future in done]:
            task = running.pop(future)
            error = future.exception()
            if error is not None and self.again(error):
                self._lost += 1
                if self._lost > RETRIES * (self.workers + 1):
                    raise WorkerDiedError("the workers of the search died again and again",
                                          remedy="Free some memory, and resume the search") from error
                running[self._submitted(call, task)] = task
            else:
                self._lost = 0
                yield task[0], future.result() if error is None else self.failed(error)

    def _shape(self, arguments: tuple[Any, ...]) -> Any:
        if self.setup.shaped and arguments and isinstance(arguments[0], Recipe):
            from core.search.shapes import shape_of

            return shape_of(arguments[0])
        return None


def fitting(workers: int, memory: int, each: int) -> int:
    """How many of `workers` that take `each` bytes fit into `memory` bytes (0: no limit); raises SearchError for none.
    """
    if not memory:
        return workers
    if memory < each:
        raise SearchError("the search does not fit into its memory",
                          f"a worker takes {each / 2**30:.1f} GiB, and {memory / 2**30:.1f} GiB are allowed",
                          "Allow more memory, or use fewer events")
    return min(workers, memory // each)


def fits(memory: int, dataset: Dataset) -> None:
    """Raise SearchError where one trainer of a dataset does not fit into so many bytes (0: no limit)."""
    fitting(1, memory, WORKER_BYTES + COPIES * bytes_of(dataset))


def bytes_of(dataset: Dataset) -> int:
    """Size of the events."""
    return sum(part.nbytes for part in (dataset.x_train, dataset.x_val, dataset.x_test))


def single(workers: int) -> bool:
    """True where so many workers (0: one a core) are one, which then needs no process of its own."""
    return (workers or cores()) == 1


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
