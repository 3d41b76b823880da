"""What an export and a synthesis found out; every figure is read from a tool's own output or computed."""

from __future__ import annotations

import msgspec


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """The first value on which two implementations disagree."""

    event: int
    output: int
    expected: float
    found: float
    layer: str = ""
    cause: str = ""


class FlowCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Keras against one implementation ("c++": hls4ml compiled with g++; "rtl": Verilator), value for value."""

    flow: str
    events: int
    values: int
    mismatches: int
    seconds: float
    first: Mismatch | None = None


class Exactness(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of one candidate. `mismatches` sums over the flows; `verified` needs at least one flow."""

    events: int
    mismatches: int
    flows: dict[str, FlowCheck]
    note: str = ""

    @property
    def verified(self) -> bool:
        """True where every flow checked agreed on every value."""
        return bool(self.flows) and self.events > 0 and self.mismatches == 0


class SynthesisReport(msgspec.Struct, frozen=True, kw_only=True):
    """Latency and resources. `stage`: "estimate", "hls", "synthesis" or "implementation".

    Clock in ns, latency in cycles and ns, initiation interval in cycles; `percent` maps "dsp", "lut",
    "ff", "bram" to the share of the part in percent. None: the tool does not tell.
    """

    tool: str
    tool_version: str
    stage: str
    part: str
    clock_ns: float
    latency_cycles: int | None = None
    latency_ns: float | None = None
    ii: int | None = None
    dsp: int | None = None
    lut: int | None = None
    ff: int | None = None
    bram: int | None = None
    percent: dict[str, float] = {}
    seconds: float = 0.0
    note: str = ""


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """One export of one candidate: where it lies, what was proved, what it costs."""

    candidate_id: str
    flow: str
    directory: str
    part: str
    clock_ns: float
    created: str
    exactness: Exactness | None = None
    estimate: SynthesisReport | None = None
    synthesis: SynthesisReport | None = None
    tools: dict[str, str] = {}
    warnings: list[str] = []
