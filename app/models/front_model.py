"""Which candidates stand where on a front plot, kept up as they arrive; plain values, no widgets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.models.measures import MEASURES, Known, Measure, for_metric, known_of
from core import energy
from core.candidate import Candidate, Costs
from core.energy.published import NAMES, network
from core.hls.report import SynthesisReport
from core.search.front import MINIMIZE, TRAINED, Front


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
    """Positions of the candidates that have both measures, and the front of the trained ones.

    A position is what is drawn: log10 of the shown value on a logarithmic axis, else the shown value.

    Attributes:
        horizontal, vertical: the measures of the axes.
        ids, x, y, trained, methods: one entry a drawn candidate, in the order they came.
    """

    def __init__(self, horizontal: str = "energy_pj", vertical: str = "accuracy") -> None:
        self.horizontal = MEASURES[horizontal]
        self.vertical = MEASURES[vertical]
        self._synthesized: dict[str, SynthesisReport] = {}
        self.clear()

    def clear(self) -> None:
        """Forget every candidate."""
        self.ids: list[str] = []
        self.x: list[float] = []
        self.y: list[float] = []
        self.trained: list[bool] = []
        self.methods: list[str] = []
        self._rows: dict[str, int] = {}
        self._front = Front((self.horizontal.better, self.vertical.better))

    def set_axes(self, horizontal: str, vertical: str, candidates: Iterable[Candidate],
                 synthesized: Mapping[str, SynthesisReport] | None = None, metric: str = "accuracy") -> None:
        """Other axes, filled anew; `metric` is what the model calls accuracy."""
        self.horizontal = for_metric(MEASURES[horizontal], metric)
        self.vertical = for_metric(MEASURES[vertical], metric)
        self._synthesized = dict(synthesized or {})
        self.clear()
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> bool:
        """Take one candidate in; False where it has no place on these axes or is in already."""
        place = self.place(known_of(candidate, self._synthesized))
        if place is None or candidate.id in self._rows:
            return False
        self._rows[candidate.id] = len(self.ids)
        self.ids.append(candidate.id)
        self.x.append(place[0])
        self.y.append(place[1])
        self.trained.append(candidate.evaluation.kind in TRAINED)
        self.methods.append(candidate.method)
        if self.trained[-1]:
            self._front.add(candidate.id, place)
        return True

    def place(self, known: Known) -> tuple[float, float] | None:
        """Where something stands, or None where one of its measures is not known or cannot be drawn."""
        x, y = drawn(self.horizontal, known), drawn(self.vertical, known)
        return None if x is None or y is None else (x, y)

    def published(self) -> list[tuple[PublishedPoint, float, float]]:
        """Published points with their place; none where an axis shows what was not published."""
        found = []
        for point in published_points():
            x, y = (_printed(measure, point) for measure in (self.horizontal, self.vertical))
            if x is not None and y is not None:
                found.append((point, x, y))
        return found

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, candidate_id: str) -> bool:
        return candidate_id in self._rows

    def where(self, candidate_id: str | None) -> tuple[float, float] | None:
        """Place of a candidate, or None."""
        row = self._rows.get(candidate_id or "")
        return None if row is None else (self.x[row], self.y[row])

    def _members(self) -> list[tuple[str, tuple[float, ...]]]:
        return sorted(self._front.members(), key=lambda member: member[1])

    @property
    def front(self) -> list[str]:
        """Ids on the front, from left to right."""
        return [key for key, _ in self._members()]

    def staircase(self) -> tuple[list[float], list[float]]:
        """The line that parts what is beaten from what no candidate reaches."""
        x: list[float] = []
        y: list[float] = []
        left_is_better = self.horizontal.better == MINIMIZE
        for _, (right, level) in self._members():
            if x:  # between two points the one that is better along the horizontal still holds
                x.append(right if left_is_better else x[-1])
                y.append(y[-1] if left_is_better else level)
            x.append(right)
            y.append(level)
        return x, y

    def neighbour(self, candidate_id: str | None, step: int) -> str | None:
        """The candidate `step` places along the front; from outside it, the nearest one first."""
        front = self.front
        if not front:
            return None
        if candidate_id in front:
            return front[min(max(front.index(candidate_id) + step, 0), len(front) - 1)]
        here = self.where(candidate_id)
        if here is None or abs(step) > len(front):
            return front[-1 if step > len(front) else 0]
        return min(front, key=lambda key: abs(self.where(key)[0] - here[0]))  # type: ignore[index]


def drawn(measure: Measure, known: Known) -> float | None:
    """The coordinate at which a measure is drawn, or None."""
    shown = measure.shown(known)
    if shown is None or not math.isfinite(shown):
        return None
    if not measure.log:
        return float(shown)
    return math.log10(shown) if shown > 0 else None


def _printed(measure: Measure, point: PublishedPoint) -> float | None:
    """The coordinate of a published network; of its quality the accuracy alone was printed."""
    if measure.quality:
        value = {"accuracy": point.accuracy, "error": 1 - point.accuracy}.get(measure.key)
        if value is None or measure.scale == 1.0:  # another metric than accuracy
            return None
        return math.log10(value * measure.scale) if measure.log else value * measure.scale
    return drawn(measure, Known(costs=point.costs))
