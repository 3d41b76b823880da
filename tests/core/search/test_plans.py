"""Every method that is searched by: proposals fit, are distinct, repeat by seed; stopped and resumed; any workers."""

from __future__ import annotations

import itertools
from concurrent.futures import Future

import numpy as np
import pytest

import resources
from core.candidate import Evaluation
from core.energy import price
from core.errors import QuantiscopeError, SearchError
from core.events import LogLine, Monitor
from core.model_io import inspect_model
from core.project import Project
from core.requests import Search
from core.search import engine, loop, pool, workers
from core.search.engine import check_request, run_search
from core.search.methods import METHODS
from core.search.space import build_space
from core.search.trainer import Trained

OPTIONS = {"kernel": [f"quantized_bits({bits},0,alpha=1)" for bits in range(2, 9)],
           "output": ["quantized_relu(4,2)", "quantized_relu(6,2)", "quantized_relu(8,2)"]}
SMALL = {"kernel": [f"quantized_bits({bits},0,alpha=1)" for bits in (2, 4, 8)]}
#: those that propose points of a space, one by one
LOOPED = [name for name in METHODS if name not in ("staged", "gradient")]
INFO = inspect_model(resources.path("models/jet_tagger.keras"))


class StandIn:
    """An accuracy made up of the recipe's energy and epochs; at once."""

    settings = {"learning_rate": 0.5}

    def __init__(self, info=INFO, fail=()):
        self.info, self.fail, self.trained = info, fail, []

    def samples(self):
        return {}

    def prepare(self, space):
        assert not space.has_open

    def train(self, recipe, seed, epochs, monitor):
        monitor.check()
        self.trained.append((recipe.renamed("").to_json(), epochs))
        if len(self.trained) - 1 in self.fail:
            raise QuantiscopeError("the output is not a number")
        accuracy = 1 - (100 + 10 / (1 + epochs)) / price(self.info, recipe).costs.energy_pj
        evaluation = Evaluation(kind="trained", events=9, accuracy=accuracy - 0.01, auc={"g": accuracy})
        return Trained(evaluation, accuracy, {"fc1/kernel": np.zeros(2)}, {"mean_auc": accuracy / 2})


@pytest.fixture(autouse=True)
def sensitivities(monkeypatch):
    """Fewer bits hurt more, the first layer most; the real ones are in test_sensitivity."""
    def drops(self, recipe):
        return {(layer, parameter): (10.0 - number) / (pool_bits(text) ** 2)
                for number, (layer, entry) in enumerate(recipe.layers.items())
                for parameter, text in entry.quantizers.items()}

    monkeypatch.setattr(loop.Loop, "_sensitivities", drops)


def pool_bits(text):
    from core.search.space import width_of

    return width_of(text)


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "p", resources.path("models/jet_tagger.keras"), "jets") as project:
        yield project


def request(project, method, trials=6, **changes):
    return Search(project=str(project.folder), trials=trials, method=method, **{"options": OPTIONS, **changes})


def recipes(project):
    return [c.recipe.renamed("").to_json() for c in project.candidates()]


@pytest.mark.parametrize("method", LOOPED)
def test_candidates_are_distinct_fit_and_are_the_same_by_seed_stopped_or_not(project, tmp_path, method):
    run_search(project, request(project, method, 9), StandIn(), Monitor())
    found = project.candidates()
    space = build_space(project.info, project.recipe, OPTIONS)
    assert len(found) == 9 == len(set(recipes(project)))
    assert all(space.encode(c.recipe) is not None and c.method == method for c in found)
    assert {c.training["epochs"] for c in found} == {3}  # shorter trainings are no candidates
    with Project.create(tmp_path / "again", project.model_path, "jets") as again:
        told = []
        stopping = Monitor(told.append, cancelled=lambda: len(again.candidates()) >= 4)
        assert len(run_search(again, request(again, method, 9), StandIn(), stopping)) == 4
        trainer = StandIn()
        run_search(again, request(again, method, 5), trainer, Monitor())
        assert recipes(again) == recipes(project)
        first = {(r, 3) for r in recipes(again)[:4]}
        assert not first & set(trainer.trained)  # nothing is trained twice
    if method in ("nsga2", "tpe", "blocks", "blocks_cost", "hyperband"):
        return  # begin with points that span the front
    with Project.create(tmp_path / "other", project.model_path, "jets") as other:
        run_search(other, request(other, method, 9, seed=1), StandIn(), Monitor())
        assert (recipes(other) == recipes(project)) == (method == "greedy")  # which has nothing to draw


@pytest.mark.parametrize("method", ["grid", "blocks", *(pytest.param(m, marks=pytest.mark.slow)
                                                         for m in ("random", "hyperband"))])
