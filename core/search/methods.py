"""The search methods by name, and what a user is told of each. Plain values: listing them needs no Optuna."""

from __future__ import annotations

import msgspec


class Method(msgspec.Struct, frozen=True):
    """A way to propose candidates.

    `title` is for a list, `summary` one sentence for a tool tip. `needs_budget` is False where the method ends
    by itself, without a number of candidates or seconds. `proposes_recipes` is False where it has no use for
    quantizers to choose from. `epochs` are those of a training where the user names none.
    """

    key: str
    title: str
    summary: str
    needs_budget: bool = True
    proposes_recipes: bool = True
    epochs: int = 3


METHODS: dict[str, Method] = {method.key: method for method in (
    Method("staged", "Staged (proxies, then training)",
           "Weights shared by all candidates, cheap scores of many, training of the best; uses all cores"),
    Method("gradient", "Gradient (widths are trained)",
           "One training in which bit widths are trained with the weights; its snapshots form a front", False, False,
           128),
    Method("nsga2", "NSGA-II (evolution)", "A population evolves towards the front"),
    Method("tpe", "TPE (Bayesian)", "Proposes where good candidates were dense so far"),
    Method("random", "Random", "Draws from the whole space alike: the yardstick for the others"),
    Method("grid", "Grid", "Every point of the space once, far ones first"),
    Method("hyperband", "Hyperband (successive halving)",
           "Many short trainings, longer ones of the best third, and so on; only full trainings are candidates"),
    Method("blocks", "Block by block (AutoQKeras)", "One layer or block after another, the best of each kept"),
    Method("blocks_cost", "Block by block, dearest first", "As block by block, in the order of falling energy"),
    Method("greedy", "Greedy by sensitivity", "Lowers the width that hurts least, step by step, and trains on the way"),
)}
