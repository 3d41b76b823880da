"""DSP and LUT estimates, each worked out by hand."""

import numpy as np
import pytest

from core.energy.resources import HlsOptions, adder_tree, dsp_tiles, estimate
from core.errors import CostError
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.quant.recipe import LayerRecipe, Recipe

TWELVE, SIX = "quantized_bits(12,0,alpha=1)", "quantized_bits(6,0,alpha=1)"


def network(class_name, source, output, kernel, quantizer, config=None, given="quantized_bits(16,5)"):
    parameter = "depthwise" if class_name.startswith("Depthwise") else "kernel"
    layer = LayerInfo(name="one", class_name=class_name, inbound=("in",), input_shapes=(source,), output_shape=output,
                      config={"use_bias": False, **(config or {})},
                      weights=(WeightInfo(parameter=parameter, shape=kernel),))
    info = ModelInfo(name="m", layers=(LayerInfo(name="in", class_name="InputLayer", output_shape=source), layer),
                     inputs=("in",), outputs=("one",))
    return info, Recipe(layers={"one": LayerRecipe(quantizers={parameter: quantizer})}, input=given)


def dense(quantizer, kernel=(10, 4), given="quantized_bits(16,5)", weights=None, **options):
    info, recipe = network("Dense", kernel[:1], kernel[1:], kernel, quantizer, given=given)
    held = None if weights is None else {"one": {"kernel": np.asarray(weights, dtype=float)}}
    return estimate(info, recipe, HlsOptions(**options), held).layers[0]


@pytest.mark.parametrize("first, second, count", [
    (8, 8, 1), (16, 16, 1), (27, 18, 1), (18, 27, 1), (28, 18, 2), (16, 32, 2), (32, 32, 4), (27, 19, 2)])
def test_dsp_of_one_multiplication(first, second, count):
    # 16x16: 1, 16x32: 2 and 32x32: 4 are also what Vivado reports
    assert dsp_tiles(first, second) == count


def test_dsp_of_seven_series():
    assert (dsp_tiles(25, 18, (25, 18)), dsp_tiles(26, 18, (25, 18))) == (1, 2)


@pytest.mark.parametrize("terms, lut", [(0, 0), (1, 0), (2, 9), (3, 9 + 10), (4, 2 * 9 + 10), (5, 2 * 9 + 10 + 11)])
def test_adder_tree(terms, lut):
    # sums of 8-bit numbers: 9 bits at the first level, one more at each further one
    assert adder_tree(terms, 8) == lut


def test_wide_products_take_dsps():
    found = dense(TWELVE)
    assert (found.multipliers, found.dsp) == (40, 40)
    # 4 trees of 10 products of 28 bits: 5 sums of 29, 2 of 30, 1 of 31, 1 of 32
    assert found.lut == 4 * (5 * 29 + 2 * 30 + 31 + 32)


def test_narrow_products_take_luts():
    found = dense(SIX, given="quantized_bits(8,0)")
    assert (found.multipliers, found.dsp, found.lut) == (40, 0, 40 * 6 * 8)


@pytest.mark.parametrize("bits, dsp", [(8, 0), (9, 40)])
def test_threshold(bits, dsp):
    assert dense(f"quantized_bits({bits},0,alpha=1)").dsp == dsp
    assert dense("quantized_bits(12,0,alpha=1)", given=f"quantized_bits({bits},0)").dsp == dsp


def test_threshold_and_ports_are_settings():
    assert dense(SIX, dsp_from=6).dsp == 40
    assert dense("quantized_bits(20,0,alpha=1)", given="quantized_bits(26,0)").dsp == 80
    assert dense("quantized_bits(20,0,alpha=1)", given="quantized_bits(18,0)").dsp == 40


def test_reuse_shares_multipliers():
    found = dense(TWELVE, reuse=4)
    assert (found.multipliers, found.dsp, found.reuse) == (10, 10, 4)
    # 40 products by 3 multipliers rounded up, and 9 zeros take 9 // 3 away
    weights = np.ones((10, 4))
    weights.reshape(-1)[:9] = 0
    assert dense(TWELVE, reuse=3, weights=weights).dsp == 14 - 3
    assert dense(TWELVE, reuse=1, layer_reuse={"one": 10}).dsp == 4


def test_resource_strategy_keeps_zeros_and_fills_block_ram():
    weights = np.zeros((10, 4))
    found = dense(TWELVE, reuse=4, strategy="resource", weights=weights)
    # 10 weights of 12 bits a cycle: 120 bits in blocks of 36
    assert (found.multipliers, found.dsp, found.bram_18k) == (10, 10, 4)
    # 600 cycles of 2 weights of 12 bits: one block wide, two deep
    assert dense(TWELVE, (40, 30), reuse=600, strategy="resource").bram_18k == 2
    assert dense(TWELVE, strategy="resource").bram_18k == 0


def test_constants_count_their_own_bits():
    # 0; 0.5 a wire; 0.75 two bits; 1025/2048 has 11 bits; -1025/2048 one more for its sign
    weights = [[0, 0.5], [0.75, 1025 / 2048], [-1025 / 2048, 0]]
    found = dense(TWELVE, (3, 2), weights=weights)
    assert (found.multipliers, found.dsp) == (3, 2)
    # wire and 0.75: 1 + 2 bits times 16; the two wide products stand alone in their sums
    assert found.lut == 3 * 16


def test_gates_need_no_multiplier():
    # binary constants are wires; 4 trees of 10 values of 16 bits
    found = dense("binary(alpha=1)")
    assert (found.multipliers, found.dsp) == (0, 0)
    assert found.lut == 4 * (5 * 17 + 2 * 18 + 19 + 20)
    # shared by 10: four multiplexers of 16 bits, one for each sum
    assert dense("binary(alpha=1)", reuse=10).lut == 4 * 16


def test_a_convolution_is_built_once_for_its_window():
    info, recipe = network("Conv1D", (8, 2), (6, 4), (3, 2, 4), TWELVE)
    assert estimate(info, recipe).dsp == 24
    assert estimate(info, recipe, HlsOptions(parallel=3)).dsp == 72
    assert estimate(info, recipe, HlsOptions(parallel=100)).dsp == 24 * 6  # no more than there are positions
    info, recipe = network("DepthwiseConv1D", (8, 2), (6, 2), (3, 2, 1), TWELVE)
    assert estimate(info, recipe).dsp == 6


def test_what_is_not_counted_is_named():
    info, recipe = network("Dense", (2,), (3,), (2, 3), TWELVE)
    more = (*info.layers, LayerInfo(name="soft", class_name="Activation", inbound=("one",), input_shapes=((3,),),
                                    output_shape=(3,), config={"activation": "softmax"}))
    found = estimate(ModelInfo(name="m", layers=more, inputs=("in",), outputs=("soft",)), recipe)
    assert found.notes == ["soft: not in the estimate"]
    assert estimate(info, Recipe()).notes == ["one: in floating point, which has no estimate"]


def test_settings_are_checked():
    with pytest.raises(CostError, match="distributed"):
        HlsOptions(strategy="distributed_arithmetic")
    with pytest.raises(CostError, match="at least 1"):
        HlsOptions(reuse=0)
