"""Precisions in force, exact sums kept between edits, and presets that fit."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

import resources
from core.energy import accumulator
from core.energy.effective import FLOAT32, THE_SUM, EffectivePrecision, format_of
from core.energy.presets import presets
from core.energy.published import network
from core.energy.scaled import resizable
from core.energy.settings import corrected
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.model_io import inspect_model, read_weights
from core.quant.edits import Origin
from core.quant.quantizers import Quantizer
from core.quant.recipe import uniform
from core.quant.spec import parse


@pytest.fixture(scope="module")
def jets():
    path = resources.path("models/jet_tagger.keras")
    return inspect_model(path), read_weights(path)


@pytest.mark.parametrize(("text", "name"), [
    ("quantized_bits(8,2,alpha=1)", "ap_fixed<8,3>"), ("quantized_relu(6,1)", "ap_ufixed<6,1>"),
    ("quantized_bits(8,2,keep_negative=False,alpha=1)", "ap_ufixed<8,2>"), ("binary(alpha=1)", "\u00b11, 1 bit"),
    ("quantized_bits(4,0,alpha='auto_po2')", "4 bit \u00d7 2^n"), ("binary(use_01=True)", "0/1, 1 bit"),
    ("ternary(alpha='auto')", "\u22121/0/1 \u00d7 scale, 2 bit"), ("quantized_po2(4)", "\u00b12^k, 4 bit")])
def test_that_formats_are_named_as_hls_writes_them(text, name):
    assert format_of(parse(text)) == name


def test_that_what_is_not_quantized_inherits_or_is_float(jets):
    info, weights = jets
    recipe = uniform(info, 6).with_quantizer("fc2", "bias", None).with_quantizer("relu3", "output", None)
    found = EffectivePrecision(info, weights).of(recipe, {("fc1", "kernel"): Origin("set")}).tensors
    assert found["fc1", "kernel"].origin == Origin("set")
    assert (found["fc1", "output"].origin.kind, found["fc1", "output"].origin.source) == ("inherited", THE_SUM)
    assert found["fc2", "bias"].format == FLOAT32
    assert found["relu3", "output"].origin == Origin("inherited", "fc3")
    assert found["softmax", "output"].format == FLOAT32


def test_that_sums_kept_between_edits_are_those_worked_out_anew(jets):
    info, weights = jets
    kept = EffectivePrecision(info, weights)
    recipe = uniform(info, 6)
    for change in (("fc3", "kernel", "binary()"), ("fc2", "kernel", "ternary()"),
                   ("relu1", "output", "quantized_relu(3,1)"),
                   ("fc2", "kernel", "quantized_bits(6,0,alpha=1)"), ("fc1", "bias", None)):
        recipe = recipe.with_quantizer(*change)
        quantized = {layer: {p: Quantizer(recipe.spec(layer, p))(v) for p, v in held.items()}
                     for layer, held in weights.items() if all(recipe.spec(layer, p) for p in held)}
        fresh = accumulator.check(info, recipe, quantized, corrected())
        assert [check for found in kept.of(recipe, {}).sums.values() for check in found] == fresh


def test_that_a_large_network_is_bounded_by_fan_in_within_the_time_of_an_edit():
    side = 600
    shapes = {"kernel": (side, side), "bias": (side,)}
    layers = [LayerInfo(name="x", class_name="InputLayer", output_shape=(side,))]
    for number in range(8):
        layers.append(LayerInfo(
            name=f"d{number}", class_name="Dense", inbound=(layers[-1].name,), input_shapes=((side,),),
            output_shape=(side,), config={"units": side, "use_bias": True}, macs=side * side,
            weights=tuple(WeightInfo(parameter=p, shape=s) for p, s in shapes.items())))
    info = ModelInfo(name="large", layers=tuple(layers), inputs=("x",), outputs=("d7",))
    weights = {layer.name: {p: np.ones(s, np.float32) for p, s in shapes.items()} for layer in layers[1:]}
    found = EffectivePrecision(info, weights)
    recipe = uniform(info, 6)
    found.of(recipe, {})
    started = time.process_time()
    sums = found.of(recipe.with_quantizer("d3", "kernel", "quantized_bits(5,0,alpha=1)"), {}).sums
    assert time.process_time() - started < 0.05
    assert {check.source for checks in sums.values() for check in checks} == {accumulator.FAN_IN}


def test_that_presets_fit_and_published_ones_are_carried_over_by_layer(jets):
    info, _ = jets
    found = {preset.title: preset.recipe for preset in presets(info, "quantized_bits(16,5,alpha=1)")}
    for recipe in found.values():
        recipe.check(info)
    assert found["Uniform 6-bit"].input == "quantized_bits(16,5,alpha=1)"
    assert found["Published BF"] == network("BF").recipe
    paper = network("QB").recipe
    for layer, parameter in (("fc2", "kernel"), ("relu3", "output"), ("output", "bias")):
        assert found["QB quantizers"].text(layer, parameter) == paper.text(layer, parameter)
    sized = found["QE quantizers and units"]
    assert [sized.layers[name].units_multiplier for name in ("fc1", "fc2", "fc3", "output")] == [0.5, 0.5, 0.5, 1.0]
    own = {preset.title for preset in presets(network("QE").model, "quantized_bits(16,5,alpha=1)")}
    assert {"Published QE", "Published QB"} <= own and "Published BF" not in own


def test_that_only_layers_behind_which_shapes_follow_are_resizable(jets):
    assert resizable(jets[0]) == {"fc1", "fc2", "fc3"}


def test_that_a_cell_with_a_float_state_is_priced_and_its_sum_is_not_checked():
    shapes = {"kernel": (8, 24), "recurrent_kernel": (6, 24), "bias": (24,)}
    layers = (LayerInfo(name="x", class_name="InputLayer", output_shape=(5, 8)),
              LayerInfo(name="lstm", class_name="LSTM", inbound=("x",), input_shapes=((5, 8),), output_shape=(6,),
                        config={"units": 6, "use_bias": True}, macs=1680,
                        weights=tuple(WeightInfo(parameter=p, shape=s) for p, s in shapes.items())))
    info = ModelInfo(name="cell", layers=layers, inputs=("x",), outputs=("lstm",))
    # a wide input: its sum of fixed-point products has more bits than the state's floats
    found = EffectivePrecision(info).of(uniform(info, 16, input_quantizer="quantized_bits(24,5,alpha=1)"), {})
    assert found.sums["lstm"][0].note == "computed in floating point"
    assert found.tensors["lstm", "output"].format == FLOAT32


def test_that_widths_of_channels_and_weights_are_told_as_the_largest(jets):
    info, weights = jets
    recipe = uniform(info, 6)
    recipe = recipe.with_layer("fc1", msgspec.structs.replace(recipe.layers["fc1"], widths={"kernel": "weight"}))
    found = EffectivePrecision(info, weights).of(recipe, {}).tensors
    assert found["fc1", "kernel"].format == "ap_fixed<6,1> at most, by weight"
    assert found["fc1", "bias"].format == "ap_fixed<6,1>"
