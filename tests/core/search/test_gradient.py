"""Gradient search: snapshots are the networks they say they are, at the cost they say."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import SearchError
from core.events import CandidateDone, LogLine, Monitor, Progress
from core.loading import dataset_of, model_of
from core.model_io import inspect_model
from core.project import Project
from core.quant import quantize, quantizer, weights
from core.quant.checkpoints import Checkpoint
from core.quant.evaluation import evaluate
from core.quant.recipe import INPUT, Recipe
from core.requests import Export, Search
from core.search.gradient import GradientTrainer, run_gradient
from core.search.gradient_program import GradientProgram, WidthSwitches
from core.search.widths import Ebops, plan, recipe_of, start_recipe
from core.workflows import run
from tests.core.quant import small


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model and its events as files."""
    return small.files(tmp_path_factory.mktemp("files"))


@pytest.fixture
def project(tmp_path, files):
    with Project.create(tmp_path / "p", *files) as project:
        yield project


def request(project, epochs=8, **changes):
    # a small network on few events: each of its few steps has to weigh the cost more
    given = {"beta": [3e-5, 1e-2], "epochs": epochs, "workers": 1, **changes}
    return Search(project=str(project.folder), method="gradient", **given)


def search(project, asked, monitor=None):
    """Without the time to compile by XLA."""
    return run_gradient(project, asked, model_of(project.model_path), dataset_of(project.data_reference),
                        monitor or Monitor(), "graph")


@pytest.fixture(scope="module")
def searched(tmp_path_factory, files):
    """A project after a gradient search, and what it told."""
    told, stored = [], []
    with Project.create(tmp_path_factory.mktemp("searched") / "p", *files) as project:
        def emit(event):
            told.append(event)
            if isinstance(event, CandidateDone):
                stored.append(Project.open(project.folder).candidate(event.candidate.id) == event.candidate)

        added = search(project, request(project, 12), Monitor(emit))
        assert added and all(stored)
        assert added == [e.candidate.id for e in told if isinstance(e, CandidateDone)]
    return Project.open(project.folder), told


def rebuilt(project, candidate):
    model = quantize(model_of(project.model_path), candidate.recipe)
    weights.load_weights(model, project.weights_path(candidate.id))
    return model


def test_one_run_gives_a_front(searched):
    project, told = searched
    found = project.candidates()
    costs = [c.costs.ebops for c in found]
    assert len(found) >= 5 and max(costs) > 5 * min(costs)
    assert all(c.method == "gradient" and c.evaluation.kind == "trained" for c in found)
    # none of them was beaten when it came
    for number, later in enumerate(found):
        for earlier in found[:number]:
            assert later.training["validation_accuracy"] > earlier.training["validation_accuracy"] \
                or later.costs.ebops < earlier.costs.ebops
    assert [e.done for e in told if isinstance(e, Progress)][-1] == 12


