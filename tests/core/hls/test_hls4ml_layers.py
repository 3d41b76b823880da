"""Every layer class and quantizer kind through hls4ml: C++ compiled by g++ against Keras, value for value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from core.errors import ExportError
from core.hls.hls4ml_flow import check, convert, hls4ml_mismatches
from core.hls.hls4ml_options import Hls4mlOptions
from core.quant import Recipe, quantize
from core.quant.recipe import LayerRecipe
from core.quant.samples import SAMPLES, events_for, sample

L = keras.layers
WEIGHT, OUTPUT, SOURCE = "quantized_bits(6,1,alpha=1)", "quantized_bits(7,3,alpha=1)", "quantized_bits(8,3,alpha=1)"
INSIDE = {"average": "quantized_bits(8,0,alpha=1)", "activation": "quantized_tanh(6)", "state": OUTPUT,
          "recurrent_activation": "quantized_sigmoid(6)"}
KINDS = ["quantized_bits(5,1,alpha=0.5)", "quantized_linear(5,1,alpha=1)", "quantized_relu(5,2,negative_slope=0.125)",
         "quantized_tanh(5,use_real_tanh=True)", "quantized_sigmoid(6)",
         "quantized_hswish(6,2,alpha=1)", "quantized_po2(4)", "quantized_relu_po2(4,2)", "binary(alpha=1)",
         "ternary(alpha=1)", "stochastic_binary(alpha=1)", "stochastic_ternary(alpha=1)"]
KERNELS = ["quantized_bits(4,0)", "quantized_bits(4,1,1,alpha=0.5)", "quantized_linear(4,0,alpha=1)",
           "quantized_po2(4,1)", "ternary(alpha='auto_po2')", "binary(alpha='auto_po2')",
           "stochastic_binary(alpha='auto_po2')", "stochastic_ternary(alpha='auto_po2')", "quantized_ulaw(4,0)"]


def _of(name: str, output: str = OUTPUT, weight: str = WEIGHT) -> keras.Model:
    texts = {p: INSIDE.get(p, WEIGHT if p == "bias" else weight) for p in SAMPLES[name][2]}
    if name == "Bidirectional":
        texts |= {"activation": INSIDE["activation"], "recurrent_activation": INSIDE["recurrent_activation"]}
    layers = {"tested": LayerRecipe(quantizers={**texts, "output": output})}
    return quantize(sample(name), Recipe(layers=layers, input=SOURCE))


def _branches(kinds: list[str]) -> keras.Model:
    """One Dense, and behind it each kind of output on a branch of its own."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,), name="x")
    hidden = L.Dense(3, name="fc")(inputs)
    ends = [L.Activation("linear", name=f"end{n}")(hidden) for n in range(len(kinds))]
    layers = {"fc": LayerRecipe(quantizers={"kernel": WEIGHT, "bias": WEIGHT})}
    layers |= {f"end{n}": LayerRecipe(quantizers={"output": kind}) for n, kind in enumerate(kinds)}
    return quantize(keras.Model(inputs, L.Concatenate(name="all")(ends)), Recipe(layers=layers, input=SOURCE))


def test_every_output_kind_is_exact_in_cpp() -> None:
    model = _branches(KINDS)
    assert hls4ml_mismatches(model, events_for(model, 400) * 2) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_output_kind_is_exact_alone(kind: str) -> None:
    model = _branches([kind, OUTPUT])
    assert hls4ml_mismatches(model, events_for(model, 400) * 2) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SAMPLES))
