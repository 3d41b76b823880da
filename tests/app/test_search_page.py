"""The search form by real clicks and keys: method, budget, goal, space, groups, AutoQKeras, steering, progress."""

from __future__ import annotations

import csv
import json

import msgspec
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QListWidget, QPushButton

from app.jobs.job import JobState
from app.models.search_form import check, kept_fields, numbers_of, texts_of
from app.models.space_table import widths
from app.views.history_plot import HistoryPlot
from app.views.importance_plot import ImportancePlot
from app.views.search_panel import SearchPanel
from core.errors import SearchError
from core.events import CandidateDone, Progress
from core.quant.recipe import Recipe
from core.requests import Importances, Search
from core.search.methods import METHODS
from core.search.objectives import Goal
from core.search.summary import Importance, hypervolume_history, reference_point
from core.workflows import run
from tests.app.played import THREE, candidate, find_candidates, shown

LEFT = Qt.MouseButton.LeftButton


def panel_of(qtbot, session) -> SearchPanel:
    return shown(qtbot, SearchPanel(session), (340, 800))


def click(panel, name: str) -> None:
    QTest.mouseClick(panel.findChild(QPushButton, name), LEFT)


def choose(box, key: str) -> None:
    box.setCurrentIndex(box.findData(key))
    assert box.currentData() == key


def started(panel, session) -> Search:
    """Press Start; the request that the worker gets."""
    click(panel, "search_start")
    assert session.search_state == "running", panel.progress_text.text()
    return session.runner.last(Search).request


def type_into(line: QLineEdit, text: str) -> None:
    line.setFocus()
    QTest.keyClicks(line, text)


# -- run -------------------------------------------------------------------------------------------


def test_that_start_pause_resume_and_stop_steer_the_search(qtbot, played):
    panel = panel_of(qtbot, played)
    assert not panel.pause.isEnabled() and not panel.stop.isEnabled() and not panel.extend.isEnabled()
    request = started(panel, played)
    job = played.runner.last(Search)
    assert request.seconds == 60 and request.method == "staged" and request.options["kernel"]
    assert not panel.start.isEnabled() and not panel.method.isEnabled()
    click(panel, "search_pause")
    assert job.state is JobState.PAUSED and panel.pause.text() == "Resume"
    click(panel, "search_pause")
    assert job.state is JobState.RUNNING and panel.pause.text() == "Pause"
    job.tell(Progress("search, seconds", 12, 60, 48.0))
    assert "12 of 60 seconds" in panel.progress_text.text() and "48 s left" in panel.progress_text.text()
    assert panel.bar.value() == 200
    click(panel, "search_stop")
    assert job.state is JobState.CANCELLING and not panel.stop.isEnabled()
    job.succeed([])
    assert panel.start.isEnabled() and panel.bar.value() == 0


def test_that_every_method_of_the_engine_is_offered_with_its_summary(qtbot, played):
    panel = panel_of(qtbot, played)
    assert [panel.method.itemData(row) for row in range(panel.method.count())] == list(METHODS)
    for key, method in METHODS.items():
        choose(panel.method, key)
        assert panel.method_text.text() == f"{method.summary}."
        assert panel.granularity.isVisible() == (not method.proposes_recipes)


def test_that_a_gradient_search_needs_no_budget_and_says_whose_widths_it_trains(qtbot, played):
    panel = panel_of(qtbot, played)
    choose(panel.method, "gradient")
    choose(panel.granularity, "channel")
    panel.seconds.setValue(0)
    assert panel.check() == ""
    request = started(panel, played)
    assert (request.method, request.granularity, request.seconds, request.trials) == ("gradient", "channel", None, None)


def test_that_blocks_are_given_to_block_by_block_methods_alone(qtbot, played):
    panel = panel_of(qtbot, played)
    assert not panel.blocks.isVisible()
    choose(panel.method, "blocks")
    type_into(panel.blocks, "fc[12] fc3|output")
    assert panel.request_fields()["blocks"] == ["fc[12]", "fc3|output"]
    choose(panel.method, "nsga2")
    assert panel.request_fields()["blocks"] == []


