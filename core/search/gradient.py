"""Gradient search: one training in which bit widths are trained too, and a whole front of snapshots of it.

The weight of the cost, beta, grows during the run, so that the network gives up bits in the order of what they
are worth. Each snapshot that no earlier one beats in validation accuracy and EBOPs is a candidate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import keras
import msgspec
import numpy as np

from core.candidate import Candidate, Costs
from core.dataset import Dataset
from core.errors import Cancelled, SearchError
from core.events import Monitor
from core.project import Project, now
from core.quant.checkpoints import Checkpoint, fingerprint
from core.quant.objectives import objective_of
from core.quant.recipe import Recipe
from core.requests import Search
from core.search.compiled_trainer import judged
from core.search.engine import Budget
from core.search.front import Front
from core.search.gradient_program import GradientProgram, WidthSwitches
from core.search.program import State
from core.search.samplers import GRADIENT
from core.search.widths import Counted, Ebops, plan, recipe_of, start_recipe
from core.versions import versions

#: beta at the start and end of a run, in units of 1 / EBOPs of the network at the start
RAMP = (0.02, 8.0)
LEARNING_RATE, LAST_RATE = 5e-3, 1.0
#: events a step, and steps an epoch at least, where there are few events
BATCH, STEPS = 1024, 32


@dataclass(frozen=True)
class Snapshot:
    """A network with its widths in whole bits; `state` is measured, so that no training event overflows."""

    state: State
    counted: Mapping[tuple[str, str], Counted]
    recipe: Recipe
    costs: Costs
    validation_accuracy: float
    beta: float


class GradientTrainer:
    """Trains the weights and widths of one model.

    Args:
        model: the float model; not changed.
        project: names the model's layers and the recipe that is kept where no width is trained.
        dataset: what it is trained and judged on.
        request: granularity, beta, epochs, seed, frozen layers.
        way: "xla", "graph", or "" for the faster.
    """

    def __init__(self, model: keras.Model, project: Project, dataset: Dataset, request: Search, way: str = "") -> None:
        self._dataset, self._epochs, self._seed = dataset, request.epochs, request.seed
        self._objective = objective_of(dataset)
        self._base = project.recipe
        self.widths = plan(project.info, self._base, request.granularity, request.frozen)
        start = start_recipe(self._base, self.widths)
        self._ebops = Ebops(project.info, start, self.widths)
        self._switches = WidthSwitches(self.widths, start)
        self.program = GradientProgram(self._switches.model(model, start), self._switches, self._ebops, dataset,
                                       min(BATCH, max(len(dataset.x_train) // STEPS, 1)), way)
        self.state = self.program.measured(self.program.start())
        self.betas = tuple(request.beta) or self._default_betas()

    def _default_betas(self) -> tuple[float, float]:
        first = max(self._priced(self.state)[2].ebops or 0, 1)
        return RAMP[0] / first, RAMP[1] / first

    def beta(self, epoch: float) -> float:
        """The weight of the cost at a time, growing by the same factor in each epoch."""
        first, last = self.betas
        return float(first * (last / first) ** (epoch / max(self._epochs, 1)))

    def rate(self, epoch: float) -> float:
        """The learning rate at a time: a cosine from LEARNING_RATE to a share LAST_RATE of it."""
        done = epoch / max(self._epochs, 1)
        return LEARNING_RATE * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))

    def epoch(self, number: int) -> float:
        """One pass over the training events; the mean loss."""
        program, random = self.program, np.random.default_rng((self._seed, number))
        order = random.permutation(program.events)[: program.steps * program.batch]
        rows = np.zeros((program.steps, 1, 3), np.float32)
        rows[:, 0, 0] = [self.beta(number + step / program.steps) for step in range(program.steps)]
        rates = np.array([self.rate(number + step / program.steps) for step in range(program.steps)], np.float32)
        self.state, loss = program.train(self.state, rows, rates, order)
        return loss

    def snapshot(self, beta: float, name: str = "") -> Snapshot:
        """The network as it is now."""
        state = self.state
        counted, recipe, costs = self._priced(state, name)
        x, y = self._dataset.x_val, self._dataset.y_val
        figure = self._objective.figure(x, y, self._outputs(state, x))
        return Snapshot(state, counted, recipe, costs, figure, beta)

    def _priced(self, state: State, name: str = "") -> tuple[Mapping[tuple[str, str], Counted], Recipe, Costs]:
        counted = self.program.counted(state)
        recipe = recipe_of(self._base, self.widths, counted, name)
        return counted, recipe, self._ebops.priced(recipe, counted)

    def _outputs(self, state: State, x: np.ndarray) -> np.ndarray:
        return self.program.outputs(state, np.zeros((1, 3), np.float32), x)

    def candidate(self, snapshot: Snapshot, identity: str, seconds: float,
                  training: Mapping[str, float]) -> tuple[Candidate, dict[str, np.ndarray]]:
        """What is stored of a snapshot: the candidate, judged on the test events, and its weights."""
        outputs = self._outputs(snapshot.state, self._dataset.x_test)
        candidate = Candidate(
            id=identity, recipe=snapshot.recipe.renamed(identity), costs=snapshot.costs, seconds=seconds,
            evaluation=judged(self._objective, self._dataset, outputs, "trained"), created=now(), method=GRADIENT,
            seed=self._seed, versions=versions(), training={
                **training, "learning_rate": LEARNING_RATE, "batch_size": float(self.program.batch),
                "beta": snapshot.beta, "validation_accuracy": snapshot.validation_accuracy})
        return candidate, self.program.stored(snapshot.state)

    # -- kept on disk ------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """All of the state, to go on from."""
        return {f"{number:04d}": np.asarray(value) for number, value in enumerate(_flat(self.state))}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave."""
        self.state = self.program.restored([arrays[f"{number:04d}"] for number in range(len(_flat(self.state)))])


