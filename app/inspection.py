"""What is being looked at across the pages: the candidates to compare, and the working point on ROC curves."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QObject, Signal

from app import theme

#: more curves and columns than this cannot be told apart
MOST = 6
#: signal efficiency at which rejections are read until another is chosen
WORKING_POINT = 0.8


def compared_colour(number: int) -> str:
    """The colour of the n-th candidate that is compared, the same in every view."""
    series = theme.tokens().series
    return series[number % len(series)]


class Inspection(QObject):
    """Shared by the views; holds ids only.

    Signals:
        comparedChanged(); workingPointChanged(float).
    """

    comparedChanged = Signal()
    workingPointChanged = Signal(float)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("inspection")
        self._compared: list[str] = []
        self._working_point = WORKING_POINT

    @property
    def compared(self) -> tuple[str, ...]:
        """Ids of the candidates to compare, in the order they were added."""
        return tuple(self._compared)

    @property
    def full(self) -> bool:
        """True where no more can be added."""
        return len(self._compared) >= MOST

    def compare(self, ids: Iterable[str]) -> None:
        """Compare these and no others, the first MOST of them."""
        wanted = list(dict.fromkeys(ids))[:MOST]
        if wanted != self._compared:
            self._compared = wanted
            self.comparedChanged.emit()

    def toggle(self, candidate_id: str) -> bool:
        """Add a candidate, or take it away; False where it was wanted and there is no room."""
        if candidate_id in self._compared:
            self.compare(key for key in self._compared if key != candidate_id)
            return True
        if self.full:
            return False
        self.compare([*self._compared, candidate_id])
        return True

    @property
    def working_point(self) -> float:
        """Signal efficiency in (0, 1) at which backgrounds are read from the ROC curves."""
        return self._working_point

    def set_working_point(self, efficiency: float) -> None:
        """Read the backgrounds elsewhere."""
        efficiency = min(max(float(efficiency), 0.001), 0.999)
        if efficiency != self._working_point:
            self._working_point = efficiency
            self.workingPointChanged.emit(efficiency)
