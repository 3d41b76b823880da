"""Quantized Keras 3 layers: Keras's own, with weights and output passed through quantizers.

Weights stay in float and are quantized in each call, with the straight-through gradient of their kind.
Layers keep the names, arguments and weights of the Keras classes they stand for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from core.quant.quantizers import REPLACES, Quantizer, quantizer
from core.quant.recipe import OUTPUT

PACKAGE = "quantiscope"
register = keras.saving.register_keras_serializable(package=PACKAGE)


class QuantizedLayer:
    """Mixed in before a Keras layer class: takes `quantizers`, a parameter type (or "output") -> QKeras string.

    `slots` maps a parameter type to the attribute in which the Keras class keeps that weight.
    """

    slots: Mapping[str, str] = {}

    def __init__(self, *args: Any, quantizers: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quantizers: dict[str, Quantizer] = {p: quantizer(text) for p, text in (quantizers or {}).items()}

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration and the quantizer strings."""
        strings = {parameter: str(q) for parameter, q in self.quantizers.items()}
        return {**super().get_config(), "quantizers": strings}  # type: ignore[misc]

    @property
    def output_quantizer(self) -> Quantizer | None:
        """The quantizer of the output, or None."""
        return self.quantizers.get(OUTPUT)

    def weight(self, parameter: str) -> Any:
        """The float variable of a parameter type, or None."""
        return getattr(self, self.slots[parameter], None)

    def quantized(self, parameter: str, training: bool = False) -> Any:
        """One weight as used in a call: a tensor of the layer's compute type."""
        value = keras.ops.convert_to_tensor(self.weight(parameter))
        chosen = self.quantizers.get(parameter)
        if chosen is None:
            return value
        # always in float32: an automatic scale must not depend on the precision the model runs in
        return keras.ops.cast(chosen(keras.ops.cast(value, "float32"), training=training), value.dtype)

    def quantized_weights(self) -> dict[str, np.ndarray]:
        """Every weight as used at inference, scale applied, by parameter type."""
        return {p: keras.ops.convert_to_numpy(self.quantized(p))
                for p in self.slots if self.weight(p) is not None}

    @contextmanager
    def _in_place(self, training: bool) -> Iterator[None]:
        """Quantized weights stand where Keras's own call looks for its variables."""
        kept: dict[str, Any] = {}
        try:
            for parameter in self._swapped(training):
                slot = self.slots[parameter]
                kept[slot] = getattr(self, slot)
                object.__setattr__(self, slot, self.quantized(parameter, training))
            if self._replaced_activation():
                kept["activation"] = self.__dict__["activation"]
                object.__setattr__(self, "activation", keras.activations.linear)
            yield
        finally:
            for slot, value in kept.items():
                object.__setattr__(self, slot, value)

    def _swapped(self, training: bool) -> list[str]:
        return [p for p in self.quantizers if p in self.slots and self.weight(p) is not None]

    def _replaced_activation(self) -> bool:
        """True where the output quantizer is itself the layer's activation function."""
        stands_for = REPLACES.get(self.quantizers[OUTPUT].spec.kind) if OUTPUT in self.quantizers else None
        name = getattr(getattr(self, "activation", None), "__name__", "")
        return stands_for is not None and name in stands_for

    def call(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Keras's call with quantized weights, then the output quantizer."""
        if self._call_has_training_arg_of_base():
            kwargs["training"] = training
        with self._in_place(bool(training)):
            outputs = super().call(inputs, *args, **kwargs)  # type: ignore[misc]
        return self.quantize_output(outputs, bool(training))

    def _call_has_training_arg_of_base(self) -> bool:
        return False

    def quantize_output(self, outputs: Any, training: bool) -> Any:
        """The output quantizer's value, or the output as it is."""
        chosen = self.output_quantizer
        return outputs if chosen is None else chosen(outputs, training=training)


@register
class QInput(QuantizedLayer, keras.layers.Layer):
    """Quantizes a model's input; the first layer behind it."""

    def call(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """The quantized input."""
        return self.quantize_output(inputs, bool(training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


@register
class QActivation(QuantizedLayer, keras.layers.Activation):
    """An activation function and the quantizer of its result."""


@register
class QReLU(QuantizedLayer, keras.layers.ReLU):
    """ReLU, possibly with a ceiling or slope, and the quantizer of its result."""

    def _replaced_activation(self) -> bool:
        return False


@register
class QDense(QuantizedLayer, keras.layers.Dense):
    """Dense with quantized kernel, bias and output."""

    slots = {"kernel": "_kernel", "bias": "bias"}


@register
class QBatchNormalization(QuantizedLayer, keras.layers.BatchNormalization):
    """BatchNormalization with quantized gamma and beta, and at inference mean and variance."""

    slots = {"gamma": "gamma", "beta": "beta", "mean": "moving_mean", "variance": "moving_variance"}

    def _swapped(self, training: bool) -> list[str]:
        found = super()._swapped(training)
        return [p for p in found if not (training and p in ("mean", "variance"))]

    def _call_has_training_arg_of_base(self) -> bool:
        return True


#: Keras class name -> quantized class
QUANTIZED_CLASSES: dict[str, type] = {
    "Activation": QActivation,
    "ReLU": QReLU,
    "Dense": QDense,
    "BatchNormalization": QBatchNormalization,
}
