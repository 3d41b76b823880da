"""Worker processes that train candidates side by side, one thread each. Needs no TensorFlow here."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.dataset import Dataset
from core.errors import Cancelled, SearchError, WorkerDiedError
from core.events import Monitor
from core.quant.recipe import Recipe
from core.search.space import SearchSpace
from core.search.trainer import NOTHING, Extras, Trained

#: how often a lost task is tried again
RETRIES = 2
#: memory of a worker in bytes before it holds any events, measured: TensorFlow, a model, its compiled program
WORKER_BYTES = 800 * 2**20
#: copies of the events that a worker holds: as read, as scaled, as TensorFlow's
COPIES = 4
#: the note of a training that says how long it took
SECONDS = "seconds"
#: what a task generator gives where it has none before more results are in
NONE_NOW = None


@dataclass(frozen=True)
class Setup:
    """What a worker builds its program from; `way` as of `Program`.

    `compiled` False takes Keras's own training; `shaped` is for spaces with several numbers of units. Where `way` is
    a `trial`, another one is taken when the program cannot be compiled by it.
    """

    model: str
    data: str
    space: SearchSpace
    learning_rate: float = 5e-3
    batch_size: int = 512
    way: str = ""
    compiled: bool = True
    shaped: bool = False
    trial: bool = False
    seed: int = 0
    extras: Extras = NOTHING


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


class Pool:
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
        self._setup = setup
        self.memory = memory
        self.workers = fitting(workers or _cores(), memory, WORKER_BYTES + COPIES * events_bytes)
        ways = self._ways()
        self._agreed = len(ways) == 1
        self._lanes = [_Lane(self._started(way)) for way, _ in zip(itertools.cycle(ways), range(self.workers))]
        self._lost = 0

    def _ways(self) -> tuple[str, ...]:
        """What workers try in turn: of two workers each compiles and times one way, and the faster is for both."""
        open_ = self._setup.compiled and not self._setup.shaped and not self._setup.way
        return ("xla", "graph") if open_ and self.workers > 1 else ("",)

    def _started(self, way: str = "") -> ProcessPoolExecutor:
        setup = replace(self._setup, way=way or self._setup.way, trial=bool(way))
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"),
                                   initializer=_begin, initargs=(setup, os.getpid()))

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, call: str, *arguments: Any, shape: Any = None) -> Future[Any]:
        """One call of the functions below, by name, where there is least to do; a worker that died is replaced."""
        lane = self._lane(shape)
        try:
            future = lane.executor.submit(_call, call, arguments)
        except BrokenProcessPool:
            lane.executor = self._started()
            future = lane.executor.submit(_call, call, arguments)
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

    def each(self, call: str, tasks: Iterable[tuple[Any, tuple[Any, ...]] | None], monitor: Monitor,
             patient: bool = True) -> Iterator[tuple[Any, Any]]:
        """Make a call for each (key, arguments) as workers come free; gives (key, result, or the exception it raised).

        A task of NONE_NOW means that there is none before a result is taken. Asks for no more when the monitor is
        stopping; what is still under way is given, unless not `patient`. An argument that is a recipe of other
        numbers of units goes where its program is.

        Raises:
            Cancelled: the user stops the job, and `patient` is False.
            WorkerDiedError: workers die again and again.
        """
        if not self._agreed:
            self.ready(monitor)
        waiting, running = iter(tasks), dict[Future[Any], tuple[Any, tuple[Any, ...]]]()
        while True:
            if monitor.stopping and not patient:
                raise Cancelled
            ended = False
            while len(running) < self.workers + 1 and not monitor.stopping:
                task = next(waiting, _END)
                ended = task is _END
                if task is None or task is _END:
                    break
                running[self.submit(call, *task[1], shape=self._shape(task[1]))] = task  # type: ignore[index,assignment]
            if not running:
                if ended or monitor.stopping:
                    return
                continue
            yield from self._done(call, running)

    def _done(self, call: str, running: dict[Future[Any], tuple[Any, tuple[Any, ...]]]) -> Iterator[tuple[Any, Any]]:
        """What has come in, in the order it was asked for; a call whose worker died is made again."""
        done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in [future for future in running if future in done]:
            task = running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                self._lost += 1
                if self._lost > RETRIES * (self.workers + 1):
                    raise WorkerDiedError("the workers of the search died again and again",
                                          remedy="Free some memory, and resume the search") from error
                running[self.submit(call, *task[1], shape=self._shape(task[1]))] = task
            else:
                self._lost = 0
                yield task[0], error or future.result()

    def _shape(self, arguments: tuple[Any, ...]) -> Any:
        if self._setup.shaped and arguments and isinstance(arguments[0], Recipe):
            from core.search.shapes import shape_of

            return shape_of(arguments[0])
        return None

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

    def ready(self, monitor: Monitor) -> list[dict[str, Any]]:
        """Have every worker build its program; facts of each. Workers that take too much memory are ended.

        Raises:
            SearchError: one worker alone takes more memory than there may be.
        """
        futures = [lane.executor.submit(_call, "facts", ()) for lane in self._lanes]
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
        self._setup = replace(self._setup, way=best)
        for lane, fact in zip(self._lanes, facts, strict=True):
            if fact["way"] != best:
                lane.preparing = lane.executor.submit(_call, "use", (best,))
            fact |= {"way": best, "timings": timings}

    def settle(self) -> None:
        """Wait until every worker has compiled the way agreed on; a measurement of speed does, a search need not."""
        wait([lane.preparing for lane in self._lanes])

    @property
    def processes(self) -> list[int]:
        """Ids of the workers that were started."""
        return [process for lane in self._lanes for process in (lane.executor._processes or {})]

    def close(self) -> None:
        """End the workers, also in the middle of a call."""
        for lane in self._lanes:
            _end(lane.executor)


_END: Any = object()


def _end(executor: ProcessPoolExecutor) -> None:
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5)


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
    return (workers or _cores()) == 1


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- in a worker -----------------------------------------------------------------------------------------

_setup: Setup | None = None
_trainer: Any = None
_import_seconds = 0.0


def _begin(setup: Setup, parent: int) -> None:
    global _setup
    _setup = setup
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _ready() -> Any:
    """This worker's trainer, built on first use."""
    global _trainer, _import_seconds
    if _trainer is None:
        assert _setup is not None
        started = time.monotonic()
        import tensorflow as tf

        from core.loading import dataset_of, model_of

        _import_seconds = time.monotonic() - started
        model = model_of(_setup.model)

        with contextlib.suppress(RuntimeError):  # TensorFlow is running already
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        data = dataset_of(_setup.data)
        try:
            made = trainer_for(_setup, model, data)
            made.prepare(_setup.space)
        except (tf.errors.OpError, ValueError, NotImplementedError):
            if not _setup.trial:
                raise
            made = trainer_for(replace(_setup, way=""), model, data)
            made.prepare(_setup.space)
        _trainer = made
    return _trainer


