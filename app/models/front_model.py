"""Which candidates stand where on a front plot, kept up as they arrive; plain values, no widgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from core import energy
from core.candidate import Candidate, Costs, Evaluation
from core.energy.published import NAMES, network
from core.search.front import TRAINED, Front


@dataclass(frozen=True)
class Quality:
    """What can stand on the vertical axis: larger is better; `scale` turns the stored number into the shown one."""

    key: str
    label: str
    value: Callable[[Evaluation], float | None]
    scale: float = 1.0


@dataclass(frozen=True)
class Cost:
    """What can stand on the horizontal, logarithmic axis: smaller is better."""

    key: str
    label: str
    unit: str
    value: Callable[[Costs], float | None]


def _mean_auc(evaluation: Evaluation) -> float | None:
    return sum(evaluation.auc.values()) / len(evaluation.auc) if evaluation.auc else None


QUALITIES = {quality.key: quality for quality in (
    Quality("accuracy", "Accuracy (%)", lambda e: e.accuracy, 100.0),
    Quality("mean_auc", "Mean AUC over the classes", _mean_auc),
)}
COSTS = {cost.key: cost for cost in (
    Cost("energy_pj", "Energy per event (pJ)", "pJ", lambda c: c.energy_pj),
    Cost("parameter_bits", "Parameter bits", "bits", lambda c: c.parameter_bits),
    Cost("activation_bits", "Activation bits", "bits", lambda c: c.activation_bits),
    Cost("ebops", "EBOPs", "", lambda c: c.ebops),
)}


@dataclass(frozen=True)
class PublishedPoint:
    """A network of the literature: accuracy as printed there, costs by our own models on its recipe."""

    name: str
    accuracy: float
    costs: Costs
    source: str


@lru_cache(maxsize=1)
def published_points() -> tuple[PublishedPoint, ...]:
    """The published jet taggers that have a printed accuracy, priced as in the publication."""
    found = [network(name) for name in NAMES]
    settings = energy.preset("published")
    return tuple(PublishedPoint(n.name, n.accuracy, energy.price(n.model, n.recipe, settings).costs, n.source)
                 for n in found if n.accuracy is not None)


class FrontModel:
    """Positions (log10 of the cost, shown quality) of the candidates that have both, and the front of the trained.

    Attributes:
        ids, x, y, trained: one entry a drawn candidate, in the order they came.
    """

    def __init__(self, cost: str = "energy_pj", quality: str = "accuracy") -> None:
        self.cost = COSTS[cost]
        self.quality = QUALITIES[quality]
        self.clear()

    def clear(self) -> None:
        """Forget every candidate."""
        self.ids: list[str] = []
        self.x: list[float] = []
        self.y: list[float] = []
        self.trained: list[bool] = []
        self._rows: dict[str, int] = {}
        self._front = Front()

    def set_axes(self, cost: str, quality: str, candidates: Iterable[Candidate]) -> None:
        """Other axes, filled anew."""
        self.cost, self.quality = COSTS[cost], QUALITIES[quality]
        self.clear()
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> bool:
        """Take one candidate in; False where it has no place on these axes or is in already."""
        place = self.place(candidate.costs, candidate.evaluation)
        if place is None or candidate.id in self._rows:
            return False
        self._rows[candidate.id] = len(self.ids)
        self.ids.append(candidate.id)
        self.x.append(place[0])
        self.y.append(place[1])
        self.trained.append(candidate.evaluation.kind in TRAINED)
        if self.trained[-1]:
            self._front.add(candidate.id, (place[1], place[0]))
        return True

    def place(self, costs: Costs | None, evaluation: Evaluation | None) -> tuple[float, float] | None:
        """Where costs and an evaluation stand, or None where one of them is not known."""
        if costs is None or evaluation is None:
            return None
        cost, quality = self.cost.value(costs), self.quality.value(evaluation)
        if cost is None or quality is None or not cost > 0 or not math.isfinite(quality):
            return None
        return math.log10(cost), quality * self.quality.scale

    def published(self) -> list[tuple[PublishedPoint, float, float]]:
        """Published points with their place; none where the axes show what was not published."""
        if self.quality.key != "accuracy":
            return []
        shown = ((point, self.cost.value(point.costs)) for point in published_points())
        return [(point, math.log10(cost), point.accuracy * self.quality.scale) for point, cost in shown if cost]

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, candidate_id: str) -> bool:
        return candidate_id in self._rows

    def where(self, candidate_id: str | None) -> tuple[float, float] | None:
        """Place of a candidate, or None."""
        row = self._rows.get(candidate_id or "")
        return None if row is None else (self.x[row], self.y[row])

    @property
    def front(self) -> list[str]:
        """Ids on the front, cheapest first."""
        return [key for key, _ in self._front.members()][::-1]

    def staircase(self) -> tuple[list[float], list[float]]:
        """The line below and right of which every candidate is beaten."""
        x: list[float] = []
        y: list[float] = []
        for _, (quality, cost) in reversed(self._front.members()):
            if x:
                x.append(cost)
                y.append(y[-1])
            x.append(cost)
            y.append(quality)
        return x, y

    def neighbour(self, candidate_id: str | None, step: int) -> str | None:
        """The candidate `step` places along the front; from outside it, the nearest in cost first."""
        front = self.front
        if not front:
            return None
        if candidate_id in front:
            return front[min(max(front.index(candidate_id) + step, 0), len(front) - 1)]
        here = self.where(candidate_id)
        if here is None:
            return front[0]
        return min(front, key=lambda key: abs(self.where(key)[0] - here[0]))  # type: ignore[index]
