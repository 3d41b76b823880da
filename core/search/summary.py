"""What a study came to: the volume its front dominates over time, and how much each choice mattered.

Optuna is imported when importances are asked for; everything else is numpy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from core.candidate import Candidate
from core.errors import SearchError
from core.model_info import ModelInfo
from core.quant.recipe import uniform
from core.search.front import MAXIMIZE, TRAINED, Front
from core.search.objectives import BUILT, COSTS, REFERENCE_BITS, Goal, Measures, shown_figures

#: candidates below which importances say nothing
FEWEST = 10
#: how importances are computed
EVALUATOR = "PED-ANOVA (arXiv:2304.10255) by Optuna: how far the best quarter's choices are from all others'"


class HypervolumeHistory(msgspec.Struct, frozen=True):
    """Volume between the front so far and `reference`, after each trained candidate.

    `ids`, `seconds` and `volumes` have one entry a candidate, in the order they were made; `seconds` sums the wall
    time each took. Costs are counted as log2, so that `unit` is, for two objectives, quality times octaves of cost.
    """

    ids: tuple[str, ...]
    seconds: tuple[float, ...]
    volumes: tuple[float, ...]
    reference: tuple[float, ...]
    unit: str


def reference_point(goal: Goal, info: ModelInfo) -> tuple[float, ...]:
    """The stated reference of volumes: a quality of 0 (of a loss or an error: 1), costs of 8 bits all over.

    Raises:
        SearchError: a cost that only built networks have: give a reference of your own.
    """
    eight = Measures(info, goal.names - set(BUILT)).figures(uniform(info, REFERENCE_BITS))
    found = []
    for objective in goal.objectives:
        if objective.quality:
            found.append(0.0 if objective.maximized else 1.0)
        elif objective.cost in eight:
            found.append(eight[objective.cost])
        else:
            raise SearchError(f"the volume has no reference for {objective.cost}", "it is known of built networks only",
                              "Give a reference point")
    return tuple(found)


def hypervolume_history(candidates: Iterable[Candidate], goal: Goal, reference: Sequence[float]) -> HypervolumeHistory:
    """The volume after each trained candidate, on test events; one that misses a constraint adds nothing.

    Args:
        candidates: in any order; they are taken in the order they were created.
        goal: resolved where it holds a score.
        reference: one value an objective (see `reference_point`).

    Raises:
        SearchError: the reference does not fit the goal.
    """
    if len(reference) != len(goal.objectives) or not all(map(math.isfinite, reference)):
        raise SearchError("the reference point does not fit the objectives",
                          f"there are {len(goal.objectives)} objectives", "Give one number for each")
    front, corner = Front(goal.directions), _scaled(goal, reference)
    rows, elapsed, volume = [], 0.0, 0.0
    trained = [c for c in candidates if c.evaluation.kind in TRAINED]
    for candidate in sorted(trained, key=lambda c: (c.created, c.id)):
        elapsed += candidate.seconds
        figures = shown_figures(candidate)
        if goal.kept(figures) and front.add(candidate.id, _scaled(goal, goal.values(figures))):
            volume = front.hypervolume(corner)
        rows.append((candidate.id, elapsed, volume))
    ids, seconds, volumes = zip(*rows, strict=True) if rows else ((), (), ())
    unit = " x ".join(f"log2 {o.name}" if _is_cost(o.name) else o.name for o in goal.objectives)
    return HypervolumeHistory(tuple(ids), tuple(seconds), tuple(volumes), tuple(map(float, reference)), unit)


def _is_cost(name: str) -> bool:
    return name in COSTS


def _scaled(goal: Goal, values: Sequence[float]) -> list[float]:
    """Costs as log2; 0 and less, which cannot be, as half a unit."""
    return [math.log2(max(value, 0.5)) if _is_cost(objective.name) and math.isfinite(value) else value
            for objective, value in zip(goal.objectives, values, strict=True)]


class Importance(msgspec.Struct, frozen=True):
    """Share of the importance of all choices that one has; `options` is how many different ones were tried."""

    layer: str
    parameter: str
    share: float
    options: int


def importances(candidates: Iterable[Candidate], goal: Goal, objective: int = 0) -> list[Importance]:
    """How much each layer's choices matter for one objective, largest first, over the trained candidates.

    Args:
        candidates: of any spaces: what counts is which quantizers, units and sparsities their recipes have.
        goal: resolved where it holds a score.
        objective: which of the goal's.

    Raises:
        SearchError: fewer than `FEWEST` trained candidates, or nothing in which they differ.
    """
    known = [c for c in candidates if c.evaluation.kind in TRAINED
             and math.isfinite(goal.values(shown_figures(c))[objective])]
    if len(known) < FEWEST:
        raise SearchError("importances need more candidates", f"{len(known)} are trained, {FEWEST} are needed",
                          "Search on, and ask again")
    settings = [settings_of(candidate) for candidate in known]
    options = {key: sorted({setting.get(key, "") for setting in settings}) for key in dict.fromkeys(
        key for setting in settings for key in setting)}
    options = {key: found for key, found in options.items() if len(found) > 1}
    if not options:
        raise SearchError("the candidates have the same recipe throughout", remedy="Search in a space with choices")
    sign = -1.0 if goal.directions[objective] == MAXIMIZE else 1.0
    values = [sign * goal.values(shown_figures(candidate))[objective] for candidate in known]
    shares = _shares(settings, values, options)
    found = [Importance(*key, share=share, options=len(options[key])) for key, share in shares.items()]
    return sorted(found, key=lambda one: (-one.share, one.layer, one.parameter))


def settings_of(candidate: Candidate) -> dict[tuple[str, str], str]:
    """Every choice of a recipe as text, by (layer, parameter)."""
    found: dict[tuple[str, str], str] = {}
    for layer, entry in candidate.recipe.layers.items():
        found |= {(layer, parameter): text for parameter, text in entry.quantizers.items()}
        found |= {(layer, "units"): f"{entry.units_multiplier:g}", (layer, "sparsity"): f"{entry.sparsity:g}"}
    return found


def _shares(settings: Sequence[Mapping[tuple[str, str], str]], values: Sequence[float],
            options: Mapping[tuple[str, str], Sequence[str]]) -> dict[tuple[str, str], float]:
    """Shares by PED-ANOVA; smaller values are better."""
    import warnings

    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution
    from optuna.importance import PedAnovaImportanceEvaluator

    names = {f"{layer}.{parameter}": (layer, parameter) for layer, parameter in options}
    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(tuple(options[key])) for name, key in names.items()}
    study = optuna.create_study(direction="minimize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.add_trials([optuna.trial.create_trial(
            value=value, distributions=distributions,
            params={name: setting.get(key, "") for name, key in names.items()})
            for setting, value in zip(settings, values, strict=True)])
        found = optuna.importance.get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25), normalize=False)
    total = sum(found.values())
    return {names[name]: (value / total if total > 0 else 1.0 / len(found)) for name, value in found.items()}
