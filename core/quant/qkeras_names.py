"""QKeras's configurations in our terms, and ours in QKeras's: plain dictionaries, no Keras needed.

Read are models of QKeras 0.9 under Keras 2 (quantizers as dictionaries or strings) and of qkeras-v3 under
Keras 3 (classes registered as `qkeras>QDense`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import ModelFileError, QuantizerError
from core.model_safety import OUR_FUNCTIONS, named_objects
from core.model_safety import PACKAGE as OURS
from core.quant.quantizers import REPLACES
from core.quant.recipe import OUTPUT, LayerRecipe, Recipe
from core.quant.spec import KINDS, QuantizerSpec, in_force, parse

Config = dict[str, Any]

#: QKeras's argument -> our parameter type
QUANTIZERS = {
    "kernel_quantizer": "kernel", "bias_quantizer": "bias", "recurrent_quantizer": "recurrent_kernel",
    "state_quantizer": "state", "depthwise_quantizer": "depthwise", "pointwise_quantizer": "pointwise",
    "average_quantizer": "average", "gamma_quantizer": "gamma", "beta_quantizer": "beta", "mean_quantizer": "mean",
    "variance_quantizer": "variance",
}
RECURRENT = ("QSimpleRNN", "QLSTM", "QGRU")
CLASSES = frozenset({
    "QDense", "QConv1D", "QConv2D", "QConv2DTranspose", "QDepthwiseConv2D", "QSeparableConv1D", "QSeparableConv2D",
    *RECURRENT, "QBidirectional", "QBatchNormalization", "QConv2DBatchnorm", "QDepthwiseConv2DBatchnorm",
    "QDenseBatchnorm", "QActivation", "QAdaptiveActivation", "QAveragePooling2D", "QGlobalAveragePooling2D"})
#: what stands in a layer for a quantizer that is its activation itself
STANDS = {kind: next(name for name in ("relu", "tanh", "sigmoid", "hard_swish") if name in names)
          for kind, names in REPLACES.items()}
#: arguments that only QKeras has, or that only building needs
_DROPPED = ("initializer", "constraint", "range", "quantizer")
_ONLY_KERAS_3 = frozenset({"synchronized", "seed", "zero_output_for_mask", "use_cudnn", "renorm", "renorm_clipping",
                           "renorm_momentum", "quantization_config", "widths", "autocast"})
_ONLY_KERAS_2 = frozenset({"time_major", "sparse", "ragged", "current_step", "renorm", "renorm_clipping", "fused",
                           "renorm_momentum", "virtual_batch_size", "adjustment", "mask"})


def is_qkeras(config: Mapping[str, Any]) -> bool:
    """True for the configuration of a model with a layer of QKeras's."""
    return any(_is_theirs(item) for item in _items(config))


def _is_theirs(item: Mapping[str, Any]) -> bool:
    name = str(item.get("registered_name") or "")
    return item.get("class_name") in CLASSES and not name.startswith(OURS) and not of_hgq(item)


def _items(config: Mapping[str, Any]) -> Iterator[Config]:
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, Mapping) else inner
    for item in layers if isinstance(layers, list) else []:
        if isinstance(item, dict):
            yield item


def is_hgq(config: Mapping[str, Any]) -> bool:
    """True for the configuration of a model with a layer of HGQ2's."""
    return any(of_hgq(item) for item in named_objects(dict(config)))


def of_hgq(item: Mapping[str, Any]) -> bool:
    """True for an object of HGQ2's."""
    return str(item.get("registered_name") or "").startswith("hgq>") or \
        str(item.get("module") or "").split(".")[0] == "hgq"


def translated(config: Config) -> Config:
    """The same model of our layers, to be built by Keras 3.

    Raises:
        ModelFileError: a layer or quantizer is not understood.
    """
    config = copy.deepcopy(config)
    for item in _items(config):
        try:
            _translate(item)
        except (KeyError, TypeError, AttributeError, IndexError):
            raise ModelFileError(f"a layer of the class {item.get('class_name')!r:.40} cannot be read",
                                 "its description is not one that QKeras writes",
                                 "Save it again with QKeras 0.9 or qkeras-v3") from None
    return config


def _translate(item: Config) -> None:
    inner = item.get("config", {})
    if item.get("class_name") == "InputLayer":
        shape = inner.get("batch_shape") or inner.get("batch_input_shape")
        item["config"] = {"batch_shape": shape, "dtype": inner.get("dtype") or "float32", "name": inner.get("name")}
    elif _is_theirs(item):
        name = item["class_name"]
        try:
            item["config"] = _arguments(name, inner)
        except QuantizerError as error:
            raise ModelFileError(f"layer {inner.get('name')!r} ({name}) cannot be read", str(error),
                                 "Save it with quantizers of QKeras 0.9") from error
        item.update(module=None, registered_name=f"{OURS}{name}")


