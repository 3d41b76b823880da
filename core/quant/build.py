"""From a float model and a recipe to the quantized model, and from any model to the same in double precision."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from core.errors import RecipeError
from core.model_info import EXTRAS
from core.quant.layers import QUANTIZED_CLASSES, QAdaptiveActivation, QInput, QuantizedLayer
from core.quant.layers_recurrent import QBidirectional
from core.quant.recipe import OUTPUT, LayerRecipe, Recipe

_SIZES = ("units", "filters")


def quantize(model: keras.Model, recipe: Recipe) -> keras.Model:
    """A new model with the recipe's quantizers and this model's weights; the model itself does not change.

    Layers that cannot be quantized stay in float (`Recipe.left_in_float` names them). Layers keep their
    names; behind each input stands a `QInput` named "<input>_quantizer". Where a
    units multiplier changes a shape, that weight begins anew.

    Raises:
        RecipeError: a quantizer is set on a layer or parameter that cannot take it.
        QuantizerError: a quantizer string cannot be read.
    """
    missing = sorted(set(recipe.layers) - {layer.name for layer in model.layers})
    if missing:
        raise RecipeError(f"the recipe {recipe.name!r} names a layer {missing[0]!r} that the model does not have",
                          remedy="Choose a recipe made for this model")
    built = _rebuild(model, lambda layer: _quantized_layer(layer, recipe), _input_options(recipe))
    copy_weights(model, built)
    return built


def unquantized(model: keras.Model) -> tuple[keras.Model, Recipe]:
    """A model of our layers as (float model with the same weights, recipe with its quantizers)."""
    layers: dict[str, LayerRecipe] = {}

    def clone(layer: Any) -> keras.Layer:
        if not isinstance(layer, QuantizedLayer):
            return layer.__class__.from_config(layer.get_config())
        return bare(layer, layer.get_config())

    def bare(layer: Any, config: dict[str, Any]) -> keras.Layer:
        texts = dict(config.pop("quantizers", {}))
        widths = dict(config.pop("widths", {}))
        if isinstance(layer, QBidirectional):
            texts = {**{p: str(q) for p, q in layer.forward_layer.quantizers.items()}, **texts}
            return _bare_bidirectional(layer, layers, texts)
        if texts and not isinstance(layer, QAdaptiveActivation):
            layers[layer.name] = LayerRecipe(quantizers=texts, widths=widths)
        if type(layer).__name__.endswith("Batchnorm"):
            return type(layer).from_config(config)  # Keras has no such layer: ours without quantizers is the float one
        plain: Any = next(c for c in type(layer).__mro__ if c.__module__.startswith("keras."))
        return type(layer).from_config(layer.get_config()) if plain is keras.layers.Layer else plain.from_config(config)

    built = _rebuild(model, clone, None)
    copy_weights(model, built)
    return built, Recipe(name=model.name, layers=layers)


def _bare_bidirectional(layer: QBidirectional, layers: dict[str, LayerRecipe], texts: dict[str, str]) -> keras.Layer:
    if texts:
        layers[layer.name] = LayerRecipe(quantizers=texts)
    directions = []
    for one in (layer.forward_layer, layer.backward_layer):
        config = {key: value for key, value in one.get_config().items() if key not in ("quantizers", "widths")}
        directions.append(getattr(keras.layers, type(one).__name__.removeprefix("Q")).from_config(config))
    return keras.layers.Bidirectional(directions[0], backward_layer=directions[1], merge_mode=layer.merge_mode,
                                      name=layer.name)


def in_double(model: keras.Model) -> keras.Model:
    """The same model computing in float64: sums of products of fixed-point numbers are then exact."""
    def clone(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config(_with_dtype(layer.get_config(), "float64"))

    built = _rebuild(model, clone, None, "float64")
    copy_weights(model, built)
    return built


def _with_dtype(config: Any, dtype: str) -> Any:
    """A layer's configuration, and those of layers inside it, computing in another type."""
    if isinstance(config, dict):
        return {key: dtype if key == "dtype" else _with_dtype(value, dtype) for key, value in config.items()}
    return [_with_dtype(value, dtype) for value in config] if isinstance(config, list) else config


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy weights layer by layer, by name, where the shapes agree."""
    for layer in target.layers:
        try:
            values = source.get_layer(layer.name).get_weights()
        except ValueError:
            continue
        current = layer.get_weights()
        if len(values) < len(current) and getattr(layer, "widths", None):
            values = [*values, *current[len(values):]]  # variables of widths come last; the source has none
        if len(values) != len(current):
            continue
        layer.set_weights([v if np.shape(v) == np.shape(c) else c for v, c in zip(values, current, strict=True)])


def _input_options(recipe: Recipe) -> dict[str, Any]:
    """Arguments of the quantizer behind each input."""
    options: dict[str, Any] = {"quantizers": {OUTPUT: str(recipe.input_spec())}}
    return {**options, "widths": {OUTPUT: recipe.input_widths}} if recipe.input_widths else options


def _rebuild(model: keras.Model, clone: Any, inputs_as: dict[str, Any] | None, dtype: str | None = None) -> keras.Model:
    """Replay the model's graph with `clone` of each layer, quantizing its inputs."""
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    behind: dict[int, Any] = {}

    def input_of(tensor: Any) -> Any:
        history = getattr(tensor, "_keras_history", None)
        if inputs_as is None or history is None or not isinstance(history.operation, keras.layers.InputLayer):
            return tensor
        if id(tensor) not in behind:
            layer = QInput(name=f"{history.operation.name}_quantizer", **inputs_as)
            behind[id(tensor)] = layer(tensor)
        return behind[id(tensor)]

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(input_of, (args, kwargs))
        return layer(*args, **kwargs)

    inputs = [keras.Input(batch_shape=t.shape, dtype=dtype or t.dtype, name=t.name) for t in model.inputs]
    if not isinstance(model.input, (list, tuple, dict)):
        return keras.models.clone_model(model, input_tensors=inputs[0], clone_function=clone, call_function=call)
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=clone, call_function=call)


def _quantized_layer(layer: keras.Layer, recipe: Recipe) -> keras.Layer:
    entry = recipe.layers.get(layer.name, LayerRecipe())
    config = layer.get_config()
    for size in _SIZES:
        if size in config and entry.units_multiplier != 1.0:
            config[size] = max(int(config[size] * entry.units_multiplier), 1)
    cls = layer.__class__
    texts = {p: str(spec) for p in entry.quantizers if (spec := recipe.spec(layer.name, p)) is not None}
    if texts:
        cls = QUANTIZED_CLASSES.get(cls.__name__, cls)
        if not issubclass(cls, QuantizedLayer):
            return layer.__class__.from_config(config)  # left in float: Recipe.left_in_float says why
        known = (*cls.slots, *EXTRAS.get(layer.__class__.__name__.removeprefix("Q"), ()), OUTPUT)
        unknown = sorted(set(texts) - set(known))
        if unknown:
            raise RecipeError(f"layer {layer.name!r} ({cls.__name__}) has no {unknown[0]!r} to quantize",
                              remedy=f"It has: {', '.join(known)}")
        config["quantizers"] = texts
        if entry.widths:
            config["widths"] = {p: g for p, g in entry.widths.items() if p in texts}
    return cls.from_config(config)
