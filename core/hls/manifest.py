"""What an export's folder holds, for those who work on it afterwards without the model: export.json."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.errors import ExportError
from core.files import write_atomically
from core.hls.hls4ml_options import Hls4mlOptions
from core.hls.rtl_options import RtlOptions

NAME = "export.json"


class HlsProject(msgspec.Struct, frozen=True, kw_only=True):
    """The hls4ml project: `top` is its top function; `inputs` and `outputs` count values of an event.

    `input_sizes` and `output_sizes` are those of each input and output, where it is told.
    """

    folder: str
    top: str
    backend: str
    inputs: int
    outputs: int
    input_sizes: list[int] = []
    output_sizes: list[int] = []


class RtlProject(msgspec.Struct, frozen=True, kw_only=True):
    """The RTL: `stages` are its combinational modules; `verilog` is the folder of the Verilog of the same logic.

    `extra_steps` are the clock cycles to run on after the last event went in, until its result is out.
    """

    folder: str
    top: str
    language: str
    verilog: str
    stages: list[str]
    cycles: int
    outputs: int
    extra_steps: int


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A command and the folder, below the export's, to run it in.

    In its words {python}, {perl}, {g++}, {verilator}, {build}, {library} and {result} stand for places.
    """

    folder: str
    command: list[str]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """How one flow is checked again: built, run on the stored events, compared with `expected` (a .npy file)."""

    build: list[Recorded]
    run: Recorded
    library: str
    expected: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One export: what was written, for which part and clock (ns), by which tools, with which settings.

    `checks` by flow and `synthesis` by tool are the commands by which it can be checked and built again.
    """

    candidate_id: str
    flow: str
    part: str
    clock_ns: float
    events: int
    settings: str
    tools: dict[str, str]
    hls: HlsProject | None = None
    rtl: RtlProject | None = None
    checks: dict[str, Check] = {}
    synthesis: dict[str, list[Recorded]] = {}

    def save(self, directory: Path) -> None:
        """Write it into the export's folder."""
        write_atomically(directory / NAME, msgspec.json.format(msgspec.json.encode(self), indent=2))


def settings(flow: str, part: str, clock_ns: float, rtl: RtlOptions, hls4ml: Hls4mlOptions) -> str:
    """All that decides what an export's projects are, as one text: two exports with the same one are the same."""
    own = [msgspec.json.encode(options).decode() for options, name in ((rtl, "rtl"), (hls4ml, "hls4ml"))
           if flow in (name, "both")]
    return " ".join((flow, part.lower(), f"{clock_ns:g}", *own))


def load(directory: Path) -> Manifest:
    """The manifest of an export's folder; raises ExportError where there is none that can be read."""
    try:
        return msgspec.json.decode((directory / NAME).read_bytes(), type=Manifest)
    except (OSError, ValueError) as error:
        raise ExportError(f"{directory} is not a finished export", str(error).splitlines()[0],
                          "Export the candidate again") from None
