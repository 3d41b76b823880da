"""Puts the window together: QApplication, theme, exception relay, crash file, session. Nothing imports TensorFlow."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal
from PySide6.QtWidgets import QApplication

import core
from app import settings as stored
from app import theme
from app.collector import Collector
from app.jobs.runner import JobRunner
from app.notifications import Notifications
from app.session import Session
from app.settings import Settings
from app.views.main_window import MainWindow
from core.errors import ProjectError, QuantiscopeError

logger = logging.getLogger("quantiscope")
PICTURE_SIZE = (1440, 900)


class ExceptionRelay(QObject):
    """Brings what no one caught, in whichever thread, to the window as an error with its traceback as details.

    Signals:
        caught(QuantiscopeError), always in the window's thread.
    """

    caught = Signal(object)
    _raised = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("exception_relay")
        # queued also within one thread: a dialog must not open inside a paint event that failed
        self._raised.connect(self._on_raised, Qt.ConnectionType.QueuedConnection)

    def hook(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Stand in for `sys.excepthook`."""
        if issubclass(kind, KeyboardInterrupt):
            QCoreApplication.quit()
            return
        text = "".join(traceback.format_exception(kind, error, trace))
        logger.error(text)
        if isinstance(error, QuantiscopeError):
            told = error
        else:
            told = QuantiscopeError("an internal error came up in the window", f"{kind.__name__}: {error}",
                                    "You can go on working; please report the details")
        told.details = text
        self._raised.emit(told)

    def _on_raised(self, error: QuantiscopeError) -> None:
        self.caught.emit(error)


class Application:
    """Everything the window needs, made in order and ended in the opposite one."""

    def __init__(self, settings: Settings | None = None, runner: JobRunner | None = None) -> None:
        self.settings = settings or Settings()
        theme.manager().set_mode(self.settings.theme)
        self.notifications = Notifications()
        self.session = Session(runner or JobRunner())
        self.session.errorRaised.connect(self.notifications.error)
        self.relay = ExceptionRelay()
        self.relay.caught.connect(self.notifications.error)
        self.window = MainWindow(self.session, self.settings, self.notifications)
        self.collector = Collector()
        self.window.tabs.built.connect(self.collector.settle)

    def close(self) -> None:
        """End every job and worker; harmless when the window did it already."""
        self.session.close()
        self.collector.close()


def create_application() -> QApplication:
    """The QApplication of this process with name, style and theme; the one there is, if there is one.

    Everything on the screen has the size of the settings, unless QT_SCALE_FACTOR is set already.
    """
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    os.environ.setdefault("QT_SCALE_FACTOR", str(Settings().scale / 100))
    application = QApplication([sys.argv[0] if sys.argv else "quantiscope"])
    application.setApplicationName("quantiscope")
    application.setApplicationDisplayName("Quantiscope")
    application.setApplicationVersion(core.__version__)
    application.setDesktopFileName("quantiscope")
    application.setStyle("Fusion")  # the native styles ignore parts of our palette
    theme.manager().set_mode("system")
    return application


def process_events() -> None:
    """Let Qt lay out and paint what is pending, for pictures."""
    for _ in range(3):
        QApplication.processEvents()


def run_gui(project: Path | str | None = None, demo: bool = False) -> int:
    """Open the window, on a project or the demo if asked, and run until it is closed.

    Raises:
        ProjectError: there is no display.
    """
    _require_display()
    application = create_application()
    crash_file = _start_logging()
    parts = Application()
    sys.excepthook = parts.relay.hook
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # workers end by themselves when we are gone
    parts.window.show()
    if project is not None:
        parts.window.open_path(str(project))
    elif demo:
        parts.window.open_demo()
    try:
        return application.exec()
    finally:
        parts.close()
        sys.excepthook = sys.__excepthook__
        faulthandler.disable()
        crash_file.close()


def render_window(session: Session, path: Path | str) -> None:
    """Draw the real window of a session into a PNG file, Search page in front.

    Works with QT_QPA_PLATFORM=offscreen. Raises ProjectError where the picture cannot be written.
    """
    create_application()
    window = MainWindow(session, Settings(), Notifications())
    window.resize(*PICTURE_SIZE)
    window.show()
    window.show_search()
    process_events()
    window.search.pareto.redraw()
    window.search.roc.redraw()
    process_events()
    written = window.grab().save(str(path), "PNG")
    window.hide()
    window.deleteLater()
    if not written:
        raise ProjectError(f"the picture {path} cannot be written", remedy="Choose a folder that can be written")


def _require_display() -> None:
    """Qt would abort the process; say it in a sentence instead."""
    headless = sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if headless:
        raise ProjectError("the window cannot be opened", "there is no display",
                           "Use the headless commands, for example quantiscope demo --headless")


def _start_logging():  # type: ignore[no-untyped-def]
    """A log file that is kept small, and a file for what only the interpreter's crash handler can say."""
    folder = stored.log_folder()
    handler = RotatingFileHandler(folder / "quantiscope.log", maxBytes=500_000, backupCount=2, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    crash_file = (folder / "crash.log").open("w", encoding="utf-8")
    faulthandler.enable(file=crash_file)
    return crash_file
