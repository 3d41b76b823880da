"""Worker processes that train candidates side by side, one thread each. Needs no TensorFlow here."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import Cancelled, WorkerDiedError
from core.events import Monitor
from core.quant.recipe import Recipe
from core.search.space import SearchSpace
from core.search.trainer import Trained

#: how often a lost task is tried again
RETRIES = 2


@dataclass(frozen=True)
class Setup:
    """What a worker builds its program from; `way` as of `Program`."""

    model: str
    data: str
    space: SearchSpace
    learning_rate: float = 5e-3
    batch_size: int = 512
    way: str = ""


class Pool:
    """Runs trainer calls in `workers` processes; they end with this process, however it ends.

    Where a worker is killed those beside it end too; all calls under way are made again in new workers.
    """

    def __init__(self, setup: Setup, workers: int = 0) -> None:
        self.workers = workers or _cores()
        self._setup = setup
        self._executor = self._started()

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn"),
                                   initializer=_begin, initargs=(self._setup, os.getpid()))

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, call: str, *arguments: Any) -> Future[Any]:
        """One call of the functions below, by name; in new workers where one of the present ones died."""
        try:
            return self._executor.submit(_call, call, arguments)
        except BrokenProcessPool:
            self._executor = self._started()
            return self._executor.submit(_call, call, arguments)

    def each(self, call: str, tasks: Iterable[tuple[Any, tuple[Any, ...]]], monitor: Monitor,
             patient: bool = True) -> Iterator[tuple[Any, Any]]:
        """Make a call for each (key, arguments) as workers come free; gives (key, result, or the exception it raised).

        Asks for no more when the monitor is stopping; what is still under way is given, unless not `patient`.

        Raises:
            Cancelled: the user stops the job, and `patient` is False.
            WorkerDiedError: workers die again and again.
        """
        waiting, running, lost = iter(tasks), dict[Future[Any], tuple[Any, tuple[Any, ...]]](), 0
        while True:
            if monitor.stopping and not patient:
                raise Cancelled
            while len(running) < self.workers + 1 and not monitor.stopping:
                task = next(waiting, None)
                if task is None:
                    break
                running[self.submit(call, *task[1])] = task
            if not running:
                return
            done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
            for future in [future for future in running if future in done]:  # as they were asked for
                task = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    lost += 1
                    if lost > RETRIES * (self.workers + 1):
                        raise WorkerDiedError("the workers of the search died again and again",
                                              remedy="Free some memory, and resume the search") from error
                    running[self.submit(call, *task[1])] = task
                else:
                    yield task[0], error or future.result()

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

    def close(self) -> None:
        """End the workers, also in the middle of a call."""
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5)


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- in a worker -----------------------------------------------------------------------------------------

_setup: Setup | None = None
_trainer: Any = None


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
    global _trainer
    if _trainer is None:
        assert _setup is not None
        from core.loading import dataset_of, model_of

        model = model_of(_setup.model)
        import tensorflow as tf

        from core.search.compiled_trainer import CompiledTrainer

        with contextlib.suppress(RuntimeError):  # TensorFlow is running already
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        _trainer = CompiledTrainer(model, dataset_of(_setup.data), _setup.learning_rate, _setup.batch_size,
                                   _setup.way)
        _trainer.prepare(_setup.space)
    return _trainer


def _call(name: str, arguments: tuple[Any, ...]) -> Any:
    return _CALLS[name](*arguments)


def _space() -> SearchSpace:
    return _ready().space


def _facts() -> dict[str, Any]:
    """How this worker runs: the way it chose, seconds a step of each, seconds to compile, steps an epoch."""
    trainer = _ready()
    program = trainer.program
    return {"way": program.way, "timings": program.timings, "compile_seconds": program.compile_seconds,
            "steps": program.steps, "settings": dict(trainer.settings)}


def _share(epochs: int, seed: int) -> list[np.ndarray]:
    return _ready().share(epochs, seed, Monitor())


def _proxies(shared: Sequence[np.ndarray], points: Sequence[Mapping[str, int]]) -> np.ndarray:
    return _ready().proxies(shared, points)


def _train(recipe: Recipe, seed: int, epochs: int, shared: Sequence[np.ndarray] | None,
           weights: Mapping[str, np.ndarray] | None) -> Trained:
    trainer = _ready()
    start = shared if weights is None else trainer.state_of(weights)
    return trainer.train(recipe, seed, epochs, Monitor(), start)


_CALLS: dict[str, Any] = {"space": _space, "facts": _facts, "share": _share, "proxies": _proxies, "train": _train}
