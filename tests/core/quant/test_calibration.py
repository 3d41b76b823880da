"""Integer bits from data, saturation counts, and what each quantizer alone costs, against direct computation."""

from __future__ import annotations

import dataclasses
from functools import cache

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Cancelled, QuantizerError
from core.events import LogLine, Monitor, Progress
from core.model_io import describe_model
from core.quant import calibrate, quantize, quantizer, saturation, sensitivity, uniform
from core.quant.calibration import HIGHEST, LOWEST, Sample, best_integers, integer_bits, samples_of, set_integer_bits
from core.quant.evaluation import judge
from core.quant.recipe import INPUT, LayerRecipe, Recipe
from core.quant.spec import parse
from core.quant.training import TrainOptions, train
from tests.core.quant.small import dataset, network

DATA = dataset()


@cache
def trained() -> keras.Model:
    """A float model that knows its task."""
    model = network()
    train(model, DATA, TrainOptions(epochs=6, batch_size=64, learning_rate=0.01))
    return model


@cache
def recipe(bits: int = 5) -> Recipe:
    base = uniform(describe_model(trained()), bits)
    return base.with_quantizer("second", "kernel", f"quantized_bits({bits},0,1,alpha=1)")


def values(spread: float, heavy: bool, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.standard_t(2, (300, 3)) if heavy else rng.normal(size=(300, 3))
    return (spread * np.array([0.1, 1, 5]) * drawn).astype(np.float32)


SPECS = st.sampled_from(["quantized_bits({},0,alpha=1)", "quantized_bits({},0,1,alpha=1)", "quantized_relu({},0)",
                         "quantized_bits({},0,keep_negative=False,alpha=1)", "quantized_linear({},0)"])


@settings(max_examples=40, deadline=None)
@given(SPECS, st.integers(2, 10), st.floats(0.05, 20), st.booleans(), st.integers(0, 99))
def test_the_choice_by_mean_square_is_the_least_of_all_integer_bits(text, bits, spread, heavy, seed) -> None:
    spec, x = parse(text.format(bits)), values(spread, heavy, seed)
    x = np.abs(x) if "relu" in text else x

    def error(integer: int, part: np.ndarray) -> float:
        return float(np.mean((np.asarray(quantizer(spec.replace(integer=integer))(part)) - part) ** 2))

    found = best_integers(Sample.of(x, x), spec)
    for channel in range(3):
        every = [error(integer, x[:, channel]) for integer in range(LOWEST, HIGHEST + 1)]
        assert error(int(found[channel]), x[:, channel]) == pytest.approx(min(every), rel=1e-5)
    whole = best_integers(Sample.of(x, x).as_one(), spec)
    assert error(int(whole[0]), x) == pytest.approx(min(error(i, x) for i in range(LOWEST, HIGHEST + 1)), rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(SPECS, st.integers(2, 12), st.floats(0.05, 20), st.integers(0, 99))
def test_min_max_holds_every_value_and_one_bit_less_would_not(text, bits, spread, seed) -> None:
    spec, x = parse(text.format(bits)), values(spread, True, seed)
    x = np.abs(x) if "relu" in text or "keep_negative" in text else x
    found = best_integers(Sample.of(x, x), spec, "min_max")
    for channel, integer in enumerate(found):
        column = x[:, channel]
        for width, holds in ((int(integer), True), (int(integer) - 1, False)):
            if LOWEST <= width < HIGHEST:
                chosen = quantizer(spec.replace(integer=width)).fixed_point()
                assert chosen is not None
                clipped = np.clip(column, chosen.minimum, chosen.maximum)
                assert (np.abs(column - clipped).max() <= 2.0**-chosen.fraction / 2) is np.bool_(holds)


def test_a_percentile_gives_up_so_many_values_and_no_more() -> None:
    x = np.random.default_rng(0).standard_t(2, (20000, 1)).astype(np.float32)
    spec = parse("quantized_bits(8,0,alpha=1)")
    for percentile in (90.0, 99.0, 100.0):
        integer = int(best_integers(Sample.of(x, x), spec, "percentile", percentile)[0])
        high = quantizer(spec.replace(integer=integer)).fixed_point()
        lower = quantizer(spec.replace(integer=integer - 1)).fixed_point()
        assert high is not None and lower is not None
        assert (x > high.maximum * 1.01).mean() <= 1.05 * (1 - percentile / 100)
        assert (x > lower.maximum).mean() >= 0.9 * (1 - percentile / 100)
    with pytest.raises(QuantizerError):
        best_integers(Sample.of(x, x), spec, "most")


def test_zeros_and_fitted_scales_keep_their_integer_bits() -> None:
    zeros = np.zeros((10, 2), np.float32)
    for method in ("mse", "min_max"):
        assert best_integers(Sample.of(zeros, zeros), parse("quantized_bits(6,2,alpha=1)"), method).tolist() == [2, 2]
    ones = zeros + 30
    assert best_integers(Sample.of(ones, ones), parse("quantized_bits(6,2,alpha='auto')")).tolist() == [2, 2]
    bounded = "quantized_relu(6,2,relu_upper_bound=3,is_quantized_clip=False)"
    for text in ("quantized_bits(1,2,alpha=1)", bounded):  # no integer bits hold these values
        assert best_integers(Sample.of(ones, ones), parse(text), "min_max").tolist() == [2, 2]
    assert best_integers(Sample.of(ones, ones), parse("quantized_bits(1,2,alpha=1)")).tolist() == [2, 2]


# -- models ------------------------------------------------------------------------------------------------


def test_samples_are_what_the_float_model_holds_and_computes() -> None:
    model, x = trained(), DATA.x_train[:300]
    found = samples_of(model, recipe(), x)
    np.testing.assert_array_equal(found["first", "kernel"].wanted, model.get_layer("first").get_weights()[0])
    hidden = keras.Model(model.inputs, model.get_layer("second").output).predict(x, verbose=0)
    np.testing.assert_allclose(found["second", "output"].wanted, hidden, atol=1e-5)
    assert found["second", "output"].given.min() < 0 <= found["second", "output"].wanted.min()  # the ReLU comes after
    np.testing.assert_array_equal(found[INPUT].wanted, x)


@pytest.mark.parametrize("method", ["mse", "min_max", "percentile"])
def test_a_calibrated_recipe_is_better_and_keeps_its_bits(method: str) -> None:
    model, plain = trained(), recipe(4)
    chosen = calibrate(model, plain, DATA.x_train[:500], method)
    assert [q.bits for entry in chosen.layers.values() for q in map(quantizer, entry.quantizers.values())] == [4] * 8
    assert quantizer(chosen.input).bits == quantizer(plain.input).bits

    def loss(quantized: keras.Model) -> float:
        return judge(quantized, DATA.x_val, DATA.y_val, DATA.class_names, "").loss or 0.0

    assert loss(quantize(model, chosen)) < 0.8 * loss(quantize(model, plain))


def test_nothing_overflows_after_min_max_and_something_with_a_bit_less() -> None:
    model, x = trained(), DATA.x_train[:400]
    chosen = calibrate(model, recipe(9), x, "min_max")
    counts = saturation(model, chosen, x)
    assert set(counts) == {INPUT, *((n, p) for n, e in chosen.layers.items() for p in e.quantizers)}
    weights = {key: c for key, c in counts.items() if key[1] != "output"}
    assert {c.overflow for c in weights.values()} == {0}
    for layer, parameter in (("first", "kernel"), ("first", "output"), ("last", "bias")):
        spec = parse(chosen.layers[layer].quantizers[parameter])
        less = chosen.with_quantizer(layer, parameter, str(spec.replace(integer=int(spec["integer"]) - 1)))
        assert saturation(model, less, x)[layer, parameter].overflow > 0


def test_counts_equal_a_count_by_hand() -> None:
    model, x = trained(), DATA.x_train[:250]
    chosen = recipe(4).with_quantizer("first", "kernel", "quantized_bits(4,-1,alpha=1)")
    counts = saturation(model, chosen, x)
    kernel = model.get_layer("first").get_weights()[0]
    codes = np.rint(kernel * 16)
    assert counts["first", "kernel"].overflow == ((codes > 7) | (codes < -8)).sum() > 0
    assert counts["first", "kernel"].underflow == ((codes == 0) & (kernel != 0)).sum() > 0
    assert counts["first", "kernel"].values == kernel.size
    assert counts["first", "kernel"].minimum == kernel.min()
    entry = quantizer(chosen.input)(x)
    weights = [np.clip(codes, -8, 7) / 16, quantizer("quantized_bits(4,0,alpha=1)")(model.get_layer("first").bias)]
    hidden = np.maximum(entry @ weights[0] + weights[1], 0)
    found = counts["first", "output"]
    assert found.values == hidden.size
    assert found.overflow == (np.rint(hidden * 16) > 15).sum() > 0
    assert found.underflow == ((np.rint(hidden * 16) == 0) & (hidden > 0)).sum() > 0
    assert found.overflow_share == found.overflow / found.values
    again = saturation(quantize(model, chosen), None, x)
    assert again == counts


@pytest.mark.parametrize(("text", "overflow", "underflow"), [
    ("binary(alpha=1)", 0, 0), ("quantized_po2(4,1)", 0, 0), ("quantized_bits(4,0,alpha='auto')", 0, 1),
    ("ternary(alpha=1)", 0, 1), ("quantized_po2(3,0.25)", 1, 0), ("quantized_bits(4,0,alpha='auto_po2')", None, 1)])
def test_counts_of_other_kinds(text: str, overflow: int | None, underflow: int) -> None:
    chosen = recipe().with_quantizer("first", "kernel", text)
    found = saturation(trained(), chosen, DATA.x_train[:50])["first", "kernel"]
    assert overflow is None or (found.overflow > 0) == overflow
    assert (found.underflow > 0) == underflow


def test_integer_bits_of_each_channel_lose_less_than_one_for_all() -> None:
    model = keras.models.clone_model(trained())
    scales = np.geomspace(0.02, 8, 16).astype(np.float32)
    kernel, bias = trained().get_layer("first").get_weights()
    model.get_layer("first").set_weights([kernel * scales, bias * scales])
    x = DATA.x_train[:300]
    plain = Recipe(layers={"first": LayerRecipe(quantizers={"kernel": "quantized_bits(4,0,alpha=1)",
                                                            "output": "quantized_relu(4,0)"})})
    whole = quantize(model, calibrate(model, plain, x))
    chosen = calibrate(model, plain, x, per="channel")
    assert chosen.layers["first"].widths == {"kernel": "channel", "output": "channel"}
    bits = integer_bits(model, plain, x, per="channel")
    assert bits["first", "kernel"].shape == (16,)
    assert quantizer(chosen.layers["first"].quantizers["kernel"]).integer == bits["first", "kernel"].max()
    each = quantize(model, chosen)
    set_integer_bits(each, bits)
    np.testing.assert_array_equal(each.get_layer("first").kernel_integer.numpy(), bits["first", "kernel"])

    def error(quantized: keras.Model) -> np.ndarray:
        found = quantized.get_layer("first").quantized_weights()["kernel"]
        return ((found - kernel * scales) ** 2).mean(axis=0) / scales**2

    assert (error(each) <= error(whole) * (1 + 1e-5)).all() and error(each).mean() < 0.1 * error(whole).mean()
    by_channel, by_tensor = saturation(each, None, x), saturation(whole, None, x)
    assert by_channel["first", "kernel"].underflow < by_tensor["first", "kernel"].underflow
    with pytest.raises(QuantizerError):
        calibrate(model, plain, x, per="row")


def recurrent() -> tuple[keras.Model, Recipe]:
    keras.utils.set_random_seed(2)
    wrapped = keras.layers.GRU(4, return_sequences=True, name="gru")
    model = keras.Sequential([keras.Input((4, 2), name="events"), keras.layers.Bidirectional(wrapped, name="both"),
                              keras.layers.GlobalAveragePooling1D(name="mean"),
                              keras.layers.Dense(3, activation="softmax", name="last")])
    bits = "quantized_bits(8,3,alpha=1)"
    both = dict.fromkeys(("kernel", "recurrent_kernel", "bias", "state", "output"), bits)
    return model, Recipe(layers={
        "both": LayerRecipe(quantizers={**both, "activation": "quantized_tanh(4)"}),
        "mean": LayerRecipe(quantizers={"average": bits, "output": bits}),
        "last": LayerRecipe(quantizers={"kernel": bits})})


def test_states_functions_and_pooling_are_calibrated_too() -> None:
    model, wide = recurrent()
    x = DATA.x_train[:200].reshape(-1, 4, 2)
    chosen = calibrate(model, wide, x, "min_max")
    counts = saturation(model, chosen, x)
    assert {(n, p) for n, e in wide.layers.items() for p in e.quantizers} | {INPUT} == set(counts)
    assert chosen.text("both", "activation") == "quantized_tanh(4)"
    assert counts["both", "state"].values == 2 * 4 * 200 * 4  # directions, steps, events, units
    assert counts["both", "kernel"].values == 2 * 2 * 12
    assert quantizer(chosen.text("both", "state") or "").integer <= 0  # tanh and averages of it stay below 1
    assert quantizer(chosen.text("mean", "average") or "").integer < 0  # holds 1/4


# -- sensitivity -------------------------------------------------------------------------------------------


def _alone(whole: Recipe, key: tuple[str, str]) -> Recipe:
    only = Recipe(input=whole.input if key == INPUT else "quantized_bits(32,8,alpha=1)")
    return only if key == INPUT else only.with_quantizer(*key, whole.layers[key[0]].quantizers[key[1]])


@pytest.mark.parametrize("kind", ["dense", "recurrent"])
def test_each_result_is_that_of_a_model_in_which_only_this_is_quantized(kind: str) -> None:
    model, chosen, data = trained(), recipe(3), DATA
    if kind == "recurrent":
        model, chosen = recurrent()
        chosen = calibrate(model, chosen, DATA.x_train[:200].reshape(-1, 4, 2)).with_quantizer(
            "both", "recurrent_kernel", "ternary(alpha=1)")
        data = dataclasses.replace(DATA, x_val=DATA.x_val.reshape(-1, 4, 2))
    found = sensitivity(model, chosen, data)
    assert {(s.layer, s.parameter) for s in found} == {INPUT} | {(n, p) for n, e in chosen.layers.items()
                                                                 for p in e.quantizers}
    plain = judge(model, data.x_val, data.y_val, data.class_names, "").accuracy
    for result in found:
        alone = quantize(model, _alone(chosen, (result.layer, result.parameter)))
        expected = judge(alone, data.x_val, data.y_val, data.class_names, "").accuracy
        assert result.metric == pytest.approx(expected, abs=1.5 / len(data.x_val))  # an event at a border may turn
        assert result.metric_drop == pytest.approx(plain - result.metric)
    assert max(abs(s.metric_drop) for s in found) > 3 / len(data.x_val)


def test_results_come_one_by_one_and_those_known_survive_a_stop() -> None:
    lines, told, steps = [], [], []

    def emit(event) -> None:
        (lines if isinstance(event, LogLine) else steps if isinstance(event, Progress) else []).append(event)

    found = sensitivity(trained(), recipe(), DATA, Monitor(emit), events=200, told=told.append)
    assert found == told and len(lines) == len(found) + 1 and [s.done for s in steps] == list(range(1, len(found) + 1))
    first: list = []
    with pytest.raises(Cancelled):
        sensitivity(trained(), recipe(), DATA, Monitor(cancelled=lambda: len(first) >= 3), 200, first.append)
    assert first == found[:3]


def test_one_string_or_a_few_places_instead_of_a_recipe() -> None:
    everywhere = sensitivity(trained(), "quantized_bits(2,0,alpha=1)", DATA, events=200)
    assert [(s.layer, s.parameter) for s in everywhere[1:3]] == [("first", "kernel"), ("first", "bias")]
    few = sensitivity(trained(), {("second", "kernel"): "ternary(alpha=1)", INPUT: "quantized_bits(3,2,alpha=1)"},
                      DATA, events=200)
    assert [(s.layer, s.parameter, s.quantizer) for s in few] == [
        (*INPUT, "quantized_bits(3,2,alpha=1)"), ("second", "kernel", "ternary(alpha=1)")]


def test_the_figure_is_that_of_the_task() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(8, name="b")])
    data = dataclasses.replace(DATA, task="reconstruction", y_train=(DATA.y_train > 0) * 1, y_val=(DATA.y_val > 0) * 1)
    assert {s.name for s in sensitivity(model, "quantized_bits(3,0,alpha=1)", data)} == {"AUC"}
