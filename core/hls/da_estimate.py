"""What a candidate costs as distributed arithmetic: LUT, adder depth and delay from alkaid's cost model.

Each layer's constant matrix is solved and traced as the RTL flow does it, from arrays alone (no keras). A layer
takes milliseconds to seconds, so results are kept by what they depend on: exact weights, types and options.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from core.energy import windows
from core.energy.accumulator import fraction_bits
from core.energy.graph import ACTIVATIONS, WIRING, Node
from core.energy.operators import as_fixed
from core.energy.pricing import Pricer, Weights
from core.energy.rules_mac import kernel_name
from core.energy.settings import corrected
from core.energy.types import BINARY, TERNARY, DataType
from core.errors import ExportError
from core.events import Monitor
from core.files import write_atomically
from core.hls import rtl_alkaid, rtl_steps
from core.model_info import FOLDED, ModelInfo
from core.quant.quantizers import REPLACES, FixedPoint, Quantizer, quantizer
from core.quant.recipe import OUTPUT, Recipe

#: opcodes of alkaid that are an adder: sum, difference, sum of three or more
_ADDERS = frozenset({0, 1, 11})
#: kernels with more weights that are not zero take the fast solver unless told otherwise: 4 times faster, 3-5 % dearer
FAST_FROM = 2048
#: more bits behind the point mean that a weight was never quantized
MOST_FRACTION = 24
_FORMAT = 1
#: layers that are one constant matrix at each place
_MATRIX = frozenset({"Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"})


class DaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the trees are found. `hard_dc`: adder levels above the least; `fast`: None decides by the size."""

    hard_dc: int = rtl_alkaid.HARD_DC
    fast: bool | None = None


@dataclass(frozen=True)
class DaLayer:
    """One layer to be estimated, or one window of a convolution that is built at `places` places.

    Args:
        kernel: (inputs, outputs) exact weights; of a convolution its taps and channels are the inputs. None for a
            layer that only rectifies or quantizes one value.
        source: fixed-point type of every input.
        bias: (outputs,) exact values.
        activation: "linear" or "relu".
        output: type the result is rounded and saturated to.
        inbound: names of the layers that feed it, for the delay of the whole.
    """

    name: str
    kernel: np.ndarray | None
    source: FixedPoint
    bias: np.ndarray | None = None
    activation: str = "linear"
    output: FixedPoint | None = None
    places: int = 1
    inbound: tuple[str, ...] = ()


class LayerEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Estimate of one layer. `lut` and `adders` count all places; `depth` adders lie on the longest way.

    `latency_ns` is alkaid's delay model without wires; `computed` a time in seconds since 1970, `seconds` the work it
    was. `age_s` tells how long ago that is.
    """

    name: str
    lut: float
    adders: int
    depth: int
    latency_ns: float
    key: str
    computed: float
    seconds: float

    @property
    def age_s(self) -> float:
        """Seconds since it was computed."""
        return max(0.0, time.time() - self.computed)


class DaEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Estimate of a candidate: sums over its layers, depth and delay along the longest way through them.

    `notes` names what is not in it.
    """

    layers: tuple[LayerEstimate, ...]
    depth: int
    latency_ns: float
    notes: tuple[str, ...] = ()

    @property
    def lut(self) -> float:
        """LUT of all layers."""
        return sum(layer.lut for layer in self.layers)

    @property
    def adders(self) -> int:
        """Adders of all layers."""
        return sum(layer.adders for layer in self.layers)

    @property
    def age_s(self) -> float:
        """Seconds since the oldest of its layers was computed; 0 without layers."""
        return max((layer.age_s for layer in self.layers), default=0.0)

    def cycles(self, clock_ns: float) -> int:
        """Pipeline stages at a clock, each filled as the RTL flow fills it."""
        return max(1, math.ceil(self.latency_ns / (rtl_alkaid.STAGE_SHARE * clock_ns)))


