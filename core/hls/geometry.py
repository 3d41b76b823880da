"""Which inputs of a layer make which outputs: tables of places, found by asking Keras itself.

Places count the values of one event from 1, in row-major order of the layer's input; 0 is a constant zero.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

#: float32 holds every place up to here exactly
_MOST = 2**24


def places(shape: tuple[int, ...]) -> np.ndarray:
    """The places of an input, in its shape."""
    count = math.prod(shape)
    if count >= _MOST:
        raise ValueError(f"{count} values are too many")
    return np.arange(1, count + 1, dtype=np.float32).reshape(shape)


def moved(layer: keras.Layer, shape: tuple[int, ...]) -> np.ndarray:
    """For a layer that only moves values: the place each output comes from, in the output's shape, int64."""
    found = keras.ops.convert_to_numpy(layer(places(shape)[None], training=False))[0]
    return np.rint(found).astype(np.int64)


def windows(shape: tuple[int, ...], size: Any, strides: Any, padding: str, dilation: Any = 1) -> np.ndarray:
    """The windows of a convolution or pooling over (places..., channels).

    Returns:
        (output places..., window places, channels) int64.

    Raises:
        ValueError: channels first, causal padding, or more than two axes.
    """
    rank = len(shape) - 1
    if rank not in (1, 2) or padding not in ("valid", "same"):
        raise ValueError(f"padding {padding!r} over {rank} axes")
    sides, steps, gaps = (_per_axis(v, rank) for v in (size, strides, dilation))
    image = places(shape)
    if rank == 1:
        image = image[None]
        sides, steps, gaps = (1, *sides), (1, *steps), (1, *gaps)
    out = keras.ops.convert_to_numpy(keras.ops.image.extract_patches(
        image[None], sides, strides=steps, dilation_rate=gaps if max(gaps) > 1 else 1, padding=padding,
        data_format="channels_last"))[0]
    table = np.rint(out).astype(np.int64).reshape(*out.shape[:2], math.prod(sides), shape[-1])
    return table[0] if rank == 1 else table


def matrix_of(layer: Any, shape: tuple[int, ...]) -> np.ndarray:
    """(inputs, outputs) float64 matrix of a linear layer without bias, found by giving it each unit vector.

    `layer` is a function of a batch in float64.
    """
    count = math.prod(shape)
    unit = np.eye(count).reshape(count, *shape)
    return np.asarray(layer(unit), dtype=np.float64).reshape(count, -1)


def _per_axis(value: Any, rank: int) -> tuple[int, ...]:
    return (int(value),) * rank if isinstance(value, int) else tuple(int(v) for v in value)
