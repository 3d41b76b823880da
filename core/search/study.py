"""A study: which points of a search space were asked, and what came of them, in Optuna's storage.

One Optuna study belongs to one space, so that a changed space starts a new one; results the project
already holds are never computed twice, whichever study they came from. Each proposal is drawn with a
random stream of its own, made from the seed and the number of proposals settled before it: the same
seed gives the same candidates, also when the search was killed and resumed in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIISampler
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from core.search.objectives import Goal
from core.search.samplers import check_method, make_sampler
from core.search.space import SearchSpace
from core.search.storage import opened, refused

_GIVEN_UP = "given_up"
_CANDIDATE = "candidate"
_PROXY, _EPOCHS = "proxy", "epochs"
#: what Optuna calls the parameters of a trial that waits, and the generation its NSGA-II gives one
_FIXED, _GENERATION = "fixed_params", ":generation"

optuna.logging.set_verbosity(optuna.logging.ERROR)

Point = Mapping[str, int]


@dataclass(frozen=True)
class Proposal:
    """A point to try; `number` is its trial in the Optuna study."""

    number: int
    values: dict[str, int]


class Study:
    """Asks for points and is told the values of their objectives.

    Args:
        url: SQLAlchemy URL of the storage.
        space: the search space, nothing open.
        method: a key of `samplers.METHODS`.
        seed: of all proposals.
        goal: what is told; none: accuracy and energy.
        project: whose study it is, in a database that holds those of several.

    Raises:
        SearchError: unknown method, or the storage cannot be opened.
    """

    def __init__(self, url: str, space: SearchSpace, method: str, seed: int, goal: Goal | None = None,
                 project: str = "") -> None:
        check_method(method)
        self._space = space
        self._goal = goal or Goal.of()
        self._method = method
        self._seed = seed
        self._distributions: dict[str, BaseDistribution] = {
            c.key: CategoricalDistribution(range(len(c.options))) for c in space.choices}
        storage = opened(url)
        name = "-".join(filter(None, ("search", project, space.digest, self._goal.digest)))
        try:
            self._study = optuna.create_study(
                storage=storage, study_name=name,
                directions=[StudyDirection[name.upper()] for name in self._goal.directions],
                sampler=make_sampler("random", seed), load_if_exists=True)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
            raise refused(url, error) from None
        self._open: dict[int, optuna.Trial] = {}
        trials = self._study.get_trials(deepcopy=False)
        self._proxies = {(self._key(t.params), int(t.user_attrs[_EPOCHS])): dict(t.user_attrs[_PROXY])
                         for t in trials if _PROXY in t.user_attrs}
        done = [t for t in trials if t.state == TrialState.COMPLETE or _GIVEN_UP in t.user_attrs]
        self._settled = len(done)
        self._asked = {self._key(trial.params) for trial in done}
        self._requeue(trials)

    def _requeue(self, trials: Iterable[optuna.trial.FrozenTrial]) -> None:
        """Take up where the last run ended: what was being tried when it died comes first, then what waited."""
        for state in (TrialState.RUNNING, TrialState.WAITING):
            for trial in [t for t in trials if t.state == state]:
                point = trial.params or trial.system_attrs.get(_FIXED, {})
                self._study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                if point and self._key(point) not in self._asked:
                    self._asked.add(self._key(point))
                    # a generation that it was given stays: others have been told since
                    kept = {key: value for key, value in trial.system_attrs.items() if key.endswith(_GENERATION)}
                    self._study.add_trial(optuna.trial.create_trial(
                        state=TrialState.WAITING, system_attrs={_FIXED: dict(point), **kept}))

    @property
    def settled(self) -> int:
        """Number of proposals told or given up, in all runs."""
        return self._settled

    def enqueue(self, points: Iterable[Point]) -> None:
        """Have these points asked first, in order; those asked before are left out."""
        for point in points:
            key = self._key(point)
            if key not in self._asked:
                self._asked.add(key)
                self._study.enqueue_trial(dict(point))

    def ask(self) -> Proposal:
        """The next point to try."""
        self._study.sampler = make_sampler(self._method, _mixed(self._seed, self._settled + len(self._open)),
                                           bool(self._open))
        trial = self._study.ask(self._distributions)
        if isinstance(self._study.sampler, NSGAIISampler):
            # Optuna leaves enqueued points out of the generations, so that they would never be parents
            stored = self._study.get_trials(deepcopy=False)[trial.number]
            self._study.sampler.get_trial_generation(self._study, stored)
        values = {name: int(value) for name, value in trial.params.items()}
        self._asked.add(self._key(values))
        self._open[trial.number] = trial
        return Proposal(trial.number, values)

    def tell(self, proposal: Proposal, values: tuple[float, ...], candidate_id: str,
             missed: Mapping[str, float] | None = None) -> None:
        """Store the values of a proposal's objectives, by how much it misses each constraint, and its candidate."""
        trial = self._open.pop(proposal.number)
        trial.set_user_attr(_CANDIDATE, candidate_id)
        for name, value in (missed or {}).items():
            trial.set_constraint(name, value)
        self._study.tell(proposal.number, values=list(values))
        self._settled += 1

    def add(self, point: Point, values: tuple[float, ...], candidate_id: str,
            missed: Mapping[str, float] | None = None) -> None:
        """Store a point that was tried without being asked for, and what came of it."""
        self._study.add_trial(optuna.trial.create_trial(
            params=dict(point), distributions=self._distributions, values=list(values),
            user_attrs={_CANDIDATE: candidate_id}, constraints=dict(missed or {})))
        self._asked.add(self._key(point))
        self._settled += 1

    def holds(self, point: Point) -> bool:
        """True where a point was asked, told or given up."""
        return self._key(point) in self._asked

    def add_proxy(self, point: Point, epochs: int, figures: Mapping[str, float]) -> None:
        """Store what a short training came to; never a result of the point."""
        self._study.add_trial(optuna.trial.create_trial(
            state=TrialState.PRUNED, params=dict(point), distributions=self._distributions,
            user_attrs={_PROXY: dict(figures), _EPOCHS: epochs}))
        self._proxies[self._key(point), epochs] = dict(figures)

    def proxy(self, point: Point, epochs: int) -> dict[str, float] | None:
        """Figures of a short training that was stored, or None."""
        return self._proxies.get((self._key(point), epochs))

    @property
    def proxies(self) -> int:
        """Number of short trainings that were stored."""
        return len(self._proxies)

    def give_up(self, proposal: Proposal, reason: str) -> None:
        """Store that a proposal has no result and is not to be tried again."""
        self._open.pop(proposal.number).set_user_attr(_GIVEN_UP, reason)
        self._study.tell(proposal.number, state=TrialState.FAIL)
        self._settled += 1

    def put_back(self, proposal: Proposal) -> None:
        """Leave an interrupted proposal as it is: the next run of the study asks it first."""
        del self._open[proposal.number]

    def _key(self, point: Point) -> tuple[int, ...]:
        return tuple(int(point.get(choice.key, 0)) for choice in self._space.choices)


def _mixed(seed: int, number: int) -> int:
    """A 32-bit seed for the proposal of that number."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "little")