def _flat(state: State) -> list[object]:
    return [*state.weights, *state.others, *state.first, *state.second, state.steps]


def run_gradient(project: Project, request: Search, model: keras.Model, dataset: Dataset,
                 monitor: Monitor, way: str = "") -> list[str]:
    """Run or resume a gradient search; the ids of the candidates added.

    Its length is the request's epochs, or ends when the seconds are spent; with `trials` there are at most so many
    snapshots, evenly along it. What a killed run has stored stays, and the same request goes on from its last
    checkpoint.

    Raises:
        SearchError: nothing to train, or a request that cannot be carried out.
        ProjectError: the project cannot be written.
    """
    monitor.stage("compile")
    trainer = GradientTrainer(model, project, dataset, request, way)
    program = trainer.program
    monitor.log(f"{program.steps} steps an epoch, each"
                + "".join(f" {1e3 * seconds:.2f} ms as {way}" for way, seconds in program.timings.items())
                + f"; {program.way} it is", source="search")
    monitor.stage("search")
    return _Run(project, request, trainer, monitor).run()


@dataclass
class _Run:
    project: Project
    request: Search
    trainer: GradientTrainer
    monitor: Monitor
    added: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        asked = msgspec.json.encode(msgspec.structs.replace(self.request, project="", trials=None, seconds=None))
        self._mark = fingerprint(asked, self.project.recipe.to_json(), self.project.info.source_hash)
        self._path = self.project.folder / "checkpoints" / f"gradient-{self._mark[:32]}.npz"
        self._checkpoint = Checkpoint(self._path, self._mark, self.monitor)
        self._budget = Budget(None, self.request.seconds)
        #: epochs between two snapshots
        self._every = -(-self.request.epochs // min(self.request.trials or self.request.epochs, self.request.epochs))
        self._front = Front()
        #: snapshots of this very run that the project holds already, by their epoch
        self._known: dict[int, Candidate] = {}

    def run(self) -> list[str]:
        """Train to the end, storing snapshots."""
        first = self._resume()
        try:
            for number in range(first, self.request.epochs):
                self.monitor.check()
                if self._budget.spent:
                    break
                started = time.monotonic()
                loss = self.trainer.epoch(number)
                if not np.isfinite(loss):
                    raise SearchError("the training of widths came to no number", f"in epoch {number + 1}",
                                      "Start with a smaller beta")
                if (number + 1) % self._every == 0 or number + 1 == self.request.epochs:
                    self._look(number + 1, started)
                if self._checkpoint.due:
                    self._checkpoint.save({**self.trainer.arrays(), "epoch": np.array(number + 1)})
                self.monitor.progress("gradient search, epochs", number + 1, self.request.epochs)
            else:
                self._path.unlink(missing_ok=True)
        except Cancelled:
            self._checkpoint.save({**self.trainer.arrays(), "epoch": np.array(number)})
            self.monitor.log(f"search stopped after {len(self.added)} candidates")
        return self.added

    def _resume(self) -> int:
        """The first epoch that is still to be done."""
        mark = _number(self._mark)
        for candidate in self.project.candidates():
            if candidate.method == GRADIENT and candidate.training.get("run") == mark:
                epoch = int(candidate.training["epochs"])
                self._known[epoch] = candidate
                self._front.add(candidate.id, _point(candidate.training["validation_accuracy"], candidate.costs))
        kept = self._checkpoint.load()
        if kept is None:
            return 0
        epoch = int(kept.pop("epoch"))
        self.trainer.restore(kept)
        self.monitor.log(f"the search goes on after epoch {epoch}")
        return epoch

    def _look(self, epoch: int, started: float) -> None:
        """Store the network as it is, where it is on the front."""
        if epoch in self._known:
            return
        snapshot = self.trainer.snapshot(self.trainer.beta(epoch))
        identity = self.project.new_candidate_id()
        if not self._front.add(identity, _point(snapshot.validation_accuracy, snapshot.costs)):
            return
        candidate, weights = self.trainer.candidate(
            snapshot, identity, time.monotonic() - started, {"epochs": float(epoch), "run": _number(self._mark)})
        candidate = self.project.add_candidate(candidate, weights)
        self.added.append(identity)
        self._budget.done += 1
        self.monitor.candidate(candidate)


def _point(accuracy: float, costs: Costs) -> Sequence[float]:
    return accuracy, float(costs.ebops or 0)


def _number(mark: str) -> float:
    """A fingerprint as a number that a float holds exactly."""
    return float(int(mark[:12], 16))
