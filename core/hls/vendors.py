"""The vendors' synthesis tools: which project each builds, by which commands, and where its reports lie.

hls4ml's own `build()` blocks, cannot be cancelled and forgets exit statuses; the same commands are run here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ExportError, ToolFailedError
from core.hls import reports_amd, reports_intel, reports_other, vivado
from core.hls.manifest import Manifest
from core.hls.report import SynthesisReport
from core.hls.reports_text import Figures, combined, to_report
from core.hls.steps import Step, files_under
from core.hls.synthesis_options import TOOLS

_HLS_SOURCES = ("*.tcl", "*.cpp", "Makefile", "CMakeLists.txt", "firmware/**/*.h", "firmware/**/*.hpp",
                "firmware/**/*.cpp", "firmware/**/*.txt", "src/**/*.h", "src/**/*.cpp")


@dataclass(frozen=True)
class Target:
    """What is to be synthesized: an export's folder, and how far ("hls", "synthesis" or "implementation")."""

    directory: Path
    manifest: Manifest
    stage: str
    device: str = ""

    @property
    def part(self) -> str:
        """The part asked for, or that of the export."""
        return self.device or self.manifest.part

    @property
    def hls(self) -> Path:
        """The hls4ml project's folder."""
        return self.directory / (self.manifest.hls.folder if self.manifest.hls else "")

    @property
    def rtl(self) -> Path:
        """The RTL's folder."""
        return self.directory / (self.manifest.rtl.folder if self.manifest.rtl else "")

    @property
    def top(self) -> str:
        """The hls4ml project's top function."""
        return self.manifest.hls.top if self.manifest.hls else ""


@dataclass(frozen=True)
class Vendor:
    """A tool by its name on the command line.

    Args:
        programs: names of `core.hls.tools`; the first that is found is used.
        backends: hls4ml backends whose projects it builds.
        stages: how far it can go, the first being the default.
        disk_gb: 10^9 bytes that a run writes, about.
        steps: makes the steps for a target and the name of the program found.
        read: figures of what was run, the last stage last.
    """

    name: str
    title: str
    programs: tuple[str, ...]
    stages: tuple[str, ...]
    steps: Callable[[Target, str], list[Step]]
    read: Callable[[Target], list[Figures]]
    backends: tuple[str, ...] = ()
    disk_gb: float = 5.0

    @property
    def project(self) -> str:
        """The flow whose project it builds: "hls4ml" or "rtl"."""
        return TOOLS[self.name]


def check(vendor: Vendor, target: Target) -> None:
    """Raise ExportError where a tool cannot work on this export."""
    manifest = target.manifest
    if target.stage not in vendor.stages:
        raise ExportError(f"{vendor.title} does no {target.stage}", remedy=f"Choose: {', '.join(vendor.stages)}")
    if vendor.project == "rtl" and manifest.rtl is None:
        raise ExportError(f"{vendor.title} needs the RTL, and this export has none", remedy="Export with the flow rtl")
    if vendor.project == "hls4ml":
        if manifest.hls is None:
            raise ExportError(f"{vendor.title} needs an hls4ml project, and this export has none",
                              remedy="Export with the flow hls4ml")
        if manifest.hls.backend not in vendor.backends:
            raise ExportError(f"{vendor.title} cannot build a project of hls4ml's {manifest.hls.backend} backend",
                              remedy=f"Export with the backend {' or '.join(vendor.backends)}")


def results(vendor: Vendor, target: Target, version: str) -> list[SynthesisReport]:
    """The reports of a finished run, the last stage last; raises ToolFailedError where one cannot be read."""
    manifest = target.manifest
    known: Figures = {"tool": vendor.title, "tool_version": version, "part": target.part, "clock_ns": manifest.clock_ns}
    if vendor.project == "rtl" and manifest.rtl is not None:
        known |= {"latency_cycles": manifest.rtl.cycles, "ii": 1}
    return [to_report(figures, known) for figures in vendor.read(target)]


# -- AMD ------------------------------------------------------------------------------------------------


