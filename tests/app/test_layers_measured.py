"""Finding layers and measuring them on the Layers page, by clicks and keys; the worker is played by this test."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from app.models.layer_table import DETAIL_ROLE, KEY_ROLE
from app.views.layers_page import LayersPage
from core.dataset import load_dataset
from core.events import Progress
from core.model_io import read_weights
from core.quant.measures import Recorded, Sensitivity
from core.requests import Calibrate, MeasureSensitivity, RecordValues
from tests.app.layer_tools import CONTROL, choose, column, field

# -- finding -----------------------------------------------------------------------------------------


def test_the_filter_shows_layers_with_all_words_and_edits_reach_no_other(page, played):
    QTest.keyClick(page.table, Qt.Key.Key_F, CONTROL)
    assert page.filter.hasFocus()
    QTest.keyClicks(page.filter, "dense fc")
    shown = [page.table.shown.index(row, 0).data() for row in range(page.table.shown.rowCount())]
    assert shown == ["fc1", "fc2", "fc3"]
    page.table.setFocus()
    page.table.selectAll()
    QTest.keyClick(page.table, Qt.Key.Key_Delete)
    assert played.recipe.text("fc2", "kernel") is None
    assert played.recipe.text("output", "kernel") and played.recipe.text("relu1", "output")
    page.filter.clear()
    QTest.keyClicks(page.filter, "quantized_relu")
    assert page.table.shown.rowCount() == 3
    page.filter.clear()
    assert page.table.shown.rowCount() == 9


def test_a_click_on_a_header_sorts_and_the_third_brings_the_models_order_back(page, played):
    header, table = page.table.horizontalHeader(), page.table
    place = QPoint(header.sectionViewportPosition(column(page, "Energy")) + 20, header.height() // 2)

    def names():
        return [table.shown.index(row, 0).data() for row in range(table.shown.rowCount())]

    own = names()
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    energies = {row.name: row.profile_pj for row in played.report.rows}
    assert names() == sorted(own, key=lambda name: (energies.get(name, 0.0), own.index(name)))
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert names()[0] == "fc2"
    played.set_quantizers({("fc2", "kernel"): "binary()"})
    assert names()[0] == "fc2"  # an edit moves no row
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert names() == own


def test_columns_are_hidden_and_second_lines_left_out_by_the_menu(page, played):
    table = page.table
    table.columns_menu.aboutToShow.emit()
    actions = {action.objectName(): action for action in table.columns_menu.actions()}
    assert not actions["column_layer"].isEnabled()
    actions["column_bias"].trigger()
    assert table.isColumnHidden(column(page, "Bias"))
    actions["column_macs"].trigger()
    assert not table.isColumnHidden(column(page, "MACs"))
    high = table.rowHeight(0)
    actions["column_details"].trigger()
    assert not table.details and table.rowHeight(0) < high


def test_what_was_arranged_by_hand_is_there_at_the_next_start(qtbot, page, played):
    page.table.columns_menu.aboutToShow.emit()
    actions = {action.objectName(): action for action in page.table.columns_menu.actions()}
    actions["column_bias"].trigger()
    actions["column_parameters"].trigger()
    QTest.mouseClick(page.graph_shown, Qt.MouseButton.LeftButton)
    page.splitter.setSizes([300, 400])
    kept = page.arrangement()
    other = LayersPage(played)
    qtbot.addWidget(other)
    other.resize(page.size())
    other.show()
    other.arrange(b"damaged")
    other.arrange(kept)
    assert other.table.isColumnHidden(column(other, "Bias"))
    assert not other.table.isColumnHidden(column(other, "Parameters"))
    assert not other.graph.isVisible() and not other.graph_shown.isChecked()
    assert other.splitter.sizes() == page.splitter.sizes()
    assert played.open_project(played.project.folder)  # another model, other columns: the choice holds
    assert other.table.isColumnHidden(column(other, "Bias"))


def test_enter_on_a_cell_that_cannot_be_edited_does_nothing(page, played):
    page.table.setCurrentIndex(page.table.shown.index(1, 0))
    page.table.setFocus()
    QTest.keyClick(page.table, Qt.Key.Key_Return)
    assert not played.undo_stack.canUndo()


def test_a_large_tensor_is_looked_at_in_part_and_says_so(page, played):
    values = np.linspace(-1, 1, 1_000_000, dtype=np.float32)
    played.analysis.recorded = Recorded(500, {("relu1", "output"): values})
    page.values.show_quantizer("relu1", "output")
    assert page.values.summary.text().startswith("200000 of 1000000 values on 500 events from -1 to 1")


def test_the_graph_chooses_rows_and_follows_them(page, played):
    graph, table = page.graph, page.table
    assert list(graph.boxes) == played.info.layer_names
    box = graph.boxes["fc3"]
    graph.ensureVisible(box)
    place = graph.mapFromScene(box.sceneBoundingRect().center())
    QTest.mouseClick(graph.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert table.currentIndex().data(KEY_ROLE) == ("fc3", "kernel")
    QTest.keyClick(graph, Qt.Key.Key_Down)
    assert table.currentIndex().data(KEY_ROLE) == ("relu3", "output")
    choose(page, ("fc1", "bias"))
    assert graph.chosen == "fc1"
    assert graph.boxes["fc1"].share == pytest.approx(played.report.row("fc1").profile_pj / played.report.energy_pj)


# -- what is measured --------------------------------------------------------------------------------


def test_sensitivities_are_measured_by_the_button_and_hold_for_that_quantizer_alone(page, played):
    QTest.mouseClick(page.measure, Qt.MouseButton.LeftButton)
    job = played.runner.last(MeasureSensitivity)
    assert job.request.recipe == played.recipe
    assert page.measure.text() == "Stop measuring"
    job.tell(Progress("sensitivity", 3, 12))
    assert page.measure.text() == "Stop measuring (3 of 12)"
    text = "quantized_bits(6,0,alpha=1)"
    job.succeed([Sensitivity("fc1", "kernel", 0.05, 0.70, text), Sensitivity("fc1", "bias", 0.01, 0.74, text),
                 Sensitivity("fc2", "kernel", 0.025, 0.725, text),
                 Sensitivity("", "input", 0.001, 0.74, played.recipe.input)])
    layers, at = page.table.layers, column(page, "Sensitivity")
    row = {name: layers.index(layers.row_of(name), at) for name in ("features", "fc1", "fc2", "fc3")}
    assert row["fc1"].data() == "\u22125.00 %" and row["fc1"].data(DETAIL_ROLE) == "kernel"
    assert layers.worst_share("fc2") == pytest.approx(0.5)
    assert row["features"].data() == "\u22120.10 %" and row["fc3"].data() == "\u2013"
    played.set_quantizers({("fc1", "kernel"): "quantized_bits(8,0,alpha=1)"})
    assert row["fc1"].data() == "\u22121.00 %"
    assert f"measured with {text}" in row["fc1"].data(Qt.ItemDataRole.ToolTipRole)
    played.undo_stack.undo()
    assert row["fc1"].data() == "\u22125.00 %"
    assert played.open_project(played.project.folder)
    assert played.analysis.sensitivities["features", "output"].metric_drop == 0.001


def test_values_of_activations_are_recorded_and_their_saturation_counted(page, played):
    choose(page, ("relu1", "output"))
    assert "Running the float model" in page.values.findChild(QLabel, "distribution_plot_empty").text()
    events = load_dataset("jets").x_val[:500]
    weights = read_weights(played.project.model_path)["fc1"]
    values = np.maximum(events @ weights["kernel"] + weights["bias"], 0).astype(np.float32).ravel()
    played.runner.last(RecordValues).succeed(Recorded(500, {("relu1", "output"): values}))
    top = 1 - 2.0**-6  # quantized_relu(6,0)
    saturated = int((values > top + 2.0**-7).sum())
    assert saturated > 1000
    assert f"{saturated} saturate" in page.values.summary.text() and "on 500 events" in page.values.summary.text()
    assert sum(row[2] for row in page.values.table().rows) == values.size
    field(page, "integer").setValue(4)
    assert " 0 saturate" in page.values.summary.text()
    zeroed = int(((np.round(values * 4) == 0) & (values != 0)).sum())
    assert f"{zeroed} underflow" in page.values.summary.text()


def test_integer_bits_from_data_are_one_named_step_for_the_chosen_layers(page, played):
    choose(page, ("relu1", "output"), ("relu2", "output"))
    QTest.mouseClick(page.calibrate, Qt.MouseButton.LeftButton)
    job = played.runner.last(Calibrate)
    assert job.request.layers == ["relu1", "relu2"]
    found = played.recipe.with_quantizer("relu1", "output", "quantized_relu(6,3)").with_quantizer(
        "relu2", "output", "quantized_relu(6,2)")
    job.succeed(found)
    assert played.recipe.text("relu1", "output") == "quantized_relu(6,3)"
    assert played.undo_stack.undoText() == "calibrate 2 cells"
    played.undo_stack.undo()
    assert played.recipe.text("relu1", "output") == "quantized_relu(6,0)"


def test_what_is_edited_while_integer_bits_are_chosen_stays(page, played):
    QTest.mouseClick(page.calibrate, Qt.MouseButton.LeftButton)
    job = played.runner.last(Calibrate)
    assert job.request.layers == []
    played.set_quantizers({("relu1", "output"): "quantized_relu(3,1)", ("fc1", "bias"): "binary()"})
    found = job.request.recipe.with_quantizer("relu1", "output", "quantized_relu(6,3)").with_quantizer(
        "relu2", "output", "quantized_relu(6,2)")
    job.succeed(found)
    assert [played.recipe.text(*key) for key in (("relu1", "output"), ("fc1", "bias"), ("relu2", "output"))] == [
        "quantized_relu(3,1)", "binary()", "quantized_relu(6,2)"]
