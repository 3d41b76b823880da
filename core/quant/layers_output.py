"""Quantized layers without weights: inputs, activations, merges and pooling."""

from __future__ import annotations

import math
from typing import Any

import keras

from core.quant.layer_base import QuantizedLayer, register
from core.quant.quantizers import quantizer
from core.quant.recipe import OUTPUT

AVERAGE = "average"
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")


@register
class QInput(QuantizedLayer, keras.layers.Layer):
    """Quantizes a model's input; the first layer behind it."""

    def build(self, input_shape: Any) -> None:
        """Only the widths."""
        self.build_widths(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # type: ignore[override]
        """The quantized input."""
        return self.quantize_output(inputs, bool(training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


@register
class QActivation(QuantizedLayer, keras.layers.Activation):
    """An activation function and the quantizer of its result."""

    def build(self, input_shape: Any) -> None:
        """Only the widths."""
        self.build_widths(input_shape)


@register
class QReLU(QuantizedLayer, keras.layers.ReLU):
    """ReLU, possibly with a ceiling or slope, and the quantizer of its result."""

    functions = {}

    def build(self, input_shape: Any) -> None:
        """Only the widths."""
        self.build_widths(input_shape)


class _QOutput(QuantizedLayer):
    """Any layer of Keras with a quantizer on its output."""

    def build(self, input_shape: Any) -> None:
        """Keras's weights and the widths."""
        super().build(input_shape)  # type: ignore[misc]
        self.build_widths(input_shape)


class _QAverage(_QOutput):
    """Average pooling whose factor 1 / area is quantized by "average": sum times quantized(1 / area), as in QKeras."""

    def call(self, inputs: Any, training: bool | None = None, **others: Any) -> Any:  # type: ignore[override]
        """The sum over each window times the quantized factor, then the output quantizer."""
        if AVERAGE not in self.quantizers:
            outputs = super(QuantizedLayer, self).call(inputs, **others)  # type: ignore[misc]
        else:
            area = self._area(inputs.shape)
            factor = self.apply(AVERAGE, keras.ops.convert_to_tensor([1.0 / area]), bool(training))[0]
            outputs = self._sum(inputs, area) * keras.ops.cast(factor, inputs.dtype)
        return self.quantize_output(outputs, bool(training))

    def _area(self, shape: Any) -> int:
        return math.prod(self.pool_size)  # type: ignore[attr-defined]

    def _sum(self, inputs: Any, area: int) -> Any:
        return super(QuantizedLayer, self).call(inputs) * area  # type: ignore[misc]


class _QGlobalAverage(_QAverage):
    def _axes(self, rank: int) -> list[int]:
        last = self.data_format == "channels_last"  # type: ignore[attr-defined]
        return list(range(1, rank - 1)) if last else list(range(2, rank))

    def _area(self, shape: Any) -> int:
        return math.prod(int(shape[axis]) for axis in self._axes(len(shape)))

    def _sum(self, inputs: Any, area: int) -> Any:
        return keras.ops.sum(inputs, axis=self._axes(len(inputs.shape)), keepdims=self.keepdims)  # type: ignore[attr-defined]


def _with_output(name: str, *bases: type, functions: dict[str, str] | None = None) -> type:
    """The Keras layer of that name with a quantizer on its output."""
    base = getattr(keras.layers, name)
    body = {"__doc__": f"{name} with a quantizer on its output.", "__module__": __name__, "functions": functions or {}}
    return register(type(f"Q{name}", (*(bases or (_QOutput,)), base), body))


@register
class QAdaptiveActivation(QuantizedLayer, keras.layers.Layer):
    """ReLU or nothing, then fixed point whose integer bits follow the values seen in training (QKeras's, 0.9).

    Args:
        activation: "quantized_relu" or "quantized_bits".
        total_bits: width of the output.
        symmetric: for quantized_bits.
        quantization_delay: training steps before it begins to quantize in training.
        ema_freeze_delay: training steps after which the range is kept; None: never.
        ema_decay: weight of the past in the moving averages of minimum and maximum.
        per_channel: one range for each of the last axis.
        po2_rounding: round the range to the nearest power of two instead of up.
        relu_neg_slope: slope below 0 of quantized_relu.
        relu_upper_bound: ceiling of quantized_relu.
    """

    def __init__(self, activation: str, total_bits: int, symmetric: bool = True, quantization_delay: int = 0,
                 ema_freeze_delay: int | None = None, ema_decay: float = 0.9999, per_channel: bool = False,
                 po2_rounding: bool = False, relu_neg_slope: float = 0.0, relu_upper_bound: float | None = None,
                 **kwargs: Any) -> None:
        kwargs.pop("quantizers", None)
        self._options: dict[str, Any] = {
            "activation": activation, "total_bits": int(total_bits), "symmetric": bool(symmetric),
            "quantization_delay": int(quantization_delay), "ema_freeze_delay": ema_freeze_delay,
            "ema_decay": float(ema_decay), "per_channel": bool(per_channel), "po2_rounding": bool(po2_rounding),
            "relu_neg_slope": float(relu_neg_slope), "relu_upper_bound": relu_upper_bound,
        }
        super().__init__(quantizers={OUTPUT: str(self._spec())}, **kwargs)

    def _spec(self) -> Any:
        o = self._options
        relu = o["activation"] == "quantized_relu"
        text = f"{o['activation']}({o['total_bits']},0)"
        spec = quantizer(text).spec
        if relu:
            return spec.replace(negative_slope=o["relu_neg_slope"], relu_upper_bound=o["relu_upper_bound"],
                                is_quantized_clip=False)
        return spec.replace(symmetric=int(o["symmetric"]), alpha=1.0)

    def build(self, input_shape: Any) -> None:
        """Moving extremes and the count of training steps."""
        shape = (int(input_shape[-1]),) if self._options["per_channel"] else (1,)
        self.ema_min = self.add_weight(name="ema_min", shape=shape, initializer="zeros", trainable=False)
        self.ema_max = self.add_weight(name="ema_max", shape=shape, initializer="zeros", trainable=False)
        self.step = self.add_weight(name="step", shape=(), dtype="int64", trainable=False,
                                    initializer=keras.initializers.Constant(-1))

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # type: ignore[override]
        """Quantized with the range known so far; in training the range then learns from this batch."""
        if not training:
            return self._quantized(inputs, 1.0, False)
        self.step.assign_add(1)
        noise = keras.ops.cast(self.step >= self._options["quantization_delay"], "float32")
        outputs = self._quantized(inputs, noise, True)
        self._learn(self._quantized(inputs, 0.0, True))
        return outputs

    def _quantized(self, inputs: Any, noise: Any, training: bool) -> Any:
        value = keras.ops.cast(inputs, "float32")
        chosen = self.quantizers[OUTPUT](value, training=training, integer=self.integer_bits(), noise=noise)
        return keras.ops.cast(chosen, inputs.dtype)

    def _learn(self, values: Any) -> None:
        axes = list(range(len(values.shape) - (1 if self._options["per_channel"] else 0)))
        freeze, decay = self._options["ema_freeze_delay"], self._options["ema_decay"]
        share = 1.0 - decay
        if freeze:
            share = share * keras.ops.cast(self.step <= freeze, "float32")
        for average, found in ((self.ema_min, keras.ops.min(values, axis=axes)),
                               (self.ema_max, keras.ops.max(values, axis=axes))):
            average.assign(average + share * (keras.ops.reshape(found, average.shape) - average))

    def integer_bits(self) -> Any:
        """Integer bits, without the sign, from 0 on, that hold the range: float32, one value or one a channel."""
        options = self._options
        signed = options["activation"] == "quantized_bits" or options["relu_neg_slope"] != 0.0
        room = float(options["total_bits"] - signed)
        top = self._needed(self.ema_max, room, True)
        if signed:
            top = keras.ops.maximum(top, self._needed(-keras.ops.convert_to_tensor(self.ema_min), room,
                                                      options["symmetric"]))
        return keras.ops.minimum(top, room)

    def _needed(self, end: Any, room: float, last_step_counts: bool) -> Any:
        """Whole powers of two that hold one end; its last step may be out of reach where the type has no +2**n."""
        size = keras.ops.abs(keras.ops.convert_to_tensor(end))
        power = keras.ops.maximum(keras.ops.log(keras.ops.maximum(size, 1e-30)) / math.log(2.0), 0.0)
        if self._options["po2_rounding"]:
            return keras.ops.round(power)
        power = keras.ops.ceil(power)
        if not last_step_counts:
            return power
        reach = 2.0**power - 2.0 ** keras.ops.minimum(power - room, 0.0)
        return keras.ops.where(keras.ops.convert_to_tensor(end) <= reach, power, power + 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = super().get_config()
        config.pop("quantizers")
        return {**config, **self._options}

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


#: Keras class name -> quantized class, of those made here
OUTPUT_CLASSES: dict[str, type] = {
    **{name: _with_output(name) for name in (*MERGES, "LeakyReLU", "PReLU", "ELU")},
    **{name: _with_output(name, _QAverage) for name in ("AveragePooling1D", "AveragePooling2D")},
    **{name: _with_output(name, _QGlobalAverage) for name in ("GlobalAveragePooling1D", "GlobalAveragePooling2D")},
}