def test_that_a_search_without_limit_or_without_quantizers_cannot_start(qtbot, played):
    panel = panel_of(qtbot, played)
    panel.seconds.setValue(0)
    qtbot.waitUntil(lambda: not panel.start.isEnabled(), timeout=2000)
    assert "Limit" in panel.progress_text.text()
    panel.trials.setValue(5)
    qtbot.waitUntil(panel.start.isEnabled, timeout=2000)
    biases = panel.findChild(QListWidget, "options_bias_list")
    for row in range(biases.count()):
        biases.item(row).setCheckState(Qt.CheckState.Unchecked)
    qtbot.waitUntil(lambda: not panel.start.isEnabled(), timeout=2000)
    assert "Biases" in panel.progress_text.text()


def test_that_extending_adds_to_the_budget_of_the_search_that_runs_and_goes_on_with_one_that_is_over(qtbot, played):
    panel = panel_of(qtbot, played)
    first = started(panel, played)
    job = played.runner.last(Search)
    click(panel, "search_extend")
    click(panel, "search_extend")
    assert panel.extend.text() == "Extend (2)"
    assert job.granted == (2 * (first.trials or 0), 2 * (first.seconds or 0.0)) != (0, 0.0)
    job.tell(CandidateDone(candidate(1, 0.7, 1000)))
    job.succeed(["c0001"])
    assert played.search_state == "idle" and panel.extend.text() == "Extend"
    panel.epochs.setValue(first.epochs + 5)  # the settings it had hold, not those of the form
    click(panel, "search_extend")
    assert played.search_state == "running"
    assert played.runner.last(Search) is not job and played.runner.last(Search).request == first
    click(panel, "search_stop")
    played.runner.last(Search).give_up()
    assert played.search_state == "idle" and panel.extend.isEnabled()


def test_that_the_panel_tells_how_many_were_found_and_the_best(qtbot, played):
    panel = panel_of(qtbot, played)
    find_candidates(played, THREE)
    assert "4 candidates, 3 on the front" in panel.summary.text() and "75.00\u00a0%" in panel.summary.text()


def test_that_the_form_is_kept_in_the_project(qtbot, played):
    panel = panel_of(qtbot, played)
    choose(panel.method, "tpe")
    panel.trials.setValue(7)
    panel.workers.setValue(3)
    choose(panel.goal.cost, "ebops")
    panel.goal.forgiving.click()
    panel.goal.tolerance["stress"].setValue(0.25)
    type_into(panel.space.units, "0.5 1")
    panel.space.groups.set_layer("fc2", "kernel", ["ternary"])
    request = started(panel, played)
    played.runner.last(Search).succeed([])
    again = panel_of(qtbot, played)  # as after opening the project another time
    assert msgspec.convert({"project": request.project, **again.request_fields()}, Search) == request
    assert again.goal.forgiving.isChecked() and again.goal.tolerance["stress"].value() == 0.25


def test_that_the_processes_of_the_settings_hold_until_the_form_says_otherwise(qtbot, played):
    panel = panel_of(qtbot, played)
    panel.use_processes(2)
    assert panel.workers.value() == 2
    panel.use_processes(4)
    assert panel.workers.value() == 4
    panel.workers.setValue(1)
    panel.use_processes(3)
    assert panel.workers.value() == 1
    choose(panel.method, "tpe")
    panel.goal.constraints.setText("lut<=5000")
    panel.take({})  # a project that was not searched yet
    assert panel.workers.value() == 3 and panel.method.currentData() == "staged"
    assert panel.goal.constraints.text() == "" and panel.seconds.value() == 60


def test_that_a_foreign_form_in_the_project_is_left_alone(qtbot, played):
    played.project.save_settings({"search": {"method": 3, "trials": "many"}})
    assert kept_fields(played) == {}
    assert panel_of(qtbot, played).method.currentData() == "staged"


# -- goal ------------------------------------------------------------------------------------------


