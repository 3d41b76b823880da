"""The log view on its own: thousands of lines, the newest in sight unless the user looks back."""

from __future__ import annotations

import pytest

from app.models import log_model
from app.views.log_view import LogView
from core.events import LogLine


@pytest.fixture
def view(qtbot):
    made = LogView(None)
    qtbot.addWidget(made)
    made.resize(700, 300)
    made.show()
    return made


def burst(view, qtbot, first: int, count: int) -> None:
    for number in range(first, first + count):
        view.lines.add(LogLine(f"line {number}"))
    view.lines.flush()
    qtbot.wait(5)


def test_that_the_newest_line_stays_in_sight_and_the_oldest_are_forgotten(view, qtbot, monkeypatch):
    monkeypatch.setattr(log_model, "KEPT", 1000)
    for first in range(0, 2500, 250):
        burst(view, qtbot, first, 250)
        bar = view.list.verticalScrollBar()
        assert bar.maximum() > 0
        assert bar.value() == bar.maximum()
    assert view.lines.rowCount() == 1000
    assert view.lines.text().splitlines()[0] == "line 1500"
    last = view.lines.index(999, 0)
    assert view.list.viewport().rect().contains(view.list.visualRect(last).center())


def test_that_new_lines_do_not_take_the_place_the_user_looks_at(view, qtbot):
    burst(view, qtbot, 0, 500)
    view.list.verticalScrollBar().setValue(100)
    burst(view, qtbot, 500, 500)
    assert view.list.verticalScrollBar().value() == 100


def test_that_a_long_line_can_be_read_to_its_end(view, qtbot):
    burst(view, qtbot, 0, 1)
    short = view.list.columnWidth(0)
    view.lines.add(LogLine("x" * 400))
    view.lines.flush()
    assert view.list.columnWidth(0) >= 400 * view.list.fontMetrics().horizontalAdvance("x") > short
