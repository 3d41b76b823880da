"""The one place that knows alkaid (0.8.2): a network to pipelined Verilog by distributed arithmetic.

Constant multiplications become adder trees, so no DSP is used. Everything alkaid-specific stays in here.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ExportError, ToolMissingError
from core.hls.rtl_steps import constant, each, is_constant, rectified, step
from core.quant.quantizers import FixedPoint

if TYPE_CHECKING:  # the estimate of a candidate needs no keras
    from core.hls.network import Network, Node

TOP = "quantiscope_top"
#: depth against area in alkaid's solver: extra adder levels allowed; unbounded doubles the latency
HARD_DC = 2
#: part of the clock period that a stage may take in alkaid's delay model; leaves room for routing
STAGE_SHARE = 0.8


@dataclass(frozen=True)
class Rtl:
    """Written RTL. `cycles` from input to output; `lut` is alkaid's cost, `registers` counts pipeline bits."""

    directory: Path
    top: str
    stages: tuple[str, ...]
    cycles: int
    lut: float
    registers: int
    model: Any
    logic: Any


def _library() -> Any:
    try:
        import alkaid.codegen.rtl.rtl_model as rtl_model
        import alkaid.trace as trace
    except ImportError:
        raise ToolMissingError("alkaid is not installed", "it writes the RTL",
                               "Install it with: python -m pip install alkaid==0.8.2 (Linux x86-64 or macOS);"
                               " the hls4ml flow needs no alkaid") from None
    return trace, rtl_model


def trace_network(network: Network) -> Any:
    """alkaid's logic for a network: callable on events by `.predict`, with `.cost` (LUT) and `.latency` (ns).

    Raises:
        ExportError: a node that cannot be traced.
    """
    trace, _ = _library()
    values: dict[str, Any] = {}
    source: Any = None
    for node in network.nodes:
        if node.op == "input":
            continue
        if node.op == "quantize":
            kif = _kif(node.output, node.shape)
            source = trace.FVArray.from_kif(*kif, hwconf=trace.HWConfig(1, 1, -1), solver_options={"hard_dc": HARD_DC})
            values[node.name] = source
            continue
        values[node.name] = _apply(node, values)
    if source is None:
        raise ExportError("the model has no quantized input", remedy="Quantize it by a recipe first")
    with _sound_passes():
        return trace.trace(source, values[network.result])


def _apply(node: Node, values: dict[str, Any]) -> Any:
    value = values[node.inbound[0]]
    if node.op == "reshape":
        return value.reshape(node.shape)
    if node.op != "activation":
        value = step(node, [values[name] for name in node.inbound])
        if "bias" in node.weights:
            value = value + node.weights["bias"]
    if node.activation == "relu":
        value = each(value, rectified)
    fixed = node.output
    return value if fixed is None else each(value, lambda element: quantized(element, fixed))


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


def _kif(fixed: FixedPoint | None, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert fixed is not None  # read_network has checked it
    return (np.full(shape, int(fixed.signed)), np.full(shape, fixed.integer), np.full(shape, fixed.fraction))


def write_rtl(network: Network, directory: Path, part: str, clock_ns: float) -> Rtl:
    """Trace, pipeline to the clock and write Verilog, constraints and Vivado scripts into `directory`."""
    _, rtl_model = _library()
    logic = trace_network(network)
    with _sound_passes():
        model = rtl_model.RTLModel(logic, directory, prj_name=TOP, latency_cutoff=STAGE_SHARE * clock_ns,
                                   clock_period=clock_ns, part_name=part)
        model.write()
    stages = tuple(sorted((p.stem for p in (directory / "src").glob("logic*.v")), key=lambda s: int(s[5:])))
    return Rtl(directory, TOP, stages, int(model.latency or 0), float(model._comb.cost), int(model.reg_bits), model,
               logic)


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
