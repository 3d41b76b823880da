"""Out-of-context synthesis and implementation by Vivado: the scripts it is given, and the reports it leaves.

The two are steps of their own, with a checkpoint between, so that an implementation that failed or was cancelled
does not synthesize again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.hls import reports_amd
from core.hls.reports_text import Figures, combined
from core.hls.steps import Step

#: what Vivado writes goes here, in the project's folder
OUTPUT = "vivado"
_SYNTHESIS, _IMPLEMENTATION = "synthesis", "implementation"
_REPORTS = """report_utilization -file {out}/{stage}_utilization.rpt
report_timing_summary -file {out}/{stage}_timing.rpt
report_power -file {out}/{stage}_power.rpt
"""


@dataclass(frozen=True)
class Design:
    """RTL in `folder`: groups of (folder, pattern) in the order in which they are read; `clock` is its port.

    `constraints` is an XDC file; where there is none, one with the clock alone is written.
    """

    folder: Path
    top: str
    part: str
    clock_ns: float
    clock: str
    groups: tuple[tuple[str, str], ...]
    constraints: str = ""


def steps(design: Design, stage: str, sources: Sequence[Path]) -> list[Step]:
    """Synthesis and, for the stage "implementation", place and route; their scripts are written here."""
    out = design.folder / OUTPUT
    out.mkdir(exist_ok=True)
    if not design.constraints or not (design.folder / design.constraints).is_file():
        (out / "clock.xdc").write_text(
            f"create_clock -period {design.clock_ns:g} -name sys_clk [get_ports {{{design.clock}}}]\n")
    (out / "synthesis.tcl").write_text(_synthesis_script(design))
    (out / "implementation.tcl").write_text(_implementation_script(design))
    settings = {"part": design.part, "clock_ns": f"{design.clock_ns:g}", "top": design.top}
    made = [Step(f"vivado_{name}", ["vivado", "-mode", "batch", "-nojournal", "-notrace", "-log",
                                    f"{OUTPUT}/{name}_vivado.log", "-source", f"{OUTPUT}/{name}.tcl"],
                 design.folder, [*sources, out / f"{name}.tcl"],
                 [f"{OUTPUT}/{name}_{kind}.rpt" for kind in ("utilization", "timing")] + [f"{OUTPUT}/{name}.dcp"],
                 settings)
            for name in (_SYNTHESIS, _IMPLEMENTATION)]
    return made if stage == _IMPLEMENTATION else made[:1]


def _synthesis_script(design: Design) -> str:
    constraints = design.constraints if design.constraints and (design.folder / design.constraints).is_file() \
        else f"{OUTPUT}/clock.xdc"
    reading = "\n".join(f"read_once {{{_reader(pattern)}}} {{{folder}/{pattern}}}" for folder, pattern in design.groups)
    return f"""# out-of-context synthesis of {design.top}; run in the project's folder:
#   vivado -mode batch -source {OUTPUT}/synthesis.tcl
set seen {{}}
proc read_once {{reader pattern}} {{
    global seen
    foreach file [lsort [glob -nocomplain $pattern]] {{
        if {{[lsearch -exact $seen $file] < 0}} {{
            lappend seen $file
            {{*}}$reader $file
        }}
    }}
}}
{reading}
read_xdc -mode out_of_context {{{constraints}}}
synth_design -top {design.top} -part {design.part} -mode out_of_context -flatten_hierarchy rebuilt
opt_design
write_checkpoint -force {OUTPUT}/synthesis.dcp
{_REPORTS.format(out=OUTPUT, stage=_SYNTHESIS)}"""


def _implementation_script(design: Design) -> str:
    return f"""# placement and routing of {design.top}, after synthesis.tcl
open_checkpoint {OUTPUT}/synthesis.dcp
place_design
phys_opt_design
route_design
write_checkpoint -force {OUTPUT}/implementation.dcp
{_REPORTS.format(out=OUTPUT, stage=_IMPLEMENTATION)}"""


def _reader(pattern: str) -> str:
    if pattern.endswith("vhd"):
        return "read_vhdl -vhdl2008"
    return "read_verilog -sv" if pattern.endswith("sv") else "read_verilog"


def read(folder: Path, directory: Path, stage: str) -> list[Figures]:
    """Figures of the stages that were run, the last one last; `source` is relative to `directory`."""
    found = []
    for name in (_SYNTHESIS, _IMPLEMENTATION) if stage == _IMPLEMENTATION else (_SYNTHESIS,):
        cells = folder / OUTPUT / f"{name}_utilization.rpt"
        parts = [reports_amd.utilization(cells), reports_amd.timing_summary(cells.with_name(f"{name}_timing.rpt"))]
        power = cells.with_name(f"{name}_power.rpt")
        if power.is_file():
            parts.append(reports_amd.power(power))
        found.append({**combined(*parts), "stage": name, "source": str(cells.relative_to(directory))})
    return found