def test_that_objectives_and_limits_reach_the_request(qtbot, played):
    panel = panel_of(qtbot, played)
    assert panel.request_fields()["objectives"] == []
    panel.pages.setCurrentWidget(panel.goal)
    choose(panel.goal.quality, "loss")
    choose(panel.goal.cost, "lut")
    type_into(panel.goal.further, "ebops")
    type_into(panel.goal.constraints, "accuracy>=0.7, lut<=5000")
    request = started(panel, played)
    assert request.objectives == ["loss", "lut", "ebops"]
    assert request.constraints == ["accuracy>=0.7", "lut<=5000"]
    goal = Goal.of(request.objectives, request.constraints)
    assert [constraint.limit for constraint in goal.constraints] == [0.7, 5000]


def test_that_a_forgiving_score_carries_its_settings(qtbot, played):
    panel = panel_of(qtbot, played)
    panel.pages.setCurrentWidget(panel.goal)
    QTest.mouseClick(panel.goal.forgiving, LEFT, pos=panel.goal.forgiving.rect().center() * 0.1)
    assert panel.goal.forgiving.isChecked() and panel.goal.tolerance["rate"].isVisible()
    panel.goal.tolerance["delta_p"].setValue(5)
    objective, = Goal.of(panel.request_fields()["objectives"]).objectives
    assert (objective.quality, objective.cost, objective.tolerance.delta_p) == ("accuracy", "energy_pj", 5)


def test_that_a_wrong_goal_is_told_before_anything_starts(qtbot, played):
    panel = panel_of(qtbot, played)
    type_into(panel.goal.constraints, "speed>=3")
    qtbot.waitUntil(lambda: not panel.start.isEnabled(), timeout=2000)
    assert "'speed' is no objective" in panel.progress_text.text()


# -- space -----------------------------------------------------------------------------------------


def test_that_ticked_and_typed_quantizers_and_frozen_layers_reach_the_request(qtbot, played):
    panel = panel_of(qtbot, played)
    panel.pages.setCurrentWidget(panel.space)
    kernels = panel.space.options["kernel"]
    before = kernels.chosen()
    kernels.list.setCurrentRow(0)
    QTest.keyClick(kernels.list, Qt.Key.Key_Space)
    QTest.keyClicks(kernels.entry, "quantized_bits(9,1,alpha=1)")
    QTest.keyClick(kernels.entry, Qt.Key.Key_Return)
    QTest.keyClicks(kernels.entry, "quantised(3)")
    QTest.keyClick(kernels.entry, Qt.Key.Key_Return)
    assert kernels.message.isVisible() and "quantised" in kernels.message.text()
    assert kernels.chosen() == [*before[1:], "quantized_bits(9,1,alpha=1)"]
    panel.space.tabs.setCurrentWidget(panel.space.frozen)
    panel.space.frozen.setCurrentItem(panel.space.frozen.findItems("output", Qt.MatchFlag.MatchExactly)[0])
    QTest.keyClick(panel.space.frozen, Qt.Key.Key_Space)
    request = started(panel, played)
    assert request.frozen == ["output"] and request.options["kernel"] == kernels.chosen()


def test_that_units_and_zeros_are_read_and_what_cannot_be_is_told(qtbot, played):
    panel = panel_of(qtbot, played)
    panel.pages.setCurrentWidget(panel.space)
    type_into(panel.space.units, "0.5, 1; 2")
    type_into(panel.space.zeros, "0 0.5")
    qtbot.waitUntil(lambda: "keeps the numbers of units" in panel.progress_text.text(), timeout=2000)
    choose(panel.method, "nsga2")
    choose(panel.space.shared, "block")
    qtbot.waitUntil(panel.start.isEnabled, timeout=2000)
    assert "with units, zeros" in panel.space.summary.text()
    request = panel.request_fields()
    assert (request["units"], request["sparsity"], request["tune_units"]) == ([0.5, 1, 2], [0, 0.5], "block")
    type_into(panel.space.zeros, " half")
    qtbot.waitUntil(lambda: "are not numbers" in panel.progress_text.text(), timeout=2000)


def dialog_of(panel):
    panel.pages.setCurrentWidget(panel.space)
    click(panel, "search_space_open")
    panel.check()
    return panel.space.dialog