class EstimateCache:
    """Estimates by key, in memory and, with a folder, as one small JSON file each; a damaged file is made anew."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._held: dict[str, LayerEstimate] = {}

    def get(self, key: str) -> LayerEstimate | None:
        """The estimate of that key, or None."""
        if key not in self._held and self.folder is not None:
            try:
                found = msgspec.json.decode((self.folder / f"{key}.json").read_bytes(), type=LayerEstimate)
            except (OSError, msgspec.DecodeError):
                return None
            if found.key == key:
                self._held[key] = found
        return self._held.get(key)

    def put(self, estimate: LayerEstimate) -> None:
        """Keep an estimate; a folder that cannot be written is passed over."""
        self._held[estimate.key] = estimate
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(self.folder / f"{estimate.key}.json", msgspec.json.encode(estimate))
            except OSError:
                return


#: kept as long as the process lives
MEMORY = EstimateCache()


def key_of(layer: DaLayer, options: DaOptions) -> str:
    """SHA-256 of all that an estimate depends on but the layer's name."""
    digest = hashlib.sha256(repr((_FORMAT, _version(), layer.source, layer.activation, layer.output,
                                  layer.places, options)).encode())
    for values in (layer.kernel, layer.bias):
        held = None if values is None else np.ascontiguousarray(values, dtype=np.float64) + 0.0  # one zero only
        digest.update(repr(None if held is None else held.shape).encode())
        digest.update(b"" if held is None else held.tobytes())
    return digest.hexdigest()


def estimate_layer(layer: DaLayer, options: DaOptions | None = None,
                   cache: EstimateCache | None = None) -> LayerEstimate:
    """Estimate of one layer, looked up where it was computed before.

    Raises:
        ExportError: the arrays do not fit, or hold values that are no multiples of a power of two.
        ToolMissingError: alkaid is not installed.
    """
    options, cache = options or DaOptions(), MEMORY if cache is None else cache
    _check(layer)
    key = key_of(layer, options)
    found = cache.get(key)
    if found is None:
        start = time.perf_counter()
        lut, adders, depth, latency = _measured(layer, options)
        found = LayerEstimate(name=layer.name, lut=lut * layer.places, adders=adders * layer.places, depth=depth,
                              latency_ns=latency, key=key, computed=time.time(), seconds=time.perf_counter() - start)
        cache.put(found)
    return msgspec.structs.replace(found, name=layer.name)


def estimate(layers: Iterable[DaLayer], options: DaOptions | None = None, cache: EstimateCache | None = None,
             monitor: Monitor | None = None, notes: Sequence[str] = ()) -> DaEstimate:
    """Estimate of a candidate from its layers in topological order.

    Raises:
        ExportError, ToolMissingError: as `estimate_layer`; Cancelled: asked to stop.
    """
    found: list[LayerEstimate] = []
    ends: dict[str, tuple[int, float]] = {}
    for layer in layers:
        if monitor is not None:
            monitor.check()
        one = estimate_layer(layer, options, cache)
        found.append(one)
        before = [ends[name] for name in layer.inbound if name in ends]
        ends[layer.name] = (one.depth + max((end[0] for end in before), default=0),
                            one.latency_ns + max((end[1] for end in before), default=0.0))
    return DaEstimate(layers=tuple(found), depth=max((end[0] for end in ends.values()), default=0),
                      latency_ns=max((end[1] for end in ends.values()), default=0.0), notes=tuple(notes))


def _version() -> str:
    rtl_alkaid._library()
    return metadata.version("alkaid")


def _exact(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all()) and fraction_bits(values) <= MOST_FRACTION


def _check(layer: DaLayer) -> None:
    kernel, bias = layer.kernel, layer.bias
    if kernel is not None and (kernel.ndim != 2 or (bias is not None and bias.shape != kernel.shape[1:])):
        raise ExportError(f"the weights of {layer.name!r} do not fit",
                          f"kernel {kernel.shape}, bias {None if bias is None else bias.shape}",
                          "Give a kernel of (inputs, outputs) and a bias of (outputs,)")
    for values in (kernel, bias):
        if values is not None and not _exact(values):
            raise ExportError(f"the weights of {layer.name!r} have no estimate",
                              "they are not multiples of a power of two",
                              "Quantize them with alpha=1, another power of two, or alpha='auto_po2'")


