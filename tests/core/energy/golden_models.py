"""Reader of the golden file: its layer specs as ModelInfo and Recipe, its settings as EnergySettings.

The file holds what the original gave for 41 small models: QTools of qkeras 0.9.0 from PyPI under TensorFlow 2.14,
seven type settings by five memory settings; its key "what" tells how weights were drawn. QKeras class names become
Keras class names and a recipe.
"""

from __future__ import annotations

import gzip
import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.energy import QTOOLS, EnergySettings
from core.energy.graph import base_class
from core.energy.types import DataType
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.model_shapes import macs, output_shape
from core.quant.recipe import LayerRecipe, Recipe

BUNDLED = Path(__file__).parents[2] / "golden" / "qtools_golden.json.gz"
PARAMETERS = {
    "kernel_quantizer": "kernel", "depthwise_quantizer": "depthwise", "pointwise_quantizer": "pointwise",
    "recurrent_quantizer": "recurrent_kernel", "bias_quantizer": "bias", "gamma_quantizer": "gamma",
    "beta_quantizer": "beta", "mean_quantizer": "mean", "variance_quantizer": "variance",
    "average_quantizer": "average",
}
# what QKeras 0.9.0 takes when a QBatchNormalization is not told otherwise
NORMALIZATION = {
    "gamma": "quantized_relu_po2(6,2048)", "beta": "quantized_po2(5)", "mean": "quantized_po2(5)",
    "variance": "quantized_relu_po2(6,quadratic_approximation=True)",
}
DEFAULTS = {"strides": 1, "padding": "valid", "pool_size": 2}


@lru_cache(maxsize=1)
def golden() -> dict:
    """The golden file: the one named by QTOOLS_GOLDEN, or the bundled one."""
    path = Path(os.environ.get("QTOOLS_GOLDEN") or BUNDLED)
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def model_named(name: str) -> dict:
    """The record of one golden model."""
    return next(record for record in golden()["models"] if record["name"] == name)


def energy_settings(config: dict, memory: dict) -> EnergySettings:
    """The settings of one golden run and memory."""
    return EnergySettings(
        compat=QTOOLS, float_type=config["keras_quantizer"], float_accumulator=config["keras_accumulator"],
        reference=config["for_reference"], inference=config["is_inference"], source=config.get("source"),
        weights_memory=memory["weights_on_memory"], activations_memory=memory["activations_on_memory"],
        minimum_sram_bits=memory["min_sram_size"], io_transfer=memory["rd_wr_on_io"],
    )


def read(record: dict) -> tuple[ModelInfo, Recipe]:
    """ModelInfo and Recipe of a golden model."""
    shapes = {name: tuple(shape) for name, shape in record["inputs"].items()}
    layers = [] if record.get("sequential") else [
        LayerInfo(name=name, class_name="InputLayer", output_shape=shape) for name, shape in shapes.items()]
    quantizers: dict[str, LayerRecipe] = {}
    for cls, name, args, inbound in record["spec"]:
        layer = _layer(cls, name, args, inbound, [shapes[source] for source in inbound])
        shapes[name] = layer.output_shape
        layers.append(layer)
        chosen = _quantizers(cls, args)
        if chosen:
            quantizers[name] = LayerRecipe(quantizers=chosen)
    sources = record["input_quantizers"] or ["quantized_bits(8,0,1)"]
    if len(sources) > 1:
        for name, text in zip(record["inputs"], sources, strict=True):
            quantizers[name] = LayerRecipe(quantizers={"output": text})
    outputs = tuple(record.get("outputs") or [record["spec"][-1][1]])
    info = ModelInfo(name=record["name"], layers=tuple(layers), inputs=tuple(record["inputs"]), outputs=outputs)
    return info, Recipe(name=record["name"], layers=quantizers, input=sources[0])


