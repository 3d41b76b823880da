"""Reports of Vivado HLS, Vitis HLS and Vivado. The formats are those that the tools print (UG1399, UG906, UG907)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from core.hls.reports_text import (
    Figures,
    cells,
    header,
    nanoseconds,
    number,
    read_text,
    rows,
    section,
    unreadable,
    whole,
)

_NAMES = {"DSP": "dsp", "DSP48E": "dsp", "LUT": "lut", "FF": "ff", "BRAM_18K": "bram", "URAM": "uram"}
_SITES = {"CLB LUTs": "lut", "Slice LUTs": "lut", "CLB Registers": "ff", "Slice Registers": "ff",
          "Block RAM Tile": "bram", "URAM": "uram", "DSPs": "dsp"}
_UNKNOWN = "The latency is not known: it depends on the data, or a loop has no fixed bound."


def csynth_xml(path: Path) -> Figures:
    """HLS estimates from `<top>_csynth.xml` of Vivado HLS or Vitis HLS."""
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # such a report declares neither; entities can eat the memory
        raise unreadable(path, "it is not a report of Vitis HLS")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise unreadable(path, f"it is cut or damaged ({error})") from None

    def tell(name: str) -> str:
        return (root.findtext(name) or "").strip()

    if root.find("AreaEstimates/Resources") is None or root.find("PerformanceEstimates") is None:
        raise unreadable(path, "it holds no estimates of Vitis HLS")
    latency = "PerformanceEstimates/SummaryOfOverallLatency/"
    assigned = "UserAssignments/"
    area = "AreaEstimates/{}Resources/*"
    return {
        "tool": _hls_name(tell("ReportVersion/Version")), "tool_version": tell("ReportVersion/Version"), "stage": "hls",
        "part": _part(tell(assigned + "Part")),
        **_timing(number(tell(assigned + "TargetClockPeriod")), number(tell(assigned + "ClockUncertainty")),
                  number(tell("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"))),
        **_latency(whole(tell(latency + "Best-caseLatency")), whole(tell(latency + "Worst-caseLatency")),
                   whole(tell(latency + "Interval-max"))),
        **_areas({child.tag: child.text or "" for child in root.iterfind(area.format(""))}),
        "available": _areas({child.tag: child.text or "" for child in root.iterfind(area.format("Available"))}),
    }


def csynth_rpt(path: Path) -> Figures:
    """HLS estimates from `<top>_csynth.rpt`."""
    text = read_text(path)
    found = re.search(r"== (Vivado|Vitis) HLS Report for", text)
    if not found:
        raise unreadable(path, "it is not a report of Vivado HLS or Vitis HLS")
    performance = section(text, "== Performance Estimates", "== Utilization Estimates")
    summary = section(section(text, "== Utilization Estimates"), "* Summary", "+ Detail")
    area = {row[0]: row[1:] for row in rows(summary)}
    if "Total" not in area or "Name" not in area:
        raise unreadable(path, "it ends before its figures")
    names, total, available = area["Name"], area["Total"], area.get("Available", [])
    version = header(text, "Version").partition(" ")[0]
    return {
        "tool": f"{found.group(1)} HLS", "tool_version": version, "stage": "hls",
        "part": _part(header(text, "Target device")), **_rpt_timing(performance), **_rpt_latency(performance),
        **_areas(dict(zip(names, total, strict=False))), "available": _areas(dict(zip(names, available, strict=False))),
    }


def _rpt_timing(text: str) -> Figures:
    for row in rows(section(text, "+ Timing", "+ Latency")):
        times = [nanoseconds(cell) for cell in row[1:4]]
        if len(times) == 3 and times[0] is not None:
            return _timing(times[0], times[2], times[1])
    return {}


def _rpt_latency(text: str) -> Figures:
    """The row of the summary: cycles (min, max), perhaps times, interval (min, max), type."""
    for row in rows(section(section(text, "+ Latency"), "* Summary", "+ Detail")):
        if row[0] in ("?", "undef") or number(row[0]) is not None:
            return _latency(whole(row[0]), whole(row[1]), whole(row[-2]))
    return {}


def _timing(target: float | None, uncertainty: float | None, estimated: float | None) -> Figures:
    slack = None if target is None or estimated is None else round(target - (uncertainty or 0.0) - estimated, 4)
    return {"clock_ns": target, "slack_ns": slack}


def _latency(best: int | None, worst: int | None, interval: int | None) -> Figures:
    note = _UNKNOWN if worst is None else "" if best in (None, worst) else f"Latency is {best} to {worst} cycles."
    return {"latency_cycles": worst, "ii": interval, "note": note}


def _areas(found: dict[str, str]) -> Figures:
    """Counts by our names; HLS counts 18 kbit blocks, we count 36 kbit ones."""
    areas: Figures = {_NAMES[name]: whole(text) for name, text in found.items() if name in _NAMES}
    if areas.get("bram") is not None:
        areas["bram"] /= 2
    return {name: value for name, value in areas.items() if value is not None}


def _hls_name(version: str) -> str:
    return "Vivado HLS" if version[:4].isdigit() and int(version[:4]) < 2020 else "Vitis HLS"


def _part(name: str) -> str:
    """"7z020clg400-1" is how Vivado 2020 names xc7z020clg400-1."""
    return name if not name or name.lower().startswith("xc") else f"xc{name}"


def utilization(path: Path) -> Figures:
    """Cells in use from Vivado's `report_utilization`; the stage is that of the design's state."""
    text = read_text(path)
    if "Utilization Design Information" not in text:
        raise unreadable(path, "it is not a utilization report of Vivado")
    used: Figures = {}
    available: Figures = {}
    columns: list[str] = []
    for row in rows(text):
        if "Used" in row and "Available" in row:
            columns = row
        name = _SITES.get(row[0].rstrip("*"))
        if name is None or name in used or len(row) != len(columns):
            continue
        cell = dict(zip(columns, row, strict=True))
        used[name] = number(cell["Used"]) if name == "bram" else whole(cell["Used"])
        available[name] = whole(cell["Available"])
    if "lut" not in used or "ff" not in used:
        raise unreadable(path, "it ends before its figures")
    return {**_vivado(text), **used, "available": available}


def _vivado(text: str) -> Figures:
    """What each report of Vivado says at its head."""
    version = re.search(r"Tool Version\s*:\s*Vivado v\.(\S+)", text)
    state = header(text, "Design State").lower()
    return {"tool": "Vivado", "tool_version": version.group(1) if version else "",
            "part": _part(header(text, "Device")),
            "stage": "" if not state else "synthesis" if state.startswith("synth") else "implementation"}


def timing_summary(path: Path) -> Figures:
    """Worst slack and clock period from Vivado's `report_timing_summary`."""
    text = read_text(path)
    table = section(text, "Design Timing Summary")
    lines = [line.split() for line in table.splitlines()]
    at = next((i for i, line in enumerate(lines) if line[:1] == ["WNS(ns)"]), None)
    if at is None:
        raise unreadable(path, "it holds no timing summary of Vivado")
    value = next((line for line in lines[at + 1:] if line and set("".join(line)) != {"-"}), [])
    if len(value) < 4:
        raise unreadable(path, "it ends before its figures")
    slack = number(value[0])
    note = "" if slack is not None else "No path has a clock, so that the timing was not checked."
    return {**_vivado(text), "slack_ns": slack, "clock_ns": _period(text), "note": note}


