"""Nodes of layers that move, slide, pool and merge."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from core.errors import ExportError
from core.hls import geometry
from core.hls.network import Node, exact_weights
from core.hls.network_functions import Function, check_deterministic, double_layer, double_values, ending
from core.quant.build import in_double
from core.quant.layers_output import AVERAGE
from core.quant.recipe import OUTPUT

MOVING = ("Permute", "RepeatVector", "UpSampling1D", "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D",
          "Cropping2D")
MERGES = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Maximum": "maximum", "Minimum": "minimum",
          "Concatenate": "concatenate"}
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv1DBatchnorm", "Conv2DBatchnorm")
_DEPTHWISE = ("DepthwiseConv2D", "DepthwiseConv2DBatchnorm")
_SEPARABLE = ("SeparableConv1D", "SeparableConv2D")
#: linear layers that are taken as one matrix on all values of an event
_LINEAR = ("EinsumDense", "Conv1DTranspose", "Conv2DTranspose")


def windowed_nodes(layer: keras.Layer, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node] | None:
    """The steps of a layer of these sorts; None for any other.

    Raises:
        ExportError: it cannot be exported exactly.
    """
    kind = type(layer).__name__.removeprefix("Q")
    maker = _MAKERS.get(kind)
    if maker is None:
        return None
    try:
        return maker(layer, inbound, shape)
    except (ValueError, NotImplementedError) as error:
        raise ExportError(f"layer {layer.name!r} ({kind}) cannot be exported exactly yet", str(error).splitlines()[0],
                          "Take the layer out of the model, or use 'valid' or 'same' padding, channels last") from error


def _in_shape(layer: keras.Layer) -> tuple[int, ...]:
    return tuple(int(side) for side in layer.input.shape[1:])


def _moved(layer: keras.Layer, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise ValueError(f"interpolation {layer.interpolation!r}")
    return [Node(layer.name, "move", inbound, shape, table=geometry.moved(layer, _in_shape(layer)))]


def _table(layer: Any) -> np.ndarray:
    if layer.data_format != "channels_last":
        raise ValueError("channels come first")
    if getattr(layer, "groups", 1) != 1:
        raise ValueError("the convolution has groups")
    pool = getattr(layer, "pool_size", None)
    return geometry.windows(_in_shape(layer), layer.kernel_size if pool is None else pool, layer.strides,
                            layer.padding, 1 if pool is not None else layer.dilation_rate)


def _flat(kernel: np.ndarray) -> np.ndarray:
    """(window, channels, outputs) of a kernel (sides..., channels, outputs)."""
    return kernel.reshape(-1, *kernel.shape[-2:])


def _convolution(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    weights = exact_weights(layer)
    weights["kernel"] = _flat(weights["kernel"])
    return [Node(layer.name, "windows", inbound, shape, weights, table=_table(layer), **vars(ending(layer, shape)))]


def _depthwise(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    weights = exact_weights(layer)
    weights["kernel"] = _flat(weights.pop("depthwise"))
    return [Node(layer.name, "depthwise", inbound, shape, weights, table=_table(layer), **vars(ending(layer, shape)))]


def _separable(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    weights = exact_weights(layer)
    table = _table(layer)
    depthwise, pointwise = _flat(weights.pop("depthwise")), weights.pop("pointwise")
    middle = (*table.shape[:-2], depthwise.shape[1] * depthwise.shape[2])
    inner = f"{layer.name}_depthwise"
    return [Node(inner, "depthwise", inbound, middle, {"kernel": depthwise}, table=table),
            Node(layer.name, "dense", (inner,), shape, {"kernel": pointwise.reshape(pointwise.shape[-2:]), **weights},
                 **vars(ending(layer, shape)))]


def _linear(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    weights = exact_weights(layer)
    double = in_double(keras.Model(layer.input, layer.output)).layers[-1]
    kept = [p for p in double.quantizers if p not in ("output", "bias")]  # a bias of 0 may not stay 0 in a quantizer
    bare = type(double).from_config({**double.get_config(), "activation": None,
                                     "quantizers": {p: str(double.quantizers[p]) for p in kept},
                                     "widths": {p: g for p, g in double.widths.items() if p in kept}})
    bare.build(layer.input.shape)
    values = {variable.name: value for variable, value in zip(layer.weights, layer.get_weights(), strict=True)}
    bare.set_weights([np.zeros_like(values[v.name]) if v.name == "bias" else values[v.name] for v in bare.weights])
    matrix = geometry.matrix_of(lambda x: bare(x, training=False), _in_shape(layer))
    held = {"kernel": matrix}
    if "bias" in weights:
        held["bias"] = np.broadcast_to(weights["bias"], shape)
    return [Node(layer.name, "matrix", inbound, shape, held, **vars(ending(layer, shape)))]


def _pool(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    kind = type(layer).__name__.removeprefix("Q")
    if kind.startswith("Global"):
        table = geometry.places(_in_shape(layer)).astype(np.int64)
        table = table.reshape(*(1,) * (len(shape) - 1), -1, table.shape[-1])
        if layer.data_format != "channels_last":
            raise ValueError("channels come first")
    else:
        table = _table(layer)
    if "Max" in kind:
        return [Node(layer.name, "maximum_pool", inbound, shape, table=table)]
    return [_average(layer, inbound, shape, table)]


def _average(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...], table: np.ndarray) -> Node:
    """Sum and factor; where 1 / area has no end behind the point, a function of the sum."""
    area = table.shape[-2]
    if (table == 0).any():
        raise ValueError("windows at the edge are smaller than the others")
    quantizers = getattr(layer, "quantizers", {})
    if AVERAGE in quantizers:
        factor = float(np.asarray(quantizers[AVERAGE](np.array([1.0 / area], np.float32)))[0])
    elif area & (area - 1) and OUTPUT not in quantizers:
        raise ExportError(f"layer {layer.name!r} divides by {area}, which has no exact fixed-point form",
                          remedy="Give its average a quantizer, such as quantized_bits(8,0,alpha=1), or its output one")
    elif area & (area - 1):
        return Node(layer.name, "sum_pool", inbound, shape, table=table, function=_of_the_sum(layer))
    else:
        factor = 1.0 / area
    return Node(layer.name, "sum_pool", inbound, shape, table=table, factor=factor, **vars(ending(layer, shape)))


def _of_the_sum(layer: Any) -> Function:
    """The layer's value from the sum over its window: Keras is given a window that holds the sum in one place."""
    chosen = layer.quantizers[OUTPUT]
    check_deterministic(layer, chosen)
    if layer.width_variables(OUTPUT):
        raise ExportError(f"the output of layer {layer.name!r} has widths of its own", remedy="Give it one width")
    window = getattr(layer, "pool_size", None) or _in_shape(layer)[:-1]
    copy = type(layer).from_config(layer.get_config())
    copy(keras.Input((*window, 1)))
    one = double_layer(copy)

    def call(values: np.ndarray) -> np.ndarray:
        events = np.zeros((len(values), int(np.prod(window)), 1))
        events[:, 0, 0] = values
        return np.asarray(one(events.reshape(len(values), *window, 1)), np.float64).reshape(-1)

    return Function(call, f"average {layer.name}")


