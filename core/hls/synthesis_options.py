"""How an export is synthesized: by which tool, where, and within which limits. Needs nothing but msgspec."""

from __future__ import annotations

import re

import msgspec

from core.errors import ExportError

YOSYS = "yosys"
#: tool by its name on the command line -> the flow whose project it works on
TOOLS = {YOSYS: "rtl", "vitis": "hls4ml", "vivado_hls": "hls4ml", "vivado": "rtl", "quartus": "rtl",
         "intel_hls": "hls4ml", "oneapi": "hls4ml", "catapult": "hls4ml", "libero": "hls4ml"}
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]*")


def check_host(name: str) -> None:
    """Raise ExportError for what ssh would not take as a host, or would take for an option; "" is none."""
    if name and not _HOST.fullmatch(name):
        raise ExportError(f"{name!r} cannot be the name of a host",
                          remedy="Give it as ssh takes it: build01, or me@build01.example.org")


class SynthesisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to synthesize.

    Args:
        tool: one of `TOOLS`.
        stage: "hls", "synthesis" or "implementation"; "" is the tool's own default.
        path: the tool's program or folder; "" looks on the PATH (of the host).
        host: a build host as ssh knows it; "" runs here.
        setup: a script to source before the tool, such as settings64.sh.
        device: another part than the export's, for this tool.
        hours: time limit of each step. memory_gb: of what a step may hold, in 10^9 bytes. disk_gb: what must be
            free before; None is what the tool is known to need.
        again: run finished steps too.
    """

    tool: str = YOSYS
    stage: str = ""
    path: str = ""
    host: str = ""
    setup: str = ""
    device: str = ""
    hours: float = 12.0
    memory_gb: float | None = None
    disk_gb: float | None = None
    again: bool = False

    def check(self) -> None:
        """Raise ExportError for a setting that is unknown or out of range."""
        if self.tool not in TOOLS:
            raise ExportError(f"unknown synthesis tool {self.tool!r}", remedy=f"Use one of: {', '.join(TOOLS)}")
        if not 0 < self.hours <= 1000:
            raise ExportError(f"a limit of {self.hours:g} hours is out of range", remedy="Give up to 1000 hours")
        for name, value in (("memory", self.memory_gb), ("disk", self.disk_gb)):
            if value is not None and not 0 < value <= 1e6:
                raise ExportError(f"{value:g} GB of {name} are out of range", remedy="Give more than 0 GB")
        if self.device and not all(c.isalnum() or c in "-_." for c in self.device):
            raise ExportError(f"{self.device!r} cannot be the name of a part")
        check_host(self.host)
        if self.tool == YOSYS and (self.host or self.path or self.setup or self.device):
            raise ExportError("Yosys comes with Quantiscope and runs here",
                              remedy="Leave host, tool path, setup and device away")
        if self.tool == YOSYS and self.stage not in ("", "synthesis"):
            raise ExportError(f"Yosys does no {self.stage}", remedy="Use vivado or quartus for it")

    @property
    def project(self) -> str:
        """The flow whose project the tool works on: "rtl" or "hls4ml"."""
        return TOOLS[self.tool]
