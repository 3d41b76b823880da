"""What a method asks to have trained, and the two sorts of methods: plans, and Optuna's samplers. TensorFlow-free.

A plan is a generator: it yields lists of tasks and is sent their figures (None for one that failed), in that order.
Plans hold nothing that has to be stored: resumed, they are gone through again from the start, and what is known
already is answered at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.model_info import ModelInfo
from core.quant.recipe import Recipe
from core.search.objectives import Goal, Measures
from core.search.space import SearchSpace
from core.search.study import Proposal, Study

Point = Mapping[str, int]
Figures = Mapping[str, float]
#: (layer, parameter) -> how much of the metric quantizing that alone costs, under a recipe
Sensitivities = Callable[[Recipe], Mapping[tuple[str, str], float]]


@dataclass(frozen=True)
class Task:
    """A point to train for so many epochs. A proxy's result steers the method and is never a candidate."""

    values: dict[str, int]
    epochs: int
    proxy: bool = False
    number: int = -1


Plan = Generator[Sequence[Task], Sequence[Figures | None], None]


@dataclass(frozen=True)
class Context:
    """What a plan knows. `blocks` are patterns of layer names that AutoQKeras's schedule goes by."""

    space: SearchSpace
    info: ModelInfo
    goal: Goal
    measures: Measures
    seed: int
    epochs: int
    blocks: Sequence[str]
    sensitivities: Sensitivities

    def random(self, *place: int) -> np.random.Generator:
        """A stream of its own for each place in a plan."""
        return np.random.default_rng((self.seed, *place))

    def drawn(self, random: np.random.Generator) -> dict[str, int]:
        """A random point."""
        return {choice.key: int(random.integers(len(choice.options))) for choice in self.space.choices}

    def trained(self, point: Point) -> Task:
        """A task for a candidate."""
        return Task(dict(point), self.epochs)


class Method(Protocol):
    """Proposes tasks, and is told what came of each in the order they were asked."""

    def ask(self) -> Task | None:
        """The next task; None where there is none before more is told, or none at all when nothing is open."""
        ...

    def tell(self, task: Task, figures: Figures, candidate_id: str) -> None:
        """What a task came to; `candidate_id` is empty for a proxy."""
        ...

    def give_up(self, task: Task, reason: str) -> None:
        """A task has no result."""
        ...

    def put_back(self, task: Task) -> None:
        """A task was interrupted."""
        ...


class Planned:
    """A method by a plan; the study keeps what was tried."""

    def __init__(self, plan: Plan, study: Study, goal: Goal) -> None:
        self._plan, self._study, self._goal = plan, study, goal
        self._todo: deque[Task] = deque()
        self._results: list[Figures | None] = []
        self._open, self._begun = 0, False

    def ask(self) -> Task | None:
        """The next task of the batch; the plan goes on when all of it is told."""
        while not self._todo and not self._open:
            try:
                batch = self._plan.send(self._results) if self._begun else next(self._plan)
            except StopIteration:
                return None
            self._begun, self._results = True, []
            self._todo.extend(batch)
        if not self._todo:
            return None
        self._open += 1
        return self._todo.popleft()

    def tell(self, task: Task, figures: Figures, candidate_id: str) -> None:
        """Store and remember."""
        self._settle(figures)
        values = self._goal.values(figures)
        if candidate_id and not self._study.holds(task.values) and np.isfinite(values).all():
            self._study.add(task.values, values, candidate_id, self._goal.missed(figures))

    def give_up(self, task: Task, reason: str) -> None:
        """Remember that there is no result."""
        self._settle(None)

    def put_back(self, task: Task) -> None:
        """Nothing: a plan is gone through again."""

    def _settle(self, figures: Figures | None) -> None:
        self._open -= 1
        self._results.append(figures)


class Sampled:
    """A method by one of Optuna's samplers."""

    def __init__(self, study: Study, goal: Goal, epochs: int) -> None:
        self._study, self._goal, self._epochs = study, goal, epochs
        self._proposals: dict[int, Proposal] = {}

    def ask(self) -> Task | None:
        """What the sampler proposes."""
        proposal = self._study.ask()
        self._proposals[proposal.number] = proposal
        return Task(proposal.values, self._epochs, number=proposal.number)

    def tell(self, task: Task, figures: Figures, candidate_id: str) -> None:
        """Store; a candidate whose objectives are no numbers is given up."""
        values = self._goal.values(figures)
        if not np.isfinite(values).all():
            self.give_up(task, "an objective is not a number")
            return
        self._study.tell(self._proposals.pop(task.number), values, candidate_id, self._goal.missed(figures))

    def give_up(self, task: Task, reason: str) -> None:
        """Store that it is not to be tried again."""
        self._study.give_up(self._proposals.pop(task.number), reason)

    def put_back(self, task: Task) -> None:
        """The next run of the study asks it first, unless it was told already."""
        proposal = self._proposals.pop(task.number, None)
        if proposal is not None:
            self._study.put_back(proposal)
