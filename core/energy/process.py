"""Energy of operations and memory accesses in one technology, read from a JSON table.

A table gives polynomials with their units and source (`resources/processes/horowitz45.json`); a user's own
table is a file of the same shape, no code. Every polynomial is cut at zero from below, as in QTools.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import msgspec

from core.errors import CostError

Coefficients = tuple[float, ...]


class Process(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One technology. `operations[number format][implementation]` takes the gate width in bits.

    Number formats are "fixed", "fp16" and "fp32"; `sram_*` takes log2 of the memory's size in bits and gives
    pJ for a word of `sram_word_bits`; `dram_*` takes the bits moved. Coefficients: highest power first.
    """

    name: str
    source: str
    operations: dict[str, dict[str, Coefficients]]
    sram_read: Coefficients
    sram_write: Coefficients
    dram_read: Coefficients
    dram_write: Coefficients
    sram_word_bits: int = 64
    title: str = ""
    units: dict[str, str] = {}
    coefficients: str = ""

    def operation(self, number_format: str, implementation: str, gate_bits: float) -> float:
        """pJ of one operation; raises CostError where the table has no such operation."""
        try:
            table = self.operations[number_format][implementation]
        except KeyError:
            raise CostError(
                f"the process {self.name!r} has no energy for {implementation!r} in {number_format}",
                remedy="Add it to the process table or choose another type",
            ) from None
        return polynomial(table, gate_bits)

    def read(self, bits: float, memory: str, minimum: float, transfer: bool) -> float:
        """pJ to read `bits` from a "dram", "sram" or "fixed" memory of at least `minimum` bits.

        With `transfer`, what comes from DRAM is also written into the SRAM.
        """
        if memory == "sram":
            return self._sram(self.sram_read, bits, minimum)
        if memory == "dram":
            cached = self._sram(self.sram_write, bits, minimum) if transfer else 0.0
            return polynomial(self.dram_read, bits) + cached
        return 0.0

    def write(self, bits: float, memory: str, minimum: float, transfer: bool) -> float:
        """pJ to write `bits`; with `transfer`, what goes to DRAM is read from the SRAM first."""
        if memory == "sram":
            return self._sram(self.sram_write, bits, minimum)
        if memory == "dram":
            cached = self._sram(self.sram_read, bits, minimum) if transfer else 0.0
            return polynomial(self.dram_write, bits) + cached
        return 0.0

    def _sram(self, table: Coefficients, bits: float, minimum: float) -> float:
        size = max(bits, minimum)
        if size <= 0:
            return 0.0
        return math.ceil(bits / self.sram_word_bits) * polynomial(table, math.log2(size))


def polynomial(coefficients: Coefficients, x: float) -> float:
    """Value at x of a polynomial with the highest power first, cut at zero."""
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return max(value, 0.0)


@lru_cache(maxsize=32)
def load_process(name: str) -> Process:
    """The process table of a bundled name ("horowitz45") or of a JSON file's path.

    Raises:
        CostError: there is no such table, or it cannot be read.
    """
    path = _bundled(name) or Path(name)
    try:
        data = path.read_bytes()
    except OSError:
        raise CostError(f"there is no process table {name!r}",
                        remedy=f"Use one of: {', '.join(process_names())}, or the path of a JSON table") from None
    try:
        return msgspec.json.decode(data, type=Process)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CostError(f"the process table {path} cannot be read", str(error),
                        "Start from resources/processes/horowitz45.json") from None


def process_names() -> list[str]:
    """Names of the bundled tables."""
    from resources import path

    return sorted(found.stem for found in path("processes").glob("*.json"))


def _bundled(name: str) -> Path | None:
    from resources import path

    try:
        return path(f"processes/{name}.json")
    except FileNotFoundError:
        return None
