"""Settings of the RTL flow: what they change in the RTL that is written, and VHDL through GHDL."""

from __future__ import annotations

import builtins
import shutil
import sys
from importlib import util
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from core.errors import ExportError, ToolMissingError
from core.events import Monitor
from core.hls import export as module
from core.hls import simulate
from core.hls.export import ExportOptions, export
from core.hls.network import read_network
from core.hls.rtl_alkaid import Rtl, write_rtl
from core.hls.rtl_options import RtlOptions, parse_options
from core.model_io import describe_model
from core.quant import Recipe, quantize, uniform
from core.quant.recipe import LayerRecipe
from core.quant.samples import events_for

pytest.importorskip("alkaid")
PART = "xcvu9p-flgb2104-2L-e"
WEIGHT = "quantized_bits(6,0,alpha=1)"


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(5)
    inputs = keras.Input((8,), name="x")
    hidden = keras.layers.Dense(8, activation="sigmoid", name="one", bias_initializer="random_normal")(inputs)
    built = keras.Model(inputs, keras.layers.Dense(3, name="two")(hidden))
    texts = {"kernel": WEIGHT, "bias": WEIGHT}
    return quantize(built, Recipe(layers={
        "one": LayerRecipe(quantizers={**texts, "output": "quantized_sigmoid(5)"}),
        "two": LayerRecipe(quantizers=texts)}, input="quantized_bits(8,3,alpha=1)"))


def written(model: keras.Model, folder: Path, clock_ns: float = 5.0, **settings: Any) -> Rtl:
    return write_rtl(read_network(model), folder, PART, clock_ns, RtlOptions(**settings))


def test_settings_are_read_from_texts() -> None:
    found = parse_options(["language=vhdl", "ternary_adders=no", "depth_limit = 4", "stage_ns=3.5", "stages=none"])
    assert found == RtlOptions(language="vhdl", ternary_adders=False, depth_limit=4, stage_ns=3.5)
    for bad in ("language", "speed=3", "depth_limit=deep", "stages=0", "language=chisel"):
        with pytest.raises(ExportError) as caught:
            parse_options([bad])
        assert caught.value.remedy


def test_a_faster_clock_and_a_shorter_stage_give_more_stages(model: keras.Model, tmp_path: Path) -> None:
    slow = written(model, tmp_path / "a", 10.0)
    fast = written(model, tmp_path / "b", 2.5)
    short = written(model, tmp_path / "c", 10.0, stage_ns=2.0)
    assert slow.cycles < fast.cycles == short.cycles and fast.stage_ns < 2.5 < slow.stage_ns <= 8.0
    assert fast.registers > slow.registers and len(fast.stages) == fast.cycles


def test_the_number_of_stages_can_be_given(model: keras.Model, tmp_path: Path) -> None:
    assert written(model, tmp_path / "a", stages=3).cycles == 3
    fewer = written(model, tmp_path / "a", stages=2)
    assert fewer.cycles == 2 and fewer.stages == ("logic0", "logic1")


def test_ternary_adders_save_lut_and_depth_costs_them(model: keras.Model, tmp_path: Path) -> None:
    plain = written(model, tmp_path / "a", ternary_adders=False)
    ternary = written(model, tmp_path / "b")
    shallow = written(model, tmp_path / "c", depth_limit=0)
    assert ternary.lut < plain.lut and shallow.lut >= ternary.lut
    assert "ternary_adder" in "".join(path.read_text() for path in (tmp_path / "b" / "src").glob("logic*.v"))
    assert "ternary_adder" not in "".join(path.read_text() for path in (tmp_path / "a" / "src").glob("logic*.v"))


