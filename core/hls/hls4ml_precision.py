"""What each tensor and accumulator of an hls4ml project will be, before anything is built, and what to beware of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from core.hls.hls4ml_mends import NEEDED
from core.hls.hls4ml_options import Hls4mlOptions
from core.hls.parts import DEFAULT_PART

#: more factors than this in one layer that is fully unrolled, and Vitis HLS gives up
UNROLL_LIMIT = 4096
#: results and accumulators wider than this are hardly wanted
WIDE_BITS = 32
#: tables of more values than this are large memories
TABLE_LIMIT = 4096
_WHAT = {"result_t": "result", "accum_t": "accumulator", "weight_t": "weight", "bias_t": "bias", "scale_t": "scale",
         "table_t": "table"}
_UNROLLED = ("latency", "distributed_arithmetic")


class TensorType(msgspec.Struct, frozen=True, kw_only=True):
    """The type of one tensor: `bits` in all, `integer` of them before the point, the sign among them.

    `tensor` is "result", "accumulator", "weight", ...; `layer` the Keras layer, `step` hls4ml's own; `values`
    counts the tensor's values, `products` those of the step; `fits` is False where values can wrap around.
    """

    layer: str
    step: str
    kind: str
    tensor: str
    text: str
    bits: int
    integer: int
    signed: bool
    rounding: str
    overflow: str
    values: int
    products: int = 0
    strategy: str = ""
    reuse_factor: int = 1
    fits: bool = True


class PrecisionReport(msgspec.Struct, frozen=True, kw_only=True):
    """All tensors of a project in the order of computation, and warnings in sentences."""

    rows: list[TensorType]
    warnings: list[str] = []


def precision(model: Any, options: Hls4mlOptions | None = None, part: str = DEFAULT_PART,
              clock_ns: float = 5.0) -> PrecisionReport:
    """The effective types of a quantized model under hls4ml; nothing is written, nothing compiled.

    Raises:
        ExportError: the model cannot be exported by this flow.
        ToolMissingError: hls4ml is missing.
    """
    from core.hls.hls4ml_flow import convert

    options = options or Hls4mlOptions()
    return precision_of(convert(model, Path("not-written"), part, clock_ns, options=options), options)


def precision_of(graph: Any, options: Hls4mlOptions) -> PrecisionReport:
    """As `precision`, of a graph that is converted already."""
    rows: list[TensorType] = []
    for layer in graph.get_layers():
        rows += _rows(layer, int(layer.get_attr(NEEDED) or 0))
    return PrecisionReport(rows=rows, warnings=_warnings(rows, options))


def _rows(layer: Any, needed: int) -> list[TensorType]:
    """Types of one of hls4ml's layers, its accumulator before its result; `needed` integer bits hold its values."""
    owner = str(layer.get_attr("of") or layer.name)
    weights = {name: weight for name, weight in layer.weights.items()}
    common: dict[str, Any] = {"layer": owner, "step": layer.name, "kind": layer.class_name,
                              "products": _products(layer), "strategy": str(layer.get_attr("strategy") or ""),
                              "reuse_factor": int(layer.get_attr("reuse_factor") or 1)}
    found = []
    for name, what in _WHAT.items():
        if name == "result_t" or name not in layer.attributes:
            continue
        held = weights.get(name.removesuffix("_t"))
        if name != "accum_t" and held is None and name != "table_t":
            continue
        found.append(_row(layer.attributes[name].precision, what, common,
                          int(np.size(held.data)) if held is not None else int(layer.get_attr("table_size") or 1),
                          name != "accum_t" or int(layer.attributes[name].precision.integer) >= needed))
    variable = layer.get_output_variable()
    precision = variable.type.precision
    found.append(_row(precision, "input" if layer.class_name == "Input" else "result", common, int(variable.size()),
                      layer.class_name == "Input" or _saturates(precision)
                      or int(precision.integer) >= needed))
    return found


def _row(precision: Any, what: str, common: dict[str, Any], values: int, fits: bool) -> TensorType:
    rounding, overflow = (str(getattr(precision, name, "") or "").rpartition(".")[2]
                          for name in ("rounding_mode", "saturation_mode"))
    return TensorType(**common, tensor=what, text=str(precision), bits=int(precision.width),
                      integer=int(getattr(precision, "integer", precision.width)), signed=bool(precision.signed),
                      rounding=rounding or "TRN", overflow=overflow or "WRAP", values=values, fits=fits)


def _products(layer: Any) -> int:
    """Products of one evaluation of the layer's kernel."""
    weight = layer.weights.get("weight") if layer.class_name != "Input" else None
    return int(np.size(weight.data)) if weight is not None else 0


def _saturates(precision: Any) -> bool:
    return "SAT" in str(getattr(precision, "saturation_mode", "")).upper()


def _warnings(rows: list[TensorType], options: Hls4mlOptions) -> list[str]:
    found = []
    for row in rows:
        where = f"{row.layer!r}" + (f" ({row.step})" if row.step != row.layer else "")
        if not row.fits:
            found.append(f"The {row.tensor} of layer {where} is {row.text} and wraps around for some inputs: give it"
                         " more integer bits.")
        if row.tensor in ("result", "accumulator") and row.bits > WIDE_BITS \
                and row.kind != "Softmax":
            found.append(f"The {row.tensor} of layer {where} has {row.bits} bits: quantize the output of the layers"
                         " before it.")
        if row.tensor == "table" and row.values > TABLE_LIMIT:
            found.append(f"Layer {where} looks values up in a table of {row.values}: give its input fewer bits.")
        if unrolled(row) > UNROLL_LIMIT:
            found.append(f"Layer {where} has {row.products} products side by side, and Vitis HLS unrolls"
                         f" {UNROLL_LIMIT} at most: use the strategy Resource, or a reuse factor of"
                         f" {int(np.ceil(row.products / UNROLL_LIMIT))} or more.")
        if row.tensor == "weight" and row.reuse_factor != options.of_layer(row.layer)[1]:
            found.append(f"Layer {where} gets a reuse factor of {row.reuse_factor}: hls4ml takes the nearest that"
                         " divides its products.")
    return list(dict.fromkeys(found + _other_strategies(rows, options)))


def unrolled(row: TensorType) -> float:
    """Products that stand side by side for a row of weights; 0 for other rows and for strategies that unroll none."""
    if row.tensor != "weight" or row.strategy.lower() not in ("", *_UNROLLED):
        return 0.0
    return row.products / max(row.reuse_factor, 1)


def _other_strategies(rows: list[TensorType], options: Hls4mlOptions) -> list[str]:
    """What became of strategies that the backend does not have for some layers."""
    layers: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        asked = options.of_layer(row.layer)[0]
        if row.tensor == "weight" and row.strategy.lower() != asked.lower():
            layers.setdefault((asked, row.strategy), []).append(repr(row.layer))
    return [f"Written with the strategy {given} and not {asked}, which {options.backend} does not have for them:"
            f" {', '.join(dict.fromkeys(names))}." for (asked, given), names in layers.items()]
