"""Parameter and activation bits of a layer, as AutoQKeras' forgiving factor counts them.

QTools-compatible counting knows dense, convolution and depthwise layers, batch normalization as one scale and
one offset, and activations; corrected counting takes every weight and every quantized output.
"""

from __future__ import annotations

from core.energy.graph import ACTIVATIONS, DENSE_LIKE, FOLDED
from core.energy.layer_types import Context
from core.quant.recipe import OUTPUT
from core.quant.spec import QuantizerSpec

#: a quantized batch normalization's scale and offset have QKeras' default widths in the original
_ORIGINAL_SCALE, _ORIGINAL_OFFSET = 6, 5


def quantizer_bits(spec: QuantizerSpec) -> int:
    """Width of a quantizer's values: 1 for binary, 2 for ternary kinds."""
    bits = spec.get("bits")
    if bits is not None:
        return int(bits)
    return 2 if "ternary" in spec.kind else 1


def parameter_bits(ctx: Context) -> int:
    """Bits to store the layer's parameters."""
    base, layer = ctx.node.base, ctx.node.layer
    if base == "BatchNormalization":
        return _normalization_bits(ctx)
    if base not in DENSE_LIKE and not ctx.corrected:
        return 0
    if base in FOLDED:
        return _folded_bits(ctx)
    return sum(weight.size * _width(ctx, weight.parameter.removeprefix("backward_")) for weight in layer.weights)


def _folded_bits(ctx: Context) -> int:
    """After folding the kernel and a bias for each channel are left."""
    layer = ctx.node.layer
    kernel = next((weight for weight in layer.weights if weight.parameter in ("kernel", "depthwise")), None)
    size = kernel.size * _width(ctx, kernel.parameter) if kernel else 0
    first = layer.config.get("data_format") == "channels_first"
    return size + (layer.output_shape[0 if first else -1] or 1) * _width(ctx, "bias")


def _width(ctx: Context, parameter: str) -> int:
    spec = ctx.spec(parameter) if ctx.quantized else None
    return ctx.settings.unquantized_bits if spec is None else quantizer_bits(spec)


def _normalization_bits(ctx: Context) -> int:
    layer = ctx.node.layer
    length = layer.weights[-1].size if layer.weights else 0
    scale, offset = ctx.settings.unquantized_bits, ctx.settings.unquantized_bits
    if ctx.quantized and ctx.corrected:
        scale, offset = _width(ctx, "gamma"), _width(ctx, "beta")
    elif ctx.quantized:
        scale, offset = _ORIGINAL_SCALE, _ORIGINAL_OFFSET
    return length * (scale + (offset if layer.config.get("center", True) else 0))


def activation_bits(ctx: Context) -> int:
    """Bits of the layer's output where it is an activation or has one."""
    layer, settings = ctx.node.layer, ctx.settings
    spec = ctx.spec(OUTPUT) if ctx.quantized else None
    is_activation = ctx.node.base in ("Activation", "AdaptiveActivation") or (
        ctx.node.base in ACTIVATIONS and (ctx.corrected or spec is not None))
    if not is_activation and ctx.node.base not in DENSE_LIKE and not (ctx.corrected and spec is not None):
        return 0
    if spec is not None:
        width = quantizer_bits(spec)
    elif layer.activation == "linear":
        width = 0
    elif (layer.activation == "softmax" and (is_activation or ctx.quantized)) or (
            layer.activation == "sigmoid" and is_activation):
        width = settings.output_bits
    else:
        width = settings.unquantized_bits
    return width * ctx.node.output_size
