"""The window as a user meets it: real keys and clicks, the bundled model, a real worker with TensorFlow."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from PySide6.QtCore import QItemSelectionModel, Qt, QThread
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox, QLabel, QPushButton, QWidget

from app import application, theme
from app.application import Application
from app.jobs.job import JobState
from app.models.candidate_table import ID_ROLE
from app.models.layer_table import QUANTIZER_ROLE
from core.errors import QuantizerError
from core.quant.recipe import uniform

ANSWER_MS = 240_000


@pytest.fixture(scope="module")
def parts(qapp, tmp_path_factory, still_running):
    """The whole application on the demo, with its worker warm; made once for this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTISCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        made = Application()
        try:
            made.window.show()
            QTest.qWaitForWindowActive(made.window, 2000)
            QTest.mouseClick(made.window.findChild(QPushButton, "welcome_demo"), Qt.MouseButton.LeftButton)
            assert wait(lambda: not made.session.computing and made.session.float_evaluation is not None)
            yield made
        finally:
            made.close()
            made.window.close()
        still_running()


@pytest.fixture
def window(parts, qtbot, monkeypatch, tmp_path):
    """The window as it was after opening: first recipe, no undo, no errors shown."""
    session = parts.session
    wait(lambda: not session.busy and not session.computing)
    session.apply_preset(uniform(session.info, 8, 2))
    session.undo_stack.clear()
    session.select_candidate(None)
    parts.window.errors.hide()
    parts.window.show_layers()
    parts.window.activateWindow()
    assert wait(lambda: not session.computing)
    yield parts.window
    assert wait(lambda: not session.computing)


def wait(condition, timeout: int = ANSWER_MS) -> bool:
    """Let the event loop run until the condition holds; False when it never does."""
    end = time.monotonic() + timeout / 1000
    while not condition():
        if time.monotonic() > end:
            return False
        QTest.qWait(5)
    return True


def cell(window, layer: str, parameter: str):
    model = window.layers.table.shown
    for row in range(model.rowCount()):
        for column in range(model.columnCount()):
            if model.index(row, column).data(QUANTIZER_ROLE) == (layer, parameter):
                return model.index(row, column)
    raise AssertionError(f"no cell for {parameter} of {layer}")


def edit(window, layer: str, parameter: str, text: str, key=Qt.Key.Key_Return) -> None:
    """Open the editor of a cell by Enter, replace its text, press a key."""
    table = window.layers.table
    index = cell(window, layer, parameter)
    if not table.selectionModel().isSelected(index):
        table.setCurrentIndex(index)
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_Return)
    editor = open_editor(table)
    assert editor is not None, "Enter opened no editor"
    QTest.keyClicks(editor, text)
    QTest.keyClick(editor, key)


def open_editor(widget):
    """The editor in a cell; those that are closed live until the event loop runs."""
    editors = [found for found in widget.findChildren(QComboBox, "quantizer_editor") if found.isVisible()]
    return editors[0] if editors else None


def figure(window, name: str) -> str:
    return window.findChild(QLabel, f"{name}_figure").text()


def remark(window, name: str) -> str:
    return window.findChild(QLabel, f"{name}_remark").text()


# -- layers ------------------------------------------------------------------------------------------


def test_that_the_table_lists_the_layers_of_the_jet_tagger(window):
    model = window.layers.table.layers
    header = [model.headerData(n, Qt.Orientation.Horizontal) for n in range(model.columnCount())]
    assert header == ["Layer", "Type", "Output shape", "Parameters", "MACs", "Units \u00d7", "Kernel", "Bias", "Output",
                      "Sparsity", "Accumulator", "Energy", "Bits", "Sensitivity"]
    names = [model.index(row, 0).data() for row in range(model.rowCount())]
    assert names == ["features", "fc1", "relu1", "fc2", "relu2", "fc3", "relu3", "output", "softmax"]
    assert model.index(3, 3).data() == "2\u2009080"
    assert model.index(3, 12).data() == "16\u2009640"  # 2080 weights of 8 bits


