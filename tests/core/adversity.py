"""What a project meets on a bad day, each in a process of its own: run as `python adversity.py CASE FOLDER ...`.

Prints one JSON object: what was tried -> the sentence it gave, or "done".
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import optuna

from core import requests, workflows
from core.candidate import Candidate, Costs, Evaluation
from core.errors import QuantiscopeError
from core.events import Monitor
from core.hls.report import ExportReport
from core.npz import read_npz
from core.project import Project, now
from core.quant.checkpoints import Checkpoint, tidy
from core.quant.recipe import Recipe, uniform


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


def plain(project: Project) -> Candidate:
    """A candidate without a training."""
    return Candidate(id=project.new_candidate_id(), recipe=Recipe(), created=now(),
                     evaluation=Evaluation(kind="trained", events=10, accuracy=0.5, auc={"a": 0.5}),
                     costs=Costs(energy_pj=1.0, parameter_bits=2, activation_bits=3))


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
        "search": lambda: workflows.run(requests.Search(project=folder, method="random", trials=1, epochs=0,
                                                       workers=1)),
        "rtl": lambda: workflows.run(requests.Export(project=folder, candidate_id="c0001", flow="rtl", events=10,
                                                     synthesize=False)),
    }


def full_disk(folder: Path, model: str, data: str, training: str = "") -> dict[str, str]:
    """A disk without space, then with a little, then with enough; `training` tries the jobs too."""
    found = {}
    with Project.create(folder / "p", model, data) as project:
        project.save_recipe(uniform(project.info, 6, 2).renamed("kept"))
        project.save_settings({"kept": 1})
        if training:
            workflows.run(requests.Train(project=str(project.folder), recipe=project.recipe, epochs=1))
        else:
            project.add_candidate(plain(project), {"w": np.ones(3, np.float32)})
        project.save_float_evaluation(project.candidates()[0].evaluation)
        before = content(project)
        fill(folder, 0)
        for name, action in {**actions(project, folder), **(jobs(project) if training else {})}.items():
            found[f"full: {name}"] = outcome(action)
            assert content(project) == before, name
    with Project.open(folder / "p.qscope") as project:
        assert content(project) == before
        for keep in (4096, 16384, 65536):
            (folder / "filler").unlink()
            fill(folder, keep)
            tried = jobs(project)["search"] if training else actions(project, folder)["candidate"]
            found[f"{keep}: tried"] = outcome(tried)
            assert content(project)["candidates"][: len(before["candidates"])] == before["candidates"]
        (folder / "filler").unlink()
        for name, action in (jobs(project) if training else actions(project, folder)).items():
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
    """A clock that is put back by a year, twice, between one write and the next.

    `CLOCK` names the file with the shift in seconds. TensorFlow stays out: what waits by the shifted clock in it would
    wait by the true one in the kernel, which no real machine does.
    """
    clock = Path(os.environ["CLOCK"])
    found: dict[str, str] = {}
    created = []
    with Project.create(folder / "p", model, data) as project:
        for number, shift in enumerate((0, -365 * 86400, -2 * 365 * 86400)):
            with clock.open("r+b") as file:
                file.write(shift.to_bytes(8, sys.byteorder, signed=True))
            created.append(now())
            candidate = msgspec.structs.replace(plain(project), created=created[-1])
            report = ExportReport(candidate_id=candidate.id, flow="rtl", directory="d", part="p", clock_ns=5.0,
                                  created=created[-1])
            actions = {"candidate": partial(project.add_candidate, candidate, {"w": np.ones(3, np.float32)}),
                       "export": partial(project.save_export, report),
                       "recipe": partial(project.save_recipe, uniform(project.info, 3 + number)),
                       "study": partial(_ask, project.study_url, number)}
            found |= {f"{number}: {name}": outcome(action) for name, action in actions.items()}
            path = project.folder / "checkpoints" / f"{number}.npz"
            Checkpoint(path, "mark", Monitor()).save({"epoch": np.array(number)})
            tidy(path.parent, kept=1, wanted=path)
            kept = Checkpoint(path, "mark", Monitor()).load()
            assert kept is not None and int(kept["epoch"]) == number
        assert created == sorted(created, reverse=True), "the clock did not go backwards"
    with Project.open(folder / "p.qscope") as project:
        assert [c.created for c in project.candidates()] == created and project.notes == []
        assert len(project.exports()) == 3 and project.recipe == uniform(project.info, 5)
    return found


def _ask(url: str, number: int) -> None:
    """A proposal asked of the study and told; what was told before is still there."""
    study = optuna.create_study(storage=url, study_name="clock", load_if_exists=True)
    assert [trial.value for trial in study.trials] == [float(n) for n in range(number)]
    study.tell(study.ask(), float(number))


if __name__ == "__main__":
    case, place, *rest = sys.argv[1:]
    result = {"full_disk": full_disk, "read_only": read_only, "backwards": backwards}[case](Path(place), *rest)
    sys.__stdout__.write("\n" + json.dumps(result) + "\n")
