"""One small model of each layer class that can be quantized: for tests and for the table of what is covered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from core.arrays import Arrays, several
from core.quant.layers import QUANTIZED_CLASSES

_SHAPES = {0: (6,), 1: (4, 2), 2: (4, 3, 2)}
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")
_CELL = ("kernel", "recurrent_kernel", "bias", "state", "activation")

#: class -> (arguments, axes of an event but the last, what can be quantized beside the output)
SAMPLES: dict[str, tuple[dict[str, Any], int, tuple[str, ...]]] = {
    "Dense": ({"units": 3}, 0, ("kernel", "bias")),
    "EinsumDense": ({"equation": "abc,cd->abd", "output_shape": (4, 3), "bias_axes": "d"}, 1, ("kernel", "bias")),
    "Conv1D": ({"filters": 3, "kernel_size": 2}, 1, ("kernel", "bias")),
    "Conv2D": ({"filters": 3, "kernel_size": 2, "strides": 2}, 2, ("kernel", "bias")),
    "Conv1DTranspose": ({"filters": 3, "kernel_size": 2, "strides": 2}, 1, ("kernel", "bias")),
    "Conv2DTranspose": ({"filters": 3, "kernel_size": 2}, 2, ("kernel", "bias")),
    "DepthwiseConv2D": ({"kernel_size": 2, "depth_multiplier": 2}, 2, ("depthwise", "bias")),
    "SeparableConv1D": ({"filters": 3, "kernel_size": 2}, 1, ("depthwise", "pointwise", "bias")),
    "SeparableConv2D": ({"filters": 3, "kernel_size": 2}, 2, ("depthwise", "pointwise", "bias")),
    "SimpleRNN": ({"units": 3}, 1, _CELL),
    "LSTM": ({"units": 3, "return_sequences": True}, 1, (*_CELL, "recurrent_activation")),
    "GRU": ({"units": 3}, 1, (*_CELL, "recurrent_activation")),
    "Bidirectional": ({"layer": "LSTM"}, 1, ("kernel", "recurrent_kernel", "bias", "state")),
    "BatchNormalization": ({}, 0, ("gamma", "beta", "mean", "variance")),
    "DenseBatchnorm": ({"units": 3}, 0, ("kernel", "bias")),
    "Conv1DBatchnorm": ({"filters": 3, "kernel_size": 2, "use_bias": False}, 1, ("kernel", "bias")),
    "Conv2DBatchnorm": ({"filters": 3, "kernel_size": 2, "folding_mode": "batch_stats_folding"}, 2,
                        ("kernel", "bias")),
    "DepthwiseConv2DBatchnorm": ({"kernel_size": 2, "ema_freeze_delay": 2}, 2, ("depthwise", "bias")),
    "AveragePooling1D": ({"pool_size": 3}, 1, ("average",)),
    "AveragePooling2D": ({"pool_size": 2}, 2, ("average",)),
    "GlobalAveragePooling1D": ({}, 1, ("average",)),
    "GlobalAveragePooling2D": ({}, 2, ("average",)),
    "Activation": ({"activation": "tanh"}, 0, ()),
    "ReLU": ({"max_value": 1.5}, 0, ()),
    "LeakyReLU": ({"negative_slope": 0.25}, 0, ()),
    "PReLU": ({}, 0, ()),
    "ELU": ({}, 0, ()),
    **{name: ({"axes": 1} if name == "Dot" else {}, 0, ()) for name in MERGES},
}
#: kind -> the string it is tried with on weights
ON_WEIGHTS = {
    "quantized_bits": "quantized_bits(6,1,alpha=1)", "quantized_linear": "quantized_linear(6,1,alpha=1)",
    "binary": "binary(alpha=1)", "ternary": "ternary(alpha=1)", "stochastic_binary": "stochastic_binary(alpha=1)",
    "stochastic_ternary": "stochastic_ternary(alpha=1)", "bernoulli": "bernoulli(alpha=1)",
    "quantized_po2": "quantized_po2(5,2)", "quantized_ulaw": "quantized_ulaw(6,1)",
}
#: kind -> the string it is tried with on outputs
ON_OUTPUTS = {
    **ON_WEIGHTS, "quantized_relu": "quantized_relu(6,2)", "quantized_relu_po2": "quantized_relu_po2(5)",
    "quantized_tanh": "quantized_tanh(6)", "quantized_sigmoid": "quantized_sigmoid(6)",
    "quantized_hswish": "quantized_hswish(6,2)",
}
#: parameter type -> the string it has where another is tried
OTHERWISE = {"state": "quantized_bits(6,1,alpha=1)", "activation": "quantized_tanh(5)",
             "recurrent_activation": "quantized_sigmoid(5)", "average": "quantized_bits(8,0,alpha=1)"}
#: of the model's input
SOURCE = "quantized_bits(8,3,alpha=1)"


def sample(name: str, quantizers: dict[str, str] | None = None) -> keras.Model:
    """A model of one layer "tested" of the class, quantized by these strings; None: Keras's own layer.

    A folded class is ours also without quantizers, for Keras has none.
    """
    inputs, source = _source(name)
    return keras.Model(inputs, _layer(name, "tested", quantizers)(source), name="sample")


def branches(name: str, layers: Sequence[str]) -> keras.Model:
    """A float model with several layers of the class side by side on one input, each of them an output, flat."""
    inputs, source = _source(name)
    outputs = [keras.layers.Flatten(name=f"{layer}_flat")(_layer(name, layer, None)(source)) for layer in layers]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name="branches")


def _source(name: str) -> tuple[Any, Any]:
    """(input, what the layer of that class is called on)."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input(_SHAPES[SAMPLES[name][1]], name="x")
    return inputs, [inputs, keras.layers.Activation("relu", name="other")(inputs)] if name in MERGES else inputs


def _layer(name: str, called: str, quantizers: dict[str, str] | None) -> keras.Layer:
    arguments = SAMPLES[name][0]
    ours = quantizers is not None or not hasattr(keras.layers, name)
    cls: Any = QUANTIZED_CLASSES[name] if ours else getattr(keras.layers, name)
    if "layer" in arguments:
        arguments = {**arguments, "layer": getattr(keras.layers, arguments["layer"])(3)}
    layer: keras.Layer = cls(**arguments, **({"quantizers": quantizers} if ours else {}), name=called)
    return layer


def events_for(model: keras.Model, count: int = 64) -> Arrays:
    """(count, ...) float32 normal events of the model's input shape, or of each input's, always the same."""
    random = np.random.default_rng(1)
    return several({tensor.name: random.normal(size=(count, *tensor.shape[1:])).astype(np.float32)
                    for tensor in model.inputs})
