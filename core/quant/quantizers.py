"""A quantizer one can call: a spec with its arithmetic, range, and fixed-point form. No TensorFlow needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.quant import arithmetic, arithmetic_codes, arithmetic_relu, ranges
from core.quant.ops import Tensor, ops_for
from core.quant.spec import QuantizerSpec, parse

ARITHMETIC: Mapping[str, Callable[..., arithmetic.Result]] = {
    "quantized_bits": arithmetic.quantized_bits,
    "quantized_linear": arithmetic.quantized_linear,
    "quantized_relu": arithmetic_relu.quantized_relu,
    "quantized_tanh": arithmetic_relu.quantized_tanh,
    "quantized_sigmoid": arithmetic_relu.quantized_sigmoid,
    "quantized_ulaw": arithmetic_relu.quantized_ulaw,
    "quantized_hswish": arithmetic_relu.quantized_hswish,
    "quantized_po2": arithmetic_codes.quantized_po2,
    "quantized_relu_po2": arithmetic_codes.quantized_relu_po2,
    "binary": arithmetic_codes.binary,
    "stochastic_binary": arithmetic_codes.stochastic_binary,
    "ternary": arithmetic_codes.ternary,
    "stochastic_ternary": arithmetic_codes.stochastic_ternary,
    "bernoulli": arithmetic_codes.bernoulli,
}
#: kinds that are an activation function themselves, and the activations they stand for
REPLACES: Mapping[str, frozenset[str]] = {
    "quantized_relu": frozenset({"relu", "leaky_relu"}),
    "quantized_relu_po2": frozenset({"relu", "leaky_relu"}),
    "quantized_tanh": frozenset({"tanh", "hard_tanh"}),
    "quantized_sigmoid": frozenset({"sigmoid", "hard_sigmoid"}),
    "quantized_hswish": frozenset({"hard_swish", "hard_silu"}),
}
_WIDTHS = {"binary": 1, "stochastic_binary": 1, "bernoulli": 1, "ternary": 2, "stochastic_ternary": 2}
#: a width at which float32 tells no rounding from none
_FINE = 24
#: grids of more values than this are not listed
GRID_BITS = 12


@dataclass(frozen=True)
class FixedPoint:
    """Fixed point: `bits` in all, `integer` of them before the point, the sign not counted in `integer`.

    Rounding is half to even and overflow saturates, to -max where `symmetric`.
    """

    signed: bool
    bits: int
    integer: int
    symmetric: bool = False

    @property
    def fraction(self) -> int:
        """Bits behind the point; may be negative."""
        return self.bits - self.integer - (1 if self.signed else 0)

    @property
    def maximum(self) -> float:
        """Largest value."""
        return (2 ** (self.bits - (1 if self.signed else 0)) - 1) * 2.0**-self.fraction

    @property
    def minimum(self) -> float:
        """Smallest value."""
        if not self.signed:
            return 0.0
        return -self.maximum if self.symmetric else -(2 ** (self.bits - 1)) * 2.0**-self.fraction


class Quantizer:
    """Callable on numpy arrays and on TensorFlow tensors; the same arithmetic for both.

    Args:
        spec: what to do; `alpha` as given (see `spec.in_force` for QKeras's rule about kernels).
    """

    def __init__(self, spec: QuantizerSpec) -> None:
        self.spec = spec
        self._function = ARITHMETIC[spec.kind]

    def __str__(self) -> str:
        return str(self.spec)

    def __repr__(self) -> str:
        return f"Quantizer({str(self)!r})"

    @property
    def bits(self) -> int:
        """Width of one value in bits."""
        return int(self.spec.get("bits") or _WIDTHS.get(self.spec.kind, 8))

    @property
    def integer(self) -> int:
        """Integer bits, the sign not counted; 0 for kinds without."""
        return int(self.spec.get("integer") or 0)

    def __call__(self, x: Tensor, training: bool = False, bits: Tensor = None, integer: Tensor = None,
                 noise: Tensor = None) -> Tensor:
        """Quantized `x`, of the same shape; float32, or float64 where `x` is.

        `bits` and `integer` override the spec's: numbers, run-time tensors, or variables that get a gradient.
        `noise`, a number or tensor from 0 to 1, overrides its quantization noise factor: the share of the
        quantization error that is let through. Kinds that have none in QKeras take it alike.
        """
        return self.with_scale(x, training, bits, integer, noise)[0]

    def with_scale(self, x: Tensor, training: bool = False, bits: Tensor = None, integer: Tensor = None,
                   noise: Tensor = None) -> tuple[Tensor, Tensor]:
        """(quantized x, scale); see `__call__`. The scale broadcasts against `x`."""
        ops = ops_for(x, bits, integer, noise)
        value, arguments = ops.array(x), self.spec.arguments
        own = noise is not None and "qnoise_factor" in arguments
        if own:
            arguments = {**arguments, "qnoise_factor": noise}
        widths = self.bits if bits is None else bits, self.integer if integer is None else integer
        quantized, scale = self._function(ops, value, arguments, *widths, training)
        if noise is None or own:
            return quantized, scale
        # what is left where nothing is rounded: the function it stands for, or the value itself
        smooth = self._function(ops, value, arguments, _FINE, widths[1], training)[0] \
            if self.spec.kind in REPLACES else value
        return arithmetic.mixed(ops, smooth, quantized, noise), scale

    @property
    def random(self) -> bool:
        """True where a training step draws random numbers."""
        return self.spec.kind in ("stochastic_binary", "stochastic_ternary", "bernoulli") \
            or bool(self.spec.get("use_stochastic_rounding"))

    def fixed_point(self) -> FixedPoint | None:
        """The fixed-point type whose rounding and saturation is this quantizer, or None."""
        a = self.spec.arguments
        if self.spec.kind in ("quantized_bits", "quantized_linear"):
            return _fixed(a, bool(a["keep_negative"]), self.bits, self.integer)
        if self.spec.kind == "quantized_relu":
            plain = not a["use_sigmoid"] and not a["negative_slope"] and (
                not a["relu_upper_bound"] or a["is_quantized_clip"])
            return FixedPoint(False, self.bits, self.integer) if plain and a["qnoise_factor"] == 1.0 else None
        if self.spec.kind == "quantized_tanh" and not a["use_real_tanh"]:
            return FixedPoint(True, self.bits, 0, bool(a["symmetric"]))
        return None

    def max(self) -> float:
        """The nominal maximum as QKeras reports it: in most kinds at least 1."""
        return ranges.extremes(self.spec)[1]

    def min(self) -> float:
        """The nominal minimum as QKeras reports it."""
        return ranges.extremes(self.spec)[0]

    def grid(self) -> np.ndarray | None:
        """All values it gives to float32 where none is drawn at random, ascending, (values,) float64.

        None where they depend on the data or are too many.
        """
        a = self.spec.arguments
        if isinstance(a.get("alpha"), str) or a.get("qnoise_factor", 1.0) != 1.0 or self.bits > GRID_BITS:
            return None
        return np.unique(self(ranges.probe(self.spec))).astype(np.float64)


def _fixed(a: Mapping[str, Any], signed: bool, bits: int, integer: int) -> FixedPoint | None:
    alpha = a["alpha"]
    if isinstance(alpha, str) or a["qnoise_factor"] != 1.0 or (signed and bits == 1):
        return None
    if alpha is not None and float(alpha) != 1.0:
        return None  # a scale multiplies what is already rounded and saturated without it
    return FixedPoint(signed, bits, integer, bool(a["symmetric"]))


def quantizer(spec: QuantizerSpec | str) -> Quantizer:
    """The quantizer of a spec or of a QKeras string; raises QuantizerError."""
    return Quantizer(parse(spec) if isinstance(spec, str) else spec)
