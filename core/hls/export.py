"""One export: write the project, prove it against Keras, synthesize it, and leave a folder that stands alone."""

from __future__ import annotations

import contextlib
import shlex
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from core.arrays import Arrays, flat, parts_of, shapes_of
from core.errors import ExportError
from core.events import Monitor
from core.files import write_atomically
from core.hls import diagnosis, exactness, hls4ml_flow, hls4ml_project, rtl_alkaid, simulate, standalone, yosys
from core.hls.hls4ml_options import Hls4mlOptions
from core.hls.manifest import HlsProject, Manifest, RtlProject, load, settings
from core.hls.network import Network, logits_model, output_sizes, read_network
from core.hls.parts import Part, find_part
from core.hls.preflight import NEEDED
from core.hls.report import Exactness, ExportReport, FlowCheck, SynthesisReport, with_history
from core.hls.rtl_limits import refuse_too_large
from core.hls.rtl_options import RtlOptions
from core.hls.tools import find_tool, require
from core.quant import evaluation
from core.quant.recipe import OUTPUT
from core.requests import EVENTS

FLOWS = {"hls4ml": ("c++",), "rtl": ("rtl",), "both": ("c++", "rtl")}
HLS_FOLDER, RTL_FOLDER = "hls4ml", "rtl"


@dataclass(frozen=True)
class ExportOptions:
    """What to export: `flow` is "hls4ml", "rtl" or "both"; clock in ns; settings by flow.

    It is proved on the first `events` events, or on as many as there are; 0 is all.
    """

    flow: str = "both"
    part: str = "xcvu9p-flgb2104-2L-e"
    clock_ns: float = 5.0
    events: int = EVENTS
    synthesize: bool = True
    rtl: RtlOptions = field(default_factory=RtlOptions)
    hls4ml: Hls4mlOptions = field(default_factory=Hls4mlOptions)


