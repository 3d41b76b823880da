"""The one place that knows alkaid (0.8.2): a network to pipelined Verilog by distributed arithmetic.

Constant multiplications become adder trees, so no DSP is used. Everything alkaid-specific stays in here.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from core.errors import ExportError, ToolMissingError
from core.hls.provable import check_bits
from core.hls.rtl_functions import looked_up
from core.hls.rtl_options import DEPTH_LIMIT, STAGE_SHARE, RtlOptions
from core.hls.rtl_steps import SOLVER_BITS, array_like, bent, constant, is_constant, narrow, rectified, step
from core.quant.quantizers import FixedPoint

if TYPE_CHECKING:  # the estimate of a candidate needs no keras
    from core.hls.network import Network, Node

TOP = "quantiscope_top"
#: folder of the Verilog beside VHDL
TWIN = "verilog"
#: bits of an input of alkaid's solver, where the kernel is handed to it in parts
WIDEST_INPUT = 24
#: names that other modules of this flow know
HARD_DC = DEPTH_LIMIT
__all__ = ["HARD_DC", "STAGE_SHARE", "TOP", "Rtl", "RtlOptions", "trace_network", "write_rtl"]


@dataclass(frozen=True)
class Rtl:
    """Written RTL. `cycles` from input to output; `lut` is alkaid's cost, `registers` counts pipeline bits.

    `stages` are the modules between the registers; `logic` computes on events what the RTL does. Beside VHDL stands
    `twin`, the same logic in Verilog, which is what Yosys reads.
    """

    directory: Path
    top: str
    stages: tuple[str, ...]
    cycles: int
    lut: float
    registers: int
    model: Any
    logic: Any
    options: RtlOptions
    twin: Rtl | None = None

    @property
    def verilog(self) -> Rtl:
        """This RTL in Verilog."""
        return self.twin or self

    @property
    def extra_steps(self) -> int:
        """Clock cycles to run on after the last event went in, until its result is out."""
        return max(max(int(port.schedule.bias) for port in self.model.fsm.out_signals) - 1, 0)

    @property
    def stage_ns(self) -> float:
        """Longest delay of a stage in alkaid's model, which knows no wires, in ns."""
        ends = sorted(float(logic.latency[1]) for logic in self.model.fsm.logic.values())
        return max((end - start for start, end in zip([0.0, *ends], ends, strict=False)), default=0.0)


def _library() -> Any:
    try:
        import alkaid.codegen.rtl.rtl_model as rtl_model
        import alkaid.trace as trace
    except ImportError:
        raise ToolMissingError("alkaid is not installed", "it writes the RTL",
                               "Install it with: python -m pip install alkaid==0.8.2 (it has wheels for Linux x86-64"
                               " and macOS on Arm only); the hls4ml flow needs no alkaid") from None
    return trace, rtl_model


def trace_network(network: Network, options: RtlOptions | None = None) -> Any:
    """alkaid's logic for a network: callable on events by `.predict`, with `.cost` (LUT) and `.latency` (ns).

    Raises:
        ExportError: a node that cannot be traced.
    """
    trace, _ = _library()
    source, values = _traced(network, options or RtlOptions())
    with _sound_passes():
        return trace.trace(source, _in_a_row([values[name] for name in network.results]))


def trace_layers(network: Network, names: Sequence[str], options: RtlOptions) -> tuple[Any, list[float]]:
    """(logic that gives the values of several nodes, one after the other; delay in ns at the end of each)."""
    trace, _ = _library()
    source, values = _traced(network, options)
    with _sound_passes():
        logic = trace.trace(source, _in_a_row([values[name] for name in names]))
    return logic, [max(float(element.latency) for element in np.asarray(values[name]).ravel()) for name in names]


def _in_a_row(values: Sequence[Any]) -> Any:
    """Several arrays as one, flat, one after the other; one stays as it is."""
    if len(values) == 1:
        return values[0]
    return array_like(np.concatenate([np.asarray(value).ravel() for value in values]), values[0])


def _traced(network: Network, options: RtlOptions) -> tuple[Any, dict[str, Any]]:
    """(the inputs in a row, the value of every node) in alkaid's arithmetic."""
    trace, _ = _library()
    nodes = {node.name: node for node in network.nodes}
    entries = [nodes[name] for name in network.entries]
    if not entries:
        raise ExportError("the model has no quantized input", remedy="Quantize it by a recipe first")
    kifs = [_kif(node.output, node.shape) for node in entries]
    kif = kifs[0] if len(kifs) == 1 else tuple(np.concatenate([part.ravel() for part in same])
                                                           for same in zip(*kifs, strict=True))
    source: Any = trace.FVArray.from_kif(*kif, hwconf=trace.HWConfig(1, 1, -1), solver_options=options.solver())
    values: dict[str, Any] = {entries[0].name: source}
    if len(entries) > 1:
        ends = np.cumsum([0, *(int(np.prod(node.shape)) for node in entries)])
        values = {node.name: source[start:end].reshape(node.shape)
                  for node, start, end in zip(entries, ends, ends[1:], strict=False)}
    for node in network.nodes:
        if node.op not in ("input", "quantize"):
            values[node.name] = _apply(node, values, source)
    return source, values


