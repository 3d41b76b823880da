"""A quantized Keras model as firmware sees it: nodes in order, exact weights, fixed-point types, no softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from core.errors import ExportError
from core.hls.network_functions import Function, by_channel, ending, normalizing
from core.quant.layers import QAdaptiveActivation, QInput, QuantizedLayer
from core.quant.quantizers import FixedPoint, Quantizer
from core.quant.recipe import OUTPUT

#: more fraction bits than this in a weight mean that it was never quantized
WEIGHT_FRACTION = 24
_ELEMENTWISE = (keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU,
                keras.layers.ELU)
PASSIVE = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "Identity",
            "ActivityRegularization", "Flatten", "Reshape")


@dataclass(frozen=True)
class Node:
    """One step.

    `op`: "input", "quantize", "activation", "reshape"; "move" (each output is the input of that place in
    `table`); "dense" (kernel on the last axis), "matrix" (kernel on all values at once), "windows" (kernel
    (window, channels, filters) on each window of `table`), "depthwise" (kernel (window, channels,
    multiplier)); "maximum_pool", "sum_pool" (times `factor`); "constant" (the values in `weights`); or a merge,
    "add" (times `factor`), ... of two or more inputs.
    `weights` are exact values; `activation` is "linear", "relu" or "leaky" (`slope` below 0, at most `ceiling`);
    `output` is the type the result is rounded and saturated to, one for each place where it is an array, or None
    where it is kept as it is; `function`, where it is not None, takes the place of both. Tables are those of
    `core.hls.geometry`.
    """

    name: str
    op: str
    inbound: tuple[str, ...]
    shape: tuple[int, ...]
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    activation: str = "linear"
    output: FixedPoint | np.ndarray | None = None
    function: Function | None = None
    slope: Any = None
    ceiling: float | None = None
    table: np.ndarray | None = None
    factor: float = 1.0


@dataclass(frozen=True)
class Network:
    """Nodes in the order of computation. `softmax` tells whether one was taken off an output.

    `entries` name the nodes that quantize the model's inputs, and `results` those of its outputs, in its order. What
    firmware takes and gives of an event is the values of all of them, one input or output after the other.
    """

    nodes: tuple[Node, ...]
    results: tuple[str, ...]
    softmax: bool
    entries: tuple[str, ...] = ()


def logits_model(model: keras.Model) -> tuple[keras.Model, bool]:
    """The model without the softmax at its ends, which keeps the order of the classes; True where there was one."""
    taken = softmaxes(model)
    if not any(taken):
        return model, False
    ends = [tensor._keras_history.operation.input if softmax else tensor
            for tensor, softmax in zip(model.outputs, taken, strict=True)]
    return keras.Model(model.inputs, ends if len(ends) > 1 else ends[0], name=model.name), True


def output_sizes(model: keras.Model) -> list[int]:
    """Values that an event has in each output."""
    return [int(np.prod(tensor.shape[1:])) for tensor in model.outputs]


def softmaxes(model: keras.Model) -> tuple[bool, ...]:
    """True for each output that comes from a softmax of its own layer."""
    def is_softmax(last: Any) -> bool:
        name = getattr(getattr(last, "activation", None), "__name__", "")
        return isinstance(last, keras.layers.Softmax) or (
            name == "softmax" and isinstance(last, keras.layers.Activation))

    return tuple(is_softmax(tensor._keras_history.operation) for tensor in model.outputs)


def read_network(model: keras.Model) -> Network:
    """What firmware has to compute, checked for exactness.

    Raises:
        ExportError: something cannot be exported exactly; names the layer, the reason and the remedy.
    """
    exported, softmax = logits_model(model)
    nodes: list[Node] = []
    for layer in exported.layers:
        nodes += layer_nodes(layer, _inbound(exported, layer))
    results = tuple(tensor._keras_history.operation.name for tensor in exported.outputs)
    if len(set(results)) < len(results):
        raise ExportError("two outputs of the model are the same", remedy="Leave one of them away")
    behind = {node.inbound: node.name for node in nodes if node.op == "quantize"}
    entries = [behind.get((tensor._keras_history.operation.name,)) for tensor in exported.inputs]
    return Network(tuple(nodes), results, softmax, tuple(name for name in entries if name is not None))


def _inbound(model: keras.Model, layer: keras.Layer) -> tuple[str, ...]:
    inside = set(model.operations)
    for node in layer._inbound_nodes:
        parents = [tensor._keras_history.operation for tensor in node.input_tensors]
        if all(parent in inside for parent in parents):
            return tuple(parent.name for parent in parents)
    return ()


def layer_nodes(layer: keras.Layer, inbound: tuple[str, ...]) -> list[Node]:
    """The steps of one layer; the last has the layer's name."""
    from core.hls.network_recurrent import recurrent_nodes
    from core.hls.network_windows import windowed_nodes

    outputs = keras.tree.flatten(layer.output)
    if len(outputs) != 1:
        raise ExportError(f"layer {layer.name!r} gives more than one output", "it cannot be exported exactly yet",
                          "Leave its states away")
    shape = tuple(int(side) for side in outputs[0].shape[1:])
    found = windowed_nodes(layer, inbound, shape) or recurrent_nodes(layer, inbound, shape)
    return found or [_node(layer, inbound, shape)]


