"""How hls4ml reads our layers: handlers of its Keras v3 registry (hls4ml 1.3.0).

Each layer becomes the steps that `core.hls.network` makes of it for any firmware, and those become hls4ml's
layers: already quantized weights, and every quantizer a fixed-point node. With `bit_exact` hls4ml then derives
every weight, accumulator and result type by interval arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from hls4ml.converters.keras_v3._base import KerasV3LayerHandler, registry

from core.hls.hls4ml_layers import install
from core.hls.hls4ml_nodes import Chain, Config
from core.hls.network import PASSIVE, layer_nodes
from core.quant.layer_base import QuantizedLayer
from core.quant.layers import QUANTIZED_CLASSES, QAdaptiveActivation, QInput

#: plain Keras layers that hls4ml takes exactly by itself
NATIVE = ("InputLayer", "Flatten", "Reshape", "Permute", "MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling1D",
          "GlobalMaxPooling2D")
#: plain Keras layers that become steps of ours
_PLAIN = ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Add", "Subtract", "Multiply", "Average", "Maximum",
          "Minimum", "Dot", "Concatenate", "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D",
          "GlobalAveragePooling2D", "RepeatVector", "UpSampling1D", "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D",
          "Cropping1D", "Cropping2D", *(name for name in PASSIVE if name not in ("Flatten", "Reshape")))


def _handle(cls: type) -> str:
    return f"{cls.__module__}.{cls.__name__}"


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in tensor.shape[1:])


def _ends_quantized(tensor: Any) -> bool:
    """True where hls4ml would see a quantizer right before this tensor."""
    source = tensor._keras_history.operation
    while type(source).__name__ in (*PASSIVE, "Permute"):  # hls4ml looks through these
        source = source.input._keras_history.operation
    return isinstance(source, QuantizedLayer) and source.output_quantizer is not None


class StepsHandler(KerasV3LayerHandler):
    """Any of our layers, by its steps."""

    handles = tuple(dict.fromkeys(_handle(cls) for cls in (
        *QUANTIZED_CLASSES.values(), QInput, QAdaptiveActivation, *(getattr(keras.layers, name) for name in _PLAIN))))

    def handle(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """hls4ml's descriptions of the layer."""
        inputs = {tensor.name: _shape(tensor) for tensor in in_tensors}
        quantized = {tensor.name for tensor in in_tensors if _ends_quantized(tensor)}
        nodes = layer_nodes(layer, tuple(tensor.name for tensor in in_tensors))
        chain = Chain(layer, inputs, out_tensors[0].name, quantized)
        if all(node.op == "reshape" for node in nodes):
            return self._passed(layer, in_tensors, out_tensors)
        return chain.configs(nodes)

    def _passed(self, layer: Any, in_tensors: Sequence[Any], out_tensors: Sequence[Any]) -> tuple[Config, ...]:
        """A layer that does nothing at inference: hls4ml drops a reshape to the same shape."""
        shape = list(_shape(out_tensors[0]))
        return ({"name": layer.name, "class_name": "Reshape", "target_shape": shape, "n_in": math.prod(shape),
                 "input_shape": [shape], "input_keras_tensor_names": [in_tensors[0].name],
                 "output_keras_tensor_names": [out_tensors[0].name]},)


def known(layer: Any) -> bool:
    """True where the layer's class has an exact form: one of ours, or one that hls4ml takes exactly."""
    handler = registry.get(_handle(type(layer)))
    return isinstance(handler, StepsHandler) or (handler is not None and type(layer).__name__ in NATIVE)


install()
