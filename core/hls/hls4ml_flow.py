"""The HLS project: written by hls4ml, compiled with g++ and run on events."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from core.arrays import Arrays, flat
from core.errors import ExportError
from core.events import Monitor
from core.hls import emulator
from core.hls.hls4ml_mends import mended
from core.hls.hls4ml_options import Hls4mlOptions
from core.hls.launcher import run_tool
from core.hls.network import Network, logits_model, read_network, softmaxes
from core.hls.parts import DEFAULT_PART
from core.hls.provable import check_bits
from core.hls.tools import require

PROJECT = "quantiscope_hls"
#: g++ spends up to nine tenths of its time on these checks of pointers, also under -w, and there are none to check
_NO_CHECKS = "-Wno-free-nonheap-object -Wno-mismatched-dealloc -Wno-mismatched-new-delete"


def check(model: Any, options: Hls4mlOptions | None = None) -> None:
    """Raise ExportError, by the layer's name, for what this flow cannot export exactly."""
    options = options or Hls4mlOptions()
    options.check()
    if options.target.boards and len(model.inputs) + len(model.outputs) > 2:
        raise ExportError(f"hls4ml's {options.backend} backend takes one input and one output, the model has"
                          f" {len(model.inputs)} and {len(model.outputs)}",
                          remedy="Use the backend Vitis or Vivado, or join them to one in the model")
    _refuse_nothing(read_network(model))
    options.check_layers([layer.name for layer in model.layers])


def _refuse_nothing(network: Network) -> None:
    """Raise ExportError for an output that is an input as it came, which hls4ml writes as one variable twice."""
    nodes = {node.name: node for node in network.nodes}
    for result in network.results:
        node = nodes[result]
        while node.op == "reshape":
            node = nodes[node.inbound[0]]
        if node.op in ("input", "quantize"):
            raise ExportError(f"the output {result!r} is the model's own input, so that there is nothing to make",
                              remedy="Take that output out of the model")


def convert(model: Any, directory: Path, part: str = DEFAULT_PART, clock_ns: float = 5.0,
            monitor: Monitor | None = None, options: Hls4mlOptions | None = None,
            testbench: tuple[Path, Path] | None = None) -> Any:
    """hls4ml's graph of a quantized model, every type derived; nothing is written.

    Args:
        directory: where `graph.write()` would write to.
        testbench: .npy files of events and of the outputs expected.

    Raises:
        ExportError: a layer cannot be exported exactly, or hls4ml refuses it.
        ToolMissingError: hls4ml is missing.
    """
    require("hls4ml")
    options, monitor = options or Hls4mlOptions(), monitor or Monitor()
    check(model, options)
    import hls4ml

    exported = exported_model(model, options)
    _refuse_unknown(exported, options)
    with _said(monitor), mended(), _errors(options):
        graph = hls4ml.converters.convert_from_keras_model(
            exported, output_dir=str(directory), project_name=PROJECT, backend=options.backend, bit_exact=True,
            hls_config=_config(exported, options), io_type=options.io_type, clock_period=clock_ns,
            allow_da_fallback=False, allow_v2_fallback=False, **_target(options, part),
            **({"input_data_tb": str(testbench[0]), "output_data_tb": str(testbench[1])} if testbench else {}))
    _refuse_unprovable(graph, [layer.name for layer in model.layers])
    return graph


def _refuse_unprovable(graph: Any, names: list[str]) -> None:
    """Raise ExportError for a layer whose values have more bits than Keras in double precision holds exactly."""
    for layer in graph.get_layers():
        types = [layer.attributes[name] for name in ("accum_t", "result_t") if name in layer.attributes]
        bits = max((int(getattr(one.precision, "width", 0)) for one in types), default=0)
        if layer.class_name != "Softmax":
            of = layer.get_attr("of") or max((name for name in names if layer.name.startswith(name)), key=len,
                                             default=layer.name)  # hls4ml makes some steps anew, without its owner
            check_bits(str(of), bits)


def write_project(model: Any, directory: Path, part: str, clock_ns: float, monitor: Monitor,
                  options: Hls4mlOptions | None = None, testbench: tuple[Path, Path] | None = None) -> Any:
    """Convert a quantized Keras model and write the project into `directory`; see `convert`. Returns the graph."""
    graph = convert(model, directory, part, clock_ns, monitor, options, testbench)
    for old in (directory / "build_lib.sh", *(directory / "firmware").glob("*.so")):
        old.unlink(missing_ok=True)  # another backend's would be taken for this project's
    with _said(monitor), mended(), _errors(options or Hls4mlOptions()):
        graph.write()
    _change(directory / "build_lib.sh", '"-O3 -fPIC', f'"-O3 -fPIC {_NO_CHECKS}')
    return graph


def unoptimized(directory: Path) -> None:
    """Let a written project be compiled without optimization: the same values, several times faster to compile."""
    _change(directory / "build_lib.sh", "-O3", "-O0")


def _change(script: Path, old: str, new: str) -> None:
    if script.is_file():
        script.write_text(script.read_text().replace(old, new))


def exported_model(model: Any, options: Hls4mlOptions) -> Any:
    """What is handed to hls4ml: without its softmax, or with one that hls4ml knows."""
    logits, softmax = logits_model(model)
    if not softmax or options.softmax == "strip":
        return logits
    ends = [keras.layers.Softmax(name="softmax" if len(logits.outputs) == 1 else f"softmax_{number}")(tensor)
            if taken else tensor for number, (tensor, taken) in enumerate(zip(logits.outputs, softmaxes(model),
                                                                              strict=True))]
    return keras.Model(logits.inputs, ends if len(ends) > 1 else ends[0], name=model.name)


