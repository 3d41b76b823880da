"""Plots and panels through real clicks and keys, on a real session whose jobs this test plays itself."""

from __future__ import annotations

import csv
import io
import math
import time

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from app import theme
from app.jobs.job import JobState
from app.models.report_rows import DASH, ROWS
from app.views.distribution_plot import DistributionPlot
from app.views.export_panel import ExportPanel
from app.views.front_items import LIVE_POINTS
from app.views.pareto_plot import ParetoPlot
from app.views.plot_base import LogAxis
from app.views.report_view import ReportView
from app.views.roc_plot import RocPlot
from core.errors import ProjectError, ToolFailedError
from core.events import LogLine, Stage
from core.hls.preflight import FAIL, WARN, Finding
from core.hls.report import Exactness, ExportReport, FlowCheck, Mismatch, SynthesisReport
from core.requests import Export, Preflight, Synthesize
from tests.app.played import THREE, candidate, evaluation, find_candidates, pixel, shown


@pytest.fixture
def session(played):
    return played


@pytest.fixture(autouse=True)
def light_again():
    yield
    theme.manager().set_mode("light")


# -- front -----------------------------------------------------------------------------------------


def test_click_on_a_point_selects_its_candidate_and_beside_it_nothing(qtbot, session):
    plot = shown(qtbot, ParetoPlot(session))
    find_candidates(session, THREE)
    qtbot.waitUntil(lambda: len(plot.points) == 4, timeout=2000)
    QTest.qWait(60)
    QTest.mouseClick(plot.widget.viewport(), Qt.MouseButton.LeftButton, pos=pixel(plot, math.log10(3000), 60))
    assert session.selected_id == "c0004"
    between = pixel(plot, math.log10(1300), 62)
    QTest.mouseClick(plot.widget.viewport(), Qt.MouseButton.LeftButton, pos=between)
    assert session.selected_id == "c0004"


def test_arrow_keys_walk_along_the_front(qtbot, session):
    plot = shown(qtbot, ParetoPlot(session))
    find_candidates(session, THREE)
    qtbot.waitUntil(lambda: len(plot.points) == 4, timeout=2000)
    plot.setFocus()
    walked = []
    right, left, home = Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Home
    for key in (right, right, right, right, left, home):
        QTest.keyClick(plot.widget, key)
        walked.append(session.selected_id)
    assert walked == ["c0001", "c0002", "c0003", "c0003", "c0002", "c0001"]


def test_values_under_the_pointer_are_the_candidates(qtbot, session):
    plot = shown(qtbot, ParetoPlot(session))
    find_candidates(session, THREE)
    qtbot.waitUntil(lambda: len(plot.points) == 4, timeout=2000)
    text = plot.readout(QPointF(math.log10(2000.5), 72))
    assert "c0002" in text and "72.00\u00a0%" in text
    assert "c0002" not in plot.readout(QPointF(math.log10(1300), 62))


