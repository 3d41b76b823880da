"""The grid: every point of the space once, in an order that spreads over it from the start."""

from __future__ import annotations

import math

from core.search.tasks import Context, Plan

#: points of one batch
BATCH = 256
_GOLDEN = (math.sqrt(5) - 1) / 2


def grid(context: Context) -> Plan:
    """All points. A space is rarely small enough to end, so that neighbours come far apart.

    Numbers step through the whole size by the golden section of it, made coprime, from a start that the seed draws.
    """
    size = context.space.size
    step = _coprime(int(size * _GOLDEN), size)
    start = int(context.random(0).integers(min(size, 2**62)))
    for first in range(0, size, BATCH):
        yield [context.trained(_point(context, (start + number * step) % size))
               for number in range(first, min(first + BATCH, size))]


def _point(context: Context, number: int) -> dict[str, int]:
    """The point of that number, its digits being the options."""
    values = {}
    for choice in context.space.choices:
        number, values[choice.key] = divmod(number, len(choice.options))
    return values


def _coprime(step: int, size: int) -> int:
    step = max(step, 1)
    while math.gcd(step, size) > 1:
        step += 1
    return step
