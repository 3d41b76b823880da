"""The search loop: ask, train, store, tell, then say so. Everything already stored survives whatever comes.

Several tasks may be under way. They are asked and settled in one order, whichever ends first, and each is asked when
as many are open as workers can take: what a method proposes depends on its seed and the number of workers alone. On a
cluster, whose workers come and go, nothing waits for the slowest: there tasks are settled as they come in.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.candidate import Candidate
from core.errors import Cancelled, QuantiscopeError
from core.events import Event, LogLine, Monitor, Progress
from core.project import Project, now
from core.quant.recipe import Recipe
from core.requests import Search
from core.search.engine import Budget, Setting, point_key
from core.search.objectives import VALIDATION, cost_figures, validation_figures
from core.search.space import anchors
from core.search.tasks import Figures, Method, Sampled, Task
from core.search.trainer import Trained, Trainer
from core.search.worker import SECONDS
from core.versions import versions

#: failures in a row after which the cause is not the candidate
MAX_FAILURES = 3
#: tasks in a row that are known already after which the space counts as exhausted
MAX_REPEATS = 200

Key = tuple[tuple[tuple[str, int], ...], int]


class Crew(Protocol):
    """Who trains: some `core.search.workers.Workers`, or `Here`."""

    @property
    def workers(self) -> int:
        """How many tasks are done at a time, now."""
        ...

    @property
    def ahead(self) -> int:
        """How many tasks more it takes, where it has several workers."""
        ...

    @property
    def ordered(self) -> bool:
        """True where tasks are settled in the order they were asked, though that may wait for the first of them."""
        ...

    def each(self, call: str, tasks: Iterable[tuple[Any, tuple[Any, ...]] | None],
             monitor: Monitor) -> Iterator[tuple[Any, Any]]:
        """As `Workers.each`."""
        ...

    def all(self, call: str, arguments: list[tuple[Any, ...]], monitor: Monitor) -> list[Any]:
        """As `Workers.all`."""
        ...


class Here:
    """A crew of one trainer in this process, which is stopped and paused between epochs."""

    workers = ahead = 1
    ordered = True

    def __init__(self, trainer: Trainer, monitor: Monitor, budget: Budget, model: str, data: str) -> None:
        self._trainer, self._monitor, self._budget = trainer, monitor, budget
        self._model, self._data = model, data

    def each(self, call: str, tasks: Iterable[tuple[Any, tuple[Any, ...]] | None],
             monitor: Monitor) -> Iterator[tuple[Any, Any]]:
        """One after another; a candidate's own error is its result. Raises Cancelled."""
        inner = self._inner()
        for task in tasks:
            if task is None:
                inner.check()
                continue
            key, (recipe, seed, epochs, *_) = task
            try:
                result: Any = self._trainer.train(recipe, seed, epochs, inner)
            except QuantiscopeError as error:
                result = error
            yield key, result

    def all(self, call: str, arguments: list[tuple[Any, ...]], monitor: Monitor) -> list[Any]:
        """Sensitivities, which are all that methods ask for beside trainings."""
        assert call == "sensitivity"
        from core.loading import dataset_of, model_of

        model, dataset = model_of(self._model), dataset_of(self._data, self._model)
        from core.quant.sensitivities import sensitivity

        return [sensitivity(model, recipe, dataset, self._inner()) for recipe, in arguments]

    def _inner(self) -> Monitor:
        """What the trainer speaks to: its log and its stopping are the search's, its epochs are not progress."""
        def emit(event: Event) -> None:
            if isinstance(event, LogLine):
                self._monitor.log(event.text, event.level, event.source)
            elif isinstance(event, Progress):
                self._budget.report(self._monitor)

        return Monitor(emit, cancelled=lambda: self._monitor.stopping,
                       paused=lambda: self._budget.count_pause(self._monitor.waiting))


