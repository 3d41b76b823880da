"""Reports of Quartus (Altera, Intel), of Intel's HLS compiler and of oneAPI."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from core.hls.reports_js import ScriptError, variables
from core.hls.reports_text import Figures, header, number, read_text, rows, section, unreadable, whole

_HLS_ORDER = ("lut", "ff", "bram", "dsp")  # ALUTs, FFs, RAMs, DSPs, then MLABs


def quartus_fit(path: Path) -> Figures:
    """Cells in use from Quartus's `.fit.rpt` or `.fit.summary`."""
    text = read_text(path)
    if "Fitter Status" not in text and "Fitter Summary" not in text and "Flow Status" not in text:
        raise unreadable(path, "it is not a fitter report of Quartus")
    values = {row[0]: row[1] for row in rows(text, ";") if len(row) >= 2} | _colon_lines(text)
    figures: Figures = {"tool": "Quartus", "stage": "implementation", "part": values.get("Device", ""),
                        "tool_version": _version(values)}
    available: Figures = {}
    for name, labels in (("dsp", ("Total DSP Blocks", "DSP Blocks Needed [=A+B+C-D]")),
                         ("ff", ("Total dedicated logic registers", "Dedicated logic registers", "Total registers")),
                         ("lut", ("Combinational ALUT usage for logic",)),
                         ("bram", ("M20K blocks", "Total RAM Blocks"))):
        text_of = next((values[label] for label in labels if label in values), "")
        figures[name] = whole(text_of)
        available[name] = whole(text_of.partition("/")[2])
    modules = values.get("Logic utilization (in ALMs)", "")
    if number(modules) is None:
        raise unreadable(path, "it ends before its figures")
    figures["note"] = f"{modules.strip()} adaptive logic modules (ALM)."
    return {**figures, "available": {name: count for name, count in available.items() if count}}


def _colon_lines(text: str) -> dict[str, str]:
    """`.fit.summary` has "Label : value" lines."""
    return {label.strip(): value.strip() for label, sign, value in
            (line.partition(" : ") for line in text.splitlines() if ";" not in line) if sign}


def _version(values: dict[str, str]) -> str:
    named = next((value for name, value in values.items() if name.startswith("Quartus Prime Version")), "")
    return named.partition(" ")[0]


def quartus_sta(path: Path) -> Figures:
    """Worst setup slack of all corners, and the clock, from Quartus's `.sta.rpt`."""
    text = read_text(path)
    if "Timing Analyzer" not in text and "TimeQuest" not in text:
        raise unreadable(path, "it is not a timing report of Quartus")
    tables = [text[title.end():].split("\n\n", 1)[0] for title in re.finditer(r"; [^;\n]*Setup Summary\s*;", text)]
    slacks = [float(slack) for table in tables
              for slack in re.findall(r"^;\s*[^;]+?\s*;\s*(-?\d+\.\d+)\s*;\s*-?\d", table, re.MULTILINE)]
    if not slacks:
        raise unreadable(path, "it holds no setup slack")
    period = re.search(r"^;[^;]*;\s*(?:Base|Generated)\s*;\s*([\d.]+)\s*;", section(text, "Clocks"), re.MULTILINE)
    return {"tool": "Quartus", "stage": "implementation", "slack_ns": min(slacks),
            "clock_ns": float(period.group(1)) if period else None, "tool_version": _sta_version(text)}


def _sta_version(text: str) -> str:
    found = re.search(r"Version (\d[\d.]*)", header(text, "Quartus Prime Version") or text)
    return found.group(1) if found else ""


def hls_compiler(folder: Path) -> Figures:
    """Estimates, simulated latency and, where compiled, the fit, from an Intel HLS project's `reports/lib` folder."""
    area = _script(folder / "report_data.js", "areaJSON")
    figures: Figures = {"tool": "Intel HLS", "stage": "hls", **_named(area.get("total"), folder / "report_data.js")}
    simulated = folder / "verification_data.js"
    if simulated.is_file():
        functions = _script(simulated, "verifJSON").get("functions") or [{}]
        data = functions[0].get("data") or []
        if len(data) >= 3:  # calls, then "minimum,maximum,average" of latency and interval
            figures |= {"latency_cycles": whole(str(data[1]).split(",")[1]), "ii": whole(str(data[2]).split(",")[1])}
    fitted = folder / "quartus_data.js"
    if fitted.is_file():
        figures |= _fitted(_script(fitted, "quartusJSON"), "clock")
    return figures


def _script(path: Path, name: str) -> dict[str, Any]:
    try:
        found = variables(read_text(path), {name})[name]
    except (ScriptError, KeyError) as error:
        raise unreadable(path, f"it holds no {name}: {error}") from None
    if not isinstance(found, dict):
        raise unreadable(path, f"its {name} is not an object")
    return found


def _named(total: Any, path: Path) -> Figures:
    if not isinstance(total, list) or len(total) < 4:
        raise unreadable(path, "it holds no total of the resources")
    return {name: whole(str(value)) for name, value in zip(_HLS_ORDER, total, strict=False)}


def _fitted(data: dict[str, Any], clock: str) -> Figures:
    """What Quartus found for an HLS design; nothing where it has not run ("TBD")."""
    try:
        fastest = number(str(data["quartusFitClockSummary"]["nodes"][0][clock]))
        node = data["quartusFitResourceUsageSummary"]["nodes"][-1]
    except (KeyError, IndexError, TypeError):
        return {}
    if not fastest:
        return {}
    found = {name: whole(str(node.get(key, ""))) for name, key in
             (("lut", "alut"), ("ff", "reg"), ("dsp", "dsp"), ("bram", "ram"))}
    return {**{name: count for name, count in found.items() if count is not None}, "stage": "implementation",
            "note": f"{node.get('alm', '?')} adaptive logic modules (ALM); at most {fastest:g} MHz."}


def oneapi(folder: Path) -> Figures:
    """Estimates, latency and, where compiled, the fit, from a oneAPI `.prj`'s `reports/resources/json` folder."""
    summary = _lines(folder / "summary.ndjson")
    totals = {line.get("name"): line.get("data") for line in summary if line.get("parent") == "estimatedResources"}
    figures: Figures = {"tool": "oneAPI", "stage": "hls", **_named(totals.get("Total"), folder / "summary.ndjson")}
    figures["available"] = _named(totals["Available"], folder / "summary.ndjson") if "Available" in totals else {}
    loops = folder / "loop_attr.ndjson"
    if loops.is_file():
        figures |= _loops(_lines(loops))
    fitted = folder / "quartus.ndjson"
    if fitted.is_file():
        lines = _lines(fitted)
        figures |= _fitted(lines[0], "clock fmax") if lines else {}
    return figures


def _loops(lines: list[dict[str, Any]]) -> Figures:
    """The largest interval and latency of all loops; kernels run side by side, so latencies are not added."""
    intervals = [whole(str(line["ii"])) for line in lines if "ii" in line]
    latencies = [number(str(line["lt"])) for line in lines if "lt" in line]
    known = [latency for latency in latencies if latency is not None]
    return {"ii": max((ii for ii in intervals if ii is not None), default=None),
            "latency_cycles": round(max(known)) if known else None,
            "note": "Latency is that of the slowest loop; the pipes between kernels come on top."}


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        found = [json.loads(line) for line in read_text(path).splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise unreadable(path, f"it is cut or damaged ({error})") from None
    if not all(isinstance(line, dict) for line in found):
        raise unreadable(path, "its lines are not objects")
    return found
