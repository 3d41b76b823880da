"""The columns of the table of layers: title, tip, and how each cell is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.models import layer_texts
from app.models.layer_texts import grouped
from core.model_info import PARAMETERS, LayerInfo
from core.quant.edits import SPARSITY, UNITS
from core.quant.recipe import OUTPUT

if TYPE_CHECKING:
    from app.models.layer_table import LayerTableModel

FLOAT = "float"
#: parameter columns in the order they are shown; those that no layer has are left out
PARAMETER_ORDER = tuple(dict.fromkeys(["kernel", "recurrent_kernel", "depthwise", "pointwise", "bias",
                                       *(p for names in PARAMETERS.values() for p in names),
                                       "state", "activation", "recurrent_activation", "average"]))
Cell = Callable[["LayerTableModel", LayerInfo], Any]


@dataclass(frozen=True)
class Column:
    """One column.

    `parameter` is what its cells edit ("kernel", "output", a number of `core.quant.edits`), empty for a column
    that only tells. `hidden` columns are shown when asked for. `share`, `detail`, `explain` and `alarm` give a
    cell's bar, second line, tool tip, and the token of its colour.
    """

    title: str
    tip: str
    parameter: str = ""
    value: Cell = lambda model, layer: None
    text: Callable[[Any], str] = str
    sort: Callable[[Any], Any] = lambda value: value
    right: bool = False
    hidden: bool = False
    share: Cell | None = None
    detail: Cell | None = None
    explain: Cell | None = None
    alarm: Cell | None = None


_BEFORE = (
    Column("Layer", "Name of the layer", value=lambda model, layer: layer.name),
    Column("Type", "Keras class of the layer", value=lambda model, layer: layer.class_name),
    Column("Output shape", "Without the batch axis", value=lambda model, layer: layer_texts.shape(layer), hidden=True),
    Column("Parameters", "Number of weights", value=lambda model, layer: layer.parameters, text=grouped, right=True,
           hidden=True),
    Column("MACs", "Multiply-accumulates for one event", value=lambda model, layer: layer.macs, text=grouped,
           right=True, hidden=True),
    Column("Units \u00d7", "Factor on the number of units or filters; another than 1 needs training", UNITS,
           right=True),
)
_AFTER = (
    Column("Sparsity", "Share of the weights that training prunes to zero", SPARSITY, right=True, hidden=True),
    Column("Accumulator", "Format of the layer's sums, and whether every possible sum fits it",
           value=lambda model, layer: next(iter(model.sums(layer.name)), None), text=layer_texts.sum_format,
           sort=lambda check: 0 if check is None else check.given_bits,
           detail=lambda model, layer: layer_texts.sum_verdict(model.sums(layer.name)),
           explain=lambda model, layer: layer_texts.sum_tip(model.sums(layer.name)),
           alarm=lambda model, layer: layer_texts.sum_alarm(model.sums(layer.name))),
    Column("Energy", "Energy for one event, QTools' 45 nm model; the bar is the part of the whole network's",
           value=lambda model, layer: model.price(layer.name), text=layer_texts.energy,
           sort=lambda row: 0.0 if row is None else round(row.profile_pj, 4),
           share=lambda model, layer: model.energy_share(layer.name),
           explain=lambda model, layer: layer_texts.energy_tip(model.price(layer.name),
                                                               model.energy_share(layer.name))),
    Column("Bits", "Weights times their widths; the bar is the part of the whole network's",
           value=lambda model, layer: model.price(layer.name), text=layer_texts.parameter_bits,
           sort=lambda row: 0 if row is None else row.parameter_bits,
           share=lambda model, layer: model.bits_share(layer.name),
           explain=lambda model, layer: layer_texts.bits_tip(model.price(layer.name),
                                                             model.bits_share(layer.name))),
    Column("Sensitivity", "What is lost with one quantizer of the layer alone; the bar is against the worst layer",
           value=lambda model, layer: model.worst(layer.name), text=layer_texts.drop,
           sort=lambda one: -1.0 if one is None else one.metric_drop,
           share=lambda model, layer: model.worst_share(layer.name),
           detail=lambda model, layer: layer_texts.drop_detail(model.worst(layer.name)),
           explain=lambda model, layer: layer_texts.drop_tip(model, layer)),
)


def columns_of(layers: tuple[LayerInfo, ...]) -> tuple[Column, ...]:
    """The columns that these layers need; none for no layers."""
    held = {parameter for layer in layers for parameter in layer.quantizable}
    middle = [Column(name.replace("_", " ").capitalize(), f"Quantizer of the {name.replace('_', ' ')}", name)
              for name in PARAMETER_ORDER if name in held]
    middle.append(Column("Output", "Quantizer of what the layer gives", OUTPUT))
    return (*_BEFORE, *middle, *_AFTER) if layers else ()