def edit(table, row: int, column: int, text: str) -> None:
    """Open a cell's editor by a key, type, press Enter."""
    table.setCurrentIndex(table.model().index(row, column))
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_F2)
    editor = next(e for e in table.findChildren(QLineEdit) if e.isVisible())
    editor.selectAll()
    QTest.keyClicks(editor, text)
    QTest.keyClick(editor, Qt.Key.Key_Return)
    QApplication.processEvents()


def cell(dialog, layer: str, title: str):
    model = dialog.layers
    row = next(row for row in range(model.rowCount()) if model.index(row, 0).data() == layer)
    column = next(n for n in range(model.columnCount())
                  if model.headerData(n, Qt.Orientation.Horizontal) == title)
    return model.index(row, column)


def test_that_each_layer_shows_what_it_may_take_and_one_is_given_its_own(qtbot, played):
    panel = panel_of(qtbot, played)
    dialog = dialog_of(panel)
    assert cell(dialog, "fc2", "Kernel").data() == "bits 2\u20138, ternary, binary, po2(4)"
    assert cell(dialog, "relu1", "Output").data() == "relu 2\u20138"
    assert cell(dialog, "relu1", "Kernel").data() == "\u2013"
    at = cell(dialog, "fc2", "Kernel")
    edit(dialog.layer_table, at.row(), at.column(), "ternary quantized_bits(5,alpha=1)")
    panel.check()
    assert cell(dialog, "fc2", "Kernel").data() == "bits 5, ternary"
    assert cell(dialog, "fc1", "Kernel").data() == "bits 2\u20138, ternary, binary, po2(4)"
    assert panel.request_fields()["groups"] == {"fc2$": {"kernel": ["ternary", "quantized_bits(5,alpha=1)"]}}
    edit(dialog.layer_table, at.row(), at.column(), "turnery")
    assert "turnery" in dialog.message.text()
    panel.check()
    assert cell(dialog, "fc2", "Kernel").data() == "bits 5, ternary"
    at = cell(dialog, "output", "Frozen")
    dialog.layer_table.setCurrentIndex(at)
    QTest.keyClick(dialog.layer_table, Qt.Key.Key_Space)
    panel.check()
    assert panel.request_fields()["frozen"] == ["output"] and cell(dialog, "output", "Kernel").data() == "\u2013"


def test_that_a_group_by_pattern_is_typed_in_and_taken_away(qtbot, played):
    panel = panel_of(qtbot, played)
    dialog = dialog_of(panel)
    dialog.tabs.setCurrentIndex(1)
    click(dialog, "space_group_add")
    edit(dialog.group_table, 0, 0, "fc[12]")
    edit(dialog.group_table, 0, 2, "binary ternary")
    panel.check()
    assert panel.request_fields()["groups"] == {"fc[12]": {"kernel": ["binary", "ternary"]}}
    assert [cell(dialog, layer, "Kernel").data() for layer in ("fc1", "fc2")] == ["binary, ternary"] * 2
    assert "with 1 group" in panel.space.summary.text()
    edit(dialog.group_table, 0, 0, "fc[12")
    assert "cannot be read" in dialog.message.text()
    edit(dialog.group_table, 0, 0, "conv")
    panel.check()
    assert "names no layer" in panel.progress_text.text() and not panel.start.isEnabled()
    dialog.group_table.setCurrentIndex(panel.space.groups.index(0, 0))
    click(dialog, "space_group_remove")
    assert panel.check() == "" and panel.request_fields()["groups"] == {}


def test_that_autoqkeras_dictionaries_are_pasted_in_and_dropped(qtbot, played):
    panel = panel_of(qtbot, played)
    dialog = dialog_of(panel)
    dialog.tabs.setCurrentIndex(2)
    dialog.text.setPlainText("{'quantization_config': {'kernel': {'ternary': 2, 'quantized_bits(4,0,1)': 4}},"
                             " 'limit': {'Dense': [2, 8, 8]}}")  # a Python dictionary, not JSON
    click(dialog, "space_autoqkeras_use")
    panel.check()
    assert panel.request_fields()["limit"] == {"Dense": [2, 8, 8]}
    assert cell(dialog, "fc1", "Kernel").data() == "ternary" and "AutoQKeras's settings" in panel.space.summary.text()
    assert not panel.space.tabs.isEnabled()
    dialog.text.setPlainText("__import__('os').system('true')")
    click(dialog, "space_autoqkeras_use")
    assert "cannot be read as AutoQKeras's settings" in dialog.message.text()
    click(dialog, "space_autoqkeras_drop")
    panel.check()
    assert panel.request_fields()["limit"] == {} and panel.space.tabs.isEnabled()
    click(dialog, "space_autoqkeras_defaults")
    assert "quantized_relu(3,1)" in json.loads(dialog.text.toPlainText())["quantization_config"]["activation"]


