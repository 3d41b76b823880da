"""What the readers of tools' reports share: bounded files, tables drawn with bars, numbers with units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from core.errors import ToolFailedError
from core.hls.report import SynthesisReport

#: the largest report of a large design is a few MB
MOST_BYTES = 64 * 2**20
#: figures by field of SynthesisReport, and "available": {"lut": ...} where the report tells
Figures = dict[str, Any]
RESOURCES = ("dsp", "lut", "ff", "bram", "uram")
#: no figure is as large; a number that is comes from a damaged file
_MOST = 1e15
_NS = {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6, "sec": 1e9, "s": 1e9}


def read_text(path: Path) -> str:
    """The text of a report; ToolFailedError where it is missing, no text, or too large to be one."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from None
    if len(data) > MOST_BYTES:
        raise unreadable(path, f"it is larger than {MOST_BYTES >> 20} MiB")
    if b"\0" in data:
        raise unreadable(path, "it is no text")
    return data.decode("utf-8", "replace")


def unreadable(path: Path, why: str) -> ToolFailedError:
    """The one sentence for a report that cannot be used."""
    return ToolFailedError(f"the report {path.name} cannot be read", why,
                           "Look at the tool's log, and run the tool again if it ended early")


def number(text: str) -> float | None:
    """The number a cell begins with, None for none: "1,792 / 32,070", "66*", "4.049 ns", "<0.01", "-", "undef"."""
    found = re.match(r"\s*[~<]?\s*(-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?)", text)
    value = float(found.group(1).replace(",", "")) if found else math.inf
    return value if abs(value) < _MOST else None


def whole(text: str) -> int | None:
    """As `number`, to the next integer."""
    value = number(text)
    return None if value is None else round(value)


def nanoseconds(text: str) -> float | None:
    """A time with its unit in ns ("0.576 us" is 576); without a unit it is in ns already."""
    value = number(text)
    unit = re.search(r"([a-z]+)\s*$", text.strip())
    return None if value is None else value * _NS.get(unit.group(1) if unit else "ns", 1.0)


def cells(line: str, bar: str = "|") -> list[str]:
    """The cells of one line of a table; none for a line that is no row."""
    stripped = line.strip()
    if not stripped.startswith(bar) or stripped.count(bar) < 2:
        return []
    return [cell.strip() for cell in stripped.strip(bar).split(bar)]


def rows(text: str, bar: str = "|") -> Iterator[list[str]]:
    """All rows of all tables of a text."""
    for line in text.splitlines():
        row = cells(line, bar)
        if row:
            yield row


def section(text: str, start: str, end: str = "") -> str:
    """What follows the first line that holds `start`, up to the next that holds `end`; "" where there is none."""
    begin = text.find(start)
    if begin < 0:
        return ""
    rest = text[begin + len(start):]
    stop = rest.find(end) if end else -1
    return rest if stop < 0 else rest[:stop]


def header(text: str, label: str) -> str:
    """The value of a "* Label:  value" or "| Label : value" line; "" where there is none."""
    found = re.search(rf"^[|*;\s]*{re.escape(label)}\s*[:;]\s*(.*?)\s*[;|]?\s*$", text, re.MULTILINE)
    return found.group(1) if found else ""


def combined(*parts: Figures) -> Figures:
    """Figures of several reports of one run; of two that tell the same, the later one counts."""
    merged: Figures = {}
    for part in parts:
        available = {**merged.get("available", {}), **part.get("available", {})}
        notes = [note for note in (merged.get("note", ""), part.get("note", "")) if note]
        merged |= {name: value for name, value in part.items() if value is not None and value != ""}
        merged |= {"available": available, "note": " ".join(notes)}
    return merged


def to_report(figures: Figures, fallback: Figures) -> SynthesisReport:
    """A SynthesisReport of figures; what they do not tell (part, clock, version ...) comes from `fallback`."""
    known = {**fallback, **{name: value for name, value in figures.items() if value not in (None, "")}}
    available = known.pop("available", {})
    share = {name: 100.0 * known[name] / available[name] for name in RESOURCES
             if known.get(name) is not None and available.get(name)}
    known["percent"] = {**known.get("percent", {}), **share}
    cycles, clock = known.get("latency_cycles"), known.get("clock_ns")
    if known.get("latency_ns") is None and cycles is not None and clock:
        known["latency_ns"] = cycles * clock
    return msgspec.convert({"tool_version": "", "part": "", "clock_ns": 0.0, **known}, SynthesisReport)
