"""How many weights a layer's arguments ask for, so that no file makes Keras build more than it stores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import ModelFileError
from core.model_info import LayerInfo, ModelInfo
from core.model_shapes import Shape

#: a layer may ask for so many times the weights that are stored of it, or for `FREE` at least
SLACK, FREE = 4, 2**22
#: most values that a layer may give for one event
MAX_VALUES = 2**31
_GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
#: arguments whose product bounds the weights of a class without a rule
_SIZES = ("units", "filters", "input_dim", "output_dim", "num_heads", "key_dim", "value_dim", "output_shape",
          "kernel_size", "depth_multiplier", "max_tokens", "state_size")


def refuse_oversized(info: ModelInfo, file: str) -> None:
    """Raise ModelFileError where a layer's arguments ask for far more weights than the file stores of it."""
    for layer in info.layers:
        stored = sum(weight.size for weight in layer.weights)
        wanted = _wanted(layer)
        if wanted > max(SLACK * stored, FREE):
            raise ModelFileError(f"{file} is refused", f"layer {layer.name!r} asks for {wanted:.3g} weights and the"
                                 f" file stores {stored}", "Save the model again with Keras")


def check_shape(shape: Shape, layer: str) -> Shape:
    """The shape, if its sides are whole numbers that a layer can have; raises ModelFileError."""
    sides = [1 if side is None else side for side in shape]
    if not all(type(side) is int and side >= 0 for side in sides) or math.prod(sides) > MAX_VALUES:
        raise ModelFileError(f"layer {layer!r} gives values of shape {shape!r}"[:200], "no event has so many",
                             "Save the model again with Keras")
    return shape


def _wanted(layer: LayerInfo) -> int:
    """Weights that the layer's arguments ask for; an upper bound where its class has no rule."""
    config, name = layer.config, layer.class_name
    channels = _channels(layer)
    if name == "Dense":
        return channels * _number(config.get("units"))
    if name in _GATES:
        units = _number(config.get("units"))
        return _GATES[name] * units * (channels + units)
    if "Conv" in name:
        window = math.prod(_numbers(config.get("kernel_size")))
        multiplied = channels * max(_number(config.get("depth_multiplier")), 1)
        if name.startswith("Depthwise"):
            return window * multiplied
        if name.startswith("Separable"):
            return window * multiplied + multiplied * _number(config.get("filters"))
        return window * channels * _number(config.get("filters")) // max(_number(config.get("groups")), 1)
    return math.prod(sorted(_sizes(config), reverse=True)[:3]) * max(channels, 1) if _has_sizes(config) else 0


def _channels(layer: LayerInfo) -> int:
    shape = layer.input_shapes[0] if layer.input_shapes else ()
    first = layer.config.get("data_format") == "channels_first"
    return (shape[0 if first else -1] or 1) if shape else 1


def _has_sizes(config: Mapping[str, Any]) -> bool:
    return any(True for _ in _sizes(config))


def _sizes(value: Any, inside: bool = False) -> Iterator[int]:
    """Sizes among the arguments of a layer and of what it holds."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _sizes(inner, key in _SIZES)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _sizes(inner, inside)
    elif inside and type(value) is int and value > 1:
        yield value


def _number(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _numbers(value: Any) -> list[int]:
    return [_number(side) for side in value] if isinstance(value, list | tuple) else [_number(value)]
