"""What each flow does with each quantizer kind on each layer class, found by doing it with the real tools.

All kinds of a class, as its weights and as its output, stand side by side in one network, so that one project answers
for all of them. "c++" is the project that hls4ml writes, compiled with g++; "rtl" the Verilog that alkaid writes,
simulated by Verilator; "logic" alkaid's own interpreter of the logic that the Verilog is written from.

What a compiled project gave can be kept by a digest of the project itself: what has not changed is not compiled again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from core.arrays import flat, parts_of
from core.errors import QuantiscopeError
from core.events import Monitor
from core.files import write_atomically
from core.hls import hls4ml_flow, rtl_alkaid, simulate
from core.hls.matrix_page import Cell, Row
from core.hls.network import layer_nodes, read_network
from core.hls.tools import find_tool
from core.model_info import EXTRAS, PARAMETERS
from core.quant import Recipe, predict, quantize
from core.quant.recipe import OUTPUT, LayerRecipe
from core.quant.samples import ON_OUTPUTS, ON_WEIGHTS, OTHERWISE, SAMPLES, SOURCE, branches, events_for
from core.quant.spec import KINDS

FLOWS = ("logic", "c++", "rtl")
PLACES = ("weights", "output")
_PART, _CLOCK = "xcvu9p-flgb2104-2L-e", 5.0
#: (place, kind)
Spot = tuple[str, str]


@dataclass(frozen=True)
class _Network:
    """All that can be exported of one class: a model with an output for each spot, and what Keras gives."""

    name: str
    spots: tuple[Spot, ...]
    refused: Mapping[Spot, str]
    model: keras.Model | None = None
    events: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    wanted: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


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
    events = np.asarray(events_for(model, count))
    events[: count // 2] = np.rint(events[: count // 2] * 8) / 8
    return events


def rows(names: Iterable[str], flows: Iterable[str] = FLOWS, kinds: Iterable[str] = tuple(KINDS), count: int = 256,
         monitor: Monitor | None = None, cache: Path | None = None, at_once: int = 2) -> Iterator[Row]:
    """The rows of some classes, in their order; `at_once` projects are compiled while the next are written.

    Args:
        cache: folder that keeps what projects gave, and Verilator's compiled runtime; None keeps nothing.

    Raises:
        ToolMissingError: a tool of a flow is missing; Cancelled: asked to stop.
    """
    monitor, flows, kinds = monitor or Monitor(), tuple(flows), tuple(kinds)
    with TemporaryDirectory(prefix="quantiscope-matrix-") as scratch, ThreadPoolExecutor(at_once) as pool:
        runner = _Runner(Path(scratch), cache, monitor, pool)
        waiting: list[list[Callable[[], list[Row]]]] = []
        try:
            for name in names:
                monitor.check()
                waiting.append(_begun(_prepared(name, flows, kinds, count), flows, runner))
                while len(waiting) > at_once:
                    yield from (row for done in waiting.pop(0) for row in done())
            yield from (row for block in waiting for done in block for row in done())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _prepared(name: str, flows: tuple[str, ...], kinds: tuple[str, ...], count: int) -> _Network:
    """The network of a class without what is refused by both flows, and what it should give."""
    texts = {(place, kind): found for place in PLACES for kind in kinds
             if (found := texts_of(name, place, kind)) is not None}
    model = _quantized(name, texts)
    refused = {spot: reason for spot in texts if (reason := _refusal(model.get_layer(_called(spot))))}
    spots = tuple(spot for spot in texts if spot not in refused)
    if not spots:
        return _Network(name, (), refused)
    able = _quantized(name, {spot: texts[spot] for spot in spots})
    events = events_of(able, count)
    return _Network(name, spots, refused, able, events, flat(predict(able, events, "float64")))


def _called(spot: Spot) -> str:
    return "_".join(spot)


def _quantized(name: str, texts: Mapping[Spot, dict[str, str]]) -> keras.Model:
    layers = {_called(spot): LayerRecipe(quantizers=found) for spot, found in texts.items()}
    return quantize(branches(name, [_called(spot) for spot in texts]), Recipe(layers=layers, input=SOURCE))


def _refusal(layer: Any) -> str:
    """Why both flows refuse a layer, in words, or ""."""
    try:
        layer_nodes(layer, tuple(tensor.name for tensor in keras.tree.flatten(layer.input)))
    except QuantiscopeError as error:
        return str(error)
    return ""


def _begun(network: _Network, flows: tuple[str, ...], runner: _Runner) -> list[Callable[[], list[Row]]]:
    """What gives the rows of each flow when it is called; the projects are being compiled."""
    begun = []
    for flow in flows:
        started = time.process_time(), time.monotonic()
        able = network
        try:
            pending = runner.start(flow, able) if able.spots else None
        except QuantiscopeError:
            able = _without_refused(network, flow, runner)
            pending = runner.start(flow, able) if able.spots else None
        begun.append(_later(able, flow, pending, time.monotonic() - started[1]))
    return begun


def _later(network: _Network, flow: str, pending: Future[tuple[np.ndarray, float]] | None,
           written_s: float) -> Callable[[], list[Row]]:
    def done() -> list[Row]:
        cells = {spot: Cell(spot[1], refused=reason) for spot, reason in network.refused.items()}
        seconds = written_s
        if pending is not None:
            found, compiled_s = pending.result()
            seconds += compiled_s
            cells |= _compared(network, found)
        places = [place for place in PLACES if any(spot[0] == place for spot in cells)]
        return [Row(network.name, place, flow, {kind: cells[place, kind] for kind in KINDS if (place, kind) in cells},
                    seconds if number == 0 else None) for number, place in enumerate(places)]

    return done


def _compared(network: _Network, found: np.ndarray) -> dict[Spot, Cell]:
    assert network.model is not None
    wrong = found.reshape(network.wanted.shape) != network.wanted
    sizes = [int(np.prod(output.shape[1:])) for output in network.model.outputs]
    parts = np.split(wrong, np.cumsum(sizes)[:-1], axis=1)
    return {spot: Cell(spot[1], int(part.sum()), part.size) for spot, part in zip(network.spots, parts, strict=True)}


def _without_refused(network: _Network, flow: str, runner: _Runner) -> _Network:
    """The network without the spots that one flow refuses when it is given them alone."""
    reasons = dict(network.refused)
    texts: dict[Spot, dict[str, str]] = {}
    for spot in network.spots:
        own = texts_of(network.name, *spot)
        assert own is not None
        try:
            runner.try_alone(flow, _quantized(network.name, {spot: own}))
        except QuantiscopeError as error:
            reasons[spot] = str(error)
        else:
            texts[spot] = own
    if not texts:
        return _Network(network.name, (), reasons)
    model = _quantized(network.name, texts)
    wanted = flat(predict(model, network.events, "float64"))
    return _Network(network.name, tuple(texts), reasons, model, network.events, wanted)


class _Runner:
    """Writes projects, and has them compiled and run; what they gave is kept by a digest of their sources."""

    def __init__(self, scratch: Path, cache: Path | None, monitor: Monitor, pool: ThreadPoolExecutor) -> None:
        self._scratch, self._cache, self._monitor, self._pool = scratch, cache, monitor, pool
        self._count = 0

    def start(self, flow: str, network: _Network) -> Future[tuple[np.ndarray, float]]:
        """(values, seconds) to come; raises QuantiscopeError where the flow refuses the network."""
        assert network.model is not None
        self._count += 1
        folder = self._scratch / str(self._count)
        if flow == "c++":
            graph = hls4ml_flow.write_project(network.model, folder, _PART, _CLOCK, self._monitor)
            hls4ml_flow.unoptimized(folder)
            sources = [*(folder / "firmware").rglob("*.[ch]*"), *(folder / "firmware").rglob("*.txt")]
            return self._submit(sources, folder, network, ("hls4ml", "g++"), lambda: hls4ml_flow.emulate(
                graph, folder, network.events.reshape(len(network.events), -1), self._monitor))
        entered = _entered(network.model, network.events)
        if flow == "logic":
            logic = rtl_alkaid.trace_network(read_network(network.model))
            return self._pool.submit(_timed, lambda: np.asarray(logic.predict(entered)))
        rtl = rtl_alkaid.write_rtl(read_network(network.model), folder, _PART, _CLOCK)
        runtime = self._cache / f"verilator-{find_tool('verilator').version}" if self._cache else None
        return self._submit([*(folder / "src").rglob("*.v")], folder, network, ("verilator", "g++"),
                            lambda: simulate.simulate(rtl, entered, self._monitor, runtime=runtime))

    def try_alone(self, flow: str, model: keras.Model) -> None:
        """Raise QuantiscopeError where the flow refuses the model; nothing is compiled."""
        if flow == "c++":
            hls4ml_flow.convert(model, self._scratch / "never")
        else:
            rtl_alkaid.trace_network(read_network(model))

    def _submit(self, sources: list[Path], folder: Path, network: _Network, tools: tuple[str, ...],
                run: Callable[[], np.ndarray]) -> Future[tuple[np.ndarray, float]]:
        kept = self._cache / f"{_digest(sources, folder, network.events, tools)}.npy" if self._cache else None
        return self._pool.submit(_timed, lambda: _remembered(kept, run))


def _digest(sources: list[Path], folder: Path, events: np.ndarray, tools: tuple[str, ...]) -> str:
    """Changes with any byte of the sources or events, and with the version of a tool."""
    digest = hashlib.sha256(events.tobytes())
    for name in tools:
        digest.update(f"{name} {find_tool(name).version}\0".encode())
    for path in sorted(sources):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _remembered(kept: Path | None, run: Callable[[], np.ndarray]) -> np.ndarray:
    """What was kept, else what `run` gives, which is kept."""
    if kept is not None and kept.is_file():
        try:
            return np.asarray(np.load(kept, allow_pickle=False))
        except (OSError, ValueError):
            pass  # damaged: made anew
    found = run()
    if kept is not None:
        from io import BytesIO

        stream = BytesIO()
        np.save(stream, found)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, stream.getvalue())
    return found


def _timed(run: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    started = time.monotonic()
    return run(), time.monotonic() - started


def _entered(model: keras.Model, events: np.ndarray) -> np.ndarray:
    """(events, inputs) behind the quantizer of the input."""
    entry: Any = next(layer for layer in model.layers if type(layer).__name__ == "QInput")
    return np.asarray(entry.output_quantizer(parts_of(events)[0].astype(np.float64))).reshape(len(events), -1)