def _config(model: Any, options: Hls4mlOptions) -> dict[str, Any]:
    from hls4ml.converters.keras_v3_to_hls import parse_keras_v3_model

    layers, *_ = parse_keras_v3_model(model, allow_da_fallback=False, allow_v2_fallback=False)
    style = {} if options.pipeline == "auto" else {"PipelineStyle": options.pipeline}
    named = {}
    for entry in layers:
        _refuse_step(entry, options)
        strategy, reuse = options.of_layer(str(entry.get("of", entry["name"])))
        if entry["class_name"] == "Softmax":
            strategy, reuse = "argmax" if options.softmax == "argmax" else "stable", 1
        elif strategy == "distributed_arithmetic" and entry["class_name"] not in ("Dense", "Conv1D", "Conv2D"):
            strategy = "Latency"
        named[entry["name"]] = {"Strategy": strategy, "ReuseFactor": reuse}
        if entry["class_name"] == "Softmax":
            named[entry["name"]] |= {"Implementation": strategy}
    return {"Model": {"Precision": "fixed<16,6>", "ReuseFactor": options.reuse_factor, "Strategy": "Latency", **style},
            "LayerName": named}


def _refuse_step(entry: dict[str, Any], options: Hls4mlOptions) -> None:
    """Raise ExportError for a step of ours, or a type by place, that the backend or IO type has no form for."""
    kind, owner = entry["class_name"], entry.get("of", entry["name"])
    if kind in ("Gather", "LookUp") and not options.target.steps:
        what = "moves values about" if kind == "Gather" else "looks values up"
        raise ExportError(f"layer {owner!r} {what}, which the {options.backend} backend has no form for",
                          remedy="Use the backend Vitis or Vivado, or the RTL flow")
    by_place = kind == "FixedPointQuantizer" and entry["mask_kbi"][0].size > 1
    if options.io_type == "io_stream" and (by_place or (kind == "Gather" and not _copies(entry))):
        what = "has output widths of its own" if by_place else "moves values about"
        raise ExportError(f"layer {owner!r} {what}, which has no form in io_stream", remedy="Use io_parallel")


def _copies(entry: dict[str, Any]) -> bool:
    place = entry["place"].ravel()
    return not entry["source"].any() and bool((place == np.arange(place.size)).all())


def _target(options: Hls4mlOptions, part: str) -> dict[str, Any]:
    backend = options.target
    chosen: dict[str, Any] = {"part": options.part_of(part)}
    if backend.boards:
        chosen = {"board": options.board or backend.boards[0]}
    if options.clock_uncertainty and backend.vendor == "AMD":
        chosen["clock_uncertainty"] = options.clock_uncertainty
    return chosen


@contextlib.contextmanager
def _errors(options: Hls4mlOptions) -> Iterator[None]:
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"hls4ml's {options.backend} backend cannot convert this model",
                          f"{type(error).__name__}: {error}".splitlines()[0],
                          "Use the RTL flow, or other quantizers for the layer named") from error


@contextlib.contextmanager
def _said(monitor: Monitor) -> Iterator[None]:
    """What hls4ml prints goes to the log."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
    finally:
        for line in [*said.getvalue().splitlines(), *(str(warning.message) for warning in warned)]:
            monitor.log(line, "debug", "hls4ml")


def _refuse_unknown(model: Any, options: Hls4mlOptions) -> None:
    """Raise ExportError for a layer that hls4ml has no exact handler for."""
    from core.hls.handlers import known

    for layer in model.layers:
        if not known(layer) and not isinstance(layer, keras.layers.Softmax):
            raise ExportError(f"layer {layer.name!r} ({type(layer).__name__}) has no exact form in hls4ml",
                              remedy="Use the RTL flow, or take the layer out of the model")


def emulate(graph: Any, directory: Path, events: np.ndarray, monitor: Monitor, limit_s: float = 1800.0) -> np.ndarray:
    """Compile the project's C++ with g++ and run events (events, inputs) through it; outputs (events, outputs).

    Several inputs of an event, and several outputs, follow each other in the order of the model.

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
    inputs, outputs = (emulator.sizes_text([int(variable.size()) for variable in found])
                       for found in (graph.get_input_variables(), graph.get_output_variables()))
    with tempfile.TemporaryDirectory(prefix="quantiscope-emulation-") as scratch:
        source, target = Path(scratch) / "events.npy", Path(scratch) / "result.npy"
        np.save(source, np.asarray(events, dtype=np.float64))
        run_tool([sys.executable, emulator.__file__, library, f"{PROJECT}_double", source, outputs, target, inputs],
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


def hls4ml_mismatches(model: Any, events: Arrays, options: Hls4mlOptions | None = None,
                      directory: Path | None = None, quick: bool = True) -> int:
    """Values of the g++ emulation that differ from Keras in float64, on unquantized events (events, ...).

    Args:
        directory: where the project is kept; None: in a temporary folder.
        quick: compile without optimization, which is several times faster for few events; computes the same.

    Raises:
        ExportError: the model cannot be exported exactly by this flow: see the reason.
    """
    from core.quant.evaluation import predict

    options = options or Hls4mlOptions()
    if not options.emulated:
        raise ExportError(f"the C++ of {options.backend} in {options.io_type} cannot be run here",
                          f"it needs {options.target.tool}", "Choose Vitis")
    wanted = flat(predict(logits_model(model)[0], events, "float64"))
    with tempfile.TemporaryDirectory(prefix="quantiscope-hls4ml-") as scratch:
        folder = directory or Path(scratch)
        graph = write_project(model, folder, DEFAULT_PART, 5.0, Monitor(), options)
        if quick:
            unoptimized(folder)
        found = emulate(graph, folder, flat(events), Monitor())
    return int((found.reshape(wanted.shape) != wanted).sum())
