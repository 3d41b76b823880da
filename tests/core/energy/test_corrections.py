"""The corrected mode against costs computed by hand.

Formulas: multiplication of b1 by b2 bits 0.002994791667*b1*b2 + 0.001041666667*sqrt(b1*b2) pJ, addition
0.003125*bits pJ, an SRAM word of a 2^27-bit memory 3.8043 pJ, words of 64 bits.
"""

import math
from pathlib import Path

import pytest

from core.energy import CORRECTED, QTOOLS, EnergySettings, price
from core.energy.corrections import CORRECTIONS
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.model_shapes import macs, output_shape
from core.quant.recipe import LayerRecipe, Recipe

B4, B8 = "quantized_bits(4,0,alpha=1)", "quantized_bits(8,0,alpha=1)"
WORD = 0.000902427321 * 27**3 - 0.0268847858 * 27**2 + 0.208900804 * 27
FREE = {"weights_memory": "fixed", "activations_memory": "fixed"}


def mul(b1, b2):
    return 0.002994791667 * b1 * b2 + 0.001041666667 * math.sqrt(b1 * b2)


def add(bits):
    return 0.003125 * bits


def words(values, bits):
    return math.ceil(values * bits / 64) * WORD


def layer(cls, name, shapes, weights=(), inbound=("x",), **config):
    shape = output_shape(cls.replace("Batchnorm", ""), config, shapes)
    held = tuple(WeightInfo(parameter=p, shape=s) for p, s in weights)
    return LayerInfo(name=name, class_name=cls, inbound=inbound, input_shapes=tuple(shapes), output_shape=shape,
                     weights=held, macs=macs(cls, config, shapes, shape, dict(weights)), config=config)


def rows(layers, quantizers, inputs=None, compat=CORRECTED, **settings):
    inputs = inputs or {"x": layers[0].input_shapes[0]}
    ends = [LayerInfo(name=n, class_name="InputLayer", output_shape=s) for n, s in inputs.items()]
    info = ModelInfo(name="m", layers=(*ends, *layers), inputs=tuple(inputs), outputs=(layers[-1].name,))
    recipe = Recipe(layers={n: LayerRecipe(quantizers=q) for n, q in quantizers.items()}, input=B8)
    report = price(info, recipe, EnergySettings(compat=compat, **settings))
    return {row.name: row for row in report.rows}


def dense(name="d", inputs=15, units=4, bias=True, inbound=("x",), shape=None):
    weights = [("kernel", (inputs, units))] + ([("bias", (units,))] if bias else [])
    return layer("Dense", name, [shape or (inputs,)], weights, inbound, units=units, use_bias=bias)


def test_bias_grows_the_sum_only_when_there_is_one():
    without = rows([dense(inputs=16, bias=False)], {"d": {"kernel": B4}}, **FREE)["d"]
    # 16 products of 12 bits: 12 + log2(16)
    assert without.accumulator_bits == 16
    assert without.op_pj == pytest.approx(64 * (mul(8, 4) + add(16)))
    original = rows([dense(inputs=16, bias=False)], {"d": {"kernel": B4}}, compat=QTOOLS, **FREE)["d"]
    assert original.accumulator_bits == 17
    with_bias = rows([dense(inputs=16)], {"d": {"kernel": B4, "bias": "quantized_bits(20,0,1)"}}, **FREE)["d"]
    assert with_bias.accumulator_bits == 21  # the wider of 16 and 20, and a carry


def test_unquantized_parameter_of_a_quantized_layer_is_float():
    row = rows([dense(bias=False)], {"d": {"output": "quantized_relu(4,0)"}})["d"]
    assert str(row.types["weight"]) == "fp32"
    assert rows([dense(bias=False)], {"d": {"output": "quantized_relu(4,0)"}}, compat=QTOOLS)["d"].weight_bits == 8


def test_depthwise_sums_one_window_and_reads_every_bias():
    shapes = [(6, 6, 8)]
    conv = layer("DepthwiseConv2D", "d", shapes, [("depthwise", (3, 3, 8, 1)), ("bias", (8,))],
                 kernel_size=3, strides=1, padding="valid", depth_multiplier=1)
    row = rows([conv], {"d": {"depthwise": B4, "bias": B8}})["d"]
    # 9 products of 12 bits: 12 + 4, and a carry for the bias
    assert row.accumulator_bits == 17
    assert row.op_count == 4 * 4 * 8 * 9
    assert row.op_pj == pytest.approx(1152 * (mul(8, 4) + add(17)))
    assert row.parameters_pj == pytest.approx(words(72, 4) + words(8, 8))
    original = rows([conv], {"d": {"depthwise": B4, "bias": B8}}, compat=QTOOLS)["d"]
    assert original.accumulator_bits == 12 + math.ceil(math.log2(73))
    assert original.parameters_pj == pytest.approx(words(72, 4) + words(1, 8), abs=0.005)


