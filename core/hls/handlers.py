"""How hls4ml reads our layers: handlers of its Keras v3 registry (hls4ml 1.3.0).

Weights are handed over as already quantized values and every quantizer as a fixed-point node; with
`bit_exact` hls4ml then derives every weight, accumulator and result type by interval arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from hls4ml.converters.keras_v3._base import KerasV3LayerHandler

from core.hls.network import exact_weights, output_type
from core.quant.layers import QActivation, QDense, QInput, QReLU, QuantizedLayer
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


def _chain(layer: Any, first: Config | None, source: str, target: str, shape: list[int]) -> tuple[Config, ...]:
    """Core node, activation and quantizer of one layer, joined by tensors of our own naming."""
    steps: list[Config] = [] if first is None else [first]
    activation, fixed = _activation(layer), output_type(layer)
    if activation != "linear" or (not steps and fixed is None):
        steps.append({"class_name": "Activation", "activation": activation, "n_in": int(np.prod(shape)),
                      "input_shape": [shape]})
    if fixed is not None:
        steps.append(quantizer_node("", fixed, "", ""))
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        step["name"] = layer.name if last else f"{layer.name}_{number}"
        step["input_keras_tensor_names"] = [source if number == 0 else f"{layer.name}_tensor{number - 1}"]
        step["output_keras_tensor_names"] = [target if last else f"{layer.name}_tensor{number}"]
    return tuple(steps)


class DenseHandler(KerasV3LayerHandler):
    """QDense: a Dense node with exact weights, then activation and output quantizer."""

    handles = (_handle(QDense),)

    def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """hls4ml's description of the layer."""
        weights = exact_weights(layer)
        kernel = weights["kernel"]
        bias = weights.get("bias", np.zeros(kernel.shape[1]))
        shape = [int(side) for side in in_tensors[0].shape[1:]]
        node = {"class_name": "Dense", "data_format": "channels_last", "weight_data": kernel, "bias_data": bias,
                "n_in": kernel.shape[0], "n_out": kernel.shape[1], "input_shape": [shape]}
        return _chain(layer, node, in_tensors[0].name, out_tensors[0].name, [int(s) for s in out_tensors[0].shape[1:]])


class ActivationHandler(KerasV3LayerHandler):
    """QActivation, QReLU and QInput: an activation and a quantizer, either of which may be absent."""

    handles = (_handle(QActivation), _handle(QReLU), _handle(QInput))

    def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """hls4ml's description of the layer."""
        shape = [int(side) for side in out_tensors[0].shape[1:]]
        return _chain(layer, None, in_tensors[0].name, out_tensors[0].name, shape)
