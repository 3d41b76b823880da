"""The space of a request: groups of layers with quantizers of their own."""

from __future__ import annotations

import pytest

import resources
from core.errors import QuantizerError, SearchError
from core.model_io import inspect_model
from core.quant.recipe import uniform
from core.requests import Search
from core.search.requested import grouped, space_of
from core.search.space import build_space

INFO = inspect_model(resources.path("models/jet_tagger.keras"))
BASE = uniform(INFO, 8, 2)
OPTIONS = {"kernel": ["quantized_bits(4,0,alpha=1)"], "bias": ["quantized_bits(8,0,alpha=1)"]}


def options(space) -> dict[str, tuple[str, ...]]:
    return {choice.key: choice.options for choice in space.choices}


def test_that_the_first_group_that_matches_gives_the_options():
    space = space_of(INFO, BASE, Search(project="", options=OPTIONS, groups={
        "fc[12]": {"kernel": ["ternary", "binary"]}, "fc": {"kernel": ["quantized_bits(6,0,alpha=1)"], "bias": []}}))
    found = options(space)
    assert found["fc1.kernel"] == found["fc2.kernel"] == ("ternary", "binary")
    assert found["fc3.kernel"] == ("quantized_bits(6,0,alpha=1)",)
    assert "fc3.bias" not in found and "fc1.bias" not in found  # an empty list keeps the recipe
    assert found["output.kernel"] == ("quantized_bits(4,0,alpha=1)",)
    assert space.decode({}).text("fc3", "bias") == BASE.text("fc3", "bias")


def test_that_a_group_adds_what_the_options_leave_alone_but_not_to_frozen_layers():
    space = space_of(INFO, BASE, Search(project="", options=OPTIONS, frozen=["relu2"], groups={
        "relu": {"output": ["quantized_relu(4)", "quantized_bits(4,0,alpha=1)"]}}))
    found = options(space)
    assert found["relu1.output"] == ("quantized_relu(4)",)  # a ReLU stays one
    assert "relu2.output" not in found


def test_that_choices_stay_in_the_models_order():
    layers = [choice.layer for choice in grouped(build_space(INFO, BASE, OPTIONS), INFO, {
        "relu1": {"output": ["quantized_relu(4)"]}}).choices]
    assert layers == sorted(layers, key=INFO.layer_names.index)


@pytest.mark.parametrize(("groups", "error", "says"), [
    ({"dense": {"kernel": ["ternary"]}}, SearchError, "names no layer"),
    ({"fc(": {"kernel": ["ternary"]}}, SearchError, "cannot be read"),
    ({"fc": {"kernal": ["ternary"]}}, SearchError, "not a parameter type"),
    ({"fc": {"kernel": ["ternery"]}}, QuantizerError, "ternery"),
    ({"": {"kernel": [], "bias": []}}, SearchError, "empty")])
def test_that_a_group_that_cannot_hold_is_told(groups, error, says):
    with pytest.raises(error, match=says):
        space_of(INFO, BASE, Search(project="", options=OPTIONS, groups=groups))


def test_that_groups_stand_back_behind_autoqkeras():
    space = space_of(INFO, BASE, Search(project="", quantization_config={"kernel": {"ternary": 2}},
                                        groups={"fc": {"kernel": ["binary"]}}))
    assert all(choice.options == ("ternary()",) for choice in space.choices)