def test_that_options_are_put_in_short():
    assert widths(["quantized_bits(2,alpha=1)", "quantized_bits(3,alpha=1)", "quantized_bits(6,alpha=1)"]) == \
        "bits 2\u20133 6"
    assert texts_of("score(accuracy, energy_pj) lut,ebops") == ["score(accuracy, energy_pj)", "lut", "ebops"]
    with pytest.raises(SearchError, match="are not numbers"):
        numbers_of("1 two", "units multipliers")


def test_that_an_empty_space_is_told(played):
    fields = {"method": "nsga2", "seconds": 1.0, "frozen": [layer.name for layer in played.info.layers]}
    assert "The search space is empty" in check(fields, played.info, Recipe()).problem


# -- progress --------------------------------------------------------------------------------------


def test_that_the_hypervolume_is_that_of_the_engine_and_grows_as_candidates_come(qtbot, played, tmp_path):
    plot = shown(qtbot, HistoryPlot(played))
    assert plot._empty.isVisible()
    found = [msgspec.structs.replace(one, created=f"2026-01-01T00:00:0{number}+00:00", seconds=2.0)
             for number, one in enumerate(THREE)]
    find_candidates(played, found)
    qtbot.waitUntil(lambda: len(plot.history.ids) == 4, timeout=3000)
    goal = Goal.of().resolved(played.info)
    expected = hypervolume_history(found, goal, reference_point(goal, played.info))
    assert plot.history == expected and list(plot.history.volumes) == sorted(plot.history.volumes)
    assert plot.history.volumes[-1] > 0 and "energy_pj" in plot.legend.items[0][1].text
    plot.over.setCurrentIndex(1)
    assert "c0002, candidate 2 after 4" in plot.readout(QPointF(5.0, 0.1))
    plot.save(tmp_path / "volume.csv")
    rows = list(csv.DictReader((tmp_path / "volume.csv").open()))
    assert [float(row["hypervolume"]) for row in rows] == list(expected.volumes)
    assert [float(row["seconds"]) for row in rows] == [2, 4, 6, 8]


def test_that_the_volume_is_that_of_the_objectives_searched_for(qtbot, played):
    panel, plot = panel_of(qtbot, played), shown(qtbot, HistoryPlot(played))
    choose(panel.goal.cost, "parameter_bits")
    started(panel, played)
    job = played.runner.last(Search)
    for one in THREE:
        job.tell(CandidateDone(one))
    job.succeed([])
    qtbot.waitUntil(lambda: len(plot.history.ids) == 4, timeout=3000)
    assert "log2 parameter_bits" in plot.item.getAxis("left").labelText


# -- undo ------------------------------------------------------------------------------------------


def test_that_edits_of_the_space_are_named_undone_and_redone_on_the_stack_of_the_recipe(qtbot, played):
    panel = panel_of(qtbot, played)
    stack, space = played.undo_stack, panel.space
    before = space.fields()
    assert not stack.canUndo()  # filling the form in is no edit
    panel.pages.setCurrentWidget(space)
    kernels = panel.findChild(QListWidget, "options_kernel_list")
    first = kernels.item(0).text()
    kernels.setFocus()
    kernels.setCurrentRow(0)
    QTest.keyClick(kernels, Qt.Key.Key_Space)
    assert stack.undoText() == f"leave {first} out for kernels"
    type_into(space.units, "0.5 2")
    assert stack.count() == 2 and stack.undoText() == "set units multipliers to 0.5 2"  # one edit, not five
    played.set_quantizers({("fc1", "kernel"): "ternary()"})
    space.tabs.setCurrentWidget(space.frozen)
    space.frozen.item(1).setCheckState(Qt.CheckState.Checked)
    assert stack.undoText() == f"freeze {space.frozen.item(1).text()}"
    after = space.fields()
    stack.undo()
    assert space.fields()["frozen"] == before["frozen"]
    stack.undo()
    assert played.quantizer("fc1", "kernel") != "ternary()" and space.units.text() == "0.5 2"
    stack.undo()
    stack.undo()
    assert space.fields() == before and not stack.canUndo()
    for _ in range(4):
        stack.redo()
    assert space.fields() == after