def test_each_layer_class_is_exact_in_cpp(name: str) -> None:
    model = _of(name)
    assert hls4ml_mismatches(model, events_for(model, 200)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("weight", KERNELS)
@pytest.mark.parametrize("name", ["Dense", "SeparableConv2D", "GRU"])
def test_each_weight_kind_is_exact_in_cpp(name: str, weight: str) -> None:
    model = _of(name, weight=weight)
    assert hls4ml_mismatches(model, events_for(model, 100)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
@pytest.mark.parametrize("name", ["Dense", "Conv2D", "SeparableConv1D", "AveragePooling2D", "Add", "LeakyReLU",
                                  "Activation"])
def test_streams_are_exact_too(name: str, backend: str) -> None:
    model = _of(name)
    assert hls4ml_mismatches(model, events_for(model, 100), Hls4mlOptions(backend=backend, io_type="io_stream")) == 0


@pytest.mark.slow
@pytest.mark.parametrize("layer", [
    L.Permute((2, 1, 3)), L.ZeroPadding2D(((1, 0), (2, 1))), L.UpSampling2D(2), L.Cropping2D(1), L.MaxPooling2D(2),
    L.GlobalMaxPooling2D(), L.Flatten(), L.Reshape((8, 3)), L.Dropout(0.5)], ids=lambda layer: type(layer).__name__)
def test_layers_without_weights_are_exact_in_cpp(layer: Any) -> None:
    inputs = keras.Input((4, 3, 2), name="x")
    model = quantize(keras.Model(inputs, layer(inputs)), Recipe(input=SOURCE))
    assert hls4ml_mismatches(model, events_for(model, 100)) == 0


def test_a_gated_layer_with_widths_by_channel_is_exact_in_cpp() -> None:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((2, 2), name="x")
    dense = L.Dense(3, name="out")(L.GRU(2, name="gru")(inputs))
    recipe = Recipe(input=SOURCE, layers={
        "gru": LayerRecipe(quantizers={p: INSIDE.get(p, WEIGHT) for p in SAMPLES["GRU"][2]}),
        "out": LayerRecipe(quantizers={"kernel": WEIGHT, "bias": WEIGHT, "output": OUTPUT},
                           widths={"kernel": "weight", "output": "channel"})})
    model = quantize(keras.Model(inputs, dense), recipe)
    out = model.get_layer("out")
    out.width_variables("kernel")["bits"].assign(np.arange(6).reshape(2, 3) + 2.0)
    out.width_variables("output")["bits"].assign([3.0, 5.0, 7.0])
    assert hls4ml_mismatches(model, events_for(model, 200)) == 0


@pytest.mark.parametrize(("weight", "output", "says"), [
    (WEIGHT, "quantized_ulaw(6,1)", "no exact fixed-point form"), (WEIGHT, "bernoulli()", "random at inference"),
    ("quantized_bits(4,0,alpha='auto')", OUTPUT, "no exact fixed-point form"),
    (WEIGHT, "quantized_bits(4,0,alpha='auto_po2')", "scales by the data of each batch"),
])
def test_what_has_no_exact_form_is_refused_by_the_layers_name(weight: str, output: str, says: str) -> None:
    with pytest.raises(ExportError, match=rf"'tested'.*{says}") as caught:
        convert(_of("Dense", output, weight), Path("never-written"))
    assert caught.value.remedy and not Path("never-written").exists()


@pytest.mark.parametrize(("options", "says"), [
    (Hls4mlOptions(backend="Vhdl"), "no backend 'Vhdl'"), (Hls4mlOptions(io_type="io_serial"), "no IO type"),
    (Hls4mlOptions(strategy="Fast"), "no strategy 'Fast'"), (Hls4mlOptions(reuse_factor=0), "out of range"),
    (Hls4mlOptions(layer_reuse={"nothing": 2}), "no layer is named 'nothing'"),
    (Hls4mlOptions(backend="Libero"), "asks SmartHLS"), (Hls4mlOptions(backend="Quartus", softmax="argmax"), "softmax"),
    (Hls4mlOptions(backend="Quartus", strategy="distributed_arithmetic"), "no strategy"),
    (Hls4mlOptions(backend="VivadoAccelerator", board="laptop"), "no board"),
])
def test_settings_that_cannot_be_are_refused_with_a_remedy(options: Hls4mlOptions, says: str) -> None:
    with pytest.raises(ExportError, match=says) as caught:
        check(_of("Dense"), options)
    assert caught.value.remedy


def test_settings_of_a_layer_go_before_those_for_all() -> None:
    options = Hls4mlOptions(reuse_factor=2, layer_reuse={"fc*": 4, "fc1": 8}, layer_strategy={"fc1": "Resource"})
    assert options.of_layer("fc0") == ("Latency", 4)
    assert options.of_layer("fc1") == ("Resource", 8)
    assert options.of_layer("out") == ("Latency", 2)