def test_csv_holds_true_values_of_every_candidate(qtbot, session, tmp_path):
    plot = shown(qtbot, ParetoPlot(session))
    find_candidates(session, THREE)
    qtbot.waitUntil(lambda: len(plot.points) == 4, timeout=2000)
    plot.save(tmp_path / "front.csv")
    rows = list(csv.DictReader((tmp_path / "front.csv").open()))
    assert [(row["candidate"], float(row["energy_pj"]), float(row["accuracy"])) for row in rows] == [
        (c.id, c.costs.energy_pj, c.evaluation.accuracy) for c in THREE]
    assert [row["on_front"] for row in rows] == ["True", "True", "True", "False"]
    QTest.keyClick(plot.widget, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert list(csv.DictReader(io.StringIO(QGuiApplication.clipboard().text()))) == rows


def test_other_axes_move_the_points_and_their_labels(qtbot, session):
    plot = shown(qtbot, ParetoPlot(session))
    find_candidates(session, THREE)
    qtbot.waitUntil(lambda: len(plot.points) == 4, timeout=2000)
    plot.horizontal.setCurrentIndex(plot.horizontal.findData("parameter_bits"))
    assert plot.points.where("c0002")[0] == pytest.approx(math.log10(20005))
    assert "Parameter bits" in plot.item.getAxis("bottom").labelText
    plot.vertical.setCurrentIndex(plot.vertical.findData("mean_auc"))
    assert plot.points.where("c0002")[1] == pytest.approx(0.915)


def test_published_points_are_drawn_with_their_source(qtbot, session):
    plot = shown(qtbot, ParetoPlot(session))
    assert not len(plot._papers.data)
    plot.published.click()
    drawn = {name.toPlainText(): int(10**x + 1e-6)
             for name, x in zip(plot._names, plot._papers.data["x"], strict=True)}
    assert drawn == {"BF": 7004, "Q6": 2633, "QE": 948, "QB": 912}
    assert any("Nat. Mach. Intell." in label.text for _, label in plot.legend.items)


def test_log_axis_labels_are_true_values(qtbot):
    axis = LogAxis("bottom")
    for low, high in ((2.0, 4.5), (3.1, 3.4), (3.30, 3.32), (-3.0, 0.0)):
        ticks = [value for _, values in axis.tickValues(low, high, 500) for value in values]
        assert len(ticks) >= 2
        texts = axis.tickStrings(ticks, 1, 1)
        assert [float(text.replace("\u2009", "")) for text in texts] == pytest.approx([10**v for v in ticks], rel=1e-3)


def test_ten_thousand_candidates_keep_the_window_alive(qtbot, session):
    plot = shown(qtbot, ParetoPlot(session))
    random = np.random.default_rng(1)
    many = [candidate(n, 0.5 + 0.25 * a, 500 + 9000 * e) for n, (a, e) in enumerate(random.random((10_000, 2)))]
    session.candidates.update({one.id: one for one in many[:9000]})
    session.projectChanged.emit()
    gaps = []
    for start in range(9000, 10_000, 50):
        for one in many[start:start + 50]:
            session._on_candidate(one)
        before = time.process_time()
        QTest.qWait(55)
        gaps.append(time.process_time() - before)
    qtbot.waitUntil(lambda: len(plot.points) == 10_000, timeout=3000)
    qtbot.waitUntil(lambda: len(plot._layer.live.data) <= LIVE_POINTS, timeout=5000)
    assert np.median(gaps) < 0.25
    best = max(many, key=lambda one: one.evaluation.accuracy)
    assert best.id in plot.points.front


def test_an_empty_plot_says_why_and_has_labelled_axes(qtbot, session):
    values = shown(qtbot, DistributionPlot(session))
    values.show_quantizer("relu1", "output")
    for plot in (shown(qtbot, ParetoPlot(session)), shown(qtbot, RocPlot(session)), values):
        message = plot.findChild(QLabel, f"{plot.objectName()}_empty")
        assert message.isVisible() and len(message.text()) > 20
        assert plot.item.getAxis("bottom").labelText and plot.item.getAxis("left").labelText


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_saved_pictures_show_what_the_screen_shows(qtbot, session, tmp_path, mode):
    theme.manager().set_mode(mode)
    plot = shown(qtbot, ParetoPlot(session))
    find_candidates(session, THREE)
    qtbot.waitUntil(lambda: len(plot.points) == 4, timeout=2000)
    QTest.qWait(80)
    plot.save(tmp_path / "front.png")
    plot.save(tmp_path / "front.svg")
    png = QImage(str(tmp_path / "front.png"))
    svg = QImage(plot.picture().size(), QImage.Format.Format_ARGB32)
    svg.fill(0)
    from PySide6.QtGui import QPainter
    painter = QPainter(svg)
    QSvgRenderer(str(tmp_path / "front.svg")).render(painter)
    painter.end()
    colour = QColor(theme.tokens().series[0])
    for image, scale in ((png, png.width() / plot.widget.width()), (svg, 1.0)):
        for one in THREE:
            at = pixel(plot, math.log10(one.costs.energy_pj), 100 * one.evaluation.accuracy)
            found = image.pixelColor(int(at.x() * scale), int((at.y() + 30) * scale))
            assert abs(found.hue() - colour.hue()) < 12, (mode, one.id, found.name())
        box = plot.box.sceneBoundingRect()
        below = [image.pixelColor(int((box.left() + 0.95 * box.width()) * scale), int((box.bottom() + 30) * scale) + dy)
                 for dy in range(-2, 3)]
        ink = QColor(theme.tokens().plot_foreground)
        assert min(abs(found.lightness() - ink.lightness()) for found in below) < 40, "the axis ends too early"


def test_a_picture_that_cannot_be_written_is_an_error_with_a_remedy(qtbot, session, tmp_path):
    plot = shown(qtbot, ParetoPlot(session))
    with pytest.raises(ProjectError, match="Choose a folder"):
        plot.save(tmp_path / "missing" / "front.png")
    with pytest.raises(ProjectError, match="bmp"):
        plot.save(tmp_path / "front.bmp")


# -- ROC and distribution --------------------------------------------------------------------------


def test_roc_of_the_selected_candidate_beside_the_float_model(qtbot, session, tmp_path):
    plot = shown(qtbot, RocPlot(session))
    session._on_float_evaluated(evaluation(0.76, "float"))
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    assert "c0002" in plot.title.text() and "float" in plot.title.text()
    legend = [label.text for _, label in plot.legend.items]
    assert any("0.9300" in text and "0.0020" in text for text in legend)
    plot.save(tmp_path / "roc.csv")
    rows = list(csv.DictReader((tmp_path / "roc.csv").open()))
    assert {row["model"] for row in rows} == {"c0002", "float"}
    efficiencies = [float(row["signal_efficiency"]) for row in rows if row["model"] == "float" and row["class"] == "q"]
    assert efficiencies == pytest.approx(np.linspace(0, 1, 50))
    text = plot.readout(QPointF(0.5, math.log10(0.5**6)))
    assert "g (c0002)" in text and "signal efficiency 0.500" in text
    assert float(text.rpartition(" ")[2]) == pytest.approx(2**6, rel=0.02)


def test_roc_of_the_recipe_stays_when_a_candidate_is_selected(qtbot, session):
    plot = shown(qtbot, RocPlot(session, of_recipe=True))
    session._on_float_evaluated(evaluation(0.76, "float"))
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    assert "c0002" not in plot.title.text()


def test_distribution_follows_the_quantizer_of_the_table(qtbot, session):
    plot = shown(qtbot, DistributionPlot(session))
    plot.show_quantizer("fc2", "kernel")
    assert "64" in plot.summary.text()
    session.set_quantizers({("fc2", "kernel"): "quantized_bits(3,0,alpha=1)"})
    assert " of 8" in plot.summary.text()
    session.undo_stack.undo()
    assert " of 64" in plot.summary.text()
    assert sum(row[2] for row in plot.table().rows) == 64 * 32


# -- export ----------------------------------------------------------------------------------------


def click(panel, name: str) -> None:
    QTest.mouseClick(panel.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def report(mismatches: int = 0) -> ExportReport:
    first = Mismatch(event=17, output=2, expected=0.5, found=0.25) if mismatches else None
    checks = {"c++": FlowCheck(flow="c++", events=2000, values=10_000, mismatches=0, seconds=1.0),
              "rtl": FlowCheck(flow="rtl", events=2000, values=10_000, mismatches=mismatches, seconds=1.0, first=first)}
    return ExportReport(
        candidate_id="c0002", flow="both", directory="/tmp", part="xcvu9p-flgb2104-2L-e", clock_ns=5.0, created="",
        exactness=Exactness(events=2000, mismatches=mismatches, flows=checks),
        synthesis=SynthesisReport(tool="Yosys", tool_version="0.70", stage="synthesis", part="xcvu9p-flgb2104-2L-e",
                                  clock_ns=5.0, latency_cycles=11, latency_ns=55.0, ii=1, dsp=0, lut=18617, ff=12793,
                                  percent={"dsp": 0.0, "lut": 1.5747, "ff": 0.541}))


def cell(view: ReportView, label: str, column: int) -> str:
    return view.table.item(next(n for n, row in enumerate(ROWS) if row.label.startswith(label)), column).text()


def test_report_shows_the_values_of_the_tools(qtbot):
    view = shown(qtbot, ReportView())
    view.show_report(report())
    assert "Keras = C++ emulation = RTL simulation on 2,000 test events" in view.badge_text.text()
    assert view.badge.property("role") == "badge-good"
    assert [cell(view, label, 1) for label in ("Latency (clock", "Latency (ns)", "Init", "DSP", "LUT", "FF")] == [
        "11", "55", "1", "0", "18,617", "12,793"]
    assert [cell(view, label, 2) for label in ("DSP", "LUT", "FF")] == ["0.00 %", "1.57 %", "0.54 %"]
    assert cell(view, "BRAM", 1) == DASH and cell(view, "LUT", 3) == DASH
    assert "Yosys does not tell" in view.table.item(6, 1).toolTip()


def test_report_is_red_and_says_where_for_a_mismatch(qtbot):
    view = shown(qtbot, ReportView())
    view.show_report(report(mismatches=3))
    assert view.badge.property("role") == "badge-bad"
    assert "Not bit-exact: 3 values" in view.badge_text.text()
    assert "event 17, output 2" in view.note.text() and view.note.isVisible()


def test_report_without_any_comparison_is_not_green(qtbot):
    view = shown(qtbot, ReportView())
    view.show_report(ExportReport(candidate_id="c", flow="rtl", directory="/tmp", part="p", clock_ns=5, created="",
                                  exactness=Exactness(events=0, mismatches=0, flows={})))
    assert view.badge.property("role") == "badge-bad" and "Not verified" in view.badge_text.text()


def test_generate_exports_the_selected_candidate_and_shows_log_and_report(qtbot, session):
    panel = shown(qtbot, ExportPanel(session), (1000, 700))
    assert not panel.start.isEnabled()
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    panel.clock.setValue(2.5)
    assert panel.start.isEnabled(), panel.tools.text()
    click(panel, "export_start")
    job = session.runner.last(Export)
    assert (job.request.candidate_id, job.request.clock_ns, job.request.flow) == ("c0002", 2.5, "both")
    job.tell(Stage("c++ emulation"))
    job.tell(LogLine("compiling", source="g++"))
    job.tell(LogLine("Error: no such file", "error", "g++"))
    panel.log.lines.flush()
    assert "g++: compiling" in panel.log.lines.text()
    rows = range(panel.log.lines.rowCount())
    inks = {panel.log.lines.index(row).data(): panel.log.lines.index(row).data(Qt.ItemDataRole.ForegroundRole)
            for row in rows}
    assert inks["g++: Error: no such file"] == QColor(theme.tokens().danger) and inks["g++: compiling"] is None
    job.succeed(report())
    assert "18,617" in [cell(panel.report, "LUT", 1)] and panel.start.isEnabled() and not panel.bar.isVisible()


def test_log_follows_its_end_until_the_user_scrolls_up(qtbot, session):
    panel = shown(qtbot, ExportPanel(session), (1000, 700))
    bar = panel.log.list.verticalScrollBar()
    for burst in range(6):
        for number in range(200):
            panel.log.lines.add(LogLine(f"line {burst} {number}"))
        QTest.qWait(130)
    assert bar.maximum() > 500 and bar.value() == bar.maximum()
    bar.setValue(100)
    panel.log.lines.add(LogLine("one more"))
    QTest.qWait(150)
    assert bar.value() == 100


def test_cancel_asks_the_export_to_end_and_a_failure_is_in_the_log(qtbot, session):
    panel = shown(qtbot, ExportPanel(session), (1000, 700))
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    click(panel, "export_start")
    job = session.runner.last(Export)
    click(panel, "export_cancel")
    assert job.state is JobState.CANCELLING and not panel.cancel.isEnabled()
    job.give_up()
    assert panel.start.isEnabled() and "Cancelled" in panel.log.lines.text()
    click(panel, "export_start")
    session.runner.last(Export).fail(ToolFailedError("yosys ended with an error", "out of memory", "Close programs"))
    assert "out of memory. Close programs" in panel.log.lines.text()


def test_a_missing_tool_is_named_with_the_command_that_installs_it(qtbot, session, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    panel = shown(qtbot, ExportPanel(session), (1000, 700))
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    assert "g++ is missing" in panel.tools.text() and "apt-get install -y g++" in panel.tools.text()
    assert not panel.start.isEnabled()


def test_settings_of_the_flows_reach_the_export(qtbot, session):
    panel = shown(qtbot, ExportPanel(session), (1000, 900))
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    QTest.keyClicks(panel.rtl.language, "VHDL")
    panel.tabs.setCurrentWidget(panel.hls4ml)
    QTest.keyClicks(panel.hls4ml.backend, "Quartus")
    assert panel.hls4ml.strategy.findText("distributed_arithmetic") < 0 and "Intel HLS" in panel.hls4ml.note.text()
    QTest.keyClicks(panel.hls4ml.io_type, "io_s")
    panel.hls4ml.layers.cellWidget(0, 2).setValue(4)
    click(panel, "export_start")
    request = session.runner.last(Export).request
    assert request.rtl.language == "vhdl"
    assert (request.hls4ml.backend, request.hls4ml.io_type) == ("Quartus", "io_stream")
    assert list(request.hls4ml.layer_reuse.values()) == [4]
    request.hls4ml.check()


def test_another_tool_synthesizes_on_a_build_host(qtbot, session):
    panel = shown(qtbot, ExportPanel(session), (1000, 900))
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    panel.tabs.setCurrentWidget(panel.synthesis)
    assert not panel.synthesis.host.isEnabled()
    QTest.keyClicks(panel.synthesis.tool, "Vitis")
    QTest.keyClicks(panel.synthesis.host, "build01")
    click(panel, "export_start")
    options = session.runner.last(Synthesize).request.options
    assert (options.tool, options.host) == ("vitis", "build01")
    options.check()


def test_every_export_can_be_looked_at_again(qtbot, session):
    panel = shown(qtbot, ExportPanel(session), (1000, 900))
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    click(panel, "export_start")
    job = session.runner.last(Export)
    job.succeed(msgspec.structs.replace(report(), created="2026-01-01T10:00:00Z", directory="/tmp/a"))
    click(panel, "export_start")
    session.runner.last(Export).succeed(
        msgspec.structs.replace(report(mismatches=2), created="2026-01-02T10:00:00Z", directory="/tmp/b"))
    assert panel.history.count() == 2 and "not verified" in panel.history.itemText(0)
    QTest.keyClick(panel.history, Qt.Key.Key_Down)
    assert panel.report.badge.property("role") == "badge-good" and panel.report.report.directory == "/tmp/a"


def test_what_an_export_would_meet_is_told_with_remedies_and_a_fault_forbids_it(qtbot, session):
    panel = shown(qtbot, ExportPanel(session), (1000, 900))
    assert "Select a candidate" in panel.preflight.label.text()
    find_candidates(session, THREE)
    session.select_candidate("c0002")
    qtbot.waitUntil(lambda: any(isinstance(job.request, Preflight) for job in session.runner.jobs), timeout=3000)
    job = session.runner.last(Preflight)
    assert job.request.export.candidate_id == "c0002" and job.request.export.clock_ns == panel.clock.value()
    assert panel.start.isEnabled() and "Looking" in panel.preflight.label.text()
    panel.clock.setValue(0.7)  # before the answer: it belongs to another clock
    job.succeed([Finding(subject="tool", what="g++ 12")])
    assert panel.check.findings is None
    qtbot.waitUntil(lambda: session.runner.last(Preflight) is not job, timeout=3000)
    session.runner.last(Preflight).succeed([
        Finding(subject="tool", what="g++ 12"), Finding(subject="part", what="a part"),
        Finding(subject="precision", what="fc1 wraps <around>", state=WARN, remedy="Widen it"),
        Finding(subject="network", what="it does not fit", state=FAIL, remedy="Prune it")])
    text = panel.preflight.label.text()
    places = [text.index(part) for part in ("It does not fit", "Fc1 wraps &lt;around&gt;", "2 checks passed: g++ 12")]
    assert places == sorted(places)
    assert "<i>Prune it</i>" in text and "<i>Widen it</i>" in text
    assert not panel.start.isEnabled() and not panel.tools.isVisible()
    panel.clock.setValue(5.0)
    qtbot.waitUntil(lambda: session.runner.last(Preflight).request.export.clock_ns == 5.0, timeout=3000)
    session.runner.last(Preflight).fail(ToolFailedError("the worker is busy", "a search runs"))
    assert "the worker is busy" in panel.preflight.label.text() and panel.start.isEnabled()
