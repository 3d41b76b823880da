"""What the front and ROC plots offer beyond the first look: axes, colours, working point, comparison, filter."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtTest import QTest

from app import theme
from app.models.candidate_filter import parse_filter
from app.models.front_model import FrontModel
from app.models.measures import MEASURES, Known
from app.models.recipe_summary import recipe_lines, short
from app.views.candidate_view import CandidateView
from app.views.pareto_plot import ParetoPlot
from app.views.roc_plot import RocPlot
from core.candidate import Candidate, Costs, Evaluation
from core.errors import SearchError
from core.events import CandidateDone, ProxiesScored
from core.hls.report import ExportReport, SynthesisReport
from core.quant.recipe import Recipe, uniform
from core.requests import Search
from tests.app.played import THREE, candidate, evaluation, find_candidates, pixel, shown

LEFT, CONTROL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier


@pytest.fixture(autouse=True)
def light_again():
    yield
    theme.manager().set_mode("light")


def choose(box, key: str) -> None:
    box.setCurrentIndex(box.findData(key))


def front_of(qtbot, session, found=THREE) -> ParetoPlot:
    plot = shown(qtbot, ParetoPlot(session))
    find_candidates(session, found)
    qtbot.waitUntil(lambda: len(plot.points) == len(found), timeout=3000)
    QTest.qWait(60)
    return plot


# -- front -----------------------------------------------------------------------------------------


def test_that_the_front_of_two_costs_goes_down_and_left():
    model = FrontModel("energy_pj", "parameter_bits")
    for number, (energy, bits) in enumerate([(100, 900), (200, 300), (400, 500), (800, 100)]):
        model.add(Candidate(id=str(number), recipe=Recipe(), evaluation=evaluation(0.5),
                            costs=Costs(energy_pj=energy, parameter_bits=bits, activation_bits=1)))
    assert model.front == ["0", "1", "3"]
    x, y = model.staircase()
    assert [round(10**value) for value in x] == [100, 200, 200, 800, 800]
    assert [round(10**value) for value in y] == [900, 900, 300, 300, 100]


def test_that_a_front_whose_horizontal_is_better_to_the_right_steps_the_other_way():
    model = FrontModel("mean_auc", "accuracy")
    for number, (area, accuracy) in enumerate([(0.9, 0.8), (0.95, 0.6), (0.85, 0.7)]):
        found = Evaluation(kind="trained", events=1, accuracy=accuracy, auc={"a": area})
        model.add(Candidate(id=str(number), recipe=Recipe(), evaluation=found,
                            costs=Costs(energy_pj=1, parameter_bits=1, activation_bits=1)))
    assert model.front == ["0", "1"]
    assert model.staircase() == ([0.9, 0.9, 0.95], [80.0, 60.0, 60.0])


def test_that_any_two_measures_can_be_chosen_and_a_quality_axis_is_linear(qtbot, played):
    plot = front_of(qtbot, played)
    choose(plot.vertical, "activation_bits")
    choose(plot.horizontal, "parameter_bits")
    assert plot.title.text() == "Activation bits against parameter bits"
    assert plot.points.where("c0002") == (pytest.approx(math.log10(20005)), pytest.approx(math.log10(500)))
    assert "Parameter bits (bits)" in plot.item.getAxis("bottom").labelText
    left, bottom = plot.item.getAxis("left"), plot.item.getAxis("bottom")
    assert left.tickStrings([2.0], 1, 1) == ["100"] and bottom.tickStrings([3.0], 1, 1) == ["1\u2009000"]
    choose(plot.vertical, "accuracy")
    assert left.tickStrings([75.0], 1, 5) == ["75"]


def test_that_synthesized_figures_appear_as_soon_as_an_export_tells_them(qtbot, played):
    plot = front_of(qtbot, played)
    choose(plot.horizontal, "syn_lut")
    assert len(plot.points) == 0
    synthesis = SynthesisReport(tool="Yosys", tool_version="", stage="synthesis", part="", clock_ns=5, lut=18617)
    played._on_exported(ExportReport(candidate_id="c0002", flow="rtl", directory="/tmp/x", part="", clock_ns=5,
                                     created="", synthesis=synthesis))
    assert plot.points.ids == ["c0002"] and 10 ** plot.points.x[0] == pytest.approx(18617)


def test_that_points_are_coloured_by_method_with_a_shape_and_a_key_each(qtbot, played):
    import msgspec

    found = [msgspec.structs.replace(one, method=method)
             for one, method in zip(THREE, ("staged", "tpe", "staged", "random"), strict=True)]
    plot = front_of(qtbot, played, found)
    choose(plot.colouring, "method")
    data = plot._layer._bulk.data
    names = [brush.color().name() for brush in data["brush"]]
    series = theme.tokens().series
    assert names == [series[0], series[1], series[0], series[2]]
    assert len(set(data["symbol"])) == 3
    keys = [label.text for _, label in plot.legend.items]
    assert {"Trained, staged", "Trained, tpe", "Trained, random"} <= set(keys)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_that_trial_order_runs_through_shades_that_stand_out_from_the_ground(qtbot, played, mode):
    theme.manager().set_mode(mode)
    many = [candidate(n, 0.5 + n / 100, 1000 + n) for n in range(1, 21)]
    plot = front_of(qtbot, played, many)
    choose(plot.colouring, "order")
    brushes = [brush.color() for brush in plot._layer._bulk.data["brush"]]
    lightness = [colour.lightnessF() for colour in brushes]
    ground = theme.tokens().plot_background
    assert lightness[-1] > lightness[0] + 0.2 and len({colour.name() for colour in brushes}) >= 10
    assert all(contrast(colour.name(), ground) > 1.9 for colour in brushes)
    assert {"Trained, oldest (c0001)", "Trained, newest (c0020)"} <= {label.text for _, label in plot.legend.items}


def contrast(ink: str, ground: str) -> float:
    """Contrast ratio of WCAG 2.1."""
    def luminance(text: str) -> float:
        values = [int(text[place:place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_that_untrained_candidates_are_drawn_hollow_and_never_on_the_front(qtbot, played):
    plot = front_of(qtbot, played, [*THREE, candidate(9, 0.99, 10, kind="post-training")])
    assert "c0009" not in plot.points.front
    assert len(plot._layer._proxies.data) == 1
    assert plot._layer._proxies.opts["brush"].style() == Qt.BrushStyle.NoBrush
    assert any("not trained" in label.text for _, label in plot.legend.items)


def test_that_control_click_and_space_mark_for_comparison_with_a_ring(qtbot, played):
    plot = front_of(qtbot, played)
    at = pixel(plot, math.log10(3000), 60)
    QTest.mouseClick(plot.widget.viewport(), LEFT, CONTROL, pos=at)
    assert played.inspection.compared == ("c0004",) and played.selected_id is None
    plot.setFocus()
    QTest.keyClick(plot.widget, Qt.Key.Key_End)
    QTest.keyClick(plot.widget, Qt.Key.Key_Space)
    assert played.inspection.compared == ("c0004", "c0003")
    assert [name.toPlainText() for name in plot._rings._names] == ["c0004", "c0003"]


def test_that_values_of_every_measure_are_saved(qtbot, played, tmp_path):
    plot = front_of(qtbot, played)
    plot.save(tmp_path / "front.csv")
    row = next(csv.DictReader((tmp_path / "front.csv").open()))
    assert set(MEASURES) <= set(row)
    assert (float(row["ebops"]), row["syn_lut"], row["method"]) == (9000, "", "manual")


def test_that_the_tip_tells_the_recipe_in_short(played):
    recipe = uniform(played.info, 6).with_quantizer("fc2", "kernel", "ternary(alpha='auto_po2')")
    lines = recipe_lines(recipe)
    assert "fc2: kernel ternary, bias bits(6,0)" in lines and "relu1: output relu(6,0)" in lines
    assert short("quantized_po2(4)") == "po2(4)"


def test_that_a_model_judged_by_another_figure_names_its_axis_after_it(qtbot, played):
    found = Evaluation(kind="trained", events=10, accuracy=0.83, auc={}, metric="R2")
    one = Candidate(id="c0001", recipe=Recipe(), evaluation=found,
                    costs=Costs(energy_pj=10, parameter_bits=1, activation_bits=1))
    plot = front_of(qtbot, played, [one])
    choose(plot.vertical, "mean_auc")
    assert len(plot.points) == 0
    choose(plot.vertical, "accuracy")
    assert plot.points.y == [pytest.approx(0.83)] and "R2" in plot.item.getAxis("left").labelText
    assert not plot.points.published()


# -- ROC -------------------------------------------------------------------------------------------


def test_that_the_working_point_is_moved_by_keys_by_number_and_by_dragging(qtbot, played):
    plot = shown(qtbot, RocPlot(played))
    played._on_float_evaluated(evaluation(0.76, "float"))
    plot.setFocus()
    QTest.keyClick(plot.widget, Qt.Key.Key_Right)
    assert played.inspection.working_point == pytest.approx(0.81)
    assert plot.working.value() == pytest.approx(0.81)
    plot.working.setFocus()
    plot.working.selectAll()
    QTest.keyClicks(plot.working, "0.5")
    QTest.keyClick(plot.working, Qt.Key.Key_Return)
    assert plot._cursor.value() == pytest.approx(0.5)
    text = plot.legend.items[0][1].text
    # the curve of g is x^6 in steps of 1/49
    assert float(text.rpartition("rejection ")[2].split()[0]) == pytest.approx(2**6, rel=0.02)
    QTest.qWait(50)  # the legend has made room for itself
    start, end = pixel(plot, 0.5, -1.5), pixel(plot, 0.7, -1.5)
    viewport = plot.widget.viewport()
    QTest.mousePress(viewport, LEFT, pos=start)
    for step in range(1, 9):
        QTest.mouseMove(viewport, start + (end - start) * step / 8)
        QTest.qWait(20)
    QTest.mouseRelease(viewport, LEFT, pos=end)
    assert played.inspection.working_point == pytest.approx(0.7, abs=0.02)


def test_that_one_class_can_be_shown_alone(qtbot, played):
    plot = shown(qtbot, RocPlot(played))
    played._on_float_evaluated(evaluation(0.76, "float"))
    find_candidates(played, THREE)
    played.select_candidate("c0002")
    assert len(plot._curves) == 4
    plot.which.setCurrentIndex(plot.which.findData("q"))
    assert len(plot._curves) == 2
    assert [label.text.partition(":")[0] for _, label in plot.legend.items] == ["c0002", "float"]
    assert "Hanley and McNeil" in plot.legend.items[0][1].toolTip()
    assert plot.readout(QPointF(0.5, math.log10(0.5**6))) == ""  # that is a point of the other class's curve


def test_that_a_perfect_curve_has_an_infinite_rejection(qtbot, played):
    plot = shown(qtbot, RocPlot(played))
    rates = [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]
    played._on_float_evaluated(Evaluation(kind="float", events=10, accuracy=1.0, auc={"a": 1.0}, roc={"a": rates}))
    assert "\u221e" in plot.legend.items[0][1].text


def test_that_a_model_without_classes_says_that_it_has_no_roc(qtbot, played):
    plot = shown(qtbot, RocPlot(played))
    played._on_float_evaluated(Evaluation(kind="float", events=10, accuracy=0.8, auc={}, metric="R2"))
    assert "No ROC" in plot._empty.text() and plot._empty.isVisible()


# -- table -----------------------------------------------------------------------------------------


def ids(view: CandidateView) -> set[str]:
    model = view.table.model()
    return {model.index(row, 0).data() for row in range(model.rowCount())}


@pytest.mark.parametrize(("line", "left"), [
    ("accuracy>=72", {"c0002", "c0003"}), ("acc > 72, energy < 3000", set()),
    ("energy<=3000 accuracy < 70", {"c0001", "c0004"}), ("method=manual", {"c0001", "c0002", "c0003", "c0004"}),
    ("method!=manual", set()), ("c0003", {"c0003"}), ("front", {"c0001", "c0002", "c0003"}), ("compared", {"c0004"}),
    ("ternary", set()), ("syn_lut<5", set()), ("", {"c0001", "c0002", "c0003", "c0004"})])
def test_that_a_typed_filter_leaves_the_right_rows(qtbot, played, line, left):
    view = shown(qtbot, CandidateView(played), (800, 300))
    find_candidates(played, THREE)
    played.inspection.compare(["c0004"])
    view.set_front(["c0001", "c0002", "c0003"])
    QTest.keyClicks(view.filter, line)
    QTest.keyClick(view.filter, Qt.Key.Key_Return)
    assert ids(view) == left
    assert view.count.text() == ("4 candidates" if len(left) == 4 else f"{len(left)} of 4 candidates")


def test_that_a_filter_goes_on_holding_for_what_comes_and_a_wrong_one_is_told(qtbot, played):
    view = shown(qtbot, CandidateView(played), (800, 300))
    QTest.keyClicks(view.filter, "accuracy>70")
    qtbot.waitUntil(lambda: not view._timer.isActive(), timeout=2000)
    find_candidates(played, THREE)
    assert ids(view) == {"c0002", "c0003"}
    QTest.keyClicks(view.filter, " speed>3")
    QTest.keyClick(view.filter, Qt.Key.Key_Return)
    assert view.message.isVisible() and "'speed' cannot be filtered by" in view.message.text()
    assert ids(view) == {"c0002", "c0003"}
    view.filter.clear()
    QTest.keyClick(view.filter, Qt.Key.Key_Return)
    assert not view.message.isVisible() and len(ids(view)) == 4


def test_that_a_filter_looks_into_recipes():
    six = Candidate(id="a", recipe=Recipe().with_quantizer("fc1", "kernel", "quantized_bits(4,0,alpha=1)"),
                    evaluation=evaluation(0.7), costs=Costs(energy_pj=1, parameter_bits=1, activation_bits=1))
    marks = {"front": False, "compared": False}
    for line, expected in (("quantized_bits(4,0,alpha=1)", True), ("bits(4", True), ("ternary", False),
                           ("time<1", True), ("seed=3", False)):
        assert parse_filter(line).takes(six, Known(six.costs, six.evaluation), marks) is expected, line
    with pytest.raises(SearchError, match="is not a number"):
        parse_filter("energy<much")


def test_that_ten_thousand_candidates_are_coloured_and_filtered_within_a_moment(qtbot, played):
    import time

    random = np.random.default_rng(1)
    many = [candidate(n, 0.5 + 0.25 * a, 500 + 9000 * e) for n, (a, e) in enumerate(random.random((10_000, 2)))]
    played.candidates.update({one.id: one for one in many})
    plot, view = shown(qtbot, ParetoPlot(played)), shown(qtbot, CandidateView(played), (800, 300))
    before = time.process_time()
    choose(plot.colouring, "order")
    choose(plot.colouring, "method")
    view.filter.setText("accuracy>70 energy<2000")
    view.filter.returnPressed.emit()
    assert time.process_time() - before < 2.0
    assert 0 < len(ids(view)) < 2000


# -- proxies ---------------------------------------------------------------------------------------


def test_that_proxies_are_drawn_hollow_named_and_can_be_neither_selected_nor_on_the_front(qtbot, played):
    plot = shown(qtbot, ParetoPlot(played))
    assert played.start_search(trials=10)
    job = played.runner.last(Search)
    job.tell(ProxiesScored({"accuracy": [0.3], "energy_pj": [90.0], "loss": [1.0]}))
    qtbot.waitUntil(lambda: plot.box.viewRange()[1][0] < 30, timeout=3000)  # alone, they are all in sight
    job.tell(CandidateDone(candidate(1, 0.70, 2000)))
    qtbot.waitUntil(lambda: plot.box.viewRange()[1][0] > 50, timeout=3000)  # then what is trained sets the range
    job.tell(ProxiesScored({"accuracy": [0.74, 0.6], "energy_pj": [500.0, 4000.0], "loss": [1.0, 2.0]}))
    qtbot.waitUntil(lambda: len(plot._shades.data) == 3 and len(plot.points) == 1, timeout=3000)
    plot.item.setRange(QRectF(2.5, 50, 1.5, 40))
    assert plot.points.front == ["c0001"]  # although a proxy beats it in both
    assert {entry[1].text for entry in plot.legend.items} >= {"Proxies: scored, not trained"}
    assert plot._shades.opts["brush"] is None or plot._shades.opts["brush"].style() == Qt.BrushStyle.NoBrush
    at = QPointF(math.log10(500), 74.0)
    assert plot.readout(at) == "proxy, not trained: 500 pJ, 74 %"
    QTest.mouseClick(plot.widget.viewport(), LEFT, pos=pixel(plot, at.x(), at.y()))
    assert played.selected_id is None
    choose(plot.horizontal, "ebops")  # not known of these
    assert not len(plot._shades.data)
    choose(plot.horizontal, "energy_pj")
    choose(plot.vertical, "error")
    assert sorted(plot._shades.getData()[1]) == pytest.approx([math.log10(26), math.log10(40), math.log10(70)])
    job.succeed([])
    assert played.start_search(trials=10)  # with other weights, the old scores say nothing
    assert not len(plot.proxies) and not len(plot._shades.data)
