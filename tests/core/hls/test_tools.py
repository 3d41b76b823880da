"""Launcher, parts, tools, and the parser of Yosys's statistics."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

import resources
from core.errors import Cancelled, ExportError, ToolFailedError, ToolMissingError
from core.events import LogLine, Monitor
from core.hls import tools
from core.hls.launcher import run_tool
from core.hls.parts import find_part, parts, source
from core.hls.yosys import read_stat


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_cancelled_tool_takes_its_children_with_it(tmp_path: Path) -> None:
    pids: list[int] = []

    def listen(event: object) -> None:
        if isinstance(event, LogLine) and event.text.isdigit():
            pids.append(int(event.text))

    monitor = Monitor(listen, cancelled=lambda: bool(pids))
    with pytest.raises(Cancelled):
        run_tool(["bash", "-c", "sleep 100 & echo $!; wait"], tmp_path, monitor, name="stand-in")
    deadline = time.monotonic() + 5
    while _alive(pids[0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pids[0])


def test_a_failing_tool_is_reported_with_its_own_error_line_and_a_log(tmp_path: Path) -> None:
    log = tmp_path / "tool.log"
    script = "echo working; echo 'ERROR: [HLS 200-1] part not installed'; seq 100; exit 3"
    with pytest.raises(ToolFailedError, match="part not installed"):
        run_tool(["bash", "-c", script], tmp_path, Monitor(), name="stand-in", log=log)
    assert log.read_text().startswith("working")


def test_a_tool_that_runs_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="time limit"):
        run_tool(["sleep", "60"], tmp_path, Monitor(), name="stand-in", limit_s=0.3)


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="vitis-nothing"):
        run_tool(["vitis-nothing"], tmp_path, Monitor(), name="vitis-nothing")


def test_a_missing_tool_comes_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissingError, match=r"apt-get install -y g\+\+"):
        tools.require("g++")
    assert {tool.name for tool in tools.survey()} == set(tools.TOOLS)


def test_the_tools_of_the_open_flow_are_here_with_versions() -> None:
    found = tools.require("verilator", "yosys", "alkaid", "hls4ml", "g++", "perl", "make")
    assert all(tool.version for tool in found.values())


def test_parts_are_looked_up_by_name_and_an_unknown_one_names_the_others() -> None:
    vu9p = find_part("XCVU9P-flgb2104-2L-e")
    assert (vu9p.dsp, vu9p.lut, vu9p.ff) == (6840, 1182240, 2364480)  # paper_facts 1.2: the authors' plotting code
    assert vu9p.percent(dsp=684, lut=None) == {"dsp": pytest.approx(10.0)}
    with pytest.raises(ExportError, match="xcku115"):
        find_part("xc-nothing")
    assert len({part.name for part in parts()}) == len(parts()) and "XMP" in source()


@pytest.mark.parametrize("text", ["", "no json", "{}", '{"design": {"num_cells_by_type": 3}}', '{"design": {"num_cel'])
def test_foreign_or_cut_statistics_are_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "stat.json").write_text(text)
    with pytest.raises(ToolFailedError, match="cannot be read"):
        read_stat(tmp_path / "stat.json")


def test_statistics_are_counted_by_kind(tmp_path: Path) -> None:
    (tmp_path / "stat.json").write_text(
        '{"creator": "x", "design": {"num_cells_by_type": {"LUT6_2": 3, "LUT2": 4, "INV": 1, "FDRE": 7, "CARRY8": 9,'
        ' "DSP48E2": 2}}}')
    counts = read_stat(tmp_path / "stat.json")
    assert (counts.lut, counts.ff, counts.dsp, counts.bram) == (8, 7, 2, 0)


def _prove(tmp_path: Path, name: str, setting: dict[str, int], expression: str) -> str:
    """Ask Yosys's SAT solver whether our three-input adder ever differs from a plain sum."""
    ports = "input [3:0] a, input [2:0] b, input [3:0] c, output [7:0] y"
    values = ", ".join(f".{key}({value})" for key, value in setting.items())
    (tmp_path / "gate.v").write_text(
        f"module gate({ports}); ternary_adder #({values}) u(.in0(a), .in1(b), .in2(c), .out(y)); endmodule\n"
        f"module gold({ports}); wire signed [15:0] s = {expression}; assign y = s[7:0]; endmodule\n"
        "module LUT6_2(output O6, output O5, input I0, I1, I2, I3, I4, I5); parameter [63:0] INIT = 0;\n"
        "  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}]; assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}]; endmodule\n"
        "module CARRY8(output [7:0] CO, O, input CI, CI_TOP, input [7:0] DI, S); parameter CARRY_TYPE = \"\";\n"
        "  wire [8:0] c; assign c[0] = CI; assign CO = c[8:1]; assign O = S ^ c[7:0];\n"
        "  genvar i; generate for (i = 0; i < 8; i = i + 1) begin : g assign c[i+1] = S[i] ? c[i] : DI[i]; end"
        " endgenerate endmodule\n")
    script = tmp_path / f"{name}.ys"
    script.write_text(f"read_verilog {resources.path('yosys/ternary_adder.v')} {tmp_path / 'gate.v'}\n"
                      "hierarchy -check\nproc\nmiter -equiv -flatten -make_outputs gold gate miter\n"
                      "hierarchy -top miter\nflatten\nopt\nsat -verify -prove trigger 0 miter\n")
    start = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"
    done = subprocess.run([sys.executable, "-c", start, str(script)], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ}, check=False)
    return "proved" if done.returncode == 0 and "SUCCESS" in done.stdout else done.stdout[-800:] + done.stderr[-400:]


def test_our_three_input_adder_equals_a_plain_sum_for_every_input(tmp_path: Path) -> None:
    signed = {"a": "$signed(a)", "b": "$signed({1'b0, b})", "c": "$signed(c)"}
    for number, (n0, n1, n2) in enumerate(product((0, 1), repeat=3)):
        setting = {"BW_INPUT0": 4, "SIGNED0": 1, "NEGATE0": n0, "PAD0": 1, "BW_INPUT1": 3, "SIGNED1": 0, "NEGATE1": n1,
                   "PAD1": 0, "BW_INPUT2": 4, "SIGNED2": 1, "NEGATE2": n2, "PAD2": 2, "BW_OUT": 8, "DROP_LSBS": 0}
        sign = ["-" if n else "+" for n in (n0, n1, n2)]
        expression = (f"16'sd0 {sign[0]} ({signed['a']} * 16'sd2) {sign[1]} {signed['b']}"
                      f" {sign[2]} ({signed['c']} * 16'sd4)")
        assert _prove(tmp_path, f"case{number}", setting, expression) == "proved"


def test_every_part_has_its_resources_and_source() -> None:
    families = " ".join(part.family for part in parts())
    for wanted in ("VU9P", "VU13P", "KU115", "ZU7EV", "Zynq-7020", "Alveo U250"):
        assert wanted in families
    for part in parts():
        assert part.ff == 2 * part.lut  # of both families: two flip-flops a LUT
        assert part.dsp > 0 and part.bram > 0 and 1 <= part.slr <= 4 and part.source
    vu9p, zynq = find_part("xcvu9p-flgb2104-2L-e"), find_part("xc7z020clg400-1")
    assert (vu9p.lut, vu9p.ff, vu9p.dsp, vu9p.bram, vu9p.slr) == (1182240, 2364480, 6840, 2160, 3)
    assert (vu9p.dsp_ports, zynq.dsp_ports) == ((27, 18), (25, 18))
