"""Effective bit operations: for every multiplication, bits of the weight times bits of the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from core.energy.layer_types import Context, Outcome


def layer_ebops(ctx: Context, outcome: Outcome, weights: Mapping[str, NDArray[Any]] | None) -> int:
    """EBOPs of a layer."""
    weight = outcome.types.get("weight")
    if weight is None:
        return 0
    return outcome.op_count * weight.bits * ctx.inputs[0].bits
