"""The table of candidates beside the front: filter it, select one here or there, mark those to compare."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.models.candidate_filter import EXAMPLE, parse_filter
from app.models.candidate_table import ID_ROLE, CandidateTableModel, FilteredCandidates
from app.session import Session
from app.views.elided import ElidedLabel
from core.errors import SearchError

#: the filter is applied this long after the last key, in ms
FILTER_MS = 200
ROW_HEIGHT = 26
#: pixels of the colour that marks a compared candidate
MARK_WIDTH = 24
TIP = (f"For example: {EXAMPLE}\nWords: front, compared, a method, a kind, a part of a quantizer.\n"
       "Numbers are compared in the unit of the column.")


class CandidateView(QWidget):
    """Sortable, filtered table; the selected candidate's recipe can be taken over for editing.

    Signals:
        compareWanted(): show the candidates that are compared.
    """

    compareWanted = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("candidate_view")
        self._session = session
        self._front: frozenset[str] = frozenset()
        self._sized = False
        self.candidates = CandidateTableModel(session, self)
        self.sorted = FilteredCandidates(self.candidates, self._marks_of, self)
        self._make_table()
        self._make_controls()
        self._arrange()
        self.table.selectionModel().currentRowChanged.connect(self._on_current)
        session.projectChanged.connect(self._on_changed)
        session.candidateAdded.connect(self._on_changed)
        session.selectionChanged.connect(self._on_selection)
        session.inspection.comparedChanged.connect(self._on_compared)
        self._on_changed()
        self._on_compared()

    def _make_table(self) -> None:
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
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.installEventFilter(self)

    def _make_controls(self) -> None:
        self.filter = QLineEdit(self, objectName="candidate_filter", placeholderText=f"Filter: {EXAMPLE}",
                                clearButtonEnabled=True, toolTip=TIP)
        self.filter.setAccessibleName("Filter of the candidates")
        self._timer = QTimer(self, objectName="candidate_filter_timer", singleShot=True, interval=FILTER_MS)
        self._timer.timeout.connect(self._on_filter)
        self.filter.textChanged.connect(self._timer.start)
        self.filter.returnPressed.connect(self._on_filter)
        self.message = QLabel("", self, objectName="candidate_message", wordWrap=True)
        theme.set_role(self.message, "error")
        self.message.hide()
        self.count = ElidedLabel("", self, objectName="candidate_count")
        theme.set_role(self.count, "muted")
        self.compare = QPushButton("Add to comparison", self, objectName="candidate_compare")
        self.compare.setToolTip("Mark the selected candidate for the Compare page, or take the mark away (Space)")
        self.show_compared = QPushButton("Compare", self, objectName="candidate_show_compared")
        self.apply = QPushButton("Edit this recipe", self, objectName="candidate_apply")
        self.apply.setToolTip("Take the selected candidate's quantizers into the table of layers (Ctrl+Return)")
        self.compare.clicked.connect(self._on_compare)
        self.show_compared.clicked.connect(self.compareWanted)
        self.apply.clicked.connect(self._on_apply)

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.count, 1)
        for button in (self.compare, self.show_compared, self.apply):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.filter)
        layout.addWidget(self.message)
        layout.addWidget(self.table, 1)
        layout.addLayout(row)

    def set_front(self, ids: Sequence[str]) -> None:
        """Tell which candidates are on the front that is drawn; the filter's word "front" means these."""
        self._front = frozenset(ids)
        self.sorted.refresh()
        self._show_count()

    def _marks_of(self, candidate_id: str) -> dict[str, bool]:
        return {"front": candidate_id in self._front,
                "compared": candidate_id in self._session.inspection.compared}

    # -- acting ------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Space marks the selected candidate; the table would toggle the selection."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and watched is self.table \
                and event.key() == Qt.Key.Key_Space:
            self._on_compare()
            return True
        return super().eventFilter(watched, event)

    def _on_current(self, current: QModelIndex, _: QModelIndex) -> None:
        if current.isValid():
            self._session.select_candidate(current.data(ID_ROLE))

    def _on_compare(self) -> None:
        if self._session.selected_id is not None:
            self._session.toggle_compared(self._session.selected_id)

    def _on_apply(self) -> None:
        if self._session.selected_id is not None:
            self._session.apply_candidate(self._session.selected_id)

    def _on_filter(self) -> None:
        self._timer.stop()
        try:
            self.sorted.set_filter(parse_filter(self.filter.text()))
        except SearchError as error:
            self.message.setText(str(error))
            self.message.show()
            self._mark(True)
            return
        self.message.hide()
        self._mark(False)
        self._show_count()
        self._on_selection()

    def _mark(self, wrong: bool) -> None:
        self.filter.setProperty("invalid", "true" if wrong else "false")
        self.filter.style().unpolish(self.filter)
        self.filter.style().polish(self.filter)

    # -- following ---------------------------------------------------------------------------------

    def _on_selection(self) -> None:
        session = self._session
        for button in (self.apply, self.compare):
            button.setEnabled(session.selected is not None)
        self._name_compare()
        row = self.candidates.row_of(session.selected_id)
        index = self.sorted.mapFromSource(self.candidates.index(row, 0)) if row >= 0 else QModelIndex()
        if not index.isValid():
            self.table.selectionModel().clear()
            return
        if not self.table.selectionModel().isRowSelected(index.row(), index.parent()):
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.table.selectionModel().setCurrentIndex(index, flags)
            self.table.scrollTo(index)

    def _on_compared(self) -> None:
        number = len(self._session.inspection.compared)
        self.show_compared.setText(f"Compare ({number})" if number else "Compare")
        self.show_compared.setEnabled(number >= 2)
        self.show_compared.setToolTip("Show the marked candidates side by side" if number >= 2
                                      else "Mark two to six candidates first")
        self._name_compare()
        self.sorted.refresh()
        self._show_count()

    def _name_compare(self) -> None:
        marked = self._session.selected_id in self._session.inspection.compared
        self.compare.setText("Remove from comparison" if marked else "Add to comparison")

    def _on_changed(self, *_: object) -> None:
        number = self.candidates.rowCount()
        self._show_count()
        if number and not self._sized:
            self.table.resizeColumnsToContents()
            header = self.table.horizontalHeader()
            header.resizeSection(0, header.sectionSize(0) + MARK_WIDTH)
        self._sized = number > 0
        self._on_selection()

    def _show_count(self) -> None:
        number, shown = self.candidates.rowCount(), self.sorted.rowCount()
        noun = f"candidate{'s' if number != 1 else ''}"
        self.count.setText("No candidates yet: start a search, or train the recipe." if not number
                           else f"{number} {noun}" if shown == number else f"{shown} of {number} {noun}")
