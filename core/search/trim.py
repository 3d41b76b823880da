"""Bits that a network of trained widths does not need, taken away without a change to what it computes. numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from core.energy import graph
from core.model_info import ModelInfo
from core.quant.recipe import OUTPUT
from core.search.widths import Array, Counted, Width

Key = tuple[str, str]
#: layers that leave each value in its channel, and compute it from that channel alone
_SAME = graph.ACTIVATIONS | {"Dropout", "InputLayer", "QInput"}
#: layers whose kernel joins the channels of its axis -2 to those of its last
_JOINING = frozenset({"Dense", "Conv1D", "Conv2D"})


def trimmed(info: ModelInfo, widths: Sequence[Width], counted: Mapping[Key, Counted],
            codes: Mapping[Key, Array]) -> dict[Key, Counted]:
    """Widths without zeros at the end of a weight and without channels that nobody reads.

    Args:
        info: the model.
        widths: those that are trained.
        counted: their widths.
        codes: by key of a weight its values as whole numbers, times 2**-fraction.
    """
    found = dict(counted)
    for width in widths:
        if width.of_weight and width.shape == codes[width.key].shape:
            found[width.key] = _shortened(found[width.key], codes[width.key])
    for layer in reversed(info.layers):
        key = (layer.name, OUTPUT)
        if key in found and found[key].magnitude.ndim:
            _drop(info, found, key, codes)
    return found


def _shortened(counted: Counted, codes: Array) -> Counted:
    """The same values with the coarsest step: a code that ends in zeros needs none of them."""
    whole = np.abs(codes).astype(np.int64)
    low = np.where(whole > 0, whole & -whole, 1)
    zeros = np.rint(np.log2(low)).astype(int)
    return Counted(np.where(whole > 0, counted.magnitude - zeros, 0), counted.fraction - zeros)


def _drop(info: ModelInfo, found: dict[Key, Counted], key: Key, codes: Mapping[Key, Array]) -> None:
    """Take the bits of the channels of an output that are 0 or meet only weights of no bits, and of what makes them."""
    used = found[key].magnitude > 0
    read = _read(info, found, key[0], len(used), codes)
    if read is not None:
        used &= read
    found[key] = Counted(np.where(used, found[key].magnitude, 0), found[key].fraction)
    maker = _maker(info, key[0])
    for parameter in ("kernel", "bias"):
        own = (maker, parameter)
        if maker and own in found and found[own].magnitude.ndim and found[own].magnitude.shape[-1] == len(used):
            found[own] = Counted(np.where(used, found[own].magnitude, 0), found[own].fraction)


def _read(info: ModelInfo, found: Mapping[Key, Counted], name: str, channels: int,
          codes: Mapping[Key, Array]) -> Array | None:
    """Which channels of a layer's output meet a weight that is not 0; None where that cannot be told."""
    used = np.zeros(channels, dtype=bool)
    readers = [layer for layer in info.layers if name in layer.inbound]
    if not readers or name in info.outputs:
        return None
    for layer in readers:
        key = (layer.name, "kernel")
        if graph.base_class(layer.class_name) not in _JOINING or key not in found or codes[key].shape[-2] != channels:
            return None
        alive = np.broadcast_to(found[key].magnitude, codes[key].shape) > 0
        used |= alive.any(axis=(*range(alive.ndim - 2), alive.ndim - 1))
    return used


def _maker(info: ModelInfo, name: str) -> str:
    """The layer with a kernel that alone makes these channels, itself or before activations; "" where there is none."""
    layer = info.find(name)
    while layer is not None:
        base = graph.base_class(layer.class_name)
        if base in _JOINING:
            return layer.name
        if base not in _SAME or len(layer.inbound) != 1:
            return ""
        source = layer.inbound[0]
        if sum(source in other.inbound for other in info.layers) != 1 or source in info.outputs:
            return ""
        layer = info.find(source)
    return ""
