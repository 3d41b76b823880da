"""Networks broken on purpose in the written project: the real tools find it, layer and cause are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from core.hls import diagnosis, exactness, hls4ml_flow, simulate
from core.hls.diagnosis import written_type
from core.hls.export import ExportOptions, export
from core.hls.report import ExportReport
from core.quant import quantize
from core.quant.recipe import LayerRecipe, Recipe

WEIGHT = "quantized_bits(6,1,alpha=1)"


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(11)
    inputs = tensor = keras.Input((5,), name="x")
    for number in range(2):
        tensor = keras.layers.Dense(5, name=f"fc{number}", bias_initializer="random_normal")(tensor)
        tensor = keras.layers.Activation("relu", name=f"act{number}")(tensor)
    built = keras.Model(inputs, keras.layers.Dense(2, name="output")(tensor))
    dense = LayerRecipe(quantizers={"kernel": WEIGHT, "bias": WEIGHT})
    act = LayerRecipe(quantizers={"output": "quantized_relu(6,3)"})
    return quantize(built, Recipe(layers={"fc0": dense, "act0": act, "fc1": dense, "act1": act, "output": dense},
                                  input="quantized_bits(8,3,alpha=1)"))


def _exported(model: keras.Model, flow: str, folder: Path) -> ExportReport:
    events = np.random.default_rng(5).normal(0, 2, (200, 5)).astype(np.float32)
    return export(model, events, ExportOptions(flow, events=200, synthesize=False), folder)


def _break(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]) -> None:
    """The project of the C++ flow is spoiled after it was written and before it is compiled."""
    real = hls4ml_flow.emulate

    def emulate(graph: Any, directory: Path, *others: Any, **named: Any) -> np.ndarray:
        spoil(directory)
        hls4ml_flow.unoptimized(directory)
        return real(graph, directory, *others, **named)

    monkeypatch.setattr(hls4ml_flow, "emulate", emulate)


def _retype(name: str, pattern: str, text: str) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        file = directory / "firmware" / "defines.h"
        before = file.read_text()
        after = re.sub(rf"typedef {pattern} {name};", f"typedef {text} {name};", before)
        assert after != before, before
        file.write_text(after)

    return spoil


@pytest.mark.parametrize(("name", "text", "layer", "cause"), [
    pytest.param("fc1_t", "ap_ufixed<5,2,AP_RND_CONV,AP_SAT,0>", "act1", "overflow: the written type ap_ufixed<5,2",
                 marks=pytest.mark.slow),
    pytest.param("fc1_t", "ap_ufixed<4,3,AP_RND_CONV,AP_SAT,0>", "act1", "rounding: the written type ap_ufixed<4,3",
                 marks=pytest.mark.slow),
    ("fc1_accum_t", "ap_fixed<9,2>", "act1", "accumulator: its written type ap_fixed<9,2> holds -2 to"),
    pytest.param("fc0_weight_t", "ap_fixed<3,2>", "act0",
                 "weights: the written type ap_fixed<3,2> of the kernel cannot hold", marks=pytest.mark.slow)],
    ids=["overflow", "rounding", "accumulator", "weights"])
def test_a_type_that_was_spoiled_in_the_project_is_named(
        name: str, text: str, layer: str, cause: str, model: keras.Model, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, _retype(name, r"\S+", text))
    report = _exported(model, "hls4ml", tmp_path / "out")
    assert report.exactness is not None and not report.exactness.verified and report.exactness.mismatches > 0
    first = report.exactness.flows["c++"].first
    assert first is not None and first.layer == layer and first.cause.startswith(cause), first
    assert first.layer_expected != first.layer_found and first.expected != first.found
    assert "DO NOT AGREE" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_a_spoiled_stage_of_the_rtl_is_named(
        model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = simulate.simulate

    def spoiled(rtl: Any, *others: Any, **named: Any) -> np.ndarray:
        file = rtl.directory / "src" / f"{rtl.stages[1]}.v"
        before = file.read_text()
        after = re.sub(r"(shift_adder #\((?:\d+,){6})(-?\d+)", lambda m: f"{m[1]}{int(m[2]) + 1}", before,
                       count=1)
        assert after != before
        file.write_text(after)
        return real(rtl, *others, **named)

    monkeypatch.setattr(simulate, "simulate", spoiled)
    report = _exported(model, "rtl", tmp_path / "out")
    first = report.exactness.flows["rtl"].first
    assert not report.exactness.verified and first is not None
    assert "the written file logic1.v does not do what its logic does: pipeline stage 2 of" in first.cause
    assert first.layer in ("fc0", "act0") and first.layer_expected != first.layer_found


def test_a_difference_without_a_layer_keeps_its_cause() -> None:
    reference, found = np.array([[1.0, 8.0]]), np.array([[1.0, 8.25]])
    check = diagnosis.explained(exactness.compare("rtl", reference, found, 0.1), None, "no single layer differs")
    assert check.first is not None and check.first.layer == "" and check.mismatches == 1
    assert check.first.cause == "rounding: the difference is small against the values; no single layer differs"


@pytest.mark.parametrize(("text", "low", "high"), [
    ("ap_fixed<8,4,AP_RND_CONV,AP_SAT,0>", -8, 7.9375), ("ap_ufixed<5,2>", 0, 3.875), ("ap_uint<3>", 0, 7),
    ("ap_int<3>", -4, 3), ("ac_fixed<6,2,false>", 0, 3.9375), ("ac_fixed<6,2,true>", -2, 1.9375),
    ("ap_ufixed<2,-1>", 0, 0.375)])
def test_written_types_are_read(text: str, low: float, high: float) -> None:
    kind = written_type(text)
    assert kind is not None and (kind.low, kind.high) == (low, high)
    assert kind.holds(high) and not kind.holds(high + 2.0**-kind.fraction) and kind.represents(high)
    assert written_type("float") is None