def export(model: keras.Model, x: Arrays, options: ExportOptions, directory: Path,
           monitor: Monitor | None = None, candidate_id: str = "", former: Path | None = None) -> ExportReport:
    """Export a quantized model and prove it on events.

    Args:
        model: from `core.quant.quantize`, with its weights.
        x: (events, ...) unquantized inputs, of which `options.events` are used.
        directory: where it goes; report.json, exactness.json and README.md are written last.
        former: the folder of the export before, whose syntheses the report goes on with; None: the same.

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
    if "rtl" in flows:
        refuse_too_large(network, part)
    if "c++" in flows:
        hls4ml_flow.check(model, options.hls4ml)
    events = x[: options.events or None]
    if not len(events):
        raise ExportError("there are no events to prove the export on", remedy="Give at least one event")
    directory.mkdir(parents=True, exist_ok=True)
    earlier = _earlier(former or directory)
    work = _Work(model, network, events, options, part, directory, monitor)
    checks = {flow: check for flow in flows if (check := work.check(flow)) is not None}
    synthesis = work.synthesis() if options.synthesize and "rtl" in flows else None
    report = ExportReport(
        candidate_id=candidate_id or directory.name.rsplit("-", 1)[0], flow=options.flow, directory=str(directory),
        part=part.name, clock_ns=options.clock_ns, created=datetime.now(UTC).isoformat(timespec="seconds"),
        exactness=exactness.combined(checks, work.note()), estimate=work.estimate(),
        synthesis=synthesis, syntheses=[synthesis] if synthesis else [], tools=_versions(), warnings=work.warnings)
    written = standalone.leave(directory, work.manifest(report))
    if earlier is not None:
        report = with_history(report, earlier[0], earlier[1] == written.settings)
    _leave(report, written, directory)
    return report


def _earlier(directory: Path) -> tuple[ExportReport, str] | None:
    """(report, settings) of the finished export in a folder; None where none can be read."""
    with contextlib.suppress(OSError, ValueError, ExportError):
        report = msgspec.json.decode((directory / "report.json").read_bytes(), type=ExportReport)
        return report, load(directory).settings
    return None


def _flows(options: ExportOptions) -> tuple[str, ...]:
    try:
        flows = FLOWS[options.flow]
    except KeyError:
        raise ExportError(f"unknown export flow {options.flow!r}", remedy=f"Use one of: {', '.join(FLOWS)}") from None
    if not 0.5 <= options.clock_ns <= 1000:
        raise ExportError(f"a clock period of {options.clock_ns} ns is out of range", remedy="Give 0.5 to 1000 ns")
    for flow in flows:
        require(*NEEDED["hls4ml" if flow == "c++" else flow])
    if options.synthesize and "rtl" in flows:
        require("yosys")
    if options.events < 0:
        raise ExportError(f"{options.events} events are out of range", remedy="Give 0 for all, or how many")
    options.rtl.check()
    return flows


class _Work:
    """The steps of one export, each done once."""

    def __init__(self, model: keras.Model, network: Network, events: Arrays, options: ExportOptions, part: Part,
                 directory: Path, monitor: Monitor) -> None:
        self._model, self._network, self._events, self._options = model, network, events, options
        self._part, self._directory, self._monitor = part, directory, monitor
        self._exported = logits_model(model)[0]
        monitor.stage("reference")
        #: (events, values) of all outputs, one after the other
        self._reference = flat(evaluation.predict(self._exported, events, "float64"))
        single = flat(evaluation.predict(self._exported, events))
        self._single_differs = int((single.astype(np.float64) != self._reference).sum())
        self._rtl: rtl_alkaid.Rtl | None = None
        self._hls_inputs: list[int] = []
        self._cpp_note = ""
        self._golden: dict[str, np.ndarray] = {}
        self.warnings: list[str] = []

    def note(self) -> str:
        """What was compared, in words."""
        text = "Keras computed in float64, where sums of fixed-point products are exact"
        if self._network.softmax and "rtl" in FLOWS[self._options.flow]:
            text += "; the final softmax is left out of the RTL, which keeps the order of the classes"
        if self._cpp_note:
            text += f"; C++: {self._cpp_note}"
        if self._single_differs:
            text += f"; Keras in float32 rounds {self._single_differs} of {self._reference.size} outputs differently"
        return text + "."

    def check(self, flow: str) -> FlowCheck | None:
        """Write the project of one flow, run the events through it, and compare; None where it cannot be run here."""
        started = time.monotonic()
        expected, found = self._emulate() if flow == "c++" else (self._reference, self._simulate())
        if found is None:
            return None
        result = exactness.compare(flow, expected, found, time.monotonic() - started)
        verdict = "no mismatch" if not result.mismatches else f"{result.mismatches} MISMATCHES"
        self._monitor.log(f"{flow}: {result.values} values on {result.events} events, {verdict}",
                          "error" if result.mismatches else "info", "exactness")
        if result.first is None:
            return result
        source = self._directory / HLS_FOLDER if flow == "c++" else self._written()
        return diagnosis.diagnosed(result, self._exported, self._network, self._events[result.first.event:][:1],
                                   source, self._monitor)

    def _emulate(self) -> tuple[np.ndarray, np.ndarray | None]:
        """(what the C++ is to give, what it gives)."""
        done = hls4ml_project.export_project(
            self._model, self._events, self._reference, self._directory / HLS_FOLDER, self._part.name,
            self._options.clock_ns, self._options.hls4ml, self._monitor)
        self._hls_inputs = [int(np.prod(shape)) for shape in shapes_of(self._events)]
        self._cpp_note = done.note
        self.warnings += done.warnings
        if done.found is not None and done.project_is_exact:
            self._golden |= {"events": self._events, "expected_cpp": done.expected}
        return done.expected, done.found

    def _written(self) -> rtl_alkaid.Rtl:
        if self._rtl is None:
            self._monitor.stage("rtl")
            self._rtl = rtl_alkaid.write_rtl(self._network, self._directory / RTL_FOLDER, self._part.name,
                                             self._options.clock_ns, self._options.rtl)
        return self._rtl

    def _simulate(self) -> np.ndarray:
        rtl = self._written()
        self._monitor.stage("rtl simulation")
        quantized = np.concatenate([
            _quantized(self._exported.get_layer(name), events).reshape(len(events), -1)
            for name, events in zip(self._network.entries, parts_of(self._events), strict=True)], axis=1)
        self._golden |= {"quantized": quantized, "expected_rtl": self._reference}
        return simulate.simulate(rtl, quantized, self._monitor, warnings=self.warnings)

    def manifest(self, report: ExportReport) -> Manifest:
        """What lies in the folder; the events and results that prove it are stored here."""
        standalone.store_golden(self._directory, self._golden)
        outputs = int(self._reference.shape[1])
        hls = HlsProject(folder=HLS_FOLDER, top=hls4ml_flow.PROJECT, backend=self._options.hls4ml.backend,
                         inputs=sum(self._hls_inputs), outputs=outputs, input_sizes=self._hls_inputs,
                         output_sizes=output_sizes(self._exported)) if self._hls_inputs else None
        return Manifest(
            candidate_id=report.candidate_id, flow=report.flow, part=report.part, clock_ns=report.clock_ns,
            events=len(self._events), tools=report.tools, hls=hls, rtl=self._rtl_project(outputs),
            settings=settings(report.flow, report.part, report.clock_ns, self._options.rtl, self._options.hls4ml))

    def _rtl_project(self, outputs: int) -> RtlProject | None:
        if self._rtl is None:
            return None
        rtl, verilog = self._rtl, self._rtl.verilog
        return RtlProject(
            folder=RTL_FOLDER, top=rtl.top, language=rtl.options.language, stages=list(verilog.stages),
            verilog=str(verilog.directory.relative_to(self._directory)), cycles=rtl.cycles, outputs=outputs,
            extra_steps=rtl.extra_steps)

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


def _quantized(entry: Any, events: np.ndarray) -> np.ndarray:
    """What firmware is given of one input's events, (events, ...) float64."""
    assert entry.output_quantizer is not None  # read_network has checked it
    widths: dict[str, Any] = {what: np.asarray(value, np.float64)
                              for what, value in entry.width_variables(OUTPUT).items()}
    return np.asarray(entry.output_quantizer(events.astype(np.float64), **widths))


