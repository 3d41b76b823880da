"""What a project meets on a bad day, each in a process of its own: run as `python adversity.py CASE FOLDER ...`.

Prints one JSON object: what was tried -> the sentence it gave, or "done".
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from core import requests, workflows
from core.candidate import Candidate
from core.errors import QuantiscopeError
from core.events import Monitor
from core.hls.report import ExportReport
from core.npz import read_npz
from core.project import Project, now
from core.quant.recipe import uniform


def outcome(action: Callable[[], Any]) -> str:
    """The sentence of a refusal; any other exception goes through."""
    try:
        action()
    except QuantiscopeError as error:
        assert error.remedy and "\n" not in str(error), error
        return str(error)
    return "done"


def fill(folder: Path, keep: int) -> None:
    """Take all space of a disk but `keep` bytes."""
    with (folder / "filler").open("ab", buffering=0) as file:
        while True:
            try:
                if not file.write(b"x" * 4096):
                    break
            except OSError:
                break
        file.truncate(max(file.tell() - keep, 0))


def content(project: Project) -> dict[str, Any]:
    """All that a project holds, as plain values."""
    return {"recipe": project.recipe.name, "settings": project.settings,
            "candidates": [msgspec.to_builtins(candidate) for candidate in project.candidates()],
            "weights": [sorted(read_npz(project.weights_path(c.id))) for c in project.candidates()],
            "float": project.float_evaluation is not None, "exports": [r.flow for r in project.exports()],
            "notes": project.notes}


def again(candidate: Candidate, project: Project) -> Candidate:
    return msgspec.structs.replace(candidate, id=project.new_candidate_id())


def actions(project: Project, folder: Path) -> dict[str, Callable[[], Any]]:
    """Every way to write to a project without training."""
    first = project.candidates()[0]
    report = ExportReport(candidate_id=first.id, flow="both", directory="d", part="p", clock_ns=5.0, created=now())
    return {
        "recipe": lambda: project.save_recipe(uniform(project.info, 3).renamed("other")),
        "settings": lambda: project.save_settings({"other": "x" * 9000}),
        "float": lambda: project.save_float_evaluation(first.evaluation),
        "candidate": lambda: project.add_candidate(again(first, project), read_npz(project.weights_path(first.id))),
        "export": lambda: project.save_export(report),
        "create": lambda: Project.create(folder / "another", project.model_path, project.data_reference),
    }


def jobs(project: Project) -> dict[str, Callable[[], Any]]:
    """Every job that writes to a project."""
    folder = str(project.folder)
    return {
        "train": lambda: workflows.run(requests.Train(project=folder, recipe=uniform(project.info, 5, 2), epochs=1)),
        "search": lambda: workflows.run(requests.Search(project=folder, method="random", trials=1, epochs=0)),
        "rtl": lambda: workflows.run(requests.Export(project=folder, candidate_id="c0001", flow="rtl", events=10,
                                                     synthesize=False)),
    }


def full_disk(folder: Path, model: str, data: str) -> dict[str, str]:
    """A disk without space, then with a little, then with enough."""
    found = {}
    with Project.create(folder / "p", model, data) as project:
        project.save_recipe(uniform(project.info, 6, 2).renamed("kept"))
        project.save_settings({"kept": 1})
        workflows.run(requests.Train(project=str(project.folder), recipe=project.recipe, epochs=1))
        project.save_float_evaluation(project.candidates()[0].evaluation)
        before = content(project)
        fill(folder, 0)
        for name, action in {**actions(project, folder), **jobs(project)}.items():
            found[f"full: {name}"] = outcome(action)
            assert content(project) == before, name
    with Project.open(folder / "p.qscope") as project:
        assert content(project) == before
        for keep in (4096, 16384, 65536):
            (folder / "filler").unlink()
            fill(folder, keep)
            found[f"{keep}: search"] = outcome(jobs(project)["search"])
            assert content(project)["candidates"][: len(before["candidates"])] == before["candidates"]
        (folder / "filler").unlink()
        for name, action in jobs(project).items():
            found[f"space: {name}"] = outcome(action)
    return found


def read_only(folder: Path, *_: str) -> dict[str, str]:
    """A disk that may only be read."""
    with Project.open(folder / "p.qscope") as project:
        assert project.read_only
        before = content(project)
        found = {name: outcome(action) for name, action in {**actions(project, folder), **jobs(project)}.items()}
        assert content(project) == before and before["candidates"]
    return found


def backwards(folder: Path, model: str, data: str) -> dict[str, str]:
    """A clock that was put back by a year between one write and the next (`CLOCK` holds the shift in seconds)."""
    clock = Path(os.environ["CLOCK"])
    found: dict[str, str] = {}
    created, checkpoints = [], []
    with Project.create(folder / "p", model, data) as project:
        for number, shift in enumerate((0, -365 * 86400, -2 * 365 * 86400)):
            clock.write_text(str(shift))
            for name, action in jobs(project).items():
                if name != "rtl":
                    found[f"{number}: {name}"] = outcome(action)
            project.save_export(ExportReport(candidate_id="c0001", flow=f"f{number}", directory="d", part="p",
                                             clock_ns=5.0, created=now()))
            created.append(now())
            checkpoints.append(_stopped(project, seed=number))
        assert [c.id for c in project.candidates()] == [f"c{n:04d}" for n in range(1, 7)] and project.notes == []
        assert len(project.exports()) == 3 and created == sorted(created, reverse=True), created
        assert checkpoints[-1] in _checkpoints(project)
    return found


def _stopped(project: Project, seed: int) -> str:
    """A training that is stopped; the checkpoint it leaves."""
    from core.events import Progress
    from core.quant import checkpoints

    checkpoints.EVERY_S = 0.0
    known = _checkpoints(project)
    ended: list[object] = []
    monitor = Monitor(lambda event: ended.append(event) if isinstance(event, Progress) and event.done >= 2 else None,
                      cancelled=lambda: bool(ended))
    try:
        workflows.run(requests.Train(project=str(project.folder), recipe=uniform(project.info, 4, 2), epochs=9,
                                     seed=seed), monitor)
    except BaseException as error:
        assert type(error).__name__ == "Cancelled", error
    return (_checkpoints(project) - known).pop()


def _checkpoints(project: Project) -> set[str]:
    return {path.name for path in project.folder.glob("checkpoints/*")}


if __name__ == "__main__":
    case, place, *rest = sys.argv[1:]
    result = {"full_disk": full_disk, "read_only": read_only, "backwards": backwards}[case](Path(place), *rest)
    sys.__stdout__.write("\n" + json.dumps(result) + "\n")
