"""Training quantized models: the loop over batches is one compiled TensorFlow program."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path

import keras
import numpy as np

from core.dataset import Dataset
from core.errors import Cancelled, TrainingError
from core.events import Monitor
from core.quant.checkpoints import Checkpoint, fingerprint
from core.quant.losses import Loss
from core.quant.pruning import Pruning
from core.quant.schedules import NoiseSchedule, RateSchedule
from core.quant.training_loop import Loop, frozen


@dataclass(frozen=True)
class TrainOptions:
    """How to train: Adam with a cosine from `learning_rate` to 0, unless `schedule` says otherwise.

    `patience` stops after so many epochs without a better validation loss (0: never); the best epoch's
    weights are kept in any case. `loss` maps (targets, outputs) to one value an event (see
    `core.quant.losses.compiled_loss`); None: that of the dataset's task. `freeze` names layers, or patterns
    of names, that are not trained. `noise` lets the quantization error in by and by; None: at once.
    """

    epochs: int = 10
    learning_rate: float = 1e-3
    batch_size: int = 1024
    seed: int = 0
    patience: int = 0
    loss: Loss | None = None
    schedule: RateSchedule = field(default_factory=RateSchedule)
    freeze: tuple[str, ...] = ()
    pruning: Pruning | None = None
    noise: NoiseSchedule | None = None


@dataclass
class History:
    """Mean training loss and validation loss of each epoch, and the epoch whose weights were kept (-1: the start)."""

    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = -1


def train(model: keras.Model, dataset: Dataset, options: TrainOptions, monitor: Monitor | None = None,
          checkpoint: Path | str | None = None) -> History:
    """Quantization-aware training in place, from the weights the model has (a warm start).

    The model's own regularization losses are added. The weights of the epoch with the least validation
    loss are kept, those at the start included; with pruning, only epochs that end with the wanted zeros
    count. The validation loss is always that of full quantization.

    Args:
        checkpoint: a file in which the state is kept, so that a training that was killed or stopped goes on
            there when it is started again from the same weights; the result is the same as that of a
            training that was never interrupted. The caller removes it when the result is stored.

    Raises:
        Cancelled: when asked to stop; the model then has the weights of the last epoch.
        TrainingError: the loss stopped being a number, or an option does not fit the model or dataset.
    """
    return _Training(model, dataset, options, monitor or Monitor(), Path(checkpoint) if checkpoint else None).run()


class _Training:
    def __init__(self, model: keras.Model, dataset: Dataset, options: TrainOptions, monitor: Monitor,
                 checkpoint: Path | None) -> None:
        self._model, self._dataset, self._options, self._monitor = model, dataset, options, monitor
        self._history = History()
        identity = _identity(model, dataset, options) if checkpoint else ""
        self._checkpoint = Checkpoint(checkpoint, identity, monitor)

    def run(self) -> History:
        with ExitStack() as stack:
            stack.enter_context(frozen(self._model, self._options.freeze))
            self._loop = Loop(self._model, self._dataset, self._options, self._monitor)
            stack.enter_context(self._loop.installed())
            if not self._continued():
                self._best = self._model.get_weights()
                self._best_loss = self._loop.validation_loss() if self._counts(-1) else np.inf
            while not self._finished():
                self._epoch(len(self._history.training_loss))
        self._model.set_weights(self._best)
        return self._history

    def _epoch(self, number: int) -> None:
        history = self._history
        try:
            self._monitor.check()
        except Cancelled:
            self._checkpoint.save(self._state())
            raise
        training_loss = self._loop.epoch(number)
        if not np.isfinite(training_loss):
            self._model.set_weights(self._best)
            raise TrainingError("training did not converge", "the loss is not a number any more",
                                "Lower the learning rate, or give the layers more bits")
        history.training_loss.append(training_loss)
        history.validation_loss.append(self._loop.validation_loss())
        if self._counts(number) and history.validation_loss[-1] < self._best_loss:
            self._best, self._best_loss = self._model.get_weights(), history.validation_loss[-1]
            history.best_epoch = number
        self._monitor.progress("training, epochs", number + 1, self._options.epochs)
        if self._checkpoint.due:
            self._checkpoint.save(self._state())

    def _counts(self, epoch: int) -> bool:
        """True where the weights after an epoch (-1: at the start) may be the result: their zeros are those wanted."""
        return epoch >= self._loop.first_complete_epoch or self._options.epochs == 0

    def _finished(self) -> bool:
        done = len(self._history.training_loss)
        since = max(self._history.best_epoch, self._loop.first_complete_epoch - 1)
        return done >= self._options.epochs or bool(self._options.patience and done
                                                    and done - 1 - since >= self._options.patience)

    # -- checkpoints -------------------------------------------------------------------------------------

    def _state(self) -> dict[str, np.ndarray]:
        history = self._history
        state = {f"best/{i}": value for i, value in enumerate(self._best)}
        return {**self._loop.state(), **state, "best_loss": np.float64(self._best_loss),
                "best_epoch": np.int64(history.best_epoch),
                "training_loss": np.array(history.training_loss, np.float64),
                "validation_loss": np.array(history.validation_loss, np.float64)}

    def _continued(self) -> bool:
        """Take up where a checkpoint of this training ends; False where there is none."""
        state = self._checkpoint.load()
        if state is None:
            return False
        self._loop.restore(state)
        self._best = [state[f"best/{i}"] for i in range(len(self._model.get_weights()))]
        self._best_loss = float(state["best_loss"])
        self._history = History(state["training_loss"].tolist(), state["validation_loss"].tolist(),
                                int(state["best_epoch"]))
        self._monitor.log(f"training goes on after epoch {len(self._history.training_loss)}"
                          f" of {self._options.epochs}")
        return True


def _identity(model: keras.Model, dataset: Dataset, options: TrainOptions) -> str:
    """Tells one training from another: options, model, weights it starts from, and events."""
    chosen = [f"{item.name}={getattr(options, item.name)}" for item in fields(options) if item.name != "loss"]
    loss = getattr(options.loss, "__qualname__", "")
    events = f"{dataset.hash} {len(dataset.x_train)} {len(dataset.x_val)}"
    described = json.loads(model.to_json())["config"]
    described.pop("name", None)  # Keras numbers the names of models within a process
    return fingerprint(*chosen, loss, json.dumps(described, sort_keys=True), events, *model.get_weights())
