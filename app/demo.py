"""The main job on the bundled model, without a window: search, choose, export, prove, synthesize, report.

This process does the heavy work and imports TensorFlow; the pictures are drawn by `app.render` in a
process of its own, which holds Qt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

import resources
from app.report import front_points, point
from core import requests, workflows
from core.candidate import Candidate, Evaluation
from core.errors import ProjectError, SearchError, ToolFailedError
from core.events import Monitor
from core.files import write_atomically
from core.hls.report import ExportReport
from core.project import Project
from core.search.front import best_tradeoff

MODEL = "models/jet_tagger.keras"
DATA = "jets"
#: accuracy a chosen point may lose against the float model
TOLERANCE = 0.01
PICTURES = ("front.png", "roc.png", "window.png")
RENDER_TIMEOUT_S = 180


def run_demo(out: Path, budget: float, monitor: Monitor, epochs: int = 3, events: int = requests.EVENTS,
             seed: int = 0) -> dict[str, Any]:
    """Do the whole job and leave everything in `out`; returns what report.json holds.

    A demo.qscope that lies there is gone on with: its candidates are kept and the search adds to them.

    Args:
        budget: seconds for the search.
        epochs: of training for each candidate.
        events: test events for the bit-exactness check.

    Raises:
        QuantiscopeError: a step failed; what was stored before stays.
    """
    started = time.monotonic()
    timings: dict[str, float] = {}
    folder = _folder(out)
    floats = _step(timings, "evaluate", lambda: _evaluate_float(folder, monitor))
    added = _step(timings, "search", lambda: workflows.run(
        requests.Search(project=str(folder), seconds=budget, epochs=epochs, seed=seed), monitor))
    with Project.open(folder) as project:
        candidates = project.candidates()
    chosen = best_tradeoff(candidates, floats.accuracy, TOLERANCE)
    if chosen is None:
        raise SearchError("the search finished no candidate", remedy="Give it a larger --budget")
    monitor.log(f"chosen: {chosen.id}")
    with Project.open(folder) as project:
        project.save_recipe(chosen.recipe)
    export = _step(timings, "export", lambda: workflows.run(
        requests.Export(project=str(folder), candidate_id=chosen.id, flow="both", events=events), monitor))
    monitor.stage("pictures")
    _step(timings, "pictures", lambda: _render(folder, chosen.id, out))
    timings["total"] = time.monotonic() - started
    report = _report(out, folder, floats, candidates, added, chosen, export, timings)
    write_atomically(out / "report.json", msgspec.json.format(msgspec.json.encode(report), indent=2))
    return report


def _step(timings: dict[str, float], name: str, work: Any) -> Any:
    before = time.monotonic()
    result = work()
    timings[name] = time.monotonic() - before
    return result


def _folder(out: Path) -> Path:
    """The demo's project, made when it is not there."""
    folder = out.absolute() / "demo.qscope"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"{out} cannot be made", error.strerror or str(error), "Choose another --out") from None
    if not folder.exists():
        workflows.create_project(folder, resources.path(MODEL), DATA, name="Jet tagger demo").close()
    return folder


def _evaluate_float(folder: Path, monitor: Monitor) -> Evaluation:
    with Project.open(folder) as project:
        known = project.float_evaluation
        if known is None:
            known = workflows.run(requests.Evaluate(model=str(project.model_path), data=project.data_reference),
                                  monitor)
            project.save_float_evaluation(known)
        return known


def _render(folder: Path, candidate_id: str, out: Path) -> None:
    """Draw the pictures in a process that holds Qt and no TensorFlow."""
    command = [sys.executable, "-m", "app.render", str(folder), candidate_id, str(out.absolute())]
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True,
                              timeout=RENDER_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ToolFailedError("the pictures could not be drawn", f"no answer in {RENDER_TIMEOUT_S} s") from None
    missing = [name for name in PICTURES if not (out / name).is_file()]
    if done.returncode or missing:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ToolFailedError("the pictures could not be drawn", last,
                              "See whether PySide6-Essentials and its system libraries (libegl1) are installed")


def _report(out: Path, folder: Path, floats: Evaluation, candidates: list[Candidate], added: list[str],
            chosen: Candidate, export: ExportReport, timings: dict[str, float]) -> dict[str, Any]:
    with Project.open(folder) as project:
        info = project.info
    data = workflows.dataset_of(DATA)
    return {
        "model": {"name": info.name, "parameters": info.parameters, "macs": info.macs, "sha256": info.source_hash},
        "data": {"name": data.name, "provenance": data.provenance, "sha256": data.hash, "events": data.events,
                 "test_events": len(data.y_test)},
        "seconds": timings["total"],
        "timings": timings,
        "float": _bare(floats),
        "candidates": len(candidates),
        "added": len(added),
        "front": front_points(candidates),
        "selected": {**point(chosen), "evaluation": _bare(chosen.evaluation), "training": chosen.training,
                     "recipe": msgspec.to_builtins(chosen.recipe), "tolerance": TOLERANCE},
        "exactness": msgspec.to_builtins(export.exactness),
        "synthesis": msgspec.to_builtins(export.synthesis),
        "estimate": msgspec.to_builtins(export.estimate),
        "tools": export.tools,
        "warnings": export.warnings,
        "versions": chosen.versions,
        "directory": str(out.absolute()),
        "project": str(folder),
        "export": export.directory,
    }


def _bare(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation without its curves."""
    return msgspec.to_builtins(msgspec.structs.replace(evaluation, roc={}))