def _node(layer: keras.Layer, inbound: tuple[str, ...], shape: tuple[int, ...]) -> Node:
    if isinstance(layer, keras.layers.InputLayer):
        return Node(layer.name, "input", (), shape)
    if type(layer).__name__ in PASSIVE:
        return Node(layer.name, "reshape", inbound, shape)
    if isinstance(layer, QInput):
        if output_type(layer) is None:
            raise ExportError(f"the input quantizer {layer.output_quantizer} is not fixed point",
                              remedy="Use quantized_bits with alpha=1 for the input")
        return Node(layer.name, "quantize", inbound, shape, output=ending(layer, shape).output)
    if isinstance(layer, keras.layers.Dense):
        return Node(layer.name, "dense", inbound, shape, exact_weights(layer), **vars(ending(layer, shape)))
    if isinstance(layer, _ELEMENTWISE):
        return Node(layer.name, "activation", inbound, shape, {}, **vars(ending(layer, shape)))
    if isinstance(layer, QAdaptiveActivation):
        return Node(layer.name, "activation", inbound, shape, {},
                    function=by_channel(layer, shape, f"adaptive activation {layer.name}"))
    if isinstance(layer, keras.layers.BatchNormalization):
        return Node(layer.name, "activation", inbound, shape, {}, function=normalizing(layer, shape))
    raise ExportError(f"layer {layer.name!r} ({type(layer).__name__}) cannot be exported exactly yet",
                      remedy="Take the layer out of the model")


def activation_of(layer: keras.Layer) -> str:
    """"linear" or "relu", what is left to apply before the output quantizer; ExportError for anything else."""
    if isinstance(layer, keras.layers.ReLU):
        if layer.max_value is not None or layer.negative_slope or layer.threshold:
            raise ExportError(f"layer {layer.name!r} is a ReLU with a ceiling, slope or threshold",
                              "it cannot be exported exactly yet", "Use a plain ReLU with quantized_relu as its output")
        return "relu"
    chosen = getattr(layer, "output_quantizer", None)
    if chosen is not None and isinstance(layer, QuantizedLayer) and layer.stands_for("output"):
        return "linear"  # the quantizer is the activation: its type says all
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if name not in ("linear", "relu"):
        raise ExportError(f"layer {layer.name!r} uses {name}, which cannot be exported exactly yet",
                          remedy="Use relu, or give its output the quantizer of its kind, such as quantized_tanh")
    return name


def output_type(layer: keras.Layer) -> FixedPoint | None:
    """The fixed-point type of a layer's output quantizer, None without one; ExportError where it is of another kind."""
    chosen: Quantizer | None = getattr(layer, "quantizers", {}).get(OUTPUT)
    if chosen is None:
        return None
    fixed = chosen.fixed_point()
    if fixed is None:
        raise ExportError(f"the output quantizer {chosen} of layer {layer.name!r} cannot be exported exactly yet",
                          remedy="Use quantized_bits with alpha=1, quantized_relu or quantized_tanh")
    return fixed


def exact_weights(layer: Any) -> dict[str, np.ndarray]:
    """The weights as float64, each a multiple of a power of two; ExportError where one is not."""
    values: dict[str, np.ndarray] = {}
    quantized = layer.quantized_weights() if isinstance(layer, QuantizedLayer) else {}
    for parameter, slot in getattr(layer, "slots", {"kernel": "kernel", "bias": "bias"}).items():
        held = layer.weight(parameter) if isinstance(layer, QuantizedLayer) else getattr(layer, slot, None)
        if held is None:
            continue
        chosen = getattr(layer, "quantizers", {}).get(parameter)
        if chosen is None:
            raise ExportError(f"the {parameter} of layer {layer.name!r} is in float",
                              remedy=f"Give it a quantizer, such as {_example(parameter)}")
        if chosen.spec.get("alpha") == "auto" or chosen.spec.kind == "bernoulli":
            raise ExportError(f"the {parameter} of layer {layer.name!r} uses {chosen}",
                              "it has no exact fixed-point form",
                              remedy="Use alpha=1 or alpha='auto_po2'")
        value = np.asarray(quantized[parameter], dtype=np.float64)
        if not _dyadic(value):
            raise ExportError(f"the {parameter} of layer {layer.name!r} under {chosen} cannot be exported",
                              f"its values are not multiples of 2^-{WEIGHT_FRACTION}",
                              remedy="Use alpha=1, another power of two, or alpha='auto_po2'")
        values[parameter] = value
    return values


def _example(parameter: str) -> str:
    return "quantized_bits(8,2,alpha=1)" if parameter == "bias" else "quantized_bits(6,0,alpha=1)"


def _dyadic(values: np.ndarray) -> bool:
    scaled = values * 2.0**WEIGHT_FRACTION
    return bool(np.isfinite(scaled).all() and (scaled == np.rint(scaled)).all())
