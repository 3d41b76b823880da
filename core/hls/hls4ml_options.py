"""How an hls4ml project is written: backend, streams, strategy, reuse, softmax. Needs nothing but msgspec.

What each backend can do without its vendor's tool was found by running it (hls4ml 1.3.0).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

import msgspec

from core.errors import ExportError

IO_TYPES = ("io_parallel", "io_stream")
#: names of strategies as hls4ml spells them
STRATEGIES = ("Latency", "Resource", "Resource_unrolled", "distributed_arithmetic")
SOFTMAX = ("strip", "argmax", "keep")
PIPELINES = ("auto", "dataflow", "pipeline")


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """One of hls4ml's backends.

    `tool` builds its projects, by `command` in the project's folder; `emulates` lists the IO types whose C++ can
    be compiled by g++ and run here, with nothing of the vendor's; `steps` tells whether functions that are looked
    up and layers that move values can be written for it. `writes` is False where not even the project can be
    written without the vendor's tool.
    """

    name: str
    vendor: str
    tool: str
    command: str
    part: str
    emulates: tuple[str, ...] = ()
    io_types: tuple[str, ...] = IO_TYPES
    strategies: tuple[str, ...] = ("Latency", "Resource")
    softmax: tuple[str, ...] = ("strip", "keep")
    steps: bool = False
    writes: bool = True
    boards: tuple[str, ...] = ()
    note: str = ""


_VITIS = "vitis-run --mode hls --tcl build_prj.tcl"
_VIVADO = 'vivado_hls -f build_prj.tcl "reset=1 csim=1 synth=1 cosim=0 validation=0 export=0 vsynth=0 fifo_opt=0"'
_XILINX = "xcvu9p-flgb2104-2L-e"

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in (
    Backend(name="Vitis", vendor="AMD", tool="Vitis HLS", command=_VITIS, part=_XILINX, emulates=IO_TYPES,
            strategies=STRATEGIES, softmax=SOFTMAX, steps=True,
            note="before 2024: vitis_hls -f build_prj.tcl"),
    Backend(name="Vivado", vendor="AMD", tool="Vivado HLS", command=_VIVADO, part=_XILINX, emulates=IO_TYPES,
            strategies=STRATEGIES, softmax=SOFTMAX, steps=True, note="2020.1 and before"),
    Backend(name="VivadoAccelerator", vendor="AMD", tool="Vivado HLS and Vivado", command=_VIVADO,
            part="xc7z020clg400-1", emulates=("io_parallel",), boards=(
                "pynq-z2", "zcu102", "alveo-u50", "alveo-u250", "alveo-u200", "alveo-u280"),
            note="the board decides the part; then vivado -mode batch -source design.tcl makes the bitstream"),
    Backend(name="Quartus", vendor="Intel", tool="Intel HLS compiler", command="make quantiscope_hls-fpga"
            " && ./quantiscope_hls-fpga", part="Arria10", emulates=IO_TYPES),
    Backend(name="oneAPI", vendor="Intel", tool="oneAPI (icpx)", command="mkdir -p build && cd build && cmake .. "
            "&& make report", part="Agilex7", note="its C++ needs icpx, also for the emulation (make fpga_emu)"),
    Backend(name="Catapult", vendor="Siemens", tool="Catapult", part="xcvu13p-flga2577-2-e", emulates=IO_TYPES,
            command="catapult -product ultra -shell -f build_prj.tcl"),
    Backend(name="Libero", vendor="Microchip", tool="SmartHLS (Libero SoC)", command="shls hw", part="MPF300",
            writes=False, note="hls4ml asks SmartHLS for its headers while it writes the project"),
    Backend(name="SymbolicExpression", vendor="AMD", tool="Vitis HLS", command=_VITIS, part=_XILINX, writes=False,
            io_types=("io_parallel",), note="for formulas of symbolic regression, not for networks"),
)}


class Hls4mlOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the hls4ml flow. Part and clock are those of the export.

    Args:
        backend: one of `BACKENDS`.
        io_type: "io_parallel" (all values of a layer at once) or "io_stream" (one pixel after the other).
        strategy: "Latency", "Resource", "Resource_unrolled" or "distributed_arithmetic" (adder trees, no DSP;
            Vivado and Vitis), for all layers.
        reuse_factor: products that share a multiplier, for all layers; 1 is fully parallel.
        layer_strategy, layer_reuse: by layer name or pattern ("dense_*"), before those for all.
        softmax: "strip" leaves a softmax at the end out, "argmax" makes it 1 for the largest output and 0 for the
            others, "keep" makes hls4ml's own of tables, which is not exact.
        pipeline: style of the top function: "auto", "dataflow" or "pipeline".
        clock_uncertainty: share of the clock period kept back, such as "27%"; "" is the backend's own.
        board: of an accelerator backend; "" is its first.
        part: "" is the export's, where the backend is AMD's, else the backend's own.
        testbench_events: so many of the events go to tb_data.
    """

    backend: str = "Vitis"
    io_type: str = "io_parallel"
    strategy: str = "Latency"
    reuse_factor: int = 1
    layer_strategy: dict[str, str] = {}
    layer_reuse: dict[str, int] = {}
    softmax: str = "strip"
    pipeline: str = "auto"
    clock_uncertainty: str = ""
    board: str = ""
    part: str = ""
    testbench_events: int = 1000

    @property
    def target(self) -> Backend:
        """The backend's description; raises ExportError for an unknown one."""
        if self.backend not in BACKENDS:
            raise ExportError(f"hls4ml has no backend {self.backend!r}", remedy=f"Use one of: {', '.join(BACKENDS)}")
        return BACKENDS[self.backend]

    @property
    def emulated(self) -> bool:
        """True where the C++ of these settings can be run here by g++."""
        return self.io_type in self.target.emulates

    def check(self) -> None:
        """Raise ExportError for a setting that is unknown, out of range, or not of this backend."""
        backend = self.target
        if not backend.writes:
            raise ExportError(f"hls4ml's {backend.name} backend cannot write this project here", backend.note,
                              "Use Vitis, Vivado, Quartus, oneAPI or Catapult")
        _among("IO type", self.io_type, backend.io_types, backend.name)
        for strategy in (self.strategy, *self.layer_strategy.values()):
            _among("strategy", strategy, backend.strategies, backend.name)
        _among("softmax", self.softmax, backend.softmax, backend.name)
        _among("pipeline style", self.pipeline, PIPELINES, "hls4ml")
        if self.board:
            _among("board", self.board, backend.boards, backend.name)
        for reuse in (self.reuse_factor, *self.layer_reuse.values()):
            if not 1 <= reuse <= 2**20:
                raise ExportError(f"a reuse factor of {reuse} is out of range", remedy="Give 1 to 1048576")
        if self.testbench_events < 0:
            raise ExportError("a negative number of testbench events", remedy="Give 0 or more")

    def check_layers(self, names: list[str]) -> None:
        """Raise ExportError for a layer of `layer_strategy` or `layer_reuse` that the model does not have."""
        for pattern in (*self.layer_strategy, *self.layer_reuse):
            if not fnmatch.filter(names, pattern):
                raise ExportError(f"no layer is named {pattern!r}", remedy=f"The layers are: {', '.join(names)}")

    def of_layer(self, name: str) -> tuple[str, int]:
        """(strategy, reuse factor) of a layer."""
        return (_first(self.layer_strategy, name, self.strategy), _first(self.layer_reuse, name, self.reuse_factor))

    def part_of(self, part: str) -> str:
        """The part to write for, given the export's."""
        backend = self.target
        return self.part or (part if backend.vendor == "AMD" and not backend.boards else backend.part)


