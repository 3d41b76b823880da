"""Work that would hold the window up, done in a thread while the event loop turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import QCoreApplication, QEventLoop, QThread

T = TypeVar("T")


class _Call(QThread):
    """Runs one function and keeps what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self.setObjectName("call")
        self._work = work
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Keep the result, or the exception for the caller."""
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error


def in_background(work: Callable[[], T]) -> T:
    """What `work()` gives or raises; it runs in a thread and must not touch Qt.

    The window goes on painting and following its jobs meanwhile; keys and clicks wait until it is done, so that
    nothing can be asked of a state that is about to change. Without an application it is called directly.
    """
    application = QCoreApplication.instance()
    if application is None or QThread.currentThread() is not application.thread():
        return work()
    call, loop = _Call(work), QEventLoop()
    call.finished.connect(loop.quit)  # queued: also one that is over at once is heard
    call.start()
    loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    call.wait()
    if call.error is not None:
        raise call.error
    return call.result  # type: ignore[no-any-return]
