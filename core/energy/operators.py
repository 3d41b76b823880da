"""How two formats are multiplied, divided, added and merged, and what comes out: QTools 0.9's rules.

Each function gives an Operation: the gate it is built from, the gate's width and relative cost, and the
format of the result. Sources: QTools 0.9.0's behaviour as recorded in its golden values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from core.energy.types import (
    BINARY,
    BINARY01,
    BINARY01_TYPE,
    BINARY_TYPE,
    FIXED,
    FLOAT,
    POWER,
    TERNARY,
    TERNARY_TYPE,
    DataType,
    fixed,
    floating,
    po2,
)

MUX_FACTOR, AND_FACTOR, SHIFT_FACTOR, COMPARE_FACTOR = 0.3, 0.1, 0.3, 0.2


class Operation(NamedTuple):
    """`implementation` names the gate ("mul", "shifter", "mux", "xor", "and", "add")."""

    output: DataType
    implementation: str
    gate_bits: float
    gate_factor: float = 1.0


class NotPossible(Exception):
    """QTools 0.9 has no such operation; the message says which."""


def multiply(weight: DataType, value: DataType) -> Operation:
    """Product of a weight and an input value."""
    modes = (weight.mode, value.mode)
    if FLOAT in modes:
        bits = max(weight.bits * weight.floating, value.bits * value.floating)
        return Operation(floating(bits), "mul", bits)
    if BINARY01 in modes:
        return _and(weight, value)
    if modes == (BINARY, BINARY):
        return Operation(BINARY_TYPE, "xor", 1, MUX_FACTOR)
    if TERNARY in modes or BINARY in modes:
        return _mux(weight, value)
    if modes == (POWER, POWER):
        return _add_exponents(weight, value)
    if POWER in modes:
        shifts, moved = (weight, value) if weight.power else (value, weight)
        return _shift(moved, shifts, *shifts.exponents())
    return Operation(fixed(weight.bits + value.bits, weight.integer + value.integer, weight.signed or value.signed),
                     "mul", math.sqrt(weight.bits * value.bits))


def _mux(weight: DataType, value: DataType) -> Operation:
    selects = "binary" in weight.name or "ternary" in weight.name
    select, moved = (weight, value) if selects else (value, weight)
    # the original looks for "binary" in the weight's name, but compares the input's with it
    is_binary = "binary" in weight.name if selects else value.name == "binary"
    bits = moved.bits + (select.signed and not moved.signed)
    signed = weight.signed or value.signed
    factor = MUX_FACTOR if is_binary else 2 * MUX_FACTOR
    if POWER in (weight.mode, value.mode):
        output = po2(bits, signed, (weight if weight.power else value).maximum)
    elif FIXED in (weight.mode, value.mode):
        output = fixed(bits, moved.integer, signed)
    else:
        output = TERNARY_TYPE._replace(bits=bits, integer=moved.integer, signed=signed)
    return Operation(output, "mux", moved.bits, factor)


def _and(weight: DataType, value: DataType) -> Operation:
    bits, signed = max(weight.bits, value.bits), weight.signed or value.signed
    integer = value.integer if weight.name == "binary" and weight.zero_one else weight.integer
    modes = {weight.mode, value.mode}
    if modes & {TERNARY, BINARY}:
        return Operation(TERNARY_TYPE, "and", TERNARY_TYPE.bits, AND_FACTOR)
    if POWER in modes:
        output = po2(bits, signed, (weight if weight.power else value).maximum)._replace(integer=integer)
    elif FIXED in modes:
        output = fixed(bits, integer, signed)
    else:
        output = BINARY01_TYPE._replace(bits=bits, integer=integer, signed=signed)
    return Operation(output, "and", bits, AND_FACTOR)


def _add_exponents(first: DataType, second: DataType) -> Operation:
    limited = first.maximum != -1 and second.maximum != -1
    maximum = first.maximum * second.maximum if limited else -1
    bits = max(first.bits, second.bits) + 1
    output = po2(bits, first.signed or second.signed, maximum)
    return Operation(output._replace(integer=max(first.integer, second.integer) + 1), "add", bits)


def _shift(moved: DataType, shifts: DataType, right: float, left: float) -> Operation:
    bits = int(moved.bits + left + right) + (shifts.signed and not moved.signed)
    output = fixed(bits, int(moved.integer + left), moved.signed or shifts.signed)
    if shifts.values > 0:
        return Operation(output, "shifter", moved.bits, shifts.values * SHIFT_FACTOR)
    width = math.sqrt(2.0 ** shifts.bits * moved.bits)
    return Operation(output, "shifter", width * math.log10(width))


def divide(numerator: DataType, denominator: DataType) -> Operation:
    """Quotient, as batch normalization needs it; raises NotPossible for a ternary or binary denominator."""
    modes = (numerator.mode, denominator.mode)
    if denominator.mode in (TERNARY, BINARY, BINARY01):
        raise NotPossible(f"cannot divide by {denominator}")
    if denominator.mode == FIXED and not numerator.floating:
        return Operation(floating(32), "mul", 32)
    if FLOAT in modes:
        bits = max(numerator.bits * numerator.floating, denominator.bits * denominator.floating)
        return Operation(floating(bits), "mul", bits)
    if modes == (POWER, POWER):
        return _subtract_exponents(numerator, denominator)
    right, left = denominator.exponents()
    quotient = _shift(numerator, denominator, left, right)
    if numerator.mode in (BINARY, BINARY01):
        # QTools calls the quotient of a binary number a power of two
        output = quotient.output
        quotient = quotient._replace(
            output=DataType("quantized_po2", POWER, output.bits, output.integer, output.signed))
    return quotient


def _subtract_exponents(numerator: DataType, denominator: DataType) -> Operation:
    limited = numerator.maximum != -1 and denominator.maximum != -1
    maximum = numerator.maximum / denominator.maximum if limited else -1
    bits = max(numerator.bits, denominator.bits) + 1
    integer = max(numerator.integer, denominator.integer) + 1
    counted = numerator.values > 0 and denominator.values > 0
    values = numerator.values * denominator.values if counted else -1
    return Operation(po2(bits, True, maximum, values)._replace(integer=integer), "add", bits)


def add(first: DataType, second: DataType) -> DataType:
    """Format of a sum of two numbers."""
    if first.floating or second.floating:
        return floating(max(value.bits for value in (first, second) if value.floating))
    if not (first.power and second.mode == BINARY01):  # the original adds a power of two to 0/1 as it is
        first, second = as_fixed(first), as_fixed(second)
    return fixed(max(first.bits, second.bits) + 1, max(first.integer, second.integer) + 1,
                 first.signed or second.signed)


def as_fixed(value: DataType) -> DataType:
    """The fixed-point format that holds every value of a power-of-two one; others as they are."""
    if not value.power:
        return value
    right, left = value.exponents()
    return fixed(int(right + left + value.signed), int(left), value.signed)


def accumulate(product: DataType, terms: int) -> DataType:
    """Format of a sum of `terms` products: ceil(log2(terms)) more integer bits."""
    if product.floating:
        return product
    growth = math.ceil(math.log2(terms)) if terms > 1 else 0
    value = as_fixed(product)
    return fixed(value.bits + growth, value.integer + growth, value.signed)


def merge(class_name: str, values: Sequence[DataType]) -> Operation:
    """What a merge layer does with its inputs; raises NotPossible for a class QTools 0.9 does not know."""
    if class_name == "Add":
        widest = _widest(values)
        grown = widest if widest.floating else fixed(widest.bits + 1, widest.integer + 1, widest.signed)
        return Operation(grown, "add", grown.bits)
    if class_name == "Multiply":
        if len(values) < 2:
            raise NotPossible("Multiply has one distinct input")
        product = multiply(values[0], values[1])
        for value in values[2:]:
            product = multiply(product.output, value)
        return product
    factors = {"Maximum": COMPARE_FACTOR, "Minimum": COMPARE_FACTOR, "Average": 1.0, "Concatenate": 0.0}
    if class_name not in factors:
        raise NotPossible(f"no {class_name} in QTools 0.9")
    same = all(value[:1] + value[2:5] == values[0][:1] + values[0][2:5] for value in values)
    output = values[0]._replace(symmetric=all(v.symmetric for v in values)) if same else _widest(values)
    return Operation(output, "add", output.bits, factors[class_name])


def _widest(values: Sequence[DataType]) -> DataType:
    floats = [value.bits for value in values if value.floating]
    if floats:
        return floating(max(floats))
    held = [as_fixed(value) for value in values]
    return fixed(max(v.bits for v in held), max(v.integer for v in held), any(v.signed for v in values))
