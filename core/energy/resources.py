"""DSP and LUT estimate for the hls4ml path: one multiplier for each product, shared by the reuse factor.

A multiplication takes DSPs where both operands have at least `dsp_from` bits, LUTs below. Sources: hls4ml 1.3.0's own
estimator counts no DSP for weights below 9 bits, and its templates how many multipliers are built; a DSP48E2 multiplies
27 by 18 bits, a DSP48E1 25 by 18 (UG579, UG479); HGQ (arXiv:2405.00645) found EBOPs to be about LUT + 55 DSP after
place and route, so a product in LUTs counts its EBOPs, its addition included. An adder takes a LUT a bit (UG574).
Formulas in docs/what_is_counted.md. This ranks candidates; figures to sign off with come from Vivado.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.energy import windows
from core.energy.ebops import format_width, significant_bits
from core.energy.graph import ACTIVATIONS, WIRING, Node
from core.energy.operators import Operation
from core.energy.pricing import Pricer, Row, Weights
from core.energy.rules_mac import DIRECTIONS, both_sizes, fan_in, kernel_name
from core.energy.settings import EnergySettings, corrected
from core.energy.types import DataType
from core.errors import CostError
from core.model_info import ModelInfo
from core.quant.recipe import Recipe

LATENCY, RESOURCE = "latency", "resource"
#: an 18 kbit block RAM is 36 bits wide and 512 deep (UG573)
_RAM_WIDTH, _RAM_DEPTH = 36, 512
#: layers whose kernel is used at every position but the last axis
_PLACED = ("Dense", "DenseBatchnorm")


class HlsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How hls4ml is asked to build it.

    `strategy` is "latency" (weights are constants) or "resource" (weights in block RAM where they are reused); each
    multiplier serves `reuse` products, or as many as `layer_reuse` says for its layer. `parallel` is the number of
    positions of a convolution that are computed at once (hls4ml's parallelization factor). `dsp_from` is the least
    width of both operands for a DSP, whose ports are `dsp_ports` wide, signed.
    """

    strategy: str = LATENCY
    reuse: int = 1
    layer_reuse: dict[str, int] = {}
    parallel: int = 1
    dsp_from: int = 9
    dsp_ports: tuple[int, int] = (27, 18)

    def __post_init__(self) -> None:
        if self.strategy not in (LATENCY, RESOURCE):
            raise CostError(f"there is no estimate for the strategy {self.strategy!r}",
                            remedy=f"Use {LATENCY!r} or {RESOURCE!r}; core.hls.da_estimate has distributed arithmetic")
        if min(self.reuse, self.parallel, self.dsp_from, *self.layer_reuse.values()) < 1 or min(self.dsp_ports) < 2:
            raise CostError("reuse, parallel and dsp_from must be at least 1, and the ports of a DSP 2 bits wide")


class LayerResources(msgspec.Struct, frozen=True, kw_only=True):
    """One layer. `multipliers` counts what is built for products; `bram_18k` are 18 kbit blocks."""

    name: str
    class_name: str
    reuse: int
    multipliers: int = 0
    dsp: int = 0
    lut: int = 0
    bram_18k: int = 0
    note: str = ""


class ResourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """Estimate of a network for the hls4ml path."""

    name: str
    layers: tuple[LayerResources, ...]
    options: HlsOptions

    @property
    def dsp(self) -> int:
        """DSPs of all layers."""
        return sum(layer.dsp for layer in self.layers)

    @property
    def lut(self) -> int:
        """LUTs of all layers."""
        return sum(layer.lut for layer in self.layers)

    @property
    def bram_18k(self) -> int:
        """18 kbit block RAMs of all layers."""
        return sum(layer.bram_18k for layer in self.layers)

    @property
    def notes(self) -> list[str]:
        """What is not counted, each with its layer's name."""
        return [f"{layer.name}: {layer.note}" for layer in self.layers if layer.note]