def test_a_candidate_is_the_network_that_was_scored(searched):
    project, _ = searched
    found = project.candidates()
    for candidate in (found[0], found[len(found) // 2], found[-1]):
        again = evaluate(rebuilt(project, candidate), dataset_of(project.data_reference), "trained")
        assert again.accuracy == candidate.evaluation.accuracy
        assert again.roc == candidate.evaluation.roc
        assert again.loss == pytest.approx(candidate.evaluation.loss, abs=1e-6)


def test_weights_without_bits_are_zero_and_only_they(searched):
    project, _ = searched
    model = rebuilt(project, project.candidates()[-1])
    pruned = 0
    for layer in model.layers:
        for parameter, values in getattr(layer, "quantized_weights", dict)().items():
            bits = np.asarray(layer.width_variables(parameter)["bits"])
            np.testing.assert_array_equal(values == 0, bits == 0)
            pruned += int((bits == 0).sum())
    assert pruned > 20


def test_parameter_bits_are_those_of_each_weight(searched):
    project, _ = searched
    for candidate in project.candidates():
        with np.load(project.weights_path(candidate.id)) as stored:
            bits = sum(int(stored[name].sum()) for name in stored.files if name.endswith(("kernel_bits", "bias_bits")))
        assert candidate.costs.parameter_bits == bits


def test_a_channel_has_bits_of_its_own(searched):
    project, _ = searched
    model = rebuilt(project, project.candidates()[-1])
    found = [np.asarray(layer.width_variables("output")["bits"]) for layer in model.layers
             if "output" in getattr(layer, "widths", {})]
    assert len(found) == 3 and all(bits.ndim == 1 for bits in found)  # the input and two hidden layers
    assert any(len(np.unique(bits)) > 1 for bits in found)
    assert any((bits == 0).any() for bits in found)


@pytest.mark.parametrize("symmetric", [0, 1])
def test_a_variable_width_of_no_bits_gives_zero(symmetric):
    x = np.linspace(-2, 2, 21).astype(np.float32)
    chosen = quantizer(f"quantized_bits(4,0,symmetric={symmetric},alpha=1)")
    bits = np.array([0, 4] * 10 + [0], np.float32)
    for given, made in ((bits, x), (tf.constant(bits), tf.constant(x))):
        found = np.asarray(chosen(made, bits=given))
        np.testing.assert_array_equal(found, np.where(bits > 0, chosen(x), 0))


def convolution():
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 5, 2), name="image")
    y = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="same")(x)
    y = keras.layers.MaxPooling2D(2, name="pool")(y)
    y = keras.layers.DepthwiseConv2D(2, activation="relu", name="depth")(y)
    y = keras.layers.Conv2D(6, 1, activation="relu", groups=2, name="groups")(y)
    y = keras.layers.Add(name="sum")([y, keras.layers.Conv2D(6, 1, activation="relu", name="beside")(y)])
    y = keras.layers.GlobalAveragePooling2D(name="mean")(y)
    return keras.Model(x, keras.layers.Dense(3, activation="softmax", name="end")(y))


@pytest.mark.parametrize(("make", "granularity"), [(small.network, "weight"), (convolution, "tensor"),
                                                   (convolution, "channel"), (convolution, "weight")])
def test_the_cost_in_the_loss_is_the_exact_count(make, granularity, tmp_path):
    model = make()
    model.save(tmp_path / "model.keras")
    info = inspect_model(tmp_path / "model.keras")
    data = small.dataset(200)
    if make is convolution:
        random = np.random.default_rng(0)
        data = replace(data, **{f"x_{part}": random.normal(size=(len(getattr(data, f"x_{part}")), 6, 5, 2)).astype(
            np.float32) for part in ("train", "val", "test")})
    widths = plan(info, Recipe(), granularity)
    start = start_recipe(Recipe(), widths)
    ebops, switches = Ebops(info, start, widths), WidthSwitches(widths, start)
    program = GradientProgram(switches.model(model, start), switches, ebops, data, 64, "graph")
    state = program.measured(program.start())
    counted = program.counted(state, trim=False)
    exact = ebops.priced(recipe_of(Recipe(), widths, counted, ""), counted).ebops
    assert exact > 1000
    assert program.cost(state) == pytest.approx(exact, abs=len(info.layers))  # each layer is cut to a whole number


def test_nothing_is_traced_again_while_bits_fall(project):
    trainer = GradientTrainer(model_of(project.model_path), project, dataset_of(project.data_reference),
                              request(project, 3, workers=2), "graph")
    trainer.train(0, 1)
    trainer.snapshot(1.0)
    before = dict(trainer.program.traces)
    for epoch in (1, 2):
        trainer.train(epoch, epoch + 1)
        trainer.snapshot(1.0, lane=1)
    assert trainer.program.traces == before


