"""What an export and a synthesis found out; every figure is read from a tool's own output or computed."""

from __future__ import annotations

import msgspec

#: where the report of an export waits while the candidate is exported again into the same folder
#: said of a synthesis of an export before the last that had other settings
OTHER_SETTINGS = "Of an earlier export with other settings."


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """The first value on which two implementations disagree.

    `layer` is the first layer that differs on this event, `layer_output` the first of its values that does, with what
    Keras gives there and what was found; `cause` the likely reason in words.
    """

    event: int
    output: int
    expected: float
    found: float
    layer: str = ""
    cause: str = ""
    layer_output: int | None = None
    layer_expected: float | None = None
    layer_found: float | None = None


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

    Clock in ns, latency in cycles and ns, initiation interval in cycles; `slack_ns` is what the slowest path leaves
    of the clock period, negative where it does not fit; `power_w` in watts. `lut` counts ALUTs for Altera parts.
    `bram` counts blocks of 36 kbit (a half is one of 18 kbit), or M20K blocks of Altera. `percent` maps "dsp",
    "lut", "ff", "bram", "uram" to the share of the part in percent. `source` is the file it was read from, in the
    export's folder. None: the tool does not tell.
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
    bram: float | None = None
    uram: int | None = None
    slack_ns: float | None = None
    power_w: float | None = None
    percent: dict[str, float] = {}
    seconds: float = 0.0
    note: str = ""
    source: str = ""


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """One export of one candidate: where it lies, what was proved, what it costs.

    `synthesis` is the last one run; `syntheses` keeps the last of each tool and stage.
    """

    candidate_id: str
    flow: str
    directory: str
    part: str
    clock_ns: float
    created: str
    exactness: Exactness | None = None
    estimate: SynthesisReport | None = None
    synthesis: SynthesisReport | None = None
    syntheses: list[SynthesisReport] = []
    tools: dict[str, str] = {}
    warnings: list[str] = []


def with_syntheses(report: ExportReport, found: list[SynthesisReport]) -> ExportReport:
    """The report with these syntheses in it; each takes the place of an older one of its tool and stage."""
    new = {(one.tool, one.stage) for one in found}
    kept = [one for one in report.syntheses if (one.tool, one.stage) not in new]
    last = found[-1] if found else report.synthesis
    return msgspec.structs.replace(report, syntheses=[*kept, *found], synthesis=last)


def with_history(report: ExportReport, earlier: ExportReport | None, same: bool) -> ExportReport:
    """The report of an export made anew, with the syntheses of the one before it that were not done anew.

    `same` tells whether both have the same settings; where not, those syntheses say that they are of other ones.
    """
    if earlier is None:
        return report
    kept = list(earlier.syntheses)
    if not same:
        kept = [msgspec.structs.replace(one, note=f"{one.note.removesuffix(OTHER_SETTINGS).strip()}"
                                                  f" {OTHER_SETTINGS}".strip()) for one in kept]
    last = earlier.synthesis if same else None
    with_old = msgspec.structs.replace(report, syntheses=kept, synthesis=last)
    return with_syntheses(with_old, [] if report.synthesis is None else [report.synthesis])
