"""Which bit widths of a model are trained, what they cost, and the recipe and weights they end as. numpy alone.

A width is written as fraction bits f and magnitude bits n: values are whole numbers up to 2**n - 1, times
2**-f. Formats are symmetric, so that n is what EBOPs count (`core.energy.ebops`); where values have a sign it is
stored besides. A value of no bits is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.candidate import Costs
from core.energy import graph, price, windows
from core.energy.bits import quantizer_bits
from core.energy.ebops import INPUT as READ
from core.energy.ebops import MERGED, counts, format_width
from core.energy.pricing import Row
from core.energy.rules_mac import both_sizes, kernel_name
from core.energy.settings import published
from core.energy.types import DataType
from core.errors import SearchError
from core.model_info import MOVING, LayerInfo, ModelInfo
from core.quant.recipe import INPUT, OUTPUT, Recipe
from core.requests import Search

Array = NDArray[Any]
#: weights whose widths are trained
MULTIPLYING = ("kernel", "depthwise", "pointwise", "recurrent_kernel")
TRAINED = (*MULTIPLYING, "bias")
GRANULARITIES = ("tensor", "channel", "weight")
#: classes whose EBOPs depend on the widths of what they read, beside those with a kernel
_READING = graph.MERGES | {"BatchNormalization"}
#: readers for which the values they read may have a width for each channel
_BY_CHANNEL = frozenset({"Dense", "Conv1D", "Conv2D", "DepthwiseConv2D", "BatchNormalization", *MERGED})
#: layers that move values to other channels
_MIXING = frozenset({"Reshape", "Permute", "RepeatVector"})
#: a layer's second weight and what it meets
_MET = {"pointwise": "between", "recurrent_kernel": "state"}
_RELU, _SIGNED = "quantized_relu(8,0)", "quantized_bits(8,0,symmetric=1,alpha=1)"


class Width(NamedTuple):
    """One parameter or output whose widths are trained; the model's inputs are `core.quant.recipe.INPUT`.

    `shape` is that of the widths: () for one of the whole tensor, (channels,), or that of the weight.
    """

    layer: str
    parameter: str
    granularity: str
    shape: tuple[int, ...]
    signed: bool

    @property
    def key(self) -> tuple[str, str]:
        """(layer, parameter)."""
        return self.layer, self.parameter

    @property
    def of_weight(self) -> bool:
        """True for a weight, False for values that depend on the event."""
        return self.key != INPUT and self.parameter != OUTPUT


class Counted(NamedTuple):
    """Widths of one `Width` in whole bits: magnitude bits n and fraction bits f, both of its shape."""

    magnitude: Array
    fraction: Array

    def bits(self, signed: bool) -> Array:
        """Bits to store a value, its sign included; 0 where it has none."""
        return np.where(self.magnitude > 0, self.magnitude + int(signed), 0)

    @property
    def integer(self) -> Array:
        """Integer bits without the sign."""
        return np.where(self.magnitude > 0, self.magnitude - self.fraction, 0)


class Term(NamedTuple):
    """EBOPs of one weight: sum of uses * its widths * widths of what it meets.

    `weight` and `read` are keys of widths, or None where the number is in `weight_bits` or `read_bits`. `uses`
    broadcasts to `shape`, that of the weight.
    """

    weight: tuple[str, str] | None
    weight_bits: float
    read: tuple[str, str] | None
    read_bits: float
    uses: Array
    shape: tuple[int, ...]


class Read(NamedTuple):
    """EBOPs of values that meet no trained weight: `uses` times the widths of what a layer reads, joined by `kind`.

    `kind` is "sum" of one input, "rest" (sum without the least), "product" or "largest" of several. Each of `reads`
    is a key of widths, or a number of bits.
    """

    kind: str
    reads: tuple[tuple[str, str] | float, ...]
    uses: float


def plan(info: ModelInfo, base: Recipe, granularity: str = "weight", frozen: Sequence[str] = ()) -> tuple[Width, ...]:
    """The widths to train: of all kernels and biases, of what they multiply, and of the model's inputs.

    Args:
        info: the model.
        base: keeps what is not trained.
        granularity: of weights: "tensor", "channel" or "weight". Values of events have one width for each channel
            where all that reads them can take that, one a tensor elsewhere and for "tensor".
        frozen: layers that keep the base recipe's quantizers.

    Raises:
        SearchError: there is no such granularity, or nothing to train.
    """
    if granularity not in GRANULARITIES:
        raise SearchError(f"there are no widths by {granularity!r}", remedy=f"Use one of: {', '.join(GRANULARITIES)}")
    fine = granularity != "tensor"
    found = [_of_input(info, fine)]
    for layer in info.layers:
        if layer.name in frozen:
            continue
        for parameter in layer.quantizable:
            weight = layer.weight(parameter)
            if parameter in TRAINED and weight is not None:
                shape = {"tensor": (), "channel": weight.shape[-1:], "weight": weight.shape}[granularity]
                found.append(Width(layer.name, parameter, granularity, shape, True))
        if OUTPUT in layer.quantizable and _is_read(info, layer):
            channels = _channels(info, layer.name, layer.output_shape) if fine else 0
            found.append(Width(layer.name, OUTPUT, *_values(channels), not layer.is_relu))
    if not any(width.of_weight for width in found):
        raise SearchError("there are no widths to train", "no layer that is not frozen has a kernel or bias",
                          "Unfreeze a layer")
    return tuple(found)


def check_widths(request: Search, info: ModelInfo, base: Recipe) -> None:
    """Raise SearchError for a gradient search that cannot be carried out."""
    plan(info, base, request.granularity, request.frozen)
    if request.epochs < 1:
        raise SearchError("a gradient search needs at least one epoch")
    if request.beta and (len(request.beta) != 2 or not 0 < request.beta[0] <= request.beta[1] < math.inf):
        raise SearchError("the weights of the cost do not grow from above 0",
                          remedy="Give two numbers for beta, that of the start first")


def _values(channels: int) -> tuple[str, tuple[int, ...]]:
    """Granularity and shape of the widths of values, with one a tensor where there are no channels."""
    return ("channel", (channels,)) if channels else ("tensor", ())


def _of_input(info: ModelInfo, fine: bool) -> Width:
    inputs = [layer for layer in info.layers if layer.class_name == "InputLayer"]
    if len(inputs) != 1 or not fine:
        return Width(*INPUT, *_values(0), True)
    return Width(*INPUT, *_values(_channels(info, inputs[0].name, inputs[0].output_shape)), True)


def _channels(info: ModelInfo, name: str, shape: Sequence[int | None]) -> int:
    """Size of the last axis of a layer's output where all readers of it can take a width for each channel, else 0."""
    last = shape[-1] if shape else None
    met, readers = _behind(info, name)
    able = all(graph.base_class(layer.class_name) not in _MIXING for layer in met) and all(
        (graph.base_class(layer.class_name) in _BY_CHANNEL or "AveragePooling" in layer.class_name)
        and int(layer.config.get("groups", 1)) == 1 and _last_axis(layer) for layer in readers)
    return int(last) if last and able and _last_axis(info.find(name)) else 0


