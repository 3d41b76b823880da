"""One export: write the project, prove it against Keras, synthesize it, and leave a folder that stands alone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from core.errors import ExportError
from core.events import Monitor
from core.files import write_atomically
from core.hls import diagnosis, exactness, hls4ml_flow, rtl_alkaid, simulate, yosys
from core.hls.network import Network, logits_model, read_network
from core.hls.parts import Part, find_part
from core.hls.report import Exactness, ExportReport, FlowCheck, SynthesisReport
from core.hls.rtl_options import RtlOptions
from core.hls.tools import find_tool, require
from core.quant import evaluation
from core.quant.layers import QInput

FLOWS = {"hls4ml": ("c++",), "rtl": ("rtl",), "both": ("c++", "rtl")}
HLS_FOLDER, RTL_FOLDER = "hls4ml", "rtl"


@dataclass(frozen=True)
class ExportOptions:
    """What to export: `flow` is "hls4ml", "rtl" or "both"; clock in ns; `events` to prove it on; RTL's own settings."""

    flow: str = "both"
    part: str = "xcvu9p-flgb2104-2L-e"
    clock_ns: float = 5.0
    events: int = 2000
    synthesize: bool = True
    rtl: RtlOptions = field(default_factory=RtlOptions)


def export(model: keras.Model, x: np.ndarray, options: ExportOptions, directory: Path,
           monitor: Monitor | None = None, candidate_id: str = "") -> ExportReport:
    """Export a quantized model and prove it on events.

    Args:
        model: from `core.quant.quantize`, with its weights.
        x: (events, ...) unquantized inputs; the first `options.events` are used.
        directory: where it goes; report.json, exactness.json and README.md are written last.

    A flow with mismatches is reported, never hidden; synthesis is of the RTL.

    Raises:
        ExportError: flow, part or model cannot be exported; nothing is written then.
        ToolMissingError, ToolFailedError: a tool is missing or failed; its log stays in the directory.
        Cancelled: asked to stop.
    """
    monitor = monitor or Monitor()
    flows = _flows(options)
    part = find_part(options.part)
    network = read_network(model)
    if "c++" in flows:
        hls4ml_flow.check(model)
    events = x[: options.events]
    if not len(events):
        raise ExportError("there are no events to prove the export on", remedy="Give at least one event")
    directory.mkdir(parents=True, exist_ok=True)
    work = _Work(model, network, events, options, part, directory, monitor)
    checks = {flow: work.check(flow) for flow in flows}
    report = ExportReport(
        candidate_id=candidate_id or directory.name.rsplit("-", 1)[0], flow=options.flow, directory=str(directory),
        part=part.name, clock_ns=options.clock_ns, created=datetime.now(UTC).isoformat(timespec="seconds"),
        exactness=exactness.combined(checks, work.note()), estimate=work.estimate(),
        synthesis=work.synthesis() if options.synthesize and "rtl" in flows else None,
        tools=_versions(), warnings=work.warnings)
    _leave(report, directory)
    return report


def _flows(options: ExportOptions) -> tuple[str, ...]:
    try:
        flows = FLOWS[options.flow]
    except KeyError:
        raise ExportError(f"unknown export flow {options.flow!r}", remedy=f"Use one of: {', '.join(FLOWS)}") from None
    if not 0.5 <= options.clock_ns <= 1000:
        raise ExportError(f"a clock period of {options.clock_ns} ns is out of range", remedy="Give 0.5 to 1000 ns")
    needed = {"c++": ("hls4ml", "g++"), "rtl": ("alkaid", "verilator", "perl", "g++", "make")}
    for flow in flows:
        require(*needed[flow])
    if options.synthesize and "rtl" in flows:
        require("yosys")
    options.rtl.check()
    return flows