@dataclass(eq=False)
class _Entry:
    """A task under way; `result` is what training gave, `known` that nothing has to be trained.

    `twin` is another under way of the same key, whose result it takes.
    """

    task: Task
    started: float
    known: bool = False
    twin: _Entry | None = None
    result: Any = None
    told: bool = False

    @property
    def key(self) -> Key:
        return point_key(self.task.values), self.task.epochs

    @property
    def settled(self) -> bool:
        return (self.known and (self.twin is None or self.twin.told)) or self.result is not None


@dataclass
class Loop:
    """One run; `settings` are the trainers'. The result of `run` is that of `engine.run_search`."""

    project: Project
    request: Search
    monitor: Monitor
    budget: Budget
    setting: Setting
    crew: Crew
    settings: Mapping[str, float]
    added: list[str] = field(default_factory=list)
    known: dict[Key, Candidate] = field(default_factory=dict)
    open: deque[_Entry] = field(default_factory=deque)
    failures: int = 0
    repeats: int = 0
    proxied: int = 0

    def run(self) -> list[str]:
        """Search until the budget is spent, nothing is left to try, or the user stops it."""
        space = self.setting.space
        self.method: Method = self.setting.method(self.project, self.request, self._sensitivities)
        self._adopt()
        if isinstance(self.method, Sampled):
            self.setting.study.enqueue(anchors(space))
        self.monitor.log(f"search by {self.request.method} in a space of {space.size:.3g} recipes,"
                         f" {len(self.known)} known, {self.request.epochs} epochs each")
        self.budget.report(self.monitor)
        try:
            with contextlib.suppress(Cancelled):
                for entry, result in self.crew.each("train", self._tasks(), self.monitor):
                    entry.result = result
            while self._settle():
                pass
        finally:
            for entry in reversed(self.open):
                self.method.put_back(entry.task)
        if self.monitor.stopping:
            self.monitor.log(f"search stopped after {len(self.added)} candidates")
        return self.added

    # -- asking ------------------------------------------------------------------------------------------

    def _tasks(self) -> Iterator[tuple[_Entry, tuple[Any, ...]] | None]:
        """Trainings for the crew, as far as there are any before more is settled."""
        while True:
            window = self.crew.workers + (self.crew.ahead if self.crew.workers > 1 else 0)
            under_way = sum(not entry.task.proxy and not entry.known for entry in self.open)
            ended = self._exhausted or self._over(under_way)
            task = None if ended or len(self.open) >= window else self.method.ask()
            if task is None:
                if self.open:
                    if not self._settle():
                        yield None
                    continue
                if not ended:
                    self.monitor.log("there is nothing left to try: the search ends here")
                return
            entry = _Entry(task, time.monotonic())
            entry.twin = next((other for other in self.open if other.key == entry.key), None)
            entry.known = entry.twin is not None or entry.key in self.known or self._proxy(task) is not None
            self.open.append(entry)
            if not entry.known:
                recipe = self.setting.space.decode(task.values)
                yield entry, (recipe, self.request.seed, task.epochs, None, None)

    def _over(self, under_way: int) -> bool:
        """True where no more is to be asked; waits while paused."""
        while self.budget.count_pause(self.monitor.waiting) and not self.monitor.stopping:
            time.sleep(0.05)
        return self.monitor.stopping or self.budget.spent_with(under_way)

    def _proxy(self, task: Task) -> Figures | None:
        return self.setting.study.proxy(task.values, task.epochs) if task.proxy else None

    @property
    def _exhausted(self) -> bool:
        size = self.setting.space.size
        return self.repeats >= len(self.known) + self.setting.study.proxies + min(MAX_REPEATS, 4 * size)

    def _sensitivities(self, recipe: Recipe) -> dict[tuple[str, str], float]:
        found = self.crew.all("sensitivity", [(recipe,)], self.monitor)[0]
        return {(one.layer, one.parameter): one.metric_drop for one in found}

    # -- settling ----------------------------------------------------------------------------------------

    def _settle(self) -> bool:
        """Store and tell the task that was asked first, or any of an unordered crew; False where none has come in."""
        found = next((entry for entry in itertools.islice(self.open, 1 if self.crew.ordered else None)
                      if entry.settled), None)
        if found is None:
            return False
        self._settle_one(found)
        self.open.remove(found)
        found.told = True
        return True

    def _settle_one(self, entry: _Entry) -> None:
        if entry.known:
            self._tell_known(entry)
        elif isinstance(entry.result, QuantiscopeError):
            self._failed(entry.task, entry.result)
        elif isinstance(entry.result, BaseException):
            raise entry.result
        else:
            self.repeats = self.failures = 0
            tell = self._tell_proxy if entry.task.proxy else self._tell_candidate
            tell(entry, entry.result)
            self.budget.report(self.monitor)

    def _tell_known(self, entry: _Entry) -> None:
        self.repeats += 1
        if self._exhausted:
            self.monitor.log("every further proposal is known already: the search ends here")
        found = self._proxy(entry.task)
        candidate = self.known.get(entry.key)
        if found is not None:
            self.method.tell(entry.task, found, "")
        elif candidate is not None:
            self.method.tell(entry.task, self._figures(candidate), candidate.id)
        else:
            self.method.give_up(entry.task, "the same point failed")

    def _failed(self, task: Task, error: QuantiscopeError) -> None:
        self.method.give_up(task, str(error))
        self.monitor.log(f"a candidate failed: {error}", "warning")
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            raise error

    def _tell_proxy(self, entry: _Entry, trained: Trained) -> None:
        costs = self.setting.measures.costs(self.setting.space.decode(entry.task.values), trained.exact or None)
        figures = {**trained.validation, "accuracy": trained.validation_accuracy, **cost_figures(costs)}
        self.setting.study.add_proxy(entry.task.values, entry.task.epochs, figures)
        self.method.tell(entry.task, figures, "")
        self.proxied += 1

    def _tell_candidate(self, entry: _Entry, trained: Trained) -> None:
        candidate = self._stored(entry, trained)
        self.known[entry.key] = candidate
        self.method.tell(entry.task, self._figures(candidate), candidate.id)
        self.added.append(candidate.id)
        self.budget.done += 1
        self.monitor.candidate(candidate)

    def _stored(self, entry: _Entry, trained: Trained) -> Candidate:
        identity = self.project.new_candidate_id()
        recipe = self.setting.space.decode(entry.task.values, identity)
        notes = dict(trained.notes)
        seconds = notes.pop(SECONDS, time.monotonic() - entry.started)
        candidate = Candidate(
            id=identity, recipe=recipe, evaluation=trained.evaluation, seconds=seconds, created=now(),
            costs=self.setting.measures.costs(recipe, trained.exact or None), method=self.request.method,
            seed=self.request.seed, versions=versions(),
            training={**self.settings, "epochs": entry.task.epochs, **notes, **training_figures(trained)})
        self.project.add_candidate(candidate, trained.weights)
        return self.project.candidate(identity)

    # -- what is known -----------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """What the project holds of this space counts as known and is not computed again."""
        unmeasured = 0
        for candidate in self.project.candidates():
            values = self.setting.space.encode(candidate.recipe)
            if values is None or candidate.training.get("epochs") != self.request.epochs:
                continue
            if all(map(math.isfinite, self.setting.goal.values(self._figures(candidate)))):
                self.known[point_key(values), self.request.epochs] = candidate
            else:
                unmeasured += 1
        if unmeasured:
            self.monitor.log(f"{unmeasured} candidates were trained before for other objectives; what these ask for"
                             " was not measured of them", source="search")
        if isinstance(self.method, Sampled):
            self.setting.study.enqueue(dict(point) for point, _ in self.known)

    def _figures(self, candidate: Candidate) -> Figures:
        """What the method is told of a candidate; estimates that it was stored without are made now."""
        estimated = self.setting.measures.figures(candidate.recipe, built=False)
        return {**estimated, **validation_figures(candidate)}


def training_figures(trained: Trained) -> dict[str, float]:
    """Figures on validation events as `Candidate.training` holds them."""
    return {**{VALIDATION + name: float(value) for name, value in trained.validation.items()},
            VALIDATION + "accuracy": float(trained.validation_accuracy)}

