"""Simulates written RTL with Verilator, event by event, one a clock.

VHDL is read by GHDL first, which hands it to Verilator as a netlist; without GHDL its Verilog twin is simulated.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from core.events import Monitor
from core.files import write_atomically
from core.hls import rtl_alkaid
from core.hls.launcher import run_tool
from core.hls.tools import find_tool, require, verilator_command

NOT_SIMULATED = ("The VHDL was not simulated, for GHDL is not installed; the Verilog of the same logic was."
                 " With GHDL (apt-get install ghdl) the VHDL itself is simulated.")
NOT_READ = ("The VHDL was not simulated, for this version of GHDL leaves modules out of its netlist; the Verilog of the"
            " same logic was.")
#: splitting keeps the compiler from choking on one huge function
_SPLIT = ("--output-split", "4000", "--output-split-cfuncs", "400")


def simulate(rtl: rtl_alkaid.Rtl, events: np.ndarray, monitor: Monitor, limit_s: float = 1800.0,
             warnings: list[str] | None = None, runtime: Path | None = None) -> np.ndarray:
    """Build the simulator in `sim/` and run the events (events, inputs) through it; outputs (events, outputs).

    Where VHDL cannot be simulated its Verilog twin is, and `warnings` is told why. `runtime` is a folder that keeps the
    compiled code that all simulators share, for those who build many small ones; theirs is compiled without
    optimization then.

    Raises:
        ToolMissingError: Verilator, perl, g++ or make is missing.
        ToolFailedError: the build failed.
        Cancelled: asked to stop.
    """
    files = _netlist(rtl, monitor, limit_s) if rtl.twin is not None and simulates_vhdl() else []
    if rtl.twin is not None and not files:
        why = NOT_READ if simulates_vhdl() else NOT_SIMULATED
        monitor.log(why, "warning", "rtl")
        if warnings is not None:
            warnings.append(why)
        rtl = rtl.twin
    command, environment = verilator_command()
    top, stamp = rtl_alkaid.simulator_sources(rtl)
    folder = rtl.directory / "sim"
    log = folder / "verilator.log"
    with _build_folder(folder) as build:
        files = files or verilog_files(rtl.directory / "src")
        shared = _Runtime(folder / build, runtime)
        shared.bring()
        _build(command, environment, rtl_alkaid.library_name(stamp), top, files, build, folder, monitor, log, limit_s,
               optimized=runtime is None)
        shared.keep()
    return rtl_alkaid.attach_simulator(rtl, stamp, events)


def simulates_vhdl() -> bool:
    """True where GHDL is here to read VHDL."""
    return find_tool("ghdl").found


def _netlist(rtl: rtl_alkaid.Rtl, monitor: Monitor, limit_s: float) -> list[str]:
    """GHDL's netlist of the VHDL, as seen from the folder of the simulator; none where modules are missing from it."""
    source, folder, top = rtl.directory / "src", rtl.directory / "sim", rtl_alkaid.simulator_sources(rtl)[0]
    ghdl, log = require("ghdl")["ghdl"].path, folder / "ghdl.log"
    own = [source / f"{name}.vhd" for name in (rtl.top, top)]  # each entity after those that it is made of
    others = [path for path in sorted(source.glob("*.vhd")) if path not in own]
    files = [f"../src/{path.relative_to(source)}" for path in [*sorted(source.glob("static/*.vhd")),
                                                               *sorted(others, key=_tables_first), *own]]
    library = folder / "ghdl"
    library.mkdir(exist_ok=True)
    run_tool([ghdl, "-a", "--std=08", f"--workdir={library.name}", *files], folder, monitor, name="ghdl", log=log,
             limit_s=limit_s)

    def netlist_of(entity: str) -> str:
        made = folder / f"{entity}.v"
        run_tool([ghdl, "synth", "--std=08", f"--workdir={library.name}", "--out=verilog", entity], folder, monitor,
                 name="ghdl", log=log, limit_s=limit_s, result=made)
        text = made.read_text()
        made.unlink()
        return text

    netlist = completed(netlist_of(top), (netlist_of(stage) for stage in rtl.stages))
    (folder / f"{top}.v").write_text(netlist)
    return [] if missing_modules(netlist) else [f"{top}.v"]