def test_that_groups_and_autoqkeras_settings_are_undone_by_the_keys_of_their_dialog(qtbot, played):
    panel = panel_of(qtbot, played)
    click(panel, "search_space_open")
    dialog = panel.space.dialog
    qtbot.waitExposed(dialog)
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow, timeout=3000)
    dialog.tabs.setCurrentIndex(1)
    panel.space.groups.set_layer("fc2", "kernel", ["ternary()"])
    assert played.undo_stack.undoText() == "add group fc2$"
    dialog.settingsWanted.emit({"kernel": {"ternary()": 2}}, {})
    assert played.undo_stack.undoText() == "search by AutoQKeras's settings"
    QTest.keyClick(dialog, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert panel.space.quantization_config == {}
    QTest.keyClick(dialog, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert panel.space.groups.lines == []
    QTest.keyClick(dialog, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert [line.pattern for line in panel.space.groups.lines] == ["fc2$"]


# -- importances -----------------------------------------------------------------------------------


def test_that_the_importance_of_each_choice_is_asked_when_it_is_looked_at_and_drawn_as_bars(qtbot, played, tmp_path):
    plot = ImportancePlot(played)
    find_candidates(played, THREE)
    assert not any(isinstance(job.request, Importances) for job in played.runner.jobs)  # nobody sees it
    shown(qtbot, plot)
    job = played.runner.last(Importances)
    assert job.request.project == str(played.project.folder) and "Working out" in plot._empty.text()
    job.succeed({"accuracy": [Importance("fc1", "kernel", 0.75, 5), Importance("fc2", "bias", 0.25, 2)],
                 "energy_pj": [Importance("fc2", "kernel", 1.0, 3)]})
    assert list(plot._bars.opts["width"]) == [75.0, 25.0] and not plot._empty.isVisible()
    assert plot.readout(QPointF(10, 0.2)) == "fc1 kernel: 75.0 %, 5 different ones tried"
    plot.objective.setCurrentIndex(1)
    assert list(plot._bars.opts["width"]) == [100.0]
    plot.save(tmp_path / "importance.csv")
    rows = list(csv.DictReader((tmp_path / "importance.csv").open()))
    assert [(row["objective"], row["layer"], float(row["share"])) for row in rows] == [
        ("accuracy", "fc1", 0.75), ("accuracy", "fc2", 0.25), ("energy_pj", "fc2", 1.0)]


def test_that_the_worker_tells_which_choice_matters_and_says_when_there_are_too_few(played):
    request = Importances(project=str(played.project.folder))
    with pytest.raises(SearchError, match="need more candidates"):
        run(request)
    for number in range(12):
        wide = number % 2  # the kernel of fc1 decides; the bias of fc2 is only different
        one = candidate(number + 1, 0.5 + 0.2 * wide + 0.001 * number, 1000 + number)
        recipe = played.project.recipe.with_quantizer("fc1", "kernel", f"quantized_bits({2 + 4 * wide},0,alpha=1)") \
            .with_quantizer("fc2", "bias", f"quantized_bits({4 + number % 3},0,alpha=1)")
        played.project.add_candidate(msgspec.structs.replace(one, recipe=recipe), {})
    found = run(request)
    assert set(found) == {"accuracy", "energy_pj"}
    assert (found["accuracy"][0].layer, found["accuracy"][0].parameter) == ("fc1", "kernel")
    assert found["accuracy"][0].options == 2
