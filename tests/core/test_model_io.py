"""Model files: what is read without TensorFlow equals what Keras builds, and what is unsafe is refused unbuilt."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import resources
from core.errors import ModelFileError
from core.model_io import describe_model, inspect_model, load_model, read_weights

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
JETS = resources.path("models/jet_tagger.keras")


def dense_model() -> Any:
    """Functional, with batch normalization, a branch, dropout and a softmax inside the last layer."""
    from keras import Input, Model, layers, regularizers

    entry = Input((16,), name="in")
    x = layers.Dense(8, name="a", kernel_regularizer=regularizers.L1(1e-4), use_bias=False)(entry)
    x = layers.BatchNormalization(name="bn", scale=False)(x)
    x = layers.Activation("relu", name="r")(x)
    x = layers.Dropout(0.1, name="drop", seed=3)(x)
    side = layers.Dense(8, name="side", activation=layers.ReLU())(x)
    x = layers.Concatenate(name="cat")([layers.Add(name="add")([x, side]), side])
    return Model(entry, layers.Dense(3, activation="softmax", name="out")(x), name="dense_model")


def conv_model() -> Any:
    """Sequential over images: every windowed layer, strides, paddings, dilation."""
    from keras import Input, Sequential, layers

    return Sequential([
        Input((17, 15, 3)), layers.Conv2D(4, 3, strides=2, padding="same"), layers.LeakyReLU(),
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.ZeroPadding2D(((1, 0), (2, 2))),
        layers.MaxPooling2D((2, 3), padding="same"), layers.SeparableConv2D(5, 2, use_bias=False),
        layers.UpSampling2D((1, 4)), layers.Conv2DTranspose(2, 3, strides=2), layers.AveragePooling2D(2, strides=1),
        layers.Conv2D(6, (2, 3), dilation_rate=(2, 1)), layers.Permute((2, 1, 3)), layers.GlobalAveragePooling2D(),
        layers.Reshape((3, -1)), layers.Conv1D(4, 2, padding="causal"), layers.GlobalMaxPooling1D(keepdims=True),
        layers.Flatten(), layers.RepeatVector(2), layers.GRU(3, return_sequences=True), layers.LSTM(4),
        layers.Dense(2), layers.Softmax(),
    ])


def multiplied_model() -> Any:
    from keras import Input, Model, layers

    first, second = Input((4, 3), name="first"), Input((4, 3), name="second")
    x = layers.Multiply(name="mul")([first, second])
    x = layers.EinsumDense("abc,cd->abd", output_shape=(4, 5), bias_axes="d", name="ein")(x)
    x = layers.Bidirectional(layers.SimpleRNN(2), name="both")(x)
    return Model([first, second], [layers.Dense(1, name="p")(x), layers.Dense(2, name="q")(x)])


MODELS = {"dense": dense_model, "conv": conv_model, "several": multiplied_model}


@pytest.fixture(scope="module", params=[(name, ending) for name in MODELS for ending in ("keras", "h5")],
                ids=lambda param: ".".join(param))
def saved(request, tmp_path_factory) -> tuple[Any, Path]:
    name, ending = request.param
    model = MODELS[name]()
    random = np.random.default_rng(5)
    model.set_weights([random.normal(size=w.shape).astype(w.dtype) if w.dtype.kind == "f" else w
                       for w in model.get_weights()])
    path = tmp_path_factory.mktemp("models") / f"{name}.{ending}"
    model.save(path)
    return model, path


def keras_shapes(model: Any) -> dict[str, tuple[int | None, ...]]:
    return {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}


def test_that_inspection_gives_the_layers_shapes_and_weights_of_keras(saved):
    model, path = saved
    info = inspect_model(path)
    assert {layer.name: layer.output_shape for layer in info.layers if layer.class_name != "InputLayer"} == {
        name: shape for name, shape in keras_shapes(model).items() if name not in info.inputs}
    assert info.parameters == sum(layer.count_params() for layer in model.layers)
    for layer in model.layers:
        stored = [w for w in layer.weights if "seed" not in w.path]
        assert [w.shape for w in info.find(layer.name).weights] == [tuple(w.shape) for w in stored]
    assert list(info.inputs) == [tensor._keras_history.operation.name for tensor in model.inputs]
    assert list(info.outputs) == [tensor._keras_history.operation.name for tensor in model.outputs]


def test_that_weights_read_without_keras_are_those_keras_loads(saved):
    model, path = saved
    stored = read_weights(path)
    for layer in model.layers:
        expected = [w.numpy() for w in layer.weights if "seed" not in w.path]
        for mine, theirs in zip(stored.get(layer.name, {}).values(), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_that_a_loaded_model_is_described_as_its_file_and_computes_the_same(saved):
    model, path = saved
    loaded = load_model(path)
    described, inspected = describe_model(loaded), inspect_model(path)
    names = [layer.name for layer in described.layers if layer.name != "both"]  # Keras renames nested variables
    assert [described.find(name) for name in names] == [inspected.find(name) for name in names]
    assert (described.inputs, described.outputs) == (inspected.inputs, inspected.outputs)
    random = np.random.default_rng(0)
    events = [random.normal(size=(7, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    for mine, theirs in zip(_predictions(loaded, events), _predictions(model, events), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def _predictions(model: Any, events: list[np.ndarray]) -> list[np.ndarray]:
    result = model(events if len(events) > 1 else events[0], training=False)
    return [np.asarray(part) for part in (result if isinstance(result, list | tuple) else [result])]


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_that_parameters_have_the_names_recipes_use(tmp_path, ending):
    path = tmp_path / f"m.{ending}"
    conv_model().save(path)
    found = {layer.class_name: [w.parameter for w in layer.weights] for layer in inspect_model(path).layers}
    assert found["DepthwiseConv2D"] == ["depthwise", "bias"]
    assert found["SeparableConv2D"] == ["depthwise", "pointwise"]
    assert found["LSTM"] == found["GRU"] == ["kernel", "recurrent_kernel", "bias"]
    dense_model().save(path)
    assert [w.parameter for w in inspect_model(path).find("bn").weights] == ["beta", "mean", "variance"]


def test_that_multiply_accumulates_are_counted_per_event(tmp_path):
    from keras import Input, Sequential, layers

    path = tmp_path / "m.keras"
    Sequential([Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.DepthwiseConv2D(3, name="depth"),
                layers.Flatten(), layers.Dense(10, name="dense")]).save(path)
    info = inspect_model(path)
    assert info.find("conv").macs == 6 * 6 * 3 * 3 * 3 * 4
    assert info.find("depth").macs == 4 * 4 * 3 * 3 * 4
    assert info.find("dense").macs == 64 * 10
    assert info.macs == sum(layer.macs for layer in info.layers)


def test_that_the_bundled_tagger_is_the_network_of_the_paper():
    info = inspect_model(JETS)
    assert info.layer_names == ["features", "fc1", "relu1", "fc2", "relu2", "fc3", "relu3", "output", "softmax"]
    assert [info.find(name).output_shape for name in ("features", "fc1", "fc2", "fc3", "output")] == [
        (16,), (64,), (32,), (32,), (5,)]
    assert (info.parameters, info.macs, info.notes) == (4389, 4256, ())
    kernel = read_weights(JETS)["fc1"]["kernel"]
    assert info.find("fc1").weight("kernel").minimum == pytest.approx(kernel.min())
    assert info.find("fc1").weight("kernel").maximum == pytest.approx(kernel.max())


def test_that_the_bundled_tagger_has_the_accuracy_stored_beside_it():
    from core.dataset import load_dataset
    from core.metrics import evaluate_scores

    told = json.loads(resources.path("models/jet_tagger.json").read_text())
    data = load_dataset("jets")
    scores = load_model(JETS).predict(data.x_test, batch_size=8192, verbose=0)
    result = evaluate_scores(scores, data.y_test, data.class_names, "float")
    assert data.hash == told["data_hash"]
    assert result.accuracy == pytest.approx(told["test_accuracy"], abs=2e-4)
    assert result.auc == pytest.approx(told["test_auc"], abs=2e-4)
    assert result.accuracy > 0.755


def test_that_inspection_needs_no_tensorflow():
    code = ("import sys\nfrom core.model_io import inspect_model, read_weights\n"
            f"inspect_model({str(JETS)!r}); read_weights({str(JETS)!r})\n"
            "print([name for name in ('keras', 'tensorflow') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
                          cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]"


# --- files of older Keras ---

def keras2_file(path: Path) -> Path:
    """A Sequential of Keras 2's HDF5 format: bytes, `:0` names, batch_input_shape, initializers without module."""
    uniform = {"class_name": "GlorotUniform", "config": {"seed": None}}
    layers = [
        {"class_name": "Dense", "config": {
            "name": "dense", "trainable": True, "batch_input_shape": [None, 4], "dtype": "float32", "units": 3,
            "activation": "relu", "use_bias": True, "kernel_initializer": uniform,
            "bias_initializer": {"class_name": "Zeros", "config": {}}}},
        {"class_name": "Dense", "config": {"name": "dense_1", "units": 2, "activation": "softmax", "use_bias": True}},
    ]
    config = {"class_name": "Sequential", "config": {"name": "old", "layers": layers}}
    random = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"], file.attrs["backend"] = b"2.4.0", b"tensorflow"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"dense", b"dense_1"]
        group.attrs["keras_version"], group.attrs["backend"] = b"2.4.0", b"tensorflow"
        for name, shape in (("dense", (4, 3)), ("dense_1", (3, 2))):
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            layer[f"{name}/kernel:0"] = random.normal(size=shape).astype(np.float32)
            layer[f"{name}/bias:0"] = random.normal(size=shape[1:]).astype(np.float32)
    return path