def _last_axis(layer: LayerInfo | None) -> bool:
    """True where a layer's channels are its last axis."""
    return layer is None or layer.config.get("data_format", "channels_last") == "channels_last"


def _is_read(info: ModelInfo, layer: LayerInfo) -> bool:
    """True where a layer behind this one multiplies, adds or averages its output, moved or not in between."""
    return bool(_behind(info, layer.name)[1])


def _behind(info: ModelInfo, name: str) -> tuple[list[LayerInfo], list[LayerInfo]]:
    """(layers that only move a layer's output, layers behind them that compute with it)."""
    waiting, moving, reading = [name], dict[str, LayerInfo](), dict[str, LayerInfo]()
    while waiting:
        source = waiting.pop()
        for other in info.layers:
            if source not in other.inbound or other.name in moving or other.name in reading:
                continue
            if _reads(other):
                reading[other.name] = other
            elif graph.base_class(other.class_name) in MOVING:
                moving[other.name] = other
                waiting.append(other.name)
    return list(moving.values()), list(reading.values())


def _reads(layer: LayerInfo) -> bool:
    base = graph.base_class(layer.class_name)
    return base in _READING or "AveragePooling" in base or any(w.parameter in TRAINED for w in layer.weights)


def start_recipe(base: Recipe, widths: Sequence[Width]) -> Recipe:
    """The base recipe with quantizers wherever widths are trained, all of 8 bits."""
    recipe = base
    for width in widths:
        text = _SIGNED if width.signed else _RELU
        recipe = msgspec.structs.replace(recipe, input=text) if width.key == INPUT else \
            recipe.with_quantizer(*width.key, text)
    return recipe


