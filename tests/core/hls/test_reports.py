"""The readers of tools' reports, on texts in the tools' format, on cut ones and on foreign ones."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.errors import ToolFailedError
from core.hls import reports_amd as amd
from core.hls import reports_intel as intel
from core.hls import reports_other as other
from core.hls.reports_js import ScriptError, variables
from core.hls.reports_text import Figures, combined, nanoseconds, number, to_report
from tests.core.hls import report_texts as texts

Reader = Callable[[Path], Figures]
FILES: list[tuple[Reader, str]] = [
    (amd.csynth_xml, texts.CSYNTH_XML), (amd.csynth_rpt, texts.CSYNTH_RPT), (amd.utilization, texts.UTILIZATION),
    (amd.timing_summary, texts.TIMING), (amd.power, texts.POWER), (amd.cosim, texts.COSIM),
    (intel.quartus_fit, texts.FIT), (intel.quartus_sta, texts.STA), (other.catapult, texts.CATAPULT),
    (other.smarthls, texts.SMARTHLS)]
FOLDERS: list[tuple[Reader, dict[str, str]]] = [(intel.hls_compiler, texts.HLS_JS), (intel.oneapi, texts.ONEAPI)]


def _written(folder: Path, text: str) -> Path:
    path = folder / "report"
    path.write_text(text)
    return path


def _folder(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def _ids(cases: list[tuple[Reader, object]]) -> list[str]:
    return [reader.__name__ for reader, _ in cases]


def test_csynth_xml_tells_latency_interval_and_cells(tmp_path: Path) -> None:
    report = to_report(amd.csynth_xml(_written(tmp_path, texts.CSYNTH_XML)), {})
    assert (report.tool, report.tool_version, report.stage) == ("Vitis HLS", "2023.2", "hls")
    assert (report.part, report.clock_ns, report.slack_ns) == ("xcvu9p-flgb2104-2L-e", 5.0, 0.079)
    assert (report.latency_cycles, report.latency_ns, report.ii) == (11, 55.0, 1)
    assert (report.dsp, report.lut, report.ff, report.uram) == (124, 39782, 8128, 0)
    assert report.bram == 2.5 and report.percent["bram"] == pytest.approx(100 * 5 / 4320)
    assert report.percent["lut"] == pytest.approx(100 * 39782 / 1182240)


def test_csynth_rpt_says_the_same_and_the_range_of_latencies(tmp_path: Path) -> None:
    xml = amd.csynth_xml(_written(tmp_path, texts.CSYNTH_XML))
    found = amd.csynth_rpt(_written(tmp_path, texts.CSYNTH_RPT))
    for field in ("tool", "tool_version", "part", "clock_ns", "slack_ns", "latency_cycles", "dsp", "lut", "ff", "bram",
                  "uram", "available"):
        assert found[field] == xml[field], field
    assert found["ii"] == 2 and found["note"] == "Latency is 9 to 11 cycles."


def test_a_latency_that_hls_does_not_know_is_none_and_said(tmp_path: Path) -> None:
    old = amd.csynth_rpt(_written(tmp_path, texts.OLD_CSYNTH_RPT))
    assert (old["tool"], old["tool_version"], old["part"]) == ("Vivado HLS", "2018.2", "xc7z020clg400-1")
    assert (old["clock_ns"], old["slack_ns"], old["dsp"], old["lut"]) == (5.0, 0.0, 73, 2532)
    undefined = texts.CSYNTH_XML.replace("<Worst-caseLatency>11", "<Worst-caseLatency>undef")
    for found in (old, amd.csynth_xml(_written(tmp_path, undefined))):
        assert found["latency_cycles"] is None and "not known" in found["note"]
        assert to_report(found, {}).latency_ns is None


def test_vivado_reports_of_one_run_make_one_report(tmp_path: Path) -> None:
    parts = [reader(_written(tmp_path, text)) for reader, text in FILES[2:5]]
    report = to_report(combined(*parts), {"latency_cycles": 12, "ii": 1})
    assert (report.tool, report.tool_version, report.stage) == ("Vivado", "2023.2", "implementation")
    assert (report.lut, report.ff, report.dsp, report.bram, report.uram) == (27683, 14119, 7, 2.5, 3)
    assert (report.slack_ns, report.clock_ns, report.power_w) == (-0.123, 5.0, 3.501)
    assert (report.latency_cycles, report.latency_ns) == (12, 60.0)
    assert report.percent["lut"] == pytest.approx(2.34, abs=0.005) and "medium" in report.note


def test_a_synthesized_design_is_told_from_a_routed_one(tmp_path: Path) -> None:
    early = texts.UTILIZATION.replace("Routed", "Synthesized").replace(": xcvu9p", ": vu9p")
    found = amd.utilization(_written(tmp_path, early))
    assert (found["stage"], found["part"]) == ("synthesis", "xcvu9p-flgb2104-2L-e")


def test_an_unclocked_design_has_no_slack(tmp_path: Path) -> None:
    found = amd.timing_summary(_written(tmp_path, texts.TIMING.replace("     -0.123 ", "         NA ")))
    assert found["slack_ns"] is None and "not checked" in found["note"]


def test_a_simulation_tells_its_largest_latency_and_a_failed_one_is_refused(tmp_path: Path) -> None:
    found = amd.cosim(_written(tmp_path, texts.COSIM))
    assert (found["latency_cycles"], found["ii"]) == (12, 2)
    with pytest.raises(ToolFailedError, match="'Fail'"):
        amd.cosim(_written(tmp_path, texts.COSIM.replace("Pass", "Fail")))


def test_quartus_tells_cells_slack_and_part(tmp_path: Path) -> None:
    fit, sta = (reader(_written(tmp_path, text)) for reader, text in FILES[6:8])
    report = to_report(combined(fit, sta), {})
    assert (report.tool, report.tool_version, report.part) == ("Quartus", "23.1.0", "10AX115N2F45E1SG")
    assert (report.lut, report.ff, report.dsp, report.bram) == (16310, 14119, 66, 4)
    assert report.percent == {"dsp": pytest.approx(100 * 66 / 1518), "bram": pytest.approx(100 * 4 / 2713)}
    assert (report.slack_ns, report.clock_ns) == (0.512, 5.0) and "9,124" in report.note


def test_intels_hls_compiler_tells_estimates_and_simulated_latency(tmp_path: Path) -> None:
    found = intel.hls_compiler(_folder(tmp_path, texts.HLS_JS))
    assert (found["lut"], found["ff"], found["bram"], found["dsp"]) == (16310, 14119, 4, 66)
    assert (found["latency_cycles"], found["ii"], found["stage"]) == (25, 2, "hls")


def test_oneapi_tells_estimates_and_after_the_fit_its_cells(tmp_path: Path) -> None:
    found = intel.oneapi(_folder(tmp_path, texts.ONEAPI))
    assert (found["lut"], found["ff"], found["bram"], found["dsp"]) == (2462, 7938, 77, 92)
    assert (found["latency_cycles"], found["ii"], found["available"]["dsp"]) == (176, 3, 4510)
    fitted = intel.oneapi(_folder(tmp_path, {"quartus.ndjson": texts.ONEAPI_FIT}))
    assert (fitted["stage"], fitted["lut"], fitted["dsp"]) == ("implementation", 4181, 40)


def test_catapult_tells_latency_clock_and_slack_but_no_cells(tmp_path: Path) -> None:
    found = other.catapult(_written(tmp_path, texts.CATAPULT))
    assert (found["tool_version"], found["latency_cycles"], found["ii"]) == ("2023.2", 12, 1)
    assert (found["clock_ns"], found["slack_ns"]) == (5.0, 0.265)
    assert "lut" not in found and "1555.2" in found["note"]
    endless = other.catapult(_written(tmp_path, texts.CATAPULT.replace("63      12", "63      -1")))
    assert endless["latency_cycles"] is None  # what it writes for a process that never ends


def test_smarthls_tells_latency_timing_and_cells(tmp_path: Path) -> None:
    found = other.smarthls(_written(tmp_path, texts.SMARTHLS))
    assert (found["latency_cycles"], found["ii"], found["clock_ns"], found["slack_ns"]) == (14, 2, 5.0, 0.731)
    assert (found["lut"], found["ff"], found["bram"]) == (12000, 8000, 3)


@pytest.mark.parametrize("text", ["", "no report\n", "\0\1\2", "{}", "<profile/>", "| a | b |\n" * 50,
                                  texts.CSYNTH_XML[:-60]],
                         ids=["empty", "prose", "bytes", "json", "xml", "table", "cut xml"])
@pytest.mark.parametrize(("reader", "_"), FILES, ids=_ids(FILES))
def test_a_foreign_report_is_one_sentence(reader: Reader, _: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError) as caught:
        reader(_written(tmp_path, text))
    assert "report cannot be read" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("reader", "text"), FILES, ids=_ids(FILES))
def test_a_report_cut_anywhere_is_read_right_or_refused(reader: Reader, text: str, tmp_path: Path) -> None:
    whole = reader(_written(tmp_path, text))
    refused = 0
    for length in range(0, len(text), 37):
        try:
            found = reader(_written(tmp_path, text[:length]))
        except ToolFailedError:
            refused += 1
            continue
        for name in ("dsp", "ff", "latency_cycles", "power_w"):
            assert found.get(name) in (None, whole.get(name)), (length, name)
    assert refused


@pytest.mark.parametrize(("reader", "files"), FOLDERS, ids=_ids(FOLDERS))
def test_folders_of_reports_that_are_cut_foreign_or_missing_are_one_sentence(
        reader: Reader, files: dict[str, str], tmp_path: Path) -> None:
    main = next(iter(files))
    with pytest.raises(ToolFailedError, match="cannot be read"):
        reader(tmp_path)
    for text in ("", "[]", "12", "var areaJSON=[];", '{"a": [', "var areaJSON={a:" + "[" * 5000, files[main][:200]):
        with pytest.raises(ToolFailedError, match="cannot be read"):
            reader(_folder(tmp_path, {**files, main: text}))


def test_entities_in_a_report_are_not_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">]>' + texts.CSYNTH_XML.partition("?>")[2].replace("top", "&b;")
    with pytest.raises(ToolFailedError, match="not a report"):
        amd.csynth_xml(_written(tmp_path, bomb))


def test_literals_of_a_script_are_read_without_running_it() -> None:
    text = "var a = {b: 'it\\'s', \"c\": [1, -2.5, true, null], d: 'x' + \"y\", e: {}}; alert(1); var f=[];"
    assert variables(text, {"a", "f"}) == {"a": {"b": "it's", "c": [1, -2.5, True, None], "d": "xy", "e": {}}, "f": []}
    for bad in ("var a={b", "var a={b:}", "var a=[1 2]", "var a=1+'x'", "var a=?"):
        with pytest.raises(ScriptError):
            variables(bad, {"a"})


def test_numbers_and_times_are_read_with_their_marks() -> None:
    assert [number(text) for text in ("1,792 / 32,070", "66*", "~0", "<0.01", "-", "undef", "-0.5")] == \
        [1792, 66, 0, 0.01, None, None, -0.5]
    assert [nanoseconds(text) for text in ("5.00", "4.049 ns", "0.576 us", "1.5 ms")] == [5.0, 4.049, 576.0, 1.5e6]


def _damaged(text: str, random: np.random.Generator) -> str:
    """Lines dropped, doubled, swapped or cut, and words put in the place of others."""
    lines = text.split("\n")
    for _ in range(int(random.integers(1, 6))):
        at, other = (int(i) for i in random.integers(0, len(lines), 2))
        kind = int(random.integers(0, 5))
        if kind == 0:
            lines[at] = ""
        elif kind == 1:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 2:
            lines[at] = lines[at][: int(random.integers(0, len(lines[at]) + 1))]
        else:
            words = re.findall(r"[\w.]+|\W", lines[at]) or [""]
            words[int(random.integers(0, len(words)))] = str(random.choice(["", "NA", "-1", "1e400", "{", "]", "null"]))
            lines[at] = "".join(words)
    return "\n".join(lines)


def test_damaged_reports_end_in_figures_or_in_a_sentence(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    for _ in range(60):
        for reader, text in FILES:
            with contextlib.suppress(ToolFailedError):
                to_report(reader(_written(tmp_path, _damaged(text, random))), {"tool": "x", "stage": "hls"})
        for reader, files in FOLDERS:
            damaged = {name: _damaged(text, random) for name, text in files.items()}
            with contextlib.suppress(ToolFailedError):
                to_report(reader(_folder(tmp_path, damaged)), {"tool": "x", "stage": "hls"})


def test_our_readers_agree_with_those_of_hls4ml_and_alkaid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from alkaid._cli import report as alkaid
    from hls4ml.report.vivado_report import parse_vivado_report

    (tmp_path / "top_prj" / "solution1" / "syn" / "report").mkdir(parents=True)
    (tmp_path / "project.tcl").write_text('set project_name "top"\nset backend "vitis"\n')
    (tmp_path / "top_prj" / "hls.app").write_text(
        '<project xmlns="com.autoesl.autopilot.project"><solutions><solution name="solution1"/></solutions></project>')
    xml = tmp_path / "top_prj" / "solution1" / "syn" / "report" / "top_csynth.xml"
    xml.write_text(texts.CSYNTH_XML)
    theirs, ours = parse_vivado_report(str(tmp_path))["CSynthesisReport"], amd.csynth_xml(xml)
    assert (ours["latency_cycles"], ours["ii"]) == (int(theirs["WorstLatency"]), int(theirs["IntervalMax"]))
    for name, key in (("dsp", "DSP"), ("lut", "LUT"), ("ff", "FF"), ("uram", "URAM")):
        assert ours[name] == int(theirs[key]) and ours["available"][name] == int(theirs["Available" + key])
    assert ours["bram"] == int(theirs["BRAM_18K"]) / 2

    cells = alkaid.parse_utilization_vivado(texts.UTILIZATION + "| Register as Latch | 0 | 0 | 0 | 1 | 0.00 |\n"
                                            "| LUT as Memory | 0 | 0 | 0 | 1 | 0.00 |\n"
                                            "| CARRY8 | 1 | 0 | 0 | 1 | 0.0 |\n")
    found = amd.utilization(_written(tmp_path, texts.UTILIZATION))
    assert [found[name] for name in ("dsp", "lut", "ff", "uram", "bram")] == \
        [cells[name] for name in ("DSP", "LUT", "FF", "URAM", "Block RAM Tile")]
    timing = alkaid.parse_timing_summary_vivado(texts.TIMING)
    assert amd.timing_summary(_written(tmp_path, texts.TIMING))["slack_ns"] == timing["WNS(ns)"]
    watts = alkaid.parse_power_vivado(texts.POWER)
    assert amd.power(_written(tmp_path, texts.POWER))["power_w"] == float(watts["Total On-Chip Power (W)"])
    fit, fitted = alkaid.parse_utilization_quartus(texts.FIT), intel.quartus_fit(_written(tmp_path, texts.FIT))
    assert (fitted["dsp"], fitted["lut"], fitted["ff"]) == (fit["DSP"], fit["LUT"], fit["Registers"])
