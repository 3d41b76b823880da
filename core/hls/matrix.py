"""What each flow does with each quantizer kind on each layer class, found by doing it with the real tools.

"c++" is the project that hls4ml writes, compiled with g++; "rtl" the Verilog that alkaid writes, simulated by
Verilator. Kinds of one class stand side by side in one network, so that one project answers for all of them. "logic" is
alkaid's own interpreter of the logic that the RTL is written from: the same arithmetic, in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from core.errors import QuantiscopeError
from core.events import Monitor
from core.hls import hls4ml_flow, rtl_alkaid, simulate
from core.hls.network import read_network
from core.model_info import EXTRAS, PARAMETERS
from core.quant import Recipe, predict, quantize
from core.quant.recipe import OUTPUT, LayerRecipe
from core.quant.samples import ON_OUTPUTS, ON_WEIGHTS, OTHERWISE, SAMPLES, SOURCE, branches, events_for
from core.quant.spec import KINDS

FLOWS = ("logic", "c++", "rtl")
PLACES = ("weights", "output")
_PART, _CLOCK = "xcvu9p-flgb2104-2L-e", 5.0


@dataclass(frozen=True)
class Cell:
    """One kind in one place of one class by one flow: mismatches of so many values, or why it is refused."""

    kind: str
    mismatches: int = 0
    values: int = 0
    refused: str = ""

    @property
    def mark(self) -> str:
        """For a table: the number of mismatches, or a dash."""
        return "-" if self.refused else str(self.mismatches)


@dataclass(frozen=True)
class Row:
    """A class, a place and a flow: a cell for each kind that can stand there, and the seconds it took."""

    name: str
    place: str
    flow: str
    cells: dict[str, Cell] = field(default_factory=dict)
    seconds: float = 0.0


def texts_of(name: str, place: str, kind: str) -> dict[str, str] | None:
    """Quantizer strings that put a kind in a place of a class; None where it cannot stand there."""
    own = [p for p in PARAMETERS.get(name, ()) if p not in ("mean", "variance") and p in SAMPLES[name][2]]
    inside = {p: OTHERWISE[p] for p in (*SAMPLES[name][2], *EXTRAS.get(name, ())) if p in OTHERWISE}
    if place == OUTPUT:
        return {**inside, **dict.fromkeys(own, ON_WEIGHTS["quantized_bits"]), OUTPUT: ON_OUTPUTS[kind]}
    if not own or kind not in ON_WEIGHTS:
        return None
    # without an output quantizer only a normalization has no exact form
    tail = {OUTPUT: ON_WEIGHTS["quantized_bits"]} if name == "BatchNormalization" else {}
    return {**inside, **dict.fromkeys(own, ON_WEIGHTS[kind]), **tail}


def events_of(model: keras.Model, count: int) -> np.ndarray:
    """Normal events, half of them on a grid of ties."""
    events = events_for(model, count)
    events[: count // 2] = np.rint(events[: count // 2] * 8) / 8
    return events


def rows(names: Iterable[str], flows: Iterable[str] = FLOWS, kinds: Iterable[str] = tuple(KINDS), count: int = 256,
         monitor: Monitor | None = None) -> Iterator[Row]:
    """The rows of some classes, one after the other.

    Raises:
        ToolMissingError: a tool of a flow is missing; Cancelled: asked to stop.
    """
    monitor = monitor or Monitor()
    for name in names:
        for place in PLACES:
            texts = {kind: found for kind in kinds if (found := texts_of(name, place, kind)) is not None}
            for flow in flows if texts else ():
                monitor.check()
                yield _row(name, place, flow, texts, count, monitor)


def _row(name: str, place: str, flow: str, texts: dict[str, dict[str, str]], count: int, monitor: Monitor) -> Row:
    started = time.monotonic()
    if flow == "logic":
        cells = {kind: _interpreted(name, kind, own, count) for kind, own in texts.items()}
        return Row(name, place, flow, cells, time.monotonic() - started)
    reasons = {kind: _refusal(name, flow, {kind: own}) for kind, own in texts.items()}
    cells = {kind: Cell(kind, refused=reason) for kind, reason in reasons.items() if reason}
    able = {kind: found for kind, found in texts.items() if kind not in cells}
    if able:
        model = _quantized(name, able)
        events = events_of(model, count)
        wanted = predict(model, events, "float64").reshape(count, -1)
        with TemporaryDirectory(prefix="quantiscope-matrix-") as folder:
            found = _RUN[flow](model, events, Path(folder), monitor).reshape(wanted.shape)
        wrong = np.split(found != wanted, len(able), axis=1)  # every branch has as many outputs
        cells |= {kind: Cell(kind, int(part.sum()), part.size) for kind, part in zip(able, wrong, strict=True)}
    return Row(name, place, flow, {kind: cells[kind] for kind in texts}, time.monotonic() - started)


def _interpreted(name: str, kind: str, texts: dict[str, str], count: int) -> Cell:
    try:
        model = _quantized(name, {kind: texts})
        logic = rtl_alkaid.trace_network(read_network(model))
    except QuantiscopeError as error:
        return Cell(kind, refused=str(error))
    events = events_of(model, count)
    wanted = predict(model, events, "float64").reshape(count, -1)
    found = np.asarray(logic.predict(_entered(model, events))).reshape(wanted.shape)
    return Cell(kind, int((found != wanted).sum()), wanted.size)


def _entered(model: keras.Model, events: np.ndarray) -> np.ndarray:
    """(events, inputs) behind the quantizer of the input."""
    entry: Any = next(layer for layer in model.layers if type(layer).__name__ == "QInput")
    return np.asarray(entry.output_quantizer(events.astype(np.float64))).reshape(len(events), -1)


def _quantized(name: str, texts: dict[str, dict[str, str]]) -> keras.Model:
    layers = {kind: LayerRecipe(quantizers=found) for kind, found in texts.items()}
    return quantize(branches(name, list(texts)), Recipe(layers=layers, input=SOURCE))


def _refusal(name: str, flow: str, texts: dict[str, dict[str, str]]) -> str:
    """Why a flow refuses a kind in words, or ""; the flow itself is asked."""
    try:
        model = _quantized(name, texts)
        if flow == "rtl":
            rtl_alkaid.trace_network(read_network(model))
        else:
            with TemporaryDirectory(prefix="quantiscope-matrix-") as folder:
                hls4ml_flow.convert(model, Path(folder))
    except QuantiscopeError as error:
        return str(error)
    return ""


def _compiled(model: keras.Model, events: np.ndarray, folder: Path, monitor: Monitor) -> np.ndarray:
    graph = hls4ml_flow.write_project(model, folder, _PART, _CLOCK, monitor)
    script = folder / "build_lib.sh"
    script.write_text(script.read_text().replace("-O3", "-O0"))  # computes the same, and compiles ten times faster
    return hls4ml_flow.emulate(graph, folder, events.reshape(len(events), -1), monitor)


def _simulated(model: keras.Model, events: np.ndarray, folder: Path, monitor: Monitor) -> np.ndarray:
    rtl = rtl_alkaid.write_rtl(read_network(model), folder, _PART, _CLOCK)
    return simulate.simulate(rtl, _entered(model, events), monitor)


_RUN = {"c++": _compiled, "rtl": _simulated}


def page(found: list[Row], title: str) -> str:
    """The rows as a page in Markdown: a table, then the reasons of what is refused."""
    reasons: dict[str, list[str]] = {}
    head = " | ".join(f"`{kind}`" for kind in KINDS)
    lines = [f"| class: place | flow | {head} | s |", "|---" * (len(KINDS) + 3) + "|"]
    for row in found:
        marks = [row.cells[kind].mark if kind in row.cells else "" for kind in KINDS]
        lines.append(f"| {row.name}: {row.place} | {row.flow} | {' | '.join(marks)} | {row.seconds:.0f} |")
        for cell in row.cells.values():
            if cell.refused:
                reason = cell.refused.replace(f"'{cell.kind}'", "it").replace(f"'{cell.kind}_flat'", "it")
                reasons.setdefault(f"{cell.kind}, {row.flow}: {reason}", []).append(f"{row.name}: {row.place}")
    done = [cell for row in found for cell in row.cells.values() if not cell.refused]
    total = (f"{sum(cell.mismatches for cell in done)} mismatches in {sum(cell.values for cell in done)} values of"
             f" {len(done)} cells; {sum(len(row.cells) for row in found) - len(done)} cells are refused.")
    why = [f"- {reason} ({', '.join(dict.fromkeys(where))})" for reason, where in sorted(reasons.items())]
    return "\n".join([title, "", total, "", *lines, "", "Refused, with the reason that is given:", "", *why]) + "\n"
