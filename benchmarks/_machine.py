"""What every benchmark says of where it ran, how it counts processor time, and how it writes its result down."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable
from pathlib import Path

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def heading() -> str:
    """When, on which processor, under which load and Python."""
    name = ""
    if Path("/proc/cpuinfo").exists():
        with Path("/proc/cpuinfo").open() as file:
            name = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "")
    return (f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {CORES} cores of {name or platform.machine()},"
            f" load before {load()}, Python {platform.python_version()}")


def load() -> str:
    """Mean number of processes that ran or waited in the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def said(reached: bool) -> str:
    """How a bar's outcome is written."""
    return "reached" if reached else "MISSED"


def cpu_seconds() -> float:
    """CPU seconds that this process, its ended children, and its workers that still run have used."""
    total = sum(os.times()[:4])
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[1]) == os.getpid():
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def write(lines: Iterable[str], result: Path) -> None:
    """Print the lines and the load after them, and write them to a file."""
    text = "\n".join([*lines, f"load after {load()}"]) + "\n"
    print(text)
    result.parent.mkdir(exist_ok=True)
    result.write_text(text)
