"""Project folders: what goes in comes out, only one process writes, and nothing half-written is ever seen."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import pytest

import resources
from core.candidate import Candidate, Costs, Evaluation
from core.errors import Cancelled, ModelFileError, ProjectError, RecipeError, ToolFailedError
from core.hls.report import ExportReport
from core.project import Project, now
from core.quant.recipe import LayerRecipe, Recipe, uniform

MODEL = resources.path("models/jet_tagger.keras")
ROOT = Path(__file__).parents[2]
needs_posix = pytest.mark.skipif(os.name == "nt", reason="signals and permissions of POSIX")


def make(identity: str = "c0001") -> Candidate:
    curve = ([0.0, 0.1, 1.0], [0.0, 0.7, 1.0])
    return Candidate(
        id=identity, recipe=Recipe(name=identity), seed=3, seconds=1.5, created=now(), method="nsga2",
        evaluation=Evaluation(kind="trained", events=100, accuracy=0.75, auc={"g/q": 0.9, "ü": 0.8},
                              auc_error={"g/q": 0.01}, roc={"g/q": curve, "ü": curve}, loss=0.5),
        costs=Costs(energy_pj=123.25, parameter_bits=456, activation_bits=78, ebops=9),
        versions={"numpy": np.__version__}, training={"epochs": 3})


WEIGHTS = {"fc1/kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "with space ü", MODEL, "jets") as project:
        yield project


def test_what_goes_in_comes_out(project):
    assert project.folder.name == "with space ü.qscope"
    recipe = uniform(project.info, 6)
    project.save_recipe(recipe)
    project.save_settings({"theme": "dark", "n": 3})
    candidate = project.add_candidate(make(project.new_candidate_id()), WEIGHTS)
    assert set(candidate.hashes) == {"model", "data", "recipe.json", "weights.npz"}
    project.save_float_evaluation(candidate.evaluation)
    project.close()
    with Project.open(project.folder) as again:
        assert not again.read_only
        assert again.recipe == recipe
        assert again.settings == {"theme": "dark", "n": 3}
        assert again.candidates() == [candidate]
        assert again.candidate("c0001") == candidate
        assert again.float_evaluation == candidate.evaluation
        assert again.new_candidate_id() == "c0002"
        assert again.data_reference == "jets"
        assert again.model_path.read_bytes() == MODEL.read_bytes()
        with np.load(again.weights_path("c0001"), allow_pickle=False) as stored:
            assert (stored["fc1/kernel"] == WEIGHTS["fc1/kernel"]).all()


def test_candidate_is_stored_once_and_under_a_sound_name(project):
    project.add_candidate(make(), WEIGHTS)
    with pytest.raises(ProjectError, match="already"):
        project.add_candidate(make(), WEIGHTS)
    for bad in ("../c1", "", ".hidden", "a/b", "x" * 65):
        with pytest.raises(ProjectError):
            project.add_candidate(make(bad), WEIGHTS)
    with pytest.raises(ProjectError, match="no candidate 'c9'"):
        project.candidate("c9")
    with pytest.raises(ValueError):
        project.add_candidate(make("c0002"), {"object": np.array([{}], dtype=object)})
    assert [c.id for c in project.candidates()] == ["c0001"]


@pytest.mark.parametrize("damage", ["metrics.json", "recipe.json", "weights.npz", "roc.npz", "empty json", "pickle"])
def test_half_written_candidate_is_left_out_and_named(project, damage):
    project.add_candidate(make(), WEIGHTS)
    project.add_candidate(make("c0002"), WEIGHTS)
    folder = project.folder / "candidates" / "c0002"
    if damage == "empty json":
        (folder / "metrics.json").write_text("{}")
    elif damage == "pickle":
        np.savez(folder / "roc.npz", fpr_0=np.array([{}], dtype=object), tpr_0=np.zeros(1))
    else:
        (folder / damage).unlink()
    (project.folder / "candidates" / ".tmp-1-c0003").mkdir()
    project.close()
    with Project.open(project.folder) as again:
        assert [c.id for c in again.candidates()] == ["c0001"]
        assert len(again.notes) == 1 and "c0002" in again.notes[0]
        assert again.new_candidate_id() == "c0003"
        assert not (project.folder / "candidates" / ".tmp-1-c0003").exists()


def test_exports_are_listed_once_they_have_a_report(project):
    report = ExportReport(candidate_id="c0001", flow="rtl", directory="d", part="p", clock_ns=5.0, created=now())
    project.export_directory("c0002", "rtl").mkdir()
    project.save_export(report)
    assert project.exports() == [report]


def test_a_finished_export_is_lost_only_to_a_finished_one(project):
    report = ExportReport(candidate_id="c0001", flow="rtl", directory="d", part="p", clock_ns=5.0, created=now())
    project.save_export(report)
    (project.export_directory("c0001", "rtl") / "first.v").touch()
    failed = ToolFailedError("g++ ended", remedy=f"See {project.export_directory('c0001', 'rtl') / 'log'}")
    with pytest.raises(ToolFailedError, match=r"c0001-rtl-failed.log"), \
            project.exporting("c0001", "rtl") as (directory, former):
        assert (former / "first.v").exists() and project.exports() == [] and not directory.exists()
        directory.mkdir()
        (directory / "log").touch()
        raise failed
    assert project.exports() == [report] and (directory / "first.v").exists()
    assert (directory.with_name("c0001-rtl-failed") / "log").exists()
    with pytest.raises(Cancelled), project.exporting("c0001", "rtl") as (directory, _):
        directory.mkdir()
        raise Cancelled
    assert project.exports() == [report] and (directory / "first.v").exists()
    later = msgspec.structs.replace(report, clock_ns=4.0)
    with project.exporting("c0001", "rtl") as (directory, former):
        project.save_export(later)
    assert project.exports() == [later] and not former.exists() and not (directory / "first.v").exists()


def test_a_finished_export_comes_back_when_its_successor_was_killed(project):
    report = ExportReport(candidate_id="c0001", flow="rtl", directory="d", part="p", clock_ns=5.0, created=now())
    project.save_export(report)
    killed = project.exporting("c0001", "rtl")
    directory, _ = killed.__enter__()
    directory.mkdir()
    project.close()
    with Project.open(project.folder) as again:
        assert again.exports() == [report]


def test_recipe_that_does_not_fit_is_refused_and_the_old_one_kept(project):
    with pytest.raises(RecipeError):
        project.save_recipe(Recipe(layers={"nowhere": LayerRecipe(quantizers={"kernel": "ternary"})}))
    assert project.recipe.layers == {}


def other_process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process that is no child of ours: what `Project` calls family is direct children."""
    shell = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]
    return subprocess.run([*shell, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
                          cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


READ_ONLY = """
    import sys
    from core.errors import ProjectError
    from core.project import Project
    project = Project.open(sys.argv[1])
    print(project.read_only, len(project.candidates()))
    try:
        project.save_settings({"mine": 1})
    except ProjectError as error:
        print(error)
"""


def test_second_process_reads_only(project):
    project.add_candidate(make(), WEIGHTS)
    result = other_process(READ_ONLY, project.folder)
    assert result.stdout.splitlines()[0] == "True 1", result.stderr
    assert f"process {os.getpid()} has it open" in result.stdout
    project.close()
    assert other_process(READ_ONLY, project.folder).stdout.splitlines() == ["False 1"]


def test_worker_of_the_window_may_write(project):
    code = "import sys; from core.project import Project; print(Project.open(sys.argv[1]).read_only)"
    result = subprocess.run([sys.executable, "-c", code, str(project.folder)], cwd=ROOT, capture_output=True,
                            text=True, timeout=60, check=False)
    assert result.stdout.strip() == "False", result.stderr


def test_the_lock_of_a_killed_process_is_free(project, tmp_path):
    project.close()
    code = ("import sys, time; from core.project import Project; p = Project.open(sys.argv[1]);"
            "print('open', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code, str(project.folder)], cwd=ROOT, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline().strip() == "open"
        assert Project.open(project.folder).read_only
        process.kill()
        process.wait()
    with Project.open(project.folder) as again:
        assert not again.read_only


STORE_FOR_EVER = """
    import sys
    sys.path.insert(0, "tests/core")
    from test_project import WEIGHTS, make
    from core.project import Project
    project = Project.open(sys.argv[1])
    number = 0
    while True:
        number += 1
        project.add_candidate(make(f"c{number:04d}"), WEIGHTS)
        project.save_settings({"last": number})
        print(number, flush=True)
"""


@needs_posix
def test_kill_at_any_moment_loses_no_finished_candidate(project):
    project.close()
    random = np.random.default_rng(0)
    for _ in range(6):
        for stale in (project.folder / "candidates").glob("c*"):
            shutil.rmtree(stale)
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(STORE_FOR_EVER), str(project.folder)], cwd=ROOT,
                              stdout=subprocess.PIPE, text=True) as process:
            for _ in range(int(random.integers(1, 12))):
                last = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split()
        told = int(rest[-1]) if rest else last
        with Project.open(project.folder) as again:
            found = again.candidates()
            assert again.notes == []
            assert [c.id for c in found][:told] == [f"c{n:04d}" for n in range(1, told + 1)]
            assert len(found) in (told, told + 1)
            assert again.settings["last"] in (told, told + 1)


@needs_posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written_opens_read_only(project):
    project.close()
    project.folder.chmod(0o555)
    try:
        again = Project.open(project.folder)
        assert again.read_only
    finally:
        project.folder.chmod(0o755)


def rewrite(project: Project, **changes: object) -> None:
    path = project.folder / "project.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema_version": 99}, "newer Quantiscope"),
        ({"schema_version": None}, "damaged"),
        ({"name": 3}, "damaged"),
        ({"model": {"path": "../../etc/passwd", "sha256": "", "copied": True}}, "outside the project"),
    ],
)
def test_foreign_project_files_are_refused_in_a_sentence(project, changes, says):
    project.close()
    rewrite(project, **changes)
    with pytest.raises(ProjectError, match=says) as caught:
        Project.open(project.folder)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_project_are_left_alone(tmp_path):
    folder = tmp_path / "other.qscope"
    for content in (None, b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if content is not None:
            (folder / "project.json").write_bytes(content)
        with pytest.raises(ProjectError):
            Project.open(folder)
        assert not (folder / "lock").exists()
    with pytest.raises(ProjectError, match="no project folder"):
        Project.open(tmp_path / "missing.qscope")


def test_changed_or_missing_sources_are_noticed(tmp_path):
    model = tmp_path / "model.keras"
    shutil.copyfile(MODEL, model)
    data = tmp_path / "data.npz"
    np.savez(data, X=np.zeros((30, 16)), y=np.zeros(30, dtype=int))
    with Project.create(tmp_path / "p", model, data, copy_model=False) as project:
        project.check_sources()
        np.savez(data, X=np.ones((30, 16)), y=np.zeros(30, dtype=int))
        with pytest.raises(ProjectError, match=r"data\.npz changed"):
            project.check_sources()
        model.write_bytes(model.read_bytes() + b" ")
        with pytest.raises(ProjectError, match=r"model\.keras changed"):
            _ = project.info
        model.unlink()
        with pytest.raises(ProjectError, match="is gone"):
            _ = project.info


def test_nothing_is_made_where_the_sources_are_bad(tmp_path):
    bad = tmp_path / "bad.keras"
    bad.write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        Project.create(tmp_path / "a", bad, "jets")
    with pytest.raises(ProjectError, match="dataset"):
        Project.create(tmp_path / "b", MODEL, tmp_path / "missing.npz")
    (tmp_path / "c.qscope").mkdir()
    with pytest.raises(ProjectError, match="exists already"):
        Project.create(tmp_path / "c", MODEL, "jets")
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot be made"):
        Project.create(tmp_path / "file" / "d", MODEL, "jets")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.keras", "c.qscope", "file"]
    assert list((tmp_path / "c.qscope").iterdir()) == []


def test_candidates_survive_a_json_round_trip():
    candidate = make()
    assert msgspec.json.decode(msgspec.json.encode(candidate), type=Candidate) == candidate
