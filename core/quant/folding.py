"""BatchNormalization folded into the layer before it: for training in one layer, or once and for all."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from core.quant.layers import QUANTIZED_CLASSES

#: classes that take a BatchNormalization behind them, and where their kernel's output channels lie
_FOLDABLE = {"Dense": 1, "Conv1D": 1, "Conv2D": 1, "DepthwiseConv2D": 2}


def foldable(model: keras.Model) -> dict[str, str]:
    """Layers whose one reader is a BatchNormalization over the last axis, by that one's name.

    A layer with an activation of its own, or that other layers read too, is not among them.
    """
    readers: dict[str, list[keras.Layer]] = {}
    for layer in model.layers:
        for source in _sources(layer):
            readers.setdefault(source, []).append(layer)
    found = {}
    for layer in model.layers:
        after = readers.get(layer.name, [])
        plain = getattr(getattr(layer, "activation", None), "__name__", "") == "linear"
        ends = any(t is layer.output for t in model.outputs) if len(layer._inbound_nodes) == 1 else True
        if layer.__class__.__name__ in _FOLDABLE and plain and not ends and len(after) == 1 \
                and _over_last_axis(after[0]):
            found[layer.name] = after[0].name
    return found


def fold_batchnorm(model: keras.Model, trainable: bool = True) -> keras.Model:
    """A new model with each foldable BatchNormalization taken into the layer before it.

    With `trainable` the pair becomes one layer (Conv2DBatchnorm, ...) that goes on learning its statistics;
    without, a plain layer with folded kernel and bias (W' = gamma W / sqrt(variance + epsilon)). Either keeps
    the name of the first of the two. Outputs at inference are those of the model, to rounding.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    pairs = foldable(model)
    gone = set(pairs.values())

    def clone(layer: keras.Layer) -> keras.Layer:
        if layer.name in pairs:
            return _folded_layer(layer, model.get_layer(pairs[layer.name]), trainable)
        return layer.__class__.from_config(layer.get_config())

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in gone else layer(*args, **kwargs)

    built = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in built.layers:
        source = model.get_layer(layer.name)
        if layer.name in pairs:
            layer.set_weights(_folded_weights(source, model.get_layer(pairs[layer.name]), trainable))
        else:
            layer.set_weights(source.get_weights())
    return built


def _sources(layer: keras.Layer) -> list[str]:
    return [tensor._keras_history.operation.name for node in layer._inbound_nodes for tensor in node.input_tensors]


def _over_last_axis(layer: keras.Layer) -> bool:
    if layer.__class__.__name__ != "BatchNormalization" or len(layer._inbound_nodes) != 1:
        return False
    return layer.axis in (-1, len(layer.input.shape) - 1)


def _folded_layer(layer: keras.Layer, norm: keras.Layer, trainable: bool) -> keras.Layer:
    config = layer.get_config()
    if not trainable:
        return layer.__class__.from_config({**config, "use_bias": True})
    own = norm.get_config()
    statistics = {name: own[name] for name in ("momentum", "epsilon", "center", "scale")}
    cls: Any = QUANTIZED_CLASSES[f"{layer.__class__.__name__}Batchnorm"]
    return cls.from_config({**config, **statistics})


def _folded_weights(layer: keras.Layer, norm: keras.Layer, trainable: bool) -> list[np.ndarray]:
    weights = layer.get_weights()
    if trainable:
        learned = [v.numpy() for v in (norm.gamma, norm.beta) if v is not None]
        steps = np.asarray(-1, np.int64)
        return [*weights, *learned, steps, norm.moving_mean.numpy(), norm.moving_variance.numpy()]
    kernel, bias = weights[0], weights[1] if len(weights) > 1 else 0.0
    gamma = 1.0 if norm.gamma is None else norm.gamma.numpy().astype(np.float64)
    beta = 0.0 if norm.beta is None else norm.beta.numpy()
    factor = gamma / np.sqrt(norm.moving_variance.numpy().astype(np.float64) + norm.epsilon)
    shape = kernel.shape[-_FOLDABLE[layer.__class__.__name__]:]
    return [(kernel * factor.reshape(shape)).astype(np.float32),
            ((bias - norm.moving_mean.numpy()) * factor + beta).astype(np.float32)]
