"""Fixed-point, binary, ternary and power-of-two arithmetic; each kind once, for numpy and TensorFlow.

Formulas: QKeras 0.9.0 as recorded by its golden values. With n bits beside the sign, m = 2**n and
s = 2**integer, a fixed-point value is s/m times a whole number; rounding is half to even.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from core.quant.ops import Tensor

#: (quantized values with their gradient, scale)
Result = tuple[Tensor, Tensor]
Arithmetic = Callable[..., Result]

PO2_ROUNDS = 5
EPSILON = 1e-7
LOG_2 = math.log(2.0)


def straight_through(ops: Any, x: Tensor, quantized: Tensor, a: Any = None) -> Tensor:
    """`quantized`, with the gradient of `x`; the difference of equals is exactly zero.

    Where the arguments `a` ask for less than full quantization noise f, (1-f)*x + f*quantized, with the
    gradient of x, or 1-f times it without `use_ste`.
    """
    noise = 1.0 if a is None else a.get("qnoise_factor", 1.0)
    whole_gradient = a is None or a.get("use_ste", True)
    value = ops.stop(x)
    if isinstance(noise, (int, float)) and noise == 1.0:
        return quantized + (x - value) if whole_gradient else ops.stop(quantized)
    factor = ops.like(noise, x)
    if whole_gradient:
        return mixed(ops, value, quantized, factor) + (x - value)
    rest = 1.0 - factor
    return ops.where(factor == 1.0, quantized, rest * value + factor * quantized) + rest * (x - value)


def mixed(ops: Any, smooth: Tensor, quantized: Tensor, noise: Any) -> Tensor:
    """The share `noise`, a number or tensor, of the quantization error; `quantized` itself, exactly, at 1."""
    if isinstance(noise, (int, float)) and noise == 1.0:
        return quantized
    factor = ops.like(noise, smooth)
    return ops.where(factor == 1.0, quantized, smooth + factor * (quantized - smooth))


def two_to(ops: Any, exponent: Tensor, x: Tensor) -> Tensor:
    """2**exponent in the type of `x`; worked out beforehand where the exponent is a number."""
    if isinstance(exponent, (int, float)):
        return ops.like(2.0**exponent, x)
    return ops.exp2(ops.like(exponent, x))


def round_through(ops: Any, x: Tensor, stochastic: bool, step: float = 1.0) -> Tensor:
    """Round half to even, or to a multiple of `step`, up with the probability of the fraction; gradient 1."""
    value = ops.stop(x)
    whole = step * ops.floor(value / step + ops.uniform(value)) if stochastic else ops.round(value)
    return straight_through(ops, x, whole)


def channel_axes(ops: Any, x: Tensor, scale_axis: int | None) -> tuple[int, ...]:
    """Axes over which one scale is shared: all but the last (or `scale_axis`); none for a vector."""
    rank = ops.rank(x)
    if rank < 2:
        return ()
    kept = rank - 1 if scale_axis is None else scale_axis % rank
    return tuple(axis for axis in range(rank) if axis != kept)


def channel_peak(ops: Any, value: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Largest magnitude of each channel; of a vector as a whole, as in QKeras."""
    return ops.max(ops.abs(value), axes or (0,))


def nearest_po2(ops: Any, x: Tensor) -> Tensor:
    """The power of two nearest in the logarithm."""
    return ops.exp2(ops.round(ops.log(x + EPSILON) / ops.like(LOG_2, x)))


def least_squares(ops: Any, x: Tensor, q: Tensor, axes: tuple[int, ...], alpha: str) -> Tensor:
    """The scale c that makes c*q nearest to x in the mean square; a power of two for 'auto_po2'."""
    scale = ops.mean(x * q, axes) / (ops.mean(q * q, axes) + EPSILON) if axes else x * q / (q * q + EPSILON)
    return nearest_po2(ops, scale) if alpha == "auto_po2" else scale


