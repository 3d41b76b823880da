"""Python's garbage collection, in the window's thread alone and a little at a time.

Python collects in whichever thread happens to allocate: a Qt object that dies in a background thread takes its timers
down from the wrong side, and a full collection of everything the window is made of takes a tenth of a second.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

INTERVAL_MS = 500
#: objects allocated since the last collection of each generation, as in `gc.get_threshold`
THRESHOLDS = (2000, 10, 10)


class Collector(QObject):
    """Collects on a timer as long as it lives; `close` gives the matter back to Python.

    What is there when it starts, or when `settle` is called, is taken to stay and is not looked through again.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("collector")
        self._timer = QTimer(self, objectName="collector_timer", interval=INTERVAL_MS)
        self._timer.timeout.connect(self._on_timer)
        gc.disable()
        gc.freeze()
        self._timer.start()

    def settle(self) -> None:
        """Leave out what has been made up to now."""
        gc.freeze()

    def close(self) -> None:
        """Python collects by itself again."""
        self._timer.stop()
        gc.unfreeze()
        gc.enable()

    def _on_timer(self) -> None:
        young, middle, old = gc.get_count()
        if old > THRESHOLDS[2] and middle > THRESHOLDS[1]:
            gc.collect(2)
        elif middle > THRESHOLDS[1]:
            gc.collect(1)
        elif young > THRESHOLDS[0]:
            gc.collect(0)
