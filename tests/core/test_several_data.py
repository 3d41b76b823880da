"""Datasets of models with several inputs or outputs: read, checked, split, put in the model's order."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from core.arrays import Several, flat, joined, several
from core.dataset import check_fits, load_dataset
from core.errors import DatasetError
from core.model_info import LayerInfo, ModelInfo
from tests.core.several import arrays, write


def info(inputs: dict[str, int], outputs: dict[str, int]) -> ModelInfo:
    layers = [LayerInfo(name=name, class_name="InputLayer", output_shape=(size,)) for name, size in inputs.items()]
    layers += [LayerInfo(name=name, class_name="Dense", inbound=tuple(inputs), output_shape=(size,))
               for name, size in outputs.items()]
    return ModelInfo(name="m", inputs=tuple(inputs), outputs=tuple(outputs), layers=tuple(layers))


MODEL = info({"tracks": 5, "calo": 3}, {"kind": 3, "energy": 1})


def test_that_rows_of_several_arrays_are_taken_together():
    both = Several(("a", "b"), (np.arange(6).reshape(3, 2), np.arange(3)))
    assert len(both) == 3 and both.nbytes == 9 * 8
    assert both[np.array([True, False, True])].part("b").tolist() == [0, 2]
    assert flat(both).tolist() == [[0, 1, 0], [2, 3, 1], [4, 5, 2]]
    assert joined([both, both[:1]]).part("a").shape == (4, 2)
    assert both.ordered(("b", "a")).parts[0].tolist() == [0, 1, 2]
    assert several({"a": np.zeros(2)}).shape == (2,)


def test_that_each_input_is_standardized_and_split_alike(tmp_path):
    data = load_dataset(write(tmp_path / "d.npz"))
    assert data.events == 600 and len(data.x_test) == len(data.y_test) == 120
    assert [head.task for head in data.heads] == ["regression", "classification"]
    assert data.heads[1].class_names == ("electron", "muon", "tau")
    stored = arrays()
    for name in ("tracks", "calo"):
        x = stored[f"X_{name}"]
        back = joined([data.x_train, data.x_val, data.x_test]).part(name) * data.scale.part(name) + data.mean.part(name)
        np.testing.assert_allclose(np.sort(back, axis=0), np.sort(x, axis=0), atol=1e-5)
    single = load_dataset_of(tmp_path, np.concatenate([stored["X_calo"], stored["X_tracks"]], axis=1),
                             stored["y_kind"])
    np.testing.assert_allclose(flat(data.x_test), single.x_test, atol=1e-6)  # the split and scaling of one array
    np.testing.assert_array_equal(data.y_test.part("kind"), single.y_test)


def load_dataset_of(folder, x, y):
    np.savez(folder / "one.npz", X=x, y=y)
    return load_dataset(folder / "one.npz")


def test_that_arrays_come_in_the_order_of_the_model(tmp_path):
    data = load_dataset(write(tmp_path / "d.npz"))
    assert data.x_test.names == ("calo", "tracks")
    found = check_fits(data, MODEL)
    assert (found.x_train.names, found.y_val.names) == (("tracks", "calo"), ("kind", "energy"))
    assert [head.name for head in found.heads] == ["kind", "energy"]
    assert found.mean.names == ("tracks", "calo") and found.hash == data.hash
    assert [part.task for part in found.by_output] == ["classification", "regression"]
    assert len(found.limited(100).x_train) == 60


def test_that_a_file_of_parts_and_of_hdf5_gives_the_same(tmp_path):
    stored = arrays()
    parts = {f"{what}_{part}_{name}": values[rows] for what, name, values in
             (("x", "tracks", stored["X_tracks"]), ("x", "calo", stored["X_calo"]), ("y", "kind", stored["y_kind"]))
             for part, rows in (("train", slice(400)), ("test", slice(400, None)))}
    np.savez(tmp_path / "parts.npz", **parts)
    data = load_dataset(tmp_path / "parts.npz")
    assert (len(data.x_train), len(data.x_val), len(data.x_test)) == (300, 100, 200)
    assert data.task == "classification" and data.y_test.tolist() == stored["y_kind"][400:].tolist()
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for name, values in stored.items():
            file[name] = str(values) if values.ndim == 0 else values.astype("S") if values.dtype.kind == "U" else values
    assert load_dataset(tmp_path / "d.h5").hash == load_dataset(write(tmp_path / "d.npz")).hash


@pytest.mark.parametrize(("changes", "words"), [
    ({"X_calo": np.zeros((599, 3))}, "differ in length: calo 599, tracks 600"),
    ({"X_calo": np.full((600, 3), np.nan)}, "X_calo of d.npz holds NaN"),
    ({"X_calo": np.zeros(600)}, r"X_calo of d.npz have shape \(600,\)"),
    ({"y_kind": np.full(600, -1)}, "y_kind of d.npz has a label -1"),
    ({"y_energy": np.full(600, np.inf)}, "y_energy of d.npz holds NaN or infinite targets"),
    ({"task_kind": np.array("vae")}, "takes one array of features"),
    ({"task_energy": np.array("guess")}, "has the task 'guess'"),
    ({"class_names_kind": np.array(["a", "b"])}, "label 2 but names 2 classes"),
    ({"loss_weight_kind": np.array(0.0)}, "loss weight that is no number above 0"),
    ({"loss_weight_kind": np.array("much")}, "loss weight that is no number above 0"),
    ({"feature_names": np.array(["a"])}, "names 1 features but has 2 arrays of features"),
    ({"y_kind": None, "y_energy": None}, "no features and labels"),
])
def test_that_what_is_wrong_with_one_array_is_said_of_it(changes, words, tmp_path):
    with pytest.raises(DatasetError, match=words) as caught:
        load_dataset(write(tmp_path / "d.npz", **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("model", "words"), [
    (info({"tracks": 5}, {"kind": 3, "energy": 1}), "has the input tracks, the dataset 'd' has arrays for calo, trac"),
    (info({"tracks": 5, "muons": 3}, {"kind": 3, "energy": 1}), "named X_tracks and X_muons"),
    (info({"tracks": 5, "calo": 3}, {"kind": 3}), "has the output kind"),
    (info({"tracks": 5, "calo": 4}, {"kind": 3, "energy": 1}), "takes 4 features at its input 'calo'"),
    (info({"tracks": 5, "calo": 3}, {"kind": 2, "energy": 1}), "'m, output kind' has 2 outputs"),
    (info({"tracks": 5, "calo": 3}, {"kind": 3, "energy": 2}), "'m, output energy' gives 2 outputs"),
])
def test_that_a_model_of_other_inputs_or_outputs_is_refused(model, words, tmp_path):
    with pytest.raises(DatasetError, match=words):
        check_fits(load_dataset(write(tmp_path / "d.npz")), model)


def test_that_one_array_does_not_do_for_two_inputs(tmp_path):
    data = load_dataset_of(tmp_path, np.random.default_rng(0).normal(size=(50, 8)), np.arange(50) % 2)
    with pytest.raises(DatasetError, match=r"'one' has one array\. Store one array for each, named X_tracks and "):
        check_fits(data, MODEL)
