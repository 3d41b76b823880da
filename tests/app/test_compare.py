"""Marking candidates, and the page that shows them side by side, by real clicks and keys."""

from __future__ import annotations

import csv
import io

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication
from PySide6.QtTest import QTest

from app.inspection import MOST, compared_colour
from app.models.comparison import recipe_lines, spread
from app.views.compare_view import CompareView
from app.views.search_page import SearchPage
from core.candidate import Candidate, Costs
from core.hls.report import Exactness, ExportReport, FlowCheck, SynthesisReport
from core.quant.recipe import Recipe, uniform
from tests.app.played import candidate, evaluation, find_candidates, shown

LEFT, CONTROL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier


def of_recipe(number: int, recipe: Recipe, energy: float, accuracy: float) -> Candidate:
    return Candidate(id=f"c{number:04d}", recipe=recipe, evaluation=evaluation(accuracy),
                     costs=Costs(energy_pj=energy, parameter_bits=1000 * number, activation_bits=5, ebops=9000))


@pytest.fixture
def three(played):
    """Six bits; the same with a ternary fc2; four bits."""
    six = uniform(played.info, 6)
    found = [of_recipe(1, six, 2000, 0.74), of_recipe(2, six.with_quantizer("fc2", "kernel", "ternary"), 1500, 0.73),
             of_recipe(3, uniform(played.info, 4), 900, 0.70)]
    find_candidates(played, found)
    return found


def column(table, title: str) -> list[str]:
    """Texts of a line, by its title."""
    model = table.model()
    row = next(row for row in range(model.rowCount()) if model.index(row, 0).data() == title)
    return [model.index(row, number).data() for number in range(1, model.columnCount())]


def test_that_space_and_the_button_mark_candidates_and_the_button_leads_to_them(qtbot, played, three):
    page = shown(qtbot, SearchPage(played), (1300, 800))
    wanted = []
    page.candidates.compareWanted.connect(lambda: wanted.append(played.inspection.compared))
    table = page.candidates.table
    assert not page.candidates.show_compared.isEnabled()
    for row in (0, 1):
        index = table.model().index(row, 1)
        QTest.mouseClick(table.viewport(), LEFT, pos=table.visualRect(index).center())
        QTest.keyClick(table, Qt.Key.Key_Space)
    assert played.inspection.compared == ("c0003", "c0002")
    assert table.model().index(0, 0).data(Qt.ItemDataRole.DecorationRole) == QColor(compared_colour(0))
    QTest.mouseClick(page.candidates.compare, LEFT)
    assert played.inspection.compared == ("c0003",)
    assert page.candidates.compare.text() == "Add to comparison"
    QTest.mouseClick(page.candidates.compare, LEFT)
    QTest.mouseClick(page.candidates.show_compared, LEFT)
    assert wanted == [("c0003", "c0002")]


def test_that_a_seventh_candidate_is_refused_with_a_sentence(qtbot, played):
    find_candidates(played, [candidate(n, 0.6 + n / 100, 1000 + n) for n in range(1, MOST + 2)])
    said = []
    played.noticed.connect(said.append)
    for number in range(1, MOST + 2):
        played.toggle_compared(f"c{number:04d}")
    assert len(played.inspection.compared) == MOST and "c0007" not in played.inspection.compared
    assert said == ["6 candidates are compared already: take one away first."]


def test_that_figures_stand_side_by_side_with_their_ratio_and_the_best_in_bold(qtbot, played, three):
    view = shown(qtbot, CompareView(played), (1300, 800))
    played.inspection.compare(["c0001", "c0003"])
    assert column(view.figure_table, "Accuracy (%)") == ["74.00", "70.00"]
    assert column(view.figure_table, "Energy (pJ)") == ["2\u2009000", "900  (\u221255\u00a0%)"]
    assert column(view.figure_table, "AUC, g") == ["0.9300 \u00b1 0.0020"] * 2
    model = view.figures
    bold = {(model.line(row).title, col) for row in range(model.rowCount()) for col in (1, 2)
            if isinstance(font := model.index(row, col).data(Qt.ItemDataRole.FontRole), QFont) and font.bold()
            and not model.line(row).section}
    assert {("Accuracy (%)", 1), ("Energy (pJ)", 2)} <= bold
    assert not {("AUC, g", 1), ("AUC, g", 2)} & bold


def test_that_rejections_follow_the_working_point(qtbot, played, three):
    view = shown(qtbot, CompareView(played), (1300, 800))
    played.inspection.compare(["c0001", "c0003"])
    view.roc.setFocus()
    QTest.keyClick(view.roc.widget, Qt.Key.Key_PageDown)
    QTest.keyClick(view.roc.widget, Qt.Key.Key_Left)
    assert view.roc.working.value() == pytest.approx(0.69)
    # the curves are x^6, drawn by 50 points
    assert float(column(view.figure_table, "Rejection of the rest, g")[0]) == pytest.approx(0.69**-6, rel=0.01)


