"""How a search is set up: what is asked for is checked, the space built, and the method and its trainers chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.errors import SearchError
from core.events import Monitor
from core.project import Project
from core.quant.calibration import Calibration
from core.requests import Search
from core.search.objectives import BUILT, ESTIMATED, Builder, Goal, Measures
from core.search.requested import space_of
from core.search.samplers import GRADIENT, PLANNED, STAGED, check_method
from core.search.space import SPARSITY, UNITS, SearchSpace, switchable
from core.search.study import Study
from core.search.tasks import Context, Method, Planned, Sampled, Sensitivities
from core.search.trainer import Extras, Trained, Trainer
from core.search.widths import check_widths
from core.search.worker import Setup
from core.search.workers import Workers, bytes_of

#: objectives that see how many weights are zero
_SEE_ZEROS = frozenset({"ebops", *ESTIMATED, *BUILT})


@dataclass
class Budget:
    """Candidates and seconds that may be spent, and what was granted since; paused time is free."""

    trials: int | None
    seconds: float | None
    done: int = 0
    granted: Callable[[], tuple[int, float]] = lambda: (0, 0.0)
    _started: float = field(default_factory=time.monotonic)
    _paused: float = 0.0
    _waiting_since: float | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started - self._paused

    @property
    def limits(self) -> tuple[int | None, float | None]:
        """Candidates and seconds as they are now."""
        trials, seconds = self.granted()
        return (None if self.trials is None else self.trials + trials,
                None if self.seconds is None else self.seconds + seconds)

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
        trials, seconds = self.limits
        if trials is not None and self.done + ahead >= trials:
            return True
        if seconds is None:
            return False
        if not self.done:  # a search whose start-up alone outlasts its budget still gives one candidate
            return ahead > 0 and self.elapsed > seconds
        return self.elapsed * (1 + 0.5 / self.done) > seconds

    def report(self, monitor: Monitor) -> None:
        """Emit progress in whichever measure ends first."""
        self.granted = monitor.granted
        trials, seconds = self.limits
        by_time = self.elapsed / seconds if seconds else 0.0
        by_count = self.done / trials if trials else 0.0
        if seconds and by_time >= by_count:
            monitor.progress("search, seconds", min(self.elapsed, seconds), seconds)
        elif trials:
            monitor.progress("search, candidates", self.done, trials)


def run_search(project: Project, request: Search, trainer: Trainer, monitor: Monitor,
               builder: Builder | None = None) -> list[str]:
    """Run or resume a project's search with one trainer in this process, until its budget is spent or it is stopped.

    Each candidate is in the project and its study before its event is emitted. The method is told figures on
    validation events; the stored evaluation is on the test events.

    Returns:
        Ids of the candidates added, in order; a stopped search returns those it finished.

    Raises:
        SearchError: empty space, no budget, unknown method, or nothing can be trained.
        ProjectError: the project cannot be written.
    """
    from core.search.loop import Here, Loop

    check_request(request, project)
    budget = Budget(request.trials, request.seconds)
    space = requested_space(project, request)
    space = space.resolved(Calibration(trainer.samples()).integer) if space.has_open else space
    trainer.prepare(space)
    here = Here(trainer, monitor, budget, str(project.model_path), project.data_reference)
    return Loop(project, request, monitor, budget, setting(project, request, space, builder), here,
                dict(trainer.settings)).run()


def run_pooled(project: Project, request: Search, monitor: Monitor, builder: Builder | None = None) -> list[str]:
    """As `run_search`, with trainers in `request.workers` processes."""
    from core.search.loop import Loop

    check_request(request, project)
    budget = Budget(request.trials, request.seconds)
    with workers_of(project, request, monitor) as workers:
        monitor.stage("compile")
        facts = workers.ready(monitor)[0]
        monitor.log(told_of(workers.workers, facts), source="search")
        space = workers.all("space", [()], monitor)[0]
        monitor.stage("search")
        return Loop(project, request, monitor, budget, setting(project, request, space, builder), workers,
                    facts["settings"]).run()


def workers_of(project: Project, request: Search, monitor: Monitor) -> Workers:
    """The workers that a request asks for, here or on a cluster, started; raises SearchError, ClusterError."""
    if request.cluster.asked:
        from core.search.cluster import ClusterWorkers

        return ClusterWorkers(setup_of(project, request), request.cluster, monitor)
    from core.search.pool import Pool

    return Pool(setup_of(project, request), request.workers, memory_of(request), events_bytes(project))


def setup_of(project: Project, request: Search) -> Setup:
    """What trainers of a request are built from."""
    space = requested_space(project, request)
    return Setup(str(project.model_path), project.data_reference, space, way=request.way, seed=request.seed,
                 compiled=compilable(project, request), shaped=space.varies(UNITS),
                 extras=extras_of(goal_of(request), space))


def told_of(workers: int, facts: Mapping[str, object]) -> str:
    """A log line about workers that are ready."""
    text = f"{workers} workers" if workers > 1 else "1 worker"
    text += f", {float(str(facts['peak_bytes'])) / 2**30:.1f} GiB each"
    timings = facts.get("timings")
    if isinstance(timings, Mapping):
        each = "".join(f" {1e3 * seconds:.2f} ms as {way}" for way, seconds in timings.items())
        text += f", {facts['steps']} steps an epoch, each{each}; {facts['way']} it is"
    if "import_seconds" in facts:
        text += f" (TensorFlow imported in {float(str(facts['import_seconds'])):.1f} s)"
    return text


@dataclass(frozen=True)
class Setting:
    """What a search goes by: its space (nothing open), its goal (resolved), what recipes cost, what it keeps."""

    space: SearchSpace
    goal: Goal
    measures: Measures
    study: Study

    def method(self, project: Project, request: Search, sensitivities: Sensitivities) -> Method:
        """The request's method."""
        if request.method not in PLANNED:
            return Sampled(self.study, self.goal, request.epochs)
        from core.search.plans import PLANS

        context = Context(self.space, project.info, self.goal, self.measures, request.seed, request.epochs,
                          tuple(request.blocks), sensitivities)
        return Planned(PLANS[request.method](context), self.study, self.goal)