def test_separable_counts_both_halves_and_its_bias():
    conv = layer("SeparableConv2D", "s", [(6, 6, 4)],
                 [("depthwise", (3, 3, 4, 1)), ("pointwise", (1, 1, 4, 5)), ("bias", (5,))],
                 filters=5, kernel_size=3, strides=1, padding="valid")
    row = rows([conv], {"s": {"depthwise": B4, "pointwise": B4, "bias": B8}})["s"]
    between = 12 + 4  # nine products of 8 by 4 bits
    total = max(between + 4 + 2, 8) + 1  # four products, and the bias
    assert row.accumulator_bits == total
    assert row.op_count == 16 * (36 + 20)
    assert row.op_pj == pytest.approx(16 * (36 * (mul(8, 4) + add(between)) + 20 * (mul(between, 4) + add(total))))
    assert row.parameters_pj == pytest.approx(words(36, 4) + words(20, 4) + words(5, 8))
    assert row.parameter_bits == 36 * 4 + 20 * 4 + 5 * 8


def test_recurrent_layers_cost_their_steps():
    lstm = layer("LSTM", "r", [(5, 4)], [("kernel", (4, 24)), ("recurrent_kernel", (6, 24)), ("bias", (24,))], units=6)
    chosen = {"kernel": B4, "recurrent_kernel": B4, "bias": B8, "output": "quantized_bits(6,0,alpha=1)"}
    row = rows([lstm], {"r": chosen})["r"]
    # 4 input products of 12 bits, 6 state products of 10 bits: max(14, 13) + 1, then the bias
    total = 16
    steps = 96 * (mul(8, 4) + add(total)) + 144 * (mul(6, 4) + add(total)) + 18 * mul(6, 6)
    assert row.accumulator_bits == total
    assert row.op_pj == pytest.approx(5 * steps)
    assert row.op_count == 5 * (96 + 144 + 18)
    assert row.parameters_pj == pytest.approx(words(96, 4) + words(144, 4) + words(24, 8))
    original = rows([lstm], {"r": chosen}, compat=QTOOLS)["r"]
    assert original.op_pj == 0
    assert "not counted" in original.notes[0]


def test_both_directions_of_a_bidirectional_cost_their_steps():
    # two GRUs of 3 units on 5 steps of 4 values, the state in 4 bits of its own
    shapes = [("kernel", (4, 9)), ("recurrent_kernel", (3, 9)), ("bias", (9,))]
    both = layer("Bidirectional", "r", [(5, 4)], [*shapes, *((f"backward_{name}", shape) for name, shape in shapes)],
                 layer={"class_name": "GRU", "config": {"units": 3}})
    row = rows([both], {"r": {"kernel": B4, "recurrent_kernel": B4, "bias": B8, "state": B4}})["r"]
    # 4 input products of 12 bits: 14; 3 state products of 8 bits: 10; their sum 15, with the bias 16
    assert row.accumulator_bits == 16
    assert row.op_pj == pytest.approx(5 * 2 * (36 * (mul(8, 4) + add(16)) + 27 * (mul(4, 4) + add(16)) + 9 * mul(4, 4)))
    assert row.op_count == 5 * 2 * (36 + 27 + 9)
    assert row.parameter_bits == 2 * (36 * 4 + 27 * 4 + 9 * 8)
    assert row.parameters_pj == pytest.approx(words(72, 4) + words(54, 4) + words(18, 8))
    assert row.ebops == 5 * 2 * (36 * 4 * 8 + 27 * 4 * 4) + 6 * 8  # one bias a value that comes out


def test_dot_sums_products_along_an_axis():
    # (3, 4) with (4, 5) along the 4: 15 sums of 4 products
    dot = LayerInfo(name="d", class_name="Dot", inbound=("x", "y"), input_shapes=((3, 4), (4, 5)), output_shape=(3, 5),
                    config={"axes": [2, 1]})
    row = rows([dot], {"d": {}}, {"x": (3, 4), "y": (4, 5)}, **FREE)["d"]
    assert row.op_count == 60
    assert row.op_pj == pytest.approx(60 * (mul(8, 8) + add(16 + 2)))
    assert row.ebops == 60 * 8 * 8
    assert row.notes == ()