def test_that_a_keras_2_file_is_read_and_loaded(tmp_path):
    path = keras2_file(tmp_path / "old.h5")
    info = inspect_model(path)
    assert (info.keras_version, info.parameters, info.notes) == ("2.4.0", 23, ())
    assert [layer.output_shape for layer in info.layers] == [(4,), (3,), (2,)]
    assert info.find("dense").input_shapes == ((4,),)
    model, weights = load_model(path), read_weights(path)
    np.testing.assert_array_equal(model.get_layer("dense_1").kernel.numpy(), weights["dense_1"]["kernel"])


def test_that_a_keras_2_graph_is_followed(tmp_path):
    def layer(class_name: str, name: str, inbound: list[str], **config: object) -> dict[str, object]:
        nodes = [[[source, 0, 0, {}] for source in inbound]] if inbound else []
        return {"class_name": class_name, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}

    config = {"class_name": "Functional", "config": {"name": "g", "layers": [
        layer("Add", "sum", ["a", "b"]), layer("Dense", "a", ["x"], units=3), layer("Dense", "b", ["x"], units=3),
        layer("InputLayer", "x", [], batch_input_shape=[None, 5]),
    ], "input_layers": [["x", 0, 0]], "output_layers": [["sum", 0, 0]]}}
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
    info = inspect_model(tmp_path / "g.h5")
    assert info.layer_names == ["x", "a", "b", "sum"]
    assert info.find("sum").inbound == ("a", "b") and info.find("sum").output_shape == (3,)
    assert (info.inputs, info.outputs) == (("x",), ("sum",))


