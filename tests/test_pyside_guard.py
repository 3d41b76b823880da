"""PySide6 6.12.0 releases None once too often on Python 3.11 and aborts after some thousand calls; see the pin."""

from __future__ import annotations

import sys

from PySide6.QtCore import QObject


def test_that_qt_calls_do_not_use_up_none():
    thing = QObject()
    before = sys.getrefcount(None)
    for _ in range(1000):
        thing.setObjectName("name")
    assert sys.getrefcount(None) > before - 500
