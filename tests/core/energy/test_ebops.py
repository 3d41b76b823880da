"""EBOPs against HGQ2's figure and by hand."""

import numpy as np
import pytest

from core.energy import CORRECTED, QTOOLS, preset, price
from core.energy.ebops import products_ebops, significant_bits
from core.energy.published import PUBLISHED
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.quant.recipe import LayerRecipe, Recipe


def test_significant_bits():
    values = np.array([0.0, 1.0, -0.5, 0.75, 0.625, 5.0, -7.0, 2.0**-20, 96.0])
    assert significant_bits(values).tolist() == [0, 1, 1, 2, 3, 3, 3, 1, 2]


def test_uniform_dense_equals_hgq2():
    # HGQ2 0.2.0 gives 74112 for a 16x64 layer of 6-bit weights and bias on 12-bit data
    info, _ = PUBLISHED["BF"]
    six = "quantized_bits(6,0,alpha=1)"
    recipe = Recipe(layers={"fc1": LayerRecipe(quantizers={"kernel": six, "bias": six})}, input="quantized_bits(12,5)")
    assert price(info, recipe).row("fc1").ebops == 74112
    assert products_ebops(np.full((16, 64), 6), np.full(16, 12), np.full(64, 6)) == 74112


def test_known_weights_count_their_own_bits():
    info, recipe = PUBLISHED["Q6"]
    kernel = np.zeros((16, 64))
    kernel[0, 0], kernel[3, 5] = 0.75, -0.5
    row = price(info, recipe, weights={"fc1": {"kernel": kernel}}).row("fc1")
    assert row.ebops == (2 + 1) * 16 + 64 * 6
    assert price(info, recipe).row("fc1").ebops == 16 * 64 * 6 * 16 + 64 * 6


@pytest.mark.parametrize("name", PUBLISHED)
def test_total_is_the_sum_of_rows(name):
    report = price(*PUBLISHED[name])
    assert report.costs.ebops == sum(row.ebops for row in report.rows) > 0


def _one(class_name, config, source, output, kernel, recipe, **known):
    weights = (WeightInfo(parameter="kernel", shape=kernel), WeightInfo(parameter="bias", shape=kernel[-1:]))
    layer = LayerInfo(name="one", class_name=class_name, inbound=("in",), input_shapes=(source,), output_shape=output,
                      weights=weights, config=config)
    info = ModelInfo(name="m", layers=(LayerInfo(name="in", class_name="InputLayer", output_shape=source), layer),
                     inputs=("in",), outputs=("one",))
    return price(info, Recipe(layers={"one": LayerRecipe(quantizers=recipe)}, input="quantized_bits(4,0)"),
                 **known).row("one").ebops


SYMMETRIC, SIGNED = "quantized_bits(6,0,1,alpha=1)", "quantized_bits(3,0,alpha=1)"


def test_symmetric_format_has_no_sign_bit():
    # 2x3 weights of 5 bits without their sign, on 4 bits; three biases of 3 bits
    assert _one("Dense", {}, (2,), (3,), (2, 3), {"kernel": SYMMETRIC, "bias": SIGNED}) == 6 * 5 * 4 + 3 * 3
    # ternary weights are -1, 0 and 1: one bit
    assert _one("Dense", {}, (2,), (3,), (2, 3), {"kernel": "ternary(alpha=1)", "bias": SIGNED}) == 6 * 4 + 9


def test_products_with_padding_are_none():
    # a line of 4 values under 3 taps: the outer taps meet 3 values, the middle one 4; a bias at each of 4 places
    assert _one("Conv1D", {"padding": "same"}, (4, 1), (4, 2), (3, 1, 2),
                {"kernel": SIGNED, "bias": SIGNED}) == (3 + 4 + 3) * 2 * 3 * 4 + 4 * 2 * 3


def test_known_weights_of_a_convolution():
    kernel = np.array([0.75, 0.0, 0.5]).reshape(3, 1, 1)  # 2 bits, none, 1 bit
    known = {"weights": {"one": {"kernel": kernel, "bias": np.array([0.625])}}}
    # valid: two places; HGQ2 counts the bias' 3 bits at each of the 4 places of the input
    assert _one("Conv1D", {"padding": "valid"}, (4, 1), (2, 1), (3, 1, 1),
                {"kernel": SIGNED, "bias": SIGNED}, **known) == (2 + 1) * 2 * 4 + 3 * 4


def test_trained_widths_of_each_weight_and_input():
    widths = {"one": {"kernel": np.array([[1, 0, 2], [3, 3, 0]]), "bias": np.array([1, 0, 5]),
                      "input": np.array([7, 2])}}
    assert _one("Dense", {}, (2,), (3,), (2, 3), {"kernel": SYMMETRIC, "bias": SIGNED},
                widths=widths) == 3 * 7 + 6 * 2 + 6


def test_ebops_do_not_depend_on_the_compat_mode():
    recipe = {"depthwise": SIGNED, "pointwise": SIGNED}
    weights = (WeightInfo(parameter="depthwise", shape=(2, 1, 1)), WeightInfo(parameter="pointwise", shape=(1, 1, 2)))
    layer = LayerInfo(name="one", class_name="SeparableConv1D", inbound=("in",), input_shapes=((3, 1),),
                      output_shape=(2, 2), weights=weights, macs=8, config={"use_bias": False})
    info = ModelInfo(name="m", layers=(LayerInfo(name="in", class_name="InputLayer", output_shape=(3, 1)), layer),
                     inputs=("in",), outputs=("one",))
    found = [price(info, Recipe(layers={"one": LayerRecipe(quantizers=recipe)}, input="quantized_bits(4,0)"),
                   preset("published", mode)).row("one").ebops for mode in (QTOOLS, CORRECTED)]
    # 2 taps at 2 places, 3 on 4 bits; what is between has 3 + 4 bits and one for two terms; 2 filters at 2 places
    assert found == [2 * 2 * 3 * 4 + 2 * 2 * 3 * 8] * 2
