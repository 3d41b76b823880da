"""Effective bit operations (EBOPs): for every product, bits of the weight times bits of the value.

After HGQ (arXiv:2405.00645) and HGQ2: a layer has sum(weight bits * input bits) over its products, and the bias
bits of each output value. The width of a tensor is that of its format, sign included where it saturates without
symmetry, as in HGQ2. With the quantized weights at hand the bits of each weight are those it really has: from its
highest to its lowest bit that is set, without sign, none for a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.energy.layer_types import Context, Outcome
from core.energy.rules_mac import kernel_name, weight_size

Weights = Mapping[str, NDArray[Any]]
_MANTISSA = 53


def significant_bits(values: NDArray[Any]) -> NDArray[np.int64]:
    """Bits between the highest and the lowest set bit of each value, both included; 0 for zero, same shape."""
    fraction, _ = np.frexp(np.abs(np.asarray(values, dtype=np.float64)))
    mantissa = (fraction * 2.0**_MANTISSA).astype(np.int64)
    lowest = mantissa & -mantissa
    _, position = np.frexp(lowest.astype(np.float64))
    return np.where(mantissa == 0, 0, _MANTISSA + 1 - position).astype(np.int64)


def products_ebops(weight_bits: NDArray[Any], input_bits: NDArray[Any], bias_bits: NDArray[Any] | None = None) -> float:
    """EBOPs of a dense layer with a width for each weight, as HGQ2 computes them.

    Args:
        weight_bits: (inputs, outputs) widths.
        input_bits: (inputs,) widths.
        bias_bits: (outputs,) widths, or None.
    """
    total = float(np.asarray(input_bits, dtype=float) @ np.asarray(weight_bits, dtype=float).sum(axis=1))
    return total + (0.0 if bias_bits is None else float(np.sum(bias_bits)))


def layer_ebops(ctx: Context, outcome: Outcome, weights: Weights | None) -> int:
    """EBOPs of a layer; 0 where it multiplies by no weights.

    Args:
        weights: the layer's quantized weights by parameter, or None to take the width of the format.
    """
    types, node = outcome.types, ctx.node
    if node.base == "BatchNormalization":
        scale = types["gamma"].bits if "gamma" in types else 0
        offset = types["beta"].bits if "beta" in types and node.layer.config.get("center", True) else 0
        return node.output_size * (scale * ctx.inputs[0].bits + offset)
    if "weight" not in types:
        return 0
    read = {kernel_name(node.base): ctx.inputs[0].bits}
    if "between" in types:
        read["pointwise"] = types["between"].bits
    if "state" in types:
        read["recurrent_kernel"] = types["state"].bits
    sizes = {name: weight_size(node, name) for name in read}
    places = (node.layer.macs or node.op_count) // max(sum(sizes.values()), 1)
    widths = {kernel_name(node.base): "weight"}
    total = 0
    for name, width in read.items():
        format_bits = types[widths.get(name, name)].bits
        held = None if weights is None else weights.get(name)
        bits = sizes[name] * format_bits if held is None else int(significant_bits(held).sum())
        total += places * width * bits
    return total + (node.output_size * types["bias"].bits if "bias" in types else 0)
