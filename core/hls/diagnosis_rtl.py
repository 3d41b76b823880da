"""Follows one event through RTL: first through the logic it was written from, layer by layer, then through its stages.

Where the logic already differs from Keras, the layer is known. Where it does not, the written files do not do what
the logic does: every pipeline stage is simulated by itself on what it should be given, and the first that answers
wrongly is named with the layers whose logic lies in it.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from core.arrays import Arrays
from core.errors import ToolFailedError
from core.events import Monitor
from core.hls import diagnosis, exactness, rtl_alkaid
from core.hls.diagnosis import Divergence
from core.hls.launcher import run_tool
from core.hls.network import Network
from core.hls.tools import verilator_command


def find(model: keras.Model, network: Network, expected: dict[str, np.ndarray], event: Arrays, rtl: rtl_alkaid.Rtl,
         monitor: Monitor) -> Divergence | None:
    """The first layer, or pipeline stage, that differs on an event; None where neither shows it.

    Raises:
        ToolMissingError, ToolFailedError: the stages cannot be simulated.
    """
    inputs = np.concatenate([expected[entry] for entry in network.entries])[None]
    names = [node.name for node in network.nodes if node.name in expected]
    logic, ends = rtl_alkaid.trace_layers(network, names, rtl.options)
    values = dict(zip(names, np.split(np.asarray(logic.predict(inputs)).ravel(), np.cumsum(
        [expected[name].size for name in names])[:-1]), strict=True))
    for name in names:
        place = diagnosis.first_difference(expected[name], values[name])
        if place is not None:
            wanted, found = float(expected[name][place]), float(values[name][place])
            cause = exactness.by_size(wanted, found, expected[name])
            return Divergence(name, place, wanted, found, f"{cause} (in the logic the RTL was written from)")
    return _stage(rtl.verilog, inputs, dict(zip(names, ends, strict=True)), monitor)


def _stage(rtl: rtl_alkaid.Rtl, inputs: np.ndarray, ends: dict[str, float], monitor: Monitor) -> Divergence | None:
    """The first stage that does not give what its logic gives; `ends` is the delay at each layer's end in ns."""
    stages = rtl_alkaid.stage_values(rtl, inputs)
    scale = max(ends.values(), default=0.0) / (max(stage.end for stage in stages) or 1.0)
    start = 0.0
    for number, stage in enumerate(stages):
        monitor.progress("diagnosis, stages", number, len(stages))
        answer = _simulated(rtl, stage, monitor)
        place = 0
        for index, (value, kif) in enumerate(zip(stage.outputs, stage.output_kifs, strict=True)):
            got = _number((answer >> place) & ((1 << sum(kif)) - 1), kif)
            place += sum(kif)
            if got != value:
                later = [name for name, end in ends.items() if end >= start * scale] or list(ends)[-1:]
                inside = [name for name in later if ends[name] <= stage.end * scale] or later[:1]
                return Divergence(
                    inside[0], index, float(value), got,
                    f"the written file {stage.name}.v does not do what its logic does: pipeline stage {number + 1} of"
                    f" {len(stages)}, in which {' and '.join(inside)} end; write the RTL again")
        start = stage.end
    return None


def _packed(values: np.ndarray, kifs: list[tuple[int, int, int]]) -> int:
    """Values in the bits of their types, the first lowest."""
    bits, place = 0, 0
    for value, kif in zip(values, kifs, strict=True):
        bits |= (round(float(value) * 2.0 ** kif[2]) & ((1 << sum(kif)) - 1)) << place
        place += sum(kif)
    return bits


def _number(bits: int, kif: tuple[int, int, int]) -> float:
    signed, integer, fraction = (int(n) for n in kif)
    width = signed + integer + fraction
    if signed and width and bits >> (width - 1):
        bits -= 1 << width
    return bits * 2.0**-fraction


def _simulated(rtl: rtl_alkaid.Rtl, stage: rtl_alkaid.Stage, monitor: Monitor) -> int:
    """What a stage's module answers to what it should be given, as one number, simulated by itself."""
    source, folder = rtl.directory / "src", rtl.directory / "sim" / "stages"
    folder.mkdir(parents=True, exist_ok=True)
    command, environment = verilator_command()
    name, answer = stage.name, folder / f"{stage.name}.out"
    files = [*sorted(source.glob("static/*.v")), *sorted(source.glob("*_tables.v")), source / f"{name}.v"]
    (folder / "main.cc").write_text(_DRIVER)
    (folder / f"{name}_probe.v").write_text(_probe(source / f"{name}.v", name))
    (folder / f"{name}.hex").write_text(f"{_packed(stage.inputs, stage.input_kifs):x}")
    run_tool([*command, "--cc", "--exe", "--build", "--Mdir", name, "--top-module", "probe", "--prefix", "Vprobe",
              "-Wno-fatal", "-Wno-lint", "-O0", "-CFLAGS", "-std=c++17 -O0", "-o", "probe", f"-I{source}",
              f"-I{source / 'static'}", "main.cc", f"{name}_probe.v", *map(str, files)], folder, monitor,
             name="verilator", environment=environment, log=folder / "verilator.log", telling=lambda line: False)
    run_tool([str(folder / name / "probe"), f"{name}.hex", answer.name], folder, monitor, name=f"simulated {name}")
    try:
        return int(answer.read_text(), 16)
    except (OSError, ValueError):
        raise ToolFailedError(f"the stage {name} was not simulated", remedy="See verilator.log") from None


def _probe(path: Path, name: str) -> str:
    """A top that holds one stage between ports wide enough to be arrays of words."""
    head = path.read_text(errors="replace")[:2000]
    ports = {}
    for port in ("model_inp", "model_out"):
        before = head.split(port, maxsplit=1)[0]
        ports[port] = int(before[before.rindex("[") + 1:before.rindex(":")]) + 1
    wide_in, wide_out = (max(65, ports[port]) for port in ("model_inp", "model_out"))
    return (f"module probe(input [{wide_in - 1}:0] given, output [{wide_out - 1}:0] answer);\n"
            f"  wire [{ports['model_out'] - 1}:0] out;\n"
            f"  {name} stage(.model_inp(given[{ports['model_inp'] - 1}:0]), .model_out(out));\n"
            "  assign answer = out;\nendmodule\n")


_DRIVER = """
#include "Vprobe.h"
#include "verilated.h"
#include <cstdio>
#include <fstream>
#include <string>
int main(int, char **arguments) {
    VerilatedContext context;
    Vprobe dut(&context);
    std::ifstream file(arguments[1]);
    std::string text;
    file >> text;
    const size_t words = sizeof(dut.given) / 4;
    for (size_t word = 0; word < words; word++) {
        const size_t end = text.size() > 8 * word ? text.size() - 8 * word : 0, start = end > 8 ? end - 8 : 0;
        dut.given[word] = end ? std::stoul(text.substr(start, end - start), nullptr, 16) : 0;
    }
    dut.eval();
    FILE *out = fopen(arguments[2], "w");
    for (size_t word = sizeof(dut.answer) / 4; word-- > 0;) fprintf(out, "%08x", (unsigned)dut.answer[word]);
    fclose(out);
    return 0;
}
"""
