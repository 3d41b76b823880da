"""AutoQKeras's schedule: one block of layers after another, the best of each being kept for those that follow.

Blocks are patterns of layer names, or single layers; in the model's order, or the dearest first. Where AutoQKeras
leaves later blocks in float, they have their widest quantizers here. After the last block the first one comes again.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from core.energy import price
from core.errors import SearchError
from core.search.objectives import Goal
from core.search.space import Choice
from core.search.tasks import Context, Figures, Plan, Point

#: points of one block: AutoQKeras's least number
TRIALS = 10
WIDEST = 64
DRAWS = 20


def sequential(context: Context) -> Plan:
    """Blocks in the order they are given, or the model's."""
    return _schedule(context, _blocks(context))


def by_cost(context: Context) -> Plan:
    """Blocks by falling energy at their widest, as AutoQKeras's "cost" order."""
    recipe = context.space.decode(context.space.uniform(WIDEST))
    energy = {row.name: row.profile_pj for row in price(context.info, recipe).rows}

    def cost(choices: Sequence[Choice]) -> float:
        return sum(energy.get(name, 0.0) for name in {choice.layer for choice in choices})

    return _schedule(context, sorted(_blocks(context), key=cost, reverse=True))


def _schedule(context: Context, blocks: Sequence[Sequence[Choice]]) -> Plan:
    goal = _scalar(context)
    best: Point = context.space.uniform(WIDEST)
    figures = (yield [context.trained(best)])[0]
    for turn in itertools.count():
        for number, choices in enumerate(blocks):
            points = _points(context, choices, best, turn, number)
            if not points:
                continue
            results = yield [context.trained(point) for point in points]
            best, figures = _better(goal, best, figures, points, results)
        if turn and not any(_points(context, choices, best, turn, n) for n, choices in enumerate(blocks)):
            return


def _better(goal: Goal, best: Point, figures: Figures | None, points: Sequence[Point],
            results: Sequence[Figures | None]) -> tuple[Point, Figures | None]:
    known: list[tuple[Point, Figures]] = [(p, f) for p, f in zip([best, *points], [figures, *results], strict=True)
                                          if f is not None]
    return known[goal.ranked([f for _, f in known])[0]] if known else (best, figures)


def _scalar(context: Context) -> Goal:
    """One figure to choose by: the goal's own score, else that of its first quality and cost."""
    scores = [objective for objective in context.goal.objectives if objective.tolerance]
    if scores:
        return Goal((scores[0],), context.goal.constraints)
    cost = next((o.cost for o in context.goal.objectives if o.cost), "energy_pj")
    quality = next((o.quality for o in context.goal.objectives if o.maximized), "accuracy")
    return Goal(Goal.of([f"score({quality}, {cost})"]).resolved(context.info).objectives, context.goal.constraints)


def _blocks(context: Context) -> list[list[Choice]]:
    """The choices of each block; layers that no pattern matches are together in a last one."""
    found: dict[str, list[Choice]] = {pattern: [] for pattern in context.blocks}
    for choice in context.space.choices:
        try:
            name = next((p for p in context.blocks if re.match(p, choice.layer)), None)
        except re.error as error:
            raise SearchError("a block cannot be read", str(error), "Give patterns of layer names such as ^dense") \
                from None
        found.setdefault((choice.layer if not context.blocks else "") if name is None else name, []).append(choice)
    empty = next((pattern for pattern in context.blocks if not found[pattern]), None)
    if empty is not None:
        raise SearchError(f"the block {empty!r} has nothing to choose", "no layer of the space begins like that",
                          f"The layers are: {', '.join(dict.fromkeys(c.layer for c in context.space.choices))}")
    return list(found.values())


def _points(context: Context, choices: Sequence[Choice], best: Mapping[str, int], turn: int,
            number: int) -> list[Point]:
    """Other points of one block: the same width throughout, then random ones; at most TRIALS."""
    random = context.random(2, turn, number)
    keys = [choice.key for choice in choices]
    widths = ({**best, **{key: context.space.uniform(bits)[key] for key in keys}} for bits in (8, 6, 4, 3, 2))
    draws = ({**best, **{c.key: int(random.integers(len(c.options))) for c in choices}} for _ in range(TRIALS * DRAWS))
    found: dict[tuple[int, ...], Point] = {}
    for point in itertools.chain(widths if turn == 0 else (), draws):
        key = tuple(point[name] for name in keys)
        if key != tuple(best[name] for name in keys):
            found.setdefault(key, point)
        if len(found) == TRIALS:
            break
    return list(found.values())
