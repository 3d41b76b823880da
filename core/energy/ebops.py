"""Effective bit operations (EBOPs): for every product, bits of the weight times bits of the value.

After HGQ (arXiv:2405.00645), equal to the figure of HGQ2 0.2.0's layers: sum(weight bits * input bits) over the
products that are there (none with padding), and the bias' bits at each place. Bits of a tensor, the most exact
that is known:

- trained widths of each value, or of each channel, as HGQ2 keeps them (`widths`);
- the quantized weights themselves: of each its bits from the highest to the lowest that is set, none for a zero, which
  is how the HGQ paper reports EBOPs;
- the format's width; the sign counts only where the lowest value has no positive counterpart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.energy import windows
from core.energy.graph import Node, dot_terms
from core.energy.layer_types import Context, Outcome
from core.energy.rules_mac import (
    DIRECTIONS,
    MAC_CORRECTED,
    MAC_ORIGINAL,
    RECURRENT,
    SEPARABLE,
    both_sizes,
    kernel_name,
    mac,
    recurrent,
    separable,
    weight_size,
)
from core.energy.settings import CORRECTED
from core.energy.types import TERNARY, DataType

Weights = Mapping[str, NDArray[Any]]
#: key of a layer's input in its trained widths; of a merge's further ones "input_1", "input_2", ...
INPUT = "input"
_MANTISSA = 53
#: HGQ2's cost of a bit in an adder, beside a bit of a comparison or subtraction
_ADD = 0.65
#: how HGQ2 joins the widths of what a merge reads, and its cost of a bit: "rest" is the sum without the least
MERGED = {"Add": ("rest", _ADD), "Average": ("rest", _ADD), "Maximum": ("rest", 1.0), "Minimum": ("rest", 1.0),
          "Multiply": ("product", 1.0), "Subtract": ("largest", 1.0)}
#: a layer's second weight and what it meets
_SECOND = (("pointwise", "between"), ("recurrent_kernel", "state"))


def significant_bits(values: NDArray[Any]) -> NDArray[np.int64]:
    """Bits between the highest and the lowest set bit of each value, both included; 0 for zero, same shape."""
    fraction, _ = np.frexp(np.abs(np.asarray(values, dtype=np.float64)))
    mantissa = (fraction * 2.0**_MANTISSA).astype(np.int64)
    lowest = mantissa & -mantissa
    _, position = np.frexp(lowest.astype(np.float64))
    return np.where(mantissa == 0, 0, _MANTISSA + 1 - position).astype(np.int64)


def trained_widths(integer: NDArray[Any] | float, fraction: NDArray[Any] | float, signed: NDArray[Any] | bool = True,
                   overflow: str = "SAT_SYM") -> NDArray[np.float64]:
    """Width of each value as HGQ2 counts it: integer + fraction bits, at least 0, and the sign where it saturates.

    Args:
        integer: bits before the point without the sign, rounded where they are trained.
        fraction: bits behind the point.
        overflow: "SAT" counts the sign; "SAT_SYM" and "WRAP" do not.
    """
    magnitude = np.maximum(np.rint(integer) + np.rint(fraction), 0.0)
    return np.asarray(magnitude + np.asarray(signed, dtype=float) * (overflow == "SAT"), dtype=np.float64)


def format_width(kind: DataType) -> int:
    """Bits of a format as HGQ2 counts them: a symmetric signed one has no value that needs its sign bit."""
    return kind.bits - bool(kind.symmetric or kind.mode == TERNARY)


def products_ebops(weight_bits: NDArray[Any], input_bits: NDArray[Any], bias_bits: NDArray[Any] | None = None) -> float:
    """EBOPs of a dense layer with a width for each weight, as HGQ2 computes them.

    Args:
        weight_bits: (inputs, outputs) widths.
        input_bits: (inputs,) widths.
        bias_bits: (outputs,) widths, or None.
    """
    total = float(np.asarray(input_bits, dtype=float) @ np.asarray(weight_bits, dtype=float).sum(axis=1))
    return total + (0.0 if bias_bits is None else float(np.sum(bias_bits)))


class Counts(NamedTuple):
    """What EBOPs need of a layer alone: products of its first weight that are there, of its second one, and places
    times values of its bias."""

    first: int
    second: int
    bias: int


def counts(node: Node) -> Counts:
    """The counts of a layer; a product with padding is none."""
    weight = node.layer.weight(kernel_name(node.base))
    if weight is None:
        return Counts(0, 0, node.output_size)
    places = _places(node)
    first = places * both_sizes(node, kernel_name(node.base))
    if windows.slides(node):
        met = windows.reads(node, weight.shape, 1.0)
        filters = weight.shape[-1]
        first = int(met.sum()) * (filters if kernel_name(node.base) == "depthwise" else
                                  filters * weight.shape[-2] // met.shape[-1])
    second = places * (weight_size(node, "pointwise") + both_sizes(node, "recurrent_kernel"))
    return Counts(first, second, _bias_places(node))


def _places(node: Node) -> int:
    """Places each weight is used at."""
    size = sum(both_sizes(node, name) for name in {kernel_name(node.base), "pointwise", "recurrent_kernel"})
    return (node.layer.macs or node.op_count) // max(size, 1)


def _bias_places(node: Node) -> int:
    """Bias values times places; of a convolution HGQ2 takes the places of its input."""
    held = node.layer.weight("bias")
    if held is None or not windows.slides(node) or kernel_name(node.base) != "kernel":
        return node.output_size
    return node.input_sizes[0] // windows.channels(node) * held.size


def layer_ebops(ctx: Context, outcome: Outcome, known: Counts, weights: Weights | None = None,
                widths: Weights | None = None) -> int:
    """EBOPs of a layer, cut to a whole number as in HGQ2; 0 where HGQ2 counts none.

    Args:
        known: `counts` of the layer.
        weights: the layer's quantized weights by parameter, or None to take the width of the format.
        widths: trained widths by parameter, and of the input as "input"; each broadcasts to its tensor. They go
            before `weights`.
    """
    outcome = _complete(ctx, outcome)
    types = outcome.types
    if "weight" in types and not weights and not widths:
        total = known.first * format_width(types["weight"]) * format_width(ctx.inputs[0])
        for name, source in _SECOND:
            if source in types:
                total += known.second * format_width(types[name]) * format_width(types[source])
        return total + (known.bias * format_width(types["bias"]) if "bias" in types else 0)
    layer = _Layer(ctx, outcome, known, weights or {}, widths or {})
    if ctx.node.base == "BatchNormalization":
        return int(layer.normalization())
    if "weight" in types:
        return int(layer.products() + layer.bias())
    if len(ctx.inputs) > 1:
        return int(layer.merge())
    return int(layer.pooling()) if "Pool" in ctx.node.base else 0


def _complete(ctx: Context, outcome: Outcome) -> Outcome:
    """The outcome with the types that QTools 0.9 leaves out: EBOPs do not depend on whose energies are asked for."""
    base = ctx.node.base
    if ctx.corrected or base in MAC_ORIGINAL or base not in MAC_CORRECTED | SEPARABLE | RECURRENT:
        return outcome
    rule = separable if base in SEPARABLE else recurrent if base in RECURRENT else mac
    return rule(ctx._replace(settings=msgspec.structs.replace(ctx.settings, compat=CORRECTED)))


class _Layer:
    """One layer with what is known of its widths."""

    def __init__(self, ctx: Context, outcome: Outcome, known: Counts, weights: Weights, widths: Weights) -> None:
        self.node, self.types, self.inputs = ctx.node, outcome.types, ctx.inputs
        self.known, self.weights, self.widths = known, weights, widths
        self.shape = tuple(side or 1 for side in ctx.node.layer.input_shapes[0]) if ctx.node.layer.input_shapes else ()
        given = widths.get(INPUT)
        self.input = float(format_width(ctx.inputs[0])) if given is None else np.asarray(given, dtype=np.float64)

    def bits(self, parameter: str, kind: str) -> NDArray[np.float64] | float:
        """Width of each value of a weight, in its own shape; one number where all have that of the format."""
        held = self.node.layer.weight(parameter)
        if held is None:
            return 0.0
        shape = held.shape
        if parameter in self.widths:
            return np.broadcast_to(np.asarray(self.widths[parameter], dtype=np.float64), shape)
        if parameter in self.weights:
            return significant_bits(self.weights[parameter]).reshape(shape).astype(np.float64)
        return float(format_width(self.types[kind]))

    def total(self, parameter: str, kind: str) -> float:
        """Sum of the widths of a weight, in all directions."""
        total = 0.0
        for name in (prefix + parameter for prefix in DIRECTIONS):
            bits = self.bits(name, kind)
            total += bits * weight_size(self.node, name) if isinstance(bits, float) else float(bits.sum())
        return total

    def products(self) -> float:
        """Products of every matrix-like weight with what it meets."""
        total = self._first(kernel_name(self.node.base))
        for name, source in _SECOND:
            if source in self.types:
                total += _places(self.node) * format_width(self.types[source]) * self.total(name, name)
        return total

    def _first(self, name: str) -> float:
        weight = self.node.layer.weight(name)
        if weight is None:
            return 0.0
        if windows.slides(self.node):
            return self._sliding(weight.shape, self.bits(name, "weight"), name == "depthwise")
        if isinstance(self.input, float):
            return _places(self.node) * self.input * self.total(name, "weight")
        bits, values = self.bits(name, "weight"), np.broadcast_to(self.input, self.shape)
        bits = np.broadcast_to(bits, weight.shape)
        if self.node.base == "Dense":
            return float(values.reshape(-1, weight.shape[0]).sum(axis=0) @ bits.sum(axis=1))
        if self.node.base == "EinsumDense":
            return float(np.einsum(str(self.node.layer.config["equation"]), values[None], bits).sum())
        return _places(self.node) * float(values.mean()) * self.total(name, "weight")

    def _sliding(self, shape: tuple[int, ...], bits: NDArray[np.float64] | float, depthwise: bool) -> float:
        met = windows.reads(self.node, shape, self.input)
        if isinstance(bits, float):
            filters = shape[-1] if depthwise else shape[-1] * shape[-2] // met.shape[-1]
            return bits * filters * float(met.sum())
        return float(np.sum(met[..., None] * bits)) if depthwise else windows.grouped(met, bits)

    def bias(self) -> float:
        """The bias' bits at each place; of a convolution HGQ2 takes the places of its input."""
        if "bias" not in self.types:
            return 0.0
        held = self.node.layer.weight("bias")
        if held is None:
            return float(self.known.bias * format_width(self.types["bias"]))
        return self.total("bias", "bias") * self.known.bias / both_sizes(self.node, "bias")

    def normalization(self) -> float:
        """Scale times value, and offset, at each value."""
        centered = self.node.layer.config.get("center", True)
        scale = self.bits("gamma", "gamma") if "gamma" in self.types else 0.0
        offset = self.bits("beta", "beta") if "beta" in self.types and centered else 0.0
        if not isinstance(scale, float):
            along = [1] * len(self.shape)
            axis = int(self.node.layer.config.get("axis", -1))
            along[axis - 1 if axis > 0 else axis] = -1  # Keras counts the batch axis
            scale = scale.reshape(along)
        products = np.broadcast_to(np.asarray(self.input * scale), self.shape).sum()
        return float(products) + float(np.mean(offset)) * self.node.output_size

    def pooling(self) -> float:
        """Bits of every value a pool reads."""
        return float(np.broadcast_to(np.asarray(self.input), self.shape).sum())

    def merge(self) -> float:
        """HGQ2's figures for merges of tensors of one shape; none for Concatenate."""
        if self.node.base == "Dot":
            return float(self.node.output_size * dot_terms(self.node) * np.prod([format_width(k) for k in self.inputs]))
        if self.node.base not in MERGED:
            return 0.0
        kind, share = MERGED[self.node.base]
        found = [self.widths.get(f"{INPUT}_{number}" if number else INPUT, format_width(read))
                 for number, read in enumerate(self.inputs)]
        shape = tuple(side or 1 for side in self.node.layer.output_shape)
        widths = np.stack([np.broadcast_to(np.asarray(width, dtype=np.float64), shape) for width in found])
        joined = {"rest": lambda: widths.sum(axis=0) - widths.min(axis=0), "product": lambda: widths.prod(axis=0),
                  "largest": lambda: widths.max(axis=0)}[kind]()
        return share * float(joined.sum())
