"""The HLS project: written by hls4ml for Vitis, compiled with g++ and run on events."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ExportError
from core.events import Monitor
from core.hls import emulator
from core.hls.launcher import run_tool
from core.hls.network import logits_model, read_network, refuse_looked_up
from core.hls.tools import require

PROJECT = "quantiscope_hls"


def write_project(model: Any, directory: Path, part: str, clock_ns: float, monitor: Monitor) -> Any:
    """Convert a quantized Keras model (its softmax left out) and write the Vitis project into `directory`.

    Returns hls4ml's model graph.

    Raises:
        ExportError: a layer cannot be exported exactly, or hls4ml refuses it.
        ToolMissingError: hls4ml is missing.
    """
    require("hls4ml")
    check(model)
    import hls4ml

    import core.hls.handlers  # noqa: F401  registers our layers

    exported, _ = logits_model(model)
    _refuse_unknown(exported)
    if not hasattr(np, "product"):
        np.product = np.prod  # type: ignore[attr-defined]  # hls4ml 1.3.0 still calls the name numpy 2.4 dropped
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), _kept_types():
            config = {"Model": {"Precision": "fixed<16,6>", "ReuseFactor": 1, "Strategy": "Latency"}}
            graph = hls4ml.converters.convert_from_keras_model(
                exported, hls_config=config, output_dir=str(directory), project_name=PROJECT, backend="Vitis",
                part=part, clock_period=clock_ns, io_type="io_parallel", bit_exact=True)
            graph.write()
    except Exception as error:
        raise ExportError("hls4ml cannot convert this model", f"{type(error).__name__}: {error}",
                          "Use the RTL flow, or other quantizers for the layer named") from error
    finally:
        for line in said.getvalue().splitlines():
            monitor.log(line, "debug", "hls4ml")
    return graph


def check(model: Any) -> None:
    """Raise ExportError, by the layer's name, for what this flow cannot export exactly."""
    refuse_looked_up(read_network(model))


def _refuse_unknown(model: Any) -> None:
    """Raise ExportError for a layer that hls4ml has no handler for: what it falls back to is not exact."""
    from hls4ml.converters.keras_v3._base import registry

    for layer in model.layers:
        if f"{type(layer).__module__}.{type(layer).__name__}" not in registry:
            raise ExportError(f"layer {layer.name!r} ({type(layer).__name__}) has no exact form in hls4ml",
                              remedy="Use the RTL flow, or take the layer out of the model")


@contextlib.contextmanager
def _kept_types() -> Iterator[None]:
    """Each quantizer keeps the type it was given.

    hls4ml 1.3.0 drops fraction bits that the input does not have, and with them the largest value where it
    saturates (3.75 became 3.5; right only where saturation is symmetric). And where one channel is always 0
    it raises negative integer bits to 0 for all.
    """
    passes: Any = importlib.import_module("hls4ml.model.optimizer.passes.bit_exact")
    narrowing = passes._produce_kif.dispatch(passes.FixedPointQuantizer)

    def produce(layer: Any) -> Any:
        kept, types = layer.SAT, layer.mask_kbi
        layer.SAT = "SAT_SYM" if kept == "SAT" else kept
        try:
            return narrowing(layer)
        finally:
            layer.SAT, layer.mask_kbi = kept, types

    passes._produce_kif.register(passes.FixedPointQuantizer, produce)
    try:
        yield
    finally:
        passes._produce_kif.register(passes.FixedPointQuantizer, narrowing)


def emulate(graph: Any, directory: Path, events: np.ndarray, monitor: Monitor, limit_s: float = 1800.0) -> np.ndarray:
    """Compile the project's C++ with g++ and run events (events, inputs) through it; outputs (events, outputs).

    Raises:
        ToolMissingError: g++ is missing.
        ToolFailedError: the compilation failed, or the program ended with an error.
        Cancelled: asked to stop.
    """
    require("g++")
    firmware = directory / "firmware"
    for old in firmware.glob("*.so"):
        old.unlink()
    run_tool(["bash", "build_lib.sh"], directory, monitor, name="g++", log=directory / "build_lib.log", limit_s=limit_s,
             environment={**os.environ, "LC_ALL": "C"})
    libraries = list(firmware.glob("*.so"))
    if len(libraries) != 1:
        raise ExportError("the compiled C++ emulation is missing", f"no library in {firmware}", "See build_lib.log")
    return _run(libraries[0], graph, events, directory, monitor, limit_s)


def _run(library: Path, graph: Any, events: np.ndarray, directory: Path, monitor: Monitor,
         limit_s: float) -> np.ndarray:
    outputs = sum(int(variable.size()) for variable in graph.get_output_variables())
    with tempfile.TemporaryDirectory(prefix="quantiscope-emulation-") as scratch:
        source, target = Path(scratch) / "events.npy", Path(scratch) / "result.npy"
        np.save(source, np.asarray(events, dtype=np.float64))
        run_tool([sys.executable, emulator.__file__, library, f"{PROJECT}_double", source, str(outputs), target],
                 directory, monitor, name="c++ emulation", log=directory / "emulation.log", limit_s=limit_s)
        return np.asarray(np.load(target, allow_pickle=False))


def tensor_types(graph: Any) -> list[dict[str, str]]:
    """The effective type of every weight, accumulator and result that hls4ml derived."""
    rows = []
    for layer in graph.get_layers():
        types = {name: str(getattr(value, "precision", value)) for name, value in layer.types.items()} \
            if hasattr(layer, "types") else {}
        rows.append({"layer": layer.name, "class": type(layer).__name__, **types})
    return rows