def trainer_for(setup: Setup, model: Any, dataset: Any) -> Any:
    """The trainer that a setup asks for; imports TensorFlow."""
    def make(model: Any) -> Any:
        if setup.compiled:
            from core.search.compiled_trainer import CompiledTrainer

            return CompiledTrainer(model, dataset, setup.learning_rate, setup.batch_size, setup.way, setup.extras)
        from core.search.keras_trainer import KerasTrainer

        return KerasTrainer(model, dataset, extras=setup.extras)

    if not setup.shaped:
        return make(model)
    from core.search.shaped_trainer import ShapedTrainer

    return ShapedTrainer(model, dataset, make, setup.seed)


def _call(name: str, arguments: tuple[Any, ...]) -> Any:
    return _CALLS[name](*arguments)


def _space() -> SearchSpace:
    return _ready().space


def _facts() -> dict[str, Any]:
    """How this worker runs: memory it took; of a compiled program the way it chose, seconds a step of each way,
    seconds to compile, steps an epoch; and seconds that importing TensorFlow took."""
    trainer = _ready()
    facts = {"settings": dict(trainer.settings), "peak_bytes": peak_bytes(), "process": os.getpid(),
             "import_seconds": _import_seconds}
    program = getattr(trainer, "program", None)
    if program is not None:
        facts |= {"way": program.way, "timings": program.timings, "compile_seconds": program.compile_seconds,
                  "steps": program.steps}
    return facts


def peak_bytes() -> int:
    """The most memory this process ever held; 0 where the system does not tell."""
    with contextlib.suppress(OSError), Path("/proc/self/status").open(encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmHWM:"):  # getrusage would count what the parent held when it started us
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _use(way: str) -> None:
    _ready().program.use(way)


def _share(epochs: int, seed: int) -> list[np.ndarray]:
    return _ready().share(epochs, seed, Monitor())


def _proxies(shared: Sequence[np.ndarray], points: Sequence[Mapping[str, int]]) -> np.ndarray:
    return _ready().proxies(shared, points)


def _train(recipe: Recipe, seed: int, epochs: int, shared: Sequence[np.ndarray] | None,
           weights: Mapping[str, np.ndarray] | None) -> Trained:
    trainer = _ready()
    start = shared if weights is None else trainer.state_of(weights)
    given = {} if start is None else {"start": start}
    started = time.monotonic()
    trained = trainer.train(recipe, seed, epochs, Monitor(), **given)
    return replace(trained, notes={**trained.notes, SECONDS: time.monotonic() - started})


def _sensitivity(recipe: Recipe) -> list[Any]:
    from core.loading import dataset_of, model_of
    from core.quant.sensitivities import sensitivity

    assert _setup is not None
    return sensitivity(model_of(_setup.model), recipe, dataset_of(_setup.data))


_CALLS: dict[str, Any] = {"space": _space, "facts": _facts, "use": _use, "share": _share, "proxies": _proxies,
                          "train": _train, "sensitivity": _sensitivity}
