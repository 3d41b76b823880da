"""Follows one event through a written hls4ml project: a copy of it, made to tell every step's values, is compiled."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from core.arrays import Arrays, flat
from core.errors import ToolFailedError
from core.events import Monitor
from core.hls import diagnosis, emulator
from core.hls.diagnosis import Divergence, WrittenType, written_type
from core.hls.hls4ml_flow import unoptimized
from core.hls.launcher import run_tool
from core.hls.network import Network, Node

_CALL = re.compile(r"^\s*nnet::\w+<(?P<types>[^;]*)>\((?P<arguments>[^;]*)\);\s*//\s*(?P<name>.+?)\s*$")
_HELPER = '''
#include <cstdio>
#include <cstdlib>
template <class T> void qs_one(FILE *f, const T &v) { fprintf(f, " %a", static_cast<double>(v)); }
inline FILE *qs_open(const char *name) {
    FILE *f = fopen(getenv("QUANTISCOPE_VALUES"), "a");
    fprintf(f, "%s", name);
    return f;
}
template <class T> void qs_save(const char *name, T *v, unsigned n) {
    FILE *f = qs_open(name);
    for (unsigned i = 0; i < n; i++) qs_one(f, v[i]);
    fprintf(f, "\\n");
    fclose(f);
}
template <class T> void qs_save(const char *name, hls::stream<T> &s, unsigned) {
    FILE *f = qs_open(name);
    for (size_t left = s.size(); left > 0; left--) {
        T pack = s.read();
        for (unsigned i = 0; i < T::size; i++) qs_one(f, pack[i]);
        s.write(pack);
    }
    fprintf(f, "\\n");
    fclose(f);
}
'''


def find(model: keras.Model, network: Network, expected: dict[str, np.ndarray], event: Arrays, project: Path,
         monitor: Monitor) -> Divergence | None:
    """The first layer whose values in the project's C++ are not Keras's; None where no layer shows it.

    Raises:
        ToolFailedError: the copy cannot be compiled or run.
    """
    top = _top(project)
    written, steps = _instrumented((project / "firmware" / f"{top}.cpp").read_text())
    inputs, outputs = (emulator.sizes_text([len(expected[name]) for name in names])
                       for names in (network.entries, network.results))
    values = _values(project, top, written, event, inputs, outputs, monitor)
    nodes = {node.name: node for node in network.nodes}
    for step, layer in _by_layer(model, [name for name in steps if name in values]):
        wanted = expected[layer]
        place = diagnosis.first_difference(wanted, values[step])
        if place is not None:
            types = _types_of(project, steps[step])
            owner = nodes.get(_owner(model, step))
            cause = diagnosis.from_types(types, float(wanted[place]), float(values[step][place]),
                                         _sums(owner, expected), {} if owner is None else owner.weights, wanted)
            return Divergence(layer, place, float(wanted[place]), float(values[step][place]), cause)
    return None


def _top(project: Path) -> str:
    tops = [path.stem for path in (project / "firmware").glob("*.cpp")]
    if len(tops) != 1:
        raise ToolFailedError("the project's C++ cannot be found", f"in {project / 'firmware'}", "Export again")
    return tops[0]


def _instrumented(text: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """(C++ that tells values after each step, types and arguments of each step by its name)."""
    sizes = {name: size for name, size in re.findall(r"\b(\w+)\[([\w*]+)\]", text)}
    lines, steps = [], {}
    for line in text.splitlines():
        lines.append(line)
        call = _CALL.match(line)
        outputs = re.findall(r"\blayer(\d+)_out\b", call["arguments"]) if call else []
        if call and outputs:
            variable = f"layer{max(outputs, key=int)}_out"
            steps[call["name"]] = (call["types"], call["arguments"])
            lines.append(f'    qs_save("{call["name"]}", {variable}, {sizes.get(variable, "0")});')
    return "\n".join(lines) + "\n", steps


def _values(project: Path, top: str, written: str, event: Arrays, inputs: str, outputs: str,
            monitor: Monitor) -> dict[str, np.ndarray]:
    """Every step's values for the event, by the step's name."""
    with tempfile.TemporaryDirectory(prefix="quantiscope-diagnosis-") as scratch:
        copy = Path(scratch) / "project"
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns("*.so", "*.log", "tb_data"))
        # the helper comes after the project's own headers, which bring the streams
        end = written.find("\n", written.rindex("#include")) + 1
        (copy / "firmware" / f"{top}.cpp").write_text(written[:end] + _HELPER + written[end:])
        unoptimized(copy)
        told = Path(scratch) / "values.txt"
        environment = {**os.environ, "LC_ALL": "C", "QUANTISCOPE_VALUES": str(told)}
        run_tool(["bash", "build_lib.sh"], copy, monitor, name="g++", environment=environment,
                 telling=lambda line: False)
        library = next((copy / "firmware").glob("*.so"), None)
        if library is None:
            raise ToolFailedError("the copy of the project was not compiled", remedy="See the log")
        np.save(Path(scratch) / "event.npy", flat(event).astype(np.float64))
        run_tool([sys.executable, emulator.__file__, library, f"{top}_double", Path(scratch) / "event.npy",
                  outputs, Path(scratch) / "result.npy", inputs], copy, monitor, name="c++ emulation",
                 environment=environment)
        return {name: np.array([float.fromhex(v) for v in values])
                for name, *values in map(str.split, told.read_text().splitlines())}


def _owner(model: keras.Model, step: str) -> str:
    """The layer that a step of the C++ belongs to: its name begins with that of the layer."""
    names = [layer.name for layer in model.layers if step == layer.name or step.startswith((f"{layer.name}_",
                                                                                            f"{layer.name}/"))]
    return max(names, key=len, default="")


def _by_layer(model: keras.Model, steps: list[str]) -> list[tuple[str, str]]:
    """(last step of a layer, layer whose values it then holds), in the order of computation."""
    last: dict[str, str] = {}
    for step in steps:
        owner = _owner(model, step)
        if owner:
            last.pop(owner, None)
            last[owner] = step
    ends = diagnosis.passed_on(model, list(last))
    return [(step, ends[owner]) for owner, step in last.items()]


def _types_of(project: Path, step: tuple[str, str]) -> dict[str, WrittenType]:
    """The written types of a step: result, accumulator, weights."""
    text = (project / "firmware/defines.h").read_text()
    defined = {name: kind for kind, name in re.findall(r"^typedef\s+(\S.*?)\s+(\w+);", text, re.MULTILINE)}
    arguments = [part.strip() for part in step[0].split(",")]
    found = {"result": defined.get(arguments[-2], "") if len(arguments) > 1 else ""}
    parameters = (project / "firmware/parameters.h").read_text()
    block = re.search(rf"struct {re.escape(arguments[-1])}\b.*?\n}};", parameters, re.DOTALL)
    for text, name in re.findall(r"typedef\s+(\S.*?)\s+(\w+)_t;", block.group(0) if block else ""):
        found[{"weight": "kernel"}.get(name, name)] = defined.get(text, text)
    return {name: kind for name, text in found.items() if (kind := written_type(text)) is not None}


def _sums(node: Node | None, expected: dict[str, np.ndarray]) -> np.ndarray | None:
    """What the accumulators of a layer hold in the end: its sums before activation and quantizer."""
    if node is None or node.op != "dense" or node.inbound[0] not in expected:
        return None
    kernel = node.weights["kernel"]
    sums: Any = expected[node.inbound[0]].reshape(-1, kernel.shape[0]) @ kernel
    return np.asarray(sums + node.weights.get("bias", 0.0)).ravel()
