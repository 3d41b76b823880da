"""The one place that knows alkaid (0.8.2): a network to pipelined Verilog by distributed arithmetic.

Constant multiplications become adder trees, so no DSP is used. Everything alkaid-specific stays in here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ExportError, ToolMissingError
from core.hls.network import Network, Node
from core.quant.quantizers import FixedPoint

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
    return trace.trace(source, values[network.result])


def _apply(node: Node, values: dict[str, Any]) -> Any:
    value = values[node.inbound[0]]
    if node.op == "reshape":
        return value.reshape(node.shape)
    if node.op == "dense":
        value = value @ node.weights["kernel"]
        if "bias" in node.weights:
            value = value + node.weights["bias"]
    if node.activation == "relu":
        value = value.relu()
    if node.output is None:
        return value
    signed, integer, fraction = int(node.output.signed), node.output.integer, node.output.fraction
    overflow = "SAT_SYM" if node.output.symmetric else "SAT"
    return value.quantize(signed, integer, fraction, overflow, "RND_CONV")


def _kif(fixed: FixedPoint | None, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert fixed is not None  # read_network has checked it
    return (np.full(shape, int(fixed.signed)), np.full(shape, fixed.integer), np.full(shape, fixed.fraction))


def write_rtl(network: Network, directory: Path, part: str, clock_ns: float) -> Rtl:
    """Trace, pipeline to the clock and write Verilog, constraints and Vivado scripts into `directory`."""
    _, rtl_model = _library()
    logic = trace_network(network)
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
