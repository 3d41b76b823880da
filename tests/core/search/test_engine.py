"""The search loop with a stand-in trainer that costs nothing: order of storing, stopping, failing, resuming.

The real trainer runs in tests/core/test_workflows.py and tests/app/test_cli.py.
"""

from __future__ import annotations

import time
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest

import resources
from core.candidate import Evaluation
from core.energy import price
from core.errors import QuantiscopeError, SearchError
from core.events import CandidateDone, Monitor, Progress
from core.project import Project
from core.requests import Search
from core.search.engine import Budget, run_search
from core.search.loop import MAX_FAILURES
from core.search.trainer import Trained

OPTIONS = {"kernel": [f"quantized_bits({bits},0,alpha=1)" for bits in range(2, 9)]}


class StandIn:
    """Gives an accuracy made up from the recipe's energy; counts, and fails or stops where told."""

    settings = {"learning_rate": 0.5}

    def __init__(self, info, fail=(), stop_at=None):
        self.info = info
        self.fail = fail
        self.stop_at = stop_at
        self.trained = []

    def samples(self):
        return {}

    def prepare(self, space):
        assert not space.has_open

    def train(self, recipe, seed, epochs, monitor):
        number = len(self.trained)
        self.trained.append(recipe)
        if number == self.stop_at:
            monitor.check()
        if number in self.fail:
            raise QuantiscopeError("the output is not a number")
        accuracy = 1 - 100 / price(self.info, recipe).costs.energy_pj
        evaluation = Evaluation(kind="trained", events=9, accuracy=accuracy - 0.01, auc={})
        return Trained(evaluation, accuracy, {"fc1/kernel": np.zeros(2)})


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "p", resources.path("models/jet_tagger.keras"), "jets") as project:
        yield project


def request(project, trials=6, **changes):
    return Search(project=str(project.folder), trials=trials, options=OPTIONS, **{"method": "nsga2", **changes})


def test_candidates_are_stored_before_they_are_told(project):
    seen = []

    def emit(event):
        if isinstance(event, CandidateDone):
            assert project.candidate(event.candidate.id) == event.candidate
            assert Project.open(project.folder).candidate(event.candidate.id) == event.candidate
            seen.append(event.candidate.id)

    added = run_search(project, request(project), StandIn(project.info), Monitor(emit))
    assert added == seen == [f"c{n:04d}" for n in range(1, 7)]
    first = project.candidate("c0001")
    assert first.recipe.text("fc1", "kernel") == "quantized_bits(8,0,alpha=1)"
    assert first.training["epochs"] == 3
    assert first.training["validation_accuracy"] == pytest.approx(first.evaluation.accuracy + 0.01)
    assert first.costs == price(project.info, first.recipe).costs
    assert first.versions["quantiscope"]
    assert first.method == "nsga2"


@pytest.mark.parametrize("method", ["nsga2", "tpe", "random"])
def test_search_goes_on_without_repeating_itself(project, method):
    run_search(project, request(project, 5, method=method), StandIn(project.info), Monitor())
    trainer = StandIn(project.info)
    assert run_search(project, request(project, 5, method=method), trainer, Monitor()) == [
        f"c{n:04d}" for n in range(6, 11)]
    recipes = {c.recipe.renamed("").to_json() for c in project.candidates()}
    assert len(recipes) == 10


def test_same_seed_same_candidates_also_when_resumed(project, tmp_path):
    run_search(project, request(project, 20), StandIn(project.info), Monitor())
    with Project.create(tmp_path / "other", project.model_path, "jets") as other:
        for part in (3, 9, 8):
            run_search(other, request(other, part), StandIn(other.info), Monitor())
        assert [c.recipe for c in other.candidates()] == [c.recipe for c in project.candidates()]


