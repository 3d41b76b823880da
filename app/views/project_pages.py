"""The four pages of a project in tabs, built one after another while the welcome page is already there."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from functools import partial
from itertools import islice

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QScrollArea, QTabWidget, QWidget
from shiboken6 import isValid

from app.session import Session
from app.views.elided import scrolled

#: what the pages import, with pyqtgraph: a fifth of a second, spent in a thread
MODULES = ("app.views.layers_page", "app.views.search_page", "app.views.compare_view", "app.views.export_panel")
#: pause between two steps of the preparation, in ms: the window answers in between
STEP_MS = 15
#: widgets that are given their style in one step
POLISHED = 25


class ProjectPages(QTabWidget):
    """Layers, Search, Compare, Export.

    `prepare` builds them step by step while the event loop turns, `complete` at once. Whoever asks for a page gets
    it, built.

    Signals:
        built(): all four are there now; comes once.
    """

    built = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("pages")
        self.setDocumentMode(True)
        self.setAccessibleName("Pages")
        self._session = session
        self._pages: dict[str, QWidget] = {}
        self._parts: dict[str, QWidget] = {}
        self._steps: list[Callable[[], None]] = [
            partial(self._make_part, "values", "distribution_plot", "DistributionPlot"),
            partial(self._make_part, "roc", "roc_plot", "RocPlot", of_recipe=True), self._make_layers,
            partial(self._make_part, "panel", "search_panel", "SearchPanel"),
            partial(self._make_part, "pareto", "pareto_plot", "ParetoPlot"),
            partial(self._make_part, "roc", "roc_plot", "RocPlot"),
            partial(self._make_part, "importance", "importance_plot", "ImportancePlot"),
            partial(self._make_part, "candidates", "candidate_view", "CandidateView"), self._make_search,
            partial(self._make_part, "roc", "roc_plot", "RocPlot", of_compared=True), self._make_compare,
            self._make_export]
        self._thread: threading.Thread | None = None
        self._unpolished: list[QWidget] = []
        self._timer = QTimer(self, objectName="pages_timer", interval=STEP_MS)
        self._timer.timeout.connect(self._on_timer)

    @property
    def complete(self) -> bool:
        """Whether all four pages are there."""
        return not self._steps

    def page(self, name: str):  # type: ignore[no-untyped-def]
        """A page by its name, "layers", "search", "compare" or "export"; all are built if they are not."""
        while self._steps:
            self._step()
        return self._pages[name]

    def prepare(self) -> None:
        """Build the pages step by step, beginning once the window has been painted."""
        if self._thread is None:
            self._timer.start()

    # -- steps -------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=_import, name="pages", daemon=True)
            self._thread.start()
        elif self._thread.is_alive():
            return
        elif self._steps:
            self._step()
        elif self._unpolished:
            for widget in islice(self._unpolished, POLISHED):
                if isValid(widget):  # a form may have been rebuilt meanwhile
                    widget.ensurePolished()
            del self._unpolished[:POLISHED]
        else:
            self._timer.stop()

    def _step(self) -> None:
        self._steps[0]()
        del self._steps[0]
        if not self._steps:
            self._unpolished = [widget for page in self._pages.values() for widget in page.findChildren(QWidget)]
            self.built.emit()

    def _add_next(self, name: str, title: str, page: QWidget) -> None:
        """Adding a page gives all in it a style, which is a step of its own."""
        self._steps.insert(1, partial(self._add, name, title, page))

    def _add(self, name: str, title: str, page: QWidget) -> None:
        """Within scroll bars, which show in a window too small for the page."""
        self._pages[name] = page
        self.addTab(scrolled(page, f"{name}_area"), title)

    def currentWidget(self) -> QWidget:
        """The page in front."""
        area = super().currentWidget()
        return area.widget() if isinstance(area, QScrollArea) else area

    def setCurrentWidget(self, page: QWidget) -> None:
        """Bring a page to the front."""
        self.setCurrentIndex(list(self._pages.values()).index(page))

    def _make_part(self, name: str, module: str, kind: str, **fields: bool) -> None:
        """A part of the next page: all of a page at once would take too long."""
        self._parts[name] = getattr(importlib.import_module(f"app.views.{module}"), kind)(self._session, **fields)

    def _taken(self) -> dict[str, QWidget]:
        """The parts made so far, given away."""
        parts, self._parts = self._parts, {}
        return parts

    def _make_layers(self) -> None:
        from app.views.layers_page import LayersPage

        self._add_next("layers", "Layers", LayersPage(self._session, self, **self._taken()))  # type: ignore[arg-type]

    def _make_search(self) -> None:
        from app.views.search_page import SearchPage

        self._add_next("search", "Search", SearchPage(self._session, self, **self._taken()))  # type: ignore[arg-type]

    def _make_compare(self) -> None:
        from app.views.compare_view import CompareView

        page = CompareView(self._session, self, **self._taken())  # type: ignore[arg-type]
        search = self._pages["search"]
        search.pareto.frontChanged.connect(page.set_front)  # type: ignore[attr-defined]
        page.set_front(search.pareto.points.front)  # type: ignore[attr-defined]
        self._add_next("compare", "Compare", page)

    def _make_export(self) -> None:
        from app.views.export_panel import ExportPanel

        self._add_next("export", "Export", ExportPanel(self._session, self))


def _import() -> None:
    for name in MODULES:
        importlib.import_module(name)
