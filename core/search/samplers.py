"""The methods that propose candidates: Optuna's own samplers, asked one proposal at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from core.errors import SearchError

#: small, because a budget is tens to hundreds of candidates and generations must turn over
POPULATION = 16


def _nsga2(seed: int) -> BaseSampler:
    return NSGAIISampler(population_size=POPULATION, seed=seed)


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, n_startup_trials=POPULATION)


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


METHODS: dict[str, Callable[[int], BaseSampler]] = {"nsga2": _nsga2, "tpe": _tpe, "random": _random}
#: shared weights, proxies, then training of the best: `core.search.staged`
STAGED = "staged"
#: one training in which the widths are trained too
GRADIENT = "gradient"
#: methods that propose in their own way; Optuna has no part in them but to keep what was tried
OWN = (STAGED, GRADIENT)


def check_method(method: str) -> None:
    """Raise SearchError for a method that is not one of METHODS or OWN."""
    if method not in METHODS and method not in OWN:
        raise SearchError(f"unknown search method {method!r}", remedy=f"Use one of: {', '.join([*OWN, *METHODS])}")


def make_sampler(method: str, seed: int) -> BaseSampler:
    """A fresh sampler; what it proposes depends on `seed` and on the study's trials alone."""
    check_method(method)
    if method in OWN:
        return _random(seed)  # they have their own way to propose; the study only keeps what they tried
    return METHODS[method](seed)