def _apply(node: Node, values: dict[str, Any], source: Any) -> Any:
    if node.op == "constant":
        first = np.asarray(source).ravel()[0]
        return array_like(np.array([constant(v, first) for v in node.weights["values"].ravel()], dtype=object)
                          .reshape(node.shape), source)
    value = values[node.inbound[0]]
    if node.op == "reshape":
        return value.reshape(node.shape)
    _check_product(node, value)
    if node.op != "activation":
        value = step(node, [values[name] for name in node.inbound])
        if "bias" in node.weights:
            value = value + node.weights["bias"]
    return _ended(node, value)


def _check_product(node: Node, value: Any) -> None:
    """Raise ExportError where inputs and weights are both wider than alkaid 0.8.2 computes with, in float32."""
    if "kernel" not in node.weights or len(narrow(node.weights["kernel"])) == 1:
        return
    bits = max(int(sum(element.kif)) for element in np.asarray(value).ravel())
    if bits > WIDEST_INPUT:
        raise ExportError(f"layer {node.name!r} has inputs of {bits} bits and weights of more than {SOLVER_BITS}",
                          "alkaid cannot multiply both exactly",
                          "Give it weights of fewer bits, or quantize the output of the layer before it")


def _ended(node: Node, value: Any) -> Any:
    """The value through the node's activation and quantizer, or its function."""
    raw = np.asarray(value)
    check_bits(node.name, max((int(sum(element.kif)) for element in raw.ravel()), default=0))
    out = np.empty(raw.shape, dtype=object)
    known: dict[object, Any] = {}
    slopes = None if node.slope is None else np.broadcast_to(np.asarray(node.slope, float), raw.shape)
    for place, element in np.ndenumerate(raw):
        if node.function is not None:
            out[place] = looked_up(element, *node.function.at(place), known, node.name)
            continue
        if node.activation == "relu":
            element = rectified(element)
        elif node.activation == "leaky":
            assert slopes is not None
            element = bent(element, float(slopes[place]), node.ceiling)
        fixed: Any = node.output[place] if isinstance(node.output, np.ndarray) else node.output
        out[place] = element if fixed is None else quantized(element, fixed)
    return array_like(out, value)


def quantized(element: Any, fixed: FixedPoint) -> Any:
    """One value saturated to a fixed-point type and rounded half to even.

    alkaid 0.8.2 has a mode for it that is wrong where adding half a step changes the number of fraction
    bits, or where the result never changes; so it is built here from its slices of bits. Saturation comes
    first: the ends of the type lie on its grid, so that rounding does not leave it again.
    """
    ends = [_rounded(end, fixed) for end in (element.low, element.high)]
    if ends[0] == ends[1]:
        return constant(ends[0], element)  # rounding keeps the order, so everything between is the same
    element = element.max_of(fixed.minimum).min_of(fixed.maximum)
    return element if element.kif[2] <= fixed.fraction else _half_even(element, fixed.fraction)


def _rounded(number: float, fixed: FixedPoint) -> float:
    size = 2.0**-fixed.fraction
    return float(np.clip(np.rint(number / size) * size, fixed.minimum, fixed.maximum))


def _half_even(element: Any, fraction: int) -> Any:
    """Half a step up and cut; then, where nothing was cut off (a tie), an odd last bit is cleared."""
    size = 2.0**-fraction
    shifted = element + size / 2
    signed, integer, bits_below = (int(n) for n in shifted.kif)
    integer = max(integer, 2 - fraction)
    upper = shifted.quantize(signed, integer, fraction - 1)
    if bits_below <= fraction:
        return upper  # every value is a tie
    odd = shifted.quantize(0, 1 - fraction, fraction)
    rest = shifted.quantize(0, -fraction, bits_below)
    if is_constant(rest):
        return shifted.quantize(signed, integer, fraction) if rest.low else upper
    no_tie = rest.unary_bit_op("any") * size
    if is_constant(odd):
        return upper + no_tie if odd.low else upper
    return upper + (no_tie & odd)


