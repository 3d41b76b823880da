"""Accumulator widths, each worst case worked out by hand."""

import numpy as np
import pytest

from core.energy import CORRECTED, EnergySettings
from core.energy.accumulator import Range, check, fraction_bits, needed, range_of, summed
from core.energy.types import fixed, floating, po2
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.quant.recipe import LayerRecipe, Recipe

WEIGHT, BIAS = "quantized_bits(4,0,alpha=1)", "quantized_bits(4,1,alpha=1)"


def model(class_name, source, output, config=None, **weights):
    layer = LayerInfo(name="one", class_name=class_name, inbound=("in",), input_shapes=(source,), output_shape=output,
                      config=config or {}, weights=tuple(WeightInfo(parameter=name, shape=np.shape(value))
                                                         for name, value in weights.items()))
    info = ModelInfo(name="m", layers=(LayerInfo(name="in", class_name="InputLayer", output_shape=source), layer),
                     inputs=("in",), outputs=("one",))
    quantizers = {name: BIAS if name == "bias" else WEIGHT for name in weights}
    recipe = Recipe(layers={"one": LayerRecipe(quantizers=quantizers)}, input="quantized_relu(4,0)")
    return info, recipe, {"one": {name: np.asarray(value, dtype=float) for name, value in weights.items()}}


def one(class_name, source, output, config=None, known=True, **weights):
    info, recipe, held = model(class_name, source, output, config, **weights)
    return check(info, recipe, held if known else None)


@pytest.mark.parametrize("values, bits", [([0.5, 1.0], 1), ([0.75], 2), ([4.0, 12.0], -2), ([0.0], 0), ([3.0, 0.0], 0),
                                          ([2.0**-20], 20), ([-0.375], 3)])
def test_fraction_bits(values, bits):
    assert fraction_bits(np.array(values)) == bits


@pytest.mark.parametrize("low, high, fraction, bits, integer, signed", [
    (0, 0.9375, 4, 4, 0, False),  # 15/16
    (0, 1.0, 4, 5, 1, False),  # 16/16 is one too many
    (-1.0, 0.9375, 4, 5, 0, True),
    (-1.0625, 0.5, 4, 6, 1, True),
    (-8, -8, 0, 4, 3, True),
    (0, 0, 3, 0, -3, False),
    (0, 12, -2, 2, 4, False),  # multiples of 4 up to 12: two bits
])
def test_smallest_format(low, high, fraction, bits, integer, signed):
    assert needed(Range(np.array([low]), np.array([high]), fraction)) == (bits, integer, signed)


def test_ranges_of_formats():
    def ends(kind):
        span = range_of(kind)
        return span.low[0], span.high[0], span.fraction

    assert ends(fixed(6, 0)) == (-1.0, 1 - 2**-5, 5)
    assert ends(fixed(6, 0)._replace(symmetric=True)) == (-(1 - 2**-5), 1 - 2**-5, 5)
    assert ends(fixed(4, 2, False)) == (0.0, 3.75, 2)
    # four bits of a signed power of two: a sign and exponents from -4 to 3
    assert ends(po2(4, True)) == (-8.0, 8.0, 4)
    with pytest.raises(ValueError, match="no fixed point"):
        range_of(floating(16))


def test_worst_case_is_the_sum_of_magnitudes_for_symmetric_inputs():
    span = summed(np.array([[0.5, -0.25, 0.0], [0.125, 0.125, 0.125]]), Range(np.array([-3.0]), np.array([3.0]), 0))
    assert span.high.tolist() == [0.75 * 3, 0.375 * 3]
    assert span.low.tolist() == [-2.25, -1.125]
    assert span.fraction == 3


