"""One rule for each kind of layer: what formats and operations it has, after QTools 0.9 or corrected."""

from __future__ import annotations

from collections.abc import Callable

from core.energy.graph import ACTIVATIONS, AVERAGE_2D, MERGES, WIRING, dot_terms, pool_shape
from core.energy.layer_types import Context, Outcome
from core.energy.operators import COMPARE_FACTOR, NotPossible, Operation, accumulate, add, divide, merge, multiply
from core.energy.rules_mac import MAC_CORRECTED, MAC_ORIGINAL, RECURRENT, SEPARABLE, mac, recurrent, separable
from core.energy.types import DEFAULT, DataType, floating
from core.quant.recipe import OUTPUT

Rule = Callable[[Context], Outcome]
_NORMALIZATION = ("gamma", "beta", "mean", "variance")


def rule_for(ctx: Context) -> Rule:
    """The rule that prices this layer."""
    base, original = ctx.node.base, not ctx.corrected
    if base in MERGES:
        return merged
    if base in (MAC_ORIGINAL if original else MAC_CORRECTED):
        return mac
    if base == "SeparableConv2D" or (base in SEPARABLE and not original):
        return separable
    if base == "BatchNormalization":
        return normalized
    if "AveragePooling" in base and (base in AVERAGE_2D or not original):
        return averaged
    if base in ACTIVATIONS and _is_activation(ctx):
        return activated
    if base in RECURRENT and not original:
        return recurrent
    if "MaxPool" in base and not original:
        return largest
    return passed


def _is_activation(ctx: Context) -> bool:
    # the original knows Activation and QActivation; a ReLU with a quantizer is a QActivation
    return ctx.corrected or ctx.node.base in ("Activation", "AdaptiveActivation") or OUTPUT in ctx.quantizers


def activated(ctx: Context) -> Outcome:
    """An activation: free but for what it writes."""
    notes: list[str] = []
    spec = None if ctx.forced else ctx.spec(OUTPUT)
    if spec is not None:
        output = ctx.known(spec, notes)
    elif ctx.corrected and not ctx.settings.reference and ctx.node.layer.activation in ("relu", "linear"):
        output = ctx.inputs[0]
    else:
        output = ctx.plain_accumulator
    return Outcome(output, op_count=ctx.node.op_count, notes=tuple(notes))


def passed(ctx: Context) -> Outcome:
    """Reshaping, max pooling, and everything QTools 0.9 does not know: the input's format goes through."""
    notes: list[str] = []
    base = ctx.node.base
    reshaping = "MaxPool" in base or "Reshape" in base or "Flatten" in base or "UpSampling" in base
    output = ctx.inputs[0]
    unknown = not reshaping and not (ctx.corrected and base in WIRING)
    if unknown and ctx.settings.reference and ctx.settings.float_accumulator and not any(ctx.node.io_inputs):
        output = ctx.plain_accumulator
    if unknown:
        notes.append(f"operations of {ctx.node.layer.class_name} are not counted")
    count = 0 if base in ACTIVATIONS else ctx.node.op_count
    return Outcome(ctx.output(output, notes), op_count=count, notes=tuple(notes))


def largest(ctx: Context) -> Outcome:
    """Max pooling, corrected mode: one comparison for each further value of the window."""
    notes: list[str] = []
    kind = ctx.inputs[0]
    compare = Operation(kind, "add", kind.bits, COMPARE_FACTOR)
    return Outcome(ctx.output(kind, notes), {"multiplier": kind}, {"multiplier": compare}, ctx.node.op_count,
                   ctx.node.op_count * _pj(ctx, compare), notes=tuple(notes))


def _pj(ctx: Context, operation: Operation) -> float:
    return operation.gate_factor * ctx.process.operation(
        operation.output.number_format, operation.implementation, operation.gate_bits)


def merged(ctx: Context) -> Outcome:
    """Add, Multiply, Maximum, Concatenate and the like."""
    notes: list[str] = []
    base = ctx.node.base
    if base == "Dot" and ctx.corrected:
        return _dot(ctx)
    try:
        operation = merge(base, ctx.inputs)
    except NotPossible as error:
        operation = merge("Add", ctx.inputs)
        if base == "Subtract":
            operation = operation._replace(output=operation.output._replace(signed=True))
        if base != "Subtract" or not ctx.corrected:
            notes.append(f"{error}; taken as Add")
    if ctx.settings.reference:
        operation = operation._replace(output=ctx.plain_accumulator)
    counted = base in ("Add", "Multiply", "Subtract") or (ctx.corrected and base != "Concatenate")
    count = (len(ctx.inputs) - 1) * ctx.node.op_count
    op_pj = count * _pj(ctx, operation) if counted and count else 0.0
    return Outcome(ctx.output(operation.output, notes), {"multiplier": operation.output}, {"multiplier": operation},
                   ctx.node.op_count, op_pj, notes=tuple(notes))


