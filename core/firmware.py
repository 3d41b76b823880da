"""Jobs on a candidate's firmware that are more than one export: its synthesis, and a script that makes it again."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from core import requests
from core.errors import ExportError
from core.events import Monitor
from core.files import write_atomically
from core.hls import manifest, script
from core.hls.parts import find_part
from core.hls.report import ExportReport
from core.hls.synthesis import require_tool, synthesize
from core.project import Project


def synthesize_candidate(request: requests.Synthesize, monitor: Monitor) -> ExportReport:
    """Synthesize a candidate's export; it is exported first where no export of these settings is there.

    Raises:
        ExportError: the tool cannot work on this candidate.
        ToolMissingError, ToolFailedError: the tool is missing or failed; its log stays in the export's folder.
        Cancelled: asked to stop; finished steps are kept.
    """
    require_tool(request.options)
    find_part(request.part)
    flow = request.flow or request.options.project
    if flow not in ("both", request.options.project):
        raise ExportError(f"{request.options.tool} works on the {request.options.project} flow, not on {flow}",
                          remedy=f"Leave --flow away, or choose {request.options.project} or both")
    with Project.open(request.project) as project:
        project.candidate(request.candidate_id)
        project.require_writable()
        found = _existing(project, request, flow)
    if found is None:
        from core.workflows import run

        found = run(_export_request(request, flow), monitor)
    elif found.exactness is not None and found.exactness.verified:
        monitor.log(f"{found.directory} is exported and proved already", "info", "export")
    return synthesize(found, request.options, monitor)


def _export_request(request: requests.Synthesize, flow: str) -> requests.Export:
    return requests.Export(project=request.project, candidate_id=request.candidate_id, flow=flow, part=request.part,
                           clock_ns=request.clock_ns, events=request.events, synthesize=False, rtl=request.rtl,
                           hls4ml=request.hls4ml)


def _existing(project: Project, request: requests.Synthesize, flow: str) -> ExportReport | None:
    """The report of a finished, verified export of these settings by this flow, or by both."""
    for report in reversed(project.exports()):
        if report.candidate_id != request.candidate_id or report.flow not in (flow, "both"):
            continue
        directory = project.export_directory(report.candidate_id, report.flow)
        wanted = manifest.settings(report.flow, request.part, request.clock_ns, request.rtl, request.hls4ml)
        try:
            same = manifest.load(directory).settings == wanted
        except ExportError:
            continue
        if same and report.exactness is not None and report.exactness.verified:
            return msgspec.structs.replace(report, directory=str(directory))  # the project may have been moved
    return None


def write_script(request: requests.WriteScript, monitor: Monitor) -> str:
    """Write the script, and the weights beside it; returns its path. Raises ExportError where it cannot be written."""
    target = Path(request.path).expanduser().absolute()
    if target.suffix != ".py":
        raise ExportError(f"{target.name} is no name of a Python script", remedy="Give a name that ends in .py")
    with Project.open(request.project) as project:
        candidate = project.candidate(request.candidate_id)
        weights = target.with_suffix(".weights.npz")
        text = script.text_of(candidate, project.model_path, project.data_reference, weights.name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project.weights_path(candidate.id), weights)
            write_atomically(target, text.encode())
        except OSError as error:
            raise ExportError(f"{target} cannot be written", error.strerror or str(error),
                              "Choose another place") from None
    monitor.log(f"{target.name} makes candidate {candidate.id} again", "info", "script")
    return str(target)
