"""Plain values for reports, from core objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.candidate import Candidate
from core.search.front import candidate_front


def point(candidate: Candidate) -> dict[str, Any]:
    """One candidate as a point of the front."""
    return {"id": candidate.id, "accuracy": candidate.evaluation.accuracy, "energy_pj": candidate.costs.energy_pj,
            "bits": candidate.costs.bits}


def front_points(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """The Pareto front of the trained candidates, most accurate first."""
    return [point(candidate) for candidate in candidate_front(candidates)]
