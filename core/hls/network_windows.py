"""Nodes of layers that move, slide, pool and merge."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from core.errors import ExportError
from core.hls import geometry
from core.hls.network import Node, activation_of, exact_weights, output_type
from core.quant.build import in_double
from core.quant.layers import QuantizedLayer
from core.quant.layers_output import AVERAGE

MOVING = ("Permute", "RepeatVector", "UpSampling1D", "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D",
          "Cropping2D")
MERGES = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Maximum": "maximum", "Minimum": "minimum",
          "Concatenate": "concatenate"}
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv1DBatchnorm", "Conv2DBatchnorm")
_DEPTHWISE = ("DepthwiseConv2D", "DepthwiseConv2DBatchnorm")
_SEPARABLE = ("SeparableConv1D", "SeparableConv2D")
#: linear layers that are taken as one matrix on all values of an event
_LINEAR = ("EinsumDense", "Conv2DTranspose")


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
    return [Node(layer.name, "windows", inbound, shape, weights, activation_of(layer), output_type(layer),
                 _table(layer))]


def _depthwise(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    weights = exact_weights(layer)
    weights["kernel"] = _flat(weights.pop("depthwise"))
    return [Node(layer.name, "depthwise", inbound, shape, weights, activation_of(layer), output_type(layer),
                 _table(layer))]


def _separable(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    weights = exact_weights(layer)
    table = _table(layer)
    depthwise, pointwise = _flat(weights.pop("depthwise")), weights.pop("pointwise")
    middle = (*table.shape[:-2], depthwise.shape[1] * depthwise.shape[2])
    inner = f"{layer.name}_depthwise"
    return [Node(inner, "depthwise", inbound, middle, {"kernel": depthwise}, table=table),
            Node(layer.name, "dense", (inner,), shape, {"kernel": pointwise.reshape(pointwise.shape[-2:]), **weights},
                 activation_of(layer), output_type(layer))]


def _linear(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    weights = exact_weights(layer)
    double = in_double(keras.Model(layer.input, layer.output)).layers[-1]
    bare = type(double).from_config({**double.get_config(), "activation": None, "quantizers": {
        p: str(q) for p, q in double.quantizers.items() if p != "output"}})
    bare.build(layer.input.shape)
    bare.set_weights([w if name != "bias" else np.zeros_like(w)
                      for name, w in zip((v.name for v in layer.weights), layer.get_weights(), strict=True)])
    matrix = geometry.matrix_of(lambda x: bare(x, training=False), _in_shape(layer))
    held = {"kernel": matrix}
    if "bias" in weights:
        held["bias"] = np.broadcast_to(weights["bias"], shape)
    return [Node(layer.name, "matrix", inbound, shape, held, activation_of(layer), output_type(layer))]


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
    area = table.shape[-2]
    if (table == 0).any():
        raise ValueError("windows at the edge are smaller than the others")
    factor = 1.0 / area
    if isinstance(layer, QuantizedLayer) and AVERAGE in layer.quantizers:
        factor = float(np.asarray(layer.quantizers[AVERAGE](np.array([factor], np.float32)))[0])
    elif area & (area - 1):
        raise ExportError(f"layer {layer.name!r} divides by {area}, which has no exact fixed-point form",
                          remedy="Give its average a quantizer, such as quantized_bits(8,0,alpha=1)")
    return [Node(layer.name, "sum_pool", inbound, shape, {}, "linear", output_type(layer), table, factor)]


def _merge(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    op = MERGES[type(layer).__name__.removeprefix("Q")]
    table = None
    if op == "concatenate":
        sizes = [tuple(int(s) for s in t.shape[1:]) for t in layer.input]
        ends = np.cumsum([0, *(int(np.prod(size)) for size in sizes)])
        parts = [geometry.places(size) + start for size, start in zip(sizes, ends, strict=False)]
        table = np.concatenate(parts, axis=layer.axis - 1 if layer.axis > 0 else layer.axis).astype(np.int64)
    return [Node(layer.name, op, inbound, shape, {}, "linear", output_type(layer), table)]


_MAKERS: dict[str, Any] = {
    **dict.fromkeys(MOVING, _moved), **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(_DEPTHWISE, _depthwise), **dict.fromkeys(_SEPARABLE, _separable),
    **dict.fromkeys(_LINEAR, _linear), **dict.fromkeys(MERGES, _merge),
    **{f"{where}{kind}Pooling{n}D": _pool for where in ("", "Global") for kind in ("Max", "Average") for n in (1, 2)},
}