def test_folded_dense_costs_a_dense_layer():
    dense = layer("DenseBatchnorm", "d", [(8,)], [("kernel", (8, 3)), ("bias", (3,))], units=3)
    row = rows([dense], {"d": {"kernel": B4, "bias": B8}})["d"]
    assert row.op_pj == pytest.approx(24 * (mul(8, 4) + add(12 + 3 + 1)))
    assert row.parameters_pj == pytest.approx(words(24, 4) + words(3, 8))
    assert row.parameter_bits == 24 * 4 + 3 * 8


def test_folded_batch_normalization_costs_its_convolution():
    conv = layer("Conv2DBatchnorm", "c", [(4, 4, 2)], [("kernel", (3, 3, 2, 4)), ("bias", (4,))],
                 filters=4, kernel_size=3, strides=1, padding="valid")
    row = rows([conv], {"c": {"kernel": B4, "bias": B8}})["c"]
    total = 12 + 5 + 1  # 18 products, and the bias
    assert row.op_pj == pytest.approx(4 * 4 * 18 * (mul(8, 4) + add(total)))
    assert row.parameters_pj == pytest.approx(words(72, 4) + words(4, 8))
    original = rows([conv], {"c": {"kernel": B4, "bias": B8}}, compat=QTOOLS)["c"]
    assert (original.op_pj, original.parameters_pj) == (0, 0)
    assert original.notes


def test_pooling_counts_every_window():
    pool = layer("AveragePooling2D", "p", [(8, 8, 4)], pool_size=2, strides=2, padding="valid")
    row = rows([pool], {}, **FREE)["p"]
    assert row.op_count == 4 * 4 * 4 * 4
    assert row.op_pj == pytest.approx(256 * add(10))
    assert rows([pool], {}, compat=QTOOLS, **FREE)["p"].op_count == 16
    scaled = rows([pool], {"p": {"average": B8}}, **FREE)["p"]
    assert scaled.op_pj == pytest.approx(256 * add(10) + 64 * mul(10, 8))
    largest = layer("MaxPooling2D", "p", [(8, 8, 4)], pool_size=2, strides=2, padding="valid")
    assert rows([largest], {}, **FREE)["p"].op_pj == pytest.approx(64 * 3 * 0.2 * add(8))


def test_merges_are_counted_in_their_order():
    x = {"a": (8,), "b": (8,)}
    pair = [(8,), (8,)]
    formats = {"a": {"output": "quantized_bits(6,1,alpha=1)"}, "b": {"output": "quantized_relu(4,2)"}}
    costs = {"Subtract": add(7), "Maximum": 0.2 * add(6), "Average": add(6), "Multiply": mul(6, 4)}
    for cls, expected in costs.items():
        row = rows([layer(cls, "m", pair, inbound=("a", "b"))], formats, x, **FREE)["m"]
        assert row.op_pj == pytest.approx(8 * expected), cls
        assert [kind.bits for kind in row.inputs] == [6, 4]
    twice = rows([layer("Add", "m", pair, inbound=("a", "a"))], formats, x, **FREE)["m"]
    assert twice.op_pj == pytest.approx(8 * add(7))
    original = rows([layer("Subtract", "m", pair, inbound=("a", "b"))], formats, x, compat=QTOOLS, **FREE)["m"]
    assert "no Subtract in QTools 0.9" in original.notes[0]


def test_normalization_reads_what_is_there_and_adds_beta():
    norm = layer("BatchNormalization", "n", [(8,)], [(p, (8,)) for p in ("beta", "mean", "variance")],
                 scale=False, center=True)
    row = rows([norm], {}, weights_memory="sram", activations_memory="fixed")["n"]
    assert row.parameters_pj == pytest.approx(3 * words(8, 32))
    assert row.op_pj == pytest.approx(8 * (3.7 + 0.9))
    original = rows([norm], {}, compat=QTOOLS)["n"]
    assert original.parameters_pj == pytest.approx(4 * words(8, 32), abs=0.005)
    assert original.op_pj == pytest.approx(8 * 3.7, abs=0.005)