def _vitis_steps(target: Target, program: str) -> list[Step]:
    folder = target.hls
    flags = {"reset": 1, "csim": 0, "synth": 1, "cosim": 0, "validation": 0, "export": 0, "vsynth": 0, "fifo_opt": 0}
    words = "\n".join(f"    {name} {value}" for name, value in flags.items())
    if program in ("vitis-run", "vitis_hls"):  # Vivado HLS takes them as an argument
        (folder / "build_opt.tcl").write_text(f"array set opt {{\n{words}\n}}\n")
    command = {"vitis-run": ["vitis-run", "--mode", "hls", "--tcl", "build_prj.tcl"],
               "vitis_hls": ["vitis_hls", "-f", "build_prj.tcl"],
               "vivado_hls": ["vivado_hls", "-f", "build_prj.tcl",
                              " ".join(f"{name}={value}" for name, value in flags.items())]}[program]
    reports = f"{target.top}_prj/solution1/syn/report/{target.top}_csynth.xml"
    first = Step("hls", command, folder, files_under(folder, _HLS_SOURCES), [reports])
    if target.stage == "hls":
        return [first]
    generated = f"{target.top}_prj/solution1/syn/verilog"
    return [first, *vivado.steps(vivado.Design(folder, target.top, target.part, target.manifest.clock_ns, "ap_clk",
                                               ((generated, "*.v"), (generated, "*.sv"))), target.stage, first.sources)]


def _vitis_read(target: Target) -> list[Figures]:
    report = target.hls / f"{target.top}_prj/solution1/syn/report/{target.top}_csynth.xml"
    hls = reports_amd.csynth_xml(report)
    hls["source"] = str(report.relative_to(target.directory))
    simulated = target.hls / f"{target.top}_prj/solution1/sim/report/{target.top}_cosim.rpt"
    if simulated.is_file() and simulated.stat().st_mtime >= report.stat().st_mtime:  # of these very sources
        hls = {**combined(hls, reports_amd.cosim(simulated)), "latency_ns": None}
    found = [hls]
    for figures in [] if target.stage == "hls" else vivado.read(target.hls, target.directory, target.stage):
        found.append({"latency_cycles": hls.get("latency_cycles"), "ii": hls.get("ii"), **figures})
    return found


def _vivado_steps(target: Target, program: str) -> list[Step]:
    rtl = target.manifest.rtl
    assert rtl is not None
    suffix = "vhd" if rtl.language == "vhdl" else "v"
    groups = (("src/static", f"*.{suffix}"), ("src", f"*_tables.{suffix}"), ("src", f"*.{suffix}"))
    design = vivado.Design(target.rtl, rtl.top, target.part, target.manifest.clock_ns, "clk", groups,
                           constraints=f"src/{rtl.top}.xdc")
    return vivado.steps(design, target.stage, files_under(target.rtl, ("src/**/*",)))


def _vivado_read(target: Target) -> list[Figures]:
    return vivado.read(target.rtl, target.directory, target.stage)


# -- Altera, Intel --------------------------------------------------------------------------------------


def _quartus_steps(target: Target, program: str) -> list[Step]:
    if not target.device:
        raise ExportError("Quartus needs an Altera part", remedy="Give it by --device, such as 10AX115N2F45E1SG")
    rtl = target.manifest.rtl
    assert rtl is not None
    written = (target.rtl / "build_quartus_prj.tcl").read_text()
    script = re.sub(r'^set device ".*"$', lambda _: f'set device "{target.device}"', written, count=1, flags=re.M)
    (target.rtl / "quantiscope_quartus.tcl").write_text(script)
    reports = f"output_{rtl.top}/reports/"
    return [Step("quartus", ["quartus_sh", "-t", "quantiscope_quartus.tcl"], target.rtl,
                 files_under(target.rtl, ("src/**/*", "quantiscope_quartus.tcl")),
                 [reports + "*.fit.rpt", reports + "*.sta.rpt"])]


def _quartus_read(target: Target) -> list[Figures]:
    folder = target.rtl / f"output_{target.manifest.rtl.top if target.manifest.rtl else ''}/reports"
    fit, timing = _one(folder, "*.fit.rpt"), _one(folder, "*.sta.rpt")
    found = combined(reports_intel.quartus_fit(fit), reports_intel.quartus_sta(timing))
    return [{**found, "source": str(fit.relative_to(target.directory))}]


def _intel_hls_steps(target: Target, program: str) -> list[Step]:
    folder, name = target.hls, f"{target.top}-fpga"
    return [Step("hls", ["make", name], folder, files_under(folder, _HLS_SOURCES),
                 [f"{name}.prj/reports/lib/report_data.js"])]


def _intel_hls_read(target: Target) -> list[Figures]:
    folder = target.hls / f"{target.top}-fpga.prj/reports/lib"
    return [{**reports_intel.hls_compiler(folder), "source": str(folder.relative_to(target.directory))}]


