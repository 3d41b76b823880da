"""Plain values for reports, from core objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.candidate import Candidate
from core.errors import SearchError
from core.model_info import ModelInfo
from core.search.front import candidate_front
from core.search.objectives import Goal, goal_front, shown_figures


def point(candidate: Candidate) -> dict[str, Any]:
    """One candidate as a point of the front."""
    return {"id": candidate.id, "accuracy": candidate.evaluation.accuracy, "energy_pj": candidate.costs.energy_pj,
            "bits": candidate.costs.bits}


def front_points(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """The Pareto front of the trained candidates, most accurate first."""
    return [point(candidate) for candidate in candidate_front(candidates)]


def goal_points(candidates: Sequence[Candidate], goal: Goal) -> list[dict[str, Any]]:
    """The front by a goal: the value of each objective on test events, and every figure it asks for."""
    points = []
    for candidate in goal_front(candidates, goal):
        figures = shown_figures(candidate)
        named = {objective.name: value for objective, value in zip(goal.objectives, goal.values(figures), strict=True)}
        points.append({"id": candidate.id, **named,
                       **{name: figures[name] for name in sorted(goal.names) if name in figures}})
    return points


def study_report(candidates: Sequence[Candidate], goal: Goal, info: ModelInfo,
                 reference: Sequence[float] | None = None) -> dict[str, Any]:
    """Front, hypervolume over time and importances; `importances` is a sentence where there are none."""
    from core.search.summary import EVALUATOR, hypervolume_history, importances, reference_point

    history = hypervolume_history(candidates, goal, reference or reference_point(goal, info))
    important: dict[str, Any] = {}
    try:
        for number, objective in enumerate(goal.objectives):
            important[objective.name] = [
                {"layer": one.layer, "parameter": one.parameter, "share": one.share}
                for one in importances(candidates, goal, number)]
    except SearchError as error:
        important["note"] = str(error)
    return {"candidates": len(candidates), "front": goal_points(candidates, goal),
            "hypervolume": {"reference": list(history.reference), "unit": history.unit, "ids": list(history.ids),
                            "seconds": list(history.seconds), "volumes": list(history.volumes)},
            "importance_by": EVALUATOR, "importances": important}
