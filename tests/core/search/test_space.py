"""The search space over the bundled model: what may be chosen, and the way from a recipe to numbers and back."""

from __future__ import annotations

import numpy as np
import pytest

import resources
from core.errors import QuantizerError, SearchError
from core.model_io import inspect_model
from core.quant.recipe import Recipe, uniform
from core.search.space import anchors, build_space, is_open, width_of


@pytest.fixture(scope="module")
def info():
    return inspect_model(resources.path("models/jet_tagger.keras"))


def test_default_space_covers_kernels_biases_and_relus(info):
    space = build_space(info, Recipe())
    keys = {choice.key for choice in space.choices}
    assert keys == {f"{layer}.{p}" for layer in ("fc1", "fc2", "fc3", "output") for p in ("kernel", "bias")} | {
        "relu1.output", "relu2.output", "relu3.output"}
    kinds = {text.split("(")[0] for choice in space.choices if choice.parameter == "kernel" for text in choice.options}
    assert kinds == {"quantized_bits", "ternary", "binary", "quantized_po2"}
    assert {width_of(t) for c in space.choices if c.key == "relu1.output" for t in c.options} == set(range(2, 9))
    assert space.has_open
    assert space.size == 10**4 * 3**4 * 7**3


def test_open_is_what_does_not_name_its_integer_bits():
    assert is_open("quantized_bits(6,alpha=1)")
    assert is_open("quantized_relu")
    assert not is_open("quantized_relu(6,0)")
    assert not is_open("quantized_bits(6,integer=2,alpha=1)")
    assert not is_open("ternary(alpha='auto_po2')")


def test_decode_and_encode_are_inverse(info):
    space = build_space(info, Recipe()).resolved(lambda layer, parameter, spec: len(layer) % 3)
    assert not space.has_open
    random = np.random.default_rng(1)
    for _ in range(50):
        values = {c.key: int(random.integers(len(c.options))) for c in space.choices}
        recipe = space.decode(values)
        recipe.check(info)
        assert space.encode(recipe) == values
    assert space.encode(uniform(info, 6).with_quantizer("fc1", "kernel", "quantized_bits(31,0,alpha=1)")) is None
    assert space.encode(Recipe()) is None


def test_frozen_layers_and_parameters_not_named_keep_the_base(info):
    base = uniform(info, 7)
    space = build_space(info, base, {"kernel": ["ternary", "binary"]}, frozen=["fc2"])
    assert {c.key for c in space.choices} == {"fc1.kernel", "fc3.kernel", "output.kernel"}
    recipe = space.decode({"fc1.kernel": 1})
    assert recipe.text("fc1", "kernel") == "binary()"
    assert recipe.text("fc2", "kernel") == base.text("fc2", "kernel")
    assert recipe.text("fc1", "bias") == base.text("fc1", "bias")


def test_digest_tells_spaces_apart(info):
    options = {"kernel": ["ternary", "binary"]}
    one = build_space(info, uniform(info, 7), options)
    assert one.digest == build_space(info, uniform(info, 7).renamed("other name"), options).digest
    assert one.digest != build_space(info, uniform(info, 6), options).digest
    assert one.digest != build_space(info, uniform(info, 7), {"kernel": ["binary", "ternary"]}).digest


def test_anchors_begin_with_the_base_recipe_and_fall_in_width(info):
    space = build_space(info, uniform(info, 5), {"kernel": [f"quantized_bits({b},0,alpha=1)" for b in range(2, 9)],
                                                 "output": ["quantized_relu(5,0)"],
                                                 "bias": ["quantized_bits(5,0,alpha=1)"]})
    widths = [width_of(space.decode(point).text("fc1", "kernel")) for point in anchors(space)]
    assert widths == [5, 8, 6, 4, 3]


def test_anchors_of_the_default_space_hold_each_kind_of_kernel(info):
    space = build_space(info, Recipe())
    kernels = [space.decode(point).text("fc2", "kernel").split("(")[0] for point in anchors(space)]
    assert set(kernels) == {"quantized_bits", "quantized_po2", "ternary", "binary"}
    outputs = {width_of(space.decode(point).text("relu1", "output")) for point in anchors(space)[4:]}
    assert outputs == {6}
    assert len(kernels) == 4 + 3 + 3


@pytest.mark.parametrize(
    ("options", "frozen", "error", "says"),
    [
        ({"kernel": []}, [], SearchError, "empty"),
        ({}, ["fc1", "fc2", "fc3", "output", "relu1", "relu2", "relu3"], SearchError, "empty"),
        ({"gamma": ["quantized_bits(8,0)"]}, [], SearchError, "empty"),
        ({}, ["nothing"], SearchError, "nothing"),
        ({"weights": ["ternary"]}, [], SearchError, "weights"),
        ({"kernel": ["octonary"]}, [], QuantizerError, "octonary"),
        ({"kernel": ["quantized_relu(4)"]}, [], QuantizerError, "quantized_relu"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(info, options, frozen, error, says):
    with pytest.raises(error) as caught:
        build_space(info, Recipe(), options, frozen)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