def test_dense_with_weights_and_without():
    # inputs 0 to 15/16; first output: 0.5*15/16 + 0.5 = 31/32, lowest -0.25*15/16 + 0.5; second -0.875*15/16*2 - 1
    kernel = [[0.5, -0.875], [-0.25, -0.875]]
    (found,) = one("Dense", (2,), (2,), kernel=kernel, bias=[0.5, -1.0])
    assert found.source == "weights"
    assert (found.low, found.high) == (-0.875 * 30 / 16 - 1, 0.5 * 15 / 16 + 0.5)
    # -2.640625 to 0.96875 in steps of 2^-3 * 2^-4: sign, 2 bits before and 7 behind the point
    assert (found.needed_bits, found.needed_integer, found.needed_signed) == (10, 2, True)
    # QTools: product 8 bits, 0 before the point; two terms 1 more; plus a bias of 1 before the point: 2
    assert (found.given_bits, found.given_integer) == (10, 2)
    assert (found.overflow, found.spare_bits, found.lost_fraction) == (False, 0, 0)
    (bound,) = one("Dense", (2,), (2,), known=False, kernel=kernel, bias=[0.5, -1.0])
    assert bound.source == "fan-in"
    assert (bound.low, bound.high) == (2 * -1 * 15 / 16 - 2, 2 * 0.875 * 15 / 16 + 2 - 0.25)
    assert bound.needed_integer == 2


def test_small_weights_leave_bits_unused():
    (found,) = one("Dense", (4,), (1,), {"use_bias": False}, kernel=np.full((4, 1), 0.125))
    # at most 4 * 0.125 * 15/16 < 0.5: one bit less than none before the point, and never negative
    assert (found.needed_integer, found.needed_signed, found.high) == (-1, False, 0.46875)
    # QTools: products of 0 bits before the point, four of them 2
    assert found.given_integer == 2 and found.spare_bits == 2 - -1 + 1 and not found.overflow


def test_scaled_weights_overflow():
    # a scale of 16 that QTools does not know of: 2 * 14 * 15/16 = 26.25 needs 5 bits, 2 terms are given 1
    (found,) = one("Dense", (2,), (1,), {"use_bias": False}, kernel=np.full((2, 1), 14.0))
    assert (found.given_integer, found.needed_integer) == (1, 5)
    assert found.overflow and found.missing_bits == 4 and found.spare_bits == 0


def test_lost_fraction():
    (found,) = one("Dense", (2,), (1,), {"use_bias": False}, kernel=np.full((2, 1), 2.0**-6))
    assert found.lost_fraction == 3  # 6 + 4 bits behind the point, 3 + 4 are given


def test_convolutions_sum_their_window():
    kernel = np.array([[[0.5, -0.5]], [[0.25, -0.25]]])  # 2 taps, 1 channel, 2 filters
    (found,) = one("Conv1D", (4, 1), (3, 2), {"use_bias": False}, kernel=kernel)
    assert (found.low, found.high) == (-0.75 * 15 / 16, 0.75 * 15 / 16)
    depthwise = np.array([[[0.5], [-0.5]], [[0.25], [-0.25]]])  # the same, channel by channel
    (found,) = one("DepthwiseConv1D", (4, 2), (3, 2), {"use_bias": False}, depthwise=depthwise)
    assert (found.low, found.high) == (-0.75 * 15 / 16, 0.75 * 15 / 16)
    # transposed with stride 2: an output meets one of the two taps
    kernel = np.array([[[0.5]], [[0.25]]])
    (found,) = one("Conv1DTranspose", (4, 1), (8, 1), {"use_bias": False, "strides": 2}, kernel=kernel)
    assert found.high == 0.5 * 15 / 16


def test_separable_checks_both_sums():
    depthwise = np.array([[[0.5], [-0.5]], [[0.25], [0.25]]])  # channels: 0 to 0.75 x, -0.5 x to 0.25 x
    first, second = one("SeparableConv1D", (4, 2), (3, 1), {"use_bias": False}, depthwise=depthwise,
                        pointwise=[[[0.5], [0.5]]])
    assert (first.sum, first.low, first.high) == ("between", -0.5 * 15 / 16, 0.75 * 15 / 16)
    assert (second.sum, second.low, second.high) == ("accumulator", -0.25 * 15 / 16, 0.5 * 15 / 16)


def test_einsum_sums_what_the_result_does_not_have():
    kernel = np.array([[0.5, 0.25], [0.25, 0.25]])  # "ad": summed over a
    (found,) = one("EinsumDense", (2, 2), (2, 2), {"equation": "bta,ad->btd"}, kernel=kernel)
    assert found.high == 0.75 * 15 / 16


def test_floating_point_is_named():
    info, _, held = model("Dense", (2,), (1,), kernel=np.ones((2, 1)))
    (found,) = check(info, Recipe(input="quantized_bits(4,0)"), held, EnergySettings(compat=CORRECTED))
    assert found.note == "computed in floating point" and not found.overflow