def _layer(cls: str, name: str, args: dict, inbound: list, inputs: list) -> LayerInfo:
    base = base_class(cls)
    config = {**DEFAULTS, **{k: v for k, v in args.items() if not k.endswith("_quantizer")}}
    if config.get("activation") is not None and "(" in config["activation"]:
        config.pop("activation")
    if base == "Activation" and cls == "QActivation":
        config.pop("activation", None)
    if base != cls:
        config["quantized"] = True
    known = base.replace("Batchnorm", "")
    if "Pool" in base and "pool_size" in config:
        config["strides"] = config["pool_size"]
    shape = output_shape(known, config, inputs)
    assert shape is not None, (cls, name)
    weights = _weights(base, config, inputs[0], shape)
    count = macs(known, config, inputs, shape, {w.parameter: w.shape for w in weights})
    return LayerInfo(name=name, class_name=base, inbound=tuple(inbound), input_shapes=tuple(inputs),
                     output_shape=shape, weights=weights, macs=count, config=config)


def _weights(base: str, config: dict, source: tuple, shape: tuple) -> tuple[WeightInfo, ...]:
    sides = config.get("kernel_size", 1)
    sides = tuple(sides) if isinstance(sides, list) else (sides,) * max(len(source) - 1, 1)
    channels, made = source[-1], []
    if base == "Dense":
        made = [("kernel", (channels, config["units"]))]
    elif base.startswith("Depthwise"):
        made = [("depthwise", (*sides, channels, 1))]
    elif base.startswith("Separable"):
        made = [("depthwise", (*sides, channels, 1)), ("pointwise", (1, 1, channels, config["filters"]))]
    elif base.startswith("Conv"):
        made = [("kernel", (*sides, channels, config["filters"]))]
    elif base == "LSTM":
        units = config["units"]
        made = [("kernel", (channels, 4 * units)), ("recurrent_kernel", (units, 4 * units)), ("bias", (4 * units,))]
    elif base == "BatchNormalization":
        flags = {"gamma": config.get("scale", True), "beta": config.get("center", True)}
        made = [(p, (channels,)) for p in ("gamma", "beta", "mean", "variance") if flags.get(p, True)]
    if made and base not in ("LSTM", "BatchNormalization") and config.get("use_bias", True):
        made.append(("bias", (shape[-1],)))
    return tuple(WeightInfo(parameter=parameter, shape=shape) for parameter, shape in made)


def _quantizers(cls: str, args: dict) -> dict[str, str]:
    if not cls.startswith("Q"):
        return {}
    chosen = dict(NORMALIZATION) if cls == "QBatchNormalization" else {}
    chosen |= {PARAMETERS[key]: value for key, value in args.items() if key in PARAMETERS and value is not None}
    activation = args.get("activation")
    if activation and ("(" in activation or cls in ("QActivation", "QAdaptiveActivation")):
        chosen["output"] = activation
    return chosen


def quantized_weights(record: dict, info: ModelInfo, recipe: Recipe) -> dict[str, dict[str, np.ndarray]]:
    """The model's weights as the golden generator drew them, quantized where they are powers of two."""
    from core.quant import quantizer

    random = np.random.RandomState(record["seed"])
    config = record.get("keras_config") or {}
    order = [layer["config"]["name"] for layer in config.get("layers", [])] or info.layer_names
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for name in order:
        layer = info.find(name)
        if layer is None or not layer.weights or "Batchnorm" in layer.class_name:
            continue
        drawn[name] = {}
        for weight in layer.weights:
            values = _drawn(random, layer.class_name, weight).astype(np.float32)
            spec = recipe.spec(name, weight.parameter)
            if spec is not None and "po2" in spec.kind:
                values = np.asarray(quantizer(spec)(values))
            drawn[name][weight.parameter] = values
    return drawn


def _drawn(random: np.random.RandomState, class_name: str, weight: WeightInfo) -> np.ndarray:
    if class_name != "BatchNormalization":
        return random.normal(0, 0.3, weight.shape)
    noise = random.normal(0, 1, weight.shape)
    return {"gamma": 1 + 0.1 * noise, "beta": 0.1 * noise, "mean": 0.1 * noise}.get(
        weight.parameter, 1 + 0.1 * np.abs(noise))


def as_golden(kind: DataType) -> tuple:
    """A format in the golden file's terms."""
    return (kind.name, kind.mode, kind.bits, kind.integer, bool(kind.signed), kind.maximum, kind.values)


def from_golden(kind: dict) -> tuple:
    """A golden format in the same terms."""
    return (kind["name"], kind["mode"], kind["bits"], kind["int_bits"], bool(kind["is_signed"]),
            kind.get("max_val_po2", -1), kind.get("inference_value_counts", -1))
