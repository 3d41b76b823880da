"""The table of candidates, newest last, sortable by any column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from app.models.layer_table import grouped
from app.session import Session
from core.candidate import Candidate

Index = QModelIndex | QPersistentModelIndex
SORT_ROLE = Qt.ItemDataRole.UserRole + 1
ID_ROLE = Qt.ItemDataRole.UserRole + 2


@dataclass(frozen=True)
class Column:
    """One column: title, tool tip, the value to sort by and its text."""

    title: str
    tip: str
    value: Callable[[Candidate], Any]
    text: Callable[[Any], str] = str
    numeric: bool = True


def _mean_auc(candidate: Candidate) -> float:
    areas = candidate.evaluation.auc.values()
    return sum(areas) / len(areas) if areas else 0.0


COLUMNS = (
    Column("Id", "Name of the candidate's folder in the project", lambda c: c.id, numeric=False),
    Column("Accuracy (%)", "On the test events", lambda c: c.evaluation.accuracy, lambda v: f"{100 * v:.2f}"),
    Column("Mean AUC", "Mean area under the one-against-rest ROC curves", _mean_auc, lambda v: f"{v:.4f}"),
    Column("Energy (pJ)", "For one event, QTools' 45 nm model", lambda c: c.costs.energy_pj, lambda v: f"{v:.0f}"),
    Column("Parameter bits", "Weights times their widths", lambda c: c.costs.parameter_bits, grouped),
    Column("Time (s)", "Wall time it took", lambda c: c.seconds, lambda v: f"{v:.1f}"),
    Column("Method", "What proposed it", lambda c: c.method, numeric=False),
    Column("Kind", "Trained, or evaluated without training", lambda c: c.evaluation.kind, numeric=False),
)


class CandidateTableModel(QAbstractTableModel):
    """Rows are the session's candidates in the order they came."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("candidate_table_model")
        self._session = session
        self._candidates: list[Candidate] = []
        session.projectChanged.connect(self._on_project)
        session.candidateAdded.connect(self._on_candidate)
        self._on_project()

    def row_of(self, candidate_id: str | None) -> int:
        """Row of a candidate, -1 where there is none."""
        return next((row for row, c in enumerate(self._candidates) if c.id == candidate_id), -1)

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
                return column.title
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
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(column.value(candidate))
        if role == SORT_ROLE:
            return column.value(candidate)
        if role == ID_ROLE:
            return candidate.id
        if role == Qt.ItemDataRole.TextAlignmentRole and column.numeric:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def _on_project(self) -> None:
        self.beginResetModel()
        self._candidates = list(self._session.candidates.values()) if self._session.project is not None else []
        self.endResetModel()

    def _on_candidate(self, candidate: Candidate) -> None:
        row = len(self._candidates)
        self.beginInsertRows(QModelIndex(), row, row)
        self._candidates.append(candidate)
        self.endInsertRows()
