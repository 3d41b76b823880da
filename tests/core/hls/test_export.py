"""Small networks through the real tools: hls4ml and g++, alkaid and Verilator, Yosys."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest

from core.errors import Cancelled, ExportError
from core.events import LogLine, Monitor, Stage
from core.hls.export import ExportOptions, export
from core.hls.report import ExportReport
from core.quant import quantize
from core.quant.recipe import LayerRecipe, Recipe

KERNELS = ["quantized_bits(5,0,alpha=1)", "quantized_bits(4,1,1,alpha=0.5)", "quantized_bits(4,0)",
           "ternary(alpha='auto_po2')", "ternary(alpha=1)", "binary(alpha='auto_po2')", "binary(alpha=1)",
           "stochastic_binary(alpha='auto_po2')", "stochastic_ternary(alpha='auto_po2')", "quantized_po2(4,1)"]
OUTPUTS = ["quantized_relu(5,2)", "quantized_bits(6,3,alpha=1)", "quantized_bits(5,3,1,alpha=1)", "quantized_tanh(5)"]
EVENTS = 500


def _model(layers: int, activation: str = "relu") -> keras.Model:
    keras.utils.set_random_seed(3)
    x = tensor = keras.Input((6,), name="x")
    for number in range(layers):
        tensor = keras.layers.Dense(6, name=f"fc{number}", bias_initializer="random_normal")(tensor)
        tensor = keras.layers.Activation(activation, name=f"act{number}")(tensor)
    tensor = keras.layers.Dense(3, name="output")(tensor)
    return keras.Model(x, keras.layers.Activation("softmax", name="softmax")(tensor))


def _quantized(kernels: list[str], outputs: list[str], source: str = "quantized_bits(8,3,alpha=1)") -> keras.Model:
    layers = {}
    for number, (kernel, output) in enumerate(zip(kernels, outputs, strict=True)):
        layers[f"fc{number}"] = LayerRecipe(quantizers={"kernel": kernel, "bias": "quantized_bits(6,1,alpha=1)"})
        layers[f"act{number}"] = LayerRecipe(quantizers={"output": output})
    layers["output"] = LayerRecipe(quantizers={"kernel": KERNELS[0], "bias": "quantized_bits(6,1,alpha=1)"})
    return quantize(_model(len(kernels)), Recipe(layers=layers, input=source))


def _events(count: int = EVENTS) -> np.ndarray:
    """Random events, and some on the grid's ties so that rounding half to even is put to the test."""
    random = np.random.default_rng(7)
    x = random.normal(0, 2, (count, 6))
    x[: count // 4] = random.integers(-200, 200, (count // 4, 6)) / 32
    return x.astype(np.float32)


def _proof(report: ExportReport) -> dict[str, int]:
    assert report.exactness is not None
    return {flow: check.mismatches for flow, check in report.exactness.flows.items()}


@pytest.mark.parametrize("part", [0, 1], ids=["first-kinds", "other-kinds"])
def test_every_kernel_kind_agrees_in_keras_cpp_and_rtl(part: int, tmp_path: Path) -> None:
    kernels = KERNELS[part::2]
    model = _quantized(kernels, ["quantized_relu(5,2)"] * len(kernels))
    report = export(model, _events(), ExportOptions(synthesize=False, events=EVENTS), tmp_path / "c-both")
    assert _proof(report) == {"c++": 0, "rtl": 0}
    assert report.exactness.events == EVENTS and report.exactness.flows["rtl"].values == 3 * EVENTS


def test_every_output_kind_agrees_in_keras_cpp_and_rtl(tmp_path: Path) -> None:
    model = _quantized([KERNELS[0]] * len(OUTPUTS), OUTPUTS)
    report = export(model, _events(), ExportOptions(synthesize=False, events=EVENTS), tmp_path / "c-both")
    assert _proof(report) == {"c++": 0, "rtl": 0}


def test_synthesis_counts_cells_and_leaves_a_folder_that_explains_itself(tmp_path: Path) -> None:
    said: list[object] = []
    folder = tmp_path / "c01-rtl"
    report = export(_quantized(KERNELS[:1], OUTPUTS[:1]), _events(), ExportOptions("rtl", events=EVENTS), folder,
                    Monitor(said.append), "c01")
    synthesis = report.synthesis
    assert synthesis is not None and synthesis.lut > 0 and synthesis.ff > 0 and synthesis.dsp == 0
    assert synthesis.latency_ns == synthesis.latency_cycles * 5.0 and synthesis.ii == 1
    assert synthesis.percent["lut"] == pytest.approx(100 * synthesis.lut / 1182240)
    cells = json.loads((folder / "rtl" / "yosys" / "cells.json").read_text())
    luts = sum(n for name, n in cells.items() if name.startswith("LUT") or name == "INV")
    assert luts == synthesis.lut
    stored = msgspec.json.decode((folder / "report.json").read_bytes(), type=ExportReport)
    assert stored == report
    assert "agree" in (folder / "README.md").read_text()
    former = folder.rename(folder.with_name("former"))  # as a project does before it exports again
    anew = export(_quantized(KERNELS[:1], OUTPUTS[:1]), _events(), ExportOptions("rtl", events=50, synthesize=False),
                  folder, candidate_id="c01", former=former)
    assert anew.synthesis == synthesis and anew.syntheses == [synthesis] and anew.exactness.events == 50
    assert [s.name for s in said if isinstance(s, Stage)][-1] == "synthesis"
    assert any(isinstance(line, LogLine) and "verilator" in line.source for line in said)


def test_a_wrong_implementation_is_reported_with_event_and_values(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import core.hls.export as module

    real = module.hls4ml_flow.emulate

    def off_by_one_step(*args: object, **kwargs: object) -> np.ndarray:
        found = real(*args, **kwargs)
        found[17, 2] += 2.0**-8
        return found

    monkeypatch.setattr(module.hls4ml_flow, "emulate", off_by_one_step)
    model = _quantized(KERNELS[:1], OUTPUTS[:1])
    report = export(model, _events(), ExportOptions("hls4ml", events=EVENTS), tmp_path / "c")
    first = report.exactness.flows["c++"].first
    assert not report.exactness.verified and report.exactness.mismatches == 1
    assert (first.event, first.output) == (17, 2) and first.found == first.expected + 2.0**-8
    assert "rounding" in first.cause
    assert "DO NOT AGREE" in (tmp_path / "c" / "README.md").read_text()


@pytest.mark.parametrize(("layer", "parameter", "text", "says"), [
    ("fc0", "kernel", "quantized_bits(4,0,alpha='auto')", "kernel of layer 'fc0'"),
    ("fc0", "kernel", "quantized_bits(4,0,alpha=0.3)", "kernel of layer 'fc0'"),
    ("fc0", "kernel", None, "is in float"),
    ("act0", "output", "quantized_ulaw(6)", "layer 'act0'"),
])
def test_what_has_no_exact_form_is_refused_by_name_and_nothing_is_written(
        layer: str, parameter: str, text: str | None, says: str, tmp_path: Path) -> None:
    recipe = Recipe(layers={"fc0": LayerRecipe(quantizers={"kernel": KERNELS[0], "bias": KERNELS[0]}),
                            "act0": LayerRecipe(quantizers={"output": OUTPUTS[0]}),
                            "output": LayerRecipe(quantizers={"kernel": KERNELS[0], "bias": KERNELS[0]})})
    model = quantize(_model(1), recipe.with_quantizer(layer, parameter, text))
    with pytest.raises(ExportError, match=says) as caught:
        export(model, _events(10), ExportOptions(), tmp_path / "c")
    assert caught.value.remedy
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("options", [ExportOptions(flow="vhdl"), ExportOptions(part="xc-nothing"),
                                     ExportOptions(clock_ns=0.01)])
def test_bad_options_are_refused_before_anything_is_written(options: ExportOptions, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export(_quantized(KERNELS[:1], OUTPUTS[:1]), _events(10), options, tmp_path / "c")
    assert caught.value.remedy and not (tmp_path / "c").exists()


def test_a_cancelled_export_stops_before_its_next_tool(tmp_path: Path) -> None:
    seen: list[object] = []
    monitor = Monitor(seen.append, cancelled=lambda: any(isinstance(e, Stage) and e.name == "rtl" for e in seen))
    model = _quantized(KERNELS[:1], OUTPUTS[:1])
    with pytest.raises(Cancelled):
        export(model, _events(10), ExportOptions("rtl", events=10), tmp_path / "c", monitor)
    assert not (tmp_path / "c" / "report.json").exists()
