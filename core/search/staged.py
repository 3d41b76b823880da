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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import NSGAIISampler

from core.candidate import Candidate
from core.energy import price
from core.errors import Cancelled, QuantiscopeError, SearchError
from core.events import Monitor
from core.npz import read_npz
from core.project import Project, now
from core.requests import Search
from core.search.engine import MAX_FAILURES, Budget, check_request, compilable, objectives, point_key, requested_space
from core.search.front import Front
from core.search.pool import Pool, Setup
from core.search.space import SearchSpace, anchors
from core.search.study import Study
from core.search.trainer import Trained
from core.versions import versions

#: passes over the training events for the weights that serve all recipes
SHARED_EPOCHS = 20
#: proxies of one generation, and how many generations precede the first training
GENERATION, GENERATIONS = 48, 6
#: candidates trained after each round of proxies
ROUND = 16
#: a refined candidate is trained for this many times the epochs of a first one
REFINED = 4
#: rounds without anything new after which the space counts as exhausted
BARREN = 3

Point = Mapping[str, int]


def run_staged(project: Project, request: Search, monitor: Monitor) -> list[str]:
    """Run or resume a project's staged search; as `engine.run_search`.

    Raises:
        SearchError: empty space, no budget, or options that one program cannot hold.
        ProjectError: the project cannot be written.
    """
    check_request(request, project)
    if not compilable(project, request):
        raise SearchError("a staged search cannot hold these options",
                          "an output mixes kinds that are its activation with others, or a layer is to be pruned",
                          "Search by nsga2, or give each output one sort of quantizer")
    budget = Budget(request.trials, request.seconds)
    space = requested_space(project, request)
    with Pool(Setup(str(project.model_path), project.data_reference, space), request.workers) as pool:
        monitor.stage("compile")
        space = pool.all("space", [()] * pool.workers, monitor)[0]  # each worker builds its program
        facts = pool.all("facts", [()], monitor)[0]
        monitor.log(f"{pool.workers} workers, {facts['steps']} steps an epoch, each"
                    + "".join(f" {1e3 * seconds:.2f} ms as {way}" for way, seconds in facts["timings"].items())
                    + f"; {facts['way']} it is", source="search")
        study = Study(project.study_url, space, request.method, request.seed)
        return Staged(project, request, monitor, space, study, budget, pool, facts["settings"]).run()