class _Work:
    """The steps of one export, each done once."""

    def __init__(self, model: keras.Model, network: Network, events: np.ndarray, options: ExportOptions, part: Part,
                 directory: Path, monitor: Monitor) -> None:
        self._model, self._network, self._events, self._options = model, network, events, options
        self._part, self._directory, self._monitor = part, directory, monitor
        self._exported = logits_model(model)[0]
        monitor.stage("reference")
        self._reference = evaluation.predict(self._exported, events, "float64").reshape(len(events), -1)
        single = evaluation.predict(self._exported, events).reshape(len(events), -1)
        self._single_differs = int((single.astype(np.float64) != self._reference).sum())
        self._rtl: rtl_alkaid.Rtl | None = None
        self.warnings: list[str] = []

    def note(self) -> str:
        """What was compared, in words."""
        text = "Keras computed in float64, where sums of fixed-point products are exact"
        if self._network.softmax:
            text += "; the final softmax is left out of the firmware, which keeps the order of the classes"
        if self._single_differs:
            text += f"; Keras in float32 rounds {self._single_differs} of {self._reference.size} outputs differently"
        return text + "."

    def check(self, flow: str) -> FlowCheck:
        """Write the project of one flow, run the events through it, and compare."""
        started = time.monotonic()
        found = self._emulate() if flow == "c++" else self._simulate()
        result = exactness.compare(flow, self._reference, found, time.monotonic() - started)
        verdict = "no mismatch" if not result.mismatches else f"{result.mismatches} MISMATCHES"
        self._monitor.log(f"{flow}: {result.values} values on {result.events} events, {verdict}",
                          "error" if result.mismatches else "info", "exactness")
        if result.first is None:
            return result
        source = self._directory / HLS_FOLDER if flow == "c++" else self._written()
        return diagnosis.diagnosed(result, self._exported, self._network, self._events[result.first.event], source,
                                   self._monitor)

    def _emulate(self) -> np.ndarray:
        folder = self._directory / HLS_FOLDER
        self._monitor.stage("hls4ml project")
        graph = hls4ml_flow.write_project(self._model, folder, self._part.name, self._options.clock_ns, self._monitor)
        write_atomically(folder / "tensor_types.json", _json(hls4ml_flow.tensor_types(graph)))
        self._monitor.stage("c++ emulation")
        return hls4ml_flow.emulate(graph, folder, self._events, self._monitor)

    def _written(self) -> rtl_alkaid.Rtl:
        if self._rtl is None:
            self._monitor.stage("rtl")
            self._rtl = rtl_alkaid.write_rtl(self._network, self._directory / RTL_FOLDER, self._part.name,
                                             self._options.clock_ns, self._options.rtl)
        return self._rtl

    def _simulate(self) -> np.ndarray:
        rtl = self._written()
        self._monitor.stage("rtl simulation")
        if rtl.twin is not None and not simulate.simulates_vhdl():
            self.warnings.append(simulate.NOT_SIMULATED)
        entry = next(layer for layer in self._exported.layers if isinstance(layer, QInput))
        assert entry.output_quantizer is not None  # read_network has checked it
        quantized = np.asarray(entry.output_quantizer(self._events.astype(np.float64)))
        return simulate.simulate(rtl, quantized, self._monitor)

    def estimate(self) -> SynthesisReport | None:
        """alkaid's own figures, before synthesis."""
        if self._rtl is None:
            return None
        rtl, clock = self._rtl, self._options.clock_ns
        lut = round(rtl.lut)
        return SynthesisReport(
            tool="alkaid", tool_version=find_tool("alkaid").version, stage="estimate", part=self._part.name,
            clock_ns=clock, latency_cycles=rtl.cycles, latency_ns=rtl.cycles * clock, ii=1, dsp=0, lut=lut,
            ff=rtl.registers, percent=self._part.percent(dsp=0, lut=lut, ff=rtl.registers),
            note=f"Cost model before synthesis; {rtl.cycles} pipeline stages of at most {rtl.stage_ns:.2f} ns in"
                 " alkaid's delay model, without wires. DSP 0: distributed arithmetic.")

    def synthesis(self) -> SynthesisReport:
        """Map the RTL with Yosys."""
        self._monitor.stage("synthesis")
        rtl = self._written().verilog
        return yosys.synthesize(rtl.directory, rtl.top, rtl.stages, rtl.cycles, self._part, self._options.clock_ns,
                                self._monitor)


def _versions() -> dict[str, str]:
    tools = (find_tool(name) for name in ("hls4ml", "alkaid", "verilator", "yosys", "g++"))
    return {tool.name: tool.version for tool in tools if tool.found}


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def _leave(report: ExportReport, directory: Path) -> None:
    """Report, proof and instructions beside the project."""
    if report.exactness:
        write_atomically(directory / "exactness.json", _json(report.exactness))
    write_atomically(directory / "README.md", _readme(report).encode())
    write_atomically(directory / "report.json", _json(report))


def _readme(report: ExportReport) -> str:
    proof: Exactness | None = report.exactness
    lines = [f"# Firmware of candidate {report.candidate_id}", "",
             f"Written by Quantiscope on {report.created} for {report.part} at {report.clock_ns:g} ns.", ""]
    if proof:
        state = "agree" if proof.verified else "DO NOT AGREE"
        lines += [f"Keras and {', '.join(proof.flows)} {state}: {proof.mismatches} mismatching values on"
                  f" {proof.events} events. {proof.note}", ""]
    lines += ["Tools: " + ", ".join(f"{name} {version}" for name, version in report.tools.items()), ""]
    if report.flow in ("hls4ml", "both"):
        lines += [f"- C++ emulation: `cd {HLS_FOLDER} && bash build_lib.sh`",
                  f"- Vitis HLS: `cd {HLS_FOLDER} && vitis-run --tcl build_prj.tcl --mode hls`",
                  f"- the type of every tensor: `{HLS_FOLDER}/tensor_types.json`"]
    if report.flow in ("rtl", "both"):
        lines += [f"- Vivado: `cd {RTL_FOLDER} && vivado -mode batch -source build_vivado_prj.tcl`",
                  f"- Verilog: `{RTL_FOLDER}/src`, top module `{rtl_alkaid.TOP}`",
                  f"- Yosys, one stage: `cd {RTL_FOLDER}/yosys && python -c"
                  " \"from pyosys import libyosys as ys; ys.run_pass('script logic0.ys', ys.Design())\"`"]
    return "\n".join(lines) + "\n"