def test_a_small_space_is_gone_through_and_the_search_ends(project, method):
    few = request(project, method, 50, options=SMALL, frozen=["fc1", "fc2"])
    added = run_search(project, few, StandIn(), Monitor())
    assert 3 <= len(added) <= 9
    assert len(set(recipes(project))) == len(added)
    if method == "grid":
        assert len(added) == 9
    assert run_search(project, few, StandIn(), Monitor()) == []


def test_grid_spreads_from_the_start(project):
    run_search(project, request(project, "grid", 30), StandIn(), Monitor())
    for layer in ("fc1", "fc2", "fc3"):
        assert len({c.recipe.text(layer, "kernel") for c in project.candidates()}) >= 5


def test_hyperband_trains_few_of_many_for_long_and_keeps_short_trainings_as_proxies(project):
    trainer = StandIn()
    run_search(project, request(project, "hyperband", 4, epochs=9), trainer, Monitor())
    lengths = [epochs for _, epochs in trainer.trained]
    assert {length: lengths.count(length) for length in set(lengths)} == {1: 36, 3: 12, 9: 4}
    assert len(project.candidates()) == 4
    again = StandIn()
    run_search(project, request(project, "hyperband", 1, epochs=9), again, Monitor())
    assert not set(trainer.trained) & set(again.trained)  # proxies too are kept


def test_blocks_change_one_block_at_a_time_in_the_order_of_cost(project):
    run_search(project, request(project, "blocks_cost", 21, blocks=["fc[13]", "fc2"]), StandIn(), Monitor())
    stored = project.candidates()
    widest = stored[0].recipe
    moved = [{layer for layer, *_ in c.recipe.differences(widest)} for c in stored[1:11]]
    # fc2 alone is dearer than fc1 and fc3 together? the cost model says which comes first
    dear = price(project.info, widest)
    sums = {block: sum(row.profile_pj for row in dear.rows if row.name in block) for block in
            (("fc1", "fc3"), ("fc2",))}
    first = max(sums, key=sums.__getitem__)
    assert all(names <= {*first} for names in moved)
    with pytest.raises(SearchError, match="dense"):
        run_search(project, request(project, "blocks", blocks=["dense"]), StandIn(), Monitor())


def test_greedy_lowers_step_by_step_along_one_path(project):
    run_search(project, request(project, "greedy", 40), StandIn(), Monitor())
    stored = project.candidates()
    space = build_space(project.info, project.recipe, OPTIONS)
    widths = [[pool_bits(c.recipe.text(choice.layer, choice.parameter)) for choice in space.choices] for c in stored]
    ordered = sorted(widths, key=sum, reverse=True)
    assert widths[0] == ordered[0] and widths[1] == ordered[-1]  # the ends first
    assert all(np.all(np.array(a) >= b) for a, b in itertools.pairwise(ordered))


@pytest.mark.parametrize("method", ["nsga2", "hyperband", pytest.param("tpe", marks=pytest.mark.slow)])
def test_goals_of_one_or_three_figures_and_constraints(project, method):
    goal = {"objectives": ["score(mean_auc, bits)", "lut", "ebops"], "constraints": ["accuracy>=0.9", "lut<=200000"]}
    run_search(project, request(project, method, 10, **goal), StandIn(), Monitor())
    found = project.candidates()
    assert len(found) == 10
    assert all(c.costs.lut and c.training["validation_mean_auc"] for c in found)
    single = request(project, method, 3, objectives=["score(accuracy, energy_pj)"])
    trainer = StandIn()
    assert len(run_search(project, single, trainer, Monitor())) == 3
    known = {(c.recipe.renamed("").to_json(), 3) for c in found}
    assert not known & set(trainer.trained)  # what another goal trained is known to this one


def test_an_infeasible_region_is_left_by_samplers_that_know_constraints(project):
    run_search(project, request(project, "nsga2", 45, constraints=["energy_pj<=5480"]), StandIn(), Monitor())
    kept = [c.costs.energy_pj <= 5480 for c in project.candidates()]
    assert np.mean(kept[-15:]) > np.mean(kept[:15])


@pytest.mark.parametrize(("changes", "text"), [
    ({"objectives": ["speed"]}, "no objective"), ({"constraints": ["lut"]}, "constraint"),
    ({"units": [0.0]}, "multiplier"), ({"sparsity": [1.0]}, "sparsity"), ({"sparsity": [0.5]}, "zero"),
    ({"units": [0.5], "tune_units": "all"}, "all"), ({"units": [0.5], "exceptions": "("}, "pattern"),
    ({"workers": -1}, "workers"), ({"memory_gb": -1.0}, "workers"), ({"way": "fast"}, "way"),
    ({"units": [0.5], "method": "staged"}, "staged")])
def test_what_cannot_be_asked_for_is_a_sentence(project, changes, text):
    with pytest.raises(SearchError, match=text):
        check_request(request(project, **{"method": "nsga2", **changes}), project)