def _measured(layer: DaLayer, options: DaOptions) -> tuple[float, int, int, float]:
    """(LUT, adders, adder depth, ns) of one place."""
    solver: dict[str, Any] = {"hard_dc": options.hard_dc}
    fast = options.fast
    if fast is None:
        fast = layer.kernel is not None and int(np.count_nonzero(layer.kernel)) > FAST_FROM
    if fast:
        solver |= {"decompose_dc": -1, "search_all_decompose_dc": False}
    logic = _logic(layer, solver)
    depths: list[int] = []
    for op in logic.ops:
        depths.append(max((depths[place] for place in op.addr), default=0) + (op.opcode in _ADDERS))
    used = [place for place in logic.out_idxs if place >= 0]
    adders = sum(op.opcode in _ADDERS for op in logic.ops)
    return float(logic.cost), adders, max((depths[place] for place in used), default=0), float(logic.latency[1])


def _logic(layer: DaLayer, solver: dict[str, Any]) -> Any:
    """alkaid's logic of one place, adders of three inputs included, as the RTL flow writes it."""
    trace, rtl_model = rtl_alkaid._library()
    kernel, output = layer.kernel, layer.output
    shape = (1 if kernel is None else kernel.shape[0],)
    inputs = value = trace.FVArray.from_kif(*rtl_alkaid._kif(layer.source, shape), hwconf=trace.HWConfig(1, 1, -1),
                                            solver_options=solver)
    if kernel is not None:
        value = value @ kernel
    value = value if layer.bias is None else value + layer.bias
    value = rtl_steps.each(value, rtl_steps.rectified) if layer.activation == "relu" else value
    value = value if output is None else rtl_steps.each(value, lambda one: rtl_alkaid.quantized(one, output))
    with rtl_alkaid._sound_passes():
        logic = trace.trace(inputs, value)
        return rtl_model.add_surrogate(rtl_model.dead_code_elimin(rtl_model.fuse_ternary_adders(logic)))


def estimate_candidate(info: ModelInfo, recipe: Recipe, weights: Weights, options: DaOptions | None = None,
                       cache: EstimateCache | None = None, monitor: Monitor | None = None) -> DaEstimate:
    """Estimate of a model under a recipe, built at every place as the RTL flow builds it.

    Args:
        weights: quantized weights by layer and parameter, shapes as in `info`. Layers that are not there, and what
            has no estimate, are named in the notes.

    Raises:
        ExportError, ToolMissingError, Cancelled: as `estimate`; CostError, QuantizerError: as `price`.
    """
    layers, notes = layers_of(info, recipe, weights)
    return estimate(layers, options, cache, monitor, notes)


def layers_of(info: ModelInfo, recipe: Recipe, weights: Weights) -> tuple[list[DaLayer], list[str]]:
    """(what can be estimated, one sentence for each thing that cannot), in topological order."""
    pricer = Pricer(info, corrected(), weights)
    return _Reader(pricer, recipe, weights).read()


