"""Words and numbers in the cells of the table of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.energy import Row
from core.energy.accumulator import WEIGHTS, AccumulatorCheck
from core.energy.effective import Tensor, fixed_name
from core.model_info import LayerInfo
from core.quant.edits import INHERITED, NUMBERS, editable
from core.quant.measures import Sensitivity

if TYPE_CHECKING:
    from app.models.layer_table import LayerTableModel
    from app.session import Session

DASH = "\u2013"
FITS, SHORT = "\u2713", "\u26a0"
UNROUNDED = "unrounded"


def grouped(value: float | int | None) -> str:
    """An integer with thin blanks between thousands; a dash for nothing."""
    return DASH if value is None else f"{int(value):,}".replace(",", "\u2009")


def signed(value: float, digits: int = 2) -> str:
    """With a typographic sign."""
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def shape(layer: LayerInfo) -> str:
    """Output shape, without the batch axis."""
    return " \u00d7 ".join("?" if side is None else str(side) for side in layer.output_shape)


def units(layer: LayerInfo, factor: float) -> str:
    """The number of units that a factor makes."""
    own = int(layer.config.get("units") or layer.config.get("filters") or 0)
    return f"{own} units" if factor == 1 else f"{max(int(own * factor), 1)} of {own}"


def quantizer(tensor: Tensor | None, written: str | None) -> tuple[str, str]:
    """(first, second line) of a quantizer cell: what is written, then the precision in force and its origin."""
    detail = f"{tensor.format} \u00b7 {tensor.origin.kind}" if tensor is not None else ""
    if written:
        return written, detail
    passes = tensor is not None and tensor.origin.kind == INHERITED
    return UNROUNDED if passes else "float", detail


def cell_tip(model: LayerTableModel, session: Session, layer: LayerInfo, parameter: str, written: str | None) -> str:
    """What a cell really means: in force, effective precision, origin, range of the weights, sensitivity."""
    key = layer.name, parameter
    if parameter in NUMBERS:
        return f"{parameter.replace('_', ' ').capitalize()} of {layer.name}: {session.origins.get(key, 'default')}"
    lines = [f"{layer.name}, {parameter}: {written or 'not quantized'}"]
    tensor = model.tensor(*key)
    if tensor is not None:
        lines.append(f"Precision: {tensor.format}, {tensor.bits} bits ({tensor.origin})")
    spec = session.recipe.spec(*key) if written and layer.name not in (session.info.inputs if session.info else ()) \
        else None
    if spec is not None and str(spec) != written:
        lines.append(f"In force: {spec}")
        if "alpha" in spec.arguments:
            lines.append(f"alpha is {spec['alpha']!r}: QKeras scales a kernel without alpha by itself")
    weight = layer.weight(parameter)
    if weight is not None and weight.minimum is not None and weight.maximum is not None:
        lines.append(f"Weights lie between {weight.minimum:.4g} and {weight.maximum:.4g}")
    return "\n".join(filter(None, [*lines, model.sensitivity_text(key)]))


# -- accumulators ----------------------------------------------------------------------------------


def sum_format(check: AccumulatorCheck | None) -> str:
    """The format that the sum is given."""
    if check is None:
        return ""
    return "float32" if check.note else fixed_name(check.given_bits, check.given_integer, check.given_signed)


def sum_verdict(checks: list[AccumulatorCheck]) -> str:
    """Whether every sum fits."""
    if not checks:
        return ""
    check = checks[0]
    if check.note:
        return "not checked: float"
    if check.overflow:
        return f"{SHORT} {check.missing_bits} bit{'s' if check.missing_bits > 1 else ''} short"
    if check.lost_fraction:
        return f"{SHORT} cuts {check.lost_fraction} fraction bits"
    how = "" if check.source == WEIGHTS else " any weights"
    spare = f", {check.spare_bits} spare" if check.spare_bits else ""
    return f"{FITS} fits{how}{spare}"


def sum_alarm(checks: list[AccumulatorCheck]) -> str:
    """The colour of the verdict: a token's name, or none."""
    if not checks or checks[0].note:
        return "muted"
    return "danger" if checks[0].overflow else "warning" if checks[0].lost_fraction else ""


def sum_tip(checks: list[AccumulatorCheck]) -> str:
    """Each sum: what it is given, what it needs, and how that is known."""
    lines = []
    for check in checks:
        if check.note:
            lines.append(f"{check.sum}: {check.note}")
            continue
        given = fixed_name(check.given_bits, check.given_integer, check.given_signed)
        wanted = fixed_name(check.needed_bits, check.needed_integer, check.needed_signed)
        how = "exact for these weights, any input" if check.source == WEIGHTS else "a bound by fan-in"
        lines += [f"{check.sum}: given {given}, needed {wanted}",
                  f"worst case from {check.low:.6g} to {check.high:.6g}, {how}"]
    return "\n".join(lines)


# -- costs and sensitivity -------------------------------------------------------------------------


def energy(row: Row | None) -> str:
    """pJ of a layer."""
    return DASH if row is None else f"{row.profile_pj:.1f} pJ"


def energy_tip(row: Row | None, share: float | None) -> str:
    """A layer's energy by parts."""
    if row is None:
        return "Not priced: it computes nothing"
    parts = (f"inputs {row.inputs_pj:.1f}, parameters {row.parameters_pj:.1f}, operations {row.op_pj:.1f},"
             f" outputs {row.outputs_pj:.1f} pJ")
    gate = f"\n{grouped(row.op_count)} \u00d7 {row.implementation}" if row.implementation else ""
    return f"{100 * (share or 0):.1f} % of the network's energy\n{parts}{gate}" + "".join(
        f"\n{note}" for note in row.notes)


def parameter_bits(row: Row | None) -> str:
    """Bits of a layer's parameters."""
    return DASH if row is None else grouped(row.parameter_bits)


def bits_tip(row: Row | None, share: float | None) -> str:
    """Bits of parameters and activations."""
    if row is None:
        return "Not priced: it computes nothing"
    return (f"{100 * (share or 0):.1f} % of the network's parameter bits\nactivations {grouped(row.activation_bits)}"
            f" bits, EBOPs {grouped(row.ebops)}")


def drop(one: Sensitivity | None) -> str:
    """The change of the task's figure, negative for a loss."""
    if one is None:
        return DASH
    return f"{signed(-100 * one.metric_drop)} %" if one.name == "accuracy" else signed(-one.metric_drop, 4)


def drop_detail(one: Sensitivity | None) -> str:
    """Which of the layer's quantizers loses most."""
    return "" if one is None else one.parameter


def drop_tip(model: LayerTableModel, layer: LayerInfo) -> str:
    """All that was measured of a layer's quantizers."""
    info = model._session.info
    lines = []
    for parameter in editable(info, layer) if info is not None else ():
        one = model.sensitivity((layer.name, parameter))
        old = model._session.analysis.sensitivities.get((layer.name, parameter))
        if one is not None:
            lines.append(f"{parameter} as {one.quantizer}: {drop(one)} {one.name}")
        elif old is not None:
            lines.append(f"{parameter}: measured with {old.quantizer}, not with what is there now")
    return "\n".join(lines) or "Not measured: press Measure sensitivity"
