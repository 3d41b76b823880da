"""Ways to find, click and read cells of the Layers page."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QSpinBox

from app.models.layer_table import KEY_ROLE
from core.candidate import Evaluation
from core.requests import Evaluate

CONTROL = Qt.KeyboardModifier.ControlModifier


def cell(page, layer: str, parameter: str):
    shown = page.table.shown
    for row in range(shown.rowCount()):
        for column in range(shown.columnCount()):
            if shown.index(row, column).data(KEY_ROLE) == (layer, parameter):
                return shown.index(row, column)
    raise AssertionError(f"no cell for {parameter} of {layer}")


def column(page, title: str) -> int:
    return [known.title for known in page.table.layers.columns].index(title)


def choose(page, *keys) -> None:
    """Click the first cell, then the others with Ctrl."""
    table = page.table
    for number, key in enumerate(keys):
        index = cell(page, *key)
        table.scrollTo(index)
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton,
                         CONTROL if number else Qt.KeyboardModifier.NoModifier, table.visualRect(index).center())
    table.setFocus()
    assert {index.data(KEY_ROLE) for index in table.selectedIndexes()} == set(keys)


def field(page, name: str, kind=QSpinBox):
    found = page.form.findChild(kind, f"field_{name}")
    assert found is not None, name
    return found


def settle(page, played) -> None:
    """Let the precisions follow the last edit."""
    QTest.qWait(20)


def answer_all(played, answer: Evaluation) -> None:
    """Play the worker until the recipe's figure is known."""
    while played.computing:
        for job in played.runner.jobs:
            if isinstance(job.request, Evaluate) and job.request.recipe is not None and not job.state.over:
                job.succeed(answer)
        QTest.qWait(50)


def evaluation(metric: str, value: float) -> Evaluation:
    return Evaluation(kind="post-training", events=100, accuracy=value, auc={}, metric=metric)
