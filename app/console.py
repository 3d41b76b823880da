"""What the command line writes: one JSON object or a small table on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import msgspec
import typer

from core import events
from core.candidate import Candidate, Evaluation
from core.errors import Cancelled, QuantiscopeError
from core.events import Monitor
from core.hls.report import ExportReport, SynthesisReport
from core.model_info import ModelInfo
from core.verify import Verification

#: set to see tracebacks
DEBUG = "QUANTISCOPE_DEBUG"
#: set (by --verbose) to see every line of every tool
VERBOSE = "QUANTISCOPE_VERBOSE"


class Output:
    """The result channel of one command; `result` may be called once. With `lines` each event is a JSON line before it.
    """

    def __init__(self, stream: IO[str], json: bool, lines: bool = False) -> None:
        self._stream = stream
        self._json = json
        self._lines = lines
        self._spoken = 0.0
        self._asked_to_stop = False

    def result(self, value: Any, text: Callable[[], str]) -> None:
        """Write the command's result: `value` as JSON, or `text()`."""
        if self._lines:
            self._write({"type": "Result", "result": value})
            return
        self._stream.write((msgspec.json.encode(value).decode() if self._json else text()) + "\n")
        self._stream.flush()

    def _write(self, value: Any) -> None:
        """One JSON line; who no longer reads does not end the job."""
        try:
            self._stream.write(msgspec.json.encode(value).decode() + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self._lines = False

    def monitor(self) -> Monitor:
        """A monitor that speaks on stderr; the first Ctrl-C asks the job to stop, the second ends it."""
        if sys.platform != "win32" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupted)
            signal.signal(signal.SIGTERM, self._interrupted)
        return Monitor(self._say, cancelled=lambda: self._asked_to_stop)

    def _interrupted(self, *_: object) -> None:
        if self._asked_to_stop:
            raise KeyboardInterrupt
        self._asked_to_stop = True
        print("stopping ...", file=sys.stderr, flush=True)

    def _say(self, event: events.Event) -> None:
        if self._lines:
            self._write(event)
        line = _line(event)
        if isinstance(event, events.Progress):
            if time.monotonic() - self._spoken < 2 and event.done < event.total:
                return
            self._spoken = time.monotonic()
        if line:
            print(line, file=sys.stderr, flush=True)


def _line(event: events.Event) -> str:
    if isinstance(event, events.LogLine):
        # what a tool says lies in its log file too; thousands of lines of it would bury ours
        spoken = event.level in ("warning", "error") or event.source in ("", "exactness", "cluster")
        return event.text if VERBOSE in os.environ or (spoken and event.level != "debug") else ""
    if isinstance(event, events.Stage):
        return f"== {event.name}"
    if isinstance(event, events.CandidateDone):
        c = event.candidate
        return (f"{c.id}: {c.evaluation.metric} {c.evaluation.accuracy:.4f}, {c.costs.energy_pj:.0f} pJ,"
                f" {c.costs.parameter_bits} bits, {c.seconds:.1f} s")
    if isinstance(event, events.ProxiesScored):
        return ""  # their number is told with the round
    share = 100 * event.done / event.total if event.total else 0
    left = f", {event.remaining_s:.0f} s left" if event.remaining_s is not None else ""
    return f"{event.message}: {share:.0f} %{left}"


@contextlib.contextmanager
def output(json: bool, lines: bool = False) -> Iterator[Output]:
    """Everything that libraries print to stdout meanwhile goes to stderr; only the result reaches stdout."""
    sys.stdout.flush()
    saved = os.dup(1)
    python_stdout = sys.stdout
    try:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        with os.fdopen(os.dup(saved), "w", encoding="utf-8") as stream:
            yield Output(stream, json, lines)
    finally:
        sys.stdout = python_stdout
        os.dup2(saved, 1)
        os.close(saved)


def run(request: Any, out: Output) -> Any:
    """Carry out one request of core.requests in this process."""
    from core import workflows

    return workflows.run(request, out.monitor())