def test_a_killed_search_goes_on_and_gives_what_one_run_gives(project, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def emit(event):
        if isinstance(event, Progress) and event.done == 4 and event.total == 8:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "due", property(lambda self: True))
        with pytest.raises(Killed):
            search(project, request(project), Monitor(emit))
    first = [c.id for c in project.candidates()]
    lines = []
    listening = Monitor(lambda e: lines.append(e.text) if isinstance(e, LogLine) else None)
    added = search(project, request(project), listening)
    assert "the search goes on after epoch 4" in lines
    with Project.create(tmp_path / "whole", project.model_path, project.data_reference) as whole:
        search(whole, request(whole))
        assert [c.recipe for c in whole.candidates()] == [c.recipe for c in project.candidates()]
        assert [c.id for c in whole.candidates()] == first + added
    assert not list((project.folder / "checkpoints").glob("*.npz"))
    assert search(project, request(project)) == []  # what is known is not stored again


def test_a_stopped_search_keeps_its_snapshots(project):
    seen = []
    monitor = Monitor(lambda e: seen.append(e) if isinstance(e, CandidateDone) else None, cancelled=lambda: bool(seen))
    added = search(project, request(project, 50), monitor)
    assert added == ["c0001"] and [c.id for c in project.candidates()] == ["c0001"]


@pytest.mark.parametrize(("changes", "said"), [
    ({"granularity": "byte"}, "byte"), ({"beta": [1e-3, 1e-5]}, "do not grow"), ({"epochs": 0}, "one epoch"),
    ({"frozen": ["first", "second", "last"]}, "no widths to train")])
def test_what_cannot_be_searched_is_refused_before_anything_is_loaded(project, changes, said):
    with pytest.raises(SearchError, match=said):
        run(request(project, **{"epochs": 2, **changes}), Monitor())


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A project of a network that ends with a softmax of its own, and its last candidate of a gradient search."""
    folder = tmp_path_factory.mktemp("pruned")
    keras.utils.set_random_seed(1)
    x = keras.Input((small.FEATURES,), name="features")
    y = keras.layers.Activation("relu", name="relu")(keras.layers.Dense(8, name="first")(x))
    y = keras.layers.Dense(small.CLASSES, name="last")(y)
    model = keras.Model(x, keras.layers.Softmax(name="softmax")(y))
    with Project.create(folder / "p", *small.files(folder, model=model)) as project:
        search(project, request(project, 12))
        model = rebuilt(project, project.candidates()[-1])
        bits = [np.asarray(layer.width_variables("output")["bits"]) for layer in model.layers
                if "output" in getattr(layer, "widths", {})]
        assert any((b == 0).any() for b in bits)  # a channel of no bits is exported too
        return project.folder, project.candidates()[-1].id


@pytest.mark.parametrize("flow", ["rtl", pytest.param("hls4ml", marks=pytest.mark.slow)])
def test_a_candidate_is_exported_exactly(pruned, flow):
    report = run(Export(project=str(pruned[0]), candidate_id=pruned[1], flow=flow, synthesize=False, events=200))
    assert report.exactness.verified and report.exactness.mismatches == 0
    assert sum(check.values for check in report.exactness.flows.values()) > 0


@pytest.mark.slow
def test_lanes_share_a_program_and_give_the_same_again(project, tmp_path):
    asked = request(project, 6, workers=2, trials=6)
    search(project, asked)
    found = project.candidates()
    assert {c.training["lane"] for c in found} == {0.0, 1.0}
    assert {c.training["epochs"] for c in found} <= {2.0, 4.0, 6.0}
    assert max(c.training["beta"] for c in found) == pytest.approx(1e-2)
    with Project.create(tmp_path / "again", project.model_path, project.data_reference) as again:
        search(again, request(again, 6, workers=2, trials=6))
        assert [c.recipe for c in again.candidates()] == [c.recipe for c in found]


def test_the_models_inputs_are_trained_too(searched):
    project, _ = searched
    bits = [quantizer(c.recipe.input).bits for c in project.candidates()]
    assert bits[0] > bits[-1] >= 2
    assert INPUT in {width.key for width in plan(project.info, project.recipe)}
