"""The staged search: cheap scores of many, training of few, more training of the best. Needs no TensorFlow here.

1. Weights that serve every recipe are trained once, with quantizers drawn anew at each step.
2. NSGA-II looks for the front among proxies: accuracies with those weights, untrained. They are never
   stored as candidates nor shown as trained.
3. The front of the proxies is trained briefly from the shared weights, its best half for longer, and so on
   (successive halving); each trained network is a candidate, stored before it is told.
4. While the budget lasts, NSGA-II goes on from what was trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import NSGAIISampler
from optuna.study import StudyDirection

from core.candidate import Candidate
from core.errors import Cancelled, QuantiscopeError, SearchError
from core.events import Monitor
from core.npz import read_npz
from core.project import Project, now
from core.requests import Search
from core.search.engine import (
    Budget,
    Setting,
    check_request,
    compilable,
    point_key,
    setting,
    told_of,
    workers_of,
)
from core.search.front import Front
from core.search.loop import MAX_FAILURES, training_figures
from core.search.objectives import COSTS, Builder, Goal, is_lowered, validation_figures
from core.search.space import SearchSpace, anchors
from core.search.trainer import Trained
from core.search.worker import SECONDS
from core.search.workers import Workers
from core.versions import versions

#: passes over the training events for the weights that serve all recipes
SHARED_EPOCHS = 10
#: proxies of one generation, and how many generations precede the first training
GENERATION, GENERATIONS = 64, 12
#: candidates trained after each round of proxies
ROUND = 12
#: a refined candidate is trained for this many times the epochs of a first one
REFINED = 3
#: rounds without anything new after which the space counts as exhausted
BARREN = 3

Point = Mapping[str, int]


def run_staged(project: Project, request: Search, monitor: Monitor, builder: Builder | None = None) -> list[str]:
    """Run or resume a project's staged search; as `engine.run_search`.

    Raises:
        SearchError: empty space, no budget, or options that one program cannot hold.
        ProjectError: the project cannot be written.
    """
    check_request(request, project)
    if not compilable(project, request):
        raise SearchError("a staged search cannot hold these options",
                          "an output mixes kinds that are its activation with others",
                          "Search by nsga2, or give each output one sort of quantizer")
    budget = Budget(request.trials, request.seconds)
    with workers_of(project, request, monitor) as workers:
        monitor.stage("compile")
        facts = workers.ready(monitor)[0]
        monitor.log(told_of(workers.workers, facts), source="search")
        chosen = setting(project, request, workers.all("space", [()], monitor)[0], builder)
        return Staged(project, request, monitor, chosen, budget, workers, facts["settings"]).run()


@dataclass
class Staged:
    """One run; see the module. The result of `run` is that of `engine.run_search`."""

    project: Project
    request: Search
    monitor: Monitor
    setting: Setting
    budget: Budget
    workers: Workers
    settings: Mapping[str, float]
    added: list[str] = field(default_factory=list)
    known: dict[Any, Candidate] = field(default_factory=dict)
    refined: set[Any] = field(default_factory=set)
    failures: int = 0

    @property
    def space(self) -> SearchSpace:
        return self.setting.space

    def run(self) -> list[str]:
        """Search until the budget is spent or the user stops it; ids of the candidates added."""
        try:
            self._adopt()
            self.monitor.stage("shared weights")
            self.shared = self.workers.kept(
                self.workers.all("share", [(SHARED_EPOCHS, self.request.seed)], self.monitor)[0])
            self.monitor.stage("search")
            self.proxies = Proxies(self.space, self.request.seed, self.setting.goal, self._proxy_figures)
            self.proxies.tell(anchors(self.space))
            barren = 0
            while barren < BARREN and not self._over():
                barren = 0 if self._round() else barren + 1
            if barren:
                self.monitor.log("nothing new is found any more: the search ends here")
        except Cancelled:
            self.monitor.log(f"search stopped after {len(self.added)} candidates")
        return self.added

    def _adopt(self) -> None:
        for candidate in self.project.candidates():
            values = self.space.encode(candidate.recipe)
            if values is not None and np.isfinite(self._values(candidate)).all():
                self._know(values, candidate)
                if candidate.training.get("epochs", 0) >= self.request.epochs * REFINED:
                    self.refined.add(point_key(values))

    def _round(self) -> bool:
        """Proxies, and training of the best; False where there was nothing new to train."""
        before = len(self.added)
        generations = GENERATIONS if not self.proxies.generations else GENERATIONS // 2
        for _ in range(generations):
            self.monitor.check()
            self.proxies.generation()
            self.budget.report(self.monitor)
            if self._over():
                break
        chosen = self.proxies.chosen(self._round_size, set(self.known))
        self._train([(point, None) for point in chosen], self.request.epochs)
        self._train(self._worth_refining(), self.request.epochs * REFINED)
        self.monitor.log(f"{self.proxies.count} proxies scored, {len(self.known)} recipes trained", "debug", "search")
        if len(self.added) == before:
            self.proxies.restart()
        return len(self.added) > before

    @property
    def _round_size(self) -> int:
        """Candidates of a round: enough for all workers."""
        return max(ROUND, self.workers.workers)

    def _worth_refining(self) -> list[tuple[Point, str | None]]:
        """The trained front, as far as it was not trained for long yet."""
        front = Front(self.setting.goal.directions)
        for key, candidate in self.known.items():
            if self.setting.goal.kept(self._figures(candidate)):
                front.add(str(key), self._values(candidate))
        by_name = {str(key): key for key in self.known}
        chosen = [by_name[name] for name, _ in front.members() if by_name[name] not in self.refined]
        return [(dict(key), self.known[key].id) for key in chosen[:self._round_size]]

    def _train(self, tasks: Sequence[tuple[Point, str | None]], epochs: int) -> None:
        """Train points from the shared weights, or from a candidate's own, as long as the budget lasts."""
        asked: list[Any] = []
        done: dict[int, Any] = {}
        told = 0

        def calls() -> Iterator[tuple[Any, tuple[Any, ...]]]:
            for point, origin in tasks:
                if self._over(len(asked) - told):
                    return
                recipe = self.space.decode(point)
                asked.append(point_key(point))
                if origin is not None:
                    self.refined.add(asked[-1])
                weights = None if origin is None else self._weights(origin)
                yield len(asked) - 1, (recipe, self.request.seed, epochs, self.shared, weights)

        for number, result in self.workers.each("train", calls(), self.monitor):
            done[number] = result
            first = told if self.workers.ordered else number  # stored in the order they were asked: the seed decides
            while first in done:
                self._take(asked[first], done.pop(first), epochs)
                told, first = told + 1, first + 1

    def _take(self, key: Any, result: Any, epochs: int) -> None:
        if isinstance(result, BaseException):
            self._failed(result)
        else:
            self._keep(key, result, epochs)
            self.budget.report(self.monitor)

    def _weights(self, candidate_id: str) -> dict[str, np.ndarray]:
        return read_npz(self.project.weights_path(candidate_id))

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, QuantiscopeError):
            raise error
        self.failures += 1
        self.monitor.log(f"a candidate failed: {error}", "warning")
        if self.failures >= MAX_FAILURES:
            raise error

    def _keep(self, key: Any, trained: Trained, epochs: int) -> None:
        identity = self.project.new_candidate_id()
        recipe = self.space.decode(dict(key), identity)
        notes = dict(trained.notes)
        seconds = notes.pop(SECONDS, 0.0)
        training = {**self.settings, "epochs": float(epochs), "shared_epochs": float(SHARED_EPOCHS), **notes,
                    **training_figures(trained)}
        candidate = Candidate(
            id=identity, recipe=recipe, evaluation=trained.evaluation,
            costs=self.setting.measures.costs(recipe, trained.exact or None), seconds=seconds, created=now(),
            method=self.request.method, seed=self.request.seed, versions=versions(), training=training)
        self.project.add_candidate(candidate, trained.weights)
        candidate = self.project.candidate(identity)
        figures = self._figures(candidate)
        values = self.setting.goal.values(figures)
        if key not in self.known and np.isfinite(values).all():
            self.setting.study.add(dict(key), values, candidate.id, self.setting.goal.missed(figures))
        self._know(dict(key), candidate)
        self.added.append(candidate.id)
        self.failures = 0
        self.budget.done += 1
        self.monitor.candidate(candidate)

    def _know(self, values: Point, candidate: Candidate) -> None:
        """Of several trainings of one recipe the one counts that is best in the first quality."""
        key = point_key(values)
        best = self.known.get(key)
        if best is None or self.setting.goal.ranked([self._figures(best), self._figures(candidate)])[0] == 1 \
                or self._values(candidate) == self._values(best):
            self.known[key] = candidate

    def _figures(self, candidate: Candidate) -> Mapping[str, float]:
        estimated = self.setting.measures.figures(candidate.recipe, built=False)
        return {**estimated, **validation_figures(candidate)}

    def _values(self, candidate: Candidate) -> tuple[float, ...]:
        return self.setting.goal.values(self._figures(candidate))

    def _over(self, ahead: int = 0) -> bool:
        """True where the budget is spent, `ahead` candidates under way counted; waits while paused."""
        while self.budget.count_pause(self.monitor.waiting) and not self.monitor.stopping:
            time.sleep(0.05)
        if self.monitor.stopping:
            raise Cancelled
        return self.budget.spent_with(ahead)

    def _proxy_figures(self, points: Sequence[Point]) -> list[dict[str, float]]:
        """Figures of points with the shared weights; the task's figure stands for every other quality."""
        parts = [list(points[i::self.workers.workers]) for i in range(self.workers.workers)]
        found = np.zeros(len(points))
        for i, scores in enumerate(self.workers.all("proxies", [(self.shared, part) for part in parts], self.monitor)):
            found[i::self.workers.workers] = scores
        scored = [proxy_figures(self.setting, point, float(one)) for point, one in zip(points, found, strict=True)]
        self.monitor.proxies(scored)
        return scored