@contextmanager
def _sound_passes() -> Iterator[None]:
    """Leaves out one of alkaid's rewrites while logic is made.

    Version 0.8.2 takes a slice of one bit for that of the highest bit without looking at the shift of what
    it is sliced from, and then reads another bit. The rewrite saves nothing that counts.
    """
    passes: Any = importlib.import_module("alkaid.trace.passes.canon")
    kept = passes.canonicalize_msb_wraps
    passes.canonicalize_msb_wraps = lambda logic: logic
    try:
        yield
    finally:
        passes.canonicalize_msb_wraps = kept


def _kif(fixed: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(signed, integer, fraction) of each place of an input, of one type or of one for each place."""
    types = np.broadcast_to(np.asarray(fixed, dtype=object), shape)
    return tuple(np.array([int(getattr(t, what)) for t in types.ravel()]).reshape(shape)  # type: ignore[return-value]
                 for what in ("signed", "integer", "fraction"))


def write_rtl(network: Network, directory: Path, part: str, clock_ns: float, options: RtlOptions | None = None) -> Rtl:
    """Trace, pipeline to the clock and write RTL, constraints and Vivado scripts into `directory`.

    Raises:
        ExportError: a node cannot be traced, an option is out of range, or all outputs are 0 whatever goes in.
        ToolMissingError: alkaid is not installed.
    """
    options = options or RtlOptions()
    options.check()
    logic = trace_network(network, options)
    if not any(sum(_kif_of(interval)) > 0 for interval in logic.out_qint):
        raise ExportError("the network gives 0 for every event, so that there is nothing to make firmware of",
                          "its quantizers round the weights of a layer to 0",
                          "Give that layer more bits, or train the recipe")
    twin = None
    if options.language == "vhdl":
        twin = _written(logic, directory / TWIN, part, clock_ns, msgspec.structs.replace(options, language="verilog"))
    return replace(_written(logic, directory, part, clock_ns, options), twin=twin)


def _written(logic: Any, directory: Path, part: str, clock_ns: float, options: RtlOptions) -> Rtl:
    """Pipelined logic in files."""
    _, rtl_model = _library()
    pipeline: dict[str, Any] = {"n_stages": options.stages} if options.stages else {
        "latency_cutoff": options.cutoff_ns(clock_ns)}
    for pattern in ("logic*.v*", f"{TOP}*.v*"):
        for old in (directory / "src").glob(pattern):
            old.unlink()  # an earlier export may have had more stages, or another language
    with _sound_passes():
        model = rtl_model.RTLModel(logic, directory, prj_name=TOP, flavor=options.language, clock_period=clock_ns,
                                   part_name=part, ternary_fuse=options.ternary_adders, **pipeline)
        model.write()
    stages = tuple(sorted((p.stem for p in (directory / "src").glob(f"logic*.{options.suffix}")),
                          key=lambda s: int(s[5:])))
    return Rtl(directory, TOP, stages, int(model.latency or 0), float(model._comb.cost), int(model.reg_bits), model,
               logic, options)


@dataclass(frozen=True)
class Stage:
    """One pipeline stage on one event: what it is given and should answer, in what types; its end in ns."""

    name: str
    inputs: np.ndarray
    input_kifs: list[tuple[int, int, int]]
    outputs: np.ndarray
    output_kifs: list[tuple[int, int, int]]
    end: float


def stage_values(rtl: Rtl, inputs: np.ndarray) -> list[Stage]:
    """Every pipeline stage on one event of quantized inputs (1, inputs), by the logic the RTL was written from."""
    stages, value = [], np.asarray(inputs, np.float64).reshape(1, -1)
    for name, logic in rtl.model.fsm.logic.items():
        answer = np.asarray(logic.predict(value)).reshape(1, -1)
        stages.append(Stage(name, value[0], [_kif_of(q) for q in logic.inp_qint], answer[0],
                            [_kif_of(q) for q in logic.out_qint], float(logic.latency[1])))
        value = answer
    return stages


def _kif_of(interval: Any) -> tuple[int, int, int]:
    signed, integer, fraction = interval.kif
    return int(signed), int(integer), int(fraction)


def simulator_sources(rtl: Rtl) -> tuple[str, str]:
    """(top module to simulate, name of the library to build) for `attach_simulator`."""
    return f"{rtl.top}_wrapper", str(uuid.uuid4())


def attach_simulator(rtl: Rtl, stamp: str, events: np.ndarray) -> np.ndarray:
    """Outputs of the built simulation for events (events, inputs), one new event each clock."""
    rtl.model._load_lib(stamp)
    return np.asarray(rtl.model.predict(np.ascontiguousarray(events.reshape(len(events), -1), dtype=np.float64)))


def library_name(stamp: str) -> str:
    """The file name alkaid looks for in sim/."""
    return f"lib{TOP}_fsm_{stamp}.so"