def recipe_of(base: Recipe, widths: Sequence[Width], counted: Mapping[tuple[str, str], Counted], name: str) -> Recipe:
    """The recipe of trained widths.

    The one width of a tensor of values is written into its quantizer. Those of channels and of weights are variables,
    stored with the weights; the quantizer that stands beside them names the most bits and the most integer bits among
    them.
    """
    recipe = base.renamed(name)
    for width in widths:
        found = counted[width.key]
        bits = max(int(found.bits(width.signed).max()), 1 + width.signed)
        used = found.magnitude > 0
        integer = int(found.integer[used].max()) if used.any() else 0
        text = f"quantized_bits({bits},{integer},symmetric=1,alpha=1)" if width.signed \
            else f"quantized_relu({bits},{integer})"
        if width.key == INPUT:
            recipe = msgspec.structs.replace(recipe, input=text, input_widths=width.granularity if width.shape else "")
            continue
        recipe = recipe.with_quantizer(*width.key, text)
        if width.of_weight or width.shape:
            entry = recipe.layers[width.layer]
            recipe = recipe.with_layer(width.layer, msgspec.structs.replace(
                entry, widths={**entry.widths, width.parameter: width.granularity}))
    return recipe


# -- what they cost ------------------------------------------------------------------------------------------


class Ebops:
    """EBOPs as sums of products of trained widths: the terms of a gradient, and of the exact count.

    Args:
        info: the model.
        recipe: gives the widths that are not trained.
        widths: those that are.
    """

    def __init__(self, info: ModelInfo, recipe: Recipe, widths: Sequence[Width]) -> None:
        self.info = info
        self._keys = {width.key for width in widths}
        self._nodes = graph.build(info, published())
        #: one for each weight that multiplies
        self.terms: list[Term] = []
        #: one for each merge, pooling and normalization
        self.values: list[Read] = []
        #: by key of a bias how many of its values are added: EBOPs are that times their mean width
        self.biases: dict[tuple[str, str], float] = {}
        #: keys of the widths each layer reads, None for those that are not trained, by layer
        self.reads: dict[str, list[tuple[str, str] | None]] = {}
        for node, row in zip(self._nodes, price(info, recipe).rows, strict=True):
            self.reads[node.layer.name] = [self._source(parent) for parent in node.parents]
            self._add(node, row)
            self._add_values(node, row)

    def _add(self, node: graph.Node, row: Row) -> None:
        name = node.layer.name
        for parameter in MULTIPLYING:
            weight = node.layer.weight(parameter)
            if weight is None or parameter not in node.layer.quantizable:
                continue
            own = (name, parameter) if (name, parameter) in self._keys else None
            first = parameter == kernel_name(node.base)
            met = row.inputs[0] if first else row.types.get(_MET[parameter])
            kind = row.types.get("weight" if first else parameter)
            self.terms.append(Term(own, _width(kind), self.reads[name][0] if first else None, _width(met),
                                   _uses(node, parameter, weight.shape), weight.shape))
        bias = node.layer.weight("bias")
        if bias is not None and (name, "bias") in self._keys:
            self.biases[name, "bias"] = float(counts(node).bias)

    def _add_values(self, node: graph.Node, row: Row) -> None:
        reads = tuple(key or _width(kind) for key, kind in zip(self.reads[node.layer.name], row.inputs, strict=True))
        if node.base == "BatchNormalization":
            self.values.append(Read("sum", reads, node.output_size * _width(row.types.get("gamma"))))
        elif "Pool" in node.base:
            self.values.append(Read("sum", reads, float(node.input_sizes[0])))
        elif len(reads) > 1 and node.base in MERGED:
            kind, share = MERGED[node.base]
            self.values.append(Read(kind, reads, share * node.output_size))

    def _source(self, parent: int) -> tuple[str, str] | None:
        """Key of the widths of what a node gives, None where they are not trained."""
        while parent >= 0:
            node = self._nodes[parent]
            if (node.layer.name, OUTPUT) in self._keys:
                return node.layer.name, OUTPUT
            if node.base not in MOVING:
                return None
            parent = node.parents[0]
        return INPUT if INPUT in self._keys else None

    def priced(self, recipe: Recipe, counted: Mapping[tuple[str, str], Counted]) -> Costs:
        """The price of trained widths.

        EBOPs and parameter bits are those of the widths themselves; energies take for each tensor the most bits of
        any of its values, as `recipe_of` writes them.
        """
        known: dict[str, dict[str, Array]] = {
            name: {f"{READ}_{number}" if number else READ: self._read(name, number, counted[key].magnitude)
                   for number, key in enumerate(keys) if key} for name, keys in self.reads.items()}
        stored = 0
        for key, found in counted.items():
            layer = self.info.find(key[0])
            weight = layer.weight(key[1]) if layer else None
            if weight is None:
                continue
            known[key[0]][key[1]] = np.broadcast_to(found.magnitude, weight.shape).astype(float)
            spec = recipe.spec(*key)
            assert spec is not None
            stored += int(np.broadcast_to(found.bits(True), weight.shape).sum()) - quantizer_bits(spec) * weight.size
        costs = price(self.info, recipe, widths=known).costs
        return msgspec.structs.replace(costs, parameter_bits=costs.parameter_bits + stored)


    def _read(self, name: str, number: int, magnitude: Array) -> Array:
        """Widths of channels as a layer reads them: again and again where they are laid flat before it."""
        layer = self.info.find(name)
        bits = magnitude.astype(float)
        if not bits.ndim or layer is None or number >= len(layer.input_shapes):
            return bits
        return np.tile(bits, int(layer.input_shapes[number][-1] or len(bits)) // len(bits))


def _width(kind: DataType | None) -> float:
    return float(format_width(kind)) if kind is not None else 0.0


def _uses(node: graph.Node, parameter: str, shape: tuple[int, ...]) -> Array:
    """How often each value of a weight multiplies, broadcast to its shape."""
    first = parameter == kernel_name(node.base)
    if first and windows.slides(node):
        met = windows.reads(node, shape, 1.0)  # the same for every channel
        return met[..., : shape[-2], None]
    known = counts(node)
    if first:
        return np.full((1,) * len(shape), known.first / both_sizes(node, parameter))
    size = sum(both_sizes(node, name) for name in _MET)
    return np.full((1,) * len(shape), known.second / size)


# -- from what is stored -------------------------------------------------------------------------------------


def stored_costs(info: ModelInfo, recipe: Recipe, stored: Mapping[str, Array]) -> Costs:
    """The price of a network of trained widths, from its recipe and the variables "<parameter>_bits" of its weights.

    Args:
        info: the model.
        recipe: as `recipe_of` wrote it.
        stored: the candidate's weights by name ("layer/parameter", as `core.quant.weights` has them).

    Raises:
        SearchError: the weights lack the variables of a width that the recipe says is one.
    """
    granularities = {(name, parameter): granularity for name, entry in recipe.layers.items()
                     for parameter, granularity in entry.widths.items()}
    if recipe.input_widths:
        granularities[INPUT] = recipe.input_widths
    widths, counted = [], {}
    for key, granularity in granularities.items():
        spec = recipe.input_spec() if key == INPUT else recipe.spec(*key)
        signed = spec is not None and spec.kind != "quantized_relu"
        bits, integer = (np.rint(_variable(stored, info, key, what)).astype(int) for what in ("bits", "integer"))
        magnitude = np.where(bits > 0, bits - int(signed), 0)
        widths.append(Width(*key, granularity, bits.shape, signed))
        counted[key] = Counted(magnitude, np.where(magnitude > 0, magnitude - integer, 0))
    return Ebops(info, recipe, widths).priced(recipe, counted)


def _variable(stored: Mapping[str, Array], info: ModelInfo, key: tuple[str, str], what: str) -> Array:
    ending = f"/{OUTPUT}_{what}"
    names = [f"{'/'.join(key)}_{what}"] if key != INPUT else [
        name for name in stored if name.endswith(ending) and info.find(name.removesuffix(ending)) is None]
    found = next((stored[name] for name in names if name in stored), None)
    if found is None:
        raise SearchError(f"the weights do not hold the {what} of {'/'.join(key)}",
                          remedy="Train the candidate again")
    return found
