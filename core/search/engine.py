"""The search loop: ask, train, store, tell, then say so. Everything already stored survives whatever comes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.candidate import Candidate
from core.energy import price
from core.errors import Cancelled, QuantiscopeError, SearchError
from core.events import Event, LogLine, Monitor, Progress
from core.project import Project, now
from core.quant.calibration import Calibration
from core.requests import Search
from core.search.autoqkeras import autoqkeras_space
from core.search.samplers import GRADIENT, check_method
from core.search.space import SearchSpace, anchors, build_space, switchable
from core.search.study import Proposal, Study
from core.search.trainer import Trained, Trainer
from core.search.widths import check_widths
from core.versions import versions

#: failures in a row after which the cause is not the candidate
MAX_FAILURES = 3
#: proposals in a row that are known already after which the space counts as exhausted
MAX_REPEATS = 200


@dataclass
class Budget:
    """Candidates and seconds that may be spent; paused time is free."""

    trials: int | None
    seconds: float | None
    done: int = 0
    _started: float = field(default_factory=time.monotonic)
    _paused: float = 0.0
    _waiting_since: float | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started - self._paused

    def count_pause(self, waiting: bool) -> bool:
        """Take the time between two calls, of which the first was told True, off what is spent."""
        now = time.monotonic()
        if self._waiting_since is not None:
            self._paused += now - self._waiting_since
        self._waiting_since = now if waiting else None
        return waiting

    @property
    def spent(self) -> bool:
        """True where another candidate would, at the mean rate so far, end more than half of itself too late."""
        return self.spent_with(0)

    def spent_with(self, ahead: int) -> bool:
        """As `spent`, with so many candidates under way."""
        if self.trials is not None and self.done + ahead >= self.trials:
            return True
        if self.seconds is None:
            return False
        if not self.done:  # a search whose start-up alone outlasts its budget still gives one candidate
            return ahead > 0 and self.elapsed > self.seconds
        return self.elapsed * (1 + 0.5 / self.done) > self.seconds

    def report(self, monitor: Monitor) -> None:
        """Emit progress in whichever measure ends first."""
        by_time = self.elapsed / self.seconds if self.seconds else 0.0
        by_count = self.done / self.trials if self.trials else 0.0
        if self.seconds and by_time >= by_count:
            monitor.progress("search, seconds", min(self.elapsed, self.seconds), self.seconds)
        elif self.trials:
            monitor.progress("search, candidates", self.done, self.trials)


def run_search(project: Project, request: Search, trainer: Trainer, monitor: Monitor) -> list[str]:
    """Run or resume a project's search until its budget is spent or the user stops it.

    Each candidate is in the project and its study before its event is emitted. The sampler is told the
    validation accuracy and the energy; the stored evaluation is on the test events.

    Returns:
        Ids of the candidates added, in order; a stopped search returns those it finished.

    Raises:
        SearchError: empty space, no budget, unknown method, or nothing can be trained.
        ProjectError: the project cannot be written.
    """
    check_request(request, project)
    budget = Budget(request.trials, request.seconds)
    space = search_space(project, request, trainer)
    trainer.prepare(space)
    study = Study(project.study_url, space, request.method, request.seed)
    loop = _Loop(project, request, trainer, monitor, space, study, budget)
    return loop.run()


def check_request(request: Search, project: Project) -> None:
    """Raise what `run_search` would raise for a request that cannot be carried out; needs no TensorFlow."""
    check_method(request.method)
    if request.trials is None and request.seconds is None and request.method != GRADIENT:
        raise SearchError("the search has no budget", remedy="Give a number of candidates or of seconds")
    if (request.trials is not None and request.trials < 1) or (request.seconds is not None and not request.seconds > 0):
        raise SearchError("the budget of the search is not above 0", remedy="Give at least one candidate")
    if request.epochs < 0:
        raise SearchError("the number of epochs is below 0", remedy="Give 0 or more")
    project.require_writable()
    if request.method == GRADIENT:
        check_widths(request, project.info, project.recipe)
        return
    requested_space(project, request)


def requested_space(project: Project, request: Search) -> SearchSpace:
    """The request's space, open integer bits as they are; AutoQKeras's settings come before `options`."""
    if request.quantization_config or request.limit:
        return autoqkeras_space(project.info, project.recipe, request.quantization_config, request.limit,
                                request.frozen)
    return build_space(project.info, project.recipe, request.options, request.frozen)


def search_space(project: Project, request: Search, trainer: Trainer) -> SearchSpace:
    """The request's space with its open integer bits chosen on the float model."""
    space = requested_space(project, request)
    return space.resolved(Calibration(trainer.samples()).integer) if space.has_open else space


