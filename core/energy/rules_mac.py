"""Multiply-accumulate layers: dense, convolutions, folded batch normalization, separable, recurrent."""

from __future__ import annotations

import math

from core.energy.graph import DENSE_LIKE, FOLDED, RECURRENT, SEPARABLE, Node
from core.energy.layer_types import Context, Outcome
from core.energy.operators import Operation, accumulate, add, multiply
from core.energy.types import DataType
from core.quant.recipe import OUTPUT

#: elementwise products of a unit at each step, beside the matrix products, by its number of gates: one for a
#: SimpleRNN, three for a GRU, four for an LSTM
_GATE_PRODUCTS = {1: 0, 3: 3, 4: 3}
#: prefixes of the weights of the two directions of a Bidirectional; other layers have the first
DIRECTIONS = ("", "backward_")


def kernel_name(base: str) -> str:
    """Parameter type of the layer's first weight."""
    return "depthwise" if base.startswith(("Depthwise", "Separable")) else "kernel"


def weight_size(node: Node, parameter: str) -> int:
    """Number of values of a parameter; 0 where the layer does not have it."""
    weight = node.layer.weight(parameter)
    return weight.size if weight else 0


def both_sizes(node: Node, parameter: str) -> int:
    """Number of values of a parameter in all directions of a recurrent layer."""
    return sum(weight_size(node, prefix + parameter) for prefix in DIRECTIONS)


def mac(ctx: Context) -> Outcome:
    """Dense, convolution, depthwise convolution, and convolutions with a folded batch normalization."""
    node, notes = ctx.node, list[str]()
    first = _first_shape(node)
    folded = node.base in FOLDED
    weight = ctx.parameter(kernel_name(node.base), notes)
    bias = _bias(ctx, notes, folded)
    product = multiply(weight, ctx.inputs[0])
    if ctx.corrected:
        total, bias = _sound_total(ctx, product.output, bias, folded)
    else:
        total, bias = _original_total(product.output, bias, first, folded)
    if not folded and not _has_bias(node):
        bias = None
    if ctx.forced:
        total = ctx.plain_accumulator
        product = product._replace(output=total)
    count = node.op_count
    counted = ctx.corrected or node.base in DENSE_LIKE
    op_pj = count * _mac_pj(ctx, product, total) if counted else 0.0
    if folded and not ctx.corrected:
        notes.append("QTools 0.9 counts neither operations nor parameters of a folded batch normalization")
        if ctx.settings.inference:
            notes.append("QTools 0.9 cannot read folded layers in inference mode; taken without")
    if not ctx.corrected and node.base == "Dense" and sum((s or 1) > 1 for s in node.layer.output_shape) > 1:
        notes.append("QTools 0.9 stops at a Dense over several positions; counted at each")
    return Outcome(ctx.output(total, notes), _types(weight, bias, product.output, total),
                   {"multiplier": product}, count, op_pj, _parameters(ctx, weight, bias, folded), tuple(notes))


def _first_shape(node: Node) -> tuple[int, ...]:
    return node.layer.weights[0].shape if node.layer.weights else (node.input_sizes[0], node.output_size)


def _has_bias(node: Node) -> bool:
    return node.layer.weight("bias") is not None or (
        not node.layer.weights and bool(node.layer.config.get("use_bias", True)))


def _bias(ctx: Context, notes: list[str], folded: bool) -> DataType | None:
    if folded and not ctx.forced and ctx.spec("bias") is None:
        return None
    return ctx.parameter("bias", notes)


def _original_total(product: DataType, bias: DataType | None, first: tuple[int, ...],
                    folded: bool) -> tuple[DataType, DataType | None]:
    # always one term for the bias, and every side of a depthwise kernel: as QTools 0.9
    terms = math.prod(first[:-1]) + (bias is not None or not folded)
    total = accumulate(product, terms)
    if bias is None and folded:
        bias = total
        if not total.floating:
            total = total._replace(bits=total.bits + 1, integer=total.integer + 1)
    return total, bias


def _sound_total(ctx: Context, product: DataType, bias: DataType | None,
                 folded: bool) -> tuple[DataType, DataType | None]:
    total = accumulate(product, fan_in(ctx.node))
    if folded and bias is None:
        bias = total
    if bias is None or not (folded or _has_bias(ctx.node)):
        return total, None
    return add(total, bias), bias


