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
from core.hls.steps import Step, forget, mark_finished, seconds_of_finished
from core.hls.tools import require

WORKERS = 2
#: scripts, logs and statistics, in the folder of the RTL
FOLDER = "yosys"
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
               monitor: Monitor, limit_s: float = 3600.0, *, memory_gb: float | None = None,
               again: bool = False) -> SynthesisReport:
    """Map the RTL under `directory`/src stage by stage; scripts, logs and statistics go to `directory`/yosys.

    A stage that was mapped before from the same Verilog is not mapped again, unless asked to. `memory_gb` bounds
    what one stage may hold, in 10^9 bytes; `limit_s` the seconds of one. Latency is the number of pipeline stages of
    the RTL, at the clock given; an event enters each clock.

    Raises:
        ToolMissingError: pyosys is missing.
        ToolFailedError: Yosys failed, or its statistics cannot be read.
        Cancelled: asked to stop.
    """
    version = require("yosys")["yosys"].version
    started = time.monotonic()
    folder = directory / FOLDER
    total: Counter[str] = Counter()
    todo = steps(directory, top, stages, version)
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(_map, step, monitor, limit_s, memory_gb, again) for step in todo]
        for done, job in enumerate(jobs, start=1):
            total += job.result().cells
            monitor.progress("synthesis, stages", done, len(todo))
    counts = Counts(total)
    (folder / "cells.json").write_text(json.dumps(dict(sorted(total.items())), indent=2))
    return SynthesisReport(
        tool="Yosys", tool_version=version, stage="synthesis", part=part.name, clock_ns=clock_ns,
        latency_cycles=cycles, latency_ns=cycles * clock_ns, ii=1, dsp=counts.dsp, lut=counts.lut, ff=counts.ff,
        bram=counts.bram, percent=part.percent(dsp=counts.dsp, lut=counts.lut, ff=counts.ff, bram=counts.bram),
        seconds=time.monotonic() - started,
        note="Logic synthesis for UltraScale+ cells without placement; distributed arithmetic uses no DSP.")


def steps(directory: Path, top: str, stages: Sequence[str], version: str) -> list[Step]:
    """Mapping each stage, and the top; their scripts are written here."""
    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    return [_step(directory, folder, module, module == top, version) for module in [*stages, top]]


def _step(directory: Path, folder: Path, module: str, is_top: bool, version: str) -> Step:
    """Mapping one module; its script is written here."""
    script = folder / f"{module}.ys"
    files = _sources(directory, module)
    script.write_text(_script(files, module, f"{module}.json", is_top))
    return Step(module, [sys.executable, "-c", _START, script.name], folder,
                [script, *(folder / name for name in (*files, "carry8.v"))], [f"{module}.json"], {"yosys": version})


def _map(step: Step, monitor: Monitor, limit_s: float, memory_gb: float | None, again: bool) -> Counts:
    stat = step.directory / step.results[0]
    if again or seconds_of_finished(step) is None:
        forget(step)
        step.log.unlink(missing_ok=True)
        mark_finished(step, run_tool(step.command, step.directory, monitor, name=f"yosys {step.name}", log=step.log,
                                     limit_s=limit_s, memory_gb=memory_gb, telling=_is_pass))
    else:
        monitor.log(f"{step.name}: mapped before, not mapped again", "debug", "yosys")
    return read_stat(stat)


def _is_pass(line: str) -> bool:
    """True for the line that begins a pass of the script; Yosys says some thousand others."""
    return re.match(r"\d+\. Executing", line) is not None


def _sources(directory: Path, module: str) -> list[str]:
    """The Verilog of one module, as seen from the folder of the scripts; the tables and adders it may use first."""
    local = directory / "yosys"
    for name in ("carry8.v", "ternary_adder.v"):
        (local / name).write_bytes(resources.path(f"yosys/{name}").read_bytes())
    static = [f"../src/static/{name}.v" for name in ("binop", "multiplier", "mux", "negative", "shift_adder")
              if (directory / "src" / "static" / f"{name}.v").exists()]
    tables = [f"../src/{path.name}" for path in sorted((directory / "src").glob("*_tables.v"))]
    return [*static, *tables, "ternary_adder.v", f"../src/{module}.v"]


def _script(files: Sequence[str], module: str, stat: str, is_top: bool) -> str:
    """Reads one module; the top's stages stay black boxes, so that only its registers are counted."""
    lines = [f"read_verilog -lib -specify {_CELLS}cells_sim.v", f"read_verilog -lib {_CELLS}cells_xtra.v",
             f"read_verilog {' '.join(files)}", f"hierarchy {'' if is_top else '-check '}-top {module}"]
    return "\n".join(lines) + _PASSES.format(cells=_CELLS, carry="carry8.v", stat=stat)


def read_stat(path: Path) -> Counts:
    """Cell counts from the JSON of Yosys's `stat`; raises ToolFailedError for anything else."""
    try:
        text = path.read_text()
        found = json.loads(text[text.index("{"): text.rindex("}") + 1])
        cells = found["design"]["num_cells_by_type"]
        return Counts(Counter({str(name).lstrip("\\"): int(count) for name, count in cells.items()}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ToolFailedError(f"the statistics {path} cannot be read", str(error),
                              "See the Yosys log beside it") from None
