"""What an export would meet, told before anything is written: tools, part, memory, unrolling, precision.

`preflight(request)` needs no TensorFlow and answers at once; with the candidate's model it also says whether the
network fits the part and Vitis HLS's unroll limit, how much memory the tools will take, and what hls4ml warns of.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core import requests
from core.errors import QuantiscopeError
from core.hls.parts import Part, find_part
from core.hls.tools import find_tool

if TYPE_CHECKING:
    from core.hls.hls4ml_precision import PrecisionReport
    from core.hls.network import Network

OK, WARN, FAIL = "ok", "warn", "fail"
#: tools without which a flow cannot be proved
NEEDED = {"hls4ml": ("hls4ml", "g++"), "rtl": ("alkaid", "verilator", "perl", "g++", "make")}
#: GB (10^9 bytes) at rest and for each 1000 LUT of unrolled logic, a little more than was held: 1.2 at 2,700 LUT and
#: 1.7 at 25,000 by an export of both flows, all its tools together; 0.8 by each of two Yosys at 115,000
MEMORY_GB, MEMORY_GB_PER_KLUT = 1.5, 0.02
#: GB of disk that an export of that size leaves
DISK_GB = 0.5
#: a part filled by more than this share is hard to place and route
FULL = 0.7
#: events that an export is proved on, where so many are there
ENOUGH_EVENTS = requests.EVENTS
_FAST_NS = 2.0
_UNROLLS = "Vitis HLS unrolls"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at: `what` in words, `state` "ok", "warn" (it will be done, but look) or "fail" (it will not).

    `subject` is what it is about: "tool", "part", "settings", "disk", "events", "network", "memory", "unrolling" or
    "precision". `remedy` says what to do; empty where the state is "ok".
    """

    subject: str
    what: str
    state: str = OK
    remedy: str = ""


def preflight(request: requests.Export, model: Any = None, events: int | None = None,
              folder: Path | None = None) -> list[Finding]:
    """What an export would meet. Nothing is written and nothing compiled; no error is raised for what is found.

    Args:
        request: the export to be asked for; its project is not opened.
        model: the candidate as `core.quant.quantize` made it, with its weights; None leaves out what needs it, and then
            neither keras nor TensorFlow is imported (the window may call it in its own process).
        events: how many test events there are; None is not known.
        folder: where it will be written, for the free space; None is not looked at.

    Returns:
        Findings in the order they would be met. `worst(findings)` tells whether the export can be made.
    """
    found = [*_settings(request), *_tools(request)]
    part, told = _part(request)
    found += [told, *_disk(folder), *_events(request, events)]
    if model is not None and worst(found) != FAIL:
        found += _network(request, model, part)
    return found


def worst(findings: list[Finding]) -> str:
    """"fail" where one is, else "warn" where one is, else "ok"."""
    states = {finding.state for finding in findings}
    return FAIL if FAIL in states else WARN if WARN in states else OK


def _flows(request: requests.Export) -> tuple[str, ...]:
    return ("hls4ml", "rtl") if request.flow == "both" else (request.flow,)


def _failed(subject: str, error: QuantiscopeError) -> Finding:
    why = f": {error.why}" if error.why else ""
    return Finding(subject=subject, what=f"{error.what}{why}", state=FAIL, remedy=error.remedy)


def _refusals(subject: str, check: Callable[[], object]) -> list[Finding]:
    try:
        check()
    except QuantiscopeError as error:
        return [_failed(subject, error)]
    return []


def _settings(request: requests.Export) -> Iterator[Finding]:
    if request.flow not in ("hls4ml", "rtl", "both"):
        yield Finding(subject="settings", what=f"unknown export flow {request.flow!r}", state=FAIL,
                      remedy="Use hls4ml, rtl or both")
    if not 0.5 <= request.clock_ns <= 1000:
        yield Finding(subject="settings", what=f"a clock period of {request.clock_ns:g} ns is out of range", state=FAIL,
                      remedy="Give 0.5 to 1000 ns")
    elif request.clock_ns < _FAST_NS and "rtl" in _flows(request):
        yield Finding(subject="settings", what=f"{request.clock_ns:g} ns leave a stage less than one adder and its"
                      " wires", state=WARN, remedy="Give 2 ns or more, or expect it not to meet the clock")
    for flow, options in (("hls4ml", request.hls4ml), ("rtl", request.rtl)):
        if flow in _flows(request):
            yield from _refusals("settings", options.check)


def _tools(request: requests.Export) -> Iterator[Finding]:
    wanted = [name for flow in _flows(request) for name in NEEDED.get(flow, ())]
    if "rtl" in _flows(request) and request.synthesize:
        wanted.append("yosys")
    for name in dict.fromkeys(wanted):
        tool = find_tool(name)
        yield Finding(subject="tool", what=f"{name} {tool.version}".strip()) if tool.found else Finding(
            subject="tool", what=f"{name} is not installed: it {tool.purpose}", state=FAIL,
            remedy=f"Install it with: {tool.install}")
    if "rtl" in _flows(request) and request.rtl.language == "vhdl" and not find_tool("ghdl").found:
        yield Finding(subject="tool", what="ghdl is not installed: the Verilog of the same logic will be simulated, not"
                      " the VHDL", state=WARN, remedy=f"Install it with: {find_tool('ghdl').install}")
    if "hls4ml" in _flows(request):
        yield from _backend(request)


