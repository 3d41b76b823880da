"""The Search page: the form at the left, the front over the candidates, ROC curves and the volume beside it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QTabWidget, QWidget

from app.session import Session
from app.views.candidate_view import CandidateView
from app.views.history_plot import HistoryPlot
from app.views.importance_plot import ImportancePlot
from app.views.pareto_plot import ParetoPlot
from app.views.roc_plot import RocPlot
from app.views.search_panel import SearchPanel

FORM_WIDTH = 340
#: heights in pixels that the plots and the table have at least; below, the page scrolls
LEAST_PLOTS, LEAST_TABLE = 260, 130


class SearchPage(QWidget):
    """Lays the search's views out.

    Parts are taken where they were made before: all at once they take a tenth of a second.
    """

    def __init__(self, session: Session, parent: QWidget | None = None, panel: SearchPanel | None = None,
                 pareto: ParetoPlot | None = None, roc: RocPlot | None = None,
                 importance: ImportancePlot | None = None, candidates: CandidateView | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("search_page")
        self.panel = panel or SearchPanel(session, self)
        self.panel.setFixedWidth(FORM_WIDTH)
        self.pareto = pareto or ParetoPlot(session, self)
        self.roc = roc or RocPlot(session, self)
        self.history = HistoryPlot(session, self)
        self.candidates = candidates or CandidateView(session, self)
        self.candidates.set_front(self.pareto.points.front)
        self.pareto.frontChanged.connect(self.candidates.set_front)
        self.beside = QTabWidget(self, objectName="search_beside", documentMode=True)
        self.beside.setAccessibleName("Plots beside the front")
        self.beside.addTab(self.roc, "ROC")
        self.beside.addTab(self.history, "Progress")
        self.importance = importance or ImportancePlot(session, self)
        self.beside.addTab(self.importance, "Importance")
        plots = QSplitter(Qt.Orientation.Horizontal, self, objectName="search_plots")
        plots.addWidget(self.pareto)
        plots.addWidget(self.beside)
        plots.setSizes([620, 450])
        self.splitter = QSplitter(Qt.Orientation.Vertical, self, objectName="search_splitter")
        self.splitter.addWidget(plots)
        self.splitter.addWidget(self.candidates)
        self.splitter.setSizes([500, 260])
        plots.setMinimumHeight(LEAST_PLOTS)
        self.candidates.setMinimumHeight(LEAST_TABLE)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 4, 12, 8)
        layout.addWidget(self.panel)
        layout.addWidget(self.splitter, 1)
