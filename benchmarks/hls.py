"""The published jet taggers (BF14, Q6, QE, QB) exported by both flows: proof, real Yosys counts, published counts.

    .venv/bin/python benchmarks/hls.py [--names BF,Q6,QE,QB] [--events 10000] [--epochs 12]

Trained here on the bundled jets, so weights and zeros are not the published ones. What can be counted without a
vendor's tool is counted; what hls4ml's C++ would take on the FPGA is an estimate, and said to be one.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import msgspec

from core.dataset import Dataset, load_dataset
from core.energy import resources
from core.energy.published import network
from core.events import Monitor
from core.hls.export import ExportOptions, export
from core.hls.report import ExportReport
from core.hls.rtl_options import RtlOptions
from core.model_io import describe_model
from core.quant import quantize
from core.quant.evaluation import evaluate
from core.quant.folding import fold_batchnorm
from core.quant.layers import QuantizedLayer
from core.quant.recipe import Recipe
from core.quant.training import TrainOptions, train

PART, CLOCK_NS = "xcvu9p-flgb2104-2L-e", 5.0
#: name -> accuracy %, cycles, DSP, LUT, FF as published for hls4ml with Vivado HLS on this part at 5 ns
PUBLISHED = {"BF": (74.4, 9, 1826, 48321, 20132), "Q6": (74.8, 11, 124, 39782, 8128),
             "QE": (72.3, 11, 66, 9149, 1781), "QB": (71.9, 14, 69, 11193, 1771)}
BIAS = "quantized_bits(8,3,1)"


def float_model(normalized: bool) -> keras.Model:
    """16-64-32-32-5, with a BatchNormalization behind each hidden layer where the published one has it."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((16,), name="features")
    for number, units in enumerate((64, 32, 32), start=1):
        x = keras.layers.Dense(units, name=f"fc{number}")(x)
        x = keras.layers.BatchNormalization(name=f"bn{number}")(x) if normalized else x
        x = keras.layers.Activation("relu", name=f"relu{number}")(x)
    x = keras.layers.Dense(5, name="output")(x)
    return keras.Model(inputs, keras.layers.Activation("softmax", name="softmax")(x))


def trained(name: str, data: Dataset, epochs: int) -> tuple[keras.Model, keras.Model, Recipe]:
    """(float model, quantized and trained model, recipe); BatchNormalization is folded before quantizing."""
    paper = network(name)
    normalized = any(layer.class_name == "BatchNormalization" for layer in paper.model.layers)
    plain = float_model(normalized)
    train(plain, data, TrainOptions(epochs=epochs, learning_rate=2e-3))
    recipe = paper.recipe
    if normalized:
        plain = fold_batchnorm(plain)
        for layer in ("fc1", "fc2", "fc3"):  # the folded layer has a bias
            recipe = recipe.with_quantizer(layer, "bias", BIAS)
    built = quantize(plain, recipe)
    train(built, data, TrainOptions(epochs=epochs))
    return plain, built, recipe


def hls_estimate(plain: keras.Model, built: keras.Model, recipe: Recipe) -> tuple[int, int]:
    """(DSP, LUT) of the hls4ml flow by our model of its multipliers."""
    exact = {layer.name: {p: v for p, v in layer.quantized_weights().items()}
             for layer in built.layers if isinstance(layer, QuantizedLayer) and layer.slots}
    found = resources.estimate(describe_model(plain), recipe, resources.HlsOptions(), exact)
    return found.dsp, round(sum(layer.lut for layer in found.layers))


def line(*cells: Any) -> str:
    """One line of the table."""
    widths = (4, 34, 6, 6, 5, 7, 7, 18)
    return " | ".join(f"{'-' if cell is None else str(cell):>{width}}" for cell, width in zip(cells, widths,
                                                                                             strict=True))


def rows(name: str, report: ExportReport, accuracy: float, hls: tuple[int, int]) -> list[str]:
    """Published, hls4ml flow, RTL flow: estimate and Yosys."""
    acc, cycles, dsp, lut, ff = PUBLISHED[name]
    assert report.exactness and report.estimate and report.synthesis
    proof = {flow: f"{check.mismatches} of {check.values}" for flow, check in report.exactness.flows.items()}
    estimate, synthesis, ours = report.estimate, report.synthesis, f"{100 * accuracy:.1f}"
    return [line(name, "published: hls4ml, Vivado HLS", acc, cycles, dsp, lut, ff, ""),
            line("", "hls4ml, estimate (no Vitis here)", ours, None, hls[0], hls[1], None, proof["c++"]),
            line("", "RTL, alkaid's estimate", ours, estimate.latency_cycles, 0, estimate.lut, estimate.ff, ""),
            line("", "RTL, Yosys", ours, synthesis.latency_cycles, synthesis.dsp, synthesis.lut, synthesis.ff,
                 proof["rtl"])]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", default=",".join(PUBLISHED))
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores of {platform.machine()},"
          f" load before {load:.1f}, Python {platform.python_version()}; {PART}, {CLOCK_NS:g} ns")
    data = load_dataset("jets")
    print(line("", "", "acc. %", "cycles", "DSP", "LUT", "FF", "mismatches"), flush=True)
    tools: dict[str, str] = {}
    for name in given.names.split(","):
        started, cpu = time.monotonic(), sum(os.times()[:4])
        plain, built, recipe = trained(name, data, given.epochs)
        accuracy = evaluate(built, data, "qat").accuracy
        options = ExportOptions(part=PART, clock_ns=CLOCK_NS, events=given.events,
                                rtl=RtlOptions(fast_solver=name == "BF"))
        with tempfile.TemporaryDirectory(prefix="quantiscope-bench-") as folder:
            report = export(built, data.x_test, options, Path(folder) / name, Monitor())
        tools |= report.tools
        print("\n".join(rows(name, report, accuracy, hls_estimate(plain, built, recipe))))
        print(f"     {time.monotonic() - started:.0f} s, {sum(os.times()[:4]) - cpu:.0f} CPU-s: training, both"
              " projects, g++, Verilator, Yosys", flush=True)
    print("Tools:", msgspec.json.encode(tools).decode())
    print(NOTES)


NOTES = """
The flows differ, and so do their figures. hls4ml's C++ keeps each layer a matrix product that the vendor's compiler
schedules: wide products go to DSP, narrow ones to LUT, and only its synthesis can count them; the line "estimate" is
our model of the multipliers, and no latency is given. The RTL flow unrolls everything into adder trees (distributed
arithmetic): DSP is 0 because there are none, all of it is LUT, and the latency is that of the written pipeline.
Yosys counts cells after mapping, without placement: Vivado will not give the same numbers. The published counts are
Vivado HLS's synthesis of the authors' own weights; the accuracies here are of a few epochs on the bundled jets. BF's
adder trees are searched by the fast solver (3 to 5 % more LUT)."""

if __name__ == "__main__":
    main()
