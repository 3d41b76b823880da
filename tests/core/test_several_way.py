"""The whole way with two inputs and two outputs, by the command line."""

from __future__ import annotations

import json

import pytest

from app.cli import main
from core.dataset import check_fits, load_dataset
from core.model_io import describe_model
from core.quant.training import TrainOptions, train
from tests.core.several import network, write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    model = network()
    data = check_fits(load_dataset(write(folder / "events.npz", 1200)), describe_model(model))
    train(model, data, TrainOptions(epochs=20, learning_rate=1e-2, batch_size=60))
    model.save(folder / "model.keras")
    return folder / "model.keras", folder / "events.npz"


def told(capfd, *arguments):
    """What a command writes as JSON; it must end with 0."""
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_a_search_for_one_output_is_exported_verified_and_made_again(files, tmp_path, capfd):
    model, data = files
    project = tmp_path / "two.qscope"
    assert told(capfd, "evaluate", model, "--data", data)["metric"] == "mean of accuracy and R2"
    assert told(capfd, "cost", model, "--bits", 6)["networks"]
    found = told(capfd, "search", project, "--model", model, "--data", data, "--method", "random", "--trials", 2,
                 "--epochs", 1, "--workers", 1, "--objective", "R2:energy", "--objective", "energy_pj",
                 "--constraint", "accuracy:kind>=0.4")
    assert len(found["added"]) == 2
    assert told(capfd, "verify", project)["candidates"]
    report = told(capfd, "export", project, "c0001", "--flow", "both", "--events", 100)
    assert report["exactness"]["mismatches"] == 0
    assert {check["values"] for check in report["exactness"]["flows"].values()} == {400}


def test_a_staged_search_trains_both_outputs(files, tmp_path, capfd):
    model, data = files
    found = told(capfd, "search", tmp_path / "staged.qscope", "--model", model, "--data", data, "--trials", 2,
                 "--epochs", 1)
    assert found["added"]