#: setting -> field that holds it for single layers
_BY_LAYER = {"strategy": "layer_strategy", "reuse_factor": "layer_reuse"}


def parse_options(texts: Iterable[str]) -> Hls4mlOptions:
    """Settings from texts such as "backend=Vivado", "reuse_factor=4", "reuse_factor.dense_*=8".

    Raises:
        ExportError: a text that is no setting, or a value that is none.
    """
    fields: dict[str, Any] = {}
    plain = [f for f in Hls4mlOptions.__struct_fields__ if f not in _BY_LAYER.values()]
    for text in texts:
        key, sign, value = text.partition("=")
        key, _, layer = key.strip().partition(".")
        if not sign or key not in plain or (layer and key not in _BY_LAYER):
            raise ExportError(f"{text!r} is no setting of the hls4ml flow", remedy="Write NAME=VALUE with one of:"
                              f" {', '.join(plain)}, strategy.LAYER, reuse_factor.LAYER")
        number = isinstance(getattr(Hls4mlOptions(), key), int)
        if number and not value.strip().lstrip("-").isdigit():
            raise ExportError(f"{text!r} has no whole number", remedy=f"Write {key}=4, for example")
        chosen = int(value) if number else value.strip()
        if layer:
            fields.setdefault(_BY_LAYER[key], {})[layer] = chosen
        else:
            fields[key] = chosen
    options = Hls4mlOptions(**fields)
    options.check()
    return options


def _first(by_pattern: dict[str, Any], name: str, otherwise: Any) -> Any:
    if name in by_pattern:
        return by_pattern[name]
    return next((value for pattern, value in by_pattern.items() if fnmatch.fnmatchcase(name, pattern)), otherwise)


def _among(what: str, value: str, known: tuple[str, ...], whose: str) -> None:
    if value not in known:
        raise ExportError(f"{whose} has no {what} {value!r}", remedy=f"Use one of: {', '.join(known) or 'none'}")
