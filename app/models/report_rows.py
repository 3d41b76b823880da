"""What an export found, as texts: one place for the window's table and for the saved report."""

from __future__ import annotations

from dataclasses import dataclass

from core.hls.report import Exactness, ExportReport, SynthesisReport

DASH = "\N{EN DASH}"
FLOWS = {"c++": "C++ emulation", "rtl": "RTL simulation"}
STAGES = {"estimate": "Estimate", "hls": "HLS", "synthesis": "Synthesis", "implementation": "Implementation"}


@dataclass(frozen=True)
class Row:
    """A line: its label, the field of SynthesisReport, whether the part has a number of these.

    A `rare` line is left out where no tool tells it.
    """

    label: str
    field: str
    shared: bool = False
    rare: bool = False


@dataclass(frozen=True)
class Column:
    """Two columns of the table: figures of one tool, and their share of the part."""

    title: str
    figures: SynthesisReport | None


ROWS = (Row("Latency (clock cycles)", "latency_cycles"), Row("Latency (ns)", "latency_ns"),
        Row("Initiation interval (clock cycles)", "ii"), Row("DSP", "dsp", True), Row("LUT", "lut", True),
        Row("FF", "ff", True), Row("BRAM (36 kbit)", "bram", True), Row("URAM", "uram", True, rare=True),
        Row("Timing slack (ns)", "slack_ns", rare=True), Row("Power (W)", "power_w", rare=True))


def columns(report: ExportReport | None) -> list[Column]:
    """The last synthesis first, then earlier ones of other tools and stages, then the estimate."""
    if report is None:
        return [Column("Synthesis", None), Column("Estimate", None)]
    last = report.synthesis
    others = [one for one in report.syntheses if last is None or (one.tool, one.stage) != (last.tool, last.stage)]
    found = [Column(_title(one), one) for one in ([last] if last is not None else []) + others]
    return [*(found or [Column("Synthesis", None)]), Column("Estimate", report.estimate)]


def rows(shown: list[Column]) -> list[Row]:
    """The lines worth showing for these columns."""
    return [row for row in ROWS
            if not row.rare or any(column.figures is not None and getattr(column.figures, row.field) is not None
                                   for column in shown)]


def figure(figures: SynthesisReport | None, field: str) -> tuple[str, str]:
    """(text, tip) of one figure; a dash where the tool does not tell."""
    if figures is None:
        return DASH, "Not computed for this export"
    value = getattr(figures, field)
    if value is None:
        return DASH, f"{figures.tool} does not tell"
    digits = 2 if field in ("slack_ns", "power_w") else 1
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.{digits}f}"
    return text, f"{figures.tool} {figures.tool_version}, {figures.stage}. {figures.note}".strip()


def share(figures: SynthesisReport | None, row: Row, part: str) -> tuple[str, str]:
    """(text, tip) of a figure's share of the part; empty for lines that have none."""
    if not row.shared:
        return "", ""
    found = figures.percent.get(row.field) if figures is not None else None
    if found is None:
        return DASH, "The count or the part's total is not known"
    return f"{found:.2f} %", f"Share of the {row.label} of {part}"


def badge(exactness: Exactness | None) -> tuple[str, str]:
    """The badge's sentence and a remark below it; the sentence alone says what the colour says."""
    if exactness is None or not exactness.flows or not exactness.events:
        return "Not verified: nothing was compared", exactness.note if exactness else ""
    names = ["Keras", *(FLOWS.get(flow, flow) for flow in exactness.flows)]
    if exactness.verified:
        return f"Bit-exact: {' = '.join(names)} on {exactness.events:,} test events", exactness.note
    return f"Not bit-exact: {exactness.mismatches:,} values differ from Keras", _first(exactness)


def source(report: ExportReport | None) -> str:
    """Which candidate, part and tools the figures are of, in a few lines."""
    if report is None:
        return "No export yet: select a candidate and press Generate and synthesize. The proof of bit-exactness," \
               " latency and resources appear here."
    parts = [f"Candidate {report.candidate_id} on {report.part}, {report.clock_ns:g} ns clock."]
    for column in columns(report):
        if column.figures is not None:
            figures = column.figures
            parts.append(f"{column.title}: {figures.tool} {figures.tool_version}. {figures.note}".strip())
    return "\n".join(parts)


def _title(figures: SynthesisReport) -> str:
    return f"{figures.tool}, {STAGES.get(figures.stage, figures.stage).lower()}"


def _first(exactness: Exactness) -> str:
    for flow, check in exactness.flows.items():
        first = check.first
        if first is None:
            continue
        cause = f" ({first.cause})" if first.cause else ""
        layer = f", layer {first.layer}" if first.layer else ""
        return (f"{FLOWS.get(flow, flow)}: {check.mismatches:,} of {check.values:,} values. First: event"
                f" {first.event}, output {first.output}{layer}, expected {first.expected:g},"
                f" found {first.found:g}{cause}.")
    return exactness.note
