"""What a quantizer can give: its nominal range as QKeras states it, and the values that really come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.quant.arithmetic_codes import TERNARY_THRESHOLD, TINY
from core.quant.spec import QuantizerSpec

Range = tuple[float, float]
#: exponents whose power of two is a normal float32
_LOWEST, _HIGHEST = -126, 127


def extremes(spec: QuantizerSpec) -> Range:
    """Nominal (minimum, maximum), as QKeras 0.9.0's min() and max(); some are far from what comes out."""
    return _EXTREMES.get(spec.kind, _coded)(spec.arguments)


def _coded(a: Mapping[str, Any]) -> Range:
    """Binary and ternary kinds: the scale, 1 at least."""
    alpha = a["alpha"]
    top = max(1.0, float(alpha)) if isinstance(alpha, (int, float)) else 1.0
    return (0.0 if a.get("use_01") else -top), top


def _bernoulli(a: Mapping[str, Any]) -> Range:
    return 0.0, _coded(a)[1]


def _bits(a: Mapping[str, Any]) -> Range:
    """A power of two, 1 at least; alpha does not count."""
    top = max(1.0, 2.0 ** a["integer"]) if a["bits"] > int(a.get("keep_negative", True)) else 1.0
    return (-top if a.get("keep_negative", True) else 0.0), top


def _linear(a: Mapping[str, Any]) -> Range:
    signed = int(bool(a["keep_negative"]))
    unit = 2.0 ** (a["integer"] - a["bits"] + signed)
    if signed and a["bits"] == 1:
        return -unit / 2, unit / 2
    top = 2.0 ** (a["bits"] - signed) - 1
    return -unit * signed * (top if a["symmetric"] else top + 1), unit * top


def _relu(a: Mapping[str, Any]) -> Range:
    slope = float(a["negative_slope"])
    if not slope:
        return 0.0, max(1.0, 2.0 ** a["integer"])
    if a["bits"] == 1:
        return -1.0, 1.0
    return -slope * 2.0 ** a["integer"], max(1.0, 2.0 ** a["integer"])


def _tanh(a: Mapping[str, Any]) -> Range:
    step = 2.0 ** (1 - a["bits"])
    return -1 + step * bool(a["symmetric"]), 1 - step


def _sigmoid(a: Mapping[str, Any]) -> Range:
    step = 2.0 ** -a["bits"]
    return step * bool(a["symmetric"]), 1 - step


def _hswish(a: Mapping[str, Any]) -> Range:
    """The bottom of the curve, quantized: what QKeras means, though its own min() fails there."""
    low, high = _bits(a)
    shift, upper = float(a["relu_shift"]), float(a["relu_upper_bound"])
    x = -shift / 2 if shift / 2 <= upper else upper - shift  # the parabola's vertex, or where the ramp sets in
    bottom = x * min(x + shift, upper) / upper
    if low >= bottom:
        return low, high
    if a["bits"] == 1:
        return -1.0, high
    m, s = 2.0 ** (a["bits"] - 1), 2.0 ** a["integer"]
    code = max(float(np.rint(bottom * m / s)), -m + bool(a["symmetric"]))
    return code * s / m * float(a["alpha"] if isinstance(a["alpha"], (int, float)) else 1.0), high


def _po2(a: Mapping[str, Any]) -> Range:
    top = _largest_po2(a, a["bits"] - 1)
    return -top, top


def _relu_po2(a: Mapping[str, Any]) -> Range:
    smallest = _power(_exponents(a, a["bits"])[0])
    slope = float(a["negative_slope"])
    if slope and a["bits"] > 1:
        smallest = min(smallest, -slope * 2.0 ** (a["bits"] - 1))
    return smallest, _largest_po2(a, a["bits"])


def _largest_po2(a: Mapping[str, Any], width: int) -> float:
    return max(1.0, float(a["max_value"] or _power(_exponents(a, width)[1])))


def _exponents(a: Mapping[str, Any], width: int) -> Range:
    """Lowest and highest exponent of one with `width` bits; with the quadratic approximation, of the root."""
    span = 2.0 ** (width - (1 if a["max_value"] is None or a["max_value"] > 1 else 0))
    return -span, 2 * math.floor((span - 1) / 2) if a["quadratic_approximation"] else span - 1


def _power(exponent: float) -> float:
    """2**exponent; infinite exponents are those of float32."""
    return float(2.0 ** min(exponent, _HIGHEST))


_EXTREMES: Mapping[str, Callable[[Mapping[str, Any]], Range]] = {
    "bernoulli": _bernoulli, "quantized_bits": _bits, "quantized_ulaw": _bits, "quantized_linear": _linear,
    "quantized_relu": _relu, "quantized_tanh": _tanh, "quantized_sigmoid": _sigmoid, "quantized_hswish": _hswish,
    "quantized_po2": _po2, "quantized_relu_po2": _relu_po2,
}


def probe(spec: QuantizerSpec) -> np.ndarray:
    """Inputs, (values,) float32, that between them bring out every value the quantizer can give."""
    a: Mapping[str, Any] = spec.arguments
    if spec.kind in ("quantized_po2", "quantized_relu_po2"):
        return _po2_probe(a)
    if "bits" not in a:
        threshold = a.get("threshold")
        reach = 2 * (TERNARY_THRESHOLD if threshold is None else float(threshold)) + 1
        return np.linspace(-reach, reach, 65).astype(np.float32)
    step = 2.0 ** (a.get("integer", 0) - a["bits"])  # half the distance of two values, or less
    if isinstance(a.get("alpha"), (int, float)) and spec.kind == "quantized_linear":
        step *= float(a["alpha"])
    reach = 1.25 * step * 2.0 ** a["bits"]
    if spec.kind in ("quantized_tanh", "quantized_sigmoid"):
        reach += a["bits"]  # the real functions come within a step of 1 only far out
    if spec.kind == "quantized_relu" and a["negative_slope"]:
        step *= min(1.0, 1.0 / float(a["negative_slope"]))
        reach *= max(1.0, 1.0 / float(a["negative_slope"]))
    if spec.kind == "quantized_hswish":
        step /= 2
        reach += float(a["relu_shift"]) + float(a["relu_upper_bound"])
    half = math.ceil(4 * reach / step)
    return (np.arange(-half, half + 1) * (step / 4)).astype(np.float32)


def _po2_probe(a: Mapping[str, Any]) -> np.ndarray:
    powers = 2.0 ** np.arange(_LOWEST, _HIGHEST + 1)
    # the smallest that has a logarithm of its own; and rounded down, some powers fall to the one below
    powers = np.concatenate([[TINY * 1.01], powers, 1.25 * powers])
    slope = float(a.get("negative_slope", 1.0)) or 1.0
    below = np.minimum(powers / slope, 2.0**_HIGHEST)
    return np.concatenate([-below, [0.0], powers]).astype(np.float32)
