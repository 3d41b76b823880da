"""The model a recipe really builds: numbers of units and filters multiplied, shapes and weights following."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import msgspec

from core.energy.graph import base_class
from core.errors import CostError
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.model_shapes import Shape, macs, output_shape
from core.quant.recipe import Recipe

_GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}


def multipliers(recipe: Recipe) -> tuple[tuple[str, float], ...]:
    """(layer, multiplier) of the layers whose number of units changes."""
    return tuple((name, entry.units_multiplier) for name, entry in recipe.layers.items()
                 if entry.units_multiplier != 1.0)


def scaled(info: ModelInfo, factors: Mapping[str, float]) -> ModelInfo:
    """`info` with units and filters multiplied, at least one, and all that follows.

    Raises:
        CostError: a layer behind a changed one has a shape that cannot be worked out.
    """
    shapes: dict[str, Shape] = {}
    layers = []
    for layer in info.layers:
        changed = _layer(layer, factors.get(layer.name, 1.0), [shapes[name] for name in layer.inbound])
        shapes[layer.name] = changed.output_shape
        layers.append(changed)
    return msgspec.structs.replace(info, layers=tuple(layers))


def resizable(info: ModelInfo) -> frozenset[str]:
    """Layers whose number of units or filters may change without the model giving something else."""
    outputs = {name: layer.output_shape for name in info.outputs if (layer := info.find(name)) is not None}
    found = set()
    for layer in info.layers:
        if "units" in layer.config or "filters" in layer.config:
            with contextlib.suppress(CostError):
                after = scaled(info, {layer.name: 2.0})
                if all(changed.output_shape == outputs[changed.name] for changed in after.layers
                       if changed.name in outputs):
                    found.add(layer.name)
    return frozenset(found)


def _layer(layer: LayerInfo, factor: float, inputs: list[Shape]) -> LayerInfo:
    base = base_class(layer.class_name)
    counted = next((key for key in ("units", "filters") if key in layer.config), None)
    if not inputs or (tuple(inputs) == layer.input_shapes and (factor == 1.0 or counted is None)):
        return layer
    config = dict(layer.config)
    if counted and factor != 1.0:
        config[counted] = max(int(config[counted] * factor), 1)
    shape = output_shape(base.replace("Batchnorm", ""), config, inputs)
    if shape is None:
        raise CostError(f"the shape of {layer.name!r} with other numbers of units is not known",
                        f"it is a {layer.class_name}", "Set the unit multipliers to 1")
    held = tuple(msgspec.structs.replace(weight, shape=_weight(base, weight, config, inputs[0], shape))
                 for weight in layer.weights)
    count = macs(base, config, inputs, shape, {weight.parameter: weight.shape for weight in held})
    return msgspec.structs.replace(layer, config=config, input_shapes=tuple(inputs), output_shape=shape, weights=held,
                                   macs=count)


def _weight(base: str, weight: WeightInfo, config: Mapping[str, object], source: Shape, shape: Shape) -> Shape:
    channels, made = source[-1] or 1, shape[-1] or 1
    old = weight.shape
    if base in _GATES:
        gates = _GATES[base] * made
        first = {"kernel": (channels,), "recurrent_kernel": (made,)}.get(weight.parameter, old[:-1])
        return (*first, gates)
    if weight.parameter == "depthwise":
        return (*old[:-2], channels, old[-1])
    if weight.parameter == "pointwise":
        return (*old[:-2], channels * int(config.get("depth_multiplier", 1)), made)  # type: ignore[call-overload]
    if weight.parameter == "kernel":
        return (*old[:-2], made, channels) if base.endswith("Transpose") else (*old[:-2], channels, made)
    return (made,)