def test_relu_without_quantizer_keeps_its_format():
    layers = [dense(bias=False), layer("ReLU", "r", [(4,)], inbound=("d",))]
    row = rows(layers, {"d": {"kernel": B4}})["r"]
    assert row.output == rows(layers, {"d": {"kernel": B4}})["d"].output
    assert row.profile_pj == row.outputs_pj
    assert row.notes == ()


def test_wiring_moves_nothing():
    flat = [layer("Flatten", "f", [(4, 4, 2)]), dense(inputs=32, inbound=("f",))]
    assert rows(flat, {"d": {"kernel": B4}})["f"].total_pj == 0
    assert rows(flat, {"d": {"kernel": B4}}, compat=QTOOLS)["f"].total_pj > 0


def test_model_ends_are_tensors():
    layers = [dense("d", bias=False), dense("e", 4, 4, False, inbound=("d",)),
              layer("Add", "m", [(4,), (4,)], inbound=("d", "e"))]
    row = rows(layers, {}, activations_memory="fixed")["m"]
    assert row.inputs_pj == 0
    assert row.outputs_pj == pytest.approx(words(4, 32))


def test_layers_absent_at_inference_are_taken_out():
    layers = [layer("GaussianNoise", "n", [(15,)]), dense(inbound=("n",))]
    assert set(rows(layers, {})) == {"d"}
    assert set(rows(layers, {}, compat=QTOOLS)) == {"n", "d"}


@pytest.mark.parametrize(("text", "expected"), [
    ("quantized_tanh(6)", (6, 0, True)), ("quantized_sigmoid(6)", (6, 0, False)),
    ("quantized_hswish(8,2)", (8, 2, True)), ("quantized_linear(5,1)", (5, 1, True)),
])
def test_every_kind_has_a_type(text, expected):
    row = rows([layer("Activation", "a", [(8,)])], {"a": {"output": text}})["a"]
    assert (row.output.bits, row.output.integer, row.output.signed) == expected
    assert row.notes == ()


def test_a_format_that_is_passed_on_stays():
    layers = [layer("Activation", "a", [(4, 2)]), layer("Flatten", "f", [(4, 2)], inbound=("a",))]
    assert rows(layers, {"a": {"output": "quantized_tanh(6)"}})["f"].output_bits == 6
    # the original's slip
    assert rows(layers, {"a": {"output": "quantized_tanh(6)"}}, compat=QTOOLS)["f"].output_bits == 2


def test_dense_over_positions_counts_each():
    row = rows([dense(inputs=3, units=4, shape=(10, 3))], {"d": {"kernel": B4, "bias": B8}})["d"]
    assert row.op_count == 10 * 12
    original = rows([dense(inputs=3, units=4, shape=(10, 3))], {"d": {"kernel": B4, "bias": B8}}, compat=QTOOLS)["d"]
    assert "stops at a Dense" in original.notes[0]


def test_nothing_is_rounded():
    row = rows([dense(inputs=2, units=1, bias=False)], {"d": {"kernel": "ternary(alpha=1)"}}, **FREE)["d"]
    assert row.op_pj == 2 * (0.6 * add(8) + add(9))


def test_corrections_are_listed_once_with_reasons():
    assert len({correction.key for correction in CORRECTIONS}) == len(CORRECTIONS)
    assert all(correction.original and correction.corrected and correction.reason for correction in CORRECTIONS)


def test_the_documentation_lists_every_correction():
    page = (Path(__file__).parents[3] / "docs" / "what_is_counted.md").read_text()
    for correction in CORRECTIONS:
        line = f"| {correction.key} | {correction.original} | {correction.corrected} | {correction.reason} |"
        assert line in page, correction.key


def test_that_a_price_is_corrected_unless_another_is_asked_for():
    lstm = layer("LSTM", "l", [(5, 4)], [("kernel", (4, 32)), ("recurrent_kernel", (8, 32)), ("bias", (32,))], units=8)
    source = LayerInfo(name="x", class_name="InputLayer", output_shape=(5, 4))
    model = ModelInfo(name="m", layers=(source, lstm), inputs=("x",), outputs=("l",))
    recipe = Recipe(layers={"l": LayerRecipe(quantizers=dict.fromkeys(("kernel", "recurrent_kernel", "bias"), B8))})
    plain, original = price(model, recipe), price(model, recipe, EnergySettings(compat=QTOOLS))
    assert plain.settings.compat == CORRECTED
    assert plain.costs.parameter_bits == 8 * (4 * 32 + 8 * 32 + 32) and plain.energy_pj > original.energy_pj
