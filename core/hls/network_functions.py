"""What stands at the end of a layer: activation and output quantizer, as arithmetic or as a function of one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from core.errors import ExportError
from core.quant.layers import QuantizedLayer
from core.quant.quantizers import FixedPoint, Quantizer
from core.quant.recipe import OUTPUT

#: slopes with at most so many fraction bits are multiplied with; finer ones are looked up where that is possible
SLOPE_FRACTION = 8
#: more fraction bits than this mean that a value was never quantized
MOST_FRACTION = 24
_QUANTIZED = "Give its output a quantizer, such as quantized_bits(8,3,alpha=1)"


@dataclass(frozen=True)
class Function:
    """A function of one value, computed in double precision as Keras does.

    `call` takes the values and, where `parameter` is not None, that of the place (a slope, a channel's number);
    `text` names it. Two functions of equal text and parameter are the same within one network.
    """

    call: Callable[..., np.ndarray]
    text: str
    parameter: np.ndarray | None = None

    def at(self, place: tuple[int, ...]) -> tuple[Callable[[np.ndarray], np.ndarray], object]:
        """(function of the values at a place of the output, what tells it from others)."""
        if self.parameter is None:
            return self.call, self.text
        own = float(self.parameter[place])
        return (lambda values: self.call(values, own)), (self.text, own)


@dataclass(frozen=True)
class Ending:
    """Activation ("linear", "relu", "leaky" with `slope` and `ceiling`), then output type; or one function instead."""

    activation: str = "linear"
    output: FixedPoint | np.ndarray | None = None
    function: Function | None = None
    slope: Any = None
    ceiling: float | None = None


def ending(layer: Any, shape: tuple[int, ...]) -> Ending:
    """How a layer ends.

    Args:
        shape: of the layer's output for one event.

    Raises:
        ExportError: it has no exact form.
    """
    chosen: Quantizer | None = getattr(layer, "quantizers", {}).get(OUTPUT)
    replaced = isinstance(layer, QuantizedLayer) and layer.stands_for(OUTPUT)
    return joined(layer, shape, "linear" if replaced else layer, chosen)


def joined(layer: Any, shape: tuple[int, ...], activation: Any, chosen: Quantizer | None,
           parameter: str = OUTPUT) -> Ending:
    """An activation (a name, or a layer that is or has one) and the quantizer of that parameter type, joined."""
    name, function, slope, ceiling = _activation(activation)
    fixed = None if chosen is None else fixed_types(layer, chosen, shape, parameter)
    if name == "leaky" and (chosen is None or (fixed is not None and _coarse(slope, SLOPE_FRACTION))):
        if not _coarse(slope, MOST_FRACTION) or not _coarse(ceiling or 0.0, MOST_FRACTION):
            raise ExportError(f"the slope of layer {layer.name!r} is not a multiple of 2^-{MOST_FRACTION}",
                              remedy=_QUANTIZED)
        return Ending(name, fixed, slope=slope, ceiling=ceiling)
    if name in ("linear", "relu") and (chosen is None or fixed is not None):
        return Ending(name, fixed)
    if chosen is None:
        raise ExportError(f"layer {layer.name!r} uses {name}, whose values have no end behind the point",
                          remedy="Use relu, or give it the quantizer of its kind, such as quantized_tanh")
    check_deterministic(layer, chosen)
    return Ending(function=_function(name, function, slope, ceiling, chosen, shape))


def _activation(layer: Any) -> tuple[str, Callable[[Any], Any] | None, Any, float | None]:
    """(name, Keras's function of a tensor, slope below 0, ceiling) of a layer's activation."""
    if isinstance(layer, str):
        return layer, None, None, None
    if isinstance(layer, keras.layers.PReLU):
        return "leaky", None, np.asarray(keras.ops.convert_to_numpy(layer.alpha), np.float64), None
    if isinstance(layer, keras.layers.LeakyReLU):
        return "leaky", None, float(layer.negative_slope), None
    if isinstance(layer, keras.layers.ELU):
        alpha = layer.alpha
        return f"elu({alpha})", (lambda x: keras.activations.elu(x, alpha=alpha)), None, None
    if isinstance(layer, keras.layers.ReLU):
        slope, ceiling, threshold = float(layer.negative_slope or 0), layer.max_value, float(layer.threshold or 0)
        if threshold:
            return f"relu({slope},{ceiling},{threshold})", (lambda x: keras.activations.relu(
                x, negative_slope=slope, max_value=ceiling, threshold=threshold)), None, None
        return ("leaky", None, slope, ceiling) if slope or ceiling is not None else ("relu", None, None, None)
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", "linear") if function is not None else "linear"
    return named(name, function)


def named(name: str, function: Any) -> tuple[str, Callable[[Any], Any] | None, Any, float | None]:
    """As `_activation`, for one of Keras's functions by its name."""
    if name == "leaky_relu":
        return "leaky", None, 0.2, None
    if name == "relu6":
        return "leaky", None, 0.0, 6.0
    return name, function, None, None


def _function(name: str, function: Any, slope: Any, ceiling: float | None, chosen: Quantizer,
              shape: tuple[int, ...]) -> Function:
    """Activation and quantizer as one function."""
    if name == "leaky":
        def leaky(values: np.ndarray, own: float) -> np.ndarray:
            bent = np.maximum(values, 0) - own * np.maximum(-values, 0)
            return double_values(chosen, bent if ceiling is None else np.minimum(bent, ceiling))

        return Function(leaky, f"leaky {ceiling} {chosen}", np.broadcast_to(np.asarray(slope, np.float64), shape))
    if name == "linear":
        return Function(lambda values: double_values(chosen, values), str(chosen))
    if name == "relu":
        return Function(lambda values: double_values(chosen, np.maximum(values, 0)), f"relu {chosen}")
    if name == "softmax":
        raise ExportError("a softmax inside the network cannot be exported exactly",
                          remedy="Leave softmax to the end of the network, where it is taken off")
    return Function(lambda values: double_values(chosen, keras.ops.convert_to_numpy(function(_tensor(values)))),
                    f"{name} {chosen}")


def _tensor(values: np.ndarray) -> Any:
    return keras.ops.convert_to_tensor(values, dtype="float64")


def double_values(chosen: Quantizer, values: np.ndarray) -> np.ndarray:
    """A quantizer's values, computed by the operations that Keras would use."""
    return np.asarray(keras.ops.convert_to_numpy(chosen(_tensor(values))), np.float64)


def refuse_random(layer: Any, chosen: Quantizer) -> None:
    """Raise ExportError for a quantizer that draws its values at inference too."""
    if chosen.spec.kind == "bernoulli":
        raise ExportError(f"the quantizer {chosen} of layer {layer.name!r} is random at inference",
                          remedy="Use binary in its place")


def check_deterministic(layer: Any, chosen: Quantizer) -> None:
    """Raise ExportError for a quantizer whose values depend on more than the one it is given, or have no last bit."""
    refuse_random(layer, chosen)
    if chosen.spec.kind == "quantized_ulaw":
        raise ExportError(f"the quantizer {chosen} of layer {layer.name!r} has no exact fixed-point form",
                          "its values are logarithms",
                          "Use quantized_bits with alpha=1, quantized_relu, quantized_tanh or quantized_sigmoid")
    if isinstance(chosen.spec.get("alpha"), str):
        raise ExportError(f"the quantizer {chosen} of layer {layer.name!r} scales by the data of each batch",
                          remedy="Use alpha=1 for what is no weight")


def fixed_types(layer: Any, chosen: Quantizer, shape: tuple[int, ...],
                parameter: str = OUTPUT) -> FixedPoint | np.ndarray | None:
    """The fixed-point type of a quantizer, or one for each place where its widths are variables; None for others."""
    fixed = chosen.fixed_point()
    variables = layer.width_variables(parameter) if isinstance(layer, QuantizedLayer) else {}
    if not variables:
        return fixed
    if fixed is None:
        raise ExportError(f"the {parameter} of layer {layer.name!r} has widths of its own under {chosen}",
                          "such widths can be exported for fixed-point kinds only", "Use quantized_bits with alpha=1")
    held = {what: np.broadcast_to(_whole(layer, variable), shape) for what, variable in variables.items()}
    types = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        own = {what: int(values[place]) for what, values in held.items()}
        types[place] = FixedPoint(fixed.signed, own.get("bits", fixed.bits), own.get("integer", fixed.integer),
                                  fixed.symmetric)
    return types


def _whole(layer: Any, variable: Any) -> np.ndarray:
    values = np.asarray(keras.ops.convert_to_numpy(variable), np.float64)
    if (values != np.rint(values)).any():
        raise ExportError(f"the widths of layer {layer.name!r} are not whole numbers of bits",
                          remedy="End the search for widths first: it rounds them")
    return values


def _coarse(values: Any, fraction: int) -> bool:
    scaled = np.asarray(values, np.float64) * 2.0**fraction
    return bool((scaled == np.rint(scaled)).all())


def normalizing(layer: Any, shape: tuple[int, ...]) -> Function:
    """BatchNormalization with an output quantizer: a function of one value for each channel.

    Raises:
        ExportError: it has no output quantizer, or normalizes another axis than the last.
    """
    chosen = getattr(layer, "quantizers", {}).get(OUTPUT)
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    if chosen is None or axis not in (-1, len(shape)):
        raise ExportError(f"layer {layer.name!r} ({type(layer).__name__}) cannot be exported exactly",
                          "its scale is no fixed-point number",
                          "Fold it into the layer before it and train again, or give its output a quantizer")
    check_deterministic(layer, chosen)
    for weights in layer.quantizers.values():
        refuse_random(layer, weights)
    if layer.width_variables(OUTPUT):
        raise ExportError(f"the output of layer {layer.name!r} has widths of its own", remedy="Give it one width")
    return by_channel(layer, shape, f"normalization {layer.name}")


def by_channel(layer: Any, shape: tuple[int, ...], text: str) -> Function:
    """A layer that maps each value by itself, in a way of its channel's own, as a function."""
    channels, double = shape[-1], double_layer(layer)

    def call(values: np.ndarray, channel: float) -> np.ndarray:
        events = np.zeros((len(values), *(1,) * (len(shape) - 1), channels))
        events[..., int(channel)] = values.reshape(-1, *(1,) * (len(shape) - 1))
        return np.asarray(double(events), np.float64)[..., int(channel)].reshape(-1)

    return Function(call, text, np.broadcast_to(np.arange(channels, dtype=float), shape))


def double_layer(layer: Any) -> Callable[[np.ndarray], np.ndarray]:
    """One layer as a function of events in double precision, as it is at inference."""
    from core.quant.build import in_double

    double = in_double(keras.Model(layer.input, layer.output)).layers[-1]
    return lambda events: keras.ops.convert_to_numpy(double(_tensor(events), training=False))