def test_that_an_edit_changes_costs_at_once_and_accuracy_a_moment_later(window, parts):
    session = parts.session
    before = session.report.energy_pj, figure(window, "energy"), figure(window, "accuracy"), session.evaluation
    edit(window, "fc2", "kernel", "quantized_bits(3,0,alpha=1)")
    # no event loop has run since Enter
    assert session.report.energy_pj < before[0]
    assert figure(window, "energy") != before[1]
    assert session.report.costs.parameter_bits == 4389 * 8 - 2048 * 5
    assert session.pricing_s < 0.05
    assert remark(window, "accuracy") == "computing\u2026"
    assert session.evaluation is before[3]
    assert wait(lambda: not session.computing)
    assert session.evaluation.accuracy < before[3].accuracy
    assert session.evaluation.kind == "post-training"
    assert figure(window, "accuracy") != before[2]
    assert "against float" in remark(window, "accuracy")


def test_that_undo_and_redo_go_by_keys_and_by_name(window, parts):
    session = parts.session
    old = session.recipe
    edit(window, "fc2", "kernel", "ternary(alpha='auto_po2')")
    new = session.recipe
    assert session.undo_stack.undoText() == "set kernel of fc2 to ternary(alpha='auto_po2')"
    wait(lambda: QApplication.activeWindow() is window, 2000)
    QTest.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert session.recipe == old
    QTest.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert session.recipe == new
    assert cell(window, "fc2", "kernel").data() == "ternary(alpha='auto_po2')"


@pytest.mark.parametrize(("text", "says"), [("quantised_bits(6)", "unknown quantizer 'quantised_bits'"),
                                            ("quantized_bits(6", "is not a quantizer"),
                                            ("quantized_bits(99)", "cannot have bits=99"),
                                            ("__import__('os')", "unknown quantizer '__import__'")])
def test_that_a_wrong_text_is_refused_in_red_and_changes_nothing(window, parts, text, says):
    session = parts.session
    before = session.recipe
    edit(window, "fc2", "kernel", text)
    message = window.findChild(QLabel, "layer_message")
    editor = open_editor(window)
    assert message.isVisible() and says in message.text()
    assert message.property("role") == "error"
    assert editor is not None and editor.lineEdit().property("invalid") == "true"
    QTest.keyClick(editor, Qt.Key.Key_Escape)
    assert session.recipe == before
    assert not session.undo_stack.canUndo()


def test_that_leaving_the_editor_with_a_wrong_text_changes_nothing(window, parts):
    before = parts.session.recipe
    edit(window, "fc2", "kernel", "nonsense(", key=Qt.Key.Key_Home)
    window.layers.presets.setFocus()
    assert parts.session.recipe == before
    assert "is not a quantizer" in window.findChild(QLabel, "layer_message").text()


