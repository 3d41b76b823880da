"""How often a layer's weights meet the values they multiply: sums of input widths over all positions of a kernel.

A product of a kernel with padding is none, so that a weight at the edge of the window meets fewer values.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.energy.graph import Node, base_class

Array = NDArray[Any]
_SLIDING = frozenset({"Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D",
                      "SeparableConv2D"})


def slides(node: Node) -> bool:
    """True for a convolution whose kernel slides over the input (no transposed one)."""
    return base_class(node.layer.class_name).replace("Batchnorm", "") in _SLIDING


def channels(node: Node) -> int:
    """Channels of a convolution's input."""
    shape = node.layer.input_shapes[0]
    return (shape[0] if node.layer.config.get("data_format") == "channels_first" else shape[-1]) or 1


def sides(value: Any, rank: int) -> tuple[int, ...]:
    """A Keras argument that may be one number or one a side."""
    return (int(value),) * rank if isinstance(value, (int, float)) else tuple(int(side) for side in value)


def reads(node: Node, kernel: tuple[int, ...], width: float | Array) -> Array:
    """Sum of the input widths that each tap and channel of a sliding kernel meets over all its positions.

    Args:
        kernel: shape of the weight, (*sides, channels of a group, filters).
        width: bits of an input value, or an array that broadcasts to the layer's input.

    Returns:
        (*sides, input channels) float64.
    """
    config, taps = node.layer.config, kernel[:-2]
    first = config.get("data_format") == "channels_first"
    shape = tuple(side or 1 for side in node.layer.input_shapes[0])
    places, channels = (shape[1:], shape[0]) if first else (shape[:-1], shape[-1])
    strides, dilations = (sides(config.get(name, 1), len(taps)) for name in ("strides", "dilation_rate"))
    axes = [_positions(*axis, str(config.get("padding", "valid")))
            for axis in zip(places, taps, strides, dilations, strict=True)]
    total = np.empty((*taps, channels))
    values = None
    if np.ndim(width):
        values = np.broadcast_to(np.asarray(width, dtype=np.float64), shape)
        values = np.moveaxis(values, 0, -1) if first else values
    for place in itertools.product(*(range(side) for side in taps)):
        met = [axis[tap] for axis, tap in zip(axes, place, strict=True)]
        if values is None:
            total[place] = width * math.prod(len(found) for found in met)
        else:
            total[place] = values[np.ix_(*met)].sum(axis=tuple(range(len(met))))
    return total


@lru_cache(maxsize=1024)
def _positions(side: int, taps: int, stride: int, dilation: int, padding: str) -> tuple[range, ...]:
    """For each tap of one axis the input places it meets."""
    reach = (taps - 1) * dilation
    if padding == "valid":
        outputs, before = max((side - reach - 1) // stride + 1, 0), 0
    else:
        outputs = -(-side // stride)
        before = reach if padding == "causal" else max((outputs - 1) * stride + reach + 1 - side, 0) // 2
    found = []
    for tap in range(taps):
        start = tap * dilation - before
        stop = min(start + outputs * stride, side)
        start += max(0, -(start // stride)) * stride  # the first place that is no padding
        found.append(range(start, max(start, stop), stride))
    return tuple(found)


def grouped(met: Array, weights: Array) -> float:
    """Sum over taps, channels and filters of met widths times weight widths.

    Args:
        met: (*sides, input channels).
        weights: (*sides, channels of a group, filters).
    """
    inner, filters = weights.shape[-2:]
    groups = met.shape[-1] // inner
    left = met.reshape(-1, groups, inner)
    right = weights.reshape(-1, inner, groups, filters // groups).sum(axis=-1)
    return float(np.einsum("tgc,tcg->", left, right))