def _period(text: str) -> float | None:
    found = re.search(r"^\S+\s+\{[^}]*\}\s+([\d.]+)\s+[\d.]+", section(text, "Clock Summary"), re.MULTILINE)
    return float(found.group(1)) if found else None


def power(path: Path) -> Figures:
    """Watts from Vivado's `report_power`."""
    text = read_text(path)
    found = {row[0]: row[1] for row in rows(text) if len(row) == 2}
    total = number(found.get("Total On-Chip Power (W)", ""))
    if total is None:
        raise unreadable(path, "it holds no power summary of Vivado")
    dynamic, confidence = number(found.get("Dynamic (W)", "")), found.get("Confidence Level", "")
    note = f"Of {total:g} W {dynamic:g} W are dynamic." if dynamic is not None else ""
    if confidence:
        note += f" Confidence of the power: {confidence.lower()}."
    return {**_vivado(text), "power_w": total, "note": note.strip()}


def cosim(path: Path) -> Figures:
    """Measured latency and interval in cycles from `<top>_cosim.rpt`; the largest ones.

    It is there where someone let Vitis HLS simulate its RTL (`cosim 1` in build_opt.tcl).
    """
    text = read_text(path)
    if "Cosimulation Report" not in text and "Simulation Report" not in text:
        raise unreadable(path, "it is not a report of a C/RTL simulation")
    for line in text.splitlines():
        row = cells(line)
        if len(row) >= 8 and row[0] in ("VHDL", "Verilog") and row[1] not in ("NA", ""):
            if row[1].lower() != "pass":
                raise unreadable(path, f"the simulation ended with {row[1]!r}")
            return {"latency_cycles": whole(row[4]), "ii": whole(row[7]), "note": "Latency as simulated."}
    raise unreadable(path, "it ends before its figures")
