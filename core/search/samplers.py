"""The methods that propose candidates: Optuna's own samplers, asked one proposal at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from core.errors import SearchError

#: small, because a budget is tens to hundreds of candidates and generations must turn over
POPULATION = 16

def _nsga2(seed: int, parallel: bool) -> BaseSampler:
    return NSGAIISampler(population_size=POPULATION, seed=seed)


def _tpe(seed: int, parallel: bool) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=POPULATION, constant_liar=parallel)


def _random(seed: int, parallel: bool) -> BaseSampler:
    return RandomSampler(seed=seed)


METHODS: dict[str, Callable[[int, bool], BaseSampler]] = {"nsga2": _nsga2, "tpe": _tpe, "random": _random}
#: shared weights, proxies, then training of the best: `core.search.staged`
STAGED = "staged"
#: one training in which the widths are trained too
GRADIENT = "gradient"
#: plans of points that are known without Optuna: `core.search.plans`
PLANNED = ("grid", "hyperband", "blocks", "blocks_cost", "greedy")
#: methods that propose in their own way; Optuna has no part in them but to keep what was tried
OWN = (STAGED, GRADIENT, *PLANNED)


def check_method(method: str) -> None:
    """Raise SearchError for a method that is not one of METHODS or OWN."""
    if method not in METHODS and method not in OWN:
        raise SearchError(f"unknown search method {method!r}", remedy=f"Use one of: {', '.join([*OWN, *METHODS])}")


def make_sampler(method: str, seed: int, parallel: bool = False) -> BaseSampler:
    """A fresh sampler; what it proposes depends on `seed` and on the study's trials alone.

    `parallel`: other proposals are still being tried. Constraints are those that the trials carry.
    """
    check_method(method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # methods of their own only need a study that keeps what they tried
        make = _random if method in OWN else METHODS[method]
        return make(seed, parallel)
