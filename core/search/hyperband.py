"""Hyperband (arXiv:1603.06560): many short trainings, longer ones of the best third, and so on; epochs are the budget.

Only trainings of the full length are candidates; the shorter ones steer and are kept as proxies. What is best is
told by fronts (`Goal.ranked`), and brackets are WIDTH times as wide as for one figure, since a front needs several.
"""

from __future__ import annotations

import itertools
import math

from core.search.space import anchors
from core.search.tasks import Context, Plan, Point, Task

#: of every so many, one is trained so many times as long
ETA = 3
#: how many points there are where the published brackets have one
WIDTH = 4
#: draws after which no new point is looked for
DRAWS = 50


def hyperband(context: Context) -> Plan:
    """Bracket after bracket, each from new points; without end."""
    top = int(math.log(max(context.epochs, 1), ETA) + 1e-9)
    seen: set[tuple[int, ...]] = set()
    for turn in itertools.count():
        for rungs in range(top, -1, -1):
            count = WIDTH * math.ceil((top + 1) / (rungs + 1) * ETA**rungs)
            points = _points(context, turn, rungs, count, seen)
            if not points:
                return
            yield from _bracket(context, points, rungs)


def _bracket(context: Context, points: list[Point], rungs: int) -> Plan:
    """One successive halving: `rungs` short trainings, then the full one."""
    for rung in range(rungs + 1):
        full = rung == rungs
        epochs = context.epochs if full else max(1, round(context.epochs * ETA ** (rung - rungs)))
        results = yield [Task(dict(point), epochs, proxy=not full) for point in points]
        known = [(point, figures) for point, figures in zip(points, results, strict=True) if figures is not None]
        order = context.goal.ranked([figures for _, figures in known])
        points = [known[place][0] for place in order[:max(1, len(points) // ETA)]]
        if not points:
            return


def _points(context: Context, turn: int, rungs: int, count: int, seen: set[tuple[int, ...]]) -> list[Point]:
    """New points: those that span the front first, then random ones."""
    random = context.random(1, turn, rungs)
    found: list[Point] = []
    drawn = itertools.chain(anchors(context.space) if not seen else (),
                            (context.drawn(random) for _ in range(count * DRAWS)))
    for point in drawn:
        key = tuple(point[choice.key] for choice in context.space.choices)
        if key not in seen:
            seen.add(key)
            found.append(point)
        if len(found) == count:
            break
    return found
