"""QKeras's files without QKeras: against predictions that the original stored beside them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.errors import ModelFileError
from core.loading import model_of, stored_recipe
from core.model_io import inspect_model, load_model
from core.quant import predict, quantize
from core.quant.build import unquantized
from core.quant.qkeras_io import qkeras_config, read_qkeras, save_qkeras
from core.quant.qkeras_names import CLASSES

GOLDEN = Path(__file__).parents[2] / "golden" / "qkeras_models"
ROOT = Path(__file__).parents[3]
QUANTIZED = ("dense", "sequential", "pictures", "folded", "series")
WIDE = "quantized_bits(32,16,alpha=1)"


def _golden(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as stored:
        return stored["x"], stored["y"]


def test_the_files_hold_every_class_of_qkeras() -> None:
    held = {item["class_name"] for name in QUANTIZED
            for item in json.loads((GOLDEN / f"{name}.json").read_text())["config"]["layers"]}
    assert CLASSES - held <= {"QDenseBatchnorm"}  # that one is qkeras-v3's


@pytest.mark.parametrize("name", QUANTIZED)
def test_h5_files_predict_as_the_original(name: str) -> None:
    x, y = _golden(name)
    found = predict(read_qkeras(GOLDEN / f"{name}.h5"), x)
    np.testing.assert_allclose(found, y, atol=1e-6)
    assert len(np.unique(y)) > 20


@pytest.mark.parametrize("name", QUANTIZED)
def test_an_architecture_with_weights_beside_it_does_too(name: str) -> None:
    x, y = _golden(name)
    found = read_qkeras(GOLDEN / f"{name}.json", GOLDEN / f"{name}.h5")
    np.testing.assert_allclose(predict(found, x), y, atol=1e-6)


@pytest.mark.parametrize("name", ["v3_dense", "v3_pictures", "v3_series"])
def test_keras_files_of_qkeras_v3_predict_as_it_does(name: str) -> None:
    x, y = _golden(name)
    path = GOLDEN / f"{name}.keras"
    np.testing.assert_allclose(predict(read_qkeras(path), x), y, atol=1e-6)
    recipe = stored_recipe(path)
    assert recipe is not None and len(recipe.layers) >= 3
    recipe.check(inspect_model(path))
    assert len(np.unique(y)) > 20


def test_a_plain_keras_2_file_loads() -> None:
    x, y = _golden("plain")
    np.testing.assert_allclose(predict(load_model(GOLDEN / "plain.h5"), x), y, atol=1e-6)
    assert stored_recipe(GOLDEN / "plain.h5") is None


@pytest.mark.parametrize("name", QUANTIZED)
def test_the_app_takes_it_as_a_float_model_and_a_recipe(name: str) -> None:
    x, y = _golden(name)
    path = GOLDEN / f"{name}.h5"
    recipe = stored_recipe(path)
    assert recipe is not None
    recipe.check(inspect_model(path))
    built = quantize(model_of(path), msgspec.structs.replace(recipe, input=WIDE))
    np.testing.assert_allclose(predict(built, x), y, atol=1e-5)


@pytest.mark.parametrize("name", QUANTIZED)
def test_what_was_read_is_saved_and_read_again(name: str, tmp_path: Path) -> None:
    x, y = _golden(name)
    model = read_qkeras(GOLDEN / f"{name}.h5")
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(predict(load_model(tmp_path / "model.keras"), x), y, atol=1e-6)


@pytest.mark.parametrize("name", QUANTIZED)
def test_what_is_written_reads_back_here(name: str, tmp_path: Path) -> None:
    x, y = _golden(name)
    model = read_qkeras(GOLDEN / f"{name}.h5")
    save_qkeras(model, tmp_path / "model.json", tmp_path / "weights.h5")
    np.testing.assert_allclose(predict(read_qkeras(tmp_path / "model.json", tmp_path / "weights.h5"), x), y, atol=1e-6)


def test_a_recipe_made_here_is_written_in_qkeras_names() -> None:
    float_model, recipe = unquantized(read_qkeras(GOLDEN / "dense.h5"))
    config = qkeras_config(quantize(float_model, recipe))
    layers = {item["name"]: item for item in config["config"]["layers"]}
    assert layers["fc1"]["class_name"] == "QDense"
    assert layers["fc1"]["config"]["kernel_quantizer"] == "quantized_bits(4,0,alpha=1)"
    assert layers["act1"] == {**layers["act1"], "class_name": "QActivation"}
    assert layers["act1"]["config"]["activation"] == "quantized_relu(6,2)"
    assert layers["x_quantizer"]["class_name"] == "QActivation"


READ_BACK = """
import sys, numpy as np, tensorflow as tf
from qkeras.utils import _add_supported_quantized_objects
from tensorflow.python.ops import array_ops
from tensorflow.python.util import nest
array_ops.stack, nest.is_sequence = tf.stack, nest.is_nested
objects = {}
_add_supported_quantized_objects(objects)
model = tf.keras.models.model_from_json(open(sys.argv[1]).read(), custom_objects=objects)
model.load_weights(sys.argv[2])
data = np.load(sys.argv[3])
np.testing.assert_allclose(model.predict(data["x"], verbose=0), data["y"], atol=1e-5)
print("the same")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTIZED)
def test_the_original_reads_what_is_written(name: str, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from _environments import environment

    save_qkeras(read_qkeras(GOLDEN / f"{name}.h5"), tmp_path / "model.json", tmp_path / "weights.h5")
    done = subprocess.run(
        [str(environment("qkeras")), "-c", READ_BACK, tmp_path / "model.json", tmp_path / "weights.h5",
         GOLDEN / f"{name}.npz"], capture_output=True, text=True, check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"})
    assert done.stdout.endswith("the same\n"), done.stderr[-1500:]


@pytest.mark.parametrize(("old", "new"), [
    ('"class_name": "quantized_bits"', '"class_name": "quantized_evil"'), ('"bits": 4', '"bits": 400'),
    ('"class_name": "QDense"', '"class_name": "Lambda"'),
    ('"class_name": "QDense", "config": {', '"class_name": "QDense", "config": [], "x": {'),
    ('"class_name": "Activation"', '"module": "subprocess", "class_name": "Popen"')])
def test_what_is_not_understood_is_one_sentence(old: str, new: str, tmp_path: Path) -> None:
    text = (GOLDEN / "dense.json").read_text()
    assert old in text
    (tmp_path / "bad.json").write_text(text.replace(old, new))
    with pytest.raises(ModelFileError):
        read_qkeras(tmp_path / "bad.json")


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "dense.json", tmp_path / "dense.json")
    with pytest.raises(ModelFileError, match="other weights"):
        read_qkeras(tmp_path / "dense.json", GOLDEN / "pictures.h5")
