"""Number formats as QTools sees them: kind, width, integer bits without the sign, signedness.

The six modes are QTools 0.9's: fixed point, power of two, ternary, binary -1/+1, binary 0/1, float.
Facts and quirks of each kind: `docs/what_is_counted.md`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from core.quant.spec import QuantizerSpec

FIXED, POWER, TERNARY, BINARY, BINARY01, FLOAT = range(6)


class DataType(NamedTuple):
    """One number format.

    `integer` leaves out the sign. Of a power-of-two format `bits` counts sign and exponent, `maximum` is the largest
    value (-1: no limit) and `values` the number of different values when the weights are known (-1: unknown).
    A `symmetric` one leaves out the lowest value of its signed fixed-point grid.
    """

    name: str
    mode: int
    bits: int
    integer: int
    signed: bool
    maximum: float = -1
    values: int = -1
    zero_one: bool = False
    symmetric: bool = False

    @property
    def floating(self) -> bool:
        """True for fp16 and fp32."""
        return self.mode == FLOAT

    @property
    def power(self) -> bool:
        """True where every value is a power of two."""
        return self.mode == POWER

    @property
    def number_format(self) -> str:
        """The process table's name of it: "fixed", "fp16", "fp32"."""
        return f"fp{self.bits}" if self.floating else "fixed"

    def exponents(self) -> tuple[float, float]:
        """(bits needed right of the point, bits needed left of it) of a power-of-two format."""
        exponent_bits = self.bits - self.signed
        low, high = 2.0 ** (exponent_bits - 1), 2.0 ** (exponent_bits - 1) - 1
        if self.maximum != -1:
            high = min(math.ceil(math.log2(self.maximum)), high) if self.maximum > 0 else 0.0
        return low, max(high, 0.0)

    def __str__(self) -> str:
        if self.floating:
            return f"fp{self.bits}"
        sign = "" if self.signed else "u"
        return f"{self.name}<{sign}{self.bits},{self.integer}>"


def fixed(bits: int, integer: int, signed: bool = True) -> DataType:
    """A fixed-point format."""
    return DataType("quantized_bits", FIXED, bits, integer, bool(signed))


def floating(bits: int) -> DataType:
    """fp16 or fp32."""
    return DataType("floating_point", FLOAT, bits, -1, True)


def po2(bits: int, signed: bool, maximum: float = -1, values: int = -1) -> DataType:
    """A power-of-two format."""
    name = "quantized_po2" if signed else "quantized_relu_po2"
    return DataType(name, POWER, bits, bits, bool(signed), maximum, values)


#: QTools' short names
SHORT: dict[str, DataType] = {
    "int8": fixed(8, 0), "int16": fixed(16, 7), "int32": fixed(32, 10), "fp16": floating(16), "fp32": floating(32),
}
#: what QTools 0.9 takes for anything it was not told
DEFAULT = SHORT["int8"]
TERNARY_TYPE = DataType("ternary", TERNARY, 2, 2, True)
BINARY_TYPE = DataType("binary", BINARY, 1, 1, True)
BINARY01_TYPE = DataType("binary", BINARY01, 1, 1, False, zero_one=True)


class Unknown(Exception):
    """QTools 0.9 has no such type; `sound` is the one to go on with, the message says why."""

    def __init__(self, message: str, sound: DataType) -> None:
        super().__init__(message)
        self.sound = sound


@lru_cache(maxsize=4096)
def type_of(spec: QuantizerSpec, corrected: bool = False) -> DataType:
    """The format a quantizer produces.

    Raises:
        Unknown: QTools 0.9 has no such type and `corrected` is not asked for.
    """
    kind = spec.kind
    if kind == "quantized_bits":
        kept = fixed(int(spec["bits"]), int(spec["integer"]), bool(spec["keep_negative"]))
        return kept._replace(symmetric=kept.signed and bool(spec["symmetric"]))
    if kind == "quantized_relu":
        bits, integer = int(spec["bits"]), int(spec["integer"])
        mode = BINARY01 if (bits, integer) == (1, 1) else FIXED
        return DataType(kind, mode, bits, integer, spec["negative_slope"] != 0)
    if kind in ("quantized_po2", "quantized_relu_po2"):
        return po2(int(spec["bits"]), kind == "quantized_po2", spec["max_value"] or -1)
    if kind == "quantized_ulaw":
        return DataType(kind, FIXED, int(spec["bits"]), int(spec["integer"]), True)
    if kind == "quantized_tanh":
        # QTools 0.9 leaves the integer bits of tanh at -1
        return DataType(kind, FIXED, int(spec["bits"]), 0 if corrected else -1, True, symmetric=bool(spec["symmetric"]))
    if kind in ("ternary", "stochastic_ternary"):
        return TERNARY_TYPE._replace(name=kind)
    if kind == "stochastic_binary":
        return BINARY_TYPE._replace(name=kind)
    if kind == "binary":
        return BINARY01_TYPE if spec["use_01"] else BINARY_TYPE
    if kind == "bernoulli":
        return BINARY01_TYPE._replace(name=kind)
    return _beyond_qtools(spec, corrected)


def _beyond_qtools(spec: QuantizerSpec, corrected: bool) -> DataType:
    unsigned = spec.kind == "quantized_sigmoid"
    signed = not unsigned and bool(spec.get("keep_negative", True))
    sound = fixed(int(spec["bits"]), int(spec.get("integer", 0)), signed)
    sound = sound._replace(symmetric=signed and bool(spec.get("symmetric")))
    if corrected:
        return sound
    raise Unknown(f"QTools 0.9 has no type for {spec}, taken as {sound}", sound)