def test_stop_keeps_what_is_finished_and_tries_the_rest_again(project):
    stopping = []
    trainer = StandIn(project.info, stop_at=2)
    monitor = Monitor(lambda event: stopping.append(1) if len(trainer.trained) == 2 else None,
                      cancelled=lambda: bool(stopping) and len(trainer.trained) > 2)
    assert run_search(project, request(project), trainer, monitor) == ["c0001", "c0002"]
    again = StandIn(project.info)
    run_search(project, request(project, 1), again, Monitor())
    assert again.trained[0].renamed("") == trainer.trained[2].renamed("")


def test_a_failing_candidate_is_given_up_and_a_failing_trainer_ends_the_search(project):
    logged = []
    trainer = StandIn(project.info, fail={1})
    added = run_search(project, request(project, 4), trainer, Monitor(lambda e: logged.append(e)))
    assert len(added) == 4
    assert len(trainer.trained) == 5
    assert any(getattr(e, "level", "") == "warning" for e in logged)
    with pytest.raises(QuantiscopeError, match="not a number"):
        run_search(project, request(project, 4), StandIn(project.info, fail=range(99)), Monitor())
    assert len(project.candidates()) == 4
    assert MAX_FAILURES == 3


def test_an_exhausted_space_ends_the_search(project):
    small = Search(project=str(project.folder), trials=50,
                   options={"kernel": ["ternary(alpha='auto_po2')", "binary(alpha='auto_po2')"]},
                   frozen=["fc1", "fc2", "fc3"])
    assert len(run_search(project, small, StandIn(project.info), Monitor())) == 2
    assert run_search(project, small, StandIn(project.info), Monitor()) == []


def test_a_changed_space_starts_with_what_is_known(project):
    run_search(project, request(project, 5), StandIn(project.info), Monitor())
    wider = Search(project=str(project.folder), trials=3, options={"kernel": [*OPTIONS["kernel"], "ternary"]})
    trainer = StandIn(project.info)
    run_search(project, wider, trainer, Monitor())
    known = {c.recipe.renamed("").to_json() for c in project.candidates()[:5]}
    assert not known & {recipe.renamed("").to_json() for recipe in trainer.trained}


def test_progress_tells_the_remaining_time(project):
    events = []
    run_search(project, request(project, 4), StandIn(project.info), Monitor(events.append))
    progress = [(e.done, e.total) for e in events if isinstance(e, Progress)]
    assert progress == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_pause_waits_and_is_not_counted(project):
    trainer = StandIn(project.info)
    paused_at = []

    def paused():
        if len(trainer.trained) == 2 and not paused_at:
            paused_at.append(time.monotonic())
        return bool(paused_at) and time.monotonic() - paused_at[0] < 5

    started = time.monotonic()
    added = run_search(project, Search(project=str(project.folder), seconds=4, options=OPTIONS), trainer,
                       Monitor(paused=paused))
    took = time.monotonic() - started
    assert len(added) > 3  # it went on after a pause longer than its budget
    assert 8 < took < 30
    created = [datetime.fromisoformat(c.created) for c in project.candidates()]
    assert max((b - a).total_seconds() for a, b in pairwise(created)) > 4.9


@pytest.mark.parametrize("changes", [{"trials": None}, {"trials": 0}, {"seconds": 0.0}, {"epochs": -1},
                                     {"method": "psychic"}])
def test_what_cannot_be_searched_is_a_sentence(project, changes):
    values = {"trials": 3, **changes}
    with pytest.raises(SearchError):
        run_search(project, request(project, **values), StandIn(project.info), Monitor())
    assert not (project.folder / "study.sqlite3").exists()


def test_that_a_budget_grows_by_what_is_granted_while_the_search_runs():
    given, told = [(0, 0.0)], []
    monitor = Monitor(told.append, granted=lambda: given[0])
    budget = Budget(2, None, done=2)
    budget.report(monitor)
    assert budget.spent and (told[-1].done, told[-1].total) == (2, 2)
    given[0] = (3, 60.0)  # seconds were no limit, and are none now
    assert not budget.spent and budget.limits == (5, None)
    budget.report(monitor)
    assert told[-1].total == 5
    assert budget.spent_with(3)