class _Reader:
    """Walks the priced layers; an activation right behind a layer is done with it."""

    def __init__(self, pricer: Pricer, recipe: Recipe, weights: Weights) -> None:
        self.nodes, self.rows = pricer.nodes, pricer.price(recipe).rows
        self.recipe, self.weights = recipe, weights
        self.ends: list[tuple[str, ...]] = []
        self.layers: list[DaLayer] = []
        self.notes: list[str] = []

    def read(self) -> tuple[list[DaLayer], list[str]]:
        """All layers and notes."""
        for number, node in enumerate(self.nodes):
            before = tuple(name for parent in node.parents if parent >= 0 for name in self.ends[parent])
            made = None if self._absorbed(number) or node.base in WIRING else self._layer(node, number, before)
            self.ends.append((made.name,) if made else before)
            if made:
                self.layers.append(made)
        return self.layers, self.notes

    def _absorbed(self, number: int) -> bool:
        """True for an activation that the layer before it takes along."""
        node = self.nodes[number]
        parent = node.parents[0] if node.parents else -1
        return parent >= 0 and node.base in ACTIVATIONS and self._follower(parent) is node and \
            self.nodes[parent].layer.name in self.weights

    def _follower(self, number: int) -> Node | None:
        """The activation that alone reads a layer of weights without activation of its own."""
        node = self.nodes[number]
        readers = [other for other in self.nodes if number in other.parents]
        plain = node.layer.activation == "linear" and self._output(node.layer.name) is None
        return readers[0] if plain and _is_matrix(node) and len(readers) == 1 \
            and readers[0].base in ACTIVATIONS else None

    def _output(self, name: str) -> Quantizer | None:
        text = self.recipe.text(name, OUTPUT)
        return quantizer(text) if text else None

    def _layer(self, node: Node, number: int, before: tuple[str, ...]) -> DaLayer | None:
        name, source = node.layer.name, _fixed(self.rows[number].inputs[0])
        held = self.weights.get(name, {})
        why = self._why_not(node, source)
        if why or source is None:
            self.notes.append(f"{name}: {why}")
            return None
        activation, output = self._end(self._follower(number) or node)
        if node.base in ACTIVATIONS:
            return DaLayer(name, None, source, None, activation, output, node.output_size, before)
        kernel, places = _matrix(node, np.asarray(held[kernel_name(node.base)], dtype=np.float64))
        bias = np.asarray(held["bias"], dtype=np.float64) if "bias" in held else None
        return DaLayer(name, kernel, source, bias, activation, output, places, before)

    def _why_not(self, node: Node, source: FixedPoint | None) -> str:
        held = self.weights.get(node.layer.name, {})
        if not _is_matrix(node) and node.base not in ACTIVATIONS:
            return f"{node.layer.class_name} has no estimate"
        if source is None:
            return "its input is in floating point"
        wanted = {kernel_name(node.base)} | ({"bias"} if node.layer.weight("bias") or node.base in FOLDED else set())
        return "its quantized weights are not known" if _is_matrix(node) and not wanted <= set(held) else ""

    def _end(self, node: Node) -> tuple[str, FixedPoint | None]:
        """(activation, output type) at the end of a layer."""
        chosen, activation = self._output(node.layer.name), node.layer.activation
        output = chosen.fixed_point() if chosen else None
        if chosen is not None and output is None:
            self.notes.append(f"{node.layer.name}: {chosen} has no estimate")
        if activation in REPLACES.get(chosen.spec.kind if chosen else "", ()):
            return "linear", output
        if activation not in ("linear", "relu"):
            self.notes.append(f"{node.layer.name}: {activation} has no estimate")
        return ("relu" if activation == "relu" else "linear"), output


def _fixed(kind: DataType) -> FixedPoint | None:
    """The fixed-point type that holds a format, None for a floating-point one."""
    if kind.floating:
        return None
    if kind.mode in (BINARY, TERNARY):
        return FixedPoint(True, 2, 1, True)
    held = as_fixed(kind)
    return FixedPoint(held.signed, held.bits, held.integer, held.symmetric)


def _is_matrix(node: Node) -> bool:
    return node.base.replace("Batchnorm", "") in _MATRIX


def _matrix(node: Node, kernel: np.ndarray) -> tuple[np.ndarray, int]:
    """((inputs, outputs) of one place, number of places)."""
    out = tuple(side or 1 for side in node.layer.output_shape)
    if node.base in ("Dense", "DenseBatchnorm"):
        return kernel, math.prod(out[:-1])
    taps, inner, filters = math.prod(kernel.shape[:-2]), *kernel.shape[-2:]
    held = kernel.reshape(taps, inner, filters)
    depthwise = kernel_name(node.base) == "depthwise"
    wide = inner if depthwise else windows.channels(node)
    made = inner * filters if depthwise else filters
    groups = wide if depthwise else wide // inner
    matrix = np.zeros((taps, wide, made))
    for group in range(groups):
        rows = slice(group, group + 1) if depthwise else slice(group * inner, (group + 1) * inner)
        columns = slice(group * made // groups, (group + 1) * made // groups)
        matrix[:, rows, columns] = held[:, rows, :] if depthwise else held[:, :, columns]
    return matrix.reshape(taps * wide, made), math.prod(out) // made