def test_that_recipes_show_what_differs_and_nothing_else_on_request(qtbot, played, three):
    view = shown(qtbot, CompareView(played), (1300, 800))
    played.inspection.compare(["c0001", "c0002"])
    rows = view.recipes.rowCount()
    assert column(view.recipe_table, "fc2, kernel") == ["quantized_bits(6,0,alpha=1)", "ternary()"]
    marked = [(view.recipes.line(row).title, col) for row in range(rows) for col in range(3)
              if view.recipes.index(row, col).data(Qt.ItemDataRole.BackgroundRole) is not None]
    assert marked == [("fc2, kernel", 2)]
    QTest.mouseClick(view.only, LEFT, pos=view.only.rect().center())
    if not view.only.isChecked():  # the indicator is at the left end
        view.only.click()
    assert [view.recipes.line(row).title for row in range(view.recipes.rowCount())] == ["fc2, kernel"]


def test_that_units_and_sparsity_are_lines_of_their_own(played, three):
    import msgspec

    wide = msgspec.structs.replace(three[0].recipe.layers["fc1"], units_multiplier=0.5, sparsity=0.25)
    other = msgspec.structs.replace(three[0], recipe=three[0].recipe.with_layer("fc1", wide))
    lines = {line.title: line.texts for line in recipe_lines([three[0], other], played.info.layer_names, True)}
    assert lines == {"fc1, units": ("\u00d7 1", "\u00d7 0.5"), "fc1, zeros": ("0 %", "25 %")}


def test_that_delete_removes_and_copy_gives_numbers(qtbot, played, three):
    view = shown(qtbot, CompareView(played), (1300, 800))
    played.inspection.compare(["c0001", "c0002", "c0003"])
    table = view.figure_table
    table.setFocus()
    table.setCurrentIndex(view.figures.index(1, 2))
    QTest.keyClick(table, Qt.Key.Key_C, CONTROL)
    rows = list(csv.reader(io.StringIO(QGuiApplication.clipboard().text())))
    assert rows[0] == ["", "c0001", "c0002", "c0003"]
    assert next(row for row in rows if row[0] == "Energy (pJ)") == ["Energy (pJ)", "2000", "1500", "900"]
    QTest.keyClick(table, Qt.Key.Key_Delete)
    assert played.inspection.compared == ("c0001", "c0003")


def test_that_exports_of_each_candidate_are_compared(qtbot, played, three):
    view = shown(qtbot, CompareView(played), (1300, 800))
    played.inspection.compare(["c0001", "c0002"])
    check = FlowCheck(flow="rtl", events=100, values=500, mismatches=0, seconds=1.0)
    played._on_exported(ExportReport(
        candidate_id="c0002", flow="rtl", directory="/tmp/x", part="xcvu9p-flgb2104-2L-e", clock_ns=5, created="",
        exactness=Exactness(events=100, mismatches=0, flows={"rtl": check}),
        synthesis=SynthesisReport(tool="Yosys", tool_version="0.70", stage="synthesis", part="p", clock_ns=5,
                                  lut=18617, ff=1200, dsp=0, latency_cycles=11)))
    assert column(view.figure_table, "LUT") == ["\u2013", "18\u2009617"]
    assert column(view.figure_table, "Bit-exact") == ["\u2013", "yes"]


def test_that_curves_of_one_class_are_overlaid_in_the_candidates_colours(qtbot, played, three, tmp_path):
    view = shown(qtbot, CompareView(played), (1300, 800))
    played._on_float_evaluated(evaluation(0.76, "float"))
    played.inspection.compare(["c0001", "c0003"])
    labels = [label.text for _, label in view.roc.legend.items]
    assert [text.partition(":")[0] for text in labels] == ["c0001", "c0003", "float"]
    view.roc.which.setCurrentIndex(1)
    assert view.roc.which.currentData() == "q" and "0.9000 \u00b1 0.0030" in view.roc.legend.items[0][1].text
    pens = [curve.opts["pen"] for curve in view.roc._curves]
    assert [pen.color().name() for pen in pens[:2]] == [compared_colour(0), compared_colour(1)]
    view.roc.save(tmp_path / "roc.csv")
    assert {row["model"] for row in csv.DictReader((tmp_path / "roc.csv").open())} == {"c0001", "c0003", "float"}


def test_that_the_front_can_be_compared_at_once_and_cleared(qtbot, played, three):
    view = shown(qtbot, CompareView(played), (1300, 800))
    view.set_front(["c0003", "c0002", "c0001"])
    QTest.mouseClick(view.from_front, LEFT)
    assert played.inspection.compared == ("c0003", "c0002", "c0001")
    QTest.mouseClick(view.clear, LEFT)
    assert played.inspection.compared == () and view.figures.rowCount() == 0
    assert spread([str(n) for n in range(10)], 4) == ["0", "3", "6", "9"]
