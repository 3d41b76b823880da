"""The table of candidates beside the front: select one here or there."""

from __future__ import annotations

from PySide6.QtCore import QItemSelection, QSortFilterProxyModel, Qt
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QLabel, QPushButton, QTableView, QVBoxLayout, QWidget

from app import theme
from app.models.candidate_table import ID_ROLE, SORT_ROLE, CandidateTableModel
from app.session import Session


class CandidateView(QWidget):
    """Sortable table; the selected candidate's recipe can be taken over for editing."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("candidate_view")
        self._session = session
        self.candidates = CandidateTableModel(session, self)
        self.sorted = QSortFilterProxyModel(self, objectName="candidate_sorting")
        self.sorted.setSourceModel(self.candidates)
        self.sorted.setSortRole(SORT_ROLE)
        self.table = QTableView(self, objectName="candidate_table")
        self.table.setAccessibleName("Candidates")
        self.table.setModel(self.sorted)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setAlternatingRowColors(True)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(26)
        self.table.horizontalHeader().setStretchLastSection(True)
        self._sized = False
        self.count = QLabel("", self, objectName="candidate_count")
        theme.set_role(self.count, "muted")
        self.apply = QPushButton("Edit this recipe", self, objectName="candidate_apply")
        self.apply.setToolTip("Take the selected candidate's quantizers into the table of layers (Ctrl+Return)")
        self._arrange()
        self.table.selectionModel().selectionChanged.connect(self._on_selected)
        self.apply.clicked.connect(self._on_apply)
        session.projectChanged.connect(self._on_changed)
        session.candidateAdded.connect(self._on_changed)
        session.selectionChanged.connect(self._on_selection)
        self._on_changed()

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.count, 1)
        row.addWidget(self.apply)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table, 1)
        layout.addLayout(row)

    def _on_selected(self, selected: QItemSelection) -> None:
        indexes = selected.indexes()
        if indexes:
            self._session.select_candidate(indexes[0].data(ID_ROLE))

    def _on_selection(self) -> None:
        self.apply.setEnabled(self._session.selected is not None)
        row = self.candidates.row_of(self._session.selected_id)
        if row < 0:
            self.table.clearSelection()
            return
        index = self.sorted.mapFromSource(self.candidates.index(row, 0))
        if not self.table.selectionModel().isRowSelected(index.row(), index.parent()):
            self.table.selectRow(index.row())
            self.table.scrollTo(index)

    def _on_changed(self, *_: object) -> None:
        number = self.candidates.rowCount()
        self.count.setText("No candidates yet: start a search, or train the recipe." if not number
                           else f"{number} candidate{'s' if number > 1 else ''}")
        if number and not self._sized:
            self.table.resizeColumnsToContents()
        self._sized = number > 0
        self._on_selection()

    def _on_apply(self) -> None:
        if self._session.selected_id is not None:
            self._session.apply_candidate(self._session.selected_id)
