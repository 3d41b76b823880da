"""Every layer class and quantizer kind through hls4ml: C++ compiled by g++ against Keras, value for value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from core.errors import ExportError
from core.events import Monitor
from core.hls.hls4ml_flow import check, convert, hls4ml_mismatches
from core.hls.hls4ml_options import BACKENDS, Hls4mlOptions, parse_options
from core.hls.hls4ml_precision import precision, precision_of
from core.hls.hls4ml_project import Emulated, export_project, softmax_note
from core.hls.network import logits_model
from core.quant import Recipe, predict, quantize
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


@pytest.mark.slow
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
    if weight == "quantized_ulaw(4,0)" and name != "Dense":  # sums of products of logarithms
        with pytest.raises(ExportError, match=r"more than 21 bits to be looked up|values of \d+ bits"):
            hls4ml_mismatches(model, events_for(model, 100))
        return
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
    model = quantize(keras.Model(inputs, L.ReLU(name="after")(layer(inputs))), Recipe(input=SOURCE))
    assert hls4ml_mismatches(model, events_for(model, 100)) == 0


def test_values_of_more_bits_than_a_double_has_are_refused_by_the_layers_name() -> None:
    with pytest.raises(ExportError, match=r"layer 'tested' computes values of 5\d bits.*double precision holds 53"):
        convert(_of("SeparableConv2D", weight="quantized_ulaw(4,0)"), Path("never-written"))


@pytest.mark.parametrize("layer", [L.Flatten(), L.Reshape((8, 3)), L.Dropout(0.5)])
def test_an_output_that_is_the_input_is_refused_in_one_sentence(layer: Any) -> None:
    inputs = keras.Input((4, 3, 2), name="x")
    with pytest.raises(ExportError, match="is the model's own input"):
        convert(quantize(keras.Model(inputs, layer(inputs)), Recipe(input=SOURCE)), Path("never-written"))


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


def test_settings_are_read_from_texts() -> None:
    options = parse_options(["backend=Vivado", "io_type = io_stream", "reuse_factor=4", "reuse_factor.fc*=8",
                             "strategy.out=Resource"])
    assert (options.backend, options.io_type, options.reuse_factor) == ("Vivado", "io_stream", 4)
    assert options.of_layer("fc2") == ("Latency", 8) and options.of_layer("out") == ("Resource", 4)


@pytest.mark.parametrize("text", ["backend", "speed=9", "reuse_factor=two", "softmax.fc=keep", "reuse_factor=-1"])
def test_texts_that_are_no_settings_are_refused(text: str) -> None:
    with pytest.raises(ExportError) as caught:
        parse_options([text])
    assert caught.value.remedy


@pytest.mark.parametrize(("options", "says"), [
    (Hls4mlOptions(backend="Quartus"), "Quartus backend has no form"),
    (Hls4mlOptions(io_type="io_stream"), "io_stream")])
def test_steps_without_a_form_are_refused_by_the_layers_name(options: Hls4mlOptions, says: str) -> None:
    with pytest.raises(ExportError, match=rf"layer 'tested' moves values about.*{says}"):
        convert(_of("GRU"), Path("never-written"), options=options)


# -- precision -------------------------------------------------------------------------------------------------


def _wide(units: int = 70, source: str = SOURCE) -> keras.Model:
    inputs = keras.Input((70,), name="x")
    hidden = L.Dense(units, name="fc")(inputs)
    layers = {"fc": LayerRecipe(quantizers={"kernel": "quantized_bits(4,1,alpha=1)", "bias": WEIGHT})}
    return quantize(keras.Model(inputs, L.Dense(2, name="out")(hidden)),
                    Recipe(layers=layers | {"out": layers["fc"]}, input=source))


def test_every_type_is_listed_and_holds_what_interval_arithmetic_finds() -> None:
    model = _wide(3)
    report = precision(model)
    rows = {(row.layer, row.tensor): row for row in report.rows}
    assert set(rows) == {("x", "input"), *((layer, tensor) for layer in ("fc", "out")
                                           for tensor in ("accumulator", "weight", "bias", "result"))}
    kernel = model.get_layer("fc").quantized_weights()["kernel"].astype(float)
    most = np.abs(kernel).sum(0).max() * 2.0**3  # the input lies in [-8, 8)
    row = rows["fc", "accumulator"]
    assert 2.0 ** (row.integer - 2) <= most <= 2.0 ** (row.integer - 1) and row.fits
    assert (rows["x", "input"].bits, rows["x", "input"].overflow) == (8, "SAT")
    assert rows["fc", "weight"].values == rows["fc", "weight"].products == 210
    assert not report.warnings and not Path("not-written").exists()


@pytest.mark.parametrize(("model", "options", "says"), [
    (_wide, Hls4mlOptions(), "'fc' has 4900 products side by side.*4096.*reuse factor of 2"),
    (lambda: _wide(3, "quantized_bits(32,3,alpha=1)"), Hls4mlOptions(), "accumulator of layer 'fc' has [34][0-9] bits"),
    (lambda: _wide(3), Hls4mlOptions(strategy="Resource", reuse_factor=17), "'fc' gets a reuse factor of"),
    (lambda: _wide(3), Hls4mlOptions(backend="oneAPI"), "strategy resource and not Latency"),
])
def test_what_will_not_build_well_is_told_before(model: Any, options: Hls4mlOptions, says: str) -> None:
    assert any(re.search(says, warning) for warning in precision(model(), options).warnings)


def test_an_accumulator_too_narrow_for_its_sums_is_found() -> None:
    graph = convert(_wide(3), Path("never-written"))
    layer = graph.graph["fc"]
    layer.attributes["accum_t"].precision.integer -= 4
    found = precision_of(graph, Hls4mlOptions()).warnings
    assert len(found) == 1 and "accumulator of layer 'fc'" in found[0] and "wraps around" in found[0]


# -- whole projects --------------------------------------------------------------------------------------------


def _classifier() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,), name="x")
    out = L.Dense(3, name="out", bias_initializer="random_normal")(inputs)
    return quantize(keras.Model(inputs, L.Activation("softmax", name="softmax")(out)),
                    Recipe(layers={"out": LayerRecipe(quantizers={"kernel": WEIGHT, "bias": WEIGHT})}, input=SOURCE))


def _exported(softmax: str, folder: Path) -> tuple[Emulated, np.ndarray, np.ndarray]:
    model = _classifier()
    events = events_for(model, 300)
    logits = predict(logits_model(model)[0], events, "float64")
    done = export_project(model, events, logits, folder, "xcvu9p-flgb2104-2L-e", 5.0,
                          Hls4mlOptions(softmax=softmax, testbench_events=20), Monitor())
    return done, events, logits


def test_a_project_ends_in_the_largest_class_and_explains_itself(tmp_path: Path) -> None:
    done, events, logits = _exported("argmax", tmp_path)
    np.testing.assert_array_equal(done.found, done.expected)
    assert (done.expected.argmax(-1) == logits.argmax(-1)).all() and (done.expected.sum(-1) == 1).all()
    stored = np.loadtxt(tmp_path / "tb_data/tb_input_features.dat")
    np.testing.assert_array_equal(stored, events[:20].astype(np.float64))
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "tb_data/tb_output_predictions.dat"), done.expected[:20])
    text = (tmp_path / "README.md").read_text()
    assert "0 of 900 values differ" in text and "vitis-run --mode hls --tcl build_prj.tcl" in text
    assert "| out | Dense | accumulator |" in text
    assert (tmp_path / "firmware/weights/w3.txt").exists() or list((tmp_path / "firmware/weights").glob("*.txt"))


@pytest.mark.slow
def test_a_softmax_that_is_kept_is_measured_and_what_is_before_it_is_exact(tmp_path: Path) -> None:
    done, _, logits = _exported("keep", tmp_path)
    np.testing.assert_array_equal(done.found, logits)
    assert not done.project_is_exact
    same = int(re.search(r"same class as Keras on (\d+)", done.note)[1])
    assert 0 < same <= 300


def test_the_note_on_a_softmax_counts_what_agrees() -> None:
    wanted = np.array([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]])
    found = np.array([[0.4, 0.6], [0.25, 0.75], [0.8, 0.2]])
    assert "on 2 (66.67 %)" in softmax_note(wanted, found) and "by up to 0.1 " in softmax_note(wanted, found)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [
    ("Dense", Hls4mlOptions(strategy="distributed_arithmetic")),
    ("Conv2D", Hls4mlOptions(strategy="distributed_arithmetic")),
    ("Conv2D", Hls4mlOptions(strategy="distributed_arithmetic", io_type="io_stream")),
    ("Conv2D", Hls4mlOptions(strategy="Resource", reuse_factor=2)),
    ("Dense", Hls4mlOptions(strategy="Resource_unrolled", reuse_factor=2)),
    *((name, Hls4mlOptions(backend=backend, io_type=io)) for name in ("Dense", "Conv2D")
      for backend in ("Vivado", "VivadoAccelerator", "Quartus", "Catapult") for io in BACKENDS[backend].emulates),
], ids=lambda value: value if isinstance(value, str) else f"{value.backend}-{value.io_type}-{value.strategy}")
def test_every_strategy_and_backend_that_can_be_run_here_is_exact(name: str, options: Hls4mlOptions) -> None:
    model = _of(name)
    assert hls4ml_mismatches(model, events_for(model, 100), options) == 0
