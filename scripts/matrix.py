"""Writes docs/matrix.md: mismatches of each flow for each quantizer kind on each layer class, by the real tools.

    .venv/bin/python scripts/matrix.py [docs/matrix.md] [--classes Dense,Conv2D] [--tools Dense] [--events 256]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import date
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from core.errors import QuantiscopeError
from core.hls import matrix
from core.hls.tools import find_tool
from core.quant.samples import SAMPLES

TOOLS = ("hls4ml", "g++", "alkaid", "verilator")


def title(events: int, tools: list[str]) -> str:
    """What the page says before its table."""
    versions = ", ".join(f"{tool.name} {tool.version}" for tool in map(find_tool, TOOLS))
    scope = "" if set(tools) >= set(SAMPLES) else f" Done with the tools `c++` and `rtl` this time: {', '.join(tools)}."
    return f"""# Quantizer kind x layer class x flow

Written by `make matrix` on {date.today().isoformat()} ({platform.machine()}, {versions}). Every number is counted: the
values in which the firmware differs from Keras in double precision, on {events} events, half of them on ties of the
rounding. **0** is exact. **-** is refused, with the reason below the table. An empty cell: the kind is an activation
function, and not for weights.

`logic`: alkaid's interpreter of the logic that the RTL is written from. `c++`: the project that hls4ml writes,
compiled with g++. `rtl`: the Verilog that alkaid writes, simulated by Verilator. In the last two the kinds of a row
stand side by side in one network, so the time is that of the row. In rows of weights the outputs are kept as they are;
in rows of outputs the weights have quantized_bits.{scope}"""


def main() -> int:
    """Do every row, telling each as it is done; 1 where a value differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", default="docs/matrix.md", type=Path)
    parser.add_argument("--classes", default=",".join(SAMPLES))
    parser.add_argument("--tools", default="", help="classes to run g++ and Verilator for; all by default")
    parser.add_argument("--events", default=256, type=int)
    given = parser.parse_args()
    classes = given.classes.split(",")
    tools = given.tools.split(",") if given.tools else classes
    found = []
    try:
        for row in (row for name in classes for row in matrix.rows(
                [name], matrix.FLOWS if name in tools else ("logic",), count=given.events)):
            found.append(row)
            print(f"{row.name}: {row.place}, {row.flow}: "
                  + " ".join(f"{kind} {cell.mark}" for kind, cell in row.cells.items()) + f" ({row.seconds:.0f} s)",
                  flush=True)
            given.target.write_text(matrix.page(found, title(given.events, tools)))
    except QuantiscopeError as error:
        print(error, file=sys.stderr)
        return 1
    return int(any(cell.mismatches for row in found for cell in row.cells.values()))


if __name__ == "__main__":
    sys.exit(main())