class _Products(NamedTuple):
    """Products of one kind: `size` of them at a place, summed `terms` at a time, of a weight's and a value's format."""

    size: int
    terms: int
    weight: DataType
    value: DataType
    operation: Operation
    places: int = 1
    known: NDArray[Any] | None = None


def dsp_tiles(first: int, second: int, ports: tuple[int, int] = (27, 18)) -> int:
    """DSPs of one signed multiplication of those widths; a port takes one bit less of every further slice."""

    def slices(width: int, port: int) -> int:
        return 1 if width <= port else 1 + -(-(width - port) // (port - 1))

    wide, narrow = max(ports), min(ports)
    return min(slices(first, wide) * slices(second, narrow), slices(first, narrow) * slices(second, wide))


def adder_tree(terms: int, bits: int) -> int:
    """LUT of a balanced tree that adds `terms` numbers of `bits` bits: one for each bit of each sum."""
    total = 0
    while terms > 1:
        pairs = terms // 2
        bits += 1
        total += pairs * bits
        terms -= pairs
    return total


def estimate(info: ModelInfo, recipe: Recipe, options: HlsOptions | None = None, weights: Weights | None = None,
             settings: EnergySettings | None = None) -> ResourceReport:
    """DSP, LUT and block RAM of a model under a recipe.

    Args:
        weights: quantized weights by layer and parameter, shapes as in `info`: constants of a layer that is neither
            shared nor in block RAM count with the bits they really have.
        settings: whose formats are taken; those of the corrected mode when left out.

    Raises:
        CostError, QuantizerError: as `Pricer.price`.
    """
    pricer = Pricer(info, settings or corrected(), weights)
    report = pricer.price(recipe)
    return estimate_report(pricer, report.rows, recipe.name, options or HlsOptions())


def estimate_report(pricer: Pricer, rows: tuple[Row, ...], name: str, options: HlsOptions) -> ResourceReport:
    """As `estimate`, for rows that are priced already."""
    layers = tuple(_layer(node, row, pricer.weights.get(row.name, {}), options)
                   for node, row in zip(pricer.nodes, rows, strict=True))
    return ResourceReport(name=name, layers=layers, options=options)


def _layer(node: Node, row: Row, weights: Mapping[str, NDArray[Any]], options: HlsOptions) -> LayerResources:
    reuse = options.layer_reuse.get(row.name, options.reuse)
    empty = LayerResources(name=row.name, class_name=row.class_name, reuse=reuse)
    found = _products(node, row, weights)
    if not found:
        return msgspec.structs.replace(empty, note="" if _free(node) else "not in the estimate")
    if any(products.weight.floating or products.value.floating for products in found):
        return msgspec.structs.replace(empty, note="in floating point, which has no estimate")
    sums = np.sum([_built(products, options, reuse) for products in found], axis=0)
    multipliers, dsp, lut, ram = (int(value) for value in sums)
    return msgspec.structs.replace(empty, multipliers=multipliers, dsp=dsp, lut=lut, bram_18k=ram)


def _free(node: Node) -> bool:
    """True for wires, and for activations that hls4ml does not look up in a table."""
    return node.base in WIRING or (node.base in ACTIVATIONS and node.layer.activation in ("linear", "relu"))


def _products(node: Node, row: Row, weights: Mapping[str, NDArray[Any]]) -> list[_Products]:
    """Kinds of products of a layer; none for what has no weights or factors."""
    operation = row.operations.get("multiplier")
    if operation is None or (not node.layer.weights and node.base != "Multiply"):
        return []
    if node.base == "Multiply":
        return [_Products(node.output_size, 1, row.inputs[0], row.inputs[-1], operation)]
    if node.base == "BatchNormalization":
        scale = row.types.get("gamma", row.inputs[0])
        return [_Products(node.output_size, 1, scale, row.inputs[0], operation)]
    first = node.layer.weight(kernel_name(node.base))
    if first is None or "weight" not in row.types:
        return []
    places = max(1, node.output_size // (_filters(node) or 1)) if windows.slides(node) or node.base in _PLACED else 1
    several = node.layer.weight(DIRECTIONS[1] + first.parameter) is not None
    known = {} if several else weights
    found = [_Products(both_sizes(node, first.parameter), fan_in(node), row.types["weight"], row.inputs[0], operation,
                       places, known.get(first.parameter))]
    for parameter, source, name in (("pointwise", "between", "pointwise_multiplier"),
                                    ("recurrent_kernel", "state", "recurrent_multiplier")):
        second = node.layer.weight(parameter)
        if second is not None and source in row.types:
            terms = second.shape[-2]
            found.append(_Products(both_sizes(node, parameter), terms, row.types[parameter], row.types[source],
                                   row.operations[name], places, known.get(parameter)))
    return found


def _filters(node: Node) -> int:
    first = node.layer.config.get("data_format") == "channels_first"
    return (node.layer.output_shape[0] if first else node.layer.output_shape[-1]) or 1


def _built(products: _Products, options: HlsOptions, reuse: int) -> tuple[int, int, int, int]:
    """(multipliers, DSP, LUT, 18 kbit RAMs) of one kind of products."""
    copies = min(options.parallel, products.places)
    constant = options.strategy == LATENCY and reuse == 1
    if products.operation.implementation != "mul":
        built, lut = _gates(products, constant, reuse)
        return 0, 0, copies * lut, 0
    if constant and products.known is not None:
        built, dsp, lut = _constants(products, options)
    else:
        built, dsp, lut = _shared(products, options, reuse)
    ram = 0
    if options.strategy == RESOURCE and reuse > 1:
        width = products.weight.bits * -(-products.size // reuse)
        ram = -(-width // _RAM_WIDTH) * -(-reuse // _RAM_DEPTH)
    return copies * built, copies * dsp, copies * lut, ram


def _constants(products: _Products, options: HlsOptions) -> tuple[int, int, int]:
    """Every weight a constant of its own width; a power of two is a wire."""
    values = np.asarray(products.known, dtype=np.float64).reshape(-1)
    bits = significant_bits(values)
    widths = bits + (values < 0)
    large = (bits > 1) & (np.minimum(widths, products.value.bits) >= options.dsp_from)
    small = ~large & (bits > 0)
    dsp = sum(int(count) * dsp_tiles(int(width), products.value.bits, options.dsp_ports)
              for width, count in zip(*np.unique(widths[large], return_counts=True), strict=True))
    lut = int(bits[small].sum()) * format_width(products.value)
    terms = products.terms if products.size % products.terms == 0 else products.size
    for added in large.reshape(terms, -1).sum(axis=0):  # the outputs run fastest
        lut += adder_tree(int(added), products.operation.output.bits)
    return int((bits > 1).sum()), dsp, lut


def _shared(products: _Products, options: HlsOptions, reuse: int) -> tuple[int, int, int]:
    """Multipliers of the formats' widths, each for `reuse` products."""
    zeros = 0 if products.known is None else int((np.asarray(products.known) == 0).sum())
    built = -(-products.size // reuse) - (zeros // reuse if options.strategy == LATENCY else 0)
    sums = min(products.size // products.terms, built) or 1
    if min(products.weight.bits, products.value.bits) < options.dsp_from:
        return built, 0, built * format_width(products.weight) * format_width(products.value)
    tiles = dsp_tiles(products.weight.bits, products.value.bits, options.dsp_ports)
    return built, built * tiles, sums * adder_tree(-(-built // sums), products.operation.output.bits)


def _gates(products: _Products, constant: bool, reuse: int) -> tuple[int, int]:
    """(gates, LUT) where no multiplication is needed: a LUT a bit of each gate, none for constants; and the sums."""
    zeros = 0 if products.known is None or not constant else int((np.asarray(products.known) == 0).sum())
    built = -(-(products.size - zeros) // reuse)
    output = products.operation.output.bits
    gate = output * (products.weight.bits if products.operation.implementation == "shifter" else 1)
    sums = min(products.size // products.terms, built) or 1
    return built, (0 if constant else built * gate) + sums * adder_tree(-(-built // sums), output)
