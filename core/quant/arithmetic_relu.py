"""Activation quantizers: ReLU, tanh, sigmoid, mu-law, hard swish. Formulas: QKeras 0.9.0's recorded values."""

from __future__ import annotations

from typing import Any

from core.quant.arithmetic import Result, quantized_bits, round_through, straight_through, two_to
from core.quant.ops import Tensor

#: QKeras 0.9.0 rounds stochastically to half a step here, which gives values between those of the grid
HALF_STEP = 0.5


def hard_sigmoid(ops: Any, x: Tensor) -> Tensor:
    """clip(x/2 + 1/2, 0, 1): QKeras's internal sigmoid."""
    return ops.minimum(ops.maximum(0.5 * x + 0.5, 0.0), 1.0)


def smooth_sigmoid(ops: Any, x: Tensor) -> Tensor:
    """clip(3x/16 + 1/2, 0, 1)."""
    return ops.minimum(ops.maximum(0.1875 * x + 0.5, 0.0), 1.0)


def real_sigmoid(ops: Any, x: Tensor) -> Tensor:
    """1/(1 + exp(-x)), through tanh so that it does not overflow."""
    return 0.5 * (ops.tanh(0.5 * x) + 1.0)


def clipped_through(ops: Any, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """clip with gradient 0 outside."""
    return ops.minimum(ops.maximum(x, low), high)


def quantized_relu(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """Unsigned fixed point of max(x, 0); with a negative slope, signed."""
    slope = float(a["negative_slope"])
    m = two_to(ops, bits - (1 if slope else 0), x)
    s = two_to(ops, integer, x)
    stochastic = bool(a["use_stochastic_rounding"]) and training
    value = ops.stop(x)
    if a["use_sigmoid"]:
        def branch(factor: float) -> Tensor:
            share = hard_sigmoid(ops, value / s) * (m * factor)
            return 2 * round_through(ops, share, stochastic, HALF_STEP) / (m * factor) - 1
    else:
        def branch(factor: float) -> Tensor:
            return round_through(ops, value * (m * factor / s), stochastic, HALF_STEP) / (m * factor)
    quantized = s * clipped_through(ops, branch(1.0), 0.0, 1 - 1 / m)
    if slope:
        quantized = quantized + s * slope * clipped_through(ops, branch(slope), -1.0, 0.0)
    upper = a["relu_upper_bound"]
    if upper and not a["is_quantized_clip"]:
        quantized = ops.minimum(quantized, ops.like(upper, x))
    through = ops.where(x > 0, x, slope * x if slope else ops.like(0.0, x))
    if a["is_quantized_clip"] or upper is not None:
        top = ops.stop(s - s / m) if a["is_quantized_clip"] else ops.like(upper, x)
        through = ops.where(x <= top, through, top)
    return straight_through(ops, through, quantized, a), ops.like(1.0, x)


def quantized_tanh(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """Fixed point of tanh or of its hard form 2*hard_sigmoid(x) - 1."""
    m = two_to(ops, bits - 1, x)
    p = ops.tanh(x) if a["use_real_tanh"] else 2 * hard_sigmoid(ops, x) - 1
    whole = round_through(ops, p * m, bool(a["use_stochastic_rounding"]) and training, HALF_STEP)
    low = -1 + (1.0 if a["symmetric"] else 0.0) / m
    return clipped_through(ops, whole / m, low, 1 - 1 / m), ops.like(1.0, x)


def quantized_sigmoid(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """Fixed point of the sigmoid or of its hard form."""
    m = two_to(ops, bits, x)
    p = real_sigmoid(ops, x) if a["use_real_sigmoid"] else hard_sigmoid(ops, x)
    whole = round_through(ops, p * m, bool(a["use_stochastic_rounding"]) and training, HALF_STEP)
    low = (1.0 if a["symmetric"] else 0.0) / m
    return clipped_through(ops, whole / m, low, 1 - 1 / m), ops.like(1.0, x)


def quantized_ulaw(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """mu-law companding of a value quantized by the hard sigmoid."""
    m = two_to(ops, bits - 1, x)
    s = two_to(ops, integer, x)
    u = ops.like(a["u"], x)
    rounded = 2 * round_through(ops, hard_sigmoid(ops, x / s) * m, False) / m - 1
    companded = ops.sign(rounded) * ops.log(1 + u * ops.abs(rounded)) / ops.log(1 + u)
    low = -1 + (1.0 if a["symmetric"] else 0.0) / m
    return s * clipped_through(ops, companded, low, 1 - 1 / m), ops.like(1.0, x)


def quantized_hswish(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """Fixed point of x*clip(x + shift, 0, upper)/upper."""
    upper = float(a["relu_upper_bound"])
    shifted = x + float(a["relu_shift"])
    # not minimum and maximum: their gradient at the ends is not that of a ReLU with a ceiling
    ramp = ops.where(shifted <= upper, ops.where(shifted > 0, shifted, 0 * x), 0 * x + upper)
    swish = x * ramp / upper
    fixed = {**a, "keep_negative": True}
    return quantized_bits(ops, swish, fixed, bits, integer, training)


__all__ = ["quantized_hswish", "quantized_relu", "quantized_sigmoid", "quantized_tanh", "quantized_ulaw",
           "straight_through"]
