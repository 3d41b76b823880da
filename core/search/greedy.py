"""Greedy by sensitivity, as the BH network of arXiv:2006.10159 was made: lower first what hurts least.

How much each width costs alone is measured once, on the float model. From the widest point on, the width whose next
lower one costs least is lowered, until all are lowest: a path through the space. Its points are trained (with no
epochs: judged as they are, as the paper does), its ends first and then between those that are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.search.space import Choice, width_of
from core.search.tasks import Context, Plan, Point

WIDEST = 64
#: points of one batch
BATCH = 8


def greedy(context: Context) -> Plan:
    """The points of the path, once each."""
    path = _path(context)
    order = _bisecting(len(path))
    for first in range(0, len(order), BATCH):
        yield [context.trained(path[place]) for place in order[first:first + BATCH]]


def _path(context: Context) -> list[Point]:
    space = context.space
    ladders = {choice.key: _ladder(choice) for choice in space.quantized}
    drops = _drops(context, ladders)
    levels = dict.fromkeys(ladders, 0)
    point = {**space.uniform(WIDEST), **{key: ladder[0] for key, ladder in ladders.items()}}
    path: list[Point] = [point]
    while True:
        lower = [key for key, ladder in ladders.items() if levels[key] + 1 < len(ladder)]
        if not lower:
            return path
        key = min(lower, key=lambda key: (drops[key][levels[key] + 1], key))
        levels[key] += 1
        point = {**point, key: ladders[key][levels[key]]}
        path.append(point)


def _ladder(choice: Choice) -> list[int]:
    """The options from wide to narrow, the first of each width."""
    by_width: dict[int, int] = {}
    for number, text in enumerate(choice.options):
        by_width.setdefault(width_of(text), number)
    return [by_width[width] for width in sorted(by_width, reverse=True)]


def _drops(context: Context, ladders: Mapping[str, Sequence[int]]) -> dict[str, list[float]]:
    """What each step of each ladder costs alone; a step is never told to cost less than one above it."""
    found: dict[str, list[float]] = {key: [] for key in ladders}
    for level in range(max(map(len, ladders.values()))):
        point = {**context.space.uniform(WIDEST),
                 **{key: ladder[min(level, len(ladder) - 1)] for key, ladder in ladders.items()}}
        measured = context.sensitivities(context.space.decode(point))
        for choice in context.space.quantized:
            drop = measured.get((choice.layer, choice.parameter), 0.0)
            found[choice.key].append(max([drop, *found[choice.key][-1:]]))
    return found


def _bisecting(count: int) -> list[int]:
    """Places from 0 up: the ends, then the middles of what lies between."""
    order, spans = list(dict.fromkeys((0, count - 1))), [(0, count - 1)]
    while spans:
        spans, halves = [], spans
        for low, high in halves:
            middle = (low + high) // 2
            if low < middle < high:
                order.append(middle)
                spans += [(low, middle), (middle, high)]
    return order