def _dot(ctx: Context) -> Outcome:
    """Products of two tensors along one axis each, corrected mode."""
    notes: list[str] = []
    product = multiply(ctx.inputs[0], ctx.inputs[-1])
    terms = dot_terms(ctx.node)
    total = ctx.plain_accumulator if ctx.settings.reference else accumulate(product.output, terms)
    count = ctx.node.output_size * terms
    energy = _pj(ctx, product) + ctx.process.operation(total.number_format, "add", total.bits)
    return Outcome(ctx.output(total, notes), {"multiplier": product.output, "accumulator": total},
                   {"multiplier": product}, count, count * energy, notes=tuple(notes))


def averaged(ctx: Context) -> Outcome:
    """Average pooling; a quantized one multiplies the sum by its quantized inverse area."""
    notes: list[str] = []
    area = 1
    for side in pool_shape(ctx.node.layer):
        area *= side
    total = accumulate(ctx.inputs[0], area)
    quantized = not ctx.settings.reference and "average" in ctx.quantizers
    is_quantized_class = ctx.quantized and ("average" in ctx.quantizers or not ctx.corrected)
    scale = None
    if is_quantized_class:
        spec = ctx.spec("average")
        scale = multiply(total, ctx.known(spec, notes) if spec else DEFAULT)
    if ctx.settings.reference:
        total = ctx.plain_accumulator
        scale = scale._replace(output=total) if scale else None
    count = 0 if is_quantized_class and not ctx.corrected else ctx.node.op_count
    op_pj = count * ctx.process.operation(total.number_format, "add", total.bits)
    if scale and ctx.corrected and quantized:
        op_pj += ctx.node.output_size * _pj(ctx, scale)
    if is_quantized_class and not ctx.corrected:
        notes.append("QTools 0.9 counts no operations of a quantized average pooling")
    computed = scale.output if scale else total
    types = {"accumulator": total} | ({"multiplier": scale.output} if scale else {})
    return Outcome(ctx.output(computed, notes), types, {"multiplier": scale} if scale else {}, count, op_pj,
                   notes=tuple(notes))


def normalized(ctx: Context) -> Outcome:
    """Batch normalization: gamma over the deviation, times the input, plus beta.

    QTools 0.9 leaves out the last addition and reads four parameters even where scale or center is off.
    """
    notes: list[str] = []
    value = ctx.inputs[0]
    kinds = {name: ctx.parameter(name, notes, missing=value if name in ("beta", "mean") else None)
             for name in _NORMALIZATION}
    # only divisor and factor are shifts that known values make cheaper
    kinds |= {name: kinds[name]._replace(values=-1) for name in ("beta", "mean")}
    config = ctx.node.layer.config
    scaled, centered = bool(config.get("scale", True)), bool(config.get("center", True))
    numerator = kinds["gamma"] if scaled else value
    operations = {"divider": _divided(ctx, numerator, _deviation(kinds["variance"]), notes)}
    if scaled:
        operations["multiplier"] = multiply(operations["divider"].output, value)
    result = operations["multiplier" if scaled else "divider"].output
    if centered:
        result = add(result, kinds["beta"])
    if ctx.forced:
        result = ctx.plain_accumulator
        operations = {name: operation._replace(output=result) for name, operation in operations.items()}
    energy = sum(_pj(ctx, operation) for operation in operations.values())
    if ctx.corrected:
        present = {weight.parameter for weight in ctx.node.layer.weights}
        kinds = {name: kind for name, kind in kinds.items() if name in present}
        energy += ctx.process.operation(result.number_format, "add", result.bits) if centered else 0.0
    length = ctx.node.layer.weights[0].size if ctx.node.layer.weights else (ctx.node.layer.output_shape[-1] or 1)
    types = kinds | {name: operation.output for name, operation in operations.items()}
    types |= {"accumulator": result} if centered else {}
    return Outcome(ctx.output(result, notes), types, operations, ctx.node.op_count, ctx.node.op_count * energy,
                   tuple((length, kind.bits) for kind in kinds.values()), tuple(notes))


def _deviation(variance: DataType) -> DataType:
    """The standard deviation's format: one bit less of exponent than the variance's."""
    if not variance.power:
        return variance
    limit = variance.maximum
    root = float(round(limit**0.5)) if limit >= 0 else limit
    return variance._replace(bits=variance.bits - 1, integer=variance.bits - 1, maximum=root)


def _divided(ctx: Context, numerator: DataType, denominator: DataType, notes: list[str]) -> Operation:
    try:
        return divide(numerator, denominator)
    except NotPossible as error:
        notes.append(f"{error}; taken in fp32")
        return Operation(floating(32), "mul", 32)
