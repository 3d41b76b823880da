"""What one worker of a search computes, whichever process it is in. TensorFlow is imported on first use."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.dataset import Dataset
from core.events import Monitor
from core.quant.recipe import Recipe
from core.search.space import SearchSpace
from core.search.trainer import NOTHING, Extras, Trained

#: the note of a training that says how long it took
SECONDS = "seconds"
#: what a search asks of its workers; a method of `Worker` each
CALLS = frozenset({"space", "facts", "use", "share", "proxies", "train", "sensitivity"})
#: threads that libraries start by themselves are one, set before any of them is imported
_ONE_THREAD = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


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


class Worker:
    """Answers calls by name; its trainer is built by the first.

    Args:
        setup: what to build.
        data: the events, where they are not to be read from `setup.data`.
    """

    def __init__(self, setup: Setup, data: Dataset | None = None) -> None:
        self.setup = setup
        self._data = data
        self._trainer: Any = None
        self._import_seconds = 0.0

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """One of `CALLS`."""
        if name not in CALLS:
            raise ValueError(f"no call of a worker: {name!r}")
        return getattr(self, name)(*arguments)

    @property
    def trainer(self) -> Any:
        """Built on first use."""
        if self._trainer is None:
            self._trainer = self._built()
        return self._trainer

    def _built(self) -> Any:
        one_thread()
        started = time.monotonic()
        from core.loading import bring_in_tensorflow

        bring_in_tensorflow()
        import tensorflow as tf

        self._import_seconds = time.monotonic() - started
        with contextlib.suppress(RuntimeError):  # TensorFlow is running already
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        model, data = self._sources()
        try:
            made = trainer_for(self.setup, model, data)
            made.prepare(self.setup.space)
        except (tf.errors.OpError, ValueError, NotImplementedError):
            if not self.setup.trial:
                raise
            made = trainer_for(replace(self.setup, way=""), model, data)
            made.prepare(self.setup.space)
        return made

    def _sources(self) -> tuple[Any, Dataset]:
        from core.loading import dataset_of, model_of

        return model_of(self.setup.model), self._data or dataset_of(self.setup.data, self.setup.model)

    # -- calls -------------------------------------------------------------------------------------------

    def space(self) -> SearchSpace:
        """The space, with open integer bits chosen."""
        return self.trainer.space

    def facts(self) -> dict[str, Any]:
        """How this worker runs: memory it took; of a compiled program the way it chose, seconds a step of each way,
        seconds to compile, steps an epoch; and seconds that importing TensorFlow took."""
        trainer = self.trainer
        facts = {"settings": dict(trainer.settings), "peak_bytes": peak_bytes(), "process": os.getpid(),
                 "import_seconds": self._import_seconds}
        program = getattr(trainer, "program", None)
        if program is not None:
            facts |= {"way": program.way, "timings": program.timings, "compile_seconds": program.compile_seconds,
                      "steps": program.steps}
        return facts

    def use(self, way: str) -> None:
        """Compile by another way."""
        self.trainer.program.use(way)

    def share(self, epochs: int, seed: int) -> list[np.ndarray]:
        """Train weights that serve every recipe."""
        return self.trainer.share(epochs, seed, Monitor())

    def proxies(self, shared: Sequence[np.ndarray], points: Sequence[Mapping[str, int]]) -> np.ndarray:
        """The figure of each point with those weights, untrained."""
        return self.trainer.proxies(shared, points)

    def train(self, recipe: Recipe, seed: int, epochs: int, shared: Sequence[np.ndarray] | None,
              weights: Mapping[str, np.ndarray] | None) -> Trained:
        """A candidate, from a candidate's weights, from shared ones, or else from the float model's."""
        trainer = self.trainer
        start = shared if weights is None else trainer.state_of(weights)
        given = {} if start is None else {"start": start}
        started = time.monotonic()
        trained = trainer.train(recipe, seed, epochs, Monitor(), **given)
        return replace(trained, notes={**trained.notes, SECONDS: time.monotonic() - started})

    def sensitivity(self, recipe: Recipe) -> list[Any]:
        """What quantizing each parameter alone costs."""
        model, data = self._sources()
        from core.quant.sensitivities import sensitivity

        return sensitivity(model, recipe, data)


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


def one_thread() -> None:
    """Have libraries of this process that are not imported yet compute in one thread."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


# -- a process of its own ----------------------------------------------------------------------------------

_worker: Worker | None = None


def begin(setup: Setup, parent: int) -> None:
    """Make this process a worker that ends with its parent, however that ends."""
    global _worker
    _worker = Worker(setup)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    one_thread()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def call(name: str, arguments: tuple[Any, ...]) -> Any:
    """A call of this process's worker."""
    assert _worker is not None
    return _worker.call(name, arguments)