def setting(project: Project, request: Search, space: SearchSpace, builder: Builder | None = None) -> Setting:
    """The setting of a request for a space that has nothing open."""
    goal = goal_of(request).resolved(project.info)
    measures = Measures(project.info, goal.names, builder, space.varies(SPARSITY))
    return Setting(space, goal, measures, study_of(project, request, space, goal))


def study_of(project: Project, request: Search, space: SearchSpace, goal: Goal) -> Study:
    """The study of a space: in the project's own file, or in the database that the request names."""
    named = {"project": project.identity} if request.storage else {}
    return Study(request.storage or project.study_url, space, request.method, request.seed, goal, **named)


def goal_of(request: Search) -> Goal:
    """The request's goal; raises SearchError."""
    return Goal.of(request.objectives, request.constraints)


def extras_of(goal: Goal, space: SearchSpace) -> Extras:
    """What trainers have to tell for a goal."""
    return Extras(goal.measured, space.varies(SPARSITY) or bool(goal.names & set(BUILT)))


def memory_of(request: Search) -> int:
    """Bytes that the workers may take; 0: no limit."""
    return int(request.memory_gb * 2**30)


def events_bytes(project: Project) -> int:
    """Bytes of the project's events."""
    from core.loading import dataset_of

    return bytes_of(dataset_of(project.data_reference))


def check_request(request: Search, project: Project) -> None:
    """Raise what `run_search` would raise for a request that cannot be carried out; needs no TensorFlow."""
    check_method(request.method)
    if request.trials is None and request.seconds is None and request.method != GRADIENT:
        raise SearchError("the search has no budget", remedy="Give a number of candidates or of seconds")
    if (request.trials is not None and request.trials < 1) or (request.seconds is not None and not request.seconds > 0):
        raise SearchError("the budget of the search is not above 0", remedy="Give at least one candidate")
    if request.epochs < 0:
        raise SearchError("the number of epochs is below 0", remedy="Give 0 or more")
    if request.workers < 0 or not request.memory_gb >= 0 or request.way not in ("", "xla", "graph"):
        raise SearchError("the workers of the search are out of range",
                          remedy="Give 0 or more workers and GB, and a way of xla or graph")
    goal = goal_of(request)
    request.cluster.check()
    project.require_writable()
    if request.method == GRADIENT:
        if request.cluster.asked:
            raise SearchError("a gradient search trains one network, which a cluster does not make faster",
                              remedy="Leave the cluster out, or search by another method")
        check_widths(request, project.info, project.recipe)
        return
    space = requested_space(project, request)
    if space.varies(SPARSITY) and not goal.names & _SEE_ZEROS:
        raise SearchError("no objective sees how many weights are zero", "energy and bits count every weight",
                          "Add the objective ebops or lut, or leave sparsity out")
    if request.method == STAGED and space.varies(UNITS):
        raise SearchError("a staged search keeps the numbers of units", "its weights are shared by all candidates",
                          "Search by nsga2, or leave units out")


def requested_space(project: Project, request: Search) -> SearchSpace:
    """The request's space, open integer bits as they are; AutoQKeras's settings come before `options`."""
    return space_of(project.info, project.recipe, request)


def compilable(project: Project, request: Search) -> bool:
    """True where one compiled program can train every recipe of the request's space that has one shape."""
    space = requested_space(project, request)
    return switchable({(c.layer, c.parameter): c.options for c in space.quantized})


def training_record(trained: Trained, trainer: Trainer, epochs: int) -> dict[str, float]:
    """What `Candidate.training` holds of a training."""
    return {**trainer.settings, "epochs": epochs, "validation_accuracy": trained.validation_accuracy}


def point_key(values: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """A point of a space as a key; `dict()` of it is the point again."""
    return tuple(sorted(values.items()))
