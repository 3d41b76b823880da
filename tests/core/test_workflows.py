"""Every request carried out for real, on few events and epochs."""

from __future__ import annotations

import numpy as np
import pytest

import resources
from core import requests, workflows
from core.candidate import Candidate
from core.energy import price
from core.errors import Cancelled, DatasetError, ExportError, ProjectError, RecipeError
from core.events import CandidateDone, Monitor, Progress, Stage
from core.model_io import inspect_model
from core.quant.calibration import Calibration
from core.quant.recipe import LayerRecipe, Recipe, uniform
from core.search.front import candidate_front
from core.search.space import build_space

MODEL = str(resources.path("models/jet_tagger.keras"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A few of the bundled jets."""
    with np.load(resources.path("data/jets.npz"), allow_pickle=False) as jets:
        path = tmp_path_factory.mktemp("data") / "few.npz"
        names = {key: jets[key] for key in ("feature_names", "class_names") if key in jets}
        np.savez(path, X=jets["X"][:6000], y=jets["y"][:6000], **names)
    return str(path)


@pytest.fixture
def project(tmp_path, data):
    with workflows.create_project(tmp_path / "p", MODEL, data) as project:
        yield project


def test_warm_up_loads_once(data):
    workflows.run(requests.WarmUp(model=MODEL, data=data))
    assert workflows.model_of(MODEL) is workflows.model_of(MODEL)
    assert workflows.dataset_of(data) is workflows.dataset_of(data)


def test_evaluate_says_what_its_accuracy_is_of(data):
    plain = workflows.run(requests.Evaluate(model=MODEL, data=data))
    assert (plain.kind, plain.events) == ("float", 1200)
    assert plain.accuracy > 0.72
    recipe = uniform(inspect_model(MODEL), 16, 5)
    wide = workflows.run(requests.Evaluate(model=MODEL, data=data, recipe=recipe))
    assert wide.kind == "post-training"
    assert wide.accuracy == pytest.approx(plain.accuracy, abs=0.005)
    narrow = workflows.run(requests.Evaluate(model=MODEL, data=data, recipe=uniform(inspect_model(MODEL), 2)))
    assert narrow.accuracy < plain.accuracy - 0.1


def test_calibrated_integer_bits_beat_none(data, project):
    """Six bits with integer bits from data lose little without any training; with none they lose much."""
    from core.search.keras_trainer import KerasTrainer

    trainer = KerasTrainer(workflows.model_of(MODEL), workflows.dataset_of(data))
    space = build_space(project.info, Recipe()).resolved(Calibration(trainer.samples()).integer)
    calibrated = space.decode(space.uniform(6))
    calibrated.check(project.info)
    accuracy = {
        name: workflows.run(requests.Evaluate(model=MODEL, data=data, recipe=recipe)).accuracy
        for name, recipe in (("float", None), ("calibrated", calibrated), ("none", uniform(project.info, 6)))
    }
    assert accuracy["calibrated"] > accuracy["float"] - 0.03
    assert accuracy["calibrated"] > accuracy["none"] + 0.05


def test_train_stores_what_it_tells(project):
    events = []
    recipe = uniform(project.info, 8, 2)
    request = requests.Train(project=str(project.folder), recipe=recipe, epochs=2, seed=5)
    candidate = workflows.run(request, Monitor(events.append))
    assert isinstance(candidate, Candidate)
    assert project.candidate(candidate.id) == candidate
    assert candidate.evaluation.kind == "trained"
    assert candidate.evaluation.accuracy > 0.65
    assert candidate.training["epochs"] == 2
    assert candidate.costs == price(project.info, recipe).costs
    assert [e for e in events if isinstance(e, CandidateDone)]
    assert any(isinstance(e, Progress) for e in events)
    assert [e.name for e in events if isinstance(e, Stage)][:2] == ["load", "train"]
    again = workflows.run(requests.Evaluate(model=MODEL, data=project.data_reference, recipe=recipe,
                                            weights=str(project.weights_path(candidate.id))))
    assert again == candidate.evaluation


def test_a_stopped_training_goes_on_when_asked_again(project):
    from core.quant import checkpoints

    recipe = uniform(project.info, 8, 2)
    recipe = recipe.with_layer("fc1", LayerRecipe(quantizers=recipe.layers["fc1"].quantizers, sparsity=0.5))
    request = requests.Train(project=str(project.folder), recipe=recipe, epochs=4)
    seen = []
    with pytest.raises(Cancelled):
        workflows.run(request, Monitor(seen.append, cancelled=lambda: sum(isinstance(e, Progress) for e in seen) >= 2))
    assert len(list((project.folder / "checkpoints").iterdir())) == 1
    seen.clear()
    candidate = workflows.run(request, Monitor(seen.append))
    assert [e.done for e in seen if isinstance(e, Progress)] == [3, 4]
    assert not list((project.folder / "checkpoints").iterdir())
    again = workflows.run(request)  # from the start: the same
    assert again.evaluation == candidate.evaluation
    with np.load(project.weights_path(candidate.id)) as stored:
        assert (stored["fc1/kernel"] == 0).mean() == 0.5
    for age in range(6):
        (project.folder / "checkpoints" / f"{age}.npz").write_bytes(b"")
    checkpoints.tidy(project.folder / "checkpoints")
    assert len(list((project.folder / "checkpoints").iterdir())) == 3


def test_a_training_does_what_it_is_told(project):
    from core.errors import TrainingError

    float_weights = workflows.model_of(MODEL).get_layer("fc1").get_weights()[0]
    request = requests.Train(project=str(project.folder), recipe=uniform(project.info, 8, 2), epochs=2, freeze=["fc1"],
                             schedule="exponential", warmup=0.2, patience=1, loss="categorical_crossentropy")
    candidate = workflows.run(request)
    with np.load(project.weights_path(candidate.id)) as stored:
        np.testing.assert_array_equal(stored["fc1/kernel"], float_weights)
        assert (stored["fc2/kernel"] != workflows.model_of(MODEL).get_layer("fc2").get_weights()[0]).any()
    for wrong in ({"schedule": "up"}, {"freeze": ["fc9"]}, {"loss": "happiness"}, {"noise_until": 2.0}):
        with pytest.raises(TrainingError):
            workflows.run(requests.Train(project=str(project.folder), recipe=request.recipe, epochs=1, **wrong))


def test_sparsity_counts_without_training_too(project, data):
    recipe = uniform(project.info, 16, 5)
    plain = workflows.run(requests.Evaluate(model=MODEL, data=data, recipe=recipe)).accuracy
    entry = LayerRecipe(quantizers=recipe.layers["fc2"].quantizers, sparsity=0.95)
    sparse = workflows.run(requests.Evaluate(model=MODEL, data=data, recipe=recipe.with_layer("fc2", entry))).accuracy
    assert sparse < plain - 0.02


@pytest.mark.slow
def test_search_for_real_and_again_from_the_same_seed(project, tmp_path, data):
    request = requests.Search(project=str(project.folder), trials=3, epochs=1, seed=1, method="nsga2")
    assert workflows.run(request) == [f"c{n:04d}" for n in range(1, 4)]
    found = project.candidates()
    assert {c.evaluation.kind for c in found} == {"trained"}
    assert found[0].evaluation.accuracy > 0.7  # eight bits everywhere, one epoch from the float weights
    energies = [c.costs.energy_pj for c in found]
    assert energies == sorted(energies, reverse=True)
    assert len(candidate_front(found)) >= 2
    assert all(c.evaluation.roc and c.evaluation.auc for c in found)
    with workflows.create_project(tmp_path / "twin", MODEL, data) as twin:
        workflows.run(requests.Search(project=str(twin.folder), trials=1, epochs=1, seed=1, method="nsga2"))
        workflows.run(requests.Search(project=str(twin.folder), trials=2, epochs=1, seed=1, method="nsga2"))
        assert [c.recipe for c in twin.candidates()] == [c.recipe for c in found]
        assert [c.evaluation.accuracy for c in twin.candidates()] == [c.evaluation.accuracy for c in found]


def test_a_stopped_training_stores_nothing(project):
    request = requests.Train(project=str(project.folder), recipe=uniform(project.info, 6), epochs=50)
    started = []
    monitor = Monitor(lambda e: started.append(e) if isinstance(e, Progress) else None,
                      cancelled=lambda: bool(started))
    with pytest.raises(Cancelled):
        workflows.run(request, monitor)
    assert project.candidates() == []


def test_jobs_refuse_what_does_not_fit(project, data, tmp_path):
    folder = str(project.folder)
    wrong = Recipe(layers={"nowhere": LayerRecipe(quantizers={"kernel": "ternary"})})
    with pytest.raises(RecipeError):
        workflows.run(requests.Evaluate(model=MODEL, data=data, recipe=wrong))
    with pytest.raises(RecipeError):
        workflows.run(requests.Train(project=folder, recipe=wrong))
    with pytest.raises(ProjectError, match="c0042"):
        workflows.run(requests.Export(project=folder, candidate_id="c0042"))
    with pytest.raises(ExportError, match="unknown export flow"):
        workflows.run(requests.Export(project=folder, candidate_id="c0042", flow="vhdl"))
    np.savez(tmp_path / "narrow.npz", X=np.zeros((40, 3)), y=np.arange(40) % 2)
    with pytest.raises(DatasetError):
        workflows.create_project(tmp_path / "q", MODEL, str(tmp_path / "narrow.npz"))
    assert not (tmp_path / "q.qscope").exists()
    with np.load(data) as few:
        arrays = dict(few)
    np.savez(data, **{**arrays, "X": arrays["X"] + 1})
    try:
        with pytest.raises(ProjectError, match="changed"):
            workflows.run(requests.Search(project=folder, trials=1))
    finally:
        np.savez(data, **arrays)


def test_jobs_of_another_process_are_refused(project, monkeypatch):
    monkeypatch.setattr("core.files.FolderLock.in_family", lambda self: False)
    with pytest.raises(ProjectError, match="reading only"):
        workflows.run(requests.Search(project=str(project.folder), trials=1))