def test_that_weights_are_matched_by_class_where_the_file_stores_no_names(tmp_path):
    path = tmp_path / "m.keras"
    model = dense_model()
    model.save(path)
    rewritten = rewrite(path, weights=_forget_names)
    assert inspect_model(rewritten).layers == inspect_model(path).layers


def _forget_names(file: h5py.File) -> None:
    for group in file["layers"].values():
        group["vars"].attrs.pop("name", None)


# --- unknown, unsafe and damaged files ---

def rewrite(path: Path, config: Any = None, weights: Any = None, members: dict[str, bytes] | None = None) -> Path:
    """A copy of a .keras file with its parts changed in place by functions, or members added."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if config:
        described = json.loads(parts["config.json"])
        config(described)
        parts["config.json"] = json.dumps(described).encode()
    if weights:
        stored = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(stored, "r+") as file:
            weights(file)
        parts["model.weights.h5"] = stored.getvalue()
    changed = path.with_name(f"changed_{path.name}")
    with zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, **(members or {})}.items():
            archive.writestr(name, content)
    return changed


@pytest.fixture
def copy(tmp_path) -> Path:
    path = tmp_path / "m.keras"
    path.write_bytes(JETS.read_bytes())
    return path


def edit(number: int, **changes: Any) -> Any:
    return lambda described: described["config"]["layers"][number].update(changes)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_that_a_lambda_is_refused_before_keras_sees_it(tmp_path, ending):
    from keras import Input, Model, layers

    marker = tmp_path / "ran"
    entry = Input((4,))
    output = layers.Lambda(lambda x, where=str(marker): (Path(where).touch(), x)[1], name="evil")(entry)
    Model(entry, output).save(tmp_path / f"m.{ending}")
    marker.unlink(missing_ok=True)
    for action in (inspect_model, load_model):
        with pytest.raises(ModelFileError, match="is refused: layer 'evil' is a Lambda, which runs code"):
            action(tmp_path / f"m.{ending}")
    assert not marker.exists()


FOREIGN = {
    "custom class": edit(1, class_name="Mine", module=None, registered_name="my_package>Mine"),
    "any module": edit(1, class_name="system", module="os"),
    "keras function": edit(1, class_name="get_file", module="keras.utils"),
    "keras internals": edit(1, class_name="Map", module="keras.src.ops.core"),
    "module spelled alike": edit(1, module="keras_evil.layers"),
    "registered under a known name": edit(1, registered_name="my_package>Dense"),
    "false colours": edit(1, class_name="QEvil", registered_name="quantiscope>QEvil"),
    "file lookup": edit(1, class_name="StringLookup", module="keras.layers"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_that_a_foreign_class_is_kept_with_a_note_but_never_built(copy, case):
    changed = rewrite(copy, config=FOREIGN[case])
    info = inspect_model(changed)
    assert info.find("fc1") is not None and info.find("fc1").output_shape == (64,)
    with pytest.raises(ModelFileError) as caught:
        load_model(changed)
    assert "cannot be loaded" in str(caught.value) and caught.value.remedy and "\n" not in str(caught.value)
    if case != "false colours":  # only Keras, once loaded, knows which of our own layers there are
        assert any("fc1" in note for note in info.notes)


def test_that_nested_models_and_wrappers_are_shown_and_loaded(tmp_path):
    from keras import Input, Sequential, layers

    inner = Sequential([Input((6, 4)), layers.Dense(3), layers.TimeDistributed(layers.Dense(2))], name="inner")
    inner.compile("adam", "mse")
    model = Sequential([Input((6, 4)), inner, layers.Flatten(), layers.Dense(2)])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.save(tmp_path / "m.keras")
    info = inspect_model(tmp_path / "m.keras")
    assert info.find("inner").parameters == 4 * 3 + 3 + 3 * 2 + 2
    assert info.find("inner").output_shape == (6, 2)
    assert info.notes == ("layer 'inner' is a model inside the model, shown as one layer",)
    events = np.random.default_rng(1).normal(size=(5, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "m.keras")(events).numpy(), model(events).numpy())


def test_that_a_bare_operation_is_named_with_what_to_use_instead(tmp_path):
    from keras import Input, Model, layers

    entry = Input((4,))
    x = layers.Dense(4)(entry)
    Model(entry, x + entry).save(tmp_path / "m.keras")
    assert any("bare operation Add" in note for note in inspect_model(tmp_path / "m.keras").notes)
    with pytest.raises(ModelFileError, match="bare operation Add"):
        load_model(tmp_path / "m.keras")


def test_that_a_function_hidden_in_an_argument_is_refused(copy):
    hidden = {"class_name": "function", "module": "builtins", "config": "eval", "registered_name": "function"}
    changed = rewrite(copy, config=lambda c: c["config"]["layers"][1]["config"].update(activation=hidden))
    with pytest.raises(ModelFileError, match="function 'eval'"):
        load_model(changed)


def test_that_code_hidden_in_an_argument_is_refused_on_inspection(copy):
    hidden = {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}
    changed = rewrite(copy, config=lambda c: c["config"]["layers"][1]["config"].update(kernel_initializer=hidden))
    with pytest.raises(ModelFileError, match="runs code"):
        inspect_model(changed)


def _external(file: h5py.File) -> None:
    file["layers/dense/vars/9"] = h5py.ExternalLink("/etc/hostname", "/x")


def _elsewhere(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/9", (1,), "f4", external=[("/etc/hostname", 0, 4)])


def _huge(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/9", (2**31,), "f4", chunks=(1024,))


def _deep(described: dict[str, Any]) -> None:
    inner: dict[str, Any] = {}
    described["config"]["layers"][1]["config"]["activation"] = inner
    for _ in range(100):
        inner["config"] = {}
        inner = inner["config"]


UNSAFE = {
    "path out of the archive": ({"members": {"../evil.txt": b"x"}}, "outside its folder"),
    "absolute path": ({"members": {"/tmp/evil.txt": b"x"}}, "outside its folder"),
    "link to another file": ({"weights": _external}, "its weights are links"),
    "values in another file": ({"weights": _elsewhere}, "lie in other files"),
    "shape bomb": ({"weights": _huge}, "more than 4 GiB"),
    "description bomb": ({"members": {"config.json": b" " * (9 * 2**20)}}, "larger than 8 MiB"),
    "description not json": ({"members": {"config.json": b"{"}}, "not JSON"),
    "description of nothing": ({"members": {"config.json": b"{}"}}, "cannot be read"),
    "nested too deeply": ({"config": _deep}, "nested too deeply"),
    "weights not hdf5": ({"members": {"model.weights.h5": b"x"}}, "is damaged"),
    "subclassed model": ({"members": {"config.json": b'{"class_name": "Mine", "config": {"units": 3}}'}},
                         "keeps them in code"),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_that_an_unsafe_archive_is_refused_with_a_sentence(copy, case):
    changes, expected = UNSAFE[case]
    changed = rewrite(copy, **changes)
    for action in (inspect_model, load_model):
        with pytest.raises(ModelFileError) as caught:
            action(changed)
        assert "\n" not in str(caught.value) and caught.value.remedy
        if action is inspect_model:
            assert expected in str(caught.value)


def _foreign_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["measurements"] = np.arange(3)


def _weights_only(path: Path) -> None:
    with zipfile.ZipFile(JETS) as archive:
        path.write_bytes(archive.read("model.weights.h5"))


def _zip_of_something(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hi")


DAMAGED = {
    "missing": (lambda path: None, "there is no model file"),
    "folder": (Path.mkdir, "is a folder"),
    "empty": (lambda path: path.write_bytes(b""), "is not a Keras model file"),
    "text": (lambda path: path.write_text("hello"), "is not a Keras model file"),
    "cut short": (lambda path: path.write_bytes(JETS.read_bytes()[:20000]), "is damaged"),
    "bytes flipped": (lambda path: path.write_bytes(bytes(b ^ (i > 3000) for i, b in enumerate(JETS.read_bytes()))),
                      "is damaged"),
    "another archive": (_zip_of_something, "lacks config.json"),
    "another HDF5": (_foreign_hdf5, "HDF5 file of another kind"),
    "weights only": (_weights_only, "weights without the model"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_that_a_damaged_or_foreign_file_is_named_in_one_sentence(tmp_path, case):
    make, expected = DAMAGED[case]
    path = tmp_path / "m.keras"
    make(path)
    for action in (inspect_model, load_model, read_weights):
        with pytest.raises(ModelFileError) as caught:
            action(path)
        assert expected in str(caught.value) and "\n" not in str(caught.value) and caught.value.remedy