def test_that_a_quantizer_can_be_picked_from_the_list(window, parts):
    table = window.layers.table
    table.setCurrentIndex(cell(window, "relu1", "output"))
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_F2)
    editor = open_editor(table)
    wanted = editor.findText("quantized_relu(6,2)")
    editor.showPopup()
    editor.view().setCurrentIndex(editor.model().index(wanted, 0))
    QTest.qWait(400)  # a list ignores a click that follows its opening at once
    place = editor.view().visualRect(editor.model().index(wanted, 0)).center()
    QTest.mouseMove(editor.view().viewport(), place)
    QTest.mouseClick(editor.view().viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert wait(lambda: parts.session.recipe.text("relu1", "output") == "quantized_relu(6,2)", 2000)


def test_that_several_layers_are_edited_as_one_step(window, parts):
    session, table = parts.session, window.layers.table
    table.setCurrentIndex(cell(window, "fc1", "kernel"))
    for layer in ("fc2", "fc3"):
        table.selectionModel().select(cell(window, layer, "kernel"), QItemSelectionModel.SelectionFlag.Select)
    edit(window, "fc1", "kernel", "quantized_bits(5,0,alpha=1)")
    assert [session.recipe.text(layer, "kernel") for layer in ("fc1", "fc2", "fc3", "output")] == \
        ["quantized_bits(5,0,alpha=1)"] * 3 + ["quantized_bits(8,2,alpha=1)"]
    assert session.undo_stack.count() == 1
    session.undo_stack.undo()
    assert session.recipe.text("fc1", "kernel") == "quantized_bits(8,2,alpha=1)"


def test_that_cells_are_copied_pasted_and_cleared_by_keys(window, parts):
    session, table = parts.session, window.layers.table
    control = Qt.KeyboardModifier.ControlModifier
    edit(window, "fc1", "kernel", "quantized_bits(4,1,alpha=1)")
    table.setCurrentIndex(cell(window, "fc1", "kernel"))
    QTest.keyClick(table, Qt.Key.Key_C, control)
    assert QGuiApplication.clipboard().text() == "quantized_bits(4,1,alpha=1)"
    table.setCurrentIndex(cell(window, "fc3", "bias"))
    QTest.keyClick(table, Qt.Key.Key_V, control)
    assert session.recipe.text("fc3", "bias") == "quantized_bits(4,1,alpha=1)"
    QTest.keyClick(table, Qt.Key.Key_Delete)
    assert session.recipe.text("fc3", "bias") is None
    assert cell(window, "fc3", "bias").data() == "float"


def test_that_the_input_can_be_widened_but_not_left_without_quantizer(window, parts):
    edit(window, "features", "output", "quantized_bits(12,5,alpha=1)")
    assert parts.session.recipe.input == "quantized_bits(12,5,alpha=1)"
    edit(window, "features", "output", "float")
    assert parts.session.recipe.input == "quantized_bits(12,5,alpha=1)"
    assert "needs a quantizer" in window.findChild(QLabel, "layer_message").text()


def test_that_the_alpha_in_force_is_told(window):
    edit(window, "fc1", "kernel", "quantized_bits(6,0)")
    tip = cell(window, "fc1", "kernel").data(Qt.ItemDataRole.ToolTipRole)
    assert "In force: quantized_bits(6,0,1,alpha='auto_po2')" in tip
    assert "In force" not in cell(window, "fc2", "kernel").data(Qt.ItemDataRole.ToolTipRole)


def test_that_a_preset_gives_the_published_price(window, parts):
    names = {action.text(): action for action in window.layers.preset_menu.actions()}
    names["Uniform 6-bit"].trigger()
    assert (parts.session.report.total_pj, parts.session.report.costs.parameter_bits) == (2633, 26334)
    assert parts.session.undo_stack.undoText() == "apply preset Q6"


def test_that_only_the_newest_of_many_edits_is_evaluated_and_known_answers_come_at_once(window, parts):
    session = parts.session
    asked = []
    session.runner.jobStarted.connect(asked.append)
    first = session.evaluation
    for bits in (7, 5, 4):
        edit(window, "fc2", "kernel", f"quantized_bits({bits},0,alpha=1)")
    assert wait(lambda: not session.computing)
    assert len(asked) == 1
    assert asked[0].request.recipe == session.recipe
    for _ in range(3):
        session.undo_stack.undo()
    assert not session.computing and session.evaluation == first
    assert len(asked) == 1
    session.runner.jobStarted.disconnect(asked.append)


def test_that_sensitivities_are_measured_by_the_worker_and_shown_as_bars(window, parts):
    table, analysis = window.layers.table, parts.session.analysis
    window.layers.preset_menu.actions()[8].trigger()
    assert parts.session.recipe.name == "Q4"
    QTest.mouseClick(window.layers.measure, Qt.MouseButton.LeftButton)
    assert analysis.measuring and window.layers.measure.text().startswith("Stop measuring")
    assert wait(lambda: not analysis.measuring)
    assert window.layers.measure.text() == "Measure sensitivity"
    assert len(analysis.sensitivities) == 12  # four kernels and biases, three outputs, the input
    shares = {layer: table.layers.worst_share(layer) for layer in ("features", "fc1", "fc2", "relu1", "output")}
    assert max(shares.values()) <= 1 and min(shares.values()) >= 0
    worst = max(analysis.sensitivities.values(), key=lambda one: one.metric_drop)
    assert worst.metric_drop > 0.02 and table.layers.worst_share(worst.layer) == 1.0


def test_that_values_of_an_activation_are_recorded_by_the_worker_when_it_is_selected(window, parts):
    window.layers.table.setCurrentIndex(cell(window, "relu2", "output"))
    assert wait(lambda: parts.session.analysis.recorded is not None)
    assert wait(lambda: "saturate" in window.layers.values.summary.text())
    assert "on 2000 events" in window.layers.values.summary.text()


def test_that_integer_bits_come_from_data_and_gain_accuracy(window, parts):
    session = parts.session
    session.apply_preset(uniform(session.info, 6))
    assert wait(lambda: not session.computing)
    before = session.evaluation.accuracy
    window.layers.table.setCurrentIndex(cell(window, "fc1", "kernel"))
    QTest.mouseClick(window.layers.calibrate, Qt.MouseButton.LeftButton)
    assert wait(lambda: session.undo_stack.undoText().startswith("calibrate"))
    assert wait(lambda: not session.computing)
    assert session.recipe.spec("relu1", "output")["bits"] == 6
    assert session.evaluation.accuracy > before + 0.02


# -- jobs --------------------------------------------------------------------------------------------


def test_that_a_killed_worker_is_told_with_a_remedy_and_the_next_edit_is_answered(window, parts):
    session = parts.session
    lane = session.runner.lanes["interactive"]
    edit(window, "fc2", "kernel", "quantized_bits(2,0,alpha=1)")
    assert wait(lambda: lane.current is not None)
    old = lane.worker.pid
    os.kill(old, signal.SIGKILL)
    assert wait(lambda: window.errors.isVisible(), 10_000)
    card = window.errors.cards[0]
    assert "worker process ended" in card.what.text().lower()
    assert "SIGKILL" in card.why.text()
    assert "started again" in card.remedy.text()
    assert wait(lambda: lane.worker is not None and lane.worker.pid != old)
    QTest.keyClick(window.errors, Qt.Key.Key_Escape)
    edit(window, "fc2", "kernel", "quantized_bits(5,1,alpha=1)")
    assert wait(lambda: not session.computing)
    assert session.evaluation is not None and session.evaluation.accuracy > 0.3


def test_that_a_search_runs_behind_and_its_points_arrive_while_it_runs(window, parts):
    session = parts.session
    QTest.keyClick(window, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    panel = window.search.panel
    panel.seconds.setValue(0)
    panel.trials.setValue(2)
    panel.epochs.setValue(1)
    states = []
    session.searchStateChanged.connect(states.append)
    QTest.mouseClick(window.findChild(QPushButton, "search_start"), Qt.MouseButton.LeftButton)
    assert session.search_state == "running"
    assert window.status.cancel.isVisible()
    # an edit is answered while the search runs
    assert wait(lambda: len(session.candidates) >= 1)
    assert wait(lambda: session.search_state == "idle")
    session.searchStateChanged.disconnect(states.append)
    assert states[0] == "running" and states[-1] == "idle"
    assert len(session.candidates) >= 2
    stored = {candidate.id for candidate in session.project.candidates()}
    assert stored == set(session.candidates)
    table = window.search.candidates.table
    index = table.model().index(0, 1)
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center())
    assert session.selected_id == index.data(ID_ROLE)
    QTest.mouseClick(window.findChild(QPushButton, "candidate_apply"), Qt.MouseButton.LeftButton)
    assert session.recipe == session.selected.recipe
    assert session.undo_stack.undoText() == f"apply candidate {session.selected_id}"


def test_that_training_is_cancelled_from_the_status_bar_and_stores_nothing(window, parts):
    session = parts.session
    known = set(session.candidates)
    session.start_training(epochs=500)
    job = session.train_job
    assert wait(lambda: job.state is JobState.RUNNING and window.status.remaining.text() != "")
    QTest.mouseClick(window.status.cancel, Qt.MouseButton.LeftButton)
    assert window.status.cancel.text() == "Stopping\u2026"
    assert wait(lambda: job.state is JobState.CANCELLED, 15_000)
    assert not window.status.cancel.isVisible()
    assert set(session.candidates) == known


def test_that_closing_asks_while_a_job_runs(window, parts, monkeypatch):
    asked = []
    monkeypatch.setattr("app.views.main_window.may_close", lambda parent: asked.append(parent) or False)
    parts.session.start_training(epochs=500)
    job = parts.session.train_job
    assert not window.close()
    assert asked and window.isVisible()
    job.cancel()
    assert wait(lambda: job.state.over, 15_000)


def test_that_log_lines_of_jobs_reach_the_log(window, parts):
    from core.events import LogLine

    parts.session.jobLogged.emit(LogLine("Vivado gave up", "error", "vivado"))
    window.log.lines.flush()
    assert window.log.lines.text().endswith("vivado: Vivado gave up")


# -- the rest of the window --------------------------------------------------------------------------


def test_that_light_and_dark_change_widgets_and_plots(window, parts):
    shades = {}
    for mode in ("light", "dark"):
        action = next(a for a in window.findChildren(type(window.actions_by_name["quit"]))
                      if a.objectName() == f"action_theme_{mode}")
        action.trigger()
        shades[mode] = (window.palette().window().color().lightness(),
                        window.grab().toImage().pixelColor(5, 5).lightness())
        assert theme.tokens().name == mode
        assert parts.settings.theme == mode
    assert min(shades["light"]) > 200 and max(shades["dark"]) < 80
    theme.manager().set_mode("light")


def test_that_everything_that_takes_the_keyboard_has_a_name_for_screen_readers(window):
    ours = [w for w in window.findChildren(QWidget) if w.objectName() and not w.objectName().startswith("qt_")]
    nameless = [f"{type(w).__name__} {w.objectName()}" for w in ours
                if w.focusPolicy() & Qt.FocusPolicy.TabFocus and not (w.accessibleName() or getattr(w, "text", str)())]
    assert len(ours) > 60
    assert nameless == [], nameless


def test_that_our_widgets_have_object_names(window):
    nameless = [type(w).__name__ for w in window.findChildren(QWidget)
                if type(w).__module__.startswith("app.") and not w.objectName()]
    assert nameless == []


def test_that_an_exception_in_any_thread_becomes_an_error_in_the_window(window, parts):
    threads = []
    parts.relay.caught.connect(lambda error: threads.append(QThread.currentThread()))

    def fall() -> None:
        error = ValueError("seven")
        parts.relay.hook(ValueError, error, error.__traceback__)

    thread = threading.Thread(target=fall)
    thread.start()
    thread.join()
    assert wait(lambda: bool(threads), 2000)
    assert threads[0] is QApplication.instance().thread()
    assert "ValueError: seven" in window.errors.cards[0].why.text()
    assert window.errors.isVisible()


def test_that_details_of_an_error_open_on_request(window, parts):
    error = QuantizerError("the thing is wrong", "it is", "Mend it")
    error.details = "Traceback: line 3"
    parts.session.errorRaised.emit(error)
    card = window.errors.cards[0]
    assert not card.details.isVisible()
    QTest.mouseClick(card.toggle, Qt.MouseButton.LeftButton)
    assert card.details.isVisible() and "line 3" in card.details.toPlainText()


def test_that_a_foreign_folder_is_refused_and_the_open_project_stays(window, parts, tmp_path):
    folder = parts.session.project.folder
    window.open_path(str(tmp_path))
    assert parts.session.project.folder == folder
    assert window.errors.isVisible()


def test_that_a_picture_of_the_window_is_drawn_without_a_worker(window, parts, tmp_path):
    target = tmp_path / "window.png"
    application.render_window(parts.session, target)
    assert target.read_bytes().startswith(b"\x89PNG")


def test_that_edits_are_stored_and_found_again(qtbot, window, parts):
    session = parts.session
    folder = Path(session.project.folder)
    edit(window, "fc2", "bias", "quantized_bits(7,0,alpha=1)")
    session.save()
    candidates = list(session.candidates)
    assert session.open_project(folder)
    assert session.recipe.text("fc2", "bias") == "quantized_bits(7,0,alpha=1)"
    assert list(session.candidates) == candidates
    assert session.float_evaluation is not None
    qtbot.waitUntil(lambda: parts.settings.recent[:1] == [folder])
