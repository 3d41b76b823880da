"""One function for widths as numbers, run-time tensors and trainable variables; the grammar of quantizer strings."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from core.errors import QuantizerError
from core.quant import quantizer
from core.quant.spec import KINDS, QuantizerSpec, parse

X = np.linspace(-3, 3, 301).astype(np.float32)
WITH_WIDTH = ["quantized_bits(8,2,alpha=1)", "quantized_relu(8,2)", "quantized_linear(8,2)", "quantized_tanh(8)",
              "quantized_sigmoid(8)", "quantized_ulaw(8,1)", "quantized_po2(8,4)", "quantized_relu_po2(8,4)",
              "quantized_hswish(8,2)", "quantized_bits(8,2,1,alpha='auto_po2')"]


@pytest.mark.parametrize("text", WITH_WIDTH)
def test_a_width_as_a_run_time_tensor_equals_the_number_and_is_traced_once(text: str) -> None:
    chosen = quantizer(text)
    traces = []

    @tf.function(input_signature=[tf.TensorSpec(X.shape), tf.TensorSpec((), tf.float32)])
    def run(x: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
        traces.append(1)
        return chosen(x, bits=bits)

    for bits in (3, 4, 6, 8):
        fixed = quantizer(parse(text).replace(bits=bits))(X)
        np.testing.assert_allclose(run(tf.constant(X), tf.constant(float(bits))), fixed, atol=1e-6)
    assert len(traces) == 1


@pytest.mark.parametrize("text", ["quantized_bits(4,1,alpha=1)", "quantized_relu(4,1)", "quantized_tanh(4)"])
def test_a_trainable_width_gets_a_gradient_that_tells_where_the_error_falls(text: str) -> None:
    bits = tf.Variable(4.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum((quantizer(text)(tf.constant(X), bits=bits) - np.tanh(X)) ** 2)
    gradient = tape.gradient(loss, bits)
    assert gradient is not None and np.isfinite(gradient) and gradient != 0


def test_a_width_per_channel_gives_each_column_its_own_grid() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    bits = np.array([2.0, 4.0, 8.0], np.float32)
    both = quantizer("quantized_bits(4,0,alpha=1)")(x, bits=bits)
    for column, width in enumerate((2, 4, 8)):
        alone = quantizer(f"quantized_bits({width},0,alpha=1)")(x[:, column])
        np.testing.assert_array_equal(both[:, column], alone)


@pytest.mark.parametrize("text", ["stochastic_binary(alpha=1)", "stochastic_ternary(alpha='auto')", "bernoulli()",
                                  "quantized_bits(3,0,alpha=1,use_stochastic_rounding=True)"])
def test_random_kinds_draw_anew_at_each_run_of_a_compiled_step(text: str) -> None:
    x = tf.constant(np.random.default_rng(1).normal(0, 0.1, (40, 8)).astype(np.float32))
    step = tf.function(lambda: quantizer(text)(x, training=True))
    assert np.abs(step().numpy() - step().numpy()).max() > 0


def test_stochastic_rounding_of_powers_of_two_keeps_the_mean_of_what_is_rounded() -> None:
    x = tf.constant(np.tile(np.linspace(0.3, 3.0, 10, dtype=np.float32), (20000, 1)))
    plain = "quantized_po2(5,16,use_stochastic_rounding=True)"
    quadratic = "quantized_relu_po2(5,16,use_stochastic_rounding=True,quadratic_approximation=True)"
    for text, rounded in ((plain, lambda y: y), (quadratic, np.sqrt)):
        drawn = rounded(quantizer(text)(x, training=True).numpy())
        assert (drawn.std(axis=0) > 0).any()
        error = drawn.std(axis=0) / np.sqrt(len(drawn))
        np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - rounded(x[0].numpy())), 5 * error + 1e-5)
    down = quantizer("quantized_po2(5,16,use_stochastic_rounding=True,log2_rounding='floor')")
    np.testing.assert_array_equal(down(x, training=True), down(x))  # rounding down comes before rounding by chance


@pytest.mark.parametrize("text", ["quantized_bits(3,2,alpha=1)", "quantized_linear(3,2)", "quantized_relu(3,2)",
                                  "quantized_tanh(3)", "quantized_sigmoid(3)", "quantized_ulaw(3,1)", "binary(alpha=1)",
                                  "ternary(alpha=1)", "quantized_po2(4,4)", "quantized_hswish(3,2)"])
def test_a_noise_factor_lets_in_a_share_of_the_quantization_error(text: str) -> None:
    chosen = quantizer(text)
    traces = []

    @tf.function
    def run(noise: tf.Tensor) -> tf.Tensor:
        traces.append(1)
        return chosen(tf.constant(X), noise=noise)

    none, half, full = (run(tf.constant(share)).numpy() for share in (0.0, 0.5, 1.0))
    assert len(traces) == 1
    np.testing.assert_array_equal(full, chosen(tf.constant(X)))  # exactly on the grid
    np.testing.assert_allclose(half, (none + full) / 2, atol=1e-6)
    np.testing.assert_allclose(chosen(X, noise=0.5), half, atol=1e-6)
    assert len(np.unique(none)) > 3 * len(np.unique(full))  # nothing is rounded
    x, factor = tf.Variable(X), tf.Variable(0.25)
    with tf.GradientTape() as tape:
        mixed = tf.reduce_sum(chosen(x, noise=factor))
    assert np.isfinite(tape.gradient(mixed, x)).all()


def test_a_relu_that_is_not_clipped_passes_the_gradient_beyond_its_range_as_in_qkeras() -> None:
    x = tf.Variable([-1.0, 0.5, 3.0])
    unclipped = "quantized_relu(4,0,is_quantized_clip=False)"
    for text, expected in (("quantized_relu(4,0)", [0, 1, 0]), (unclipped, [0, 1, 1]),
                           ("quantized_relu(4,0,relu_upper_bound=2,is_quantized_clip=False)", [0, 1, 0])):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(quantizer(text)(x))
        np.testing.assert_array_equal(tape.gradient(total, x), expected)


@pytest.mark.parametrize("text", ["quantized_bits(4,1,alpha=1,qnoise_factor={},use_ste={})",
                                  "quantized_po2(4,4,qnoise_factor={},use_ste={})",
                                  "quantized_hswish(4,1,qnoise_factor={},use_ste={})"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_noise_factor_at_run_time_does_what_the_one_in_the_string_does(text: str, whole: bool) -> None:
    chosen = quantizer(text.format(1.0, whole))
    for share in (0.0, 0.25, 1.0):
        found = []
        for made, noise in ((quantizer(text.format(share, whole)), None), (chosen, tf.constant(share))):
            x = tf.Variable(X)
            with tf.GradientTape() as tape:
                y = made(x, noise=noise)
            slope = tape.gradient(y, x)
            found.append((y.numpy(), np.zeros_like(X) if slope is None else slope.numpy()))
        np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-6)
        np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-6)


def _value(default: object) -> st.SearchStrategy[object]:
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, (int, float)):
        return st.integers(1, 16)
    return st.none()


@st.composite
def specs(draw: st.DrawFn) -> QuantizerSpec:
    kind = draw(st.sampled_from(sorted(KINDS)))
    names = draw(st.lists(st.sampled_from(sorted(KINDS[kind])), unique=True, max_size=4))
    arguments = {name: draw(st.sampled_from((0, 1)) if name == "symmetric" else _value(KINDS[kind][name]))
                 for name in names if name not in ("log2_rounding", "alpha")}
    return QuantizerSpec(kind, arguments)


@given(specs())
def test_a_spec_survives_its_own_string(spec: QuantizerSpec) -> None:
    assert parse(str(spec)) == spec


@given(st.text(max_size=60))
def test_no_text_is_evaluated_or_crashes_the_parser(text: str) -> None:
    with contextlib.suppress(QuantizerError):
        assert parse(text).kind in KINDS


@pytest.mark.parametrize("text", ["quantized_bits(6,0", "os.system('x')", "quantized_bits(__import__('os'))",
                                  "quantized_bits(99)", "quantized_nothing(3)", "quantized_bits(4,alpha='big')", ""])
def test_what_is_no_quantizer_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(QuantizerError) as caught:
        parse(text)
    assert caught.value.remedy
