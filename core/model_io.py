"""Models in and out: look into a file without TensorFlow, load it safely, describe one in memory.

`inspect_model` and `read_weights` need numpy and h5py alone, so the window uses them; `load_model` imports
Keras when it is called, which is the worker's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from core import model_safety, model_shapes
from core.errors import ModelFileError
from core.model_files import MAX_LAYERS, StoredModel, Variable, open_model, reason, snake_case
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.model_shapes import Shape, base_class
from core.model_sizes import check_shape, refuse_oversized

if TYPE_CHECKING:
    import keras

Weights = dict[str, dict[str, NDArray[Any]]]

#: variables in the order Keras builds them; those a configuration switches off follow their flag
_ORDER: dict[str, tuple[tuple[str, str | None], ...]] = {
    **dict.fromkeys(("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose",
                     "Conv3DTranspose"), (("kernel", None), ("bias", "use_bias"))),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), (("depthwise", None), ("bias", "use_bias"))),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"),
                    (("depthwise", None), ("pointwise", None), ("bias", "use_bias"))),
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU"),
                    (("kernel", None), ("recurrent_kernel", None), ("bias", "use_bias"))),
    "BatchNormalization": (("gamma", "scale"), ("beta", "center"), ("mean", None), ("variance", None)),
    **{f"{base}Batchnorm": ((kernel, None), ("bias", "use_bias"), ("gamma", "scale"), ("beta", "center"),
                            ("iteration", None), ("mean", None), ("variance", None))
       for base, kernel in (("Dense", "kernel"), ("Conv1D", "kernel"), ("Conv2D", "kernel"),
                            ("DepthwiseConv2D", "depthwise"))},
    "AdaptiveActivation": (("ema_min", None), ("ema_max", None), ("step", None)),
    "LayerNormalization": (("gamma", "scale"), ("beta", "center")),
    "Embedding": (("embeddings", None),),
    "PReLU": (("alpha", None),),
}
_SPELLINGS = {"moving_mean": "mean", "moving_variance": "variance", "depthwise_kernel": "depthwise",
              "pointwise_kernel": "pointwise"}
#: arguments that do not change what a trained layer computes
_TRAINING_ARGUMENTS = ("initializer", "regularizer", "constraint", "trainable", "name", "dtype", "momentum", "seed",
                       "quantization_config", "batch_shape", "batch_input_shape", "sparse", "ragged", "optional",
                       "synchronized", "layers", "build_input_shape")


def inspect_model(path: Path | str) -> ModelInfo:
    """What a model file holds, layer by layer, without TensorFlow and without building anything.

    A class that is not known stays in the list with a note; `load_model` will not build it.

    Raises:
        ModelFileError: the file is missing, damaged, foreign, or holds code (a Lambda layer).
    """
    path = Path(path)
    return _inspected(open_model(path), path)


def _inspected(stored: StoredModel, path: Path) -> ModelInfo:
    model_safety.refuse_code(stored.config, path.name)
    try:
        return _describe(stored.config, _named(stored), source=str(path), source_hash=stored.sha256,
                         keras_version=stored.keras_version)
    except ModelFileError:
        raise
    except Exception as error:  # a description that Keras did not write may hold anything in any place
        raise ModelFileError(f"{path.name} is not a Keras model file", reason(error),
                             "Save the model again with Keras") from error


def read_weights(path: Path | str) -> Weights:
    """The weights of a model file by layer and parameter type ("kernel", "bias", "mean", ...), without TensorFlow.

    Raises:
        ModelFileError: as `inspect_model`.
    """
    return _named(open_model(Path(path)))


def load_model(path: Path | str) -> keras.Model:
    """Load a model file, uncompiled, after checking that it names nothing but known classes.

    Imports TensorFlow. The file is checked before Keras sees it: Lambda layers, custom classes that are
    not Quantiscope's own, and classes from other modules are refused. For a file with quantized layers the
    caller imports `core.quant.layers` first, which registers them.

    Raises:
        ModelFileError: the file is missing, damaged, foreign, or names what may not be built.
    """
    path = Path(path)
    stored = open_model(path)
    model_safety.refuse_unknown(stored.config, path.name)
    refuse_oversized(_inspected(stored, path), path.name)
    import keras

    ours = [item for item in model_safety.named_objects(stored.config) if model_safety.is_ours(item)]
    if ours:
        _check_registered(ours, path.name)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises nearly anything for a file it does not like
        raise ModelFileError(f"Keras cannot load {path.name}", reason(error),
                             "Save the model again with Keras 3") from error


def _check_registered(items: Iterable[dict[str, Any]], name: str) -> None:
    import keras

    for item in items:
        if keras.saving.get_registered_object(item["registered_name"]) is None:
            raise ModelFileError(f"{name} cannot be loaded",
                                 f"Quantiscope has no layer {item['class_name']}", "Update Quantiscope to open it")


def describe_model(model: keras.Model, source: str = "", source_hash: str = "") -> ModelInfo:
    """The ModelInfo of a Keras model in memory; the same as that of the file it would be saved to."""
    import keras

    weights = {layer.name: [(str(variable.path), keras.ops.convert_to_numpy(variable)) for variable in layer.weights]
               for layer in model.layers}
    config = json.loads(model.to_json())
    classes = {item["name"]: item["class_name"] for item in _layer_items(config)}
    named = {name: _parameters(classes.get(name, ""), {}, variables) for name, variables in weights.items()}
    return _describe(config, named, source, source_hash, keras.__version__)


def _named(stored: StoredModel) -> Weights:
    items = {item["name"]: item for item in _layer_items(stored.config)}
    return {
        name: _parameters(items.get(name, {}).get("class_name", ""), items.get(name, {}).get("config", {}), variables)
        for name, variables in stored.weights.items() if variables
    }


def _built_order(class_name: str, config: Mapping[str, Any]) -> list[str]:
    """Parameter types in the order Keras builds them."""
    inner = config.get("layer")
    if base_class(class_name) == "Bidirectional" and isinstance(inner, Mapping):
        one = _built_order(str(inner.get("class_name")), inner.get("config") or {})
        return [*one, *(f"backward_{name}" for name in one)]
    return [name for name, flag in _ORDER.get(base_class(class_name), ()) if flag is None or config.get(flag, True)]


def _parameters(class_name: str, config: Mapping[str, Any], variables: Sequence[Variable]) -> dict[str, NDArray[Any]]:
    """Variables by parameter type: by their stored names, else in the order Keras builds them."""
    order = _built_order(class_name, config)
    named: dict[str, NDArray[Any]] = {}
    for number, (stored, values) in enumerate(variables):
        last = stored.split(":")[0].split("/")[-1]
        if stored:
            name = _SPELLINGS.get(last, last)
            if name == "kernel" and order[:1] == ["depthwise"]:  # Keras 3 calls a depthwise kernel so
                name = "depthwise"
            if name in named:  # of the second direction of a Bidirectional
                name = f"backward_{name}" if "backward" in stored else stored.split(":")[0]
        else:
            name = order[number] if number < len(order) else f"variable_{number}"
        if "seed_generator" not in name:
            named[name] = values
    return named


def _layer_items(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers of a Functional or Sequential configuration, each with its name filled in."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner  # Keras 2.1 wrote a bare list
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ModelFileError(
            "the model's layers cannot be read", f"it is a {config.get('class_name')!r}, which keeps them in code",
            "Build it with the Functional or Sequential API and save it again",
        )
    if len(layers) > MAX_LAYERS:
        raise ModelFileError(f"the model has more than {MAX_LAYERS} layers", remedy="Choose a smaller model")
    return [{**layer, "name": layer.get("name") or layer["config"]["name"]} for layer in layers]


def _describe(config: dict[str, Any], weights: Weights, source: str, source_hash: str,
              keras_version: str) -> ModelInfo:
    notes: list[str] = []
    items = _layer_items(config)
    functional = config.get("class_name") != "Sequential"
    items, inbound = (_by_graph(items, notes) if functional else _in_a_row(items, config))
    recorded = _recorded_shapes(items)
    layers: dict[str, LayerInfo] = {}
    for item in items:
        sources = tuple(name for name in inbound[item["name"]] if name in layers)
        inputs = tuple(layers[name].output_shape for name in sources)
        layers[item["name"]] = _layer(item, sources, inputs, recorded, weights.get(item["name"], {}), notes)
    inner = config.get("config") if isinstance(config.get("config"), dict) else {}
    used = {name for names in inbound.values() for name in names}
    first = [layer.name for layer in layers.values() if layer.class_name == "InputLayer"]
    last = [name for name in layers if name not in used]
    return ModelInfo(
        name=str((inner or {}).get("name") or Path(source).stem or "model"), layers=tuple(layers.values()),
        inputs=_ends(inner, "input_layers") or tuple(first), outputs=_ends(inner, "output_layers") or tuple(last),
        source=source, source_hash=source_hash, keras_version=keras_version, notes=tuple(dict.fromkeys(notes)),
    )


def _ends(config: Any, key: str) -> tuple[str, ...]:
    """Layer names of `input_layers` or `output_layers`: one [name, node, tensor], a list of them, or a dictionary."""
    value = (config or {}).get(key) or []
    if isinstance(value, dict):
        value = [entry for _, entry in sorted(value.items())]  # the order in which Keras takes and gives them
    entries = [value] if value and isinstance(value[0], str) else value
    return tuple(str(entry[0]) for entry in entries)


def _in_a_row(items: list[dict[str, Any]], config: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    if not items or items[0]["class_name"] != "InputLayer":
        own = items[0]["config"] if items else {}
        inner = config["config"] if isinstance(config["config"], dict) else {}
        shape = own.get("batch_input_shape") or own.get("batch_shape") or inner.get("build_input_shape") or [None, None]
        entry = {"class_name": "InputLayer", "name": "input_layer", "config": {"batch_shape": shape}}
        items = [entry, *items]
    names = [item["name"] for item in items]
    return items, {name: names[max(number - 1, 0):number] for number, name in enumerate(names)}


def _by_graph(items: list[dict[str, Any]], notes: list[str]) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Layers in topological order (the file's order where free) and what feeds each."""
    inbound = {}
    for item in items:
        nodes = item.get("inbound_nodes") or []
        if len(nodes) > 1:
            notes.append(f"layer {item['name']!r} is used {len(nodes)} times; its first use is shown")
        inbound[item["name"]] = list(_sources(nodes[0])) if nodes else []
    by_name = {item["name"]: item for item in items}
    users: dict[str, list[str]] = {name: [] for name in by_name}
    missing = {name: set(sources) for name, sources in inbound.items()}
    for name, sources in missing.items():
        for source in sources & set(by_name):
            users[source].append(name)
    places = {name: place for place, name in enumerate(by_name)}
    ordered: list[str] = []
    ready = [name for name, sources in missing.items() if not sources]
    while ready:
        ordered += ready
        freed = []
        for source in ready:
            for name in users[source]:
                missing[name].discard(source)
                if not missing[name]:
                    freed.append(name)
        ready = sorted(freed, key=places.__getitem__)
    if len(ordered) < len(by_name):
        raise ModelFileError("the model's layers form a circle or one is missing",
                             remedy="Save the model again with Keras")
    return [by_name[name] for name in ordered], inbound


