"""Quantized Keras 3 layers, by the Keras class each stands for."""

from __future__ import annotations

from typing import Any

import keras

from core.quant.layer_base import PACKAGE, QuantizedLayer, register
from core.quant.layers_folded import QConv1DBatchnorm, QConv2DBatchnorm, QDenseBatchnorm, QDepthwiseConv2DBatchnorm
from core.quant.layers_output import (
    OUTPUT_CLASSES,
    QActivation,
    QAdaptiveActivation,
    QInput,
    QReLU,
)
from core.quant.layers_recurrent import QGRU, QLSTM, QBidirectional, QSimpleRNN


@register
class QDense(QuantizedLayer, keras.layers.Dense):
    """Dense with quantized kernel, bias and output."""

    slots = {"kernel": "_kernel", "bias": "bias"}

    def build(self, input_shape: Any) -> None:
        """Keras's weights and the widths."""
        super().build(input_shape)
        self.build_widths(input_shape)


@register
class QEinsumDense(QuantizedLayer, keras.layers.EinsumDense):
    """EinsumDense with quantized kernel, bias and output."""

    slots = {"kernel": "_kernel", "bias": "bias"}

    def build(self, input_shape: Any) -> None:
        """Keras's weights and the widths."""
        super().build(input_shape)
        self.build_widths(input_shape)


class _QConvolution(QuantizedLayer):
    """A convolution with one kernel."""

    slots = {"kernel": "_kernel", "bias": "bias"}

    def build(self, input_shape: Any) -> None:
        """Keras's weights and the widths."""
        super().build(input_shape)  # type: ignore[misc]
        self.build_widths(input_shape)


@register
class QConv1D(_QConvolution, keras.layers.Conv1D):
    """Conv1D with quantized kernel, bias and output."""


@register
class QConv2D(_QConvolution, keras.layers.Conv2D):
    """Conv2D with quantized kernel, bias and output."""


@register
class QConv1DTranspose(_QConvolution, keras.layers.Conv1DTranspose):
    """Conv1DTranspose with quantized kernel, bias and output."""

    slots = {"kernel": "kernel", "bias": "bias"}


@register
class QConv2DTranspose(_QConvolution, keras.layers.Conv2DTranspose):
    """Conv2DTranspose with quantized kernel, bias and output."""

    slots = {"kernel": "kernel", "bias": "bias"}


@register
class QDepthwiseConv2D(_QConvolution, keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D with quantized depthwise kernel, bias and output."""

    slots = {"depthwise": "kernel", "bias": "bias"}


@register
class QSeparableConv1D(_QConvolution, keras.layers.SeparableConv1D):
    """SeparableConv1D with quantized depthwise and pointwise kernels, bias and output."""

    slots = {"depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel", "bias": "bias"}


@register
class QSeparableConv2D(_QConvolution, keras.layers.SeparableConv2D):
    """SeparableConv2D with quantized depthwise and pointwise kernels, bias and output."""

    slots = {"depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel", "bias": "bias"}


@register
class QBatchNormalization(QuantizedLayer, keras.layers.BatchNormalization):
    """BatchNormalization with quantized gamma and beta, and at inference mean and variance."""

    slots = {"gamma": "gamma", "beta": "beta", "mean": "moving_mean", "variance": "moving_variance"}

    def build(self, input_shape: Any) -> None:
        """Keras's weights and the widths."""
        super().build(input_shape)
        self.build_widths(input_shape)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:  # type: ignore[override]
        """Keras's call with quantized parameters, then the output quantizer."""
        with self.in_place(bool(training)):
            outputs = keras.layers.BatchNormalization.call(self, inputs, training=training, mask=mask)
        return self.quantize_output(outputs, bool(training))

    def _swapped(self, training: bool) -> list[str]:
        found = super()._swapped(training)
        return [p for p in found if not (training and p in ("mean", "variance"))]


#: Keras class name -> quantized class
QUANTIZED_CLASSES: dict[str, type] = {
    cls.__name__[1:]: cls
    for cls in (QDense, QEinsumDense, QConv1D, QConv2D, QConv1DTranspose, QConv2DTranspose, QDepthwiseConv2D,
                QSeparableConv1D, QSeparableConv2D, QSimpleRNN, QLSTM, QGRU, QBidirectional, QBatchNormalization,
                QDenseBatchnorm, QConv1DBatchnorm, QConv2DBatchnorm, QDepthwiseConv2DBatchnorm, QActivation, QReLU,
                *OUTPUT_CLASSES.values())
}

__all__ = ["PACKAGE", "QUANTIZED_CLASSES", "QAdaptiveActivation", "QInput", "QuantizedLayer", "register"]
