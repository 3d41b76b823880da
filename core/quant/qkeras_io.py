"""Models of QKeras and qkeras-v3, read without either installed, and written so that QKeras 0.9 reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from core.errors import ModelFileError
from core.files import write_atomically
from core.model_files import StoredModel, Variable, hdf5, layer_variables, open_model, reason
from core.model_safety import refuse_code, refuse_unknown
from core.quant import qkeras_functions  # noqa: F401  registers QKeras's functions
from core.quant.build import unquantized
from core.quant.layers import QAdaptiveActivation
from core.quant.qkeras_names import OURS, qkeras_layer, translated
from core.quant.recipe import Recipe

_AGAIN = "Save it again with QKeras 0.9 or qkeras-v3"


def read_qkeras(path: Path | str, weights: Path | str | None = None) -> keras.Model:
    """The quantized model of a QKeras .h5 or .keras file, or of a .json architecture, of our layers.

    Args:
        path: the file.
        weights: an .h5 with the weights of a .json; without it the model keeps new weights.

    Raises:
        ModelFileError: the file is damaged, foreign, or holds what is not understood.
    """
    path = Path(path)
    stored = StoredModel(_architecture(path), "", "") if path.suffix == ".json" else open_model(path)
    found = model_of(stored, path.name)
    if weights is not None:
        _set_weights(found, _stored_weights(Path(weights)), Path(weights).name)
    return found


def _stored_weights(path: Path) -> dict[str, list[Variable]]:
    try:
        with hdf5(path) as file:
            return layer_variables(file.get("model_weights", file))
    except (OSError, KeyError, ValueError) as error:
        raise ModelFileError(f"{path.name} holds no weights of a Keras model", reason(error), _AGAIN) from None


def _architecture(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(config, dict) and "class_name" in config
        return config
    except (OSError, ValueError, AssertionError, RecursionError) as error:
        raise ModelFileError(f"{path.name} is not the architecture of a Keras model", reason(error), _AGAIN) from None


def model_of(stored: StoredModel, name: str) -> keras.Model:
    """The quantized model of a file that was read, with its weights where they were read too."""
    refuse_code(stored.config, name)
    config = translated(stored.config)
    refuse_unknown(config, name)
    kind: Any = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    inner = config["config"]
    if isinstance(inner, list):
        inner = {"layers": inner}
    try:
        built = kind.from_config(inner)
    except Exception as error:  # Keras raises nearly anything for a configuration it does not like
        raise ModelFileError(f"{name} cannot be built from QKeras's description", reason(error), _AGAIN) from error
    if stored.weights:
        _set_weights(built, stored.weights, name)
    return built


def _set_weights(model: keras.Model, stored: dict[str, list[Variable]], name: str) -> None:
    for layer in model.layers:
        values = [np.asarray(value) for _, value in stored.get(layer.name, [])]
        if isinstance(layer, QAdaptiveActivation) and len(values) == 3:
            values = [*values[1:], values[0].reshape(())]  # QKeras keeps its count of steps first
        if not values and not layer.weights:
            continue
        wanted = [tuple(v.shape) for v in layer.weights]
        if [v.shape for v in values] != wanted:
            raise ModelFileError(f"{name} has other weights for layer {layer.name!r} than its description says",
                                 f"{[v.shape for v in values]} in place of {wanted}", _AGAIN)
        layer.set_weights(values)


def read_split(stored: StoredModel, name: str) -> tuple[keras.Model, Recipe]:
    """The float model of a QKeras file, and the recipe that quantizes it as the file says."""
    return unquantized(model_of(stored, name))


def qkeras_config(model: keras.Model) -> dict[str, Any]:
    """A model's architecture as QKeras 0.9 under Keras 2 writes it: a dictionary for `model_from_json`.

    Layers are described by their Keras class where they have no quantizer. A `QInput` becomes a QActivation.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    described = json.loads(model.to_json())
    layers = []
    for item in described["config"]["layers"]:
        layer = model.get_layer(item["config"]["name"])
        entry = _entry(item)
        entry["inbound_nodes"] = _legacy_nodes(layer, model)
        layers.append({"name": layer.name, **entry})
    ends = {key: [[t._keras_history.operation.name, 0, 0] for t in tensors]
            for key, tensors in (("input_layers", model.inputs), ("output_layers", model.outputs))}
    return {"class_name": "Functional", "keras_version": "2.14.0", "backend": "tensorflow",
            "config": {"name": model.name, "trainable": True, "layers": layers, **ends}}


def _entry(item: dict[str, Any]) -> dict[str, Any]:
    name = item["class_name"]
    if name == "InputLayer":
        config = item["config"]
        return {"class_name": name, "config": {"batch_input_shape": config["batch_shape"], "dtype": "float32",
                                               "name": config["name"], "sparse": False, "ragged": False}}
    if name == "QInput":
        name = "QActivation"
    ours = str(item.get("registered_name") or "").startswith(OURS)
    entry = qkeras_layer(name, item["config"])
    if ours and name == "QBidirectional":
        for direction in ("layer", "backward_layer"):
            inner = entry["config"][direction]
            entry["config"][direction] = qkeras_layer(inner["class_name"], inner["config"])
    return entry


def _legacy_nodes(layer: keras.Layer, model: keras.Model) -> list[Any]:
    inside = set(model.operations)
    nodes = []
    for node in layer._inbound_nodes:
        sources = [t._keras_history for t in node.input_tensors]
        if sources and all(s.operation in inside for s in sources):
            nodes.append([[s.operation.name, s.node_index, s.tensor_index, {}] for s in sources])
    return nodes


def save_qkeras(model: keras.Model, architecture: Path, weights: Path) -> None:
    """Write QKeras 0.9's .json and a weights .h5 that its `load_weights` reads.

    Raises:
        OSError: a file cannot be written.
    """
    write_atomically(Path(architecture), json.dumps(qkeras_config(model)).encode())
    text = h5py.string_dtype()
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    with h5py.File(weights, "w") as file:
        file.attrs["layer_names"] = np.array([layer.name.encode() for layer in model.layers])
        file.attrs.create("backend", "tensorflow", dtype=text)
        file.attrs.create("keras_version", "2.14.0", dtype=text)
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{number}:0" for number in range(len(layer.weights))]
            group.attrs["weight_names"] = np.array([n.encode() for n in names]) if names else np.zeros(0, "S1")
            values = layer.get_weights()
            if isinstance(layer, QAdaptiveActivation):
                values = [values[-1], *values[:-1]]
            for name, value in zip(names, values, strict=True):
                group.create_dataset(name, data=value)