def _oneapi_steps(target: Target, program: str) -> list[Step]:
    folder, sources = target.hls, files_under(target.hls, _HLS_SOURCES)
    goal = "fpga" if target.stage == "implementation" else "report"
    return [Step("configure", ["cmake", "-S", ".", "-B", "build"], folder, sources, ["build/CMakeCache.txt"]),
            Step(goal, ["cmake", "--build", "build", "--target", goal], folder, sources,
                 [f"build/**/*.{goal}.prj/reports/resources/json/summary.ndjson"])]


def _oneapi_read(target: Target) -> list[Figures]:
    goal = "fpga" if target.stage == "implementation" else "report"
    summary = _one(target.hls / "build", f"**/*.{goal}.prj/reports/resources/json/summary.ndjson")
    return [{**reports_intel.oneapi(summary.parent), "source": str(summary.parent.relative_to(target.directory))}]


# -- Siemens, Microchip ---------------------------------------------------------------------------------


def _catapult_steps(target: Target, program: str) -> list[Step]:
    vsynth = target.stage == "synthesis"
    flags = {"reset": False, "csim": False, "synth": True, "cosim": False, "validation": False, "export": False,
             "vsynth": vsynth, "fifo_opt": False, "bitfile": False, "ran_frame": 2, "sw_opt": False, "power": False,
             "da": False, "vhdl": False, "verilog": True, "bup": False}
    words = " ".join(f"{name}={value}" for name, value in flags.items())
    after = ["**/vivado_concat_v/utilization_synth.rpt"] if vsynth else []
    return [Step("synthesis" if vsynth else "hls", ["catapult", "-product", "ultra", "-shell", "-f", "build_prj.tcl",
                                                    "-eval", f'set ::argv "{words}"'],
                 target.hls, files_under(target.hls, _HLS_SOURCES), [f"**/{target.top}.v*/rtl.rpt", *after])]


def _catapult_read(target: Target) -> list[Figures]:
    report = _one(target.hls, f"**/{target.top}.v*/rtl.rpt")
    hls = {**reports_other.catapult(report), "source": str(report.relative_to(target.directory))}
    if target.stage == "hls":
        return [hls]
    cells = _one(report.parent, "vivado_concat_v/utilization_synth.rpt")
    timing = cells.with_name("timing_summary_synth.rpt")
    parts = [reports_amd.utilization(cells), *([reports_amd.timing_summary(timing)] if timing.is_file() else [])]
    return [hls, {"latency_cycles": hls["latency_cycles"], "ii": hls["ii"], **combined(*parts),
                  "source": str(cells.relative_to(target.directory))}]


def _libero_steps(target: Target, program: str) -> list[Step]:
    sources = files_under(target.hls, _HLS_SOURCES)
    return [Step("hls", ["shls", "-a", "hw"], target.hls, sources, ["hls_output/rtl/*.v"]),
            Step("synthesis", ["shls", "-a", "rtl_synth"], target.hls, sources,
                 ["hls_output/reports/summary.results.rpt"])]


def _libero_read(target: Target) -> list[Figures]:
    report = target.hls / "hls_output/reports/summary.results.rpt"
    return [{**reports_other.smarthls(report), "source": str(report.relative_to(target.directory))}]


def _one(folder: Path, pattern: str) -> Path:
    """The newest file of that name."""
    found: Sequence[Path] = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ToolFailedError(f"the tool left no report {pattern.rpartition('/')[2]}", f"none is in {folder}",
                              "See the tool's log")
    return found[-1]


VENDORS: dict[str, Vendor] = {vendor.name: vendor for vendor in (
    Vendor("vitis", "Vitis HLS", ("vitis-run", "vitis_hls"), ("hls", "synthesis", "implementation"),
           _vitis_steps, _vitis_read, ("Vitis",)),
    Vendor("vivado_hls", "Vivado HLS", ("vivado_hls",), ("hls", "synthesis", "implementation"),
           _vitis_steps, _vitis_read, ("Vivado",)),
    Vendor("vivado", "Vivado", ("vivado",), ("implementation", "synthesis"), _vivado_steps, _vivado_read),
    Vendor("quartus", "Quartus", ("quartus_sh",), ("implementation",), _quartus_steps, _quartus_read),
    Vendor("intel_hls", "Intel HLS", ("i++",), ("hls",), _intel_hls_steps, _intel_hls_read, ("Quartus",)),
    Vendor("oneapi", "oneAPI", ("icpx",), ("hls", "implementation"), _oneapi_steps, _oneapi_read,
           ("oneAPI",)),
    Vendor("catapult", "Catapult", ("catapult",), ("hls", "synthesis"), _catapult_steps, _catapult_read,
           ("Catapult",)),
    Vendor("libero", "SmartHLS", ("shls",), ("synthesis",), _libero_steps, _libero_read, ("Libero",)),
)}