def quantized_bits(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """Fixed point; alpha None or a number, 'auto' or 'auto_po2' (scale per output channel)."""
    signed = 1 if a["keep_negative"] else 0
    m = two_to(ops, bits - signed, x)
    s = two_to(ops, integer, x)
    alpha = a["alpha"]
    if isinstance(alpha, str):
        return _auto_bits(ops, x, a, m, s)
    scale = ops.like(1.0 if alpha is None else alpha, x)
    stochastic = bool(a["use_stochastic_rounding"]) and training
    value = ops.stop(x)
    whole = round_through(ops, value * (m / s), stochastic)
    low = signed * (-m + (1.0 if a["symmetric"] else 0.0))
    grid = ops.minimum(ops.maximum(whole, low), m - 1) * (s / m)
    if not isinstance(bits, (int, float)) or bits - signed < 1:  # without a bit beside the sign, only the sign is left
        sign = ops.where(value >= 0, ops.like(1.0, x), ops.like(-1.0 if signed else 0.0, x))
        grid = ops.where(m > 1, grid, sign)
        if not isinstance(bits, (int, float)):  # only a variable width can be none
            grid = ops.where(ops.like(bits, x) > 0, grid, ops.like(0.0, x))
    return straight_through(ops, x, grid if alpha is None or alpha == 1 else scale * grid, a), scale


def _auto_bits(ops: Any, x: Tensor, a: Any, m: Tensor, s: Tensor) -> Result:
    axes = channel_axes(ops, x, a["scale_axis"])
    value = ops.stop(x) / s
    # codes are symmetric in 0.9.0, also without keep_negative
    half = m - 1 if a["keep_negative"] else m / 2 - 1
    peak = channel_peak(ops, value, axes)
    step = ops.maximum(peak / ops.maximum(half, 1.0), EPSILON)
    if a["alpha"] == "auto_po2":
        step = nearest_po2(ops, step)
        for _ in range(PO2_ROUNDS):
            whole = _nearest_code(ops, value, step, half)
            step = least_squares(ops, value, whole, axes, "auto_po2")
    else:
        whole = _nearest_code(ops, value, step, half)
    # 0.9.0 pairs the last codes with the scale that was computed from them
    return straight_through(ops, x, s * step * whole, a), step * m


def _nearest_code(ops: Any, value: Tensor, step: Tensor, half: Tensor) -> Tensor:
    return ops.sign(value) * ops.minimum(ops.floor(ops.abs(value) / step + 0.5), half)


def quantized_linear(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """Fixed point with clipping before rounding, gradient 0 outside the range (QKeras at 78ea90f)."""
    signed = 1 if a["keep_negative"] else 0
    alpha = a["alpha"]
    width = ops.like(bits, x)
    one_bit = ops.exp2(width) <= 2 if signed else None
    unit = ops.exp2(ops.like(integer, x) - width + signed)
    top = ops.exp2(width - signed) - 1
    low = -top - (0.0 if a["symmetric"] else 1.0) if signed else 0 * top
    if one_bit is not None:
        top, low = ops.where(one_bit, 0 * top + 0.5, top), ops.where(one_bit, 0 * top - 0.5, low)
    value = ops.stop(x)
    axes = channel_axes(ops, x, a["scale_axis"])

    def codes(step: Tensor) -> Tensor:
        raw = value / step
        if one_bit is not None:
            halves = ops.where(raw >= 0, 0 * raw + 0.5, 0 * raw - 0.5)
            return ops.where(one_bit, halves, ops.round(ops.minimum(ops.maximum(raw, low), top)))
        return ops.round(ops.minimum(ops.maximum(raw, low), top))

    if isinstance(alpha, str):
        peak = ops.max(ops.abs(value), axes) if axes else ops.abs(value)
        scale = ops.maximum(2 * peak / (top - low), EPSILON) / unit
        if alpha == "auto_po2":
            scale = nearest_po2(ops, scale)
            for _ in range(PO2_ROUNDS):
                scale = least_squares(ops, value / unit, codes(scale * unit), axes, "auto_po2")
    else:
        scale = ops.like(1.0 if alpha is None else alpha, x)
    step = scale * unit
    quantized = step * codes(step)
    through = step * ops.minimum(ops.maximum(x / step, low), top)
    clipped = straight_through(ops, through, quantized)
    return mixed(ops, x, clipped, a["qnoise_factor"]), scale
