"""AutoQKeras's dictionaries as they are, and none of its mistakes in reading them."""

from __future__ import annotations

import json

import pytest

import resources
from core.errors import QuantizerError, SearchError
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.model_io import inspect_model
from core.project import Project
from core.quant.recipe import Recipe
from core.requests import Search
from core.search.autoqkeras import QUANTIZERS, autoqkeras_space, read_file
from core.search.engine import requested_space

#: as in AutoQKeras's notebook
CONFIG = {
    "kernel": {"binary": 1, "ternary": 2, "quantized_bits(2,1,1,alpha=1.0)": 2, "quantized_bits(4,0,1,alpha=1.0)": 4,
               "quantized_bits(8,0,1,alpha=1.0)": 8, "quantized_po2(4,1)": 4},
    "bias": {"quantized_bits(4,0,1)": 4, "quantized_bits(8,3,1)": 8, "quantized_po2(4,8)": 4},
    "activation": {"binary": 1, "ternary": 2, "quantized_relu(3,1)": 3, "quantized_relu(4,2)": 4,
                   "quantized_relu(8,2)": 8, "quantized_relu_po2(4,4)": 4},
    "linear": {"ternary": 2, "quantized_bits(4,1)": 4, "quantized_bits(8,2)": 8},
}


def weights(*names):
    return tuple(WeightInfo(parameter=name, shape=(2, 2)) for name in names)


def layer(name, class_name, *parameters, activation="linear"):
    return LayerInfo(name=name, class_name=class_name, weights=weights(*parameters),
                     config={"activation": activation})


@pytest.fixture(scope="module")
def jets():
    return inspect_model(resources.path("models/jet_tagger.keras"))


@pytest.fixture(scope="module")
def various():
    return ModelInfo(name="various", layers=(
        layer("bias_first", "Dense", "kernel", "bias", activation="relu"),
        layer("kernel_first", "Conv2D", "kernel", "bias"),
        layer("line", "Activation", activation="linear"),
        layer("apart", "SeparableConv2D", "depthwise", "pointwise", "bias"),
        layer("memory", "LSTM", "kernel", "recurrent_kernel", "bias", activation="tanh"),
        layer("default_tail", "Dense", "kernel", "bias"),
    ), inputs=(), outputs=())


def options(space):
    return {(c.layer, c.parameter): list(c.options) for c in space.choices}


def names(found):
    return [text.split("(")[0] + "(" + text.partition("(")[2].split(",")[0].rstrip(")") + ")" for text in found]


def test_the_notebook_s_dictionaries(jets):
    limit = {"Dense": [8, 8, 4], "Activation": [4]}
    found = options(autoqkeras_space(jets, Recipe(), CONFIG, limit))
    assert set(found) == {(f"fc{n}", p) for n in (1, 2, 3) for p in ("kernel", "bias")} | {
        ("output", "kernel"), ("output", "bias")} | {(f"relu{n}", "output") for n in (1, 2, 3)}
    assert len(found["fc1", "kernel"]) == 6
    assert found["fc1", "kernel"][4].startswith("quantized_bits(8,0")
    assert found["relu1", "output"] == [
        "quantized_relu(3,1)", "quantized_relu(4,2)", "quantized_relu_po2(4,max_value=4)"]
    assert not autoqkeras_space(jets, Recipe(), CONFIG, limit).has_open  # integer bits are as written


def test_patterns_lists_and_defaults(jets):
    limit = {"fc[12]$": [["binary", "ternary"]], "Dense": [4], "default": 4, "relu3": [3]}
    found = options(autoqkeras_space(jets, Recipe(), CONFIG, limit))
    assert names(found["fc1", "kernel"]) == ["binary()", "ternary()"]
    assert names(found["fc1", "bias"]) == ["quantized_bits(4)", "quantized_po2(4)"]
    assert "binary()" in names(found["fc3", "kernel"])
    assert "quantized_bits(8)" not in names(found["fc3", "kernel"])
    assert found["relu3", "output"] == ["quantized_relu(3,1)"]
    assert ("relu1", "output") not in found  # named by nothing: left as it is


