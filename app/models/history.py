"""How a search gets on, for the plot: the volume its front dominates, by core.search.summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.candidate import Candidate
from core.errors import QuantiscopeError
from core.model_info import ModelInfo
from core.search.objectives import Goal
from core.search.summary import HypervolumeHistory, hypervolume_history, reference_point

Corner = tuple[Goal, tuple[float, ...]]


def corner_of(info: ModelInfo, fields: Mapping[str, Any]) -> Corner:
    """Goal and reference point of the search the project was made for last; the default goal's where it has none."""
    try:
        goal = Goal.of(fields.get("objectives") or (), fields.get("constraints") or ()).resolved(info)
        return goal, reference_point(goal, info)
    except QuantiscopeError:  # a cost that only built networks have gives no reference
        goal = Goal.of()
        return goal, reference_point(goal, info)


def history_of(candidates: Iterable[Candidate], corner: Corner) -> HypervolumeHistory:
    """The volume after each trained candidate."""
    return hypervolume_history(candidates, *corner)


def told(corner: Corner) -> str:
    """The reference point in words: "accuracy 0, energy_pj 3415"."""
    goal, reference = corner
    return ", ".join(f"{objective.name} {value:.4g}"
                     for objective, value in zip(goal.objectives, reference, strict=True))
