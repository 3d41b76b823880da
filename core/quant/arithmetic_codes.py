"""Binary, ternary, power-of-two and Bernoulli quantizers. Formulas: QKeras 0.9.0's recorded values."""

from __future__ import annotations

from typing import Any

from core.quant.arithmetic import (
    LOG_2,
    Result,
    channel_axes,
    channel_peak,
    least_squares,
    nearest_po2,
    round_through,
    straight_through,
    two_to,
)
from core.quant.arithmetic_relu import hard_sigmoid, real_sigmoid
from core.quant.ops import Tensor

TERNARY_THRESHOLD = 0.33
TINY = 1e-7
#: steps of QKeras's stochastic rounding in binary and ternary
BINARY_STEP, TERNARY_STEP = 0.125, 1 / 3


def binary(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """+alpha or -alpha by sign (0 counts as +); with use_01, alpha or 0."""
    decided = ops.stop(x)
    if a["use_stochastic_rounding"] and training:
        x = _coarse(ops, x)
        # what was rounded to 0 takes either sign
        decided = ops.where(ops.stop(x) == 0, ops.uniform(decided) - 0.5, ops.stop(x))
    sign = ops.where(decided >= 0, ops.like(1.0, x), ops.like(0.0 if a["use_01"] else -1.0, x))
    return _scaled(ops, x, sign, a["alpha"])


def _coarse(ops: Any, value: Tensor) -> Tensor:
    """Rounded stochastically to quarters of the channel's largest magnitude, that taken as 1 at most."""
    peak = channel_peak(ops, value, channel_axes(ops, value, None))
    reach = 2 * ops.minimum(peak, ops.like(1.0, value))
    return reach * round_through(ops, value / reach, True, BINARY_STEP)


def _scaled(ops: Any, x: Tensor, code: Tensor, alpha: Any) -> Result:
    """code times its scale; the gradient is that of tanh where no scale is asked for."""
    if isinstance(alpha, str):
        scale = least_squares(ops, ops.stop(x), code, channel_axes(ops, x, None), alpha)
    else:
        scale = ops.like(1.0 if alpha is None else alpha, x)
    through = ops.tanh(x) if alpha is None else x
    return straight_through(ops, through, scale * code), scale


def ternary(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """-alpha, 0 or +alpha; the threshold is 0.33 or follows from the automatic scale."""
    value = ops.stop(x)
    if isinstance(a["alpha"], str):
        return _auto_ternary(ops, x, value, a, a["use_stochastic_rounding"] and training)
    threshold = TERNARY_THRESHOLD if a["threshold"] is None else a["threshold"]
    code = ops.where(ops.abs(value) >= ops.like(threshold, x), ops.sign(value), ops.like(0.0, x))
    return _scaled(ops, x, code, a["alpha"])


def _auto_ternary(ops: Any, x: Tensor, value: Tensor, a: Any, stochastic: bool) -> Result:
    axes = channel_axes(ops, x, None)
    scale = 2 * channel_peak(ops, value, axes) / 3
    if a["alpha"] == "auto_po2":
        scale = nearest_po2(ops, scale)
    for _ in range(int(a["number_of_unrolls"])):
        alive = scale > 0  # a channel whose codes are all 0 has no scale, and stays 0
        near = scale * round_through(ops, value / ops.where(alive, scale, 0 * scale + 1), stochastic, TERNARY_STEP)
        code = ops.where(ops.abs(near) >= scale / 2, ops.sign(value), ops.like(0.0, x))
        code = ops.where(alive, code, 0 * code)
        scale = least_squares(ops, value, code, axes, a["alpha"])
    return straight_through(ops, x, scale * code), scale


def quantized_po2(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """A sign and a power of two."""
    value = ops.stop(x)
    magnitude = _po2(ops, ops.abs(value), a, bits - 1, training)
    sign = ops.where(value >= 0, ops.like(1.0, x), ops.like(-1.0, x))
    return straight_through(ops, x, sign * magnitude, a), ops.like(1.0, x)


def quantized_relu_po2(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """A power of two; what is not positive becomes the smallest one, or follows the negative slope.

    The sign that a slope brings takes none of the bits, as in 0.9.0.
    """
    value = ops.stop(x)
    slope = float(a["negative_slope"])
    quantized = _po2(ops, ops.maximum(value, 0.0), a, bits, training)
    if slope:
        negative = -_po2(ops, ops.maximum(-value, 0.0) * slope, a, bits, training)
        quantized = ops.where(value >= 0, quantized, negative)
    through = ops.where(x > 0, x, slope * x)
    if a["max_value"] is not None:
        through = ops.minimum(through, ops.like(a["max_value"], x))
    return straight_through(ops, through, quantized, a), ops.like(1.0, x)


def _po2(ops: Any, magnitude: Tensor, a: Any, width: Tensor, training: bool) -> Tensor:
    """The power of two for a magnitude whose exponent has `width` bits, its own sign included."""
    low, high = _exponents(ops, magnitude, a, width)
    top = a["max_value"]
    capped = magnitude if top is None else ops.minimum(magnitude, ops.like(top, magnitude))
    held = ops.maximum(capped, TINY)
    root = ops.sqrt(held) if a["quadratic_approximation"] else held
    exponent = ops.log(root) / ops.like(LOG_2, root)
    if a["log2_rounding"] == "floor":
        whole = ops.floor(exponent)
    elif a["use_stochastic_rounding"] and training:
        below = ops.floor(exponent)  # up with a chance that makes the mean of the root right
        whole = ops.where(ops.uniform(exponent) < root / ops.exp2(below) - 1, below + 1, below)
    else:
        whole = ops.round(exponent)
    whole = ops.minimum(ops.maximum(whole, low), high)
    # what is too small to have a logarithm has the lowest exponent, which is not doubled
    doubled = 2 * whole if a["quadratic_approximation"] else whole
    return ops.exp2(ops.where(magnitude < TINY, low + 0 * whole, doubled))


def _exponents(ops: Any, x: Tensor, a: Any, width: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest exponent; with the quadratic approximation, of the root."""
    top = a["max_value"]
    span = two_to(ops, width - (1 if top is None or top > 1 else 0), x)
    high = span - 1
    return -span, 2 * ops.floor(high / 2) if a["quadratic_approximation"] else high


def stochastic_binary(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """Training: +1 with probability sigmoid(temperature*x/std); inference: binary."""
    plain = {"alpha": a["alpha"], "use_01": False, "use_stochastic_rounding": False}
    if not training:
        return binary(ops, x, plain, bits, integer, False)
    value = ops.stop(x)
    _, scale = binary(ops, value, plain, bits, integer, False)
    chance = _chance(ops, a["temperature"] * value / _spread(ops, value, a["alpha"]), a)
    code = ops.where(ops.uniform(value) < chance, ops.like(1.0, x), ops.like(-1.0, x))
    return straight_through(ops, x, scale * code), scale


def stochastic_ternary(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """Training: two draws around the thresholds; inference: ternary."""
    plain = {**{k: a[k] for k in ("alpha", "threshold", "number_of_unrolls")}, "use_stochastic_rounding": False}
    if not training:
        return ternary(ops, x, plain, bits, integer, False)
    value = ops.stop(x)
    scale = _unrolled_scale(ops, value, a) if isinstance(a["alpha"], str) \
        else ternary(ops, value, plain, bits, integer, False)[1]
    spread = _spread(ops, value, "auto")
    threshold = scale / 2 / spread if isinstance(a["alpha"], str) else (
        TERNARY_THRESHOLD if a["threshold"] is None else a["threshold"]) / spread
    up = _chance(ops, a["temperature"] * (value / spread - threshold), a)
    down = _chance(ops, a["temperature"] * (value / spread + threshold), a)
    one, minus = ops.like(1.0, x), ops.like(-1.0, x)
    first = ops.where(ops.uniform(value) < up, one, minus)
    second = ops.where(ops.uniform(value) < down, one, minus)
    return straight_through(ops, x, scale * (first + second) / 2), scale


def _unrolled_scale(ops: Any, value: Tensor, a: Any) -> Tensor:
    """Scale of the stochastic kind in training: it thresholds the values themselves, not their rounded selves."""
    axes = channel_axes(ops, value, None)
    scale = 2 * channel_peak(ops, value, axes) / 3
    if a["alpha"] == "auto_po2":
        scale = nearest_po2(ops, scale)
    for _ in range(int(a["number_of_unrolls"])):
        code = ops.where(ops.abs(value) >= scale / 2, ops.sign(value), ops.like(0.0, value))
        scale = least_squares(ops, value, code, axes, a["alpha"])
    return scale


def bernoulli(ops: Any, x: Tensor, a: Any, bits: Tensor, integer: Tensor, training: bool) -> Result:
    """scale with probability sigmoid(temperature*x/std), else 0; random in both phases."""
    value = ops.stop(x)
    chance = _chance(ops, a["temperature"] * value / _spread(ops, value, a["alpha"]), a)
    code = ops.where(ops.uniform(value) < chance, ops.like(1.0, x), ops.like(0.0, x))
    if isinstance(a["alpha"], str):
        likely = ops.where(value >= 0, ops.like(1.0, x), ops.like(0.0, x))
        scale = least_squares(ops, value, likely, channel_axes(ops, x, None), a["alpha"])
    else:
        scale = ops.like(1.0 if a["alpha"] is None else a["alpha"], x)
    return straight_through(ops, x, scale * code), scale


def _spread(ops: Any, value: Tensor, alpha: Any) -> Tensor:
    """Standard deviation per channel (of a vector as a whole) for an automatic scale, else 1."""
    if not isinstance(alpha, str):
        return ops.like(1.0, value)
    axes = channel_axes(ops, value, None) or (0,)
    centred = value - ops.mean(value, axes)
    return ops.mean(centred * centred, axes) ** 0.5 + TINY


def _chance(ops: Any, x: Tensor, a: Any) -> Tensor:
    return real_sigmoid(ops, x) if a["use_real_sigmoid"] else hard_sigmoid(ops, x)
