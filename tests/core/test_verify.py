"""What is stored can be computed again, and what was changed since is found."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest

from app import cli
from core import requests, workflows
from core.files import npz_bytes
from core.npz import read_npz
from core.project import Project
from core.quant.recipe import Recipe, uniform
from core.search.front import candidate_front
from core.verify import Verification


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model and its events as files."""
    from tests.core.quant import small

    return small.files(tmp_path_factory.mktemp("files"), 1500)


def searched(folder, files, method="nsga2", **more):
    """A project after a search by one worker, its candidates, and the hashes of what they are."""
    with Project.create(folder, *files) as project:
        workflows.run(requests.Search(project=str(project.folder), method=method, trials=6, epochs=2, seed=5, workers=1,
                                      **more))
        found = project.candidates()
    return project.folder, found


@pytest.fixture(scope="module")
def project(files, tmp_path_factory):
    """A project with six searched candidates and one that was trained by itself."""
    folder, _ = searched(tmp_path_factory.mktemp("p") / "p", files)
    with Project.open(folder) as project:
        recipe = uniform(project.info, 5, 2)
        workflows.run(requests.Train(project=str(folder), recipe=recipe, epochs=2))
    return folder


def test_that_what_was_just_made_agrees(project):
    found = workflows.run(requests.Verify(project=str(project)))
    assert isinstance(found, Verification) and found.agrees and len(found.candidates) == 7
    for verdict in found.candidates:
        assert verdict.compared >= 10 and verdict.notes == []  # 2 hashes, 4 costs, events, accuracy, an AUC a class
    with Project.open(project) as opened:
        ids = [c.id for c in candidate_front(opened.candidates())]
    front = workflows.run(requests.Verify(project=str(project), front=True))
    assert [verdict.candidate_id for verdict in front.candidates] == ids


def change_accuracy(place, metrics):
    metrics["evaluation"]["accuracy"] += 0.03


def change_energy(place, metrics):
    metrics["costs"]["energy_pj"] *= 1.001


def change_auc(place, metrics):
    metrics["evaluation"]["auc"]["0"] -= 0.05


def change_weights(place, metrics):
    arrays = read_npz(place / "weights.npz")
    (place / "weights.npz").write_bytes(npz_bytes({name: -value for name, value in arrays.items()}))


def change_recipe(place, metrics):
    recipe = msgspec.structs.replace(Recipe.load(place / "recipe.json"), input="quantized_bits(4,1,alpha=1)")
    (place / "recipe.json").write_bytes(recipe.to_json())


def empty_weights(place, metrics):
    (place / "weights.npz").write_bytes(b"")


#: what is done to candidate c0001, c0002 ..., and the figures that must then disagree
CHANGES = ((change_accuracy, {"accuracy"}), (change_energy, {"energy_pj"}), (change_auc, {"AUC 0"}),
           (change_weights, {"hash of weights.npz", "accuracy"}), (change_recipe, {"hash of recipe.json", "energy_pj"}),
           (empty_weights, {"hash of weights.npz", "evaluation"}))


def test_that_changed_figures_and_files_are_found_and_the_rest_agrees(project, tmp_path, capfd):
    folder = shutil.copytree(project, tmp_path / "q.qscope")
    for number, (change, _) in enumerate(CHANGES, start=1):
        place = folder / "candidates" / f"c{number:04d}"
        metrics = json.loads((place / "metrics.json").read_text())
        change(place, metrics)
        (place / "metrics.json").write_text(json.dumps(metrics))
    code = cli.main(["verify", str(folder), "--json"])
    out, err = capfd.readouterr()
    assert code == 1 and "6 of 7 candidates disagree with what is stored, first c0001: accuracy is" in err
    verdicts = json.loads(out)["candidates"]
    for (_, expected), verdict in zip(CHANGES, verdicts, strict=False):
        figures = {difference["figure"] for difference in verdict["differences"]}
        assert figures >= expected, verdict
    assert {d["figure"] for d in verdicts[0]["differences"]} == {"accuracy"}
    assert verdicts[-1]["differences"] == []


def test_that_the_command_says_so_and_names_an_unknown_candidate(project, capfd):
    assert cli.main(["verify", str(project), "--candidate", "c0001"]) == 0
    assert "c0001: agrees in" in capfd.readouterr().out
    assert cli.main(["verify", str(project), "--candidate", "c0099"]) == 1
    assert "has no candidate 'c0099'" in capfd.readouterr().err


@pytest.mark.parametrize(("method", "more"), [("gradient", {}), pytest.param(
    "nsga2", {"sparsity": [0.0, 0.6], "objectives": ["accuracy", "ebops"]}, marks=pytest.mark.slow)])
def test_that_costs_which_depend_on_weights_are_computed_again(files, tmp_path, method, more):
    folder, candidates = searched(tmp_path / "p", files, method, **more)
    found = workflows.run(requests.Verify(project=str(folder)))
    assert found.agrees and len(found.candidates) == len(candidates) > 1
    place = folder / "candidates" / candidates[-1].id / "metrics.json"
    metrics = json.loads(place.read_text())
    metrics["costs"]["ebops"] += 1
    place.write_text(json.dumps(metrics))
    again = workflows.run(requests.Verify(project=str(folder), candidates=[candidates[-1].id]))
    assert [d.figure for d in again.candidates[0].differences] == ["ebops"]
    (place.parent / "weights.npz").write_bytes(b"")
    broken = workflows.run(requests.Verify(project=str(folder), candidates=[candidates[-1].id]))
    assert {d.figure for d in broken.candidates[0].differences} == {"hash of weights.npz", "evaluation"}


@pytest.mark.slow  # two runs of one seed are compared in test_workflows too, in recipes and accuracies
def test_that_the_same_seed_gives_the_same_front(files, tmp_path, project):
    _, again = searched(tmp_path / "again", files)
    with Project.open(project) as first:
        before = first.candidates()[:6]
    assert [c.recipe for c in again] == [c.recipe for c in before]
    assert [c.evaluation for c in again] == [c.evaluation for c in before]
    assert [c.hashes for c in again] == [c.hashes for c in before]  # the weights too, bit by bit
    assert [c.id for c in candidate_front(again)] == [c.id for c in candidate_front(before)]
    for candidate in before:
        assert candidate.seed == 5 and {"quantiscope", "python", "numpy", "keras"} <= set(candidate.versions)
        assert {"model", "data", "recipe.json", "weights.npz"} == set(candidate.hashes)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["staged", "gradient"])
def test_that_the_same_seed_gives_the_same_front_by_the_other_methods(files, tmp_path, method):
    first, second = (searched(tmp_path / name, files, method)[1] for name in "ab")
    assert first and [(c.recipe, c.evaluation, c.hashes) for c in first] == [
        (c.recipe, c.evaluation, c.hashes) for c in second]
