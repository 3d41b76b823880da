"""The table of candidates, newest last, sortable by any column, and the rows of it that a filter lets through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QColor

from app.inspection import compared_colour
from app.models.candidate_filter import CandidateFilter
from app.models.layer_table import grouped
from app.models.measures import MEASURES, Known, for_metric, known_of, syntheses
from app.session import Session
from core.candidate import Candidate

Index = QModelIndex | QPersistentModelIndex
SORT_ROLE = Qt.ItemDataRole.UserRole + 1
ID_ROLE = Qt.ItemDataRole.UserRole + 2
DASH = "\u2013"


@dataclass(frozen=True)
class Column:
    """One column: title, tool tip, the value to sort by and its text; `measure` names the measure it shows."""

    title: str
    tip: str
    value: Callable[[Candidate, Known], Any]
    text: Callable[[Any], str] = str
    numeric: bool = True
    measure: str = ""


def _measured(title: str, tip: str, key: str, text: Callable[[Any], str]) -> Column:
    return Column(title, tip, lambda candidate, known: MEASURES[key].value(known), text, measure=key)


COLUMNS = (
    Column("Id", "Name of the candidate's folder in the project", lambda c, k: c.id, numeric=False),
    _measured("Accuracy (%)", "On the test events", "accuracy", lambda v: f"{100 * v:.2f}"),
    _measured("Mean AUC", "Mean area under the one-against-rest ROC curves", "mean_auc", lambda v: f"{v:.4f}"),
    _measured("Energy (pJ)", "For one event, QTools' 45 nm model", "energy_pj", lambda v: f"{v:.0f}"),
    _measured("Parameter bits", "Weights times their widths", "parameter_bits", grouped),
    _measured("Activation bits", "Values between the layers times their widths", "activation_bits", grouped),
    _measured("EBOPs", "Effective bit operations, as HGQ counts them", "ebops", grouped),
    _measured("LUT", "From the synthesis of its newest export", "syn_lut", grouped),
    Column("Time (s)", "Wall time it took", lambda c, k: c.seconds, lambda v: f"{v:.1f}"),
    Column("Method", "What proposed it", lambda c, k: c.method, numeric=False),
    Column("Kind", "Trained, or evaluated without training", lambda c, k: c.evaluation.kind, numeric=False),
)


class CandidateTableModel(QAbstractTableModel):
    """Rows are the session's candidates in the order they came."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("candidate_table_model")
        self._session = session
        self._candidates: list[Candidate] = []
        self._rows: dict[str, int] = {}
        self._synthesized = syntheses(session.exports)
        session.projectChanged.connect(self._on_project)
        session.candidateAdded.connect(self._on_candidate)
        session.exportFinished.connect(self._on_exported)
        session.inspection.comparedChanged.connect(self._on_compared)
        self._on_project()

    def row_of(self, candidate_id: str | None) -> int:
        """Row of a candidate, -1 where there is none."""
        return self._rows.get(candidate_id or "", -1)

    def candidate(self, row: int) -> Candidate:
        """The candidate of a row."""
        return self._candidates[row]

    def known(self, row: int) -> Known:
        """What is known of the candidate of a row."""
        return known_of(self._candidates[row], self._synthesized)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of candidates."""
        return 0 if parent.isValid() else len(self._candidates)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation,
                   role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles and tool tips above."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        column = COLUMNS[section]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._title(column)
            case Qt.ItemDataRole.ToolTipRole:
                return column.tip
            case Qt.ItemDataRole.TextAlignmentRole:
                return Qt.AlignmentFlag.AlignVCenter | (Qt.AlignmentFlag.AlignRight if column.numeric
                                                        else Qt.AlignmentFlag.AlignLeft)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text, alignment, sort value or candidate id."""
        if not index.isValid():
            return None
        candidate, column = self._candidates[index.row()], COLUMNS[index.column()]
        if role in (Qt.ItemDataRole.DisplayRole, SORT_ROLE):
            value = column.value(candidate, self.known(index.row()))
            if role == SORT_ROLE:
                return float("-inf") if value is None else value
            return DASH if value is None else column.text(value)
        if role == ID_ROLE:
            return candidate.id
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            compared = self._session.inspection.compared
            return QColor(compared_colour(compared.index(candidate.id))) if candidate.id in compared else None
        if role == Qt.ItemDataRole.TextAlignmentRole and column.numeric:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def _title(self, column: Column) -> str:
        if column.measure != "accuracy" or not self._candidates:
            return column.title
        return for_metric(MEASURES["accuracy"], self._candidates[0].evaluation.metric).label

    def _on_project(self) -> None:
        self.beginResetModel()
        self._candidates = list(self._session.candidates.values()) if self._session.project is not None else []
        self._rows = {candidate.id: row for row, candidate in enumerate(self._candidates)}
        self._synthesized = syntheses(self._session.exports)
        self.endResetModel()

    def _on_candidate(self, candidate: Candidate) -> None:
        row = len(self._candidates)
        self.beginInsertRows(QModelIndex(), row, row)
        self._candidates.append(candidate)
        self._rows[candidate.id] = row
        self.endInsertRows()

    def _on_compared(self) -> None:
        if self._candidates:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._candidates) - 1, 0),
                                  [Qt.ItemDataRole.DecorationRole])

    def _on_exported(self, *_: object) -> None:
        self._synthesized = syntheses(self._session.exports)
        if self._candidates:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._candidates) - 1, len(COLUMNS) - 1))


class FilteredCandidates(QSortFilterProxyModel):
    """Sorted rows that the filter takes; `marks_of` tells of an id what it is marked as."""

    def __init__(self, candidates: CandidateTableModel, marks_of: Callable[[str], dict[str, bool]],
                 parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("candidate_sorting")
        self._candidates = candidates
        self._marks_of = marks_of
        self._filter = CandidateFilter()
        self.setSourceModel(candidates)
        self.setSortRole(SORT_ROLE)

    def set_filter(self, chosen: CandidateFilter) -> None:
        """Show only what it takes."""
        self.beginFilterChange()
        self._filter = chosen
        self.endFilterChange()

    def refresh(self) -> None:
        """Look at every row again: marks have changed."""
        if self._filter.tests:
            self.beginFilterChange()
            self.endFilterChange()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        """True where the row's candidate passes."""
        if not self._filter.tests:
            return True
        candidate = self._candidates.candidate(source_row)
        return self._filter.takes(candidate, self._candidates.known(source_row), self._marks_of(candidate.id))
