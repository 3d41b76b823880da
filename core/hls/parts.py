"""FPGA parts and what they hold; the table is data with its sources, in resources/devices/parts.json."""

from __future__ import annotations

from functools import lru_cache

import msgspec

import resources
from core.errors import ExportError

DEFAULT_PART = "xcvu9p-flgb2104-2L-e"


class Part(msgspec.Struct, frozen=True):
    """One FPGA. `bram` counts 36 kbit blocks, `slr` the dies it is made of; `source` names its data sheets."""

    name: str
    family: str
    lut: int
    ff: int
    dsp: int
    bram: int
    uram: int = 0
    slr: int = 1
    source: str = ""

    @property
    def dsp_ports(self) -> tuple[int, int]:
        """Widths of the signed factors of one DSP: DSP48E1 of the 7 series (UG479), else DSP48E2 (UG579)."""
        return (25, 18) if self.name.startswith("xc7") else (27, 18)

    def percent(self, **used: int | None) -> dict[str, float]:
        """Share of the part in percent, for what is known: `part.percent(lut=1200, dsp=None)`."""
        return {name: 100.0 * count / getattr(self, name)
                for name, count in used.items() if count is not None and getattr(self, name)}


class _Table(msgspec.Struct, frozen=True):
    source: str
    parts: list[Part]


@lru_cache(maxsize=1)
def _table() -> _Table:
    return msgspec.json.decode(resources.path("devices/parts.json").read_bytes(), type=_Table)


def parts() -> list[Part]:
    """All known parts."""
    return list(_table().parts)


def source() -> str:
    """The data sheets the table was made from."""
    return _table().source


def find_part(name: str) -> Part:
    """The part of that name; raises ExportError naming those that are known."""
    wanted = name.strip().lower()
    for part in _table().parts:
        if part.name.lower() == wanted:
            return part
    raise ExportError(f"the part {name!r} is not in the table",
                      remedy=f"Choose one of: {', '.join(p.name for p in _table().parts)}")
