"""An export as a document of its own: figures, plots, recipe and provenance in one HTML or PDF file."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import QBuffer, QIODevice, QMarginsF
from PySide6.QtGui import QPageLayout, QPageSize, QPdfWriter, QTextDocument

import core
from app.models import report_rows
from core.candidate import Candidate, Evaluation
from core.errors import ProjectError
from core.files import write_atomically
from core.hls.report import ExportReport

ENDINGS = (".html", ".pdf")
PICTURE_WIDTH = 620
_STYLE = ("body{font-family:sans-serif;font-size:10pt;color:#1b2230;max-width:52em;margin:2em auto}"
          "h1{font-size:17pt}h2{font-size:12pt}table{border-collapse:collapse}"
          "td,th{padding:3px 12px 3px 0;text-align:left}.n{text-align:right}"
          ".good{color:#17713a;font-weight:bold}.bad{color:#b3261e;font-weight:bold}")


def document(report: ExportReport, candidate: Candidate | None, provenance: Mapping[str, str],
             pictures: Mapping[str, bytes]) -> str:
    """The document as HTML with everything inside it.

    Args:
        report: the export.
        candidate: what was exported; None where the project no longer has it.
        provenance: where it comes from, by name: project, model, data and their hashes.
        pictures: PNG files by title.
    """
    text, remark = report_rows.badge(report.exactness)
    good = report.exactness is not None and report.exactness.verified
    parts = [f"<h1>{_safe(report.candidate_id)} on {_safe(report.part)}</h1>",
             f'<p class="{"good" if good else "bad"}">{_safe(text)}</p>', _paragraph(remark),
             "<h2>Latency and resources</h2>", _figures(report), *(_paragraph(line) for line in report.warnings)]
    if candidate is not None:
        parts += ["<h2>Accuracy and costs</h2>", _evaluation(candidate.evaluation), _costs(candidate),
                  "<h2>Quantizers</h2>", _recipe(candidate)]
    for title, content in pictures.items():
        picture = base64.b64encode(content).decode("ascii")
        parts += [f"<h2>{_safe(title)}</h2>",
                  f'<img width="{PICTURE_WIDTH}" alt="{_safe(title)}" src="data:image/png;base64,{picture}">']
    parts += ["<h2>Provenance</h2>", _pairs({**provenance, **_origin(report, candidate)}.items())]
    title = f"{_safe(report.candidate_id)}: firmware report"
    return (f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>")


def save(path: Path, text: str) -> None:
    """Write the document as .html or .pdf (A4), by the file's ending; whole or not at all.

    Raises:
        ProjectError: another ending, or a folder that cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ProjectError(f"a report cannot be saved as {path.name!r}", remedy=f"End it with {' or '.join(ENDINGS)}")
    content = text.encode() if ending == ".html" else _pdf(text)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ProjectError(f"{path} cannot be written", error.strerror or str(error),
                           "Choose a folder that you may write to") from None


def _pdf(text: str) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QPdfWriter(buffer)
    writer.setPageSize(QPageSize(QPageSize.PageSizeId.A4))
    writer.setPageMargins(QMarginsF(16, 16, 16, 16), QPageLayout.Unit.Millimeter)
    writer.setCreator(f"Quantiscope {core.__version__}")
    writer.setTitle("Firmware report")
    page = QTextDocument()
    page.setHtml(text)
    page.print_(writer)
    del writer  # writes the end of the file
    return bytes(buffer.data().data())


def _figures(report: ExportReport) -> str:
    columns = report_rows.columns(report)
    head = ["", *(text for column in columns for text in (column.title, "of the part"))]
    body = [[row.label, *(text for column in columns for text in (
        report_rows.figure(column.figures, row.field)[0], report_rows.share(column.figures, row, report.part)[0]))]
        for row in report_rows.rows(columns)]
    notes = "".join(_paragraph(line) for line in report_rows.source(report).splitlines())
    return _table(head, body) + notes


def _evaluation(found: Evaluation) -> str:
    pairs = {f"{found.metric} ({found.kind}, {found.events:,} events)": f"{found.accuracy:.4f}"}
    for name, area in found.auc.items():
        error = found.auc_error.get(name)
        pairs[f"AUC {name}"] = f"{area:.4f}" + (f" \u00b1 {error:.4f}" if error is not None else "")
    return _pairs({**pairs, **{name: f"{value:.4g}" for name, value in found.figures.items()}}.items())


def _costs(candidate: Candidate) -> str:
    units = {"energy_pj": "Energy (pJ)", "parameter_bits": "Parameter bits", "activation_bits": "Activation bits",
             "ebops": "EBOPs"}
    costs = msgspec.structs.asdict(candidate.costs)
    return _pairs((units.get(name, name), f"{value:,.0f}") for name, value in costs.items() if value is not None)


def _recipe(candidate: Candidate) -> str:
    lines = [[layer, parameter, text or "float"] for layer, recipe in candidate.recipe.layers.items()
             for parameter, text in recipe.quantizers.items()]
    return _table(["Layer", "Parameter", "Quantizer"], lines, numbers=False)


def _origin(report: ExportReport, candidate: Candidate | None) -> dict[str, str]:
    origin = {"exported": report.created, "flow": report.flow, "folder": report.directory,
              **{f"tool {name}": version for name, version in report.tools.items()}}
    if candidate is not None:
        origin |= {"candidate made": candidate.created, "method": candidate.method, "seed": str(candidate.seed),
                   **{f"training: {name}": f"{value:g}" for name, value in candidate.training.items()},
                   **{f"version of {name}": version for name, version in candidate.versions.items()},
                   **{f"SHA-256 of {name}": value for name, value in candidate.hashes.items()}}
    return origin


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return _table([], [[name, value] for name, value in pairs], numbers=False)


def _table(head: Sequence[str], body: Iterable[Sequence[str]], numbers: bool = True) -> str:
    kind = ' class="n" align="right"' if numbers else ""
    cells = "".join(f"<th>{_safe(text)}</th>" for text in head)
    lines = "".join("<tr>" + "".join(f"<td{kind if place else ''}>{_safe(text)}</td>"
                                     for place, text in enumerate(line)) + "</tr>" for line in body)
    return f"<table>{f'<tr>{cells}</tr>' if head else ''}{lines}</table>"


def _paragraph(text: str) -> str:
    return f"<p>{_safe(text)}</p>" if text else ""


def _safe(text: str) -> str:
    return html.escape(str(text))