def guarded(work: Callable[[], Any], json: bool) -> int:
    """Exit code of `work`; an error becomes one sentence on stderr, and one object on stdout with --json."""
    try:
        code = work()
        return code if isinstance(code, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except typer.TyperException as error:
        told = error.format_message() if hasattr(error, "format_message") else str(error)
        message = " ".join(told.split())
        return _failed(f"{message.rstrip('.')}. See quantiscope --help.", json)
    except (KeyboardInterrupt, typer.Abort, Cancelled):
        return _failed("Stopped.", json)
    except QuantiscopeError as error:
        return _failed(str(error), json)
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        reason = " ".join(str(error).split())[:300]
        return _failed(f"Quantiscope met a defect of its own ({type(error).__name__}: {reason});"
                       f" set {DEBUG}=1 to see where, and report it.", json)


def _failed(sentence: str, json: bool) -> int:
    print(sentence, file=sys.stderr, flush=True)
    if json:
        print(msgspec.json.encode({"error": sentence}).decode(), flush=True)
    return 1


# -- tables ----------------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns padded to width; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [all(isinstance(row[i], (int, float)) or _numeric(str(row[i])) for row in rows) for i in range(len(header))]
    return "\n".join("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
                     .rstrip() for row in cells)


def _numeric(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).isdigit()


def layer_table(info: ModelInfo) -> str:
    """One line a layer."""
    rows = []
    for layer in info.layers:
        ranges = ", ".join(f"{w.parameter} {w.minimum:.3g} to {w.maximum:.3g}" for w in layer.weights
                           if w.minimum is not None and w.maximum is not None)
        shape = "x".join("?" if side is None else str(side) for side in layer.output_shape)
        rows.append((layer.name, layer.class_name, layer.activation, shape, layer.parameters, layer.macs, ranges))
    total = f"{info.parameters} parameters, {info.macs} multiply-accumulates an event"
    return "\n".join([table(("layer", "class", "activation", "output", "parameters", "MACs", "weights"), rows), total,
                      *info.notes])


_PARTS = ("inputs", "parameters", "op", "outputs", "profile")


def cost_table(costs: dict[str, Any]) -> str:
    """The rows of each network, in pJ."""
    blocks = []
    for name, network in costs["networks"].items():
        rows = [(r["name"], r["class_name"], *(f"{r[part + '_pj']:.2f}" for part in _PARTS), r["parameter_bits"])
                for r in network["layers"]]
        blocks.append("\n".join([
            f"{name}: {network['total_pj']} pJ, {network['bits']} bits",
            table(("layer", "class", *_PARTS, "bits"), rows)]))
    last = f"energies in pJ (45 nm), memories and types as published, counted as {costs['compat']}"
    return "\n\n".join([*blocks, last])


def estimate_table(found: dict[str, Any]) -> str:
    """Both flows by layer, and the accumulators."""
    hls, da = found["hls4ml"], found["distributed_arithmetic"]
    shared = [(r["name"], r["multipliers"], r["dsp"], r["lut"], r["bram_18k"], r["note"]) for r in hls["layers"]]
    adders = [(r["name"], f"{r['lut']:.0f}", r["depth"], f"{r['latency_ns']:.1f}") for r in da["layers"]]
    sums = [(r["name"], r["sum"], r.get("given_bits"), r.get("needed_bits"), r["note"]) for r in found["accumulators"]]
    return "\n\n".join([
        f"hls4ml: about {hls['dsp']} DSP, {hls['lut']} LUT, {hls['bram_18k']} BRAM of 18 kbit\n"
        + table(("layer", "multipliers", "DSP", "LUT", "BRAM", "note"), shared),
        f"distributed arithmetic: about {da['lut']:.0f} LUT, no DSP, {da['latency_ns']:.1f} ns,"
        f" {da['cycles']} cycles of {da['clock_ns']:g} ns, computed {da['age_s']:.0f} s ago\n"
        + table(("layer", "LUT", "adder depth", "ns"), adders),
        "accumulators\n" + table(("layer", "sum", "bits by QTools", "bits needed", "note"), sums),
        *da["notes"]])


def evaluation_table(evaluation: Evaluation) -> str:
    """The figure the task is judged by, further ones, and the AUC of each class."""
    lines = [f"{evaluation.metric} {evaluation.accuracy:.4f} ({evaluation.kind}, {evaluation.events} test events)"]
    lines += [f"{name.replace('_', ' ')} {value:.4f}" for name, value in evaluation.figures.items()]
    lines += [f"AUC {name}: {area:.4f} +- {evaluation.auc_error.get(name, float('nan')):.4f}"
              for name, area in evaluation.auc.items()]
    return "\n".join(lines)


def candidate_table(candidates: Sequence[Candidate]) -> str:
    """One line a candidate."""
    return table(("id", "accuracy", "energy pJ", "bits", "seconds"),
                 [(c.id, f"{c.evaluation.accuracy:.4f}", f"{c.costs.energy_pj:.1f}", c.costs.parameter_bits,
                   f"{c.seconds:.1f}") for c in candidates])


def front_table(front: Sequence[dict[str, Any]]) -> str:
    """The Pareto front."""
    return table(("id", "accuracy", "energy pJ", "bits"),
                 [(p["id"], f"{p['accuracy']:.4f}", f"{p['energy_pj']:.1f}", p["bits"]) for p in front])


def goal_table(points: Sequence[dict[str, Any]]) -> str:
    """The front by a goal."""
    if not points:
        return "No candidate keeps the constraints."
    names = list(points[0])
    return table(tuple(names), [tuple(f"{p[n]:.5g}" if isinstance(p.get(n), float) else p.get(n, "") for n in names)
                                for p in points])


def study_table(found: dict[str, Any]) -> str:
    """What a project's searches came to."""
    volume = found["hypervolume"]
    last = f"{volume['volumes'][-1]:.4f}" if volume["volumes"] else "none yet"
    lines = [goal_table(found["front"]), "",
             f"hypervolume {last} ({volume['unit']}, from {', '.join(f'{v:g}' for v in volume['reference'])})"]
    for name, shares in found["importances"].items():
        if isinstance(shares, str):
            lines += ["", shares]
            continue
        lines += ["", f"what matters for {name}:", table(("layer", "parameter", "share"), [
            (one["layer"], one["parameter"], f"{one['share']:.1%}") for one in shares[:10]])]
    return "\n".join(lines)


def verification_table(found: Verification) -> str:
    """A verdict for each candidate, and each figure that disagrees."""
    lines = []
    for verdict in found.candidates:
        said = "agrees" if verdict.agrees else "DISAGREES"
        lines.append(f"{verdict.candidate_id}: {said} in {verdict.compared} figures")
        lines += [f"  {d.figure}: stored {d.stored}, found {d.found}" for d in verdict.differences]
        lines += [f"  {note}" for note in verdict.notes]
    return "\n".join(lines) or "The project has no candidates."


def export_table(report: ExportReport) -> str:
    """Proof and figures of an export."""
    lines = [f"{report.candidate_id} by {report.flow} in {report.directory}"]
    if report.exactness is not None:
        lines += [f"{name}: {check.mismatches} of {check.values} values differ over {check.events} events"
                  for name, check in report.exactness.flows.items()]
    for figures in (report.estimate, *(report.syntheses or [report.synthesis])):
        if figures is not None:
            lines.append(f"{figures.stage} by {figures.tool} {figures.tool_version} for {figures.part}:"
                         f" {_figures(figures)}")
    return "\n".join([*lines, *report.warnings])


def refuse_mismatches(report: ExportReport) -> None:
    """Ends the command with exit code 1, and a sentence, where an export differs from Keras."""
    if report.exactness is not None and report.exactness.mismatches:
        typer.echo(f"The export of {report.candidate_id} differs from Keras in {report.exactness.mismatches} values;"
                   f" see {report.directory}.", err=True)
        raise typer.Exit(1)


def precision_table(report: Any) -> str:
    """Types of all tensors, and the warnings."""
    rows = [(row.layer, row.step if row.step != row.layer else row.kind, row.tensor, row.text, str(row.values),
             row.strategy, str(row.reuse_factor)) for row in report.rows]
    return "\n".join([table(("layer", "step", "tensor", "type", "values", "strategy", "reuse"), rows),
                      *(f"! {warning}" for warning in report.warnings)])


def _figures(report: SynthesisReport) -> str:
    parts = [f"latency {report.latency_cycles} cycles" if report.latency_cycles is not None else "",
             f"{report.latency_ns:g} ns" if report.latency_ns is not None else "",
             f"II {report.ii}" if report.ii is not None else ""]
    for name in ("dsp", "lut", "ff", "bram", "uram"):
        count = getattr(report, name)
        if count is not None:
            share = f" ({report.percent[name]:.3g} %)" if name in report.percent else ""
            parts.append(f"{name.upper()} {count:g}{share}" if name == "bram" else f"{name.upper()} {count}{share}")
    parts += [f"{label} {value:g} {unit}" for label, value, unit in
              (("slack", report.slack_ns, "ns"), ("power", report.power_w, "W")) if value is not None]
    return ", ".join(part for part in parts if part)


def demo_table(report: dict[str, Any]) -> str:
    """The demo's report in a few lines."""
    chosen, exactness, synthesis = report["selected"], report["exactness"], report["synthesis"]
    figures = ", ".join(f"{name} {synthesis[name]}" for name in ("latency_cycles", "latency_ns", "ii", "dsp", "lut",
                                                                 "ff")) if synthesis else "not synthesized"
    return "\n".join([
        front_table(report["front"]),
        f"selected {chosen['id']}: accuracy {chosen['accuracy']:.4f} (float {report['float']['accuracy']:.4f}),"
        f" {chosen['energy_pj']:.0f} pJ",
        f"{exactness['mismatches']} mismatches over {exactness['events']} events"
        f" ({', '.join(exactness['flows'])})" if exactness else "not checked",
        figures, f"{report['seconds']:.0f} s; everything is in {report['directory']}"])
