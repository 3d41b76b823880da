"""Numbers of units and zeros as part of a space: which layers, one program a shape, exactly the wanted zeros."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from core.errors import SearchError
from core.events import Monitor
from core.model_io import describe_model
from core.quant import quantize, weights
from core.quant.evaluation import evaluate
from core.quant.recipe import LayerRecipe, Recipe
from core.search import shaped_trainer
from core.search.compiled_trainer import CompiledTrainer
from core.search.objectives import Measures
from core.search.shapes import scalable, with_numbers
from core.search.space import anchors, build_space
from core.search.trainer import Extras
from core.search.worker import Setup, trainer_for
from tests.core.quant import small

OPTIONS = {"kernel": ["quantized_bits(6,0,alpha=1)", "binary(alpha='auto_po2')"], "output": ["quantized_relu(6,3)"]}
INFO = describe_model(small.network())


def branched() -> keras.Model:
    x = inputs = keras.Input((8,), name="events")
    a = keras.layers.Dense(6, name="a")(x)
    b = keras.layers.Dense(6, name="b")(x)
    x = keras.layers.Add(name="sum")([a, b])
    x = keras.layers.Dense(4, name="c")(x)
    x = keras.layers.Reshape((2, 2), name="fixed")(keras.layers.Dense(4, name="d")(x))
    return keras.Model(inputs, keras.layers.Dense(3, name="last")(keras.layers.Flatten(name="flat")(x)))


def test_layers_keep_units_that_something_else_depends_on():
    info = describe_model(branched())
    assert scalable(info) == ["c"]  # a and b meet in a sum, d in a fixed shape, last is the output
    assert scalable(info, frozen=["c"]) == []
    assert scalable(INFO) == scalable(INFO, shared="block") == ["first", "second"]


def test_numbers_are_decoded_and_found_again():
    plain = build_space(INFO, Recipe(), OPTIONS)
    space = with_numbers(plain, INFO, [0.5, 1], [0, 0.75], exceptions="^second")
    recipe = space.decode({"first.units": 0, "last.sparsity": 1})
    assert recipe.layers["first"].units_multiplier == 0.5 and recipe.layers["last"].sparsity == 0.75
    assert recipe.layers["second"].units_multiplier == 1

    assert space.decode(space.encode(recipe)) == recipe.renamed("candidate")
    assert plain.encode(recipe) is None  # the plain space has no such network
    assert space.size == plain.size * 2 * 2**3
    assert space.digest != plain.digest
    assert all(space.decode(point).layers["first"].units_multiplier == 1 for point in anchors(space))


def test_one_multiplier_for_the_whole_network():
    space = with_numbers(build_space(INFO, Recipe(), OPTIONS), INFO, [0.5, 1], shared="block")
    recipe = space.decode({"first.units": 0})
    assert [recipe.layers[name].units_multiplier for name in ("first", "second", "last")] == [0.5, 0.5, 1]


def test_nothing_to_scale_is_a_sentence():
    with pytest.raises(SearchError, match="no layer's number of units"):
        with_numbers(build_space(INFO, Recipe(), OPTIONS), INFO, [0.5], frozen=["first", "second"])


def test_one_program_for_each_shape_and_candidates_that_can_be_built_again(monkeypatch):
    monkeypatch.setattr(shaped_trainer, "FLOAT_EPOCHS", 2)
    model, data = small.network(), small.dataset()
    space = with_numbers(build_space(INFO, Recipe(), OPTIONS), INFO, [0.5, 1], frozen=["second"])
    setup = Setup("", "", space, batch_size=128, way="graph", shaped=True)
    trainer = trainer_for(setup, model, data)
    trainer.prepare(space)
    monitor = Monitor()
    recipes = [space.decode({"first.units": n % 2, "last.kernel": n // 2}) for n in range(4)]
    trained = [trainer.train(recipe, 0, 1, monitor) for recipe in recipes]
    assert trainer.built == {(("first", 0.5),): 1, (): 1}
    assert [len(t.weights["first/bias"]) for t in trained] == [8, 16, 8, 16]
    assert ["float_epochs" in t.notes for t in trained] == [True, False, True, False]
    for recipe, one in zip(recipes[:2], trained, strict=False):
        again = quantize(model, recipe)
        weights.set_weights(again, one.weights)
        assert evaluate(again, data, kind="trained").accuracy == one.evaluation.accuracy
    twice = trainer_for(setup, model, data)
    twice.prepare(space)
    assert twice.train(recipes[0], 0, 1, monitor).evaluation == trained[0].evaluation


@pytest.fixture(scope="module")
def pruning():
    model, data = small.network(), small.dataset()
    space = with_numbers(build_space(INFO, Recipe(), OPTIONS), INFO, sparsity=[0, 0.5])
    trainer = CompiledTrainer(model, data, 2e-3, 64, "graph", Extras(weights=True))
    trainer.prepare(space)
    return model, data, space, trainer


def share(values):
    return float(np.mean(values == 0))


def test_trained_networks_have_exactly_the_wanted_zeros(pruning):
    model, data, space, trainer = pruning
    sparse = space.decode({"first.sparsity": 1, "second.sparsity": 1, "second.kernel": 1})
    trained = trainer.train(sparse, 0, 2, Monitor())
    assert share(trained.weights["first/kernel"]) == 0.5
    assert share(trained.weights["second/kernel"]) == 0.0  # a binary kernel has no zero
    assert share(trained.weights["last/kernel"]) == 0.0
    assert share(trained.exact["first"]["kernel"]) >= 0.5
    dense = trainer.train(space.decode({}), 0, 2, Monitor())
    assert share(dense.weights["first/kernel"]) == 0.0
    assert trainer.program.traces == {"train": 1, "outputs": 1}
    again = quantize(model, sparse)
    weights.set_weights(again, trained.weights)
    assert evaluate(again, data, kind="trained").accuracy == trained.evaluation.accuracy
    costs = Measures(INFO, ["lut"], sparse=True)
    assert costs.costs(sparse, trained.exact).ebops < costs.costs(space.decode({}), dense.exact).ebops


def test_untrained_networks_are_pruned_at_once(pruning):
    *_, space, trainer = pruning
    sparse = space.decode({"first.sparsity": 1})
    judged = trainer.train(sparse, 0, 0, Monitor())
    assert judged.evaluation.kind == "post-training" and share(judged.weights["first/kernel"]) == 0.5
    figures = trainer.proxies(trainer._start, [{"first.sparsity": 1}, {}])
    assert figures[0] == pytest.approx(judged.validation_accuracy)
    assert figures[0] != figures[1]


def test_a_recipe_with_zeros_is_trained_from_the_project_s_own_too(pruning):
    """Zeros that the base recipe asks for need no choice in the space."""
    model, data, *_ = pruning
    base = Recipe(layers={"first": LayerRecipe(sparsity=0.25)})
    trainer = CompiledTrainer(model, data, 2e-3, 64, "graph")
    trainer.prepare(build_space(INFO, base, OPTIONS))
    assert trainer.program.pruned
    trained = trainer.train(trainer.space.decode({}), 0, 1, Monitor())
    assert share(trained.weights["first/kernel"]) == 0.25
