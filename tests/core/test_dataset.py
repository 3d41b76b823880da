"""Datasets: the bundled jets, every file format, and every way a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import resources
from core.dataset import Dataset, check_fits, load_dataset
from core.errors import DatasetError
from core.model_info import LayerInfo, ModelInfo


@pytest.fixture(scope="module")
def jets() -> Dataset:
    return load_dataset("jets")


def events(count: int = 200, features: int = 3, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    return random.normal(5, 2, (count, features)).astype(np.float32), np.arange(count) % classes


def info(features: int = 3, outputs: int = 2) -> ModelInfo:
    return ModelInfo(
        name="m", inputs=("in",), outputs=("out",),
        layers=(LayerInfo(name="in", class_name="InputLayer", output_shape=(features,)),
                LayerInfo(name="out", class_name="Dense", inbound=("in",), output_shape=(outputs,))),
    )


def test_that_the_jets_are_the_whole_labelled_simulated_set(jets):
    assert jets.events == 110_000
    assert (len(jets.y_train), len(jets.y_val), len(jets.y_test)) == (66_000, 22_000, 22_000)
    assert jets.class_names == ("g", "q", "w", "z", "t")
    assert jets.feature_names[0] == "zlogz" and jets.feature_names[-1] == "multiplicity"
    assert "simulated substitute of the hls4ml LHC jet set" in jets.provenance
    assert jets.x_test.dtype == np.float32 and jets.y_test.dtype == np.int64
    everything = np.concatenate([jets.y_train, jets.y_val, jets.y_test])
    assert np.bincount(everything).tolist() == [22050, 21984, 21973, 22019, 21974]


def test_that_split_and_scaling_are_those_of_scikit_learn_with_the_same_seed(jets):
    with np.load(resources.path("data/jets.npz"), allow_pickle=False) as stored:
        x, y = stored["X"], stored["y"]
    x_rest, x_test, _, y_test = train_test_split(x, y, test_size=0.2, random_state=42)
    scaler = StandardScaler().fit(x_rest.astype(np.float64))
    np.testing.assert_array_equal(jets.y_test, y_test)
    np.testing.assert_allclose(jets.mean, scaler.mean_, rtol=1e-5)
    np.testing.assert_allclose(jets.scale, scaler.scale_, rtol=1e-5)
    np.testing.assert_allclose(jets.x_test, scaler.transform(x_test.astype(np.float64)), atol=2e-4)


def test_that_a_limit_takes_the_first_events_of_each_part(jets):
    few = load_dataset("jets", limit=1000)
    assert (len(few.y_train), len(few.y_val), len(few.y_test)) == (600, 200, 200)
    np.testing.assert_array_equal(few.x_test, jets.x_test[:200])
    assert few.hash == jets.hash
    assert jets.limited(10**9) is jets


def test_that_a_constant_feature_is_left_unscaled(tmp_path):
    x, y = events()
    x[:, 1] = 3
    np.savez(tmp_path / "d.npz", X=x, y=y)
    data = load_dataset(tmp_path / "d.npz")
    assert data.scale[1] == 1
    assert np.abs(data.x_train[:, 1]).max() == 0


def write_npz(folder: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(folder / "d.npz", X=x, y=y)
    return folder / "d.npz"


def write_npy(folder: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.save(folder / "x_d.npy", x)
    np.save(folder / "y_d.npy", y)
    return folder / "x_d.npy"


def write_hdf5(folder: Path, x: np.ndarray, y: np.ndarray) -> Path:
    with h5py.File(folder / "d.h5", "w") as file:
        file["features"], file["labels"] = x, y
    return folder / "d.h5"


def write_csv(folder: Path, x: np.ndarray, y: np.ndarray) -> Path:
    lines = ["a,b,label,c"] + [f"{r[0]!r},{r[1]!r},{int(k)},{r[2]!r}" for r, k in zip(x.tolist(), y, strict=True)]
    (folder / "d.csv").write_text("\n".join(lines) + "\n")
    return folder / "d.csv"


@pytest.mark.parametrize("write", [write_npz, write_npy, write_hdf5, write_csv])
def test_that_every_format_gives_the_same_events(tmp_path, write):
    x, y = events()
    data = load_dataset(write(tmp_path, x, y))
    reference = load_dataset(write_npz(tmp_path, x, y))
    assert data.hash == reference.hash
    np.testing.assert_array_equal(data.x_test, reference.x_test)
    np.testing.assert_array_equal(data.y_train, reference.y_train)


def test_that_one_hot_rows_and_class_names_become_numbers(tmp_path):
    x, y = events(classes=3)
    np.savez(tmp_path / "hot.npz", X=x, y=np.eye(3)[y])
    np.savez(tmp_path / "text.npz", X=x, y=np.array(["w", "z", "t"])[y], class_names=["w", "z", "t"])
    hot, text = load_dataset(tmp_path / "hot.npz"), load_dataset(tmp_path / "text.npz")
    np.testing.assert_array_equal(hot.y_test, text.y_test)
    assert (hot.class_names, text.class_names) == (("0", "1", "2"), ("w", "z", "t"))


def test_that_a_file_split_already_is_taken_as_it_is(tmp_path):
    x, y = events()
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        file["X_train"], file["y_train"], file["X_test"], file["y_test"] = x[:160], y[:160], x[160:], y[160:]
        file["class_names"] = ["a", "b"]
    data = load_dataset(tmp_path / "d.hdf5")
    np.testing.assert_array_equal(data.x_test, x[160:])
    assert (len(data.y_train), len(data.y_val), data.class_names) == (120, 40, ("a", "b"))
    assert data.mean.tolist() == [0, 0, 0] and data.scale.tolist() == [1, 1, 1]


def test_that_images_keep_their_shape_and_values(tmp_path):
    x = np.random.default_rng(0).random((50, 4, 4, 1)).astype(np.float32)
    np.savez(tmp_path / "i.npz", X=x, y=np.arange(50) % 2)
    data = load_dataset(tmp_path / "i.npz")
    assert data.feature_shape == (4, 4, 1) and data.feature_names == ()
    assert set(data.x_test.ravel().tolist()) <= set(x.ravel().tolist())


def bad(name: str, **arrays: object):
    return lambda folder: np.savez(folder / f"{name}.npz", **arrays) or folder / f"{name}.npz"


def text(name: str, content: str | bytes):
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder / name
    return write


X, Y = events()
NAN = X.copy()
NAN[[3, 9], 1] = np.nan
HUGE = X.astype(np.float64)
HUGE[0, 0] = 1e300
BAD_FILES = {
    "nan": (bad("d", X=NAN, y=Y), "NaN or infinite features in 2 of 200 events"),
    "too large for float32": (bad("d", X=HUGE, y=Y), "infinite features in 1 of 200"),
    "lengths": (bad("d", X=X, y=Y[:-1]), "200 events but 199 labels"),
    "negative label": (bad("d", X=X, y=Y - 1), "a label -1"),
    "fractional label": (bad("d", X=X, y=Y + 0.5), "not whole numbers"),
    "label not named": (bad("d", X=X, y=Y, class_names=["a"]), "names 1 classes"),
    "text label not named": (bad("d", X=X, y=np.where(Y > 0, "w", "z"), class_names=["w"]), "label 'z'"),
    "not one-hot": (bad("d", X=X, y=np.ones((200, 2))), "not one-hot"),
    "too few": (bad("d", X=X[:5], y=Y[:5]), "has 5 events"),
    "empty": (bad("d", X=X[:0], y=Y[:0]), "has 0 events"),
    "flat": (bad("d", X=X[:, 0], y=Y), "one row for each event"),
    "other keys": (bad("d", a=X, b=Y), "but no features and labels"),
    "feature names": (bad("d", X=X, y=Y, feature_names=["a"]), "names 1 features but has 3 features"),
    "text features": (bad("d", X=X.astype(str), y=Y), "are not numbers"),
    "pickle": (bad("d", X=np.array([{}, []] * 50, dtype=object), y=Y[:100]), "could run code"),
    "corrupt npz": (text("d.npz", b"PK\x03\x04 not a zip"), "cannot be read: it is damaged"),
    "corrupt hdf5": (text("d.h5", b"\x89HDF\r\n\x1a\n"), "cannot be read: it is damaged"),
    "ending": (text("d.xlsx", b""), "not a dataset file"),
    "csv ragged": (text("d.csv", "a,b,y\n1,2,0\n1,2\n"), "row 3 of d.csv has 2 columns"),
    "csv word": (text("d.csv", "a,b,y\n1,two,0\n"), "not a number"),
    "csv blank": (text("d.csv", "a,b,y\n" + "1,,0\n" * 30), "NaN or infinite features in 30 of 30"),
    "csv header": (text("d.csv", "1,2,0\n" * 30), "no header line"),
    "lone npy": (lambda folder: np.save(folder / "x_d.npy", X) or folder / "x_d.npy", "no labels were found"),
    "missing": (lambda folder: folder / "none.npz", "there is no dataset file"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_that_a_bad_file_is_refused_with_one_sentence_and_a_remedy(tmp_path, case):
    write, expected = BAD_FILES[case]
    with pytest.raises(DatasetError) as caught:
        load_dataset(write(tmp_path))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.remedy


def test_that_data_kept_in_another_file_is_refused(tmp_path):
    write_hdf5(tmp_path, X, Y)
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "d.h5"), "features", shape=X.shape)
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("X", layout)
        file["y"] = Y
    with pytest.raises(DatasetError, match="refers to other files"):
        load_dataset(tmp_path / "virtual.h5")


def test_that_a_dataset_must_fit_the_model(tmp_path):
    data = load_dataset(write_npz(tmp_path, *events(classes=3)))
    check_fits(data, info(3, 3))
    check_fits(data, info(3, 5))
    with pytest.raises(DatasetError, match="has 3 features an event, the model 'm' takes 16 features"):
        check_fits(data, info(16, 3))
    with pytest.raises(DatasetError, match="go up to 2, the model 'm' has 2 outputs"):
        check_fits(data, info(3, 2))
    two_classes = load_dataset(write_npz(tmp_path, *events(classes=2)))
    check_fits(two_classes, info(3, 1))
