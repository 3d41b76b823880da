"""The Search page: the form at the left, the front over the candidates, the ROC curves of the selected one."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QWidget

from app.session import Session
from app.views.candidate_view import CandidateView
from app.views.pareto_plot import ParetoPlot
from app.views.roc_plot import RocPlot
from app.views.search_panel import SearchPanel

FORM_WIDTH = 330


class SearchPage(QWidget):
    """Lays the search's views out."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("search_page")
        self.panel = SearchPanel(session, self)
        self.panel.setFixedWidth(FORM_WIDTH)
        self.pareto = ParetoPlot(session, self)
        self.roc = RocPlot(session, self)
        self.candidates = CandidateView(session, self)
        self.candidates.set_front(self.pareto.points.front)
        self.pareto.frontChanged.connect(self.candidates.set_front)
        plots = QSplitter(Qt.Orientation.Horizontal, self, objectName="search_plots")
        plots.addWidget(self.pareto)
        plots.addWidget(self.roc)
        plots.setSizes([620, 450])
        self.splitter = QSplitter(Qt.Orientation.Vertical, self, objectName="search_splitter")
        self.splitter.addWidget(plots)
        self.splitter.addWidget(self.candidates)
        self.splitter.setSizes([500, 260])
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 4, 12, 8)
        layout.addWidget(self.panel)
        layout.addWidget(self.splitter, 1)
