"""An export runs by itself: its own script compiles it anew, checks it and synthesizes it, without Quantiscope."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from core.events import Monitor
from core.hls import manifest
from core.hls.export import ExportOptions, export
from core.hls.report import ExportReport
from core.hls.simulate import completed, missing_modules
from core.hls.synthesis import synthesize
from core.hls.synthesis_options import SynthesisOptions
from core.quant import quantize
from core.quant.recipe import LayerRecipe, Recipe


def _model() -> keras.Model:
    keras.utils.set_random_seed(5)
    x = keras.Input((4,), name="x")
    hidden = keras.layers.Activation("relu", name="act")(keras.layers.Dense(3, name="fc")(x))
    weights = {"kernel": "quantized_bits(4,0,alpha=1)", "bias": "quantized_bits(4,0,alpha=1)"}
    recipe = Recipe(layers={"fc": LayerRecipe(quantizers=weights), "output": LayerRecipe(quantizers=weights),
                            "act": LayerRecipe(quantizers={"output": "quantized_relu(4,2)"})},
                    input="quantized_bits(6,2,alpha=1)")
    return quantize(keras.Model(x, keras.layers.Dense(2, name="output")(hidden)), recipe)


def _exported(folder: Path, flow: str) -> tuple[Path, ExportReport]:
    events = np.random.default_rng(1).normal(0, 2, (200, 4)).astype(np.float32)
    options = ExportOptions(flow, events=200, synthesize=False)
    return folder, export(_model(), events, options, folder, candidate_id="c7")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    return _exported(tmp_path_factory.mktemp("an export") / "c7-rtl", "rtl")


def _rebuild(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # from elsewhere and without the repository on the path, so that nothing of Quantiscope can be imported
    return subprocess.run([sys.executable, "-I", str(folder / "rebuild.py"), *arguments], capture_output=True,
                          text=True, cwd="/", env={**os.environ, **environment}, check=False)


def test_the_check_compiles_anew_and_finds_the_one_value_that_was_changed(made: tuple[Path, ExportReport]) -> None:
    folder, report = made
    assert report.exactness is not None and report.exactness.verified
    golden = folder / "golden" / "expected_rtl.npy"
    kept = golden.read_bytes()
    changed = np.load(golden)
    changed[17, 1] += 2.0**-8
    np.save(golden, changed)
    try:
        done = _rebuild(folder, "check")
    finally:
        golden.write_bytes(kept)
    assert done.returncode == 1 and "rtl: 1 of 400 values differ over 200 events" in done.stdout, done.stderr


@pytest.mark.slow
def test_both_flows_are_checked_anew(tmp_path: Path) -> None:
    folder, _ = _exported(tmp_path / "an export", "both")
    done = _rebuild(folder, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "c++: 0 of 400 values differ over 200 events" in done.stdout
    assert "rtl: 0 of 400 values differ over 200 events" in done.stdout
    source = folder / "hls4ml" / "firmware" / "quantiscope_hls.cpp"
    source.write_text("#error not any more\n" + source.read_text())
    broken = _rebuild(folder, "check")
    assert broken.returncode == 1 and "not any more" in broken.stderr and "Traceback" not in broken.stderr


@pytest.mark.slow
def test_it_synthesizes_to_the_same_cells_as_quantiscope_does(made: tuple[Path, ExportReport]) -> None:
    folder, report = made
    done = _rebuild(folder, "synthesize", "yosys")
    assert done.returncode == 0, done.stdout + done.stderr
    synthesis = synthesize(report, SynthesisOptions(), Monitor()).synthesis
    assert synthesis is not None and synthesis.lut and synthesis.ff and synthesis.latency_cycles
    assert f"LUT {synthesis.lut}, FF {synthesis.ff}, DSP {synthesis.dsp}, BRAM 0" in done.stdout


def test_versions_and_missing_tools_are_said(made: tuple[Path, ExportReport]) -> None:
    folder, _ = made
    recorded = manifest.load(folder)
    said = _rebuild(folder, "tools")
    for name, version in recorded.tools.items():
        assert name in said.stdout and version in said.stdout
    assert "missing" not in said.stdout and "another version" not in said.stdout
    assert {"yosys", "vivado"} == set(recorded.synthesis)
    missing = _rebuild(folder, "synthesize", "vivado", PATH="/nowhere")
    assert missing.returncode == 1 and "vivado cannot be started" in missing.stderr
    unknown = _rebuild(folder, "synthesize", "magic")
    assert unknown.returncode == 1 and "yosys" in unknown.stderr


def test_the_folder_names_no_place_of_this_machine(made: tuple[Path, ExportReport]) -> None:
    folder, _ = made
    text = (folder / "export.json").read_text()
    assert str(folder) not in text and sys.executable not in text
    assert json.loads(text)["checks"].keys() == {"rtl"}
    assert "rebuild.py check" in (folder / "README.md").read_text()
    assert os.access(folder / "build.sh", os.X_OK)


def test_a_netlist_that_lacks_a_module_is_known() -> None:
    whole = "module adder\n  (input a);\nendmodule\nmodule top\n  (input a);\n  adder op_1 (\n    .a(a));\nendmodule\n"
    assert missing_modules(whole) == set()
    assert missing_modules(whole.replace("  adder op_1", "  adder_2 op_1")) == {"adder_2"}
    lacking = whole.replace("module adder\n", "module another\n", 1)
    assert missing_modules(lacking) == {"adder"}
    assert missing_modules(completed(lacking, [])) == {"adder"}
    mended = completed(lacking, ["module unlike\nendmodule\n", whole, "never looked at"])
    assert missing_modules(mended) == set() and "unlike" not in mended and mended.count("module adder\n") == 1
