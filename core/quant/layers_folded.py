"""Layers with the BatchNormalization behind them folded into kernel and bias, which then are quantized.

W' = gamma W / sqrt(variance + epsilon), b' = gamma (b - mean) / sqrt(variance + epsilon) + beta: what is
quantized is what the hardware holds. Training follows QKeras 0.9: with "ema_stats_folding" the kernel is
folded with the moving statistics and the result corrected to the batch's, with "batch_stats_folding" it is
folded with the batch's; after `ema_freeze_delay` steps the moving statistics are kept and used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

from core.quant.layer_base import QuantizedLayer, register, replaced

MODES = ("ema_stats_folding", "batch_stats_folding")


class _Folded(QuantizedLayer):
    """A kernel layer and its BatchNormalization in one; `axis` is the last."""

    slots = {"kernel": "_kernel", "bias": "bias"}

    def __init__(self, *args: Any, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True,
                 scale: bool = True, ema_freeze_delay: int | None = None, folding_mode: str = MODES[0],
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if folding_mode not in MODES:
            raise ValueError(f"folding_mode is {folding_mode!r}; use one of {', '.join(MODES)}")
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.center, self.scale = bool(center), bool(scale)
        self.ema_freeze_delay, self.folding_mode = ema_freeze_delay, folding_mode

    def build(self, input_shape: Any) -> None:
        """Keras's weights, those of BatchNormalization, and the count of training steps."""
        super().build(input_shape)  # type: ignore[misc]
        shape = (int(self.compute_output_shape(input_shape)[-1]),)  # type: ignore[attr-defined]
        add: Any = self.add_weight  # type: ignore[attr-defined]
        self.gamma = add(name="gamma", shape=shape, initializer="ones") if self.scale else None
        self.beta = add(name="beta", shape=shape, initializer="zeros") if self.center else None
        self.iteration = add(name="iteration", shape=(), dtype="int64", trainable=False,
                             initializer=keras.initializers.Constant(-1))
        self.moving_mean = add(name="moving_mean", shape=shape, initializer="zeros", trainable=False)
        self.moving_variance = add(name="moving_variance", shape=shape, initializer="ones", trainable=False)
        self.build_widths(input_shape)

    def _main(self) -> str:
        return next(p for p in self.slots if p != "bias")

    def weight(self, parameter: str) -> Any:
        """Folded with the moving statistics: what inference uses."""
        moving = keras.ops.convert_to_tensor(self.moving_mean), keras.ops.convert_to_tensor(self.moving_variance)
        return self._folded(parameter, *moving)

    def _factor(self, variance: Any) -> Any:
        factor = keras.ops.rsqrt(variance + self.epsilon)
        return factor if self.gamma is None else factor * keras.ops.convert_to_tensor(self.gamma)

    def _folded(self, parameter: str, mean: Any, variance: Any) -> Any:
        factor = self._factor(variance)
        if parameter != "bias":
            kernel = keras.ops.convert_to_tensor(getattr(self, self.slots[parameter]))
            return kernel * keras.ops.reshape(factor, self._factor_shape(kernel.shape))
        bias = 0.0 if self._own_bias() is None else keras.ops.convert_to_tensor(self._own_bias())
        shift = factor * (bias - mean)
        return shift if self.beta is None else shift + keras.ops.convert_to_tensor(self.beta)

    def _own_bias(self) -> Any:
        return vars(self).get("bias")

    def _factor_shape(self, kernel_shape: Any) -> tuple[int, ...]:
        return (int(kernel_shape[-1]),)

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # type: ignore[override]
        """Keras's call with folded, quantized kernel and bias, then the output quantizer."""
        if not training:
            kernel, bias, correction = self.quantized(self._main()), self.quantized("bias"), None
        else:
            kernel, bias, correction = self._in_training(inputs)
        outputs = self._product(inputs, kernel)
        outputs = (outputs if correction is None else outputs * correction) + bias
        if not self.stands_for("output") and self.activation is not None:  # type: ignore[attr-defined]
            outputs = self.activation(outputs)  # type: ignore[attr-defined]
        return self.quantize_output(outputs, bool(training))

    def _in_training(self, inputs: Any) -> tuple[Any, Any, Any]:
        """(quantized kernel, quantized bias, factor of the product) of a training step; the statistics learn."""
        own = self._own_bias()
        raw = self._product(inputs, keras.ops.convert_to_tensor(getattr(self, self.slots[self._main()])))
        raw = raw if own is None else raw + keras.ops.convert_to_tensor(own)
        axes = list(range(len(raw.shape) - 1))
        batch_mean, batch_variance = keras.ops.moments(raw, axes=axes)
        delay = self.ema_freeze_delay
        never = delay is None or delay < 0
        learning = keras.ops.cast(True if never else self.iteration <= delay, raw.dtype)
        for moving, found in ((self.moving_mean, batch_mean), (self.moving_variance, batch_variance)):
            moving.assign(moving + learning * (1.0 - self.momentum) * (keras.ops.stop_gradient(found) - moving))
        self.iteration.assign_add(1)
        moving_mean, moving_variance = (keras.ops.convert_to_tensor(v) for v in (self.moving_mean,
                                                                                 self.moving_variance))
        mean = learning * batch_mean + (1 - learning) * moving_mean
        variance = learning * batch_variance + (1 - learning) * moving_variance
        by_moving = self.folding_mode == "ema_stats_folding"
        kernel = self._quantized_value(self._main(), mean, moving_variance if by_moving else variance)
        bias = self._quantized_value("bias", mean, variance)
        if not by_moving:
            return kernel, bias, None
        return kernel, bias, keras.ops.sqrt((moving_variance + self.epsilon) / (variance + self.epsilon))

    def _quantized_value(self, parameter: str, mean: Any, variance: Any) -> Any:
        value = self._folded(parameter, mean, variance)
        if parameter not in self.quantizers:
            return value
        return keras.ops.cast(self.apply(parameter, keras.ops.cast(value, "float32"), True), value.dtype)

    def _product(self, inputs: Any, kernel: Any) -> Any:
        """The layer's product with a kernel, without bias and activation."""
        with self._bare(kernel):
            return super(QuantizedLayer, self).call(inputs)  # type: ignore[misc]

    @contextmanager
    def _bare(self, kernel: Any) -> Iterator[None]:
        with ExitStack() as stack:
            for name, value in ((self.slots[self._main()], kernel), ("use_bias", False), ("bias", None),
                                ("activation", None)):
                stack.enter_context(replaced(self, name, value))
            yield

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration and that of BatchNormalization."""
        names = ("momentum", "epsilon", "center", "scale", "ema_freeze_delay", "folding_mode")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@register
class QDenseBatchnorm(_Folded, keras.layers.Dense):
    """Dense with the BatchNormalization behind it folded in."""


@register
class QConv1DBatchnorm(_Folded, keras.layers.Conv1D):
    """Conv1D with the BatchNormalization behind it folded in."""


@register
class QConv2DBatchnorm(_Folded, keras.layers.Conv2D):
    """Conv2D with the BatchNormalization behind it folded in."""


@register
class QDepthwiseConv2DBatchnorm(_Folded, keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D with the BatchNormalization behind it folded in."""

    slots = {"depthwise": "kernel", "bias": "bias"}

    def _factor_shape(self, kernel_shape: Any) -> tuple[int, ...]:
        return tuple(int(side) for side in kernel_shape[-2:])