def compilable(project: Project, request: Search) -> bool:
    """True where one compiled program can train every recipe of the request's space."""
    space = requested_space(project, request)
    pruned = any(entry.sparsity for entry in space.base.layers.values())
    return not pruned and switchable({(c.layer, c.parameter): c.options for c in space.choices})


@dataclass
class _Loop:
    project: Project
    request: Search
    trainer: Trainer
    monitor: Monitor
    space: SearchSpace
    study: Study
    budget: Budget
    added: list[str] = field(default_factory=list)
    known: dict[tuple[tuple[str, int], ...], Candidate] = field(default_factory=dict)

    def run(self) -> list[str]:
        self._adopt()
        self.study.enqueue(anchors(self.space))
        self.monitor.log(f"search by {self.request.method} in a space of {self.space.size:.3g} recipes,"
                         f" {len(self.known)} known, {self.request.epochs} epochs each")
        failures = repeats = 0
        inner = self._inner()
        self.budget.report(self.monitor)
        try:
            while not self.budget.spent:
                inner.check()
                proposal = self.study.ask()
                known = self.known.get(point_key(proposal.values))
                if known is not None:
                    self.study.tell(proposal, objectives(known), known.id)
                    repeats += 1
                    if repeats >= len(self.known) + min(MAX_REPEATS, 4 * self.space.size):
                        self.monitor.log("every further proposal is known already: the search ends here")
                        break
                    continue
                repeats = 0
                failures = 0 if self._try(proposal, failures, inner) else failures + 1
                self.budget.report(self.monitor)
        except Cancelled:
            self.monitor.log(f"search stopped after {len(self.added)} candidates")
        return self.added

    def _adopt(self) -> None:
        """What the project holds of this space counts as known and is not computed again."""
        for candidate in self.project.candidates():
            if "validation_accuracy" not in candidate.training \
                    or candidate.training.get("epochs") != self.request.epochs:
                continue
            values = self.space.encode(candidate.recipe)
            if values is not None:
                self.known[point_key(values)] = candidate
        self.study.enqueue(dict(key) for key in self.known)

    def _try(self, proposal: Proposal, failures: int, inner: Monitor) -> bool:
        """Train and store one proposal; False where it failed and the search can go on."""
        try:
            candidate = self._candidate(proposal, inner)
        except QuantiscopeError as error:
            self.study.give_up(proposal, str(error))
            self.monitor.log(f"a candidate failed: {error}", "warning")
            if failures + 1 >= MAX_FAILURES:
                raise
            return False
        except BaseException:
            self.study.put_back(proposal)
            raise
        self.study.tell(proposal, objectives(candidate), candidate.id)
        self.known[point_key(proposal.values)] = candidate
        self.added.append(candidate.id)
        self.budget.done += 1
        self.monitor.candidate(candidate)
        return True

    def _candidate(self, proposal: Proposal, inner: Monitor) -> Candidate:
        started = time.monotonic()
        identity = self.project.new_candidate_id()
        recipe = self.space.decode(proposal.values, identity)
        costs = price(self.project.info, recipe).costs
        trained = self.trainer.train(recipe, self.request.seed, self.request.epochs, inner)
        candidate = Candidate(
            id=identity, recipe=recipe, evaluation=trained.evaluation, costs=costs,
            seconds=time.monotonic() - started, created=now(), method=self.request.method, seed=self.request.seed,
            versions=versions(), training=training_record(trained, self.trainer, self.request.epochs))
        return self.project.add_candidate(candidate, trained.weights)


    def _inner(self) -> Monitor:
        """What the trainer speaks to: its log and its stopping are the search's, its epochs are not progress."""
        def emit(event: Event) -> None:
            if isinstance(event, LogLine):
                self.monitor.log(event.text, event.level, event.source)
            elif isinstance(event, Progress):
                self.budget.report(self.monitor)

        return Monitor(emit, cancelled=lambda: self.monitor.stopping,
                       paused=lambda: self.budget.count_pause(self.monitor.waiting))


def training_record(trained: Trained, trainer: Trainer, epochs: int) -> dict[str, float]:
    """What `Candidate.training` holds of a training."""
    return {**trainer.settings, "epochs": epochs, "validation_accuracy": trained.validation_accuracy}


def objectives(candidate: Candidate) -> tuple[float, float]:
    """What a search compares: validation accuracy and energy in pJ."""
    return candidate.training["validation_accuracy"], candidate.costs.energy_pj


def point_key(values: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """A point of a space as a key; `dict()` of it is the point again."""
    return tuple(sorted(values.items()))
