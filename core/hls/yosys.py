"""Synthesizes written RTL for UltraScale+ with Yosys: real LUT, FF, CARRY8 and DSP counts.

Each pipeline stage is a combinational module and is mapped in a process of its own; the counts add up
to those of the whole within 1 %. The flip-flops are those of the top module.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import resources
from core.errors import ToolFailedError
from core.events import Monitor
from core.hls.launcher import run_tool
from core.hls.parts import Part
from core.hls.report import SynthesisReport
from core.hls.tools import require

WORKERS = 2
_CELLS = "+/xilinx/"
_PASSES = """
proc; flatten; opt_expr; opt_clean; opt -nodffe -nosdff; wreduce; peepopt; opt_clean
alumacc; opt; opt -full
techmap -map +/techmap.v -D LUT_SIZE=6 -map {carry}
opt -fast; clean
dfflegalize -cell $_DFFE_?P?P_ 01 -cell $_SDFFE_?P?P_ 01 -cell $_DLATCH_?P?_ 01
techmap -map {cells}ff_map.v
opt_expr -mux_undef -noclkinv
abc -lut 6
clean
techmap -map {cells}lut_map.v -map {cells}cells_map.v -D LUT_WIDTH=6
opt_lut_ins -tech xilinx
clean
tee -q -o {stat} stat -json -tech xilinx
"""
_START = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"


@dataclass(frozen=True)
class Counts:
    """Cells after mapping, by Yosys's cell names."""

    cells: Counter[str]

    @property
    def lut(self) -> int:
        """LUTs; a LUT6_2 is one, an inverter counts as one."""
        return sum(n for name, n in self.cells.items() if name.startswith("LUT") or name == "INV")

    @property
    def ff(self) -> int:
        """Flip-flops."""
        return sum(n for name, n in self.cells.items() if name.startswith("FD"))

    @property
    def dsp(self) -> int:
        """DSP blocks."""
        return sum(n for name, n in self.cells.items() if name.startswith("DSP"))

    @property
    def bram(self) -> int:
        """Block RAMs."""
        return sum(n for name, n in self.cells.items() if name.startswith("RAMB"))


def synthesize(directory: Path, top: str, stages: Sequence[str], cycles: int, part: Part, clock_ns: float,
               monitor: Monitor, limit_s: float = 3600.0) -> SynthesisReport:
    """Map the RTL under `directory`/src stage by stage; scripts, logs and statistics go to `directory`/yosys.

    Latency is the number of pipeline stages of the RTL, at the clock given; an event enters each clock.

    Raises:
        ToolMissingError: pyosys is missing.
        ToolFailedError: Yosys failed, or its statistics cannot be read.
        Cancelled: asked to stop.
    """
    version = require("yosys")["yosys"].version
    started = time.monotonic()
    folder = directory / "yosys"
    folder.mkdir(exist_ok=True)
    modules = [*stages, top]
    total: Counter[str] = Counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(_map_module, directory, folder, module, module == top, monitor, limit_s)
                for module in modules]
        for done, job in enumerate(jobs, start=1):
            total += job.result().cells
            monitor.progress("synthesis, stages", done, len(modules))
    counts = Counts(total)
    (folder / "cells.json").write_text(json.dumps(dict(sorted(total.items())), indent=2))
    return SynthesisReport(
        tool="Yosys", tool_version=version, stage="synthesis", part=part.name, clock_ns=clock_ns,
        latency_cycles=cycles, latency_ns=cycles * clock_ns, ii=1, dsp=counts.dsp, lut=counts.lut, ff=counts.ff,
        bram=counts.bram, percent=part.percent(dsp=counts.dsp, lut=counts.lut, ff=counts.ff, bram=counts.bram),
        seconds=time.monotonic() - started,
        note="Logic synthesis for UltraScale+ cells without placement; distributed arithmetic uses no DSP.")


def _map_module(directory: Path, folder: Path, module: str, is_top: bool, monitor: Monitor, limit_s: float) -> Counts:
    script, stat = folder / f"{module}.ys", folder / f"{module}.json"
    stat.unlink(missing_ok=True)
    script.write_text(_script(directory, module, stat, is_top))
    run_tool([sys.executable, "-c", _START, script.name], folder, monitor, name=f"yosys {module}",
             log=folder / f"{module}.log", limit_s=limit_s, telling=_is_pass)
    return read_stat(stat)


def _is_pass(line: str) -> bool:
    """True for the line that begins a pass of the script; Yosys says some thousand others."""
    return re.match(r"\d+\. Executing", line) is not None


def _script(directory: Path, module: str, stat: Path, is_top: bool) -> str:
    """Reads one module; the top's stages stay black boxes, so that only its registers are counted."""
    static = ["binop", "multiplier", "mux", "negative", "shift_adder"]
    files = [str(Path("..") / "src" / "static" / f"{name}.v") for name in static
             if (directory / "src" / "static" / f"{name}.v").exists()]
    local = directory / "yosys"
    for name in ("carry8.v", "ternary_adder.v"):
        (local / name).write_bytes(resources.path(f"yosys/{name}").read_bytes())
    files += [f"../src/{path.name}" for path in (directory / "src").glob("*_tables.v")]
    lines = [f"read_verilog -lib -specify {_CELLS}cells_sim.v", f"read_verilog -lib {_CELLS}cells_xtra.v",
             f"read_verilog {' '.join([*files, 'ternary_adder.v', f'../src/{module}.v'])}",
             f"hierarchy {'' if is_top else '-check '}-top {module}"]
    return "\n".join(lines) + _PASSES.format(cells=_CELLS, carry="carry8.v", stat=stat.name)


def read_stat(path: Path) -> Counts:
    """Cell counts from the JSON of Yosys's `stat`; raises ToolFailedError for anything else."""
    try:
        text = path.read_text()
        found = json.loads(text[text.index("{"): text.rindex("}") + 1])
        cells = found["design"]["num_cells_by_type"]
        return Counts(Counter({str(name).lstrip("\\"): int(count) for name, count in cells.items()}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolFailedError(f"the statistics {path} cannot be read", str(error),
                              "See the Yosys log beside it") from None