def _merge(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    op = MERGES[type(layer).__name__.removeprefix("Q")]
    table = None
    if op == "concatenate":
        sizes = [tuple(int(s) for s in t.shape[1:]) for t in layer.input]
        ends = np.cumsum([0, *(int(np.prod(size)) for size in sizes)])
        parts = [geometry.places(size) + start for size, start in zip(sizes, ends, strict=False)]
        table = np.concatenate(parts, axis=layer.axis - 1 if layer.axis > 0 else layer.axis).astype(np.int64)
    return [Node(layer.name, op, inbound, shape, table=table, **vars(ending(layer, shape)))]


def _average_merge(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    count = len(inbound)
    if not count & (count - 1):
        return [Node(layer.name, "add", inbound, shape, factor=1.0 / count, **vars(ending(layer, shape)))]
    end = ending(layer, shape)
    if end.output is None and end.function is None:
        raise ExportError(f"layer {layer.name!r} divides by {count}, which has no exact fixed-point form",
                          remedy="Give its output a quantizer, such as quantized_bits(8,3,alpha=1)")
    chosen = layer.quantizers[OUTPUT]
    check_deterministic(layer, chosen)
    function = Function(lambda values: double_values(chosen, values / count), f"average of {count} {chosen}")
    return [Node(layer.name, "add", inbound, shape, function=function)]


def _dot(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    if layer.normalize or any(len(tensor.shape) != 2 for tensor in layer.input):
        raise ValueError("it is no plain product of two vectors")
    return [Node(layer.name, "dot", inbound, shape, **vars(ending(layer, shape)))]


_MAKERS: dict[str, Any] = {
    **dict.fromkeys(MOVING, _moved), **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(_DEPTHWISE, _depthwise), **dict.fromkeys(_SEPARABLE, _separable),
    **dict.fromkeys(_LINEAR, _linear), **dict.fromkeys(MERGES, _merge), "Average": _average_merge, "Dot": _dot,
    **{f"{where}{kind}Pooling{n}D": _pool for where in ("", "Global") for kind in ("Max", "Average") for n in (1, 2)},
}