@pytest.mark.parametrize("settings", [{"language": "chisel"}, {"depth_limit": 99}, {"stage_ns": 0.01}, {"stages": 0}])
def test_settings_out_of_range_are_refused_before_anything_is_written(
        model: keras.Model, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export(model, events_for(model, 4), ExportOptions("rtl", rtl=RtlOptions(**settings)), tmp_path / "out")
    assert caught.value.remedy and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ghdl") is None, reason="GHDL is not installed")
def test_vhdl_itself_is_simulated_and_exact(model: keras.Model, tmp_path: Path) -> None:
    options = ExportOptions("rtl", events=300, synthesize=False, rtl=RtlOptions(language="vhdl"))
    said: list[Any] = []
    report = export(model, events_for(model, 300), options, tmp_path / "out", Monitor(said.append))
    assert any("rtl: 900 values on 300 events, no mismatch" in getattr(line, "text", "") for line in said)
    assert report.exactness.mismatches == 0 and report.exactness.flows["rtl"].values == 900
    assert (tmp_path / "out/rtl/src/quantiscope_top.vhd").exists() and not report.warnings
    assert "ghdl" in (tmp_path / "out/rtl/sim/verilator.log").read_text() or \
        (tmp_path / "out/rtl/sim/quantiscope_top_wrapper.v").exists()


@pytest.mark.slow
def test_without_ghdl_the_verilog_twin_is_simulated_and_the_report_says_so(
        model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "simulates_vhdl", lambda: False)
    options = ExportOptions("rtl", events=100, synthesize=False, rtl=RtlOptions(language="vhdl"))
    report = export(model, events_for(model, 100), options, tmp_path / "out")
    assert report.exactness.mismatches == 0 and report.warnings == [simulate.NOT_SIMULATED]
    assert (tmp_path / "out/rtl/src/logic0.vhd").exists() and (tmp_path / "out/rtl/verilog/src/logic0.v").exists()


def test_where_alkaid_has_no_wheel_one_sentence_says_so_and_the_other_flow_works(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = keras.Input((3,), name="x")
    layer = keras.layers.Dense(2, name="one")(inputs)
    small = quantize(keras.Model(inputs, layer), Recipe(
        layers={"one": LayerRecipe(quantizers={"kernel": WEIGHT, "bias": WEIGHT})},
        input="quantized_bits(8,3,alpha=1)"))
    real = builtins.__import__

    def blocked(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "alkaid":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    for name in [n for n in sys.modules if n.split(".")[0] == "alkaid"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("core.hls.tools.util.find_spec", _without_alkaid(util.find_spec))
    with pytest.raises(ToolMissingError, match=r"alkaid is not installed.*hls4ml flow"):
        written(small, tmp_path / "rtl")
    with pytest.raises(ToolMissingError, match="alkaid is not installed"):
        export(small, events_for(small, 4), ExportOptions("rtl"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = export(small, events_for(small, 50), ExportOptions("hls4ml", synthesize=False), tmp_path / "hls")
    assert report.exactness.verified and np.isclose(report.exactness.events, 50)
    assert module.RTL_FOLDER not in [path.name for path in (tmp_path / "hls").iterdir()]


def _without_alkaid(find: Any) -> Any:
    return lambda name, *args: None if name == "alkaid" else find(name, *args)


def test_a_network_that_gives_nothing_but_0_is_one_sentence(tmp_path: Path) -> None:
    inputs = keras.Input((4,), name="x")
    plain = keras.Model(inputs, keras.layers.Dense(3, name="out")(inputs))
    plain.get_layer("out").set_weights([np.full((4, 3), 1e-3, np.float32), np.zeros(3, np.float32)])
    none = quantize(plain, uniform(describe_model(plain), 4, input_quantizer="quantized_bits(8,0,alpha=1)"))
    with pytest.raises(ExportError, match="gives 0 for every event"):
        write_rtl(read_network(none), tmp_path, PART, 5.0)
    assert not list(tmp_path.iterdir())


def test_verilog_of_an_earlier_export_does_not_stay_beside_vhdl(model: keras.Model, tmp_path: Path) -> None:
    written(model, tmp_path)
    assert list((tmp_path / "src").glob("*.v"))
    written(model, tmp_path, language="vhdl")
    assert list((tmp_path / "src").glob("*.vhd")) and not list((tmp_path / "src").glob("*.v"))
