"""How hls4ml reads our layers: handlers of its Keras v3 registry (hls4ml 1.3.0).

Weights are handed over as already quantized values and every quantizer as a fixed-point node; with
`bit_exact` hls4ml then derives every weight, accumulator and result type by interval arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from hls4ml.converters.keras_v3 import merge, pooling
from hls4ml.converters.keras_v3._base import KerasV3LayerHandler
from hls4ml.converters.keras_v3.conv import gen_conv_config

from core.errors import ExportError
from core.hls.network import PASSIVE, exact_weights, output_type
from core.hls.network_windows import MERGES
from core.quant.layer_base import QuantizedLayer
from core.quant.layers import QUANTIZED_CLASSES, QConv1D, QConv2D, QDense, QDepthwiseConv2D
from core.quant.layers_folded import QConv1DBatchnorm, QConv2DBatchnorm, QDenseBatchnorm, QDepthwiseConv2DBatchnorm
from core.quant.layers_output import AVERAGE, QActivation, QInput, QReLU
from core.quant.quantizers import FixedPoint

Config = dict[str, Any]


def _handle(cls: type) -> str:
    return f"{cls.__module__}.{cls.__name__}"


def quantizer_node(name: str, fixed: FixedPoint, source: str, target: str) -> Config:
    """hls4ml's quantizer node: round half to even, saturate. hls4ml counts the sign among the integer bits."""
    kbi = (int(fixed.signed), fixed.bits, fixed.integer + int(fixed.signed))
    return {"name": name, "class_name": "FixedPointQuantizer", "mask_kbi": tuple(np.array([v], np.int16) for v in kbi),
            "SAT": "SAT_SYM" if fixed.symmetric else "SAT", "RND": "RND_CONV", "fusible": None, "overrides": {},
            "input_keras_tensor_names": [source], "output_keras_tensor_names": [target]}


def _activation(layer: Any) -> str:
    if isinstance(layer, keras.layers.ReLU):
        return "relu"
    if isinstance(layer, QuantizedLayer) and layer.stands_for("output"):
        return "linear"
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _chain(layer: Any, first: Config | None, in_tensors: Sequence[Any],
           out_tensors: Sequence[Any]) -> tuple[Config, ...]:
    """Core node, activation and quantizer of one layer, joined by tensors of our own naming."""
    shape, target = _shape(out_tensors[0]), out_tensors[0].name
    steps: list[Config] = [] if first is None else [first]
    activation, fixed = _activation(layer), output_type(layer)
    if not steps and activation == "linear" and fixed is not None and _is_quantized(in_tensors[0]):
        activation = _between(layer, fixed)
    if activation != "linear" or (not steps and fixed is None):
        steps.append({"class_name": "Activation", "activation": activation, "n_in": int(np.prod(shape)),
                      "input_shape": [shape]})
    if fixed is not None:
        steps.append(quantizer_node("", fixed, "", ""))
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        step["name"] = layer.name if last else f"{layer.name}_{number}"
        step["input_keras_tensor_names"] = [t.name for t in in_tensors] if number == 0 \
            else [f"{layer.name}_tensor{number - 1}"]
        step["output_keras_tensor_names"] = [target if last else f"{layer.name}_tensor{number}"]
    return tuple(steps)


def _is_quantized(tensor: Any) -> bool:
    source = tensor._keras_history.operation
    while type(source).__name__ in (*PASSIVE, "Permute"):  # hls4ml looks through these
        source = source.input._keras_history.operation
    return isinstance(source, QuantizedLayer) and source.output_quantizer is not None


def _between(layer: Any, fixed: FixedPoint) -> str:
    """What to put between two quantizers in a row, which hls4ml 1.3.0 would merge into the last: nothing changes."""
    if fixed.signed:
        raise ExportError(f"the input of layer {layer.name!r} is quantized already", "hls4ml cannot take two in a row",
                          "Take one of the two quantizers away, or use the RTL flow")
    return "relu"


class DenseHandler(KerasV3LayerHandler):
    """QDense: a Dense node with exact weights, then activation and output quantizer."""

    handles = (_handle(QDense), _handle(QDenseBatchnorm))

    def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """hls4ml's description of the layer."""
        weights = exact_weights(layer)
        kernel = weights["kernel"]
        bias = weights.get("bias", np.zeros(kernel.shape[1]))
        shape = _shape(in_tensors[0])
        node = {"class_name": "Dense", "data_format": "channels_last", "weight_data": kernel, "bias_data": bias,
                "n_in": kernel.shape[0], "n_out": kernel.shape[1], "input_shape": [shape]}
        return _chain(layer, node, in_tensors, out_tensors)


class ActivationHandler(KerasV3LayerHandler):
    """QActivation, QReLU and QInput: an activation and a quantizer, either of which may be absent."""

    handles = (_handle(QActivation), _handle(QReLU), _handle(QInput))

    def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """hls4ml's description of the layer."""
        return _chain(layer, None, in_tensors, out_tensors)


class ConvolutionHandler(KerasV3LayerHandler):
    """Convolutions, depthwise ones and those with a BatchNormalization folded in."""

    handles = tuple(map(_handle, (QConv1D, QConv2D, QConv1DBatchnorm, QConv2DBatchnorm, QDepthwiseConv2D,
                                  QDepthwiseConv2DBatchnorm)))

    def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """hls4ml's description of the layer."""
        weights = exact_weights(layer)
        depthwise = "depthwise" in weights
        kernel = weights["depthwise" if depthwise else "kernel"]
        rank = kernel.ndim - 2
        node = gen_conv_config(_shape(in_tensors[0]), _shape(out_tensors[0]), layer.kernel_size, layer.strides,
                               layer.padding, "channels_last", layer.name)
        filters = out_tensors[0].shape[-1]
        node |= {"class_name": f"{'Depthwise' if depthwise else ''}Conv{rank}D", "data_format": "channels_last",
                 "bias_data": weights.get("bias", np.zeros(filters)), "weight_data": kernel,
                 "input_shape": [_shape(in_tensors[0])]}
        if depthwise:
            node |= {"depthwise_data": kernel, "depth_multiplier": layer.depth_multiplier}
        return _chain(layer, node, in_tensors, out_tensors)


class MergeHandler(KerasV3LayerHandler):
    """Merges with a quantizer behind them."""

    handles = tuple(_handle(QUANTIZED_CLASSES[name]) for name in MERGES)

    def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """hls4ml's description of the layer."""
        kind = type(layer).__name__.removeprefix("Q")
        node = merge.MergeHandler().handle(layer, in_tensors, out_tensors, kind)
        node["input_shape"] = [_shape(tensor) for tensor in in_tensors]
        return _chain(layer, node, in_tensors, out_tensors)


class PoolingHandler(KerasV3LayerHandler):
    """Average pooling with a quantizer behind it; one whose factor is quantized has no node in hls4ml."""

    handles = tuple(_handle(cls) for name, cls in QUANTIZED_CLASSES.items() if "Pooling" in name)

    def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """hls4ml's description of the layer."""
        if AVERAGE in layer.quantizers:
            raise ExportError(f"the average of layer {layer.name!r} has a quantizer, which hls4ml cannot take",
                              remedy="Use the RTL flow, or take that quantizer away")
        node = pooling.PoolingHandler().handle(layer, in_tensors, out_tensors)
        node |= {"class_name": type(layer).__name__.removeprefix("Q"), "data_format": "channels_last",
                 "input_shape": [_shape(in_tensors[0])]}
        return _chain(layer, node, in_tensors, out_tensors)


def _shape(tensor: Any) -> list[int]:
    return [int(side) for side in tensor.shape[1:]]
