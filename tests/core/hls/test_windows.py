"""Convolutions, pooling, merges and moving layers as RTL: the logic against Keras, and one network by Verilator."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import ExportError
from core.events import Monitor
from core.hls.export import ExportOptions, export
from core.hls.network import logits_model, read_network
from core.hls.rtl_alkaid import trace_network
from core.model_io import describe_model
from core.quant import Recipe, predict, quantize, uniform
from core.quant.folding import fold_batchnorm
from core.quant.recipe import LayerRecipe
from core.quant.samples import SAMPLES, events_for, sample

L = keras.layers
WEIGHT, OUTPUT, SOURCE = "quantized_bits(6,1,alpha=1)", "quantized_bits(7,3,alpha=1)", "quantized_bits(8,3,alpha=1)"
EXACT = ("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv1D",
         "SeparableConv2D", "DenseBatchnorm", "Conv1DBatchnorm", "Conv2DBatchnorm", "DepthwiseConv2DBatchnorm",
         "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "Add", "Subtract",
         "Multiply", "Maximum", "Minimum", "Concatenate")


def _logic_equals_keras(model: keras.Model, count: int = 48) -> None:
    events = events_for(model, count)
    wanted = predict(logits_model(model)[0], events, "float64").reshape(count, -1)
    entry = next(layer for layer in model.layers if layer.name.endswith("_quantizer")).output_quantizer
    found = np.asarray(trace_network(read_network(model)).predict(
        np.asarray(entry(events.astype(np.float64))).reshape(count, -1)))
    np.testing.assert_array_equal(found.reshape(count, -1), wanted)
    assert len(np.unique(wanted)) > 2


@pytest.mark.parametrize("name", EXACT)
def test_the_logic_of_each_class_equals_keras(name: str) -> None:
    texts = {p: "quantized_bits(8,0,alpha=1)" if p == "average" else WEIGHT for p in SAMPLES[name][2]}
    layers = {"tested": LayerRecipe(quantizers={**texts, "output": OUTPUT})}
    _logic_equals_keras(quantize(sample(name), Recipe(layers=layers, input=SOURCE)))


@pytest.mark.parametrize("layer", [
    L.Permute((2, 1, 3)), L.ZeroPadding2D(((1, 0), (2, 1))), L.UpSampling2D(2), L.Cropping2D(1), L.MaxPooling2D(2),
    L.MaxPooling2D(2, strides=1, padding="same"), L.GlobalMaxPooling2D(), L.Flatten(), L.Reshape((8, 3))],
    ids=lambda layer: type(layer).__name__)
def test_values_are_moved_and_chosen_as_keras_does(layer: keras.Layer) -> None:
    inputs = keras.Input((4, 3, 2), name="x")
    _logic_equals_keras(quantize(keras.Model(inputs, layer(inputs)), Recipe(input=SOURCE)))


@pytest.mark.parametrize(("padding", "strides", "dilation"), [("same", 1, 1), ("same", 2, 1), ("valid", 1, 2)])
def test_windows_follow_padding_strides_and_dilation(padding: str, strides: int, dilation: int) -> None:
    inputs = keras.Input((5, 4, 2), name="x")
    layer = L.Conv2D(2, (3, 2), strides=strides, dilation_rate=dilation, padding=padding, activation="relu", name="c",
                     bias_initializer="random_normal")
    recipe = Recipe(layers={"c": LayerRecipe(quantizers={"kernel": WEIGHT, "bias": WEIGHT, "output": OUTPUT})},
                    input=SOURCE)
    _logic_equals_keras(quantize(keras.Model(inputs, layer(inputs)), recipe))


def test_an_average_by_no_power_of_two_asks_for_a_quantizer() -> None:
    inputs = keras.Input((3, 3, 2), name="x")
    model = quantize(keras.Model(inputs, L.AveragePooling2D(3, name="mean")(inputs)), Recipe(input=SOURCE))
    with pytest.raises(ExportError, match=r"divides by 9.*Give its average a quantizer"):
        read_network(model)


def test_a_looked_up_output_of_an_average_is_that_of_the_average_not_of_the_sum(tmp_path: Path) -> None:
    """Found by the matrix: the C++ looked the sum up."""
    inputs = keras.Input((4, 2), name="x")
    plain = keras.Model(inputs, L.AveragePooling1D(2, name="mean")(inputs))
    model = quantize(plain, Recipe(layers={"mean": LayerRecipe(quantizers={"output": "quantized_sigmoid(5)"})},
                                   input=SOURCE))
    report = export(model, events_for(model, 64), ExportOptions("hls4ml", events=64), tmp_path / "c0001-hls4ml",
                    Monitor())
    assert report.exactness is not None and report.exactness.verified


def test_a_normalization_with_random_weights_is_refused() -> None:
    inputs = keras.Input((3,), name="x")
    plain = keras.Model(inputs, L.BatchNormalization(name="bn")(inputs))
    texts = {"gamma": "bernoulli(alpha=1.0)", "output": OUTPUT}
    with pytest.raises(ExportError, match="random at inference"):
        read_network(quantize(plain, Recipe(layers={"bn": LayerRecipe(quantizers=texts)}, input=SOURCE)))


def _pictures() -> keras.Model:
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((6, 6, 1), name="x")
    x = L.BatchNormalization(name="bn")(L.Conv2D(3, 3, name="conv")(x))
    x = L.Activation("relu", name="relu1")(x)
    y = L.BatchNormalization(name="bn2")(L.DepthwiseConv2D(3, padding="same", name="depth")(x))
    x = L.Add(name="skip")([x, y])
    x = L.Activation("relu", name="relu2")(x)
    x = L.MaxPooling2D(2, name="pool")(x)
    x = L.Flatten(name="flat")(x)
    return keras.Model(inputs, L.Activation("softmax", name="softmax")(L.Dense(3, name="out")(x)))


def test_a_picture_network_is_exact_as_cpp_and_as_rtl(tmp_path: Path) -> None:
    folded = fold_batchnorm(_pictures())
    recipe = uniform(describe_model(folded), 6, 2, input_quantizer=SOURCE).with_quantizer("skip", "output", OUTPUT)
    built = quantize(folded, recipe)
    options = ExportOptions(flow="both", part="xcvu9p-flgb2104-2L-e", clock_ns=5.0, events=400, synthesize=False)
    report = export(built, events_for(built, 400), options, tmp_path / "out", Monitor())
    assert report.exactness.mismatches == 0
    assert [check.values for check in report.exactness.flows.values()] == [1200, 1200]