def proxy_figures(chosen: Setting, point: Point, figure: float) -> dict[str, float]:
    """What is known of an untrained point: `figure` for a quality to raise, its complement for one to lower."""
    qualities = {name: 1.0 - figure if is_lowered(name) else figure for name in chosen.goal.names - set(COSTS)}
    return {**chosen.measures.figures(chosen.space.decode(point)), **qualities, "accuracy": figure}


class Proxies:
    """NSGA-II over points that cost a few milliseconds each.

    Args:
        space: nothing open.
        seed: of everything drawn.
        goal: resolved.
        figures: gives the figures of each of several points.
    """

    def __init__(self, space: SearchSpace, seed: int, goal: Goal,
                 figures: Callable[[Sequence[Point]], list[dict[str, float]]]) -> None:
        self._space, self._seed = space, seed
        self._goal, self._figures = goal, figures
        self._distributions: dict[str, Any] = {c.key: CategoricalDistribution(range(len(c.options)))
                                               for c in space.choices}
        self._scores: dict[Any, tuple[tuple[float, ...], tuple[float, ...]]] = {}
        self.generations = self.count = 0
        self._study = self._new_study()

    def _new_study(self) -> optuna.Study:
        sampler = NSGAIISampler(population_size=GENERATION, seed=self._seed + self.generations)
        return optuna.create_study(directions=[StudyDirection[name.upper()] for name in self._goal.directions],
                                   sampler=sampler)

    def tell(self, points: Sequence[Point]) -> None:
        """Have these points among the first generation."""
        for point in points:
            self._study.enqueue_trial(dict(point))

    def restart(self) -> None:
        """Another population, with the best points known in it."""
        self._study = self._new_study()
        self.tell([dict(key) for key in self._front()][:GENERATION // 2])

    def generation(self) -> None:
        """Ask, score and tell one generation; a point scored before is not scored again."""
        trials = [self._study.ask(self._distributions) for _ in range(GENERATION)]
        points = [{name: int(value) for name, value in trial.params.items()} for trial in trials]
        new = list({key: dict(key) for key in map(point_key, points) if key not in self._scores}.values())
        if new:
            for point, figures in zip(new, self._figures(new), strict=True):
                self._scores[point_key(point)] = self._goal.values(figures), self._goal.violations(figures)
            self.count += len(new)
        for trial, point in zip(trials, points, strict=True):
            values, missed = self._scores[point_key(point)]
            for constraint, value in zip(self._goal.constraints, missed, strict=True):
                trial.set_constraint(str(constraint), value)
            self._study.tell(trial, list(values))
        self.generations += 1

    def _front(self, without: set[Any] | None = None) -> list[Any]:
        front = Front(self._goal.directions)
        names = {}
        for key, (values, missed) in self._scores.items():
            if (not without or key not in without) and all(value <= 0 for value in missed):
                names[str(key)] = key
                front.add(str(key), values)
        return [names[name] for name, _ in front.members()]

    def chosen(self, count: int, known: set[Any]) -> list[Point]:
        """At most `count` points not known yet: the front of those, evenly along the logarithm of the last objective;
        where none keeps the constraints, those that miss them least."""
        front = self._front(known)
        if not front:
            near = [key for key in self._scores if key not in known]
            return [dict(key) for key in sorted(near, key=lambda key: sum(self._scores[key][1]))[:count]]
        if len(self._goal.objectives) == 1:  # a front of one: the best follow it
            near = sorted((key for key, (_, missed) in self._scores.items() if key not in known
                           and all(value <= 0 for value in missed)), key=lambda key: self._scores[key][0][0],
                          reverse=self._goal.objectives[0].maximized)
            return [dict(key) for key in near[:count]]
        if len(front) > count:
            costs = np.log(np.maximum([self._scores[key][0][-1] for key in front], 1e-12))
            wanted = np.linspace(costs.max(), costs.min(), count)
            places = dict.fromkeys(int(np.abs(costs - value).argmin()) for value in wanted)
            front = [front[place] for place in places]
        return [dict(key) for key in front]
