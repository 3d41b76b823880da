"""The precision each tensor really has under a recipe, and whether each sum fits its accumulator."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec
from numpy.typing import NDArray

from core.energy.accumulator import AccumulatorCheck, check_row
from core.energy.pricing import CostReport, Pricer, Row, Weights
from core.energy.scaled import multipliers, scaled
from core.energy.settings import corrected
from core.energy.types import BINARY, BINARY01, POWER, TERNARY, DataType
from core.model_info import MOVING, LayerInfo, ModelInfo
from core.quant.edits import DEFAULT, INHERITED, Key, Origin, Origins, value
from core.quant.quantizers import Quantizer
from core.quant.recipe import OUTPUT, Recipe
from core.quant.spec import QuantizerSpec, in_force, parse

FLOAT32 = "float32"
THE_SUM = "its sum"
#: of a network with more weights the sums are bounded by fan-in: their exact range would take too long for an edit
MOST_WEIGHTS = 300_000
_KEPT = 512


class Tensor(msgspec.Struct, frozen=True):
    """The precision in force of one tensor: `format` as HLS writes it (ap_fixed counts the sign among its integer
    bits), bits of one value, and where that came from."""

    format: str
    bits: int
    origin: Origin


class Effective(msgspec.Struct, frozen=True):
    """By (layer, parameter), each tensor's precision; by layer, the sums and whether they fit."""

    tensors: dict[Key, Tensor] = {}
    sums: dict[str, list[AccumulatorCheck]] = {}


def fixed_name(bits: int, integer: int, signed: bool) -> str:
    """hls4ml's name of a fixed-point format whose `integer` leaves out the sign."""
    return f"ap_{'' if signed else 'u'}fixed<{bits},{integer + signed}>"


def format_of(spec: QuantizerSpec) -> str:
    """The format a quantizer in force gives."""
    made = Quantizer(spec)
    fixed = made.fixed_point()
    if fixed is not None:
        return fixed_name(fixed.bits, fixed.integer, fixed.signed)
    names = {"binary": "\u00b11", "stochastic_binary": "\u00b11", "bernoulli": "0/1", "ternary": "\u22121/0/1",
             "stochastic_ternary": "\u22121/0/1", "quantized_po2": "\u00b12^k", "quantized_relu_po2": "2^k"}
    if spec.kind == "binary" and spec["use_01"]:
        names["binary"] = "0/1"
    scale = {"auto": " \u00d7 scale", "auto_po2": " \u00d7 2^n"}.get(str(spec.get("alpha")), "")
    name = names.get(spec.kind)
    return f"{name}{scale}, {made.bits} bit" if name else f"{made.bits} bit{scale}"


def type_name(kind: DataType) -> str:
    """The same for a format that the energy model worked out."""
    if kind.floating:
        return f"float{kind.bits}"
    names = {POWER: "2^k", TERNARY: "\u22121/0/1", BINARY: "\u00b11", BINARY01: "0/1"}
    return f"{names[kind.mode]}, {kind.bits} bit" if kind.mode in names else \
        fixed_name(kind.bits, kind.integer, bool(kind.signed))


class EffectivePrecision:
    """Works them out for one model; what an edit leaves as it was is looked up.

    Args:
        weights: the float weights by layer and parameter; without them sums are bounded by their fan-in.
    """

    def __init__(self, info: ModelInfo, weights: Weights | None = None) -> None:
        self.info = info
        self._weights = weights if weights and info.parameters <= MOST_WEIGHTS else {}
        self._pricers: dict[tuple[tuple[str, float], ...], Pricer] = {}
        self._quantized: OrderedDict[tuple[str, str, QuantizerSpec], NDArray[Any]] = OrderedDict()
        self._checked: dict[str, tuple[Row, tuple[QuantizerSpec, ...], list[AccumulatorCheck]]] = {}

    def of(self, recipe: Recipe, origins: Origins) -> Effective:
        """Everything under this recipe; `origins` say where its quantizers came from.

        Raises:
            CostError, QuantizerError: as `Pricer.price`.
        """
        factors = multipliers(recipe)
        if factors not in self._pricers:
            self._pricers[factors] = Pricer(scaled(self.info, dict(factors)) if factors else self.info, corrected())
        pricer = self._pricers[factors]
        plain = msgspec.structs.replace(recipe, layers={
            name: msgspec.structs.replace(entry, units_multiplier=1.0) for name, entry in recipe.layers.items()})
        report = pricer.price(plain)
        sums = {}
        for node, row in zip(pricer.nodes, report.rows, strict=True):
            found = self._sums(node, row, recipe, exact=not factors)
            if found:
                sums[row.name] = found
        return Effective(self._tensors(recipe, origins, report), sums)

    # -- sums --------------------------------------------------------------------------------------

    def _sums(self, node: Any, row: Row, recipe: Recipe, exact: bool) -> list[AccumulatorCheck]:
        held = self._weights.get(row.name, {}) if exact else {}
        specs = [(parameter, recipe.spec(row.name, parameter)) for parameter in held]
        known = tuple(spec for _, spec in specs if spec is not None) if all(spec for _, spec in specs) else ()
        last = self._checked.get(row.name)
        if last is None or last[0] is not row or last[1] != known:
            weights = {parameter: self._values(row.name, parameter, spec) for parameter, spec in specs
                       if spec is not None} if known else {}
            last = self._checked[row.name] = row, known, check_row(node, row, weights)
        return last[2]

    def _values(self, layer: str, parameter: str, spec: QuantizerSpec) -> NDArray[Any]:
        key = layer, parameter, spec
        if key not in self._quantized:
            self._quantized[key] = Quantizer(spec)(self._weights[layer][parameter])
            if len(self._quantized) > _KEPT:
                self._quantized.popitem(last=False)
        self._quantized.move_to_end(key)
        return self._quantized[key]

    # -- tensors -----------------------------------------------------------------------------------

    def _tensors(self, recipe: Recipe, origins: Origins, report: CostReport) -> dict[Key, Tensor]:
        rows = {row.name: row for row in report.rows}
        found: dict[Key, Tensor] = {}
        for layer in self.info.layers:
            held = {weight.parameter for weight in layer.weights}
            for parameter in dict.fromkeys([*held, *layer.quantizable, OUTPUT]):
                key = layer.name, parameter
                text = value(self.info, recipe, key)
                if text:
                    spec = in_force(parse(text), parameter)
                    by = recipe.layers[layer.name].widths.get(parameter) if layer.name in recipe.layers else None
                    # the string then holds the largest widths
                    name = format_of(spec) + (f" at most, by {by}" if by in ("channel", "weight") else "")
                    found[key] = Tensor(name, Quantizer(spec).bits, origins.get(key, Origin()))
                elif parameter == OUTPUT:
                    found[key] = _passed_on(layer, rows.get(layer.name), found)
                else:
                    found[key] = Tensor(FLOAT32, 32, origins.get(key, Origin()))
        return found


def _passed_on(layer: LayerInfo, row: Row | None, known: Mapping[Key, Tensor]) -> Tensor:
    """The output of a layer that does not quantize it."""
    before = known.get((layer.inbound[0], OUTPUT)) if layer.inbound else None
    if before is not None and (layer.class_name in MOVING or row is None):
        return Tensor(before.format, before.bits, Origin(INHERITED, layer.inbound[0]))
    if row is None or row.output.floating:
        return Tensor(FLOAT32, 32, Origin(DEFAULT))
    source = THE_SUM if "accumulator" in row.types else " and ".join(layer.inbound)
    return Tensor(type_name(row.output), row.output.bits, Origin(INHERITED, source))