def _sources(node: Any) -> Iterable[str]:
    """Names of the layers a node takes; Keras 3 writes tensors with a history, Keras 2 [name, node, tensor, {}]."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            yield str(node["config"]["keras_history"][0])
        else:
            for value in node.values():
                yield from _sources(value)
    elif isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
            yield node[0]
        else:
            for value in node:
                yield from _sources(value)


def _recorded_shapes(items: Iterable[dict[str, Any]]) -> dict[str, Shape]:
    """Output shapes that Keras 3 wrote next to the connections; used for classes that are not known."""
    return {
        str(tensor["config"]["keras_history"][0]): tuple(tensor["config"]["shape"][1:])
        for item in items for tensor in model_safety.named_objects(item.get("inbound_nodes", []))
        if tensor["class_name"] == "__keras_tensor__"
    }


def _layer(item: dict[str, Any], sources: tuple[str, ...], inputs: tuple[Shape, ...], recorded: Mapping[str, Shape],
           weights: Mapping[str, NDArray[Any]], notes: list[str]) -> LayerInfo:
    name, config = item["name"], item.get("config") or {}
    class_name = base_class(item["class_name"])
    doubt = model_safety.unknown_reason(item)
    if class_name != item["class_name"] and not model_safety.is_ours(item):
        notes.append(f"layer {name!r} is a {item['class_name']} of another package, shown as {class_name}")
    elif doubt:
        notes.append(doubt)
    elif class_name in model_safety.MODELS:
        notes.append(f"layer {name!r} is a model inside the model, shown as one layer")
    elif class_name not in model_shapes.RULES and class_name != "InputLayer":
        notes.append(f"layer {name!r} is of the class {class_name}, which Quantiscope keeps in float")
    if class_name == "InputLayer":
        batch = config.get("batch_shape") or config.get("batch_input_shape") or [None]
        output: Shape | None = tuple(batch[0][1:] if batch and isinstance(batch[0], list) else batch[1:])
    elif class_name in model_safety.MODELS:
        nested = _describe(item, {}, "", "", "")
        output = nested.layers[nested.layer_names.index(nested.outputs[0])].output_shape
    else:
        output = model_shapes.output_shape(class_name, config, inputs)
    if output is None:
        output = recorded.get(name, inputs[0] if inputs else ())
        if name not in recorded:
            notes.append(f"the output shape of layer {name!r} ({class_name}) is not known")
    output = check_shape(output, name)
    shapes = {parameter: tuple(values.shape) for parameter, values in weights.items()}
    return LayerInfo(
        name=name, class_name=class_name, inbound=sources, input_shapes=inputs, output_shape=output,
        weights=tuple(_weight(parameter, values) for parameter, values in weights.items()),
        macs=model_shapes.macs(class_name, config, inputs, output, shapes) if inputs else 0,
        config=_arithmetic(config),
    )


def _weight(parameter: str, values: NDArray[Any]) -> WeightInfo:
    ranged = values.size > 0 and values.dtype.kind in "fiu"
    return WeightInfo(parameter=parameter, shape=tuple(values.shape),
                      minimum=float(values.min()) if ranged else None, maximum=float(values.max()) if ranged else None)


def _arithmetic(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that fix what a layer computes, as plain values."""
    return {
        key: _plain(value) for key, value in config.items()
        if not any(key == word or key.endswith(f"_{word}") for word in _TRAINING_ARGUMENTS)
    }


def _plain(value: Any) -> Any:
    """A function or layer given as an argument (activation=ReLU()) becomes its name."""
    if isinstance(value, dict) and "class_name" in value:
        name = str(value["class_name"])
        return value.get("config") if name == "function" else snake_case(name).replace("re_lu", "relu")
    return value


__all__ = ["Weights", "base_class", "describe_model", "inspect_model", "load_model", "read_weights"]