def fan_in(node: Node) -> int:
    """Products summed into one output value (at most, for a transposed convolution)."""
    first = _first_shape(node)
    if node.base.startswith("Depthwise"):
        return math.prod(first[:-2])
    if node.base.endswith("Transpose"):
        strides = node.layer.config.get("strides", 1)
        places = first[:-2]
        steps = (strides,) * len(places) if isinstance(strides, int) else tuple(strides)
        return math.prod(-(-side // step) for side, step in zip(places, steps, strict=True)) * first[-1]
    if node.base == "EinsumDense":
        return max(1, node.layer.macs // max(node.output_size, 1))
    return math.prod(first[:-1])


def _parameters(ctx: Context, weight: DataType, bias: DataType | None,
                folded: bool) -> tuple[tuple[int, int], ...]:
    node = ctx.node
    if folded and not ctx.corrected:
        return ()
    first = _first_shape(node)
    read = [(math.prod(first), weight.bits)]
    if bias is not None:
        sound = weight_size(node, "bias") or (node.layer.output_shape[-1] or 1)
        # of a depthwise kernel the original takes the depth multiplier
        read.append((sound if ctx.corrected else first[-1], bias.bits))
    return tuple(read)


def _mac_pj(ctx: Context, product: Operation, total: DataType) -> float:
    table = ctx.process.operation
    return (product.gate_factor * table(product.output.number_format, product.implementation, product.gate_bits)
            + table(total.number_format, "add", total.bits))


def _types(weight: DataType, bias: DataType | None, product: DataType, total: DataType) -> dict[str, DataType]:
    types = {"weight": weight, "multiplier": product, "accumulator": total}
    return types if bias is None else {**types, "bias": bias}


def separable(ctx: Context) -> Outcome:
    """Separable convolution: QTools 0.9 sees the depthwise half only, and takes pointwise for its bias."""
    if ctx.corrected:
        return _both_halves(ctx)
    node, notes = ctx.node, list[str]()
    first = _first_shape(node)
    weight, pointwise = ctx.parameter("depthwise", notes), ctx.parameter("pointwise", notes)
    product = multiply(weight, ctx.inputs[0])
    total, _ = _original_total(product.output, pointwise, first, False)
    if ctx.forced:
        total = ctx.plain_accumulator
        product = product._replace(output=total)
    bias = pointwise if _has_bias(node) else None
    read = [(math.prod(first), weight.bits)] + ([(first[-1], bias.bits)] if bias else [])
    notes.append("QTools 0.9 counts no operations of a separable convolution")
    return Outcome(ctx.output(total, notes), _types(weight, bias, product.output, total),
                   {"multiplier": product}, 0, 0.0, tuple(read), tuple(notes))


def _both_halves(ctx: Context) -> Outcome:
    node, notes = ctx.node, list[str]()
    depthwise, pointwise = ctx.parameter("depthwise", notes), ctx.parameter("pointwise", notes)
    bias = ctx.parameter("bias", notes) if _has_bias(node) else None
    first = _first_shape(node)
    inner = multiply(depthwise, ctx.inputs[0])
    between = ctx.plain_accumulator if ctx.forced else accumulate(inner.output, math.prod(first[:-2]))
    outer = multiply(pointwise, between)
    total = accumulate(outer.output, math.prod(first[-2:]))
    total = add(total, bias) if bias else total
    if ctx.forced:
        total = ctx.plain_accumulator
        inner, outer = inner._replace(output=between), outer._replace(output=total)
    sizes = weight_size(node, "depthwise"), weight_size(node, "pointwise")
    places = node.op_count // max(sum(sizes), 1)
    op_pj = places * (sizes[0] * _mac_pj(ctx, inner, between) + sizes[1] * _mac_pj(ctx, outer, total))
    read = [(sizes[0], depthwise.bits), (sizes[1], pointwise.bits)]
    read += [(weight_size(node, "bias"), bias.bits)] if bias else []
    types = _types(depthwise, bias, inner.output, total) | {"pointwise": pointwise, "between": between}
    return Outcome(ctx.output(total, notes), types, {"multiplier": inner, "pointwise_multiplier": outer},
                   node.op_count, op_pj, tuple(read), tuple(notes))


def recurrent(ctx: Context) -> Outcome:
    """Recurrent layers, corrected mode: input and state products of every step, and the gates' products.

    The state has the format of its own quantizer, or that of the output quantizer, or of results without quantizer.
    """
    node, notes = ctx.node, list[str]()
    steps = (node.layer.input_shapes[0][0] or 1) if node.layer.input_shapes else 1
    kernel, again = ctx.parameter("kernel", notes), ctx.parameter("recurrent_kernel", notes)
    bias = ctx.parameter("bias", notes) if _has_bias(node) else None
    output = ctx.output(ctx.plain_accumulator, notes)
    held = None if ctx.settings.reference else ctx.spec("state")
    state = ctx.known(held, notes) if held else output
    shape = _recurrent_shape(node)
    units = shape[0]
    inner, outer, gate = multiply(kernel, ctx.inputs[0]), multiply(again, state), multiply(state, state)
    total = add(accumulate(inner.output, node.layer.input_shapes[0][-1] or 1), accumulate(outer.output, units))
    total = add(total, bias) if bias else total
    if ctx.forced:
        total = ctx.plain_accumulator
        inner, outer, gate = (op._replace(output=total) for op in (inner, outer, gate))
    sizes = both_sizes(node, "kernel"), both_sizes(node, "recurrent_kernel")
    directions = 2 if node.layer.weight("backward_kernel") else 1
    gates = _GATE_PRODUCTS.get(shape[-1] // units, 0) * units * directions
    gate_pj = gate.gate_factor * ctx.process.operation(gate.output.number_format, gate.implementation, gate.gate_bits)
    op_pj = steps * (sizes[0] * _mac_pj(ctx, inner, total) + sizes[1] * _mac_pj(ctx, outer, total) + gates * gate_pj)
    read = [(sizes[0], kernel.bits), (sizes[1], again.bits)]
    read += [(both_sizes(node, "bias"), bias.bits)] if bias else []
    types = _types(kernel, bias, inner.output, total) | {"recurrent_kernel": again, "state": state}
    made = output if ctx.spec(OUTPUT) or not held else state
    return Outcome(made, types, {"multiplier": inner, "recurrent_multiplier": outer},
                   steps * (sum(sizes) + gates), op_pj, tuple(read), tuple(notes))


def _recurrent_shape(node: Node) -> tuple[int, ...]:
    """(units, gates x units)."""
    held = node.layer.weight("recurrent_kernel")
    units = node.layer.output_shape[-1] or 1
    return held.shape if held else (units, units)


MAC_ORIGINAL = DENSE_LIKE | FOLDED
MAC_CORRECTED = MAC_ORIGINAL | {"EinsumDense", "DepthwiseConv1D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose",
                                "Conv3DTranspose"}
__all__ = ["MAC_CORRECTED", "MAC_ORIGINAL", "RECURRENT", "SEPARABLE", "fan_in", "mac", "recurrent", "separable"]
