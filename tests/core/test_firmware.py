"""A candidate's firmware as jobs: exported where needed and synthesized, and made again by a script of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from core import requests, workflows
from core.errors import ExportError, ToolMissingError
from core.events import LogLine, Monitor, Stage
from core.hls.synthesis_options import SynthesisOptions
from core.project import Project
from core.quant import predict, quantize, weights
from core.quant.recipe import uniform

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project with one trained candidate of a small network."""
    folder = tmp_path_factory.mktemp("firmware")
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (600, 4)).astype(np.float32)
    np.savez(folder / "data.npz", X=x, y=(x[:, 0] + x[:, 1] > 0).astype(np.int64))
    keras.utils.set_random_seed(2)
    entry = keras.Input((4,), name="x")
    hidden = keras.layers.Activation("relu", name="act")(keras.layers.Dense(3, name="fc")(entry))
    out = keras.layers.Activation("softmax", name="softmax")(keras.layers.Dense(2, name="output")(hidden))
    keras.Model(entry, out).save(folder / "model.keras")
    with workflows.create_project(folder / "p.qscope", folder / "model.keras", str(folder / "data.npz")) as project:
        place, recipe = project.folder, uniform(project.info, 5, 1)
    candidate = workflows.run(requests.Train(project=str(place), recipe=recipe, epochs=1, seed=3))
    return place, candidate.id


def _request(trained: tuple[Path, str], **more: object) -> requests.Synthesize:
    return requests.Synthesize(project=str(trained[0]), candidate_id=trained[1], events=50, **more)  # type: ignore[arg-type]


def test_a_candidate_is_exported_once_and_synthesized(trained: tuple[Path, str]) -> None:
    seen: list[object] = []
    first = workflows.run(_request(trained), Monitor(seen.append))
    assert first.flow == "rtl" and first.exactness.verified and first.synthesis.lut > 0
    stages = [event.name for event in seen if isinstance(event, Stage)]
    assert "rtl simulation" in stages and stages[-1] == "synthesis"
    stat = next(Path(first.directory, "rtl", "yosys").glob("logic*.json"))
    before, again = stat.stat().st_mtime_ns, list[object]()
    second = workflows.run(_request(trained), Monitor(again.append))
    assert [event.name for event in again if isinstance(event, Stage)] == ["synthesis"]  # not exported a second time
    assert any("proved already" in event.text for event in again if isinstance(event, LogLine))
    assert stat.stat().st_mtime_ns == before  # nor is a stage mapped again
    assert second.synthesis.lut == first.synthesis.lut and len(second.syntheses) == 1
    with Project.open(trained[0]) as project:
        assert [report.synthesis for report in project.exports()] == [second.synthesis]


@pytest.mark.parametrize(("more", "says"), [
    ({"flow": "hls4ml"}, "works on the rtl flow"), ({"part": "xc-nothing"}, "not in the table"),
    ({"options": SynthesisOptions(tool="magic")}, "magic"),
    ({"options": SynthesisOptions(tool="vitis", path="/nowhere")}, "is not in /nowhere")])
def test_what_cannot_be_is_refused_first(trained: tuple[Path, str], more: dict[str, object], says: str) -> None:
    with pytest.raises((ExportError, ToolMissingError), match=says):
        workflows.run(_request(trained, **more), Monitor(lambda event: pytest.fail(f"it began: {event}")))


def _run_script(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, cwd=path.parent,
                          env=environment, check=False)


@pytest.mark.parametrize("arguments", [(), pytest.param(("--train",), marks=pytest.mark.slow)],
                         ids=["stored weights", "trained anew by its settings and seed"])
def test_the_script_makes_the_candidate_again_with_equal_predictions(
        arguments: tuple[str, ...], trained: tuple[Path, str], tmp_path: Path) -> None:
    place, identity = trained
    script = tmp_path / "a folder" / "candidate.py"
    request = requests.WriteScript(project=str(place), candidate_id=identity, path=str(script))
    assert workflows.run(request) == str(script)
    with Project.open(place) as project:
        candidate = project.candidate(identity)
        model = quantize(workflows.model_of(project.model_path), candidate.recipe)
        weights.load_weights(model, project.weights_path(identity))
        events = workflows.dataset_of(project.data_reference).x_test
    done = _run_script(script, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{candidate.evaluation.accuracy:.6f}, stored {candidate.evaluation.accuracy:.6f}" in done.stdout
    assert np.array_equal(np.load(script.parent / "candidate.predictions.npy"), predict(model, events))


def test_a_script_needs_the_name_of_one(trained: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"ends in \.py"):
        workflows.run(requests.WriteScript(project=str(trained[0]), candidate_id=trained[1],
                                           path=str(tmp_path / "script.txt")))
