"""Edits by cell and their origins."""

from __future__ import annotations

import pytest

import resources
from core.errors import QuantizerError, RecipeError
from core.model_io import inspect_model
from core.quant import edits
from core.quant.edits import SPARSITY, UNITS, Origin
from core.quant.recipe import uniform


@pytest.fixture(scope="module")
def info():
    return inspect_model(resources.path("models/jet_tagger.keras"))


def test_that_quantizers_numbers_and_the_input_change_together(info):
    recipe = uniform(info, 6)
    new = edits.changed(info, recipe, {("fc1", "kernel"): "ternary", ("fc1", "bias"): None, ("fc2", UNITS): "\u00d70,5",
                                       ("fc2", SPARSITY): "40 %", ("features", "output"): "quantized_bits(12,5)"})
    shown = {key: edits.value(info, new, key) for key in
             (("fc1", "kernel"), ("fc1", "bias"), ("fc2", UNITS), ("fc2", SPARSITY), ("features", "output"))}
    assert list(shown.values()) == ["ternary()", None, "0.5", "0.4", "quantized_bits(12,5)"]
    back = edits.changed(info, new, {("fc2", UNITS): "1", ("fc2", SPARSITY): ""})
    assert edits.value(info, back, ("fc2", UNITS)) is None and back.layers["fc2"] == recipe.layers["fc2"]


@pytest.mark.parametrize(("key", "text", "error"), [
    (("fc1", UNITS), "0", RecipeError), (("fc1", UNITS), "many", RecipeError), (("fc1", UNITS), "nan", RecipeError),
    (("fc1", SPARSITY), "100%", RecipeError), (("features", "output"), "", RecipeError),
    (("relu1", "kernel"), "binary()", RecipeError), (("fc1", "kernel"), "binary(", QuantizerError)])
def test_that_what_cannot_be_is_refused_in_a_sentence(info, key, text, error):
    with pytest.raises(error) as caught:
        edits.changed(info, uniform(info, 6), {key: text})
    assert len(str(caught.value)) > 20 and "\n" not in str(caught.value)


def test_that_origins_survive_being_stored_where_the_cell_is_as_it_was(info):
    recipe = uniform(info, 6)
    origins = edits.marked(edits.everywhere(info, Origin("preset", "Q6")), [("fc1", "kernel")], Origin("set"))
    plain = edits.plain_origins(info, recipe, origins)
    assert edits.read_origins(info, recipe, plain) == origins
    other = recipe.with_quantizer("fc1", "kernel", "binary()")
    kept = edits.read_origins(info, other, plain)
    assert ("fc1", "kernel") not in kept and kept["fc2", "kernel"] == Origin("preset", "Q6")


@pytest.mark.parametrize("damaged", [None, 3, {"fc1": 2}, {"fc1": {"kernel": ["a"]}}, [1]])
def test_that_damaged_origins_are_none(info, damaged):
    assert edits.read_origins(info, uniform(info, 6), damaged) == {}
