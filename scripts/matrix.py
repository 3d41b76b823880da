"""Writes docs/matrix.md: mismatches of each flow for each quantizer kind on each layer class, by the real tools.

    .venv/bin/python scripts/matrix.py [docs/matrix.md] [--classes Dense,Conv2D] [--events 256] [--fresh]

An interrupted run goes on where it was: what a project gave is kept in .matrix-cache by a digest of the project.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import sys
import time
from datetime import date
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from core.errors import QuantiscopeError
from core.hls import matrix, matrix_page
from core.hls.tools import find_tool
from core.quant.samples import SAMPLES

TOOLS = ("hls4ml", "g++", "alkaid", "verilator")
CACHE = Path(".matrix-cache")
#: unrolled over time with a table for each gate, so they come last
RECURRENT = ("SimpleRNN", "LSTM", "GRU", "Bidirectional")
CLASSES = [*(name for name in SAMPLES if name not in RECURRENT), *RECURRENT]


def title(events: int, command: str, took: str, lacking: list[str]) -> str:
    """What the page says before its table; `lacking` names the classes that are not in it."""
    absent = f"\n\n**Cut short: it lacks {', '.join(lacking)}.** Started again it goes on there." if lacking else ""
    versions = ", ".join(f"{tool.name} {tool.version}" for tool in map(find_tool, TOOLS))
    return f"""# Quantizer kind x layer class x flow

Written by `{command}` on {date.today().isoformat()} ({platform.machine()}, {os.cpu_count()} cores, {versions}); it took
{took}, of which {told(processor_seconds())} of processor time. Every number is counted: the values in which
the firmware differs from Keras in double precision, on {events} events, half of them on ties of the rounding. **0** is
exact. **-** is refused, with the reason below the table. An empty cell: the kind is an activation function, and not for
weights.

`logic`: alkaid's interpreter of the logic that the RTL is written from. `c++`: the project that hls4ml writes,
compiled with g++. `rtl`: the Verilog that alkaid writes, simulated by Verilator. All kinds of a class stand side by
side in one network, each with an output of its own; the seconds are those of a class's network by that flow, with two
projects at a time. In rows of weights the outputs are kept as they are; in rows of outputs the weights have
quantized_bits.{absent}"""


def told(seconds: float) -> str:
    """A time in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def processor_seconds() -> float:
    """What this process and all that it started have used of processors."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _whole(name: str, found: list[matrix_page.Row], flows: list[str]) -> bool:
    return {row.flow for row in found if row.name == name} >= set(flows)


def main() -> int:
    """Do every row, telling each as it is done; 1 where a value differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", default="docs/matrix.md", type=Path)
    parser.add_argument("--classes", default=",".join(CLASSES))
    parser.add_argument("--flows", default=",".join(matrix.FLOWS))
    parser.add_argument("--events", default=256, type=int)
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has kept")
    given = parser.parse_args()
    if given.fresh:
        shutil.rmtree(CACHE, ignore_errors=True)
    kept = " with what earlier runs had kept" if CACHE.exists() else ""
    found: list[matrix_page.Row] = []
    flows = given.flows.split(",")
    command, started = " ".join(["scripts/matrix.py", *sys.argv[1:]]), time.monotonic()
    try:
        for row in matrix.rows(given.classes.split(","), flows, count=given.events, cache=CACHE):
            found.append(row)
            print(f"{row.name}: {row.place}, {row.flow}: "
                  + " ".join(f"{kind} {cell.mark}" for kind, cell in row.cells.items())
                  + (f" ({row.seconds:.0f} s)" if row.seconds is not None else ""), flush=True)
            lacking = [name for name in CLASSES if not _whole(name, found, flows)]
            given.target.write_text(matrix_page.page(
                found, title(given.events, command, told(time.monotonic() - started) + kept, lacking)))
    except QuantiscopeError as error:
        print(error, file=sys.stderr)
        return 1
    print(matrix_page.totals(found))
    return int(any(cell.mismatches for row in found for cell in row.cells.values()))


if __name__ == "__main__":
    sys.exit(main())