def test_left_out_everything_may_be_chosen(jets):
    found = options(autoqkeras_space(jets, Recipe()))
    assert len(found["fc1", "kernel"]) == len(QUANTIZERS["kernel"])
    assert len(found["relu1", "output"]) == 6  # the ReLU kinds
    narrow = options(autoqkeras_space(jets, Recipe(), None, {"default": 4}, frozen=["fc1"]))
    assert ("fc1", "kernel") not in narrow
    assert "quantized_bits(8)" not in names(narrow["fc2", "kernel"])


def test_its_mistakes_are_not_made(various):
    config = {**CONFIG, "recurrent_kernel": {"quantized_bits(6,0,1)": 6},
              "pointwise_kernel": {"quantized_bits(5,0,1)": 5}, "recurrent_activation": {"quantized_sigmoid(6)": 6}}
    limit = {"Dense": [8, 8, 8], "Conv2D": [8, 8, 8], "SeparableConv2D": [8, 8, 8], "LSTM": [4, 8],
             "Activation": [8], "default": 8}
    found = options(autoqkeras_space(various, Recipe(), config, limit))
    assert names(found["memory", "recurrent_kernel"]) == ["quantized_bits(6)"]  # not those of the kernel
    assert names(found["apart", "pointwise"]) == ["quantized_bits(5)"]
    assert len(found["apart", "depthwise"]) == 6
    assert names(found["memory", "kernel"])[-1] == "quantized_po2(4)"
    assert "quantized_bits(8)" not in names(found["memory", "kernel"])
    assert names(found["memory", "recurrent_activation"]) == ["quantized_sigmoid(6)"]
    assert len(found["bias_first", "kernel"]) == 6  # whatever a layer is called
    assert len(found["kernel_first", "bias"]) == 3
    assert names(found["line", "output"]) == ["ternary()", "quantized_bits(4)", "quantized_bits(8)"]
    narrow = options(autoqkeras_space(various, Recipe(), config, {"^line": [["binary"], 8, 4]}))
    assert names(narrow["line", "output"]) == ["ternary()", "quantized_bits(4)"]  # the last place is the output's
    assert not [place for place in options(autoqkeras_space(various, Recipe(), config, {"Conv2D": 8, "default": 4}))
                if place[0] == "default_tail"]  # "default" is no pattern


@pytest.mark.parametrize(("config", "limit", "said"), [
    ({"kernels": {}}, {}, "no part"),
    ({"kernel": {"ternary": "two"}}, {}, "bits of ternary"),
    ({}, {"Dense": ["8"]}, "limit of 'Dense'"),
    ({}, {"Dense": [0, 8, 8]}, "leaves no quantizer"),
    ({}, {"Dense": [["quantized_bits(3)"], 8, 8]}, "quantized_bits"),
    ({}, {"(": [8]}, "pattern"),
    ({}, {"Conv2D": [8, 8, 8]}, "empty"),
    ({"kernel": 3}, {}, "no part"),
])
def test_what_cannot_be_read_is_a_sentence(jets, config, limit, said):
    with pytest.raises(SearchError, match=said.replace("(", r"\(")):
        autoqkeras_space(jets, Recipe(), config, limit)


def test_what_is_no_quantizer_is_refused_and_nothing_is_run(jets, tmp_path):
    with pytest.raises(QuantizerError):
        autoqkeras_space(jets, Recipe(), {"kernel": {"__import__('os').abort()": 1}}, {})
    file = tmp_path / "settings.py"
    file.write_text("__import__('os').abort()")
    with pytest.raises(SearchError):
        read_file(file)


def test_files_and_requests(jets, tmp_path):
    file = tmp_path / "settings.json"
    limit = {"Dense": [4, 8, 4], "Activation": [4]}
    file.write_text(json.dumps({"quantization_config": CONFIG, "limit": limit}))
    assert read_file(file) == (CONFIG, limit)
    file.write_text(repr({"quantization_config": CONFIG, "limit": limit}))  # a Python literal, as in a notebook
    assert read_file(file) == (CONFIG, limit)
    file.write_text(json.dumps(CONFIG))
    assert read_file(file) == (CONFIG, {})
    with Project.create(tmp_path / "p", resources.path("models/jet_tagger.keras"), "jets") as project:
        request = Search(project=str(project.folder), trials=1, quantization_config=CONFIG, limit=limit)
        assert requested_space(project, request) == autoqkeras_space(project.info, project.recipe, CONFIG, limit)