def _versions() -> dict[str, str]:
    tools = (find_tool(name) for name in ("hls4ml", "alkaid", "verilator", "yosys", "g++"))
    return {tool.name: tool.version for tool in tools if tool.found}


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def _leave(report: ExportReport, written: Manifest, directory: Path) -> None:
    """Report, proof and instructions beside the project."""
    if report.exactness:
        write_atomically(directory / "exactness.json", _json(report.exactness))
    write_atomically(directory / "README.md", _readme(report, written).encode())
    write_atomically(directory / "report.json", _json(report))


def _readme(report: ExportReport, written: Manifest) -> str:
    proof: Exactness | None = report.exactness
    lines = [f"# Firmware of candidate {report.candidate_id}", "",
             f"Written by Quantiscope on {report.created} for {report.part} at {report.clock_ns:g} ns.", ""]
    if proof:
        state = "agree" if proof.verified else "DO NOT AGREE"
        lines += [f"Keras and {', '.join(proof.flows)} {state}: {proof.mismatches} mismatching values on"
                  f" {proof.events} events. {proof.note}", ""]
    lines += ["Tools: " + ", ".join(f"{name} {version}" for name, version in report.tools.items()), "",
              "It can be worked on without Quantiscope:", "",
              "- `python rebuild.py check` compiles it anew and compares it with the results in `golden/`, exactly",
              "- `python rebuild.py tools` compares the tools above with those that are here",
              *(f"- `python rebuild.py synthesize {tool}`" + ("" if tool == "yosys" else ", which is " + " then ".join(
                  f"`cd {one.folder} && {shlex.join(one.command)}`" for one in commands))
                for tool, commands in written.synthesis.items())]
    if written.hls:
        lines += [f"- the HLS project, its commands and the type of every tensor: `{HLS_FOLDER}/README.md`"]
    if written.rtl:
        lines += [f"- {written.rtl.language}: `{RTL_FOLDER}/src`, top module `{rtl_alkaid.TOP}`"]
    return "\n".join(lines) + "\n"