@pytest.mark.parametrize("method", LOOPED)
def test_an_empty_space_is_a_sentence(project, method):
    with pytest.raises(SearchError, match="the search space is empty"):
        run_search(project, request(project, method, frozen=["fc1", "relu1", "fc2", "relu2", "fc3", "relu3", "output"]),
                   StandIn(), Monitor())


# -- several workers --------------------------------------------------------------------------------------


class Crew:
    """Several at a time, each ending when a made-up clock says so: as a pool, without processes."""

    ordered, ahead = True, 1

    def __init__(self, workers, seed, dies_after=None):
        self.workers, self.trainer, self.random = workers, StandIn(), np.random.default_rng(seed)
        self.dies_after = dies_after

    def each(self, call, tasks, monitor):
        waiting, running = iter(tasks), []
        while True:
            while len(running) < self.workers + 1 and not monitor.stopping:
                task = next(waiting, False)
                if not task:
                    break
                running.append(task)
            if not running:
                return
            if len(self.trainer.trained) == self.dies_after:
                raise KeyboardInterrupt
            key, (recipe, seed, epochs, *_) = running.pop(self.random.integers(len(running)))
            yield key, self.trainer.train(recipe, seed, epochs, Monitor())


def searched(project, method, crew, trials=14):
    asked = request(project, method, trials)
    budget = engine.Budget(trials, None)
    space = engine.requested_space(project, asked)
    return loop.Loop(project, asked, Monitor(), budget, engine.setting(project, asked, space), crew, {}).run()


@pytest.mark.parametrize("method", ["nsga2", pytest.param("blocks", marks=pytest.mark.slow)])
def test_candidates_do_not_depend_on_which_worker_is_first(project, tmp_path, method):
    searched(project, method, Crew(3, 0), 24)
    with Project.create(tmp_path / "again", project.model_path, "jets") as again:
        searched(again, method, Crew(3, 1), 24)
        assert recipes(again) == recipes(project)
    assert len(set(recipes(project))) == 24


@pytest.mark.parametrize(("method", "dies_after"), [
    ("nsga2", 17), pytest.param("tpe", 20, marks=pytest.mark.slow),
    pytest.param("hyperband", 13, marks=pytest.mark.slow)])
def test_what_was_under_way_when_a_search_died_comes_first_when_it_is_resumed(project, tmp_path, method, dies_after):
    searched(project, method, Crew(3, 0), 24)
    with Project.create(tmp_path / "killed", project.model_path, "jets") as killed:
        with pytest.raises(KeyboardInterrupt):
            searched(killed, method, Crew(3, 1, dies_after), 24)
        left = 24 - len(killed.candidates())
        assert left > 0
        searched(killed, method, Crew(3, 2), left)
        assert recipes(killed) == recipes(project)


@pytest.mark.parametrize("method", ["random", *(pytest.param(m, marks=pytest.mark.slow)
                                                for m in ("grid", "hyperband"))])
def test_most_methods_are_the_same_for_any_number_of_workers(project, tmp_path, method):
    searched(project, method, Crew(1, 0))
    with Project.create(tmp_path / "again", project.model_path, "jets") as again:
        searched(again, method, Crew(4, 1))
        assert recipes(again) == recipes(project)


def test_a_failure_is_passed_over_in_its_turn(project):
    logged = []
    added = run_search(project, request(project, "grid", 5), StandIn(fail={1, 3}), Monitor(logged.append))
    assert len(added) == 5
    assert sum(isinstance(e, LogLine) and e.level == "warning" for e in logged) == 2


# -- memory -----------------------------------------------------------------------------------------------


def test_no_more_workers_than_memory_allows():
    assert workers.fitting(8, 0, 10) == 8
    assert workers.fitting(8, 35, 10) == 3
    with pytest.raises(SearchError, match="does not fit into its memory"):
        workers.fitting(8, 9, 10)


def test_workers_that_turn_out_too_large_are_ended(monkeypatch, tmp_path):
    """Each says after it is built what it takes; two of three then have to go."""
    class Executor:
        _processes = {}

        def __init__(self):
            self.ended = False

        def submit(self, *_):
            future = Future()
            future.set_result({"peak_bytes": 2 * 2**30})
            return future

        def shutdown(self, **_):
            self.ended = True

    monkeypatch.setattr(pool.Pool, "_started", lambda self, way: Executor())
    logged = []
    started = pool.Pool(pool.Setup("", "", None), 3, memory=3 * 2**30)
    assert started.workers == 3
    lanes = list(started._lanes)
    assert len(started.ready(Monitor(logged.append))) == 1 == started.workers
    assert [lane.executor.ended for lane in lanes] == [False, True, True]
    assert any("1 workers instead of 3" in e.text for e in logged)
