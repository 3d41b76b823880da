"""Commands on a candidate's firmware that need more settings than the rest: `quantiscope synthesize`, `tools`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import console
from core import requests
from core.hls import hls4ml_options, rtl_options
from core.hls.synthesis_options import TOOLS, SynthesisOptions
from core.hls.tools import survey

_LIMITS = "Limits and places"


def synthesize(
    project: Annotated[Path, typer.Argument(help="A project folder (name.qscope).")],
    candidate: Annotated[str, typer.Argument(help="The candidate's id, such as c0003.")],
    tool: Annotated[str, typer.Option(help=f"One of: {', '.join(TOOLS)}.")] = "yosys",
    stage: Annotated[str, typer.Option(help="hls, synthesis or implementation; the tool's own by default.")] = "",
    flow: Annotated[str, typer.Option(help="rtl, hls4ml or both; what the tool works on by default.")] = "",
    part: Annotated[str, typer.Option(help="The FPGA part.")] = "xcvu9p-flgb2104-2L-e",
    clock: Annotated[float, typer.Option("--clock", help="Clock period in ns.")] = 5.0,
    events: Annotated[int, typer.Option(help="Test events for the bit-exactness check; 0: all.")] = requests.EVENTS,
    hls4ml: Annotated[list[str] | None, typer.Option(
        "--hls4ml", help="A setting of the hls4ml flow, such as reuse_factor=4; repeat.")] = None,
    rtl: Annotated[list[str] | None, typer.Option(
        "--rtl", help="A setting of the RTL flow, such as language=vhdl; repeat.")] = None,
    device: Annotated[str, typer.Option(help="Another part for this tool alone, such as Quartus's.")] = "",
    host: Annotated[str, typer.Option(help="A build host as ssh knows it, such as build01.",
                                      rich_help_panel=_LIMITS)] = "",
    tool_path: Annotated[str, typer.Option(help="The tool's program or folder; else the PATH is searched.",
                                           rich_help_panel=_LIMITS)] = "",
    setup: Annotated[str, typer.Option(help="A script to source first, such as settings64.sh.",
                                       rich_help_panel=_LIMITS)] = "",
    hours: Annotated[float, typer.Option(help="Time limit of each step.", rich_help_panel=_LIMITS)] = 12.0,
    memory: Annotated[float | None, typer.Option(help="Memory limit of a step in GB.",
                                                 rich_help_panel=_LIMITS)] = None,
    disk: Annotated[float | None, typer.Option(help="GB that must be free before.", rich_help_panel=_LIMITS)] = None,
    again: Annotated[bool, typer.Option("--again", help="Run finished steps too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")] = False,
) -> None:
    """Synthesize a candidate: latency, DSP, LUT, FF, slack from the tool's own report; exports it where needed."""
    with console.output(json) as out:
        options = SynthesisOptions(tool=tool, stage=stage, path=tool_path, host=host, setup=setup, device=device,
                                   hours=hours, memory_gb=memory, disk_gb=disk, again=again)
        report = console.run(requests.Synthesize(
            project=str(project), candidate_id=candidate, flow=flow, part=part, clock_ns=clock, events=events,
            hls4ml=hls4ml_options.parse_options(hls4ml or []), rtl=rtl_options.parse_options(rtl or []),
            options=options), out)
        out.result(report, lambda: console.export_table(report))
        console.refuse_mismatches(report)


def tools(json: Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")] = False) -> None:
    """The tools that Quantiscope can use, where they are, and how to install those that are missing."""
    with console.output(json) as out:
        found = survey()
        out.result({tool.name: {"path": tool.path, "version": tool.version, "purpose": tool.purpose,
                                "install": "" if tool.found else tool.install} for tool in found},
                   lambda: console.table(("tool", "version", "where, or how to install it"),
                                         [(tool.name, tool.version, tool.path or f"missing: {tool.install}")
                                          for tool in found]))


def write_script(project: Path, candidate: str, path: Path, json: bool) -> None:
    """`quantiscope export --as-script`: a Python script that makes the candidate again."""
    with console.output(json) as out:
        written = console.run(requests.WriteScript(project=str(project), candidate_id=candidate, path=str(path)), out)
        out.result({"script": written}, lambda: f"python {written}")


def export_candidate(request: requests.Export, json: bool) -> None:
    """`quantiscope export`; exit code 1 where a value differs."""
    with console.output(json) as out:
        report = console.run(request, out)
        out.result(report, lambda: console.export_table(report))
        console.refuse_mismatches(report)


def preflight(request: requests.Export, json: bool) -> None:
    """`quantiscope export --dry-run`: what the export would meet; exit code 1 where it cannot be made."""
    from core.hls.preflight import FAIL, worst

    with console.output(json) as out:
        found = console.run(requests.Preflight(export=request), out)
        out.result(found, lambda: console.table(("", "about", "found", "what to do"), [
            (one.state, one.subject, one.what, one.remedy) for one in found]))
    if worst(found) == FAIL:
        raise typer.Exit(1)


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(synthesize)
    cli.command()(tools)
