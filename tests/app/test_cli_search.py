"""The options of `quantiscope search` and `study`: what is asked for, and what is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

import resources
from app import console
from app.cli import main
from core.candidate import Candidate, Costs, Evaluation
from core.project import Project
from core.quant.recipe import LayerRecipe, Recipe
from core.search.methods import METHODS


@pytest.fixture
def folder(tmp_path):
    with Project.create(tmp_path / "p", resources.path("models/jet_tagger.keras"), "jets") as project:
        for number in range(12):
            bits = 2 + number % 4
            recipe = Recipe(layers={"fc1": LayerRecipe(quantizers={"kernel": f"quantized_bits({bits},0,alpha=1)"})})
            project.add_candidate(Candidate(
                id=project.new_candidate_id(), recipe=recipe, seconds=1.0, created=f"2026-01-01T00:00:{number:02d}Z",
                evaluation=Evaluation(kind="trained", events=9, accuracy=0.6 + 0.01 * number, auc={"g": 0.9}),
                costs=Costs(energy_pj=100.0 * (number + 1), parameter_bits=10, activation_bits=5, lut=50 * number)),
                {"fc1/kernel": np.zeros(1, np.float32)})
        return project.folder


def test_help_lists_every_method_with_a_line(capfd):
    assert main(["search", "--help"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    for key, method in METHODS.items():
        assert f"{key}: {' '.join(method.summary.split())[:40]}" in shown


def test_every_option_reaches_the_request(folder, monkeypatch, capfd):
    asked = []
    monkeypatch.setattr(console, "run", lambda request, out: asked.append(request) or ["c0001"])
    assert main(["search", str(folder), "--method", "hyperband", "--trials", "4", "--epochs", "9", "--seed", "3",
                 "--objective", "score(accuracy, lut)", "--objective", "energy_pj", "--constraint", "accuracy>=0.65",
                 "--workers", "2", "--memory", "4", "--way", "graph", "--units", "0.5", "--units", "1",
                 "--tune-units", "block", "--keep-units", "^out", "--sparsity", "0.5", "--block", "fc",
                 "--freeze", "relu1", "--json"]) == 0
    request = asked[0]
    assert (request.method, request.trials, request.epochs, request.seed, request.workers, request.memory_gb,
            request.way) == ("hyperband", 4, 9, 3, 2, 4.0, "graph")
    assert request.objectives == ["score(accuracy, lut)", "energy_pj"] and request.constraints == ["accuracy>=0.65"]
    assert (request.units, request.sparsity, request.tune_units, request.exceptions, request.blocks,
            request.frozen) == ([0.5, 1.0], [0.5], "block", "^out", ["fc"], ["relu1"])
    told = json.loads(capfd.readouterr().out)
    assert told["goal"] and all(point["accuracy"] >= 0.65 for point in told["goal"])
    assert told["candidates"] == 12


def test_study_tells_front_volume_and_importances(folder, capfd):
    assert main(["study", str(folder), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert len(told["front"]) == 12
    assert len(told["hypervolume"]["volumes"]) == 12 and told["hypervolume"]["volumes"][-1] > 0
    assert told["hypervolume"]["reference"][0] == 0.0
    assert told["importances"]["energy_pj"][0]["layer"] == "fc1"
    goal = ["--objective", "accuracy", "--objective", "lut", "--constraint", "lut<=100"]
    assert main(["study", str(folder), *goal]) == 0
    shown = capfd.readouterr().out
    assert "hypervolume" in shown and "c0003" in shown and "c0009" not in shown


def test_a_goal_that_cannot_be_read_is_a_sentence(folder, capfd):
    assert main(["study", str(folder), "--objective", "speed"]) == 1
    assert "speed" in capfd.readouterr().err
