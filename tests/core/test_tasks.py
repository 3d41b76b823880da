"""Datasets of every task: families, files that name their task, and which models they fit."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from core.dataset import check_fits, family_dataset, fingerprint, load_dataset, references
from core.errors import DatasetError
from core.model_info import LayerInfo, ModelInfo
from resources.families import FAMILIES

RANDOM = np.random.default_rng(11)
X = RANDOM.normal(0, 1, (60, 4)).astype(np.float32)
SIGNAL = (np.arange(60) % 4 == 0).astype(int)


def info(features: tuple[int, ...], outputs: tuple[int | None, ...]) -> ModelInfo:
    return ModelInfo(
        name="m", inputs=("in",), outputs=("out",),
        layers=(LayerInfo(name="in", class_name="InputLayer", output_shape=features),
                LayerInfo(name="out", class_name="Dense", inbound=("in",), output_shape=outputs)),
    )


def written(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "d.npz", **arrays)
    return folder / "d.npz"


@pytest.mark.parametrize("name", FAMILIES)
def test_that_a_family_gives_the_same_split_events_again(name):
    data, again = family_dataset(name, 100, seed=3), family_dataset(name, 100, seed=3)
    assert (len(data.y_train), len(data.y_val), len(data.y_test)) == (60, 20, 20)
    assert data.hash == again.hash != family_dataset(name, 100, seed=4).hash
    assert data.x_test.dtype == np.float32 and data.y_test.dtype == np.int64 and np.isfinite(data.x_train).all()
    np.testing.assert_array_equal(data.x_test, again.x_test)
    assert data.task == FAMILIES[name].task and data.provenance
    labels = np.concatenate([data.y_train.ravel(), data.y_val.ravel(), data.y_test.ravel()])
    assert set(labels.tolist()) == set(range(len(data.class_names)))
    assert not np.array_equal(data.x_train[:20], data.x_test)


def test_that_families_are_opened_by_name():
    assert "jets" in references() and "family:vae" in references()
    data = load_dataset("family:track_graph", limit=200)
    assert (data.name, data.events, data.y_test.shape[1:]) == ("family:track_graph", 200, (27,))
    assert fingerprint("family:vae") == fingerprint("family:vae") != fingerprint("family:flow")
    with pytest.raises(DatasetError, match="no model family 'none'"):
        load_dataset("family:none")


def test_that_a_family_with_signal_has_a_minority_of_it():
    shares = {name: family_dataset(name, 1000).y_train.mean() for name in FAMILIES
              if FAMILIES[name].task != "classification"}
    assert len(shares) == 4 and all(0.15 < share < 0.25 for share in shares.values())


def test_that_a_file_names_its_task(tmp_path):
    edges = RANDOM.integers(0, 2, (60, 7))
    edges[0] = 1
    data = load_dataset(written(tmp_path, X=X, y=edges, task="classification", class_names=["other", "same"]))
    assert (data.task, data.y_test.shape, data.class_names) == ("classification", (12, 7), ("other", "same"))
    with pytest.raises(DatasetError, match="rows that are not one-hot"):
        load_dataset(written(tmp_path, X=X, y=edges))
    with pytest.raises(DatasetError, match="has the task 'clustering'"):
        load_dataset(written(tmp_path, X=X, y=SIGNAL, task="clustering"))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["X"], file["y"], file["task"] = X, SIGNAL, "reconstruction"
    assert load_dataset(tmp_path / "d.h5").task == "reconstruction"


def test_that_maps_of_classes_need_no_task(tmp_path):
    pictures = RANDOM.random((60, 4, 6, 3))
    data = load_dataset(written(tmp_path, X=pictures, y=RANDOM.integers(0, 4, (60, 4, 6))))
    assert (data.task, data.y_train.shape, data.class_names) == ("classification", (36, 4, 6), ("0", "1", "2", "3"))


def test_that_regression_keeps_its_targets(tmp_path):
    targets = RANDOM.normal(5, 3, 60)
    data = load_dataset(written(tmp_path, X=X, y=targets, task="regression"))
    assert (data.y_test.dtype, data.class_names) == (np.float32, ())
    np.testing.assert_allclose(np.sort(np.concatenate([data.y_train, data.y_val, data.y_test])), np.sort(targets),
                               rtol=1e-6)
    with pytest.raises(DatasetError, match="NaN or infinite targets"):
        load_dataset(written(tmp_path, X=X, y=np.where(targets > 5, np.nan, targets), task="regression"))
    with pytest.raises(DatasetError, match="not whole numbers"):
        load_dataset(written(tmp_path, X=X, y=targets))


def test_that_the_time_of_a_flow_is_not_standardized(tmp_path):
    timed = np.concatenate([X + 5, np.full((60, 1), 0.9, np.float32)], axis=1)
    data = load_dataset(written(tmp_path, X=timed, y=SIGNAL, task="flow"))
    assert set(data.x_test[:, -1].tolist()) == {np.float32(0.9)}
    assert abs(float(data.x_train[:, 0].mean())) < 0.5


def test_that_a_background_is_needed_to_learn_it(tmp_path):
    with pytest.raises(DatasetError, match="no background events to train on"):
        load_dataset(written(tmp_path, X=X, y=np.ones(60, int), task="vae"))


def test_that_parts_agree_in_their_labels(tmp_path):
    with pytest.raises(DatasetError, match="differ in their labels"):
        load_dataset(written(tmp_path, x_train=X, y_train=SIGNAL, x_test=X, y_test=np.zeros((60, 2)),
                             task="classification"))


FITS = {  # task, labels, outputs that fit, outputs that do not, and what is said of them
    "classes": ("classification", SIGNAL, [(2,), (1,), (5,), (None,)], [((3, 2), "has 1 label an event")]),
    "edges": ("classification", np.tile([[0, 1, 1]], (60, 1)), [(3,), (3, 2), (3, 1)],
              [((4,), "has 3 labels an event"), ((2,), "gives 2 outputs")]),
    "many classes": ("classification", np.arange(60) % 5, [(5,)], [((4,), "go up to 4"), ((1,), "has 1 outputs")]),
    "regression": ("regression", X[:, 0], [(1,), ()], [((2,), "needs 1 output")]),
    "regression of two": ("regression", X[:, :2], [(2,)], [((1,), "needs 2 outputs"), ((2, 1), "gives values of")]),
    "reconstruction": ("reconstruction", SIGNAL, [(4,)], [((3,), "needs 4 outputs")]),
    "vae": ("vae", SIGNAL, [(6,), (2,)], [((3,), "not means and log variances"), ((2, 2), "not means")]),
    "flow": ("flow", SIGNAL, [(3,)], [((4,), "needs 3 outputs")]),
}


@pytest.mark.parametrize("case", FITS)
def test_that_each_task_fits_its_models_alone(tmp_path, case):
    task, labels, good, bad = FITS[case]
    data = load_dataset(written(tmp_path, X=X, y=labels, task=task))
    for outputs in good:
        check_fits(data, info((4,), outputs))
    for outputs, expected in bad:
        with pytest.raises(DatasetError, match=expected):
            check_fits(data, info((4,), outputs))
    with pytest.raises(DatasetError, match="takes 5 features"):
        check_fits(data, info((5,), good[0]))
