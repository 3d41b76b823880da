"""What all quantized Keras layers share: weights and output pass through quantizers in each call.

Weights stay in float and are quantized when used, with the straight-through gradient of their kind.
Layers keep the names, arguments and weights of the Keras classes they stand for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from core.errors import RecipeError
from core.quant.quantizers import REPLACES, Quantizer, quantizer
from core.quant.recipe import OUTPUT

PACKAGE = "quantiscope"
register = keras.saving.register_keras_serializable(package=PACKAGE)
#: how finely widths are given: one for the tensor, one for each of the last axis, one for each value
GRANULARITIES = ("tensor", "channel", "weight")


class QuantizedLayer:
    """Mixed in before a Keras layer class.

    `quantizers` maps a parameter type (or "output") to a QKeras string. `widths` maps some of them to
    "tensor", "channel" or "weight": their bits and integer bits then are variables of that granularity,
    named "<parameter>_bits" and "<parameter>_integer", that begin at the string's values and are stored
    with the weights.

    `slots` maps a parameter type to the attribute, possibly of a part of the layer ("cell.kernel"), in
    which the Keras class keeps that weight; `functions` does so for activation functions.
    """

    slots: Mapping[str, str] = {}
    functions: Mapping[str, str] = {OUTPUT: "activation"}

    def __init__(self, *args: Any, quantizers: Mapping[str, str] | None = None,
                 widths: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quantizers: dict[str, Quantizer] = {p: quantizer(text) for p, text in (quantizers or {}).items()}
        self.widths: dict[str, str] = dict(widths or {})
        #: share of the quantization error that is let through, a number or variable; None: as the quantizers say
        self.noise: Any = None

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration, the quantizer strings and granularities."""
        strings = {parameter: str(q) for parameter, q in self.quantizers.items()}
        config = {**super().get_config(), "quantizers": strings}  # type: ignore[misc]
        return {**config, "widths": dict(self.widths)} if self.widths else config

    def save_own_variables(self, store: Any) -> None:
        """Every variable, also those that Keras's own class does not know of."""
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        """What `save_own_variables` stored."""
        keras.layers.Layer.load_own_variables(self, store)

    # -- widths ------------------------------------------------------------------------------------------

    def build_widths(self, input_shape: Any) -> None:
        """Make the variables of `widths`; called at the end of build()."""
        for parameter, granularity in self.widths.items():
            chosen = self.quantizers.get(parameter)
            if chosen is None or granularity not in GRANULARITIES or "bits" not in chosen.spec.arguments:
                raise RecipeError(f"layer {self.name!r} cannot have widths by {granularity} for {parameter!r}",  # type: ignore[attr-defined]
                                  remedy="Give it a quantizer with bits, and widths by tensor, channel or weight")
            value = None if parameter == OUTPUT else self.weight(parameter)
            shape = self.compute_output_shape(input_shape)[1:] if value is None else value.shape  # type: ignore[attr-defined]
            sizes = {"tensor": (), "channel": tuple(shape[-1:]), "weight": tuple(shape)}[granularity]
            for what in ("bits", "integer"):
                if what in chosen.spec.arguments:
                    start = keras.initializers.Constant(float(getattr(chosen, what)))
                    setattr(self, f"{parameter}_{what}",
                            self.add_weight(name=f"{parameter}_{what}", shape=sizes, initializer=start,  # type: ignore[attr-defined]
                                            trainable=False))

    def width_variables(self, parameter: str) -> dict[str, Any]:
        """The variables "bits" and "integer" of a parameter type, as far as it has them."""
        found = {what: getattr(self, f"{parameter}_{what}", None) for what in ("bits", "integer")}
        return {what: variable for what, variable in found.items() if variable is not None}

    # -- weights -----------------------------------------------------------------------------------------

    @property
    def output_quantizer(self) -> Quantizer | None:
        """The quantizer of the output, or None."""
        return self.quantizers.get(OUTPUT)

    def weight(self, parameter: str) -> Any:
        """The float value of a parameter type, or None where the layer does not have it."""
        holder, attribute = self._place(self.slots[parameter])
        return getattr(holder, attribute, None)

    def quantized(self, parameter: str, training: bool = False) -> Any:
        """One weight as used in a call: a tensor of the layer's compute type."""
        value = keras.ops.convert_to_tensor(self.weight(parameter))
        if parameter not in self.quantizers:
            return value
        # always in float32: an automatic scale must not depend on the precision the model runs in
        return keras.ops.cast(self.apply(parameter, keras.ops.cast(value, "float32"), training), value.dtype)

    def apply(self, parameter: str, value: Any, training: bool) -> Any:
        """`value` through the quantizer of a parameter type, with the layer's widths and noise."""
        overrides = {what: keras.ops.convert_to_tensor(v) for what, v in self.width_variables(parameter).items()}
        if self.noise is not None:
            overrides["noise"] = keras.ops.convert_to_tensor(self.noise)
        return self.quantizers[parameter](value, training=training, **overrides)

    def quantized_weights(self) -> dict[str, np.ndarray]:
        """Every weight as used at inference, scale applied, by parameter type."""
        return {p: keras.ops.convert_to_numpy(self.quantized(p))
                for p in self.slots if self.weight(p) is not None}

    def quantize_output(self, outputs: Any, training: bool) -> Any:
        """The output quantizer's value, or the output as it is."""
        return self.apply(OUTPUT, outputs, training) if OUTPUT in self.quantizers else outputs

    # -- the call ----------------------------------------------------------------------------------------

    def call(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Keras's call with quantized weights, then the output quantizer."""
        with self.in_place(bool(training)):
            outputs = super().call(inputs, *args, **kwargs)  # type: ignore[misc]
        return self.quantize_output(outputs, bool(training))

    @contextmanager
    def in_place(self, training: bool) -> Iterator[None]:
        """Quantized weights stand where Keras's own call looks for its variables."""
        with ExitStack() as stack:
            for parameter in self._swapped(training):
                stack.enter_context(replaced(*self._place(self.slots[parameter]),
                                             self.quantized(parameter, training)))
            for name, attribute in self.functions.items():
                function = self._function(name, training)
                if function is not None:
                    stack.enter_context(replaced(*self._place(attribute), function))
            yield

    def _swapped(self, training: bool) -> list[str]:
        return [p for p in self.quantizers if p in self.slots and self.weight(p) is not None]

    def _function(self, name: str, training: bool) -> Callable[[Any], Any] | None:
        """What stands for the layer's activation where the output quantizer is that function itself."""
        return keras.activations.linear if self.stands_for(name) else None

    def stands_for(self, name: str) -> bool:
        """True where the quantizer `name` is itself the activation function kept under that name."""
        if name not in self.quantizers or name not in self.functions:
            return False
        holder, attribute = self._place(self.functions[name])
        function = getattr(getattr(holder, attribute, None), "__name__", "")
        return function in REPLACES.get(self.quantizers[name].spec.kind, ())

    def _place(self, path: str) -> tuple[Any, str]:
        owner, _, attribute = path.rpartition(".")
        return (operator.attrgetter(owner)(self) if owner else self), attribute


@contextmanager
def replaced(holder: Any, attribute: str, value: Any) -> Iterator[None]:
    """`value` as an attribute for a while, past Keras's tracking of attributes."""
    had, kept = attribute in vars(holder), vars(holder).get(attribute)
    object.__setattr__(holder, attribute, value)
    try:
        yield
    finally:
        if had:
            object.__setattr__(holder, attribute, kept)
        else:
            object.__delattr__(holder, attribute)
