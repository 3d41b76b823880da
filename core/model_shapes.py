"""Output shapes and multiply-accumulates of Keras layers, from their arguments alone. Pure Python.

Shapes have no batch axis; None is a side that is not fixed. A class that is not in `RULES` has no known
output shape; `output_shape` then gives None and the caller says so to the user.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Shape = tuple[int | None, ...]
Config = Mapping[str, Any]
Rule = Callable[[Config, Sequence[Shape]], Shape]


def base_class(class_name: str) -> str:
    """The Keras class a quantized layer stands for: QDense -> Dense."""
    plain = class_name[1:] if class_name.startswith("Q") else class_name
    return plain if plain in RULES else class_name


def output_shape(class_name: str, config: Config, inputs: Sequence[Shape]) -> Shape | None:
    """Shape of one event after the layer, or None where the class or the arguments are not understood."""
    rule = RULES.get(class_name)
    if rule is None:
        return None
    try:
        return rule(config, inputs)
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError):
        return None


def macs(class_name: str, config: Config, inputs: Sequence[Shape], output: Shape,
         weights: Mapping[str, Shape]) -> int:
    """Multiply-accumulates of the layer for one event; sides that are not fixed count as 1.

    Matrix-like layers count a product for each weight and place it is used at, a batch normalization
    one a value; pooling, activations and merges count none.
    """
    weight = sum(_size(weights[name]) for name in ("kernel", "depthwise", "pointwise", "recurrent_kernel")
                 if name in weights)
    if class_name == "Bidirectional":
        weight += sum(_size(shape) for name, shape in weights.items()
                      if name in ("backward_kernel", "backward_recurrent_kernel"))
        return weight * _size(inputs[0][:1])
    if class_name in ("Dense", "DenseBatchnorm"):
        return weight * _size(output[:-1])
    if class_name == "EinsumDense":
        return _einsum_products(config, inputs, weights)
    if class_name in ("SimpleRNN", "LSTM", "GRU"):
        return weight * _size(inputs[0][:1])
    if class_name.endswith("Transpose"):
        return weight * _size(_places(config, inputs[0]))
    if "Conv" in class_name:
        return weight * _size(_places(config, output))
    return _size(output) if class_name == "BatchNormalization" else 0


def _size(shape: Shape) -> int:
    return math.prod(1 if side is None else side for side in shape)


def _einsum_products(config: Config, inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> int:
    terms = str(config.get("equation", "")).replace(" ", "").split("->")[0].split(",")
    if len(terms) != 2 or "..." in terms[0] or "kernel" not in weights:
        return _size(weights.get("kernel", ()))
    sides = dict(zip(terms[0][1:], inputs[0], strict=False)) | dict(zip(terms[1], weights["kernel"], strict=False))
    return _size(tuple(sides.values()))


def _channels_first(config: Config) -> bool:
    return config.get("data_format") == "channels_first"


def _places(config: Config, shape: Shape) -> Shape:
    """The sides a kernel slides along."""
    return shape[1:] if _channels_first(config) else shape[:-1]


def _channels(config: Config, shape: Shape) -> int | None:
    return shape[0] if _channels_first(config) else shape[-1]


def _joined(config: Config, places: Sequence[int | None], channels: int | None) -> Shape:
    return (channels, *places) if _channels_first(config) else (*places, channels)


def _sides(value: Any, rank: int) -> tuple[int, ...]:
    return (int(value),) * rank if isinstance(value, int) else tuple(int(side) for side in value)


def _slid(config: Config, shape: Shape, window: str) -> list[int | None]:
    """Sides after a sliding window; `window` names the argument that holds its size."""
    places = _places(config, shape)
    rank = len(places)
    sizes = _sides(config[window], rank)
    strides = _sides(config.get("strides") or (sizes if window == "pool_size" else 1), rank)
    dilations = _sides(config.get("dilation_rate", 1), rank)
    whole = config.get("padding", "valid") in ("same", "causal")
    sides: list[int | None] = []
    for side, size, stride, dilation in zip(places, sizes, strides, dilations, strict=True):
        if side is None:
            sides.append(None)
        elif whole:
            sides.append(-(-side // stride))
        else:
            sides.append((side - dilation * (size - 1) - 1) // stride + 1)
    return sides


def _dense(config: Config, inputs: Sequence[Shape]) -> Shape:
    return (*inputs[0][:-1], int(config["units"]))


def _conv(config: Config, inputs: Sequence[Shape]) -> Shape:
    return _joined(config, _slid(config, inputs[0], "kernel_size"), int(config["filters"]))


def _depthwise(config: Config, inputs: Sequence[Shape]) -> Shape:
    channels = _channels(config, inputs[0])
    multiplied = None if channels is None else channels * int(config.get("depth_multiplier", 1))
    return _joined(config, _slid(config, inputs[0], "kernel_size"), multiplied)


def _pool(config: Config, inputs: Sequence[Shape]) -> Shape:
    return _joined(config, _slid(config, inputs[0], "pool_size"), _channels(config, inputs[0]))


def _global_pool(config: Config, inputs: Sequence[Shape]) -> Shape:
    channels = _channels(config, inputs[0])
    return _joined(config, [1] * (len(inputs[0]) - 1), channels) if config.get("keepdims") else (channels,)


def _transposed(config: Config, inputs: Sequence[Shape]) -> Shape:
    places = _places(config, inputs[0])
    sizes, strides = _sides(config["kernel_size"], len(places)), _sides(config.get("strides", 1), len(places))
    if config.get("output_padding") is not None or _sides(config.get("dilation_rate", 1), len(places)) != (1,) * len(
        places
    ):
        raise ValueError("rare arguments")
    grown = [
        None if side is None else side * stride + (max(size - stride, 0) if config.get("padding") == "valid" else 0)
        for side, size, stride in zip(places, sizes, strides, strict=True)
    ]
    return _joined(config, grown, int(config["filters"]))


def _same(config: Config, inputs: Sequence[Shape]) -> Shape:
    return inputs[0]


def _flatten(config: Config, inputs: Sequence[Shape]) -> Shape:
    return (None,) if None in inputs[0] else (_size(inputs[0]),)


def _reshape(config: Config, inputs: Sequence[Shape]) -> Shape:
    target = tuple(None if side is None else int(side) for side in config["target_shape"])
    if -1 not in target:
        return target
    if None in inputs[0]:
        return tuple(None if side == -1 else side for side in target)
    rest = _size(tuple(side for side in target if side != -1))
    return tuple(_size(inputs[0]) // rest if side == -1 else side for side in target)


def _broadcast(config: Config, inputs: Sequence[Shape]) -> Shape:
    rank = max(len(shape) for shape in inputs)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in inputs]
    return tuple(None if None in sides else max(side or 1 for side in sides) for sides in zip(*padded, strict=True))


def _concatenate(config: Config, inputs: Sequence[Shape]) -> Shape:
    axis = int(config.get("axis", -1))
    axis = axis - 1 if axis > 0 else axis  # Keras counts the batch axis
    axis %= len(inputs[0])
    joined = [shape[axis] for shape in inputs]
    total = None if None in joined else sum(side or 0 for side in joined)
    return (*inputs[0][:axis], total, *inputs[0][axis + 1:])


def _recurrent(config: Config, inputs: Sequence[Shape]) -> Shape:
    units = int(config["units"])
    return (inputs[0][0], units) if config.get("return_sequences") else (units,)


def _padded(config: Config, inputs: Sequence[Shape]) -> Shape:
    places = _places(config, inputs[0])
    padding = config.get("padding", 1)
    pairs = [(padding, padding)] * len(places) if isinstance(padding, int) else (
        [padding] if len(places) == 1 and isinstance(padding[0], int) else list(padding))
    both = [2 * pair if isinstance(pair, int) else sum(pair) for pair in pairs]
    grown = [None if side is None else side + extra for side, extra in zip(places, both, strict=True)]
    return _joined(config, grown, _channels(config, inputs[0]))


def _upsampled(config: Config, inputs: Sequence[Shape]) -> Shape:
    places = _places(config, inputs[0])
    factors = _sides(config.get("size", 2), len(places))
    grown = [None if side is None else side * factor for side, factor in zip(places, factors, strict=True)]
    return _joined(config, grown, _channels(config, inputs[0]))


def _permute(config: Config, inputs: Sequence[Shape]) -> Shape:
    return tuple(inputs[0][int(axis) - 1] for axis in config["dims"])


def _repeat(config: Config, inputs: Sequence[Shape]) -> Shape:
    return (int(config["n"]), *inputs[0])


def _wrapped(config: Config, shape: Shape) -> Shape:
    inner = config["layer"]
    found = output_shape(base_class(inner["class_name"]), inner["config"], [shape])
    if found is None:
        raise ValueError("unknown wrapped layer")
    return found


def _time_distributed(config: Config, inputs: Sequence[Shape]) -> Shape:
    return (inputs[0][0], *_wrapped(config, inputs[0][1:]))


def _bidirectional(config: Config, inputs: Sequence[Shape]) -> Shape:
    one = _wrapped(config, inputs[0])
    return (*one[:-1], 2 * (one[-1] or 0)) if config.get("merge_mode", "concat") == "concat" else one


def _einsum(config: Config, inputs: Sequence[Shape]) -> Shape:
    left, right = str(config["equation"]).replace(" ", "").split("->")
    if "..." in left:
        raise ValueError(left)
    sides = dict(zip(left.split(",")[0][1:], inputs[0], strict=True))
    given = config["output_shape"]
    given = [given] if isinstance(given, int) else given
    return tuple(sides[letter] if side is None else side for letter, side in zip(right[1:], given, strict=True))


def _dot(config: Config, inputs: Sequence[Shape]) -> Shape:
    axes = config["axes"]
    axes = (axes, axes) if isinstance(axes, int) else axes
    rest = [shape[:axis - 1] + shape[axis:] if axis > 0 else shape[:axis] + shape[len(shape) + axis + 1:]
            for shape, axis in zip(inputs, axes, strict=True)]
    return (*rest[0], *rest[1]) or (1,)


def _cropped(config: Config, inputs: Sequence[Shape]) -> Shape:
    rank = len(inputs[0]) - 1
    cropping = config.get("cropping", 1)
    pairs = [(cropping, cropping)] * rank if isinstance(cropping, int) else [
        (c, c) if isinstance(c, int) else (c[0], c[1]) for c in ([cropping] if rank == 1 else cropping)]
    places = [None if side is None else side - before - after
              for side, (before, after) in zip(_places(config, inputs[0]), pairs, strict=True)]
    return _joined(config, places, _channels(config, inputs[0]))


_UNCHANGED = (
    "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "BatchNormalization", "LayerNormalization",
    "GroupNormalization", "UnitNormalization", "Normalization", "RMSNormalization", "Dropout", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "ActivityRegularization", "Masking", "Identity", "Rescaling", "QInput", "AdaptiveActivation",
)
_MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
RULES: dict[str, Rule] = {
    **dict.fromkeys(_UNCHANGED, _same),
    **dict.fromkeys(_MERGES, _broadcast),
    **{f"{kind}Pooling{n}D": _pool for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Global{kind}Pooling{n}D": _global_pool for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Conv{n}D": _conv for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": _transposed for n in (1, 2, 3)},
    **{f"SeparableConv{n}D": _conv for n in (1, 2)},
    **{f"DepthwiseConv{n}D": _depthwise for n in (1, 2)},
    **{f"ZeroPadding{n}D": _padded for n in (1, 2, 3)},
    **{f"UpSampling{n}D": _upsampled for n in (1, 2, 3)},
    **{f"Cropping{n}D": _cropped for n in (1, 2, 3)},
    "DenseBatchnorm": _dense, "Conv1DBatchnorm": _conv, "Conv2DBatchnorm": _conv,
    "DepthwiseConv2DBatchnorm": _depthwise, "EinsumDense": _einsum, "Dot": _dot,
    "Dense": _dense, "Flatten": _flatten, "Reshape": _reshape, "Concatenate": _concatenate,
    "SimpleRNN": _recurrent, "LSTM": _recurrent, "GRU": _recurrent, "Permute": _permute, "RepeatVector": _repeat,
    "TimeDistributed": _time_distributed, "Bidirectional": _bidirectional,
}