def _arguments(name: str, given: Mapping[str, Any]) -> Config:
    quantizers = {ours: str(in_force(spec, ours)) for theirs, ours in QUANTIZERS.items()
                  if (spec := spec_of(given.get(theirs))) is not None}
    if given.get("mask") is not None:
        raise QuantizerError("its kernel has a mask", remedy="Set the masked weights to 0, and the mask to None")
    kept = {key: value for key, value in given.items()
            if key not in _ONLY_KERAS_2 and not key.endswith(_DROPPED) and not key.endswith("_regularizer")}
    if name == "QAdaptiveActivation":
        kept["ema_freeze_delay"] = kept.get("ema_freeze_delay") or None
        return kept
    if name == "QBidirectional":
        kept["layer"] = _direction(given["layer"])
        if given.get("backward_layer"):
            kept["backward_layer"] = _direction(given["backward_layer"])
        return kept
    for function in ("activation", "recurrent_activation"):
        if function in given:
            text, plain = _activation(given[function])
            kept[function] = plain
            if text is not None:
                quantizers[function if name in RECURRENT else OUTPUT] = text
    if "Pooling" in name or name == "QBatchNormalization":
        kept.pop("activation", None)
    if isinstance(kept.get("axis"), list):
        kept["axis"] = kept["axis"][0]
    if name.endswith("Batchnorm"):
        kept.pop("axis", None)
        kept.pop("synchronized", None)
    if name not in ("QConv1D", "QConv2D", "QConv2DBatchnorm"):
        kept.pop("groups", None)
    if name.startswith("QDepthwise"):
        kept.pop("filters", None)
    return {**kept, "quantizers": quantizers}


def _direction(item: Config) -> Config:
    item = copy.deepcopy(item)
    _translate(item)
    return item


def _activation(value: Any) -> tuple[str | None, Any]:
    """(quantizer string or None, what Keras is to apply) of an `activation` argument."""
    if value is None or value == "linear":
        return None, "linear"
    name = value.get("config") if isinstance(value, Mapping) and value.get("class_name") == "function" else value
    if isinstance(name, str) and name.split("(")[0] not in KINDS:
        return None, _function(name) if name in OUR_FUNCTIONS else name
    spec = spec_of(name)
    assert spec is not None
    return str(spec), STANDS.get(spec.kind, "linear")


def _function(name: str) -> Config:
    """One of QKeras's own functions, as Keras stores a registered one."""
    return {"module": "builtins", "class_name": "function", "config": f"{OURS}{name}", "registered_name": "function"}


def spec_of(value: Any) -> QuantizerSpec | None:
    """A quantizer as QKeras stores it, a string or a dictionary; None for none. Raises QuantizerError."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return parse(value)
    if not isinstance(value, Mapping) or value.get("class_name") not in KINDS:
        raise QuantizerError(f"{value!r:.80} is not a quantizer of QKeras", remedy="Use one of QKeras 0.9")
    kind = value["class_name"]
    arguments = {name: argument for name, argument in (value.get("config") or {}).items() if name in KINDS[kind]}
    if any(isinstance(argument, (dict, list)) for argument in arguments.values()):
        raise QuantizerError(f"{kind} has an argument that is an array", remedy="Use numbers or 'auto_po2'")
    return QuantizerSpec(kind, arguments)


def recipe_of(config: Config, name: str) -> Recipe:
    """The quantizers of a model's layers, by our names; its inputs as Recipe's default says."""
    layers = {}
    for item in _items(translated(config)):
        inner = item.get("config") or {}
        quantizers = inner.get("quantizers")
        if item.get("class_name") == "QBidirectional":
            quantizers = inner["layer"]["config"].get("quantizers")
        if quantizers:
            layers[inner["name"]] = LayerRecipe(quantizers=dict(quantizers))
    return Recipe(name=name, layers=layers)


# -- writing ---------------------------------------------------------------------------------------------


def qkeras_layer(name: str, config: Config) -> Config:
    """Our layer's class and configuration as QKeras 0.9 would write it: {"class_name", "config"}."""
    config = copy.deepcopy(config)
    quantizers: dict[str, str] = config.pop("quantizers", {})
    theirs = {ours: theirs for theirs, ours in QUANTIZERS.items()}
    for parameter, text in quantizers.items():
        if parameter in theirs:
            config[theirs[parameter]] = text
    for function in ("activation", "recurrent_activation"):
        chosen = quantizers.get(function) or (quantizers.get(OUTPUT) if function == "activation" else None)
        if chosen is not None:
            config[function] = chosen
        elif isinstance(config.get(function), Mapping):
            config[function] = str(config[function].get("config")).removeprefix(OURS)
    if isinstance(config.get("dtype"), Mapping):
        config["dtype"] = config["dtype"]["config"]["name"]
    for key in [key for key in config
                if key in _ONLY_KERAS_3 or key.endswith(("initializer", "regularizer", "constraint"))]:
        del config[key]
    return {"class_name": name, "config": config}
