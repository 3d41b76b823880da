"""Quantized layers: every class built, trained, saved and read back; the arithmetic by Keras's own layers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from core.model_info import ACTIVATIONS, EXTRAS, FOLDED, MOVING, PARAMETERS
from core.model_io import describe_model, inspect_model, load_model
from core.quant import Recipe, predict, quantize, quantizer, uniform
from core.quant.build import in_double
from core.quant.folding import fold_batchnorm, foldable
from core.quant.layers import QUANTIZED_CLASSES, QAdaptiveActivation, QuantizedLayer
from core.quant.recipe import LayerRecipe
from core.quant.samples import SAMPLES, events_for, sample

L = keras.layers
WEIGHT, OUTPUT = "quantized_bits(5,1,alpha=1)", "quantized_bits(6,2,alpha=1)"


def _model(name: str, quantized: bool = True) -> keras.Model:
    texts = {p: "quantized_bits(9,0,alpha=1)" if p == "average" else WEIGHT for p in SAMPLES[name][2]}
    return sample(name, {**texts, "output": OUTPUT} if quantized else None)


def test_there_is_a_case_for_each_class() -> None:
    assert set(SAMPLES) == set(QUANTIZED_CLASSES)


def test_what_the_table_offers_is_what_there_are_classes_for() -> None:
    assert (set(PARAMETERS) | ACTIVATIONS) == set(QUANTIZED_CLASSES)
    assert set(PARAMETERS) > FOLDED and not MOVING & set(QUANTIZED_CLASSES)
    for name, cls in QUANTIZED_CLASSES.items():
        if name != "Bidirectional":
            assert set(PARAMETERS.get(name, ())) == set(cls.slots), name


@pytest.mark.parametrize("name", SAMPLES)
def test_each_class_trains_and_is_the_same_after_saving(name: str, tmp_path: Path) -> None:
    model = _model(name)
    events = events_for(model)
    model.compile("adam", "mse")
    before = [w.copy() for w in model.get_weights()]
    model.fit(events, np.random.default_rng(2).normal(size=(64, *model.output_shape[1:])), epochs=2, verbose=0)
    if model.trainable_weights:
        assert any(not np.array_equal(b, a) for b, a in zip(before, model.get_weights(), strict=True))
    found = predict(model, events)
    grid = quantizer(OUTPUT).grid()
    assert np.isin(found, grid).all() and len(np.unique(found)) > 3
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert again.layers[-1].name == "tested"
    np.testing.assert_array_equal(predict(again, events), found)
    seen = inspect_model(tmp_path / "model.keras").find("tested")
    assert seen is not None and seen.class_name == name and seen.output_shape == model.output_shape[1:]
    assert set(seen.quantizable) >= {*SAMPLES[name][2], "output"}


@pytest.mark.parametrize("name", [n for n in SAMPLES if n not in FOLDED])
def test_without_quantizers_each_class_is_keras_own(name: str) -> None:
    plain = _model(name, quantized=False)
    info = describe_model(plain)
    many = {p: "quantized_bits(24,6,alpha=1)" for p in SAMPLES[name][2]}
    recipe = Recipe(layers={"tested": LayerRecipe(quantizers={**many, "output": "quantized_bits(24,6,alpha=1)"})},
                    input="quantized_bits(24,6,alpha=1)")
    recipe.check(info)
    built = quantize(plain, recipe)
    assert isinstance(built.get_layer("tested"), QuantizedLayer)
    events = events_for(plain)
    wanted, found = predict(plain, events), predict(built, events)
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert not np.array_equal(found, wanted)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN", "Bidirectional"])
def test_a_recurrent_layer_is_that_of_keras_with_quantized_weights(name: str) -> None:
    plain = _model(name, quantized=False)
    texts = dict.fromkeys(("kernel", "recurrent_kernel", "bias"), WEIGHT)
    recipe = Recipe(layers={"tested": LayerRecipe(quantizers=texts)}, input="quantized_bits(8,3,alpha=1)")
    built = quantize(plain, recipe)
    reference = keras.models.clone_model(plain)
    chosen = quantizer(WEIGHT)
    reference.set_weights([chosen(w) for w in plain.get_weights()])
    events = events_for(plain)
    wanted = predict(reference, np.asarray(quantizer("quantized_bits(8,3,alpha=1)")(events)))
    np.testing.assert_allclose(predict(built, events), wanted, atol=1e-6)


def test_states_are_quantized_as_they_enter_a_step() -> None:
    units, steps = 2, 3
    layer = QUANTIZED_CLASSES["SimpleRNN"](units, quantizers={"state": "quantized_bits(3,0,alpha=1)"})
    inputs = keras.Input((steps, 1))
    model = keras.Model(inputs, layer(inputs))
    kernel, recurrent, bias = layer.get_weights()
    events = np.random.default_rng(0).normal(size=(5, steps, 1)).astype(np.float32)
    state = np.zeros((5, units), np.float32)
    for step in range(steps):
        state = np.tanh(events[:, step] @ kernel + bias + quantizer("quantized_bits(3,0,alpha=1)")(state) @ recurrent)
    np.testing.assert_allclose(predict(model, events), state, atol=1e-6)


@pytest.mark.parametrize("name", ["LSTM", "Conv2D", "Bidirectional", "Conv2DBatchnorm"])
def test_in_double_precision_weights_are_the_same(name: str) -> None:
    model = _model(name)
    double = in_double(model)
    for parameter, values in model.get_layer("tested").quantized_weights().items():
        np.testing.assert_array_equal(double.get_layer("tested").quantized_weights()[parameter], values)
    assert predict(model, events_for(model), "float64").dtype == np.float64


def test_random_kinds_are_random_in_training_and_not_at_inference() -> None:
    for kind in ("stochastic_ternary(alpha=1)", "stochastic_binary(alpha=1)",
                 "quantized_bits(4,0,alpha=1,use_stochastic_rounding=True)"):
        for name in ("Dense", "Conv2D", "LSTM"):
            layer = sample(name, {"kernel": kind}).get_layer("tested")
            draws = [keras.ops.convert_to_numpy(layer.quantized("kernel", True)) for _ in range(6)]
            assert any(not np.array_equal(draws[0], d) for d in draws[1:]), (kind, name)
            np.testing.assert_array_equal(layer.quantized("kernel"), layer.quantized("kernel"))


@pytest.mark.parametrize("granularity", ["tensor", "channel", "weight"])
def test_widths_are_variables_of_their_granularity(granularity: str, tmp_path: Path) -> None:
    plain = _model("Conv2D", quantized=False)
    entry = LayerRecipe(quantizers={"kernel": "quantized_bits(6,0,alpha=1)", "output": "quantized_relu(6,2)"},
                        widths={"kernel": granularity, "output": "channel"})
    model = quantize(plain, Recipe(layers={"tested": entry}))
    layer = model.get_layer("tested")
    expected = {"tensor": (), "channel": (3,), "weight": (2, 2, 2, 3)}[granularity]
    assert tuple(layer.kernel_bits.shape) == expected and tuple(layer.output_bits.shape) == (3,)
    layer.kernel_bits.assign(np.full(expected, 2.0))
    assert np.isin(layer.quantized_weights()["kernel"], [-1.0, -0.5, 0.0, 0.5]).all()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(load_model(tmp_path / "model.keras"), events_for(model)),
                                  predict(model, events_for(model)))


def test_an_average_is_the_sum_times_the_quantized_factor() -> None:
    inputs = keras.Input((4, 3, 2))
    layer = QUANTIZED_CLASSES["GlobalAveragePooling2D"](quantizers={"average": "quantized_bits(4,0,alpha=1)"})
    events = np.random.default_rng(0).normal(size=(5, 4, 3, 2)).astype(np.float32)
    factor = float(quantizer("quantized_bits(4,0,alpha=1)")(np.array([1 / 12]))[0])
    np.testing.assert_allclose(predict(keras.Model(inputs, layer(inputs)), events),
                               events.sum(axis=(1, 2)) * factor, rtol=1e-5)


def test_an_adaptive_activation_learns_its_range(tmp_path: Path) -> None:
    inputs = keras.Input((3,))
    layer = QAdaptiveActivation("quantized_relu", 6, ema_decay=0.5, per_channel=True, name="adapts")
    model = keras.Model(inputs, layer(inputs))
    scale = np.array([0.5, 3.0, 20.0], np.float32)
    events = (np.random.default_rng(0).random((256, 3)) * scale).astype(np.float32)
    for _ in range(12):
        model(events, training=True)
    np.testing.assert_array_equal(layer.integer_bits(), [0, 2, 5])
    expected = [quantizer(f"quantized_relu(6,{n},is_quantized_clip=False)")(events[:, i:i + 1])
                for i, n in enumerate((0, 2, 5))]
    np.testing.assert_allclose(predict(model, events), np.concatenate(expected, axis=1), atol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(load_model(tmp_path / "model.keras"), events), predict(model, events))


def _normalized() -> keras.Model:
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((6, 6, 2), name="x")
    x = L.BatchNormalization(name="bn1")(L.Conv2D(4, 3, name="conv")(x))
    x = L.Activation("relu", name="relu")(x)
    x = L.BatchNormalization(name="bn2", scale=False)(L.DepthwiseConv2D(2, use_bias=False, name="depth")(x))
    x = L.Dense(3, activation="relu", name="no")(L.Flatten(name="flat")(x))
    x = L.BatchNormalization(name="bn3")(x)
    x = L.BatchNormalization(name="bn4", center=False)(L.Dense(3, name="dense")(x))
    model = keras.Model(inputs, x)
    random = np.random.default_rng(0)
    for layer in model.layers:
        size = 1.0 if isinstance(layer, L.BatchNormalization) else 0.3
        layer.set_weights([random.uniform(0.5, 1.5, w.shape) * size for w in layer.get_weights()])
    return model


@pytest.mark.parametrize("trainable", [True, False])
def test_folding_keeps_the_outputs(trainable: bool) -> None:
    model = _normalized()
    assert foldable(model) == {"conv": "bn1", "depth": "bn2", "dense": "bn4"}
    folded = fold_batchnorm(model, trainable)
    assert [layer.name for layer in folded.layers] == ["x", "conv", "relu", "depth", "flat", "no", "bn3", "dense"]
    events = events_for(model)
    np.testing.assert_allclose(predict(folded, events), predict(model, events), rtol=2e-5, atol=2e-5)


def test_a_folded_layer_in_float_trains_as_the_pair_does() -> None:
    model = _normalized()
    events = events_for(model)
    for mode in ("ema_stats_folding", "batch_stats_folding"):
        folded = fold_batchnorm(model)
        for name in ("conv", "depth", "dense"):
            folded.get_layer(name).folding_mode = mode
        np.testing.assert_allclose(folded(events, training=True), model(events, training=True), rtol=2e-3, atol=2e-3)
        moved = folded.get_layer("conv").moving_mean.numpy()
        np.testing.assert_allclose(moved, model.get_layer("bn1").moving_mean.numpy(), rtol=1e-4)
        model = _normalized()


def test_what_is_quantized_of_a_folded_layer_is_the_folded_kernel() -> None:
    folded = fold_batchnorm(_normalized())
    model = quantize(folded, uniform(describe_model(folded), 8, 3))
    layer = model.get_layer("conv")
    kernel, bias, gamma, beta, _, mean, variance = layer.get_weights()
    factor = gamma / np.sqrt(variance + layer.epsilon)
    chosen = quantizer("quantized_bits(8,3,alpha=1)")
    np.testing.assert_allclose(layer.quantized_weights()["kernel"], chosen(kernel * factor), atol=1e-6)
    np.testing.assert_allclose(layer.quantized_weights()["bias"], chosen((bias - mean) * factor + beta), atol=1e-6)


def test_a_layer_without_a_quantized_form_stays_in_float_and_is_named() -> None:
    inputs = keras.Input((4,), name="x")
    hidden = L.LayerNormalization(name="norm")(L.Dense(4, name="fc")(inputs))
    model = keras.Model(inputs, L.Activation("softmax", name="softmax")(L.Dense(2, name="out")(hidden)))
    info = describe_model(model)
    recipe = Recipe(layers={"fc": LayerRecipe(quantizers={"kernel": WEIGHT}),
                            "norm": LayerRecipe(quantizers={"gamma": WEIGHT})})
    recipe.check(info)
    built = quantize(model, recipe)
    assert built.get_layer("norm").__class__ is L.LayerNormalization
    assert recipe.left_in_float(info) == [
        ("norm", "there is no quantized form of LayerNormalization"),
        ("out", "the recipe gives it no quantizer"),
        ("softmax", "a softmax stays in float, or is left out on export")]


def test_extras_are_taken_by_the_classes_that_offer_them() -> None:
    for name, extras in EXTRAS.items():
        assert set(extras) <= {*SAMPLES[name][2], "activation", "recurrent_activation"}
