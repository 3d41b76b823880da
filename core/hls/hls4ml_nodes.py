"""The steps of one layer (`core.hls.network.Node`) as hls4ml's descriptions of layers, joined by tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hls4ml.converters.keras_v3.conv import gen_conv_config

from core.errors import ExportError
from core.hls.network import Node
from core.quant.quantizers import FixedPoint

Config = dict[str, Any]
_MERGES = ("add", "subtract", "multiply", "maximum", "minimum")


class Chain:
    """One layer of Keras on its way to hls4ml.

    Args:
        layer: the Keras layer; gives names, and kernel size and strides of convolutions.
        inputs: names and shapes (no batch) of its input tensors; nodes name them as their inbound ones.
        output: name of its output tensor.
        quantized: names of those inputs that end in a quantizer: hls4ml cannot take two in a row.
    """

    def __init__(self, layer: Any, inputs: dict[str, tuple[int, ...]], output: str, quantized: set[str]) -> None:
        self._layer, self._output = layer, output
        self._shapes: dict[str, tuple[int, ...]] = dict(inputs)
        self._tensors = {name: name for name in inputs}
        self._quantized = set(quantized)
        self._constants: dict[str, np.ndarray] = {}
        self._steps: list[Config] = []

    def configs(self, nodes: Sequence[Node]) -> tuple[Config, ...]:
        """hls4ml's descriptions of the nodes, the last of them with the layer's name and output tensor."""
        for node in nodes:
            self._take(node)
        last = nodes[-1].name
        if last in self._constants or not self._steps or self._tensors[last] != self._last_tensor():
            raise ExportError(f"layer {self._layer.name!r} gives the same values for every event",
                              remedy="Take the layer out of the model")
        self._steps[-1]["output_keras_tensor_names"] = [self._output]
        self._steps[-1]["name"] = re.sub(r"\W", "_", self._layer.name)
        return tuple(self._steps)

    # -- one node ----------------------------------------------------------------------------------------

    def _take(self, node: Node) -> None:
        self._shapes[node.name] = node.shape
        if self._is_constant(node):
            return
        source = self._core(node)
        quantized = source in self._quantized
        for maker in (self._activation, self._function, self._type):
            source, quantized = maker(node, source, quantized)
        if source in self._constants:
            self._constants[node.name] = self._constants[source]
            return
        self._tensors[node.name] = self._tensors.get(source, source)
        if quantized:
            self._quantized.add(node.name)

    def _core(self, node: Node) -> str:
        maker: Callable[[Node], str] | None = {
            "quantize": self._same, "activation": self._same, "reshape": self._reshape, "move": self._moved,
            "concatenate": self._joined, "dense": self._dense, "matrix": self._matrix, "windows": self._windows,
            "depthwise": self._depthwise, "sum_pool": self._sum_pool, "maximum_pool": self._maximum_pool,
            "dot": self._dot, **dict.fromkeys(_MERGES, self._merge)}.get(node.op)
        if maker is None:
            raise ExportError(f"layer {self._layer.name!r} computes {node.op}, which has no form in hls4ml",
                              remedy="Use the RTL flow")
        return maker(node)

    def _add(self, node: Node, what: str, inbound: Sequence[str], shape: Sequence[int], config: Config) -> str:
        """Append one description; returns its tensor's name."""
        number = len(self._steps)
        stem = re.sub(r"\W", "_", node.name)
        tensor = f"{self._layer.name}/{number}/{what}"
        self._steps.append({"name": f"{stem}_{what}{number}", "input_shape": [list(self._shapes[i]) for i in inbound],
                            "input_keras_tensor_names": [self._tensors.get(i, i) for i in inbound],
                            "output_keras_tensor_names": [tensor], "of": self._layer.name, **config})
        self._shapes[tensor] = tuple(int(side) for side in shape)
        return tensor

    def _last_tensor(self) -> str:
        return str(self._steps[-1]["output_keras_tensor_names"][0])

    # -- endings -----------------------------------------------------------------------------------------

    def _activation(self, node: Node, source: str, quantized: bool) -> tuple[str, bool]:
        if node.activation == "relu":
            return self._relu(node, source), False
        if node.activation == "leaky":
            return self._leaky(node, source), False
        return source, quantized

    def _relu(self, node: Node, source: str) -> str:
        return self._add(node, "relu", [source], node.shape, {"class_name": "Activation", "activation": "relu",
                                                              "n_in": int(np.prod(node.shape))})

    def _leaky(self, node: Node, source: str) -> str:
        """The larger (for slopes above 1, the smaller) of the value and its multiple."""
        slope = np.broadcast_to(np.asarray(node.slope, np.float64), node.shape)
        if node.ceiling is not None:
            return self._bent(node, source, slope)
        if not ((slope <= 1).all() or (slope >= 1).all()):
            raise ExportError(f"layer {self._layer.name!r} has slopes below and above 1",
                              "hls4ml has no form for both in one layer", "Use the RTL flow")
        if (slope == 0).all():
            return self._relu(node, source)
        scaled = self._scaled(node, source, slope, np.zeros(1))
        op = "maximum" if (slope <= 1).all() else "minimum"
        return self._pair(node, op, source, scaled)

    def _bent(self, node: Node, source: str, slope: np.ndarray) -> str:
        from core.hls.network_functions import Function

        ceiling = float(node.ceiling or 0.0)

        def call(values: np.ndarray, own: float) -> np.ndarray:
            return np.minimum(np.maximum(values, 0) - own * np.maximum(-values, 0), ceiling)

        return self._looked_up(node, source, Function(call, f"leaky {ceiling}", slope))

    def _function(self, node: Node, source: str, quantized: bool) -> tuple[str, bool]:
        if node.function is None:
            return source, quantized
        return self._looked_up(node, source, node.function), False

    def _looked_up(self, node: Node, source: str, function: Any) -> str:
        return self._add(node, "function", [source], node.shape, {"class_name": "LookUp", "function": function})

    def _type(self, node: Node, source: str, quantized: bool) -> tuple[str, bool]:
        if node.output is None:
            return source, quantized
        if quantized:  # of two quantizers in a row hls4ml 1.3.0 keeps one; a step that changes nothing parts them
            source = self._parted(node, source)
        return self._add(node, "type", [source], node.shape, quantizer(node.output, node.shape)), True

    def _parted(self, node: Node, source: str) -> str:
        """A relu before a type without sign, which hls4ml has for every backend; else a copy."""
        if not any(one.signed for one in np.ravel(np.asarray(node.output, dtype=object))):
            return self._relu(node, source)
        places = np.arange(1, int(np.prod(node.shape)) + 1).reshape(node.shape)
        return self._gathered(node, [source], places)

    # -- constants ---------------------------------------------------------------------------------------

    def _is_constant(self, node: Node) -> bool:
        """Keep the values of a node that depends on no input."""
        if node.op == "constant":
            self._constants[node.name] = np.broadcast_to(node.weights["values"], node.shape)
            return True
        if not node.inbound or any(name not in self._constants for name in node.inbound):
            return False
        held = [self._constants[name] for name in node.inbound]
        computed = {"activation": lambda: held[0], "reshape": lambda: held[0].reshape(node.shape),
                    "dense": lambda: held[0] @ node.weights["kernel"] + node.weights.get("bias", 0.0),
                    "add": lambda: sum(held[1:], held[0]) * node.factor, "multiply": lambda: held[0] * held[-1],
                    "subtract": lambda: held[0] - held[-1]}
        if node.op not in computed:
            raise ExportError(f"layer {self._layer.name!r} does {node.op} with values that never change",
                              remedy="Use the RTL flow")
        self._constants[node.name] = ended(node, np.asarray(computed[node.op](), np.float64))
        return True

    # -- cores -------------------------------------------------------------------------------------------

    def _same(self, node: Node) -> str:
        return node.inbound[0]

    def _reshape(self, node: Node) -> str:
        if self._shapes[node.inbound[0]] == node.shape:
            return node.inbound[0]
        return self._shaped(node, node.inbound[0], node.shape)

    def _shaped(self, node: Node, source: str, shape: Sequence[int]) -> str:
        return self._add(node, "shape", [source], shape, {"class_name": "Reshape", "target_shape": list(shape)})

    def _moved(self, node: Node) -> str:
        assert node.table is not None
        return self._gathered(node, node.inbound, node.table)

    def _joined(self, node: Node) -> str:
        """hls4ml's own for a Concatenate of Keras, two at a time; it has a form in io_stream too."""
        axis = getattr(self._layer, "axis", None)
        if axis is None or any(name in self._constants for name in node.inbound):
            return self._moved(node)
        rank = len(node.shape)
        axis = axis - rank - 1 if axis > 0 else axis
        total, shape = node.inbound[0], list(self._shapes[node.inbound[0]])
        for other in node.inbound[1:]:
            shape[axis] += self._shapes[other][axis]
            total = self._add(node, "joined", [total, other], shape, {
                "class_name": "Concatenate", "op": f"Concatenate{rank}d", "axis": axis, "output_shape": list(shape)})
        return total

    def _gathered(self, node: Node, inbound: Sequence[str], table: np.ndarray) -> str:
        """Values of the inputs, counted through all of them from 1; 0 is a zero."""
        ends = np.cumsum([0, *(int(np.prod(self._shapes[name])) for name in inbound)])
        table = np.asarray(table, np.int64).reshape(node.shape)
        source = np.searchsorted(ends[1:], table - 1, side="right")
        source = np.where(table == 0, -1, source)
        place = np.where(table == 0, 0, table - 1 - ends[np.clip(source, 0, None)])
        if any(name in self._constants for name in inbound):
            raise ExportError(f"layer {self._layer.name!r} joins values that never change", remedy="Use the RTL flow")
        return self._add(node, "moved", inbound, node.shape, {"class_name": "Gather", "source": source, "place": place})

    def _dense(self, node: Node) -> str:
        return self._product(node, node.inbound[0], node.weights["kernel"], node.weights.get("bias"), node.shape)

    def _product(self, node: Node, source: str, kernel: np.ndarray, bias: np.ndarray | None,
                 shape: Sequence[int]) -> str:
        zeros = np.zeros(kernel.shape[1])
        return self._add(node, "sum", [source], shape, {
            "class_name": "Dense", "data_format": "channels_last", "weight_data": kernel,
            "bias_data": zeros if bias is None else np.asarray(bias).reshape(-1), "n_in": kernel.shape[0],
            "n_out": kernel.shape[1]})

    def _matrix(self, node: Node) -> str:
        kernel, source = node.weights["kernel"], node.inbound[0]
        if len(self._shapes[source]) > 1:
            source = self._shaped(node, source, (kernel.shape[0],))
        flat = self._product(node, source, kernel, node.weights.get("bias"), (kernel.shape[1],))
        return flat if len(node.shape) == 1 else self._shaped(node, flat, node.shape)

    def _windows(self, node: Node) -> str:
        layer = self._layer
        kernel = node.weights["kernel"]
        kernel = kernel.reshape(*layer.kernel_size, *kernel.shape[1:])
        return self._convolved(node, kernel, layer.strides, layer.padding, depthwise=False)

    def _depthwise(self, node: Node) -> str:
        layer = self._layer
        kernel = node.weights["kernel"]
        kernel = kernel.reshape(*layer.kernel_size, *kernel.shape[1:])
        return self._convolved(node, kernel, layer.strides, layer.padding, depthwise=True)

    def _convolved(self, node: Node, kernel: np.ndarray, strides: Any, padding: str, depthwise: bool,
                   shape: tuple[int, ...] | None = None) -> str:
        if max(getattr(self._layer, "dilation_rate", None) or (1,)) > 1:
            raise ExportError(f"layer {self._layer.name!r} is dilated, which hls4ml cannot do",
                              remedy="Use the RTL flow, or a dilation of 1")
        source, rank = node.inbound[0], kernel.ndim - 2
        shape = shape or node.shape
        if depthwise and kernel.shape[-1] > 1:  # hls4ml's depthwise kernels take one filter a channel
            kernel, depthwise = _spread_channels(kernel), False
        taken = self._shapes[source]
        config = gen_conv_config(taken, shape, kernel.shape[:rank], tuple(strides), padding, "channels_last",
                                 self._layer.name)
        config |= {"class_name": f"{'Depthwise' if depthwise else ''}Conv{rank}D", "data_format": "channels_last",
                   "weight_data": kernel,
                   "bias_data": np.asarray(node.weights.get("bias", np.zeros(shape[-1]))).reshape(-1)}
        if depthwise:
            config |= {"depthwise_data": kernel, "depth_multiplier": kernel.shape[-1]}
        return self._add(node, "sum", [source], shape, config)

    def _sum_pool(self, node: Node) -> str:
        """A depthwise convolution with the factor in every place: hls4ml's own average is not exact."""
        layer, source = self._layer, self._shapes[node.inbound[0]]
        sides = getattr(layer, "pool_size", None)
        strides = getattr(layer, "strides", None) if sides else None
        sides = tuple(sides) if sides else source[:-1]
        kernel = np.full((*sides, source[-1], 1), node.factor)
        places = tuple((a - s) // t + 1 for a, s, t in zip(source, sides, strides or sides, strict=False))
        out = self._convolved(node, kernel, strides or (1,) * len(sides), "valid", True, (*places, source[-1]))
        return out if (*places, source[-1]) == node.shape else self._shaped(node, out, node.shape)

    def _maximum_pool(self, node: Node) -> str:
        """The largest value of each window, two places of it at a time."""
        assert node.table is not None
        if (node.table == 0).any():
            raise ExportError(f"layer {self._layer.name!r} pools over the edge", "hls4ml fills the edge with zeros",
                              "Use 'valid' padding, or the RTL flow")
        table = np.moveaxis(node.table, -2, 0)
        parts = [self._gathered(node, node.inbound, part) for part in table]
        while len(parts) > 1:
            pairs = [self._pair(node, "maximum", *parts[n:n + 2]) for n in range(0, len(parts) - 1, 2)]
            parts = pairs + (parts[-1:] if len(parts) % 2 else [])
        return parts[0]

    def _dot(self, node: Node) -> str:
        return self._add(node, "dot", node.inbound, (1,), {"class_name": "Dot", "op": "dot1d", "axes": 1,
                                                           "output_shape": [1]})

    def _merge(self, node: Node) -> str:
        total = node.inbound[0]
        for other in node.inbound[1:]:
            total = self._merged(node, total, other)
        if node.factor != 1.0:
            total = self._scaled(node, total, np.full(1, node.factor), np.zeros(1))
        return total

    def _merged(self, node: Node, left: str, right: str) -> str:
        """One pair, of which one may be constant."""
        if right not in self._constants and left not in self._constants:
            return self._pair(node, node.op, self._spread(node, left), self._spread(node, right))
        held, other = (right, left) if right in self._constants else (left, right)
        values = np.broadcast_to(self._constants[held], node.shape)
        if node.op == "add":
            return other if not values.any() else self._scaled(node, other, np.ones(1), values)
        if node.op == "multiply" and not values.any():
            self._constants[node.name] = values
            return node.name
        if node.op == "multiply":
            return self._scaled(node, other, values, np.zeros(1))
        if node.op == "subtract":
            sign = -1.0 if held == left else 1.0
            return self._scaled(node, other, np.full(1, sign), -sign * values)
        raise ExportError(f"layer {self._layer.name!r} does {node.op} with values that never change",
                          remedy="Use the RTL flow")

    def _spread(self, node: Node, name: str) -> str:
        """The input in the shape of the result."""
        shape = self._shapes[name]
        if shape == node.shape:
            return name
        places = np.arange(1, int(np.prod(shape)) + 1).reshape(shape)
        return self._gathered(node, [name], np.broadcast_to(places, node.shape))

    def _pair(self, node: Node, op: str, left: str, right: str) -> str:
        return self._add(node, op, [left, right], node.shape, {"class_name": "Merge", "op": op,
                                                               "output_shape": list(node.shape)})

    def _scaled(self, node: Node, source: str, scale: np.ndarray, bias: np.ndarray) -> str:
        """scale * value + bias, the factors along the last axis or, where they differ more, in each place."""
        shape = node.shape
        whole = [np.broadcast_to(np.asarray(values, np.float64), shape) for values in (scale, bias)]
        by_channel = [np.unique(v.reshape(-1, shape[-1]), axis=0) for v in whole]
        size = int(np.prod(shape))
        if all(len(v) == 1 for v in by_channel):
            held, filters = [v[0] for v in by_channel], shape[-1]
        else:
            held, filters = [v.reshape(-1) for v in whole], size
        return self._add(node, "scale", [source], shape, {
            "class_name": "BatchNormalization", "scale_data": held[0], "bias_data": held[1], "n_in": size,
            "n_filt": filters if len(shape) > 1 else -1})


def _spread_channels(kernel: np.ndarray) -> np.ndarray:
    """A depthwise kernel (sides..., channels, multiplier) as that of a convolution, with zeros elsewhere."""
    *sides, channels, multiplier = kernel.shape
    full = np.zeros((*sides, channels, channels, multiplier))
    for channel in range(channels):
        full[..., channel, channel, :] = kernel[..., channel, :]
    return full.reshape(*sides, channels, channels * multiplier)


def quantizer(output: FixedPoint | np.ndarray, shape: Sequence[int]) -> Config:
    """hls4ml's quantizer: round half to even, saturate. hls4ml counts the sign among the integer bits."""
    types = np.array([output], dtype=object) if isinstance(output, FixedPoint) else output
    first: FixedPoint = types.ravel()[0]
    kbi = [np.array([value(one) for one in types.ravel()], np.int16).reshape((1, *shape) if types.size > 1 else (1,))
           for value in (lambda t: int(t.signed), lambda t: t.bits, lambda t: t.integer + int(t.signed))]
    return {"class_name": "FixedPointQuantizer", "mask_kbi": tuple(kbi), "RND": "RND_CONV", "fusible": None,
            "SAT": "SAT_SYM" if first.symmetric else "SAT", "overrides": {}}


def ended(node: Node, values: np.ndarray) -> np.ndarray:
    """Values through the ending of a node, in double precision."""
    if node.activation == "relu":
        values = np.maximum(values, 0)
    elif node.activation == "leaky":
        slope = np.asarray(node.slope, np.float64)
        values = np.maximum(values, 0) - slope * np.maximum(-values, 0)
        values = values if node.ceiling is None else np.minimum(values, node.ceiling)
    if node.function is not None:
        places = [node.function.at(place)[0](np.array([values[place]]))[0] for place in np.ndindex(values.shape)]
        return np.array(places).reshape(values.shape)
    if node.output is None:
        return values
    types = np.broadcast_to(np.asarray(node.output, dtype=object), values.shape)
    return np.array([np.clip(np.rint(v * 2.0**t.fraction) * 2.0**-t.fraction, t.minimum, t.maximum)
                     for v, t in zip(values.ravel(), types.ravel(), strict=True)]).reshape(values.shape)
