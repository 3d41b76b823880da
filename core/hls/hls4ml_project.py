"""A whole hls4ml project: written with the user's own events as testbench, emulated, and explained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from core.arrays import Arrays, flat
from core.errors import ToolFailedError
from core.events import Monitor
from core.files import write_atomically
from core.hls import hls4ml_flow
from core.hls.hls4ml_options import Hls4mlOptions
from core.hls.hls4ml_precision import PrecisionReport, precision_of
from core.hls.network import output_sizes, softmaxes
from core.hls.tools import find_tool
from core.quant.evaluation import predict

PRECISION = "precision.json"
TYPES = "tensor_types.json"


@dataclass
class Emulated:
    """What the C++ gave.

    `expected` and `found` are (events, outputs), to be equal; `found` is None where the backend's C++ cannot be run
    here. `project_is_exact` is False where the project ends in a softmax of tables. `note` says what was compared or
    why not; `warnings` are about precision.
    """

    expected: np.ndarray
    found: np.ndarray | None
    note: str = ""
    warnings: list[str] = field(default_factory=list)
    project_is_exact: bool = True


def export_project(model: keras.Model, events: Arrays, logits: np.ndarray, directory: Path, part: str,
                   clock_ns: float, options: Hls4mlOptions, monitor: Monitor) -> Emulated:
    """Write the project into `directory`, and run the events through its C++ where that can be done here.

    Args:
        events: (events, ...) unquantized.
        logits: (events, outputs) of Keras in float64, before any softmax; several outputs one after the other.

    Raises:
        ExportError, ToolMissingError, ToolFailedError, Cancelled: as `hls4ml_flow.write_project` and `emulate`.
    """
    monitor.stage("hls4ml project")
    has_softmax = any(softmaxes(model))
    expected = _largest_of(model, logits) if has_softmax and options.softmax == "argmax" else logits
    shown = flat(predict(model, events, "float64")) if has_softmax and options.softmax == "keep" else expected
    with _Testbench(flat(events), shown, options) as testbench:
        graph = hls4ml_flow.write_project(model, directory, part, clock_ns, monitor, options, testbench)
    precision = precision_of(graph, options)
    write_atomically(directory / PRECISION, msgspec.json.format(msgspec.json.encode(precision), indent=2))
    write_atomically(directory / TYPES, msgspec.json.format(msgspec.json.encode(hls4ml_flow.tensor_types(graph)),
                                                            indent=2))
    done = _emulated(model, events, expected, shown, graph, directory, part, clock_ns, options, monitor, has_softmax)
    done.warnings = precision.warnings
    write_atomically(directory / "README.md", readme(options, part, clock_ns, precision, done, len(events)).encode())
    return done


def _emulated(model: keras.Model, events: Arrays, expected: np.ndarray, shown: np.ndarray, graph: Any,
              directory: Path, part: str, clock_ns: float, options: Hls4mlOptions, monitor: Monitor,
              has_softmax: bool) -> Emulated:
    if not options.emulated:
        return Emulated(expected, None, f"The C++ of {options.backend} in {options.io_type} cannot be run without"
                                        f" {options.target.tool}, so nothing was compared")
    monitor.stage("c++ emulation")
    given = flat(events)
    try:
        found = hls4ml_flow.emulate(graph, directory, given, monitor)
    except ToolFailedError as error:
        error.remedy = f"{error.remedy}; {options.backend} may not know a step of this model, Vitis does"
        raise
    if not has_softmax or options.softmax != "keep":
        return Emulated(expected, found, "" if not has_softmax else _AFTER[options.softmax])
    bare = msgspec.structs.replace(options, softmax="strip")
    with tempfile.TemporaryDirectory(prefix="quantiscope-logits-") as scratch:
        folder = Path(scratch)
        logits = hls4ml_flow.emulate(hls4ml_flow.write_project(model, folder, part, clock_ns, monitor, bare), folder,
                                     given, monitor)
    note = "; ".join(softmax_note(*(values[:, columns] for values in (shown, found))) for columns in _classes(model))
    return Emulated(expected, logits, note, project_is_exact=False)


_AFTER = {"strip": "the final softmax is left out of the firmware, which keeps the order of the classes",
          "argmax": "the final softmax is replaced by 1 for the largest output and 0 for the others"}


def softmax_note(wanted: np.ndarray, found: np.ndarray) -> str:
    """How far hls4ml's softmax of tables is from Keras's, measured; (events, classes) each."""
    same = int((wanted.argmax(-1) == found.argmax(-1)).sum())
    furthest = float(np.abs(wanted - found).max())
    return (f"compared before the softmax, for hls4ml makes that of tables and it is not exact: on {len(wanted)} events"
            f" it names the same class as Keras on {same} ({100 * same / len(wanted):.2f} %), and differs by up to"
            f" {furthest:.3g} in probability")


def _classes(model: keras.Model) -> list[slice]:
    """The columns of flat outputs that end in a softmax."""
    ends = np.cumsum([0, *output_sizes(model)])
    return [slice(int(start), int(end)) for start, end, softmax in zip(ends, ends[1:], softmaxes(model), strict=False)
            if softmax]


def _largest_of(model: keras.Model, logits: np.ndarray) -> np.ndarray:
    """Flat outputs with 1 for the largest and 0 for the others where they end in a softmax."""
    out = logits.copy()
    for columns in _classes(model):
        out[:, columns] = largest(logits[:, columns])
    return out


def largest(logits: np.ndarray) -> np.ndarray:
    """1 for the largest of each row (the first of equal ones), 0 for the others."""
    out = np.zeros_like(logits)
    out[np.arange(len(logits)), logits.argmax(-1)] = 1.0
    return out


class _Testbench:
    """The .npy files hls4ml makes tb_data/*.dat of, for as long as this lasts; None without events."""

    def __init__(self, events: np.ndarray, outputs: np.ndarray, options: Hls4mlOptions) -> None:
        self._count = min(options.testbench_events, len(events))
        self._events, self._outputs = events, outputs
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> tuple[Path, Path] | None:
        if not self._count:
            return None
        self._folder = tempfile.TemporaryDirectory(prefix="quantiscope-testbench-")
        paths = (Path(self._folder.name) / "events.npy", Path(self._folder.name) / "outputs.npy")
        for path, values in zip(paths, (self._events, self._outputs), strict=True):
            np.save(path, np.asarray(values[:self._count], np.float64).reshape(self._count, -1))
        return paths

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


# -- what the folder says of itself ------------------------------------------------------------------------


def readme(options: Hls4mlOptions, part: str, clock_ns: float, precision: PrecisionReport, done: Emulated,
           events: int) -> str:
    """README.md of the project."""
    backend = options.target
    compared = f"{int((done.expected != done.found).sum())} of {done.expected.size} values differ from Keras on" \
               f" {events} events" if done.found is not None else "not run here"
    lines = [f"# HLS project for {backend.tool}", "",
             f"Written by hls4ml {find_tool('hls4ml').version}, backend {backend.name}, {options.io_type}, for"
             f" {options.part_of(part)} at {clock_ns:g} ns.", "",
             f"C++ emulation: {compared}. {_sentence(done.note)}", "", "## Commands", "",
             *_commands(options), "", "## What lies here", "",
             *_contents(options, min(events, options.testbench_events)), "", "## Types", "",
             "Width, integer bits (with the sign), rounding and overflow of each tensor; also in"
             f" `{PRECISION}`.", "", *_table(precision)]
    if precision.warnings:
        lines += ["", "## To beware of", "", *(f"- {warning}" for warning in precision.warnings)]
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." if text else ""


def _commands(options: Hls4mlOptions) -> list[str]:
    backend = options.target
    rows = [f"- synthesize with {backend.tool}: `{backend.command}`" + (f" ({backend.note})" if backend.note else "")]
    if options.emulated:
        rows.insert(0, "- compile the C++ with g++ into `firmware/*.so`: `bash build_lib.sh`")
    if backend.name == "Vitis":
        rows.append("- which steps (C simulation, synthesis, cosimulation, export, logic synthesis) it runs is set in"
                    " `build_opt.tcl`")
    return rows


def _contents(options: Hls4mlOptions, events: int) -> list[str]:
    top = hls4ml_flow.PROJECT
    inside = "src/firmware" if options.backend == "oneAPI" else "firmware"
    rows = [f"- `{inside}/{top}.cpp`: the network, step by step; `defines.h` its types, `parameters.h` its settings",
            f"- `{inside}/weights/`: the quantized weights",
            f"- `{TYPES}`: hls4ml's own names of all types"]
    if options.backend != "Quartus":  # the one without generated steps
        rows.insert(2, f"- `{inside}/nnet_utils/nnet_code_gen.h`: steps written for this network")
    if events:
        rows.append(f"- `tb_data/tb_input_features.dat`, `tb_output_predictions.dat`: {events} of your events and what"
                    " Keras gives for them in double precision, one event a line")
    return rows


def _table(precision: PrecisionReport) -> list[str]:
    rows = ["| layer | step | tensor | type | values |", "|---|---|---|---|---|"]
    return rows + [f"| {row.layer} | {row.step if row.step != row.layer else row.kind} | {row.tensor} | `{row.text}` |"
                   f" {row.values} |" for row in precision.rows]


def columns(rows: Sequence[Any]) -> list[tuple[str, ...]]:
    """Rows of a precision listing as texts: layer, step, tensor, type, values, products."""
    return [(row.layer, row.step, row.tensor, row.text, str(row.values), str(row.products or "")) for row in rows]
