"""The methods that are plans, by name."""

from __future__ import annotations

from collections.abc import Callable

from core.search.blocks import by_cost, sequential
from core.search.greedy import greedy
from core.search.grid import grid
from core.search.hyperband import hyperband
from core.search.tasks import Context, Plan

PLANS: dict[str, Callable[[Context], Plan]] = {
    "grid": grid, "hyperband": hyperband, "blocks": sequential, "blocks_cost": by_cost, "greedy": greedy}
