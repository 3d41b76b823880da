"""A cost report for people and programs: plain values, JSON, CSV, and one HTML page, beside a reference."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from core.energy.accumulator import AccumulatorCheck
from core.energy.pricing import CostReport, Row
from core.errors import CostError

PARTS = ("inputs_pj", "parameters_pj", "op_pj", "outputs_pj", "profile_pj")
COLUMNS = ("name", "class_name", "implementation", "op_count", "weight_bits", "bias_bits", "multiplier_bits",
           "accumulator_bits", "output_bits", *PARTS, "parameter_bits", "activation_bits", "ebops", "notes")
_HEADINGS = {
    "name": "layer", "class_name": "class", "implementation": "gate", "op_count": "operations",
    "weight_bits": "weight", "bias_bits": "bias", "multiplier_bits": "product", "accumulator_bits": "sum",
    "output_bits": "output", "inputs_pj": "inputs / pJ", "parameters_pj": "parameters / pJ",
    "op_pj": "operations / pJ", "outputs_pj": "outputs / pJ", "profile_pj": "counted / pJ",
    "parameter_bits": "parameter bits", "activation_bits": "activation bits", "ebops": "EBOPs", "notes": "notes",
}
_STYLE = """body{font:14px system-ui,sans-serif;margin:2em;color-scheme:light dark}
table{border-collapse:collapse}th,td{padding:.2em .6em;border-bottom:1px solid #8886;text-align:right}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2),td:last-child{text-align:left}
tfoot td{font-weight:600}caption{text-align:left;padding:.4em 0}"""


def as_dict(report: CostReport, reference: CostReport | None = None,
            accumulators: Sequence[AccumulatorCheck] = ()) -> dict[str, Any]:
    """The report as plain values; with a reference, "relative" holds each total divided by the reference's.

    Energies in pJ; "parts" sums inputs, parameters, operations, outputs and what is counted of them over the layers;
    "accumulators" holds the given checks (`core.energy.accumulator.check`).
    """
    found: dict[str, Any] = {
        "name": report.name,
        "settings": msgspec.to_builtins(report.settings),
        "totals": totals(report),
        "parts": {part: sum(getattr(row, part) for row in report.rows) for part in PARTS},
        "layers": [row_values(row) for row in report.rows],
        "notes": report.notes,
    }
    if accumulators:
        found["accumulators"] = [sum_values(check) for check in accumulators]
    if reference is not None:
        found["reference"] = {"name": reference.name, "totals": totals(reference)}
        found["relative"] = relative(report, reference)
    return found


def totals(report: CostReport) -> dict[str, float | int]:
    """Energy in pJ, bits and EBOPs of the whole."""
    return {"energy_pj": report.energy_pj, "total_pj": report.total_pj, "parameter_bits": report.parameter_bits,
            "activation_bits": report.activation_bits, "ebops": report.ebops}


def relative(report: CostReport, reference: CostReport) -> dict[str, float | None]:
    """Each total over the reference's; None where the reference has none.

    Raises:
        CostError: the two were priced with different settings.
    """
    if report.settings != reference.settings:
        raise CostError("two prices with different settings cannot be compared",
                        remedy="Price both with the same settings")
    theirs = totals(reference)
    return {name: value / theirs[name] if theirs[name] else None for name, value in totals(report).items()}


def row_values(row: Row) -> dict[str, Any]:
    """One layer as plain values, with the format of each parameter and result spelt out."""
    values = {name: getattr(row, name) for name in COLUMNS}
    values["notes"] = list(row.notes)
    values["inputs"] = [str(kind) for kind in row.inputs]
    values["formats"] = {**{name: str(kind) for name, kind in row.types.items()}, "output": str(row.output)}
    values["gates"] = {
        name: {"implementation": operation.implementation, "gate_bits": operation.gate_bits,
               "gate_factor": operation.gate_factor}
        for name, operation in row.operations.items()}
    return values


def sum_values(check: AccumulatorCheck) -> dict[str, Any]:
    """One accumulator check as plain values, its verdict included."""
    return {**msgspec.to_builtins(check), "overflow": check.overflow, "missing_bits": check.missing_bits,
            "spare_bits": check.spare_bits, "lost_fraction": check.lost_fraction}


def as_json(report: CostReport, reference: CostReport | None = None,
            accumulators: Sequence[AccumulatorCheck] = ()) -> bytes:
    """`as_dict` as indented UTF-8 JSON."""
    return msgspec.json.format(msgspec.json.encode(as_dict(report, reference, accumulators)), indent=2)


def as_csv(report: CostReport) -> str:
    """One line a layer under a line of headings, and one of totals."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in report.rows:
        writer.writerow(_cells(row))
    writer.writerow(_total_cells(report))
    return out.getvalue()


def _cells(row: Row) -> list[Any]:
    cells = [getattr(row, name) for name in COLUMNS[:-1]]
    return [*("" if cell is None else cell for cell in cells), "; ".join(row.notes)]


def _total_cells(report: CostReport) -> list[Any]:
    summed = {part: sum(getattr(row, part) for row in report.rows) for part in PARTS}
    summed |= {"parameter_bits": report.parameter_bits, "activation_bits": report.activation_bits,
               "ebops": report.ebops, "op_count": sum(row.op_count for row in report.rows), "name": "total"}
    return [summed.get(name, "") for name in COLUMNS]


def as_html(report: CostReport, reference: CostReport | None = None,
            accumulators: Sequence[AccumulatorCheck] = ()) -> str:
    """One self-contained page: the layers, the totals, the settings, what is not counted, and accumulator checks."""
    head = "".join(f"<th>{html.escape(_HEADINGS[name])}</th>" for name in COLUMNS)
    body = "".join(_line(_cells(row)) for row in report.rows)
    title = html.escape(f"Cost of {report.name}")
    beside = _beside(report, reference) if reference is not None else ""
    chosen = html.escape(", ".join(f"{key}={value}" for key, value in msgspec.to_builtins(report.settings).items()))
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
            f"<p>{report.energy_pj:,.2f} pJ, {report.parameter_bits:,} parameter bits, "
            f"{report.activation_bits:,} activation bits, {report.ebops:,} EBOPs for one event.</p>{beside}"
            f"<table><caption>Widths in bits</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
            f"<tfoot>{_line(_total_cells(report))}</tfoot></table>{_sums(accumulators)}<p>Settings: {chosen}</p>"
            "</body></html>\n")


def _sums(accumulators: Sequence[AccumulatorCheck]) -> str:
    if not accumulators:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("layer", "sum", "known by", "given", "needed", "verdict"))
    lines = (_line([check.name, check.sum, check.source, check.given_bits, check.needed_bits, _verdict(check)])
             for check in accumulators)
    body = "".join(lines)
    return f"<table><caption>Accumulators</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _verdict(check: AccumulatorCheck) -> str:
    if check.note:
        return check.note
    lost = f", {check.lost_fraction} bits behind the point lost" if check.lost_fraction else ""
    if check.overflow:
        return f"overflows, {check.missing_bits} bits missing{lost}"
    return f"holds, {check.spare_bits} bits spare{lost}"


def _line(cells: list[Any]) -> str:
    shown = (f"{cell:,.2f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
             for cell in cells)
    return "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in shown) + "</tr>"


def _beside(report: CostReport, reference: CostReport) -> str:
    shares = ", ".join(f"{name.replace('_', ' ')} {'no reference' if value is None else f'{value:.1%}'}"
                       for name, value in relative(report, reference).items() if name != "total_pj")
    return f"<p>Of {html.escape(reference.name)}: {html.escape(shares)}.</p>"
