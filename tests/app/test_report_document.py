"""A saved report holds every figure of the export, its plots and where they come from."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from app import report_document
from core.candidate import Candidate, Costs, Evaluation
from core.errors import ProjectError
from core.hls.report import Exactness, ExportReport, FlowCheck, SynthesisReport
from core.quant.recipe import LayerRecipe, Recipe


def made() -> tuple[ExportReport, Candidate]:
    synthesis = SynthesisReport(tool="Yosys", tool_version="0.70", stage="synthesis", part="xcvu9p", clock_ns=5.0,
                                latency_cycles=11, latency_ns=55.0, ii=1, dsp=0, lut=18617, ff=12793,
                                percent={"lut": 1.5747})
    hls = SynthesisReport(tool="Vitis HLS", tool_version="2023.2", stage="hls", part="xcvu9p", clock_ns=5.0,
                          latency_cycles=15, lut=31000, slack_ns=-0.25)
    checks = {"rtl": FlowCheck(flow="rtl", events=2000, values=10_000, mismatches=0, seconds=1.0)}
    report = ExportReport(candidate_id="c<7>", flow="both", directory="/tmp/x", part="xcvu9p", clock_ns=5.0,
                          created="2026-01-01T00:00:00Z", synthesis=synthesis, syntheses=[hls, synthesis],
                          exactness=Exactness(events=2000, mismatches=0, flows=checks), tools={"yosys": "0.70"})
    candidate = Candidate(
        id="c<7>", recipe=Recipe(name="r", layers={
            "fc1": LayerRecipe(quantizers={"kernel": "quantized_bits(6,0,alpha=1)"})}),
        evaluation=Evaluation(kind="trained", events=2000, accuracy=0.7512, auc={"top": 0.951},
                              auc_error={"top": 0.0021}),
        costs=Costs(energy_pj=2633.0, parameter_bits=26334, activation_bits=100), versions={"keras": "3.15"},
        hashes={"model": "ab12"}, seed=3)
    return report, candidate


def picture() -> bytes:
    from PySide6.QtCore import QBuffer, QIODevice

    image = QImage(300, 200, QImage.Format.Format_RGB32)
    image.fill(0xff8800)
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(buffer.data().data())


def test_every_figure_is_in_it_and_nothing_is_markup(qapp) -> None:
    text = report_document.document(*made(), {"project": "a & b"}, {"Front": picture()})
    for wanted in ("18,617", "1.57 %", "Vitis HLS, hls", "31,000", "-0.25", "0.7512", "0.9510 ± 0.0021", "26,334",
                   "quantized_bits(6,0,alpha=1)", "ab12", "a &amp; b", "c&lt;7&gt;", "Keras = RTL simulation"):
        assert wanted in text, wanted
    assert "c<7>" not in text and base64.b64encode(picture()).decode() in text


def test_it_is_saved_as_a_page_and_as_a_pdf(qapp, tmp_path: Path) -> None:
    text = report_document.document(*made(), {}, {"Front": picture()})
    report_document.save(tmp_path / "r.html", text)
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == text
    report_document.save(tmp_path / "r.pdf", text)
    content = (tmp_path / "r.pdf").read_bytes()
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF") and b"/Image" in content


def test_what_cannot_be_written_is_said(qapp, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"r\.doc"):
        report_document.save(tmp_path / "r.doc", "x")
    with pytest.raises(ProjectError, match="cannot be written"):
        report_document.save(tmp_path / "no" / "r.html", "x")
