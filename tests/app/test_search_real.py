"""The whole way through the Search and Compare pages with a real worker: real trainings on the bundled jet tagger."""

from __future__ import annotations

import csv
import math
import time

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from app.application import Application
from tests.app.played import pixel

LEFT, CONTROL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier
ANSWER_S = 400  # TensorFlow's import and compilation on a busy machine

pytestmark = pytest.mark.slow


def wait(condition, seconds: float = ANSWER_S) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        QTest.qWait(20)
    return condition()


def click(window, name: str) -> None:
    QTest.mouseClick(window.findChild(QPushButton, name), LEFT)


@pytest.fixture
def window(qapp, fresh_home):
    parts = Application()
    try:
        parts.window.show()
        click(parts.window, "welcome_demo")
        assert wait(lambda: parts.session.float_evaluation is not None)
        yield parts.window
    finally:
        parts.close()
        parts.window.close()


def test_that_a_search_of_groups_by_ebops_is_paused_extended_filtered_and_compared(window, tmp_path):
    session, page = window._session, window.search
    problems = []
    session.errorRaised.connect(problems.append)
    QTest.keyClick(window, Qt.Key.Key_2, CONTROL)
    panel = page.panel
    panel.method.setCurrentIndex(panel.method.findData("nsga2"))
    panel.seconds.setValue(0)
    panel.trials.setValue(3)
    panel.epochs.setValue(1)
    panel.workers.setValue(1)
    panel.goal.cost.setCurrentIndex(panel.goal.cost.findData("ebops"))
    panel.space.groups.set_layer("fc2", "kernel", ["ternary(alpha='auto_po2')"])
    click(window, "search_start")
    assert session.search_state == "running", panel.progress_text.text()
    click(window, "search_extend")
    assert wait(lambda: len(session.candidates) >= 1), problems
    click(window, "search_pause")
    assert session.search_state == "paused"
    click(window, "search_pause")
    assert wait(lambda: len(session.candidates) >= 6), problems  # three, and three more
    assert wait(lambda: session.search_state == "idle") and not problems
    found = session.candidates
    assert {one.recipe.text("fc2", "kernel") for one in found.values()} == {"ternary(alpha='auto_po2')"}
    assert {one.id for one in session.project.candidates()} == set(found)

    plot = page.pareto
    plot.horizontal.setCurrentIndex(plot.horizontal.findData("ebops"))
    QTest.qWait(100)
    first, last = plot.points.front[0], plot.points.front[-1]
    at = found[last]
    QTest.mouseClick(plot.widget.viewport(), LEFT, CONTROL,
                     pixel(plot, math.log10(at.costs.ebops), 100 * at.evaluation.accuracy))
    assert session.inspection.compared == (last,)
    QTest.keyClicks(page.candidates.filter, f"ebops<={at.costs.ebops} method=nsga2")
    QTest.keyClick(page.candidates.filter, Qt.Key.Key_Return)
    shown = page.candidates.table.model()
    assert 0 < shown.rowCount() == sum(one.costs.ebops <= at.costs.ebops for one in found.values())
    other = next(key for key in (first, *found) if key != last)
    session.select_candidate(other)
    click(window, "candidate_compare")
    click(window, "candidate_show_compared")
    assert window.tabs.currentWidget() is window.compare
    assert window.compare.figures.columnCount() == 3
    window.compare.roc.save(tmp_path / "roc.csv")
    assert {row["model"] for row in csv.DictReader((tmp_path / "roc.csv").open())} == {last, other, "float"}
    page.beside.setCurrentIndex(1)
    window.show_search()
    assert wait(lambda: len(page.history.history.ids) == len(found), 5)
    assert page.history.history.volumes[-1] > 0
