"""Gradient search: one training in which bit widths are trained too, and a whole front of snapshots of it.

The weight of the cost, beta, grows during the run, so that the network gives up bits in the order of what they
are worth. The learning rate falls to 0 again and again (arXiv:1608.03983), and each time the network is looked at:
a snapshot that no earlier one beats in validation accuracy and EBOPs is a candidate. With several workers there are
as many lanes: states of the same compiled program, each with its part of the growth of beta, trained side by side.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import keras
import msgspec
import numpy as np

from core.arrays import Arrays
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
RAMP = (0.02, 35.0)
#: at the start of a cycle, at the start and end of a run; a cycle ends with 0
LEARNING_RATE = (5e-3, 1.2e-2)
#: share of the values of events that may be above the largest one of their format, at the start and end of a run
OVERFLOW = (1 / 2048, 1 / 24)
#: cycles of a run, one snapshot each in every lane, where nothing else is asked for
CYCLES = 32
#: events a step, and steps an epoch at least, where there are few events
BATCH, STEPS = 256, 32
#: lanes at most; more share the memory of the processor, not its cores
LANES = 4
#: how far the parts of the lanes together are longer than the whole growth of beta
OVERLAP = 1.23


@dataclass(frozen=True)
class Snapshot:
    """A network with its widths in whole bits."""

    state: State
    counted: Mapping[tuple[str, str], Counted]
    recipe: Recipe
    costs: Costs
    validation_accuracy: float
    beta: float


class GradientTrainer:
    """Trains the weights and widths of one model, in lanes.

    Args:
        model: the float model; not changed.
        project: names the model's layers and the recipe that is kept where no width is trained.
        dataset: what it is trained and judged on.
        request: granularity, beta, epochs, seed, frozen layers, number of workers.
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
                                       min(BATCH, max(len(dataset.x_train) // STEPS, 1)), way or request.way)
        first = self.program.measured(self.program.start())
        #: one for each lane
        self.states = [first] * min(request.workers or _cores(), LANES)
        wanted = max((request.trials or CYCLES * len(self.states)) // len(self.states), 1)
        #: epochs of a cycle of the learning rate; a snapshot is taken at its end
        self.cycle = -(-self._epochs // min(wanted, self._epochs))
        self.betas = tuple(request.beta) or self._default_betas(first)

    def _default_betas(self, state: State) -> tuple[float, float]:
        first = max(self._priced(state)[2].ebops or 0, 1)
        return RAMP[0] / first, RAMP[1] / first

    def _along(self, ends: Sequence[float], epoch: float, lane: int) -> float:
        """A number that grows by the same factor in each epoch, at a time in a lane."""
        lanes = len(self.states)
        length = min(OVERLAP / lanes, 1.0)
        begin = lane * (1.0 - length) / max(lanes - 1, 1)
        return float(ends[0] * (ends[1] / ends[0]) ** (begin + length * epoch / self._epochs))

    def beta(self, epoch: float, lane: int = 0) -> float:
        """The weight of the cost in a lane at a time."""
        return self._along(self.betas, epoch, lane)

    def rate(self, epoch: float, lane: int = 0) -> float:
        """The learning rate at a time: a cosine down to 0 in each cycle."""
        done = (epoch % self.cycle) / self.cycle
        return self._along(LEARNING_RATE, epoch, lane) * 0.5 * (1 + math.cos(math.pi * done))

    def train(self, first: int, last: int) -> float:
        """All lanes from one epoch to another, side by side; the mean loss of their last epochs."""
        with ThreadPoolExecutor(len(self.states)) as pool:
            losses = list(pool.map(lambda lane: [self.epoch(number, lane) for number in range(first, last)][-1],
                                   range(len(self.states))))
        return float(np.mean(losses))

    def epoch(self, number: int, lane: int = 0) -> float:
        """One pass of a lane over the training events; the mean loss."""
        program, random = self.program, np.random.default_rng((self._seed, number, lane))
        order = random.permutation(program.events)[: program.steps * program.batch]
        times = [number + step / program.steps for step in range(program.steps)]
        rows = np.zeros((program.steps, 1, 3), np.float32)
        rows[:, 0, 0] = [self.beta(time, lane) for time in times]
        rows[:, 0, 1] = [self._along(OVERFLOW, time, lane) for time in times]
        rates = np.array([self.rate(time, lane) for time in times], np.float32)
        self.states[lane], loss = program.train(self.states[lane], rows, rates, order)
        return loss

    def snapshot(self, beta: float, lane: int = 0, name: str = "") -> Snapshot:
        """The network of a lane as it is now."""
        state = self.states[lane]
        counted, recipe, costs = self._priced(state, name)
        x, y = self._dataset.x_val, self._dataset.y_val
        figure = self._objective.figure(x, y, self._outputs(state, x))
        return Snapshot(state, counted, recipe, costs, figure, beta)

    def _priced(self, state: State, name: str = "") -> tuple[Mapping[tuple[str, str], Counted], Recipe, Costs]:
        counted = self.program.counted(state)
        recipe = recipe_of(self._base, self.widths, counted, name)
        return counted, recipe, self._ebops.priced(recipe, counted)

    def _outputs(self, state: State, x: Arrays) -> Arrays:
        return self.program.outputs(state, np.zeros((1, 3), np.float32), x)

    def candidate(self, snapshot: Snapshot, identity: str, seconds: float,
                  training: Mapping[str, float]) -> tuple[Candidate, dict[str, np.ndarray]]:
        """What is stored of a snapshot: the candidate, judged on the test events, and its weights."""
        outputs = self._outputs(snapshot.state, self._dataset.x_test)
        candidate = Candidate(
            id=identity, recipe=snapshot.recipe.renamed(identity), costs=snapshot.costs, seconds=seconds,
            evaluation=judged(self._objective, self._dataset, outputs, "trained"), created=now(), method=GRADIENT,
            seed=self._seed, versions=versions(), training={
                **training, "learning_rate": LEARNING_RATE[1], "batch_size": float(self.program.batch),
                "beta": snapshot.beta, "validation_accuracy": snapshot.validation_accuracy})
        return candidate, self.program.stored(snapshot.state)

    # -- kept on disk ------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """All of the states, to go on from."""
        return {f"{lane}-{number:04d}": np.asarray(value) for lane, state in enumerate(self.states)
                for number, value in enumerate(_flat(state))}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave."""
        count = len(_flat(self.states[0]))
        self.states = [self.program.restored([arrays[f"{lane}-{number:04d}"] for number in range(count)])
                       for lane in range(len(self.states))]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        asked = msgspec.json.encode([
            msgspec.structs.replace(self.request, project="", trials=None, seconds=None, workers=0),
            len(self.trainer.states), self.trainer.cycle])
        self._mark = fingerprint(asked, self.project.recipe.to_json(), self.project.info.source_hash)
        self._path = self.project.folder / "checkpoints" / f"gradient-{self._mark[:32]}.npz"
        self._checkpoint = Checkpoint(self._path, self._mark, self.monitor)
        self._budget = Budget(None, self.request.seconds)
        self._front = Front()
        #: snapshots of this very run that the project holds already, by epoch and lane
        self._known: dict[tuple[int, int], Candidate] = {}

    def run(self) -> list[str]:
        """Train to the end, storing snapshots."""
        done, epochs = self._resume(), self.request.epochs
        try:
            while done < epochs and not self._budget.spent:
                self.monitor.check()
                started = time.monotonic()
                last = min(done + self.trainer.cycle, epochs)
                if not np.isfinite(self.trainer.train(done, last)):
                    raise SearchError("the training of widths came to no number", f"in epoch {done + 1}",
                                      "Start with a smaller beta")
                done = last
                for lane in range(len(self.trainer.states)):
                    self._look(done, lane, started)
                if self._checkpoint.due:
                    self._save(done)
                self.monitor.progress("search, epochs", done, epochs)
        except Cancelled:
            self._save(done)
            self.monitor.log(f"search stopped after {len(self.added)} candidates")
            return self.added
        if done >= epochs:
            self._path.unlink(missing_ok=True)
        else:
            self._save(done)
        return self.added

    def _save(self, epoch: int) -> None:
        self._checkpoint.save({**self.trainer.arrays(), "epoch": np.array(epoch)})

    def _resume(self) -> int:
        """The first epoch that is still to be done."""
        mark = _number(self._mark)
        for candidate in self.project.candidates():
            if candidate.method == GRADIENT and candidate.training.get("run") == mark:
                place = int(candidate.training["epochs"]), int(candidate.training["lane"])
                self._known[place] = candidate
                self._front.add(candidate.id, _point(candidate.training["validation_accuracy"], candidate.costs))
        kept = self._checkpoint.load()
        if kept is None:
            return 0
        epoch = int(kept.pop("epoch"))
        self.trainer.restore(kept)
        self.monitor.log(f"the search goes on after epoch {epoch}")
        return epoch

    def _look(self, epoch: int, lane: int, started: float) -> None:
        """Store the network of a lane as it is, where it is on the front."""
        if (epoch, lane) in self._known:
            return
        snapshot = self.trainer.snapshot(self.trainer.beta(epoch, lane), lane)
        identity = self.project.new_candidate_id()
        if not self._front.add(identity, _point(snapshot.validation_accuracy, snapshot.costs)):
            return
        candidate, weights = self.trainer.candidate(snapshot, identity, time.monotonic() - started, {
            "epochs": float(epoch), "lane": float(lane), "run": _number(self._mark)})
        candidate = self.project.add_candidate(candidate, weights)
        self.added.append(identity)
        self._budget.done += 1
        self.monitor.candidate(candidate)


def _point(accuracy: float, costs: Costs) -> Sequence[float]:
    return accuracy, float(costs.ebops or 0)


def _number(mark: str) -> float:
    """A fingerprint as a number that a float holds exactly."""
    return float(int(mark[:12], 16))