def completed(netlist: str, others: Iterable[str]) -> str:
    """A netlist with the modules it lacks taken from others, one after the other, until none is missing.

    GHDL 2 forgets one of some hundred modules of a large design; those of a single stage it writes in full.
    """
    rest = iter(others)
    while missing_modules(netlist) and (other := next(rest, None)) is not None:
        known = {found[1]: found[0] for found in re.finditer(r"^module (\w+).*?^endmodule\n", other, re.M | re.S)}
        while wanted := missing_modules(netlist) & set(known):
            netlist += "".join(known[name] for name in sorted(wanted))
    return netlist


def missing_modules(netlist: str) -> set[str]:
    """The modules that a netlist of GHDL's makes use of and does not hold."""
    there = set(re.findall(r"^module (\w+)", netlist, re.MULTILINE))
    return set(re.findall(r"^  (?!module )(\w+) \w+ \($", netlist, re.MULTILINE)) - there


def _tables_first(path: Path) -> tuple[bool, str]:
    return not path.stem.endswith("_tables"), path.stem


@contextmanager
def _build_folder(folder: Path) -> Iterator[str]:
    """Where Verilator builds: obj_dir, or elsewhere when the path holds blanks, in which make cannot build."""
    if not any(character.isspace() for character in str(folder.resolve())):
        yield "obj_dir"
        return
    with tempfile.TemporaryDirectory(prefix="quantiscope-sim-") as elsewhere:
        yield elsewhere


def _build(command: Sequence[str], environment: Mapping[str, str], library: str, top: str, files: Sequence[str],
           build: str, folder: Path, monitor: Monitor, log: Path, limit_s: float, optimized: bool) -> None:
    """Translate the Verilog and link the simulator's library in `folder`."""
    include = f"{environment['VERILATOR_ROOT']}/include"
    translate, link = build_commands(command, include, require("g++")["g++"].path, library, top, files, build)
    if not optimized:
        translate, link = ([word.replace("-O1", "-O0") for word in words] for words in (translate, link))
    run_tool(translate, folder, monitor, name="verilator", log=log, environment=environment, limit_s=limit_s)
    run_tool(link, folder, monitor, name="g++", log=log, limit_s=limit_s)


class _Runtime:
    """The objects that every simulator of one Verilator links, kept in a folder between builds; None keeps none."""

    NAMES = ("verilated.o", "verilated_threads.o")

    def __init__(self, build: Path, kept: Path | None) -> None:
        self._build, self._kept = build, kept

    def bring(self) -> None:
        """Put them where make looks, as new: it compiles what is older than its source."""
        if self._kept is None or not all((self._kept / name).is_file() for name in self.NAMES):
            return
        self._build.mkdir(parents=True, exist_ok=True)
        for name in self.NAMES:
            shutil.copyfile(self._kept / name, self._build / name)

    def keep(self) -> None:
        """Keep those of a build that made them."""
        if self._kept is None or all((self._kept / name).is_file() for name in self.NAMES):
            return
        self._kept.mkdir(parents=True, exist_ok=True)
        for name in self.NAMES:
            write_atomically(self._kept / name, (self._build / name).read_bytes())


def build_commands(verilator: Sequence[str], include: str, compiler: str, library: str, top: str,
                   files: Sequence[str], build: str) -> tuple[list[str], list[str]]:
    """The command that translates the Verilog in the folder `build`, and the one that links the library."""
    translate = [*verilator, "--cc", "--build", "--Mdir", build, "-j", "2", "--top-module", top, "--prefix", f"V{top}",
                 "-Wno-fatal", "-Wno-lint", *_SPLIT, "-O3", "-CFLAGS", "-std=c++17 -fPIC -O1", "-I../src",
                 "-I../src/static", *files]
    link = [compiler, "-std=c++17", "-fPIC", "-O1", f"-I{build}", f"-I{include}", f"-I{include}/vltstd", "-I.",
            "-pthread", "-shared", "-o", library, "fsm_binder.cc", f"{build}/libV{top}.a", f"{build}/libverilated.a",
            "-Wl,--no-undefined"]
    return translate, link


def verilog_files(source: Path) -> list[str]:
    """The Verilog under `source`, as seen from the folder of the simulator."""
    return [f"../src/{path.relative_to(source)}" for path in
            [*sorted(source.glob("static/*.v")), *sorted(source.glob("*.v"))]]
