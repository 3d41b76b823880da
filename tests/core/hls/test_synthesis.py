"""Synthesis of an export by a vendor's tool, with a stand-in for Vitis HLS: found, run, resumed, read, refused.

The stand-in (stand_in_vitis.py) synthesizes nothing and says so; what is tested is how it is found, started,
watched and read.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.errors import Cancelled, ExportError, ToolFailedError, ToolMissingError
from core.events import LogLine, Monitor
from core.hls import launcher, manifest, tools, vivado
from core.hls.report import ExportReport, SynthesisReport, with_history
from core.hls.synthesis import synthesize
from core.hls.synthesis_options import SynthesisOptions
from core.hls.tools import find_tool, version_in
from core.hls.vendors import VENDORS, Target, results
from tests.core.hls import report_texts as texts

TOP = "quantiscope_hls"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(launcher, "GRACE_S", 1.0)
    monkeypatch.setenv("STAND_IN_REPORT", texts.CSYNTH_XML)
    monkeypatch.setenv("STAND_IN_COUNT", str(tmp_path / "count"))
    yield


def stand_in(folder: Path, program: str = "vitis-run") -> Path:
    """An installation folder, named for a version, whose program is the stand-in."""
    place = folder / "Vitis" / "2024.2" / "bin" / program
    place.parent.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("stand_in_vitis.py")
    place.write_text("#!/bin/sh\n# a stand-in for Vitis HLS, for tests only\n"
                     f"exec '{sys.executable}' '{script}' \"$@\"\n")
    place.chmod(0o755)
    return place


def exported(folder: Path, backend: str = "Vitis") -> ExportReport:
    """The folder of an export as `core.hls.export` leaves it, as far as a synthesis looks at it."""
    project = folder / "hls4ml"
    (project / "firmware").mkdir(parents=True)
    (project / "firmware" / f"{TOP}.cpp").write_text("// the network\n")
    (project / "build_prj.tcl").write_text("# hls4ml's\n")
    hls = manifest.HlsProject(folder="hls4ml", top=TOP, backend=backend, inputs=2, outputs=1)
    manifest.Manifest(candidate_id="c1", flow="hls4ml", part="xcvu9p-flgb2104-2L-e", clock_ns=5.0, events=1,
                      settings="", tools={}, hls=hls).save(folder)
    return ExportReport(candidate_id="c1", flow="hls4ml", directory=str(folder), part="xcvu9p-flgb2104-2L-e",
                        clock_ns=5.0, created="now")


def _runs(folder: Path) -> int:
    count = folder / "count"
    return len(count.read_text().splitlines()) if count.is_file() else 0


def _options(tmp_path: Path, **more: object) -> SynthesisOptions:
    given = {"tool": "vitis", "path": str(stand_in(tmp_path)), "disk_gb": 0.001, **more}
    return msgspec.convert(given, SynthesisOptions)


def test_a_tool_given_by_path_is_run_and_its_report_is_read(tmp_path: Path) -> None:
    done = synthesize(exported(tmp_path / "c1-hls4ml"), _options(tmp_path), Monitor())
    found = done.synthesis
    assert found is not None and done.syntheses == [found]
    assert (found.tool, found.stage, found.lut, found.latency_cycles) == ("Vitis HLS", "hls", 39782, 11)
    assert found.source == f"hls4ml/{TOP}_prj/solution1/syn/report/{TOP}_csynth.xml" and found.seconds > 0
    stored = msgspec.json.decode((tmp_path / "c1-hls4ml" / "report.json").read_bytes(), type=ExportReport)
    assert stored == done
    assert "synth 1" in (tmp_path / "c1-hls4ml" / "hls4ml" / "build_opt.tcl").read_text()


def test_where_vitis_simulated_its_rtl_the_measured_latency_counts_and_a_failed_simulation_is_told(
        tmp_path: Path) -> None:
    report = exported(tmp_path / "c1-hls4ml")
    synthesize(report, _options(tmp_path), Monitor())
    target = Target(tmp_path / "c1-hls4ml", manifest.load(tmp_path / "c1-hls4ml"), "hls")
    simulated = target.hls / f"{TOP}_prj/solution1/sim/report/{TOP}_cosim.rpt"
    simulated.parent.mkdir(parents=True)
    simulated.write_text(texts.COSIM)
    found = results(VENDORS["vitis"], target, "2024.2")[0]
    assert (found.latency_cycles, found.ii, found.latency_ns, found.lut) == (12, 2, 60.0, 39782)
    assert "as simulated" in found.note
    simulated.write_text(texts.COSIM.replace("Pass", "Fail"))
    with pytest.raises(ToolFailedError, match="'Fail'"):
        results(VENDORS["vitis"], target, "2024.2")


def test_an_export_made_anew_keeps_the_syntheses_of_the_one_before(tmp_path: Path) -> None:
    old = exported(tmp_path / "old")
    hls, rtl = (SynthesisReport(tool=tool, tool_version="1", stage="hls", part="p", clock_ns=5.0, lut=lut)
                for tool, lut in (("Vitis HLS", 10), ("Yosys", 20)))
    old = msgspec.structs.replace(old, synthesis=hls, syntheses=[rtl, hls])
    new = exported(tmp_path / "new")
    assert with_history(new, None, True) == new
    same = with_history(new, old, True)
    assert same.syntheses == [rtl, hls] and same.synthesis == hls
    other = with_history(msgspec.structs.replace(new, synthesis=rtl, syntheses=[rtl]), old, False)
    assert [one.tool for one in other.syntheses] == ["Vitis HLS", "Yosys"] and other.synthesis == rtl
    assert "other settings" in other.syntheses[0].note and other.syntheses[1].note == ""
    again = with_history(new, other, False)
    assert again.synthesis is None and again.syntheses[0].note == other.syntheses[0].note


@pytest.mark.parametrize("given", ["folder", "bin", "variable", "path", "setup"])
def test_a_tool_is_found_by_folder_variable_path_or_setup(given: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    program = stand_in(tmp_path)
    where = {"folder": str(program.parent.parent), "bin": str(program.parent)}.get(given, "")
    setup = tmp_path / "settings 64.sh"
    setup.write_text(f"export PATH='{program.parent}':$PATH\n")
    if given == "variable":
        monkeypatch.setenv(tools.FOLDERS, f"/nowhere{os.pathsep}{program.parent.parent}")
    if given == "path":
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    options = _options(tmp_path, path=where, setup=str(setup) if given == "setup" else "")
    done = synthesize(exported(tmp_path / "c"), options, Monitor())
    assert done.synthesis is not None and done.synthesis.lut == 39782
    if given != "setup":
        assert find_tool("vitis-run", where).version == "2024.2"


def test_versions_are_read_from_what_tools_say_or_from_their_folders() -> None:
    assert version_in("Vivado v2023.2 (64-bit)\nTool Version Limit: 2023.10") == "2023.2"
    assert version_in("Quartus Prime Shell\nVersion 21.1.1 Build 850 06/23/2022 SJ Lite Edition") == "21.1.1"
    assert version_in("Intel(R) oneAPI DPC++/C++ Compiler 2024.0.0 (2024.0.0.20231017)") == "2024.0.0"
    assert version_in("OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.17 1 Jul 2025") == "9.2"
    assert version_in("", "/tools/Xilinx/Vitis/2023.2/bin/vitis_hls") == "2023.2" and version_in("", "/usr/bin/x") == ""


def test_a_missing_tool_is_one_sentence_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = exported(tmp_path / "c")
    with pytest.raises(ToolMissingError, match="vitis-run or vitis_hls is not on the PATH") as caught:
        synthesize(report, SynthesisOptions(tool="vitis"), Monitor())
    assert "--tool-path" in caught.value.remedy
    with pytest.raises(ToolMissingError, match="is not in /nowhere"):
        synthesize(report, SynthesisOptions(tool="vitis", path="/nowhere"), Monitor())


def test_a_finished_step_is_not_run_again_until_its_sources_change(tmp_path: Path) -> None:
    report = exported(tmp_path / "c")
    said: list[str] = []
    listening = Monitor(lambda event: said.append(event.text) if isinstance(event, LogLine) else None)
    first = synthesize(report, _options(tmp_path), Monitor()).synthesis
    second = synthesize(report, _options(tmp_path), listening).synthesis
    assert _runs(tmp_path) == 1 and first == second and "hls: finished before, not run again" in said
    synthesize(report, _options(tmp_path, again=True), Monitor())
    assert _runs(tmp_path) == 2
    (tmp_path / "c" / "hls4ml" / "firmware" / f"{TOP}.cpp").write_text("// another network\n")
    synthesize(report, _options(tmp_path), Monitor())
    assert _runs(tmp_path) == 3


def test_a_copy_of_the_folder_elsewhere_is_still_finished(tmp_path: Path) -> None:
    report = exported(tmp_path / "c")
    synthesize(report, _options(tmp_path), Monitor())
    shutil.copytree(tmp_path / "c", tmp_path / "moved")
    synthesize(msgspec.structs.replace(report, directory=str(tmp_path / "moved")), _options(tmp_path), Monitor())
    assert _runs(tmp_path) == 1


def test_a_cancelled_step_is_not_taken_for_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, started = exported(tmp_path / "c"), []

    def listen(event: object) -> None:
        if isinstance(event, LogLine) and event.text.startswith("children"):
            started.append(event.text)

    monkeypatch.setenv("STAND_IN_MODE", "slow")
    with pytest.raises(Cancelled):
        synthesize(report, _options(tmp_path), Monitor(listen, cancelled=lambda: bool(started)))
    monkeypatch.setenv("STAND_IN_MODE", "ok")
    assert synthesize(report, _options(tmp_path), Monitor()).synthesis is not None
    assert _runs(tmp_path) == 2


def test_a_tool_that_says_all_is_well_and_leaves_nothing_has_failed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = exported(tmp_path / "c")
    synthesize(report, _options(tmp_path), Monitor())
    monkeypatch.delenv("STAND_IN_REPORT")
    # the old report does not pass for a new one
    with pytest.raises(ToolFailedError, match="ended without its result"):
        synthesize(report, _options(tmp_path, again=True), Monitor())


def test_a_known_failure_comes_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_MODE", "fail")
    monkeypatch.setenv("STAND_IN_WORDS", "ERROR: [HLS 200-70] Part 'xcvu9p-flgb2104-2L-e' is not installed.")
    with pytest.raises(ToolFailedError, match="Install the part's device family"):
        synthesize(exported(tmp_path / "c"), _options(tmp_path), Monitor())


@pytest.mark.parametrize(("change", "says"), [
    ({"tool": "vitus"}, "vitus"), ({"hours": 0.0}, "0 hours"), ({"memory_gb": -1.0}, "of memory"),
    ({"host": "-oProxyCommand=x"}, "host"), ({"host": "a b"}, "host"), ({"device": "x;y"}, "part"),
    ({"tool": "yosys", "host": "build01"}, "Yosys"), ({"stage": "magic"}, "magic"),
    ({"tool": "vivado"}, "needs the RTL"),
    ({"tool": "vivado_hls"}, "Vitis backend"), ({"tool": "yosys", "path": ""}, "needs the RTL"),
])
def test_bad_settings_are_refused_before_anything_runs(change: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=says):
        synthesize(exported(tmp_path / "c"), _options(tmp_path, **change), Monitor())
    assert _runs(tmp_path) == 0


def test_too_little_disk_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="not enough disk"):
        synthesize(exported(tmp_path / "c"), _options(tmp_path, disk_gb=1e6), Monitor())
    assert _runs(tmp_path) == 0


def _rtl_target(folder: Path, stage: str = "implementation", device: str = "") -> Target:
    (folder / "rtl" / "src").mkdir(parents=True)
    (folder / "rtl" / "src" / "top.v").write_text("module top; endmodule\n")
    (folder / "rtl" / "src" / "top.xdc").write_text("create_clock\n")
    (folder / "rtl" / "build_quartus_prj.tcl").write_text('set project_name "top"\nset device "xcvu9p"\n')
    rtl = manifest.RtlProject(folder="rtl", top="top", language="verilog", verilog="rtl", stages=["logic0"], cycles=7,
                              outputs=1, extra_steps=6)
    return Target(folder, manifest.Manifest(candidate_id="c1", flow="rtl", part="xcvu9p-flgb2104-2L-e", clock_ns=5.0,
                                            events=1, settings="", tools={}, rtl=rtl), stage, device)


def test_vivado_is_given_two_scripts_and_its_reports_make_two_stages(tmp_path: Path) -> None:
    target, vendor = _rtl_target(tmp_path), VENDORS["vivado"]
    first, second = vendor.steps(target, "vivado")
    synthesis = (target.rtl / "vivado" / "synthesis.tcl").read_text()
    assert "synth_design -top top -part xcvu9p-flgb2104-2L-e -mode out_of_context" in synthesis
    assert "read_once {read_verilog} {src/*.v}" in synthesis and "{src/top.xdc}" in synthesis
    assert "open_checkpoint vivado/synthesis.dcp" in (target.rtl / "vivado" / "implementation.tcl").read_text()
    assert first.command[-1] == "vivado/synthesis.tcl" and "vivado/implementation.dcp" in second.results
    for stage in ("synthesis", "implementation"):
        for kind, text in (("utilization", texts.UTILIZATION), ("timing", texts.TIMING), ("power", texts.POWER)):
            (target.rtl / "vivado" / f"{stage}_{kind}.rpt").write_text(text)
    early, late = results(vendor, target, "2023.2")
    assert (early.stage, late.stage, late.lut) == ("synthesis", "implementation", 27683)
    assert (late.latency_cycles, late.ii) == (7, 1)
    assert (late.slack_ns, late.power_w, late.latency_ns) == (-0.123, 3.501, 35.0)
    assert late.source == "rtl/vivado/implementation_utilization.rpt"


def test_vivados_scripts_are_sound_tcl_and_read_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tkinter = pytest.importorskip("tkinter")  # a Tcl interpreter, with Vivado's commands replaced by ones that record
    target = _rtl_target(tmp_path)
    for name in ("static/adder.v", "top_tables.v", "logic 0.v"):
        (target.rtl / "src" / name).parent.mkdir(exist_ok=True)
        (target.rtl / "src" / name).write_text("")
    VENDORS["vivado"].steps(target, "vivado")
    tcl = tkinter.Tcl()
    tcl.eval("set calls {}")
    for command in ("read_verilog", "read_vhdl", "read_xdc", "synth_design", "opt_design", "write_checkpoint",
                    "report_utilization", "report_timing_summary", "report_power", "open_checkpoint", "place_design",
                    "phys_opt_design", "route_design"):
        tcl.eval(f"proc {command} args {{ global calls; lappend calls [concat {command} $args] }}")
    monkeypatch.chdir(target.rtl)
    tcl.eval("source vivado/synthesis.tcl")
    calls = [str(call) for call in tcl.splitlist(tcl.eval("set calls"))]
    read = [call.partition(" ")[2].strip("{}") for call in calls if call.startswith("read_verilog")]
    assert read == ["src/static/adder.v", "src/top_tables.v", "src/logic 0.v", "src/top.v"]
    words = [call.split()[0] for call in calls if not call.startswith("read_verilog")]
    assert words[:4] == ["read_xdc", "synth_design", "opt_design", "write_checkpoint"]
    tcl.eval("set calls {}; source vivado/implementation.tcl")
    assert [str(call).split()[0] for call in tcl.splitlist(tcl.eval("set calls"))][:4] == \
        ["open_checkpoint", "place_design", "phys_opt_design", "route_design"]


def test_an_hls_designs_verilog_goes_through_vivado_with_a_clock_of_its_own(tmp_path: Path) -> None:
    report = exported(tmp_path / "c")
    target = Target(Path(report.directory), manifest.load(tmp_path / "c"), "implementation")
    names = [step.name for step in VENDORS["vitis"].steps(target, "vitis_hls")]
    assert names == ["hls", "vivado_synthesis", "vivado_implementation"]
    assert "create_clock -period 5 -name sys_clk [get_ports {ap_clk}]" in \
        (target.hls / vivado.OUTPUT / "clock.xdc").read_text()


def test_quartus_is_given_the_altera_part_and_refuses_to_go_without(tmp_path: Path) -> None:
    target = _rtl_target(tmp_path, device="10AX115N2F45E1SG")
    VENDORS["quartus"].steps(target, "quartus_sh")
    assert 'set device "10AX115N2F45E1SG"' in (target.rtl / "quantiscope_quartus.tcl").read_text()
    with pytest.raises(ExportError, match="Altera part"):
        VENDORS["quartus"].steps(Target(target.directory, target.manifest, "implementation"), "quartus_sh")
    reports = target.rtl / "output_top" / "reports"
    reports.mkdir(parents=True)
    (reports / "top.fit.rpt").write_text(texts.FIT)
    (reports / "top.sta.rpt").write_text(texts.STA)
    (found,) = results(VENDORS["quartus"], target, "23.1")
    assert (found.dsp, found.slack_ns, found.part, found.latency_cycles) == (66, 0.512, "10AX115N2F45E1SG", 7)


@pytest.mark.parametrize("name", ["catapult", "oneapi", "intel_hls", "libero"])
def test_every_other_tools_reports_are_found_where_it_leaves_them(name: str, tmp_path: Path) -> None:
    vendor = VENDORS[name]
    exported(tmp_path / "c", backend=vendor.backends[0])
    target = Target(tmp_path / "c", manifest.load(tmp_path / "c"), vendor.stages[0])
    steps = vendor.steps(target, vendor.programs[0])
    assert steps and all(not isinstance(step.command, str) for step in steps)
    files = {"catapult": {f"{TOP}_prj/{TOP}.v1/rtl.rpt": texts.CATAPULT},
             "oneapi": {f"build/{TOP}.report.prj/reports/resources/json/{k}": v for k, v in texts.ONEAPI.items()},
             "intel_hls": {f"{TOP}-fpga.prj/reports/lib/{k}": v for k, v in texts.HLS_JS.items()},
             "libero": {"hls_output/reports/summary.results.rpt": texts.SMARTHLS}}[name]
    for path, text in files.items():
        (target.hls / path).parent.mkdir(parents=True, exist_ok=True)
        (target.hls / path).write_text(text)
    found = results(vendor, target, "1.0")[-1]
    assert found.latency_cycles and found.tool == vendor.title and found.source.startswith("hls4ml/")