def _backend(request: requests.Export) -> Iterator[Finding]:
    from core.hls.hls4ml_options import BACKENDS

    backend, io_type = BACKENDS.get(request.hls4ml.backend), request.hls4ml.io_type
    if backend is None or not backend.writes:
        return  # the settings have been refused
    if io_type in backend.emulates:
        yield Finding(subject="tool", what=f"{backend.name} in {io_type} is emulated by g++; {backend.tool} is needed"
                      " for its synthesis alone")
    else:
        yield Finding(subject="tool", what=f"the C++ of {backend.name} in {io_type} cannot be run without"
                      f" {backend.tool}: nothing will be compared", state=WARN, remedy="Use the backend Vitis to prove"
                      " the same network, or the flow both")


def _part(request: requests.Export) -> tuple[Part | None, Finding]:
    try:
        part = find_part(request.part)
    except QuantiscopeError as error:
        return None, _failed("part", error)
    return part, Finding(subject="part", what=f"{part.name}: {part.lut:,} LUT, {part.ff:,} FF, {part.dsp:,} DSP,"
                                              f" {part.bram:,} BRAM")


def _disk(folder: Path | None) -> Iterator[Finding]:
    if folder is None:
        return
    place = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(place).free / 1e9
    yield Finding(subject="disk", what=f"{free:.1f} GB free at {place}", state=OK if free > 4 * DISK_GB else
                  WARN if free > DISK_GB else FAIL, remedy="" if free > 4 * DISK_GB else "Free some space, or move the"
                  " project to another disk")


def _events(request: requests.Export, there: int | None) -> Iterator[Finding]:
    if request.events < 0 or there == 0:
        yield Finding(subject="events", what="there are no events to prove the export on", state=FAIL,
                      remedy="Give at least one event")
    elif there is not None:
        used = min(request.events or there, there)
        few = used < min(there, ENOUGH_EVENTS)
        yield Finding(subject="events", what=f"proved on {used:,} of {there:,} test events", state=WARN if few else OK,
                      remedy=f"Use {min(there, ENOUGH_EVENTS):,} or more" if few else "")


def _network(request: requests.Export, model: Any, part: Part | None) -> Iterator[Finding]:
    from core.hls.network import read_network

    try:
        network = read_network(model)
    except QuantiscopeError as error:
        yield _failed("network", error)
        return
    if "rtl" in _flows(request) and part is not None:
        yield from _unrolled(network, part)
    if "hls4ml" in _flows(request):
        yield from _precision(request, model)


def _unrolled(network: Network, part: Part) -> Iterator[Finding]:
    from core.hls import rtl_limits

    lut = rtl_limits.unrolled_lut(network)
    size = f"{rtl_limits.products(network):,} products unrolled: about {lut:,.0f} LUT," \
           f" {100 * lut / part.lut:.3g} % of {part.name}"
    too_large = _refusals("network", lambda: rtl_limits.refuse_too_large(network, part))
    yield from too_large
    if not too_large:
        full = lut > FULL * part.lut
        yield Finding(subject="network", what=size, state=WARN if full else OK, remedy="Prune or narrow the largest"
                      " layer, choose a larger part, or use the hls4ml flow with io_stream" if full else "")
    needed, there = MEMORY_GB + MEMORY_GB_PER_KLUT * lut / 1000, free_memory_gb()
    if there is not None and not too_large:
        short = needed > there
        yield Finding(subject="memory", what=f"about {needed:.1f} GB for tracing, simulation and Yosys; {there:.1f} GB"
                      " are free", state=WARN if short else OK, remedy="Close other programs, or export the flow hls4ml"
                      " alone" if short else "")


def _precision(request: requests.Export, model: Any) -> Iterator[Finding]:
    from core.hls.hls4ml_precision import precision

    try:
        report = precision(model, request.hls4ml, request.part, request.clock_ns)
    except QuantiscopeError as error:
        yield _failed("precision", error)
        return
    yield _unroll_limit(report)
    for warning in report.warnings:
        what, _, remedy = warning.partition(": ")
        if _UNROLLS not in warning:
            yield Finding(subject="precision", what=what, state=WARN, remedy=remedy)
    if not report.warnings:
        yield Finding(subject="precision", what=f"{len(report.rows)} types: nothing wraps around, nothing is wider than"
                                                " 32 bits")


def _unroll_limit(report: PrecisionReport) -> Finding:
    from core.hls.hls4ml_precision import UNROLL_LIMIT, unrolled

    most = max((unrolled(row) for row in report.rows), default=0.0)
    over = next((warning for warning in report.warnings if _UNROLLS in warning), "")
    if over:
        what, _, remedy = over.partition(": ")
        return Finding(subject="unrolling", what=what, state=WARN, remedy=remedy)
    return Finding(subject="unrolling", what=f"at most {most:,.0f} products side by side in a layer; Vitis HLS unrolls"
                                             f" {UNROLL_LIMIT:,}")


def free_memory_gb() -> float | None:
    """10^9 bytes that programs can still take; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / 1e9
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (OSError, ValueError, AttributeError):
        return None
