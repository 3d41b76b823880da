"""The model as the energy model walks it: layers with the tensors they read, sides fixed, counts done.

Layers that compute nothing at inference (Dropout and the like) are taken out, as in QTools.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from core.energy.settings import EnergySettings
from core.model_info import FOLDED, LayerInfo, ModelInfo

MERGES = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"})
MAC_2D = ("Conv2D", "Conv2DBatchnorm")
DENSE_LIKE = frozenset({"Dense", "Conv1D", "Conv2D", "DepthwiseConv2D"})
SEPARABLE = frozenset({"SeparableConv1D", "SeparableConv2D"})
RECURRENT = frozenset({"SimpleRNN", "LSTM", "GRU", "Bidirectional"})
AVERAGE_2D = frozenset({"AveragePooling2D", "GlobalAveragePooling2D"})
ACTIVATIONS = frozenset({"Activation", "AdaptiveActivation", "ReLU", "LeakyReLU", "Softmax"})
#: layers that only rename or repeat values
WIRING = frozenset({"Flatten", "Reshape", "Permute", "Cropping1D", "Cropping2D", "RepeatVector", "UpSampling1D",
                    "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D", "Concatenate"})
#: not there at inference; QTools 0.9 knows Dropout only
_ABSENT = frozenset({"InputLayer", "QInput", "Dropout"})
_ABSENT_CORRECTED = _ABSENT | {
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "ActivityRegularization", "Identity",
}


class Node(NamedTuple):
    """One priced layer. `parents` are positions of other nodes, or -1-i for the model's i-th input."""

    layer: LayerInfo
    base: str
    parents: tuple[int, ...]
    input_sizes: tuple[int, ...]
    output_size: int
    io_inputs: tuple[bool, ...]
    io_output: bool
    op_count: int


def build(info: ModelInfo, settings: EnergySettings) -> list[Node]:
    """The priced layers of a model in topological order."""
    absent = _ABSENT_CORRECTED if settings.corrected else _ABSENT
    inputs = [layer.name for layer in info.layers if layer.class_name == "InputLayer"] or list(info.inputs)
    sources: dict[str, tuple[int, ...]] = {name: (-1 - number,) for number, name in enumerate(inputs)}
    sizes: dict[int, int] = {}
    kept: list[tuple[LayerInfo, tuple[int, ...]]] = []
    for layer in info.layers:
        parents = tuple(parent for name in layer.inbound for parent in sources.get(name, ()))
        if layer.class_name in absent:
            if layer.name not in sources:
                sources[layer.name] = parents
            continue
        if not parents:
            parents = (-1,)  # a Sequential model without its InputLayer
        if not settings.corrected:
            parents = tuple(dict.fromkeys(parents))  # the original's graph holds one edge between two layers
        for parent, shape in zip(parents, layer.input_shapes, strict=False):
            if parent < 0:
                sizes[parent] = size(shape)
        sources[layer.name] = (len(kept),)
        sizes[len(kept)] = size(layer.output_shape)
        kept.append((layer, parents))
    return _finished(info, settings, kept, sources, sizes)


def _finished(info: ModelInfo, settings: EnergySettings, kept: list[tuple[LayerInfo, tuple[int, ...]]],
              sources: dict[str, tuple[int, ...]], sizes: dict[int, int]) -> list[Node]:
    read = {parent for _, parents in kept for parent in parents}
    ends = {parent for name in info.outputs for parent in sources.get(name, ())}
    nodes = []
    for number, (layer, parents) in enumerate(kept):
        fed = tuple(parent < 0 for parent in parents)
        if not settings.corrected:
            fed = (any(fed),) * len(fed)  # the original marks the layer, not the tensor
        nodes.append(Node(
            layer=layer,
            base=base_class(layer.class_name),
            parents=parents,
            input_sizes=tuple(sizes.get(parent, 0) for parent in parents),
            output_size=size(layer.output_shape),
            io_inputs=fed,
            io_output=number in ends if settings.corrected else number not in read,
            op_count=operation_count(layer, settings.corrected),
        ))
    return nodes


def base_class(class_name: str) -> str:
    """The Keras class a QKeras one stands for; anything else as it is."""
    plain = class_name[1:] if class_name.startswith("Q") else class_name
    return {"AvgPool2D": "AveragePooling2D", "GlobalAvgPool2D": "GlobalAveragePooling2D"}.get(plain, plain)


def size(shape: tuple[int | None, ...]) -> int:
    """Number of values of one event; a side that is not fixed counts as 1."""
    return math.prod(1 if side is None else side for side in shape)


def operation_count(layer: LayerInfo, corrected: bool = False) -> int:
    """Operations of a layer for one event: multiply-accumulates, additions of a pool, values of an activation.

    As QTools 0.9 counts them; with `corrected` also those it leaves out. Classes that are not known count 0.
    """
    base = base_class(layer.class_name)
    inputs = max((size(shape) for shape in layer.input_shapes), default=0)
    if base in MERGES:
        return size(layer.output_shape) if corrected and base != "Concatenate" else inputs
    if "MaxPool" in base:
        return size(layer.output_shape) * (_pool_area(layer) - 1) if corrected else inputs
    if base in ("Reshape", "Flatten"):
        return inputs
    if "AveragePooling" in base:
        return _average_count(layer, base, corrected)
    if "UpSampling" in base:
        return size(layer.output_shape)
    if "Activation" in base or base == "BatchNormalization" or base in ACTIVATIONS:
        return inputs
    if base in FOLDED or base in DENSE_LIKE or corrected:
        return _products(layer, base, corrected)
    return 0


def _average_count(layer: LayerInfo, base: str, corrected: bool) -> int:
    if corrected:
        return size(layer.output_shape) * _pool_area(layer)
    if base not in AVERAGE_2D:
        return 0
    channels = layer.output_shape[-1] or 1
    return channels * _pool_area(layer)


def dot_terms(node: Node) -> int:
    """Length of the axis along which a Dot sums: both inputs have it, its output does not."""
    sizes = node.input_sizes if len(node.input_sizes) > 1 else node.input_sizes * 2
    return max(1, math.isqrt(sizes[0] * sizes[1] // max(node.output_size, 1)))


def pool_shape(layer: LayerInfo) -> tuple[int, ...]:
    """Sides of the pooling window; of a global pooling those of its input."""
    pool = layer.config.get("pool_size")
    if pool is None or base_class(layer.class_name).startswith("Global"):
        return tuple(side or 1 for side in (layer.input_shapes or ((),))[0][:-1])
    rank = max(len(layer.output_shape) - 1, 1)
    return (int(pool),) * rank if isinstance(pool, int) else tuple(int(side) for side in pool)


def _pool_area(layer: LayerInfo) -> int:
    return math.prod(pool_shape(layer))


def _products(layer: LayerInfo, base: str, corrected: bool) -> int:
    if corrected:
        return layer.macs or _macs(layer, base)
    if base == "DepthwiseConv2DBatchnorm":
        return 0
    return _macs(layer, base)


def _macs(layer: LayerInfo, base: str) -> int:
    first = layer.weights[0].shape if layer.weights else ()
    if not first:
        return 0
    out = tuple(side or 1 for side in layer.output_shape)
    if base == "Dense":
        return math.prod(first) * math.prod(out[:-1])
    if base.startswith("Depthwise"):
        # the original counts the input's channels, so one product a channel whatever the multiplier
        channels = first[-2]
        return math.prod(first[:-2]) * math.prod(out[:-1]) * channels
    return math.prod(first) * math.prod(out[:-1])
