"""The command line as a user runs it: real processes, one JSON object on stdout, one sentence for each mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import resources
from core.project import Project
from core.quant.recipe import LayerRecipe, Recipe

ROOT = Path(__file__).parents[2]
MODEL = resources.path("models/jet_tagger.keras")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "app.cli", *map(str, arguments)], cwd=ROOT, env=ENVIRONMENT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def call(*arguments: object) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def result(*arguments: object) -> dict:
    """The one JSON object of a command that must succeed."""
    code, out, err = call(*arguments, "--json")
    assert code == 0, err
    assert out.count("\n") == 1
    return json.loads(out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("command line")


@pytest.fixture(scope="module")
def data(folder):
    """A few of the bundled jets, so that training takes a moment only."""
    with np.load(resources.path("data/jets.npz"), allow_pickle=False) as jets:
        path = folder / "few.npz"
        names = {key: jets[key] for key in ("feature_names", "class_names") if key in jets}
        np.savez(path, X=jets["X"][:3000], y=jets["y"][:3000], **names)
    return path


@pytest.fixture(scope="module")
def project(folder, data):
    """A project with two candidates, made by the command line itself."""
    found = result("search", folder / "p.qscope", "--model", MODEL, "--data", data, "--trials", 2, "--epochs", 1)
    assert found["added"] == ["c0001", "c0002"]
    return Path(found["project"])


def test_inspect():
    found = result("inspect", MODEL)
    assert [layer["name"] for layer in found["layers"]][:3] == ["features", "fc1", "relu1"]
    code, out, _ = call("inspect", MODEL)
    assert code == 0
    assert "4389 parameters, 4256 multiply-accumulates" in out


def test_cost_prints_the_published_rows():
    networks = result("cost", "--compat", "qtools-0.9")["networks"]
    assert {name: (networks[name]["total_pj"], networks[name]["bits"]) for name in ("BF", "Q6", "QE")} == {
        "BF": (7004, 61446), "Q6": (2633, 26334), "QE": (948, 4728)}
    profile = {row["name"]: row["profile_pj"] for row in networks["BF"]["layers"]}
    assert any(value == pytest.approx(1735.42, abs=0.01) for value in profile.values())
    code, out, _ = call("cost")
    assert code == 0
    for line in ("BF: 7004 pJ, 61446 bits", "Q6: 2633 pJ, 26334 bits", "QE: 948 pJ, 4728 bits"):
        assert line in out


def test_cost_of_a_model_falls_with_the_width():
    six, four = (result("cost", MODEL, "--bits", bits)["networks"] for bits in (6, 4))
    (six,), (four,) = six.values(), four.values()
    assert 0 < four["energy_pj"] < six["energy_pj"]
    assert (six["bits"], four["bits"]) == (4389 * 6, 4389 * 4)


def test_estimates_fall_with_the_width_and_check_the_sums():
    six, four = (result("estimate", MODEL, "--bits", bits) for bits in (6, 4))
    for flow in ("hls4ml", "distributed_arithmetic"):
        assert 0 < four[flow]["lut"] < six[flow]["lut"]
    assert six["distributed_arithmetic"]["dsp"] == 0 and six["distributed_arithmetic"]["cycles"] > 3
    assert result("estimate", MODEL, "--bits", 16)["hls4ml"]["dsp"] > 0
    sums = {entry["name"]: entry for entry in six["accumulators"]}
    assert set(sums) == {"fc1", "fc2", "fc3", "output"}
    assert all(0 < entry["needed_bits"] <= entry["given_bits"] for entry in sums.values())


def test_evaluate_float_and_quantized(data):
    plain = result("evaluate", MODEL, "--data", data)
    assert plain["kind"] == "float"
    assert plain["events"] == 600
    assert plain["accuracy"] > 0.7
    assert set(plain["auc"]) == {"g", "q", "w", "z", "t"}
    few = result("evaluate", MODEL, "--data", data, "--bits", 8, "--events", 100)
    assert (few["kind"], few["events"]) == ("post-training", 100)


def test_search_reports_the_front_of_what_it_stored(project):
    with Project.open(project) as opened:
        candidates = {c.id: c for c in opened.candidates()}
    assert list(candidates) == ["c0001", "c0002"]
    assert candidates["c0001"].recipe != candidates["c0002"].recipe
    assert candidates["c0001"].evaluation.kind == "trained"


def test_train_stores_a_candidate_that_evaluates_to_the_same(project):
    found = result("train", project, "--bits", 6, "--epochs", 1)
    again = result("evaluate", project, "--candidate", found["id"])
    assert again["kind"] == "trained"
    assert again["accuracy"] == found["evaluation"]["accuracy"]
    assert again["auc"] == found["evaluation"]["auc"]


@pytest.mark.slow  # tests/core/test_survival.py kills searches, and more, in every run
def test_killed_search_leaves_every_finished_candidate(folder, data):
    with start("search", folder / "killed.qscope", "--model", MODEL, "--data", data, "--trials", 50,
               "--epochs", 1) as process:
        told = []
        for line in process.stderr:
            if line.startswith("c0"):
                told.append(line.split(":")[0])
            if len(told) == 3:
                break
        time.sleep(0.5)
        process.kill()
        process.communicate()
    with Project.open(folder / "killed.qscope") as project:
        found = [c.id for c in project.candidates()]
        assert project.notes == []
        assert not project.read_only
    assert found[:3] == told == ["c0001", "c0002", "c0003"]
    more = result("search", folder / "killed.qscope", "--trials", 1, "--epochs", 1)
    assert more["added"] == [f"c{len(found) + 1:04d}"]
    assert more["candidates"] == len(found) + 1
    with Project.open(folder / "killed.qscope") as project:
        stored = {c.id: c for c in project.candidates()}
    assert more["front"]
    for point in more["front"]:
        assert point["accuracy"] == stored[point["id"]].evaluation.accuracy
        assert point["energy_pj"] == stored[point["id"]].costs.energy_pj


def broken(folder: Path, name: str, x: np.ndarray, y: np.ndarray) -> Path:
    path = folder / name
    np.savez(path, X=x, y=y)
    return path


@pytest.fixture(scope="module")
def bad(folder, data):
    """Files that do not fit, by the name the cases below use."""
    x = np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
    y = np.arange(100) % 5
    holes = x.copy()
    holes[3, 2] = np.nan
    corrupt = folder / "corrupt.keras"
    corrupt.write_bytes(MODEL.read_bytes()[:5000])
    recipe = folder / "unknown.json"
    recipe.write_bytes(Recipe(layers={"fc1": LayerRecipe(quantizers={"kernel": "octonary(3)"})}).to_json())
    misfit = folder / "misfit.json"
    misfit.write_bytes(Recipe(layers={"fc9": LayerRecipe(quantizers={"kernel": "ternary"})}).to_json())
    return {"corrupt": corrupt, "narrow": broken(folder, "narrow.npz", x[:, :7], y),
            "labels": broken(folder, "labels.npz", x, y * 3), "nan": broken(folder, "nan.npz", holes, y),
            "unknown": recipe, "misfit": misfit, "missing": folder / "missing.keras", "data": data, "model": MODEL}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["inspect", "{corrupt}"], "corrupt.keras"),
        (["inspect", "{missing}"], "missing.keras"),
        (["inspect", "{data}"], "few.npz"),
        (["evaluate", "{model}", "--data", "{narrow}"], "7 features"),
        (["evaluate", "{model}", "--data", "{labels}"], "labels"),
        (["evaluate", "{model}", "--data", "{nan}"], "NaN"),
        (["evaluate", "{model}", "--data", "{missing}"], "missing"),
        (["evaluate", "{model}", "--recipe", "{unknown}"], "octonary"),
        (["cost", "{model}", "--recipe", "{misfit}"], "fc9"),
        (["cost", "{model}", "--bits", "99"], "99"),
        (["cost", "{model}", "--recipe", "{misfit}", "--bits", "3"], "--bits"),
        (["cost", "--compat", "qtools-7"], "qtools-7"),
        (["search", "{new}", "--model", "{corrupt}"], "corrupt.keras"),
        (["search", "{new}", "--model", "{model}", "--data", "{narrow}"], "7 features"),
        (["search", "{missing}"], "missing"),
        (["inspect"], "model"),
        (["search", "{new}", "--trials", "many"], "--trials"),
    ],
)
def test_each_mistake_is_one_sentence_and_makes_nothing(folder, bad, arguments, says):
    new = folder / "new.qscope"
    code, out, err = call(*[text.format(**bad, new=new) for text in arguments], "--json")
    assert code == 1
    assert says in json.loads(out)["error"]
    assert says in err.strip().splitlines()[-1]
    assert "Traceback" not in out + err
    assert not new.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "--option", "kernel=octonary(3)", "--trials", "1"], "octonary"),
        (["search", "--option", "ternary", "--trials", "1"], "kernel="),
        (["search", "--option", "gamma=ternary", "--trials", "1"], "empty"),
        (["search", "--freeze", "fc7", "--trials", "1"], "fc7"),
        (["search", "--method", "psychic", "--trials", "1"], "psychic"),
        (["search", "--trials", "0"], "above 0"),
        (["export", "c9999"], "c9999"),
        (["export", "c0001", "--part", "xc9999"], "xc9999"),
        (["export", "c0001", "--flow", "vhdl"], "vhdl"),
        (["synthesize", "c0001", "--tool", "magic"], "magic"),
        (["synthesize", "c0001", "--tool", "vitis", "--tool-path", "/nowhere"], "Vitis HLS was not found"),
        (["export", "c0001", "--as-script", "script.txt"], "ends in .py"),
        (["train", "--bits", "0"], "0"),
    ],
)
def test_mistakes_leave_a_project_untouched(project, arguments, says):
    def state() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in project.rglob("*")
                if path.is_file() and path.name != "lock"}

    before = state()
    code, out, err = call(arguments[0], project, *arguments[1:], "--json")
    assert code == 1
    assert says in json.loads(out)["error"]
    assert "Traceback" not in out + err
    assert state() == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
@pytest.mark.parametrize("arguments", [["gui"], ["demo"]])
def test_no_display_is_a_sentence(arguments):
    environment = {k: v for k, v in ENVIRONMENT.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    done = subprocess.run([sys.executable, "-m", "app.cli", *arguments], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "no display" in done.stderr
    assert "--headless" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_main_job_headless(folder):
    """The demo as `quantiscope demo --headless` runs it, on a small budget; then its candidate exported again."""
    out = folder / "demo out"
    report = result("demo", "--headless", "--out", out, "--budget", 8, "--epochs", 1, "--events", 200)
    assert report == json.loads((out / "report.json").read_text())
    assert report["exactness"]["events"] == 200
    assert report["exactness"]["mismatches"] == 0
    assert set(report["exactness"]["flows"]) == {"c++", "rtl"}
    synthesis = report["synthesis"]
    assert synthesis["lut"] > 0 and synthesis["ff"] > 0 and synthesis["ii"] == 1
    assert synthesis["latency_ns"] == synthesis["latency_cycles"] * 5.0
    assert set(synthesis["percent"]) >= {"lut", "ff", "dsp"}
    assert report["selected"]["id"] in {point["id"] for point in report["front"]}
    assert all({"id", "accuracy", "energy_pj", "bits"} <= set(point) for point in report["front"])
    for name in ("front.png", "roc.png", "window.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    with Project.open(out / "demo.qscope") as project:
        assert [e.candidate_id for e in project.exports()] == [report["selected"]["id"]]
        assert project.float_evaluation.accuracy == report["float"]["accuracy"]
    again = result("export", out / "demo.qscope", report["selected"]["id"], "--flow", "hls4ml", "--events", 100)
    assert again["exactness"]["mismatches"] == 0
    assert again["synthesis"] is None


def test_a_model_family_is_made_and_judged_by_its_task(tmp_path):
    made = subprocess.run([sys.executable, "scripts/make_family.py", "vae", "--events", "600", "--epochs", "2",
                           "--out", tmp_path], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    told = json.loads((tmp_path / "vae.json").read_text())
    found = result("evaluate", tmp_path / "vae.keras", "--data", tmp_path / "vae.npz")
    assert (found["metric"], found["events"]) == ("AUC", 120)
    assert found["accuracy"] == pytest.approx(told["AUC"], abs=1e-4) == found["auc"]["signal"]
    code, _, err = call("evaluate", tmp_path / "vae.keras", "--data", "family:track_graph")
    assert code == 1
    assert "takes 57 features" in err
