"""The Pareto front, kept up as points arrive, and the volume it dominates. numpy alone.

Every objective has a direction, "maximize" or "minimize"; a point is a tuple of finite numbers.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence

import numpy as np

from core.candidate import Candidate
from core.errors import SearchError

MAXIMIZE = "maximize"
MINIMIZE = "minimize"
#: the front a user picks from holds accuracies of these kinds; proxies are never on it
TRAINED = frozenset({"trained"})


class Front:
    """The points that no other point beats, each under a key.

    A point equal to one on the front in every objective is not taken: the first one stays.

    Args:
        directions: "maximize" or "minimize" for each objective.
    """

    def __init__(self, directions: Sequence[str] = (MAXIMIZE, MINIMIZE)) -> None:
        if not directions or any(direction not in (MAXIMIZE, MINIMIZE) for direction in directions):
            raise ValueError(f"directions {directions!r}")
        self.directions = tuple(directions)
        self._signs = tuple(-1.0 if direction == MAXIMIZE else 1.0 for direction in directions)
        # sorted by the first objective; all values turned so that smaller is better
        self._points: list[tuple[float, ...]] = []
        self._keys: list[str] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str, values: Sequence[float]) -> bool:
        """Offer a point; True where it is now on the front. Values that are not finite never are."""
        if len(values) != len(self._signs):
            raise ValueError(f"{len(values)} values for {len(self._signs)} objectives")
        if not all(math.isfinite(value) for value in values):
            return False
        point = tuple(sign * float(value) for sign, value in zip(self._signs, values, strict=True))
        place = bisect.bisect_right(self._points, point)
        if len(point) == 2:
            return self._add_2d(key, point, place)
        if any(_covers(other, point) for other in self._points[:place]):
            return False
        kept = [i for i, other in enumerate(self._points) if i < place or not _covers(point, other)]
        self._points = [self._points[i] for i in kept]
        self._keys = [self._keys[i] for i in kept]
        place = bisect.bisect_right(self._points, point)
        self._insert(place, key, point)
        return True

    def _add_2d(self, key: str, point: tuple[float, ...], place: int) -> bool:
        # along a sorted 2-D front the second objective falls, so only the left neighbour can cover the point
        if place and self._points[place - 1][1] <= point[1]:
            return False
        end = place
        while end < len(self._points) and self._points[end][1] >= point[1]:
            end += 1
        del self._points[place:end], self._keys[place:end]
        self._insert(place, key, point)
        return True

    def _insert(self, place: int, key: str, point: tuple[float, ...]) -> None:
        self._points.insert(place, point)
        self._keys.insert(place, key)

    def members(self) -> list[tuple[str, tuple[float, ...]]]:
        """(key, values) of each point on the front, best in the first objective first."""
        return [(key, tuple(sign * value for sign, value in zip(self._signs, point, strict=True)))
                for key, point in zip(self._keys, self._points, strict=True)]

    def hypervolume(self, reference: Sequence[float]) -> float:
        """Volume between the front and `reference`, a point worse than what matters, in the objectives' units.

        Points that are not better than the reference in every objective add nothing.
        """
        corner = [sign * float(value) for sign, value in zip(self._signs, reference, strict=True)]
        points = [point for point in self._points if all(p < c for p, c in zip(point, corner, strict=True))]
        return _volume(points, corner)


def _covers(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """True where `a` is no worse than `b` in every objective (smaller is better)."""
    return all(x <= y for x, y in zip(a, b, strict=True))


def _volume(points: list[tuple[float, ...]], corner: list[float]) -> float:
    """Hypervolume by slices along the first objective; smaller is better, all points are within the corner."""
    if not points:
        return 0.0
    if len(corner) == 1:
        return corner[0] - min(point[0] for point in points)
    ordered = sorted(points)
    total = 0.0
    if len(corner) == 2:
        lowest = corner[1]
        for x, y in ordered:
            if y < lowest:
                total += (corner[0] - x) * (lowest - y)
                lowest = y
        return total
    for i, point in enumerate(ordered):
        end = ordered[i + 1][0] if i + 1 < len(ordered) else corner[0]
        if end > point[0]:
            total += (end - point[0]) * _volume([p[1:] for p in ordered[: i + 1]], corner[1:])
    return total


def pareto_mask(values: np.ndarray, directions: Sequence[str] = (MAXIMIZE, MINIMIZE)) -> np.ndarray:
    """Boolean mask (n,) of the rows of `values` (n, objectives) that no row beats; of equal rows the first."""
    front = Front(directions)
    for number, row in enumerate(np.asarray(values, dtype=float)):
        front.add(str(number), row.tolist())
    mask = np.zeros(len(values), dtype=bool)
    mask[[int(key) for key, _ in front.members()]] = True
    return mask


def candidate_front(candidates: Iterable[Candidate], cost: str = "energy_pj",
                    kinds: frozenset[str] = TRAINED) -> list[Candidate]:
    """The candidates whose accuracy against `cost` (a field of Costs, or "bits") no other beats.

    Only those whose accuracy is of one of `kinds` count. Most accurate first.

    Raises:
        SearchError: `cost` is no cost.
    """
    front = Front()
    known: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.evaluation.kind not in kinds:
            continue
        value = getattr(candidate.costs, cost, None)
        if value is None:
            if not hasattr(candidate.costs, cost):
                raise SearchError(f"{cost!r} is not a cost", remedy="Use energy_pj, parameter_bits or activation_bits")
            continue
        known[candidate.id] = candidate
        front.add(candidate.id, (candidate.evaluation.accuracy, float(value)))
    return [known[key] for key, _ in front.members()]


def best_tradeoff(candidates: Iterable[Candidate], float_accuracy: float, tolerance: float = 0.01) -> Candidate | None:
    """The cheapest trained candidate within `tolerance` (absolute) of the float accuracy.

    Where none is that good, the most accurate one; None where there is no trained candidate.
    """
    front = candidate_front(candidates)
    good = [c for c in front if c.evaluation.accuracy >= float_accuracy - tolerance]
    if good:
        return min(good, key=lambda c: c.costs.energy_pj)
    return front[0] if front else None