@dataclass
class Staged:
    """One run; see the module. The result of `run` is that of `engine.run_search`."""

    project: Project
    request: Search
    monitor: Monitor
    space: SearchSpace
    study: Study
    budget: Budget
    pool: Pool
    settings: Mapping[str, float]
    added: list[str] = field(default_factory=list)
    known: dict[Any, Candidate] = field(default_factory=dict)
    refined: set[Any] = field(default_factory=set)
    failures: int = 0

    def run(self) -> list[str]:
        """Search until the budget is spent or the user stops it; ids of the candidates added."""
        try:
            self._adopt()
            self.monitor.stage("shared weights")
            self.shared = self.pool.all("share", [(SHARED_EPOCHS, self.request.seed)], self.monitor)[0]
            self.monitor.stage("search")
            self.proxies = Proxies(self.space, self.request.seed, self._proxy_accuracies, self._energy)
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
            if values is not None and "validation_accuracy" in candidate.training:
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
        chosen = self.proxies.chosen(ROUND, set(self.known))
        self._train([(point, None) for point in chosen], self.request.epochs)
        self._train(self._worth_refining(), self.request.epochs * REFINED)
        self.monitor.log(f"{self.proxies.count} proxies scored, {len(self.known)} recipes trained", "debug", "search")
        if len(self.added) == before:
            self.proxies.restart()
        return len(self.added) > before

    def _worth_refining(self) -> list[tuple[Point, str | None]]:
        """The trained front, as far as it was not trained for long yet."""
        front = Front()
        for key, candidate in self.known.items():
            front.add(str(key), objectives(candidate))
        by_name = {str(key): key for key in self.known}
        chosen = [by_name[name] for name, _ in front.members() if by_name[name] not in self.refined]
        return [(dict(key), self.known[key].id) for key in chosen[:ROUND]]

    def _train(self, tasks: Sequence[tuple[Point, str | None]], epochs: int) -> None:
        """Train points from the shared weights, or from a candidate's own, as long as the budget lasts."""
        started: dict[Any, float] = {}

        def calls() -> Iterator[tuple[Any, tuple[Any, ...]]]:
            for point, origin in tasks:
                if self._over(len(started)):
                    return
                recipe = self.space.decode(point)
                key = (point_key(point), origin)
                started[key] = time.monotonic()
                if origin is not None:
                    self.refined.add(key[0])
                    yield key, (recipe, self.request.seed, epochs, self.shared, self._weights(origin))
                else:
                    yield key, (recipe, self.request.seed, epochs, self.shared, None)

        for key, result in self.pool.each("train", calls(), self.monitor):
            begun = started.pop(key)
            if isinstance(result, BaseException):
                self._failed(result)
                continue
            self._keep(key[0], result, epochs, time.monotonic() - begun)
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

    def _keep(self, key: Any, trained: Trained, epochs: int, seconds: float) -> None:
        identity = self.project.new_candidate_id()
        recipe = self.space.decode(dict(key), identity)
        training = {**self.settings, "epochs": float(epochs), "shared_epochs": float(SHARED_EPOCHS),
                    "validation_accuracy": trained.validation_accuracy}
        candidate = Candidate(
            id=identity, recipe=recipe, evaluation=trained.evaluation, costs=price(self.project.info, recipe).costs,
            seconds=seconds, created=now(), method=self.request.method, seed=self.request.seed, versions=versions(),
            training=training)
        candidate = self.project.add_candidate(candidate, trained.weights)
        if key not in self.known:
            self.study.add(dict(key), objectives(candidate), candidate.id)
        self._know(dict(key), candidate)
        self.added.append(candidate.id)
        self.failures = 0
        self.budget.done += 1
        self.monitor.candidate(candidate)

    def _know(self, values: Point, candidate: Candidate) -> None:
        key = point_key(values)
        best = self.known.get(key)
        if best is None or objectives(candidate)[0] >= objectives(best)[0]:
            self.known[key] = candidate

    def _over(self, ahead: int = 0) -> bool:
        """True where the budget is spent, `ahead` candidates under way counted; waits while paused."""
        while self.budget.count_pause(self.monitor.waiting) and not self.monitor.stopping:
            time.sleep(0.05)
        if self.monitor.stopping:
            raise Cancelled
        return self.budget.spent_with(ahead)

    def _energy(self, point: Point) -> float:
        return price(self.project.info, self.space.decode(point)).costs.energy_pj

    def _proxy_accuracies(self, points: Sequence[Point]) -> np.ndarray:
        parts = [list(points[i::self.pool.workers]) for i in range(self.pool.workers)]
        found = np.zeros(len(points))
        for i, scores in enumerate(self.pool.all("proxies", [(self.shared, part) for part in parts], self.monitor)):
            found[i::self.pool.workers] = scores
        return found


class Proxies:
    """NSGA-II over points that cost a few milliseconds each.

    Args:
        space: nothing open.
        seed: of everything drawn.
        accuracies: gives (points,) accuracies of points.
        energy: gives the cost of a point in pJ.
    """

    def __init__(self, space: SearchSpace, seed: int, accuracies: Any, energy: Any) -> None:
        self._space, self._seed = space, seed
        self._accuracies, self._energy = accuracies, energy
        self._distributions: dict[str, Any] = {c.key: CategoricalDistribution(range(len(c.options)))
                                               for c in space.choices}
        self._scores: dict[Any, tuple[float, float]] = {}
        self.generations = self.count = 0
        self._study = self._new_study()

    def _new_study(self) -> optuna.Study:
        sampler = NSGAIISampler(population_size=GENERATION, seed=self._seed + self.generations)
        return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

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
            for point, accuracy in zip(new, self._accuracies(new), strict=True):
                self._scores[point_key(point)] = float(accuracy), self._energy(point)
            self.count += len(new)
        for trial, point in zip(trials, points, strict=True):
            self._study.tell(trial, list(self._scores[point_key(point)]))
        self.generations += 1

    def _front(self, without: set[Any] | None = None) -> list[Any]:
        front = Front()
        names = {}
        for key, scores in self._scores.items():
            if not without or key not in without:
                names[str(key)] = key
                front.add(str(key), scores)
        return [names[name] for name, _ in front.members()]

    def chosen(self, count: int, known: set[Any]) -> list[Point]:
        """At most `count` points not known yet: the front of those, evenly along the logarithm of the cost."""
        front = self._front(known)
        if len(front) > count:
            costs = np.log([self._scores[key][1] for key in front])
            wanted = np.linspace(costs.max(), costs.min(), count)
            places = dict.fromkeys(int(np.abs(costs - value).argmin()) for value in wanted)
            front = [front[place] for place in places]
        return [dict(key) for key in front]
