"""The Layers page through real clicks and keys, on a real session whose jobs this test plays itself."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit

from app import theme
from app.models.layer_table import DETAIL_ROLE
from core.candidate import Candidate
from core.energy import accumulator
from core.energy.settings import corrected
from core.model_io import read_weights
from core.project import Project
from core.quant.edits import SPARSITY, UNITS
from core.quant.quantizers import Quantizer
from core.quant.recipe import uniform
from tests.app.layer_tools import CONTROL, answer_all, cell, choose, column, evaluation, field, settle

# -- what is shown -----------------------------------------------------------------------------------


def test_accumulators_are_those_of_the_exact_check(page, played):
    recipe, weights = played.recipe, read_weights(played.project.model_path)
    quantized = {layer: {p: Quantizer(recipe.spec(layer, p))(v) for p, v in held.items()}
                 for layer, held in weights.items()}
    checks = {c.name: c for c in accumulator.check(played.info, recipe, quantized, corrected())}
    assert set(checks) == {"fc1", "fc2", "fc3", "output"}
    layers = page.table.layers
    for name, check in checks.items():
        index = layers.index(layers.row_of(name), column(page, "Accumulator"))
        assert index.data() == f"ap_fixed<{check.given_bits},{check.given_integer + 1}>"
        assert index.data(DETAIL_ROLE) == f"\u2713 fits, {check.spare_bits} spare"
        assert "exact for these weights" in index.data(Qt.ItemDataRole.ToolTipRole)


def test_an_accumulator_that_cuts_bits_is_marked_and_coloured(page, played):
    layers = page.table.layers
    index = layers.index(layers.row_of("fc1"), column(page, "Accumulator"))
    played.apply_preset(next(p.recipe for p in played.presets() if p.title == "QE quantizers"))
    settle(page, played)
    assert layers.sums("fc1")[0].lost_fraction > 0
    assert index.data(DETAIL_ROLE) == f"\u26a0 cuts {layers.sums('fc1')[0].lost_fraction} fraction bits"
    assert index.data(Qt.ItemDataRole.ForegroundRole).name() == theme.tokens().warning


def test_every_tensor_says_its_precision_and_where_it_came_from(page, played):
    def detail(layer, parameter):
        settle(page, played)
        return cell(page, layer, parameter).data(DETAIL_ROLE)

    assert detail("fc2", "kernel") == "ap_fixed<6,1> \u00b7 default"
    assert detail("fc2", "output").endswith("inherited")
    assert cell(page, "fc2", "output").data() == "unrounded"
    played.set_quantizers({("fc2", "kernel"): "ternary()"})
    assert detail("fc2", "kernel") == "\u22121/0/1 \u00d7 2^n, 2 bit \u00b7 set"
    played.set_quantizers({("fc2", "bias"): None})
    assert detail("fc2", "bias") == "float32 \u00b7 set"
    played.apply_preset(uniform(played.info, 4))
    assert detail("fc2", "kernel") == "ap_fixed<4,1> \u00b7 preset"
    assert "preset: Q4" in cell(page, "fc2", "kernel").data(Qt.ItemDataRole.ToolTipRole)
    found = Candidate(id="c0007", recipe=uniform(played.info, 5), evaluation=evaluation("accuracy", 0.7),
                      costs=played.report.costs)
    played.candidates["c0007"] = found
    played.apply_candidate("c0007")
    assert detail("fc2", "kernel") == "ap_fixed<5,1> \u00b7 search"
    for _ in range(4):
        played.undo_stack.undo()
    assert detail("fc2", "kernel") == "ap_fixed<6,1> \u00b7 default"


def test_origins_are_found_again_unless_the_recipe_changed_elsewhere(page, played):
    folder = played.project.folder
    played.set_quantizers({("fc1", "kernel"): "quantized_bits(5,0,alpha=1)", ("fc2", "kernel"): "binary()"})
    assert played.open_project(folder)
    assert {key: origin.kind for key, origin in played.origins.items()} == {
        ("fc1", "kernel"): "set", ("fc2", "kernel"): "set"}
    recipe = played.recipe.with_quantizer("fc2", "kernel", "ternary()")
    played.close()
    with Project.open(folder) as project:
        project.save_recipe(recipe)
    assert played.open_project(folder)
    assert set(played.origins) == {("fc1", "kernel")}


@pytest.mark.parametrize(("metric", "title", "figure", "remark"), [
    ("accuracy", "Accuracy without training", "71.25 %", "\u22121.00 points against float"),
    ("AUC", "AUC without training", "0.7125", "\u22120.0100 against float"),
    ("R2", "R\u00b2 without training", "0.7125", "\u22120.0100 against float")])
def test_cards_name_the_figure_of_merit_of_the_task(page, played, metric, title, figure, remark):
    played._on_float_evaluated(evaluation(metric, 0.7225))
    answer_all(played, evaluation(metric, 0.7125))
    texts = [page.findChild(QLabel, f"accuracy_{part}").text() for part in ("title", "figure", "remark")]
    assert texts == [title, figure, remark]
    assert page.findChild(QLabel, "float_title").text() == title.replace("without training", "in float")


# -- editing -----------------------------------------------------------------------------------------


def test_a_spin_box_turned_changes_its_argument_in_all_chosen_cells_as_one_step(page, played):
    played.set_quantizers({("fc2", "kernel"): "quantized_bits(6,2,alpha=1)"})
    played.undo_stack.clear()
    choose(page, ("fc1", "kernel"), ("fc2", "kernel"), ("relu1", "output"))
    bits = field(page, "bits")
    bits.setFocus()
    for _ in range(3):
        QTest.keyClick(bits, Qt.Key.Key_Up)
    texts = [played.recipe.text(*key) for key in (("fc1", "kernel"), ("fc2", "kernel"), ("relu1", "output"))]
    assert texts == ["quantized_bits(9,0,alpha=1)", "quantized_bits(9,2,alpha=1)", "quantized_relu(9,0)"]
    assert played.recipe.text("fc3", "kernel") == "quantized_bits(6,0,alpha=1)"
    assert played.undo_stack.count() == 1 and played.undo_stack.undoText() == "set 3 quantizers"
    integer = field(page, "integer")
    integer.setFocus()
    QTest.keyClick(integer, Qt.Key.Key_Up)
    assert played.undo_stack.count() == 2
    played.undo_stack.undo()
    played.undo_stack.undo()
    assert played.recipe.text("fc1", "kernel") == "quantized_bits(6,0,alpha=1)"
    assert field(page, "bits").value() == 6


def test_turning_back_leaves_nothing_to_undo(page, played):
    choose(page, ("fc1", "kernel"))
    bits = field(page, "bits")
    bits.setFocus()
    QTest.keyClick(bits, Qt.Key.Key_Up)
    QTest.keyClick(bits, Qt.Key.Key_Down)
    assert not played.undo_stack.canUndo()


def test_boxes_and_words_of_the_form_edit_the_quantizer(page, played):
    choose(page, ("fc3", "kernel"))
    check = field(page, "symmetric", QCheckBox)
    QTest.mouseClick(check, Qt.MouseButton.LeftButton, pos=QPoint(8, check.height() // 2))
    assert played.recipe.text("fc3", "kernel") == "quantized_bits(6,0,1,alpha=1)"
    check = field(page, "keep_negative", QCheckBox)
    QTest.mouseClick(check, Qt.MouseButton.LeftButton, pos=QPoint(8, check.height() // 2))
    assert played.recipe.spec("fc3", "kernel")["keep_negative"] is False
    line = field(page, "alpha", QComboBox).lineEdit()
    line.setFocus()
    line.selectAll()
    QTest.keyClicks(line, "auto_po2")
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert played.recipe.spec("fc3", "kernel")["alpha"] == "auto_po2"
    line.selectAll()
    QTest.keyClicks(line, "wide")
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert "cannot have alpha='wide'" in page.message.text() and page.message.isVisible()
    assert played.recipe.spec("fc3", "kernel")["alpha"] == "auto_po2"
    assert line.text() == "auto_po2"


def test_another_kind_keeps_the_width_and_float_takes_the_arguments_away(page, played):
    choose(page, ("fc2", "kernel"))
    kind = field(page, "kind", QComboBox)

    def pick(name):
        kind.setFocus()
        kind.setCurrentText(name)
        kind.activated.emit(kind.currentIndex())

    pick("quantized_po2")
    assert played.recipe.text("fc2", "kernel") == "quantized_po2(6)"
    assert set(page.form.fields) >= {"bits", "max_value"} and "integer" not in page.form.fields
    pick("float")
    assert played.recipe.text("fc2", "kernel") is None
    assert not page.form.fields
    pick("quantized_bits")
    assert played.recipe.text("fc2", "kernel") == "quantized_bits(8,0,alpha=1)"


def test_filling_down_by_keys(page, played):
    choose(page, ("fc1", "kernel"), ("fc2", "kernel"), ("fc3", "kernel"))
    played.set_quantizers({("fc1", "kernel"): "ternary()"})
    QTest.keyClick(page.table, Qt.Key.Key_D, CONTROL)
    assert [played.recipe.text(layer, "kernel") for layer in ("fc2", "fc3", "output")] == [
        "ternary()", "ternary()", "quantized_bits(6,0,alpha=1)"]
    assert played.undo_stack.undoText() == "fill 2 cells"
    choose(page, ("output", "kernel"))
    QTest.keyClick(page.table, Qt.Key.Key_D, CONTROL)
    assert played.recipe.text("output", "kernel") == "ternary()"
    assert played.undo_stack.undoText() == "set kernel of output to ternary()"


def test_blocks_are_copied_and_pasted_with_tabs_and_repeated(page, played):
    played.set_quantizers({("fc1", "kernel"): "binary()", ("fc1", "bias"): None})
    choose(page, ("fc1", "kernel"), ("fc1", "bias"))
    QTest.keyClick(page.table, Qt.Key.Key_C, CONTROL)
    assert QGuiApplication.clipboard().text() == "binary()\tfloat"
    played.undo_stack.clear()
    choose(page, ("fc2", "kernel"), ("fc2", "bias"), ("fc3", "kernel"), ("fc3", "bias"))
    QTest.keyClick(page.table, Qt.Key.Key_V, CONTROL)
    for layer in ("fc2", "fc3"):
        assert (played.recipe.text(layer, "kernel"), played.recipe.text(layer, "bias")) == ("binary()", None)
    assert played.recipe.text("output", "kernel") == "quantized_bits(6,0,alpha=1)"
    assert played.undo_stack.count() == 1 and played.undo_stack.undoText() == "paste 4 cells"


def test_a_block_from_a_spreadsheet_with_one_bad_cell_changes_nothing(page, played):
    before = played.recipe
    QGuiApplication.clipboard().setText("quantized_bits(4,0,alpha=1)\tquantized_bits(4)\r\n\t\r\nternary()\tquantised(3)\r\n")
    choose(page, ("fc1", "kernel"))
    QTest.keyClick(page.table, Qt.Key.Key_V, CONTROL)
    assert played.recipe == before
    assert "quantised" in page.message.text() and page.message.isVisible()
    QGuiApplication.clipboard().setText("quantized_bits(4,0,alpha=1)\tquantized_bits(4)\r\n\t\r\nternary()\t\r\n")
    QTest.keyClick(page.table, Qt.Key.Key_V, CONTROL)
    assert played.recipe.text("fc1", "bias") == "quantized_bits(4,0)"
    assert played.recipe.text("fc2", "kernel") == "ternary()"
    assert played.recipe.text("fc2", "bias") == "quantized_bits(6,0,alpha=1)"


def test_units_are_edited_priced_and_need_training(qtbot, page, played):
    energy = played.report.energy_pj
    choose(page, ("fc1", UNITS))
    QTest.keyClick(page.table, Qt.Key.Key_F2)
    editor = page.table.findChild(QLineEdit, "number_editor")
    QTest.keyClicks(editor, "0.5")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: played.quantizer("fc1", UNITS) == "0.5", timeout=3000)
    assert played.recipe.layers["fc1"].units_multiplier == 0.5
    assert played.report.energy_pj < energy
    assert cell(page, "fc1", UNITS).data(DETAIL_ROLE) == "32 of 64"
    assert page.findChild(QLabel, "accuracy_remark").text() == "new units have to be trained first"
    assert not played.computing and played.evaluation is None
    assert played.undo_stack.undoText() == "set units multiplier of fc1 to 0.5"
    settle(page, played)
    assert all(check.given_bits for check in page.table.layers.sums("fc2"))
    played.undo_stack.undo()
    assert played.report.energy_pj == energy and played.computing


def test_units_that_the_output_depends_on_and_nonsense_are_refused(page, played):
    with pytest.raises(AssertionError):
        cell(page, "output", UNITS)
    with pytest.raises(Exception, match="cannot change"):
        played.set_quantizers({("output", UNITS): "2"})
    assert not page.table.layers.set_quantizers({("fc1", UNITS): "-3"})
    assert "cannot be the units multiplier" in page.message.text()
    assert not played.undo_stack.canUndo()


def test_published_presets_show_what_they_change(page, played):
    actions = {action.text(): action for action in page.preset_menu.actions()}
    assert {"Published BF", "Published BP", "Published Q6", "QE quantizers", "QB quantizers and units"} <= set(actions)
    assert page.table.isColumnHidden(column(page, "Sparsity"))
    actions["Published BP"].trigger()
    assert played.recipe.layers["fc1"].sparsity == 0.75 and not played.recipe.layers["relu1"].sparsity
    assert not page.table.isColumnHidden(column(page, "Sparsity"))
    assert cell(page, "fc1", SPARSITY).data() == "75%"
    assert "does not print the share" in actions["Published BP"].toolTip()
    actions["QE quantizers and units"].trigger()
    assert played.recipe.layers["fc2"].units_multiplier == 0.5 and played.needs_training
    assert played.recipe.text("fc2", "kernel") == "ternary(alpha='auto_po2')"
    assert played.undo_stack.undoText() == "apply preset QE with units"


def test_that_bh_is_named_but_not_made_up_and_a_published_network_shows_its_printed_energy(page, played):
    bh = next(action for action in page.preset_menu.actions() if action.objectName() == "preset_published_bh")
    assert not bh.isEnabled() and "the paper does not print them" in bh.toolTip()
    q6 = next(preset for preset in played.presets() if preset.title == "Published Q6")
    played.apply_preset(q6.recipe)
    assert page.cards.energy.remark.text() == "2\u2009633 pJ as published"
    played.set_quantizers({("fc1", "kernel"): "ternary()"})
    assert page.cards.energy.remark.text() == "QTools' 45 nm model"
    assert page.cards.bits.remark.text().endswith("bits each")
    played.set_quantizers({("fc2", "kernel"): ""})
    assert page.cards.bits.remark.text().endswith("(float as 8)")  # as AutoQKeras counts what is not quantized
