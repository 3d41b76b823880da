"""Reports of Catapult (Siemens) and of SmartHLS, the HLS tool of Libero (Microchip)."""

from __future__ import annotations

import re
from pathlib import Path

from core.hls.reports_text import Figures, number, read_text, rows, section, unreadable, whole


def catapult(path: Path) -> Figures:
    """Latency, interval, clock and slack from Catapult's `rtl.rpt` or `cycle.rpt`.

    Its area is a score of the technology library, not a count of cells; those come from the logic synthesis after it.
    """
    text = read_text(path)
    version = re.search(r"Catapult\s+\w*\s*Synthesis\s+([\w.]+)", text)
    if "Processes/Blocks in Design" not in text:
        raise unreadable(path, "it is not a report of Catapult")
    total = re.search(r"^\s*Design Total:\s+(\d+)\s+(-?\d+)\s+(-?\d+)", text, re.MULTILINE)
    if not total:
        raise unreadable(path, "it ends before its figures")
    latency, interval = int(total.group(2)), int(total.group(3))
    clock = re.search(r"^\s*\S+\s+(?:rising|falling)\s+([\d.]+)\s", section(text, "Clock Information"), re.MULTILINE)
    slacks = [float(value) for value in re.findall(r"^\s*Slack:\s*(-?[\d.]+)", text, re.MULTILINE)]
    score = re.search(r"^\s*Total Area Score:\s+.*?([\d.]+)\s*$", text, re.MULTILINE)
    note = f"Area score {score.group(1)} of the technology library." if score else ""
    return {"tool": "Catapult", "tool_version": version.group(1) if version else "", "stage": "hls",
            "latency_cycles": latency if latency >= 0 else None, "ii": interval if interval > 0 else None,
            "clock_ns": float(clock.group(1)) if clock else None, "slack_ns": min(slacks) if slacks else None,
            "note": note}


def smarthls(path: Path) -> Figures:
    """Latency, timing and cells from SmartHLS's `summary.results.rpt`; a part that was not run is left out."""
    text = read_text(path)
    if "1. Simulation Result" not in text or "3. Resource Usage" not in text:
        raise unreadable(path, "it is not a summary of SmartHLS")
    timing = [row for row in rows(section(text, "2. Timing Result", "\n======"))
              if len(row) >= 4 and number(row[1]) is not None]
    used = {row[0]: row for row in rows(section(text, "3. Resource Usage", "\n======")) if len(row) >= 3}
    if not timing and not any(name in used for name in ("Fabric + Interface 4LUT*", "Fabric + Interface 4LUT", "DFF")):
        raise unreadable(path, "it ends before its figures")
    figures: Figures = {"tool": "SmartHLS", "stage": "synthesis", "available": {}}
    for name, label in (("lut", "4LUT"), ("ff", "DFF"), ("dsp", "MATH"), ("bram", "LSRAM")):
        row = next((used[key] for key in used if label in key), None)
        if row is not None:
            figures[name], figures["available"][name] = whole(row[1]), whole(row[2])
    if timing:
        figures |= {"clock_ns": number(timing[0][1]), "slack_ns": number(timing[0][3])}
    return figures | _simulated(section(text, "1. Simulation Result", "\n======"))


def _simulated(text: str) -> Figures:
    """Latency and interval: the largest of "minimum / maximum / average"."""
    for row in rows(text):
        if len(row) >= 5 and number(row[1]) is not None:
            largest = [[whole(part) for part in cell.split("/")][1:2] for cell in row[3:5]]
            return {name: value[0] for name, value in zip(("latency_cycles", "ii"), largest, strict=True) if value}
    return {}
