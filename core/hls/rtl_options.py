"""How RTL is written: language, pipeline and the shape of its adder trees. Needs numpy and alkaid for nothing."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from core.errors import ExportError

LANGUAGES = ("verilog", "vhdl")
#: depth against area in alkaid's solver: extra adder levels allowed; unbounded doubles the latency
DEPTH_LIMIT = 2
#: part of the clock period that a stage may take in alkaid's delay model; leaves room for routing
STAGE_SHARE = 0.8
#: estimated LUT above which the RTL flow asks for the layer kernels instead of one unrolled network
MOST_LUT = 1_200_000


class RtlOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the RTL flow.

    Args:
        language: "verilog" or "vhdl".
        ternary_adders: sums of three in one adder, about a fifth fewer LUT on UltraScale+.
        depth_limit: adder levels above the least that a layer's adder tree may have; -1 is no limit, which saves
            LUT and costs latency.
        stage_ns: longest delay of a pipeline stage in alkaid's model, in ns; None: four fifths of the clock period.
        stages: number of pipeline stages; None: as many as `stage_ns` asks for.
        fast_solver: search the adder trees four times faster, for 3 to 5 % more LUT.
    """

    language: str = "verilog"
    ternary_adders: bool = True
    depth_limit: int = DEPTH_LIMIT
    stage_ns: float | None = None
    stages: int | None = None
    fast_solver: bool = False

    def check(self) -> None:
        """Raise ExportError for a setting that is out of range."""
        if self.language not in LANGUAGES:
            raise ExportError(f"unknown RTL language {self.language!r}", remedy=f"Use {' or '.join(LANGUAGES)}")
        if not -1 <= self.depth_limit <= 32:
            raise ExportError(f"a depth limit of {self.depth_limit} is out of range",
                              remedy="Give 0 to 32 adder levels, or -1 for no limit")
        if self.stage_ns is not None and not 0.5 <= self.stage_ns <= 1000:
            raise ExportError(f"a stage of {self.stage_ns} ns is out of range", remedy="Give 0.5 to 1000 ns")
        if self.stages is not None and not 1 <= self.stages <= 1000:
            raise ExportError(f"{self.stages} pipeline stages are out of range", remedy="Give 1 to 1000 stages")

    def cutoff_ns(self, clock_ns: float) -> float:
        """Longest delay of one stage at that clock period, in ns."""
        return STAGE_SHARE * clock_ns if self.stage_ns is None else self.stage_ns

    def solver(self) -> dict[str, object]:
        """alkaid's options of its search for adder trees."""
        chosen: dict[str, object] = {"hard_dc": self.depth_limit}
        if self.fast_solver:
            chosen |= {"decompose_dc": -1, "search_all_decompose_dc": False}
        return chosen

    @property
    def suffix(self) -> str:
        """Ending of the RTL's files."""
        return "v" if self.language == "verilog" else "vhd"


def parse_options(texts: Iterable[str]) -> RtlOptions:
    """Settings from texts such as "language=vhdl", "ternary_adders=no", "depth_limit=4", "stage_ns=3.5".

    Raises:
        ExportError: a text that is no setting, or a value that is none.
    """
    fields: dict[str, object] = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or name not in RtlOptions.__struct_fields__:
            raise ExportError(f"{text!r} is no setting of the RTL flow",
                              remedy=f"Write NAME=VALUE with one of: {', '.join(RtlOptions.__struct_fields__)}")
        lowered = value.lower()
        fields[name] = {"yes": True, "true": True, "no": False, "false": False, "none": None}.get(lowered, value)
    try:
        options = msgspec.convert(fields, RtlOptions, strict=False)
    except msgspec.ValidationError as error:
        raise ExportError("a setting of the RTL flow cannot be read", str(error),
                          "Write language=vhdl, ternary_adders=no, depth_limit=4 or stage_ns=3.5") from None
    options.check()
    return options
