"""Edits of a recipe by cell, and where each cell's value came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from core.errors import RecipeError
from core.model_info import LayerInfo, ModelInfo
from core.quant.recipe import OUTPUT, LayerRecipe, Recipe, merged
from core.quant.spec import parse

#: (layer, parameter type), (layer, UNITS) or (layer, SPARSITY); an input layer has (layer, "output")
Key = tuple[str, str]
UNITS, SPARSITY = "units_multiplier", "sparsity"
NUMBERS = (UNITS, SPARSITY)
MOST_UNITS = 16.0

SET, PRESET, SEARCH, INHERITED, DEFAULT = "set", "preset", "search", "inherited", "default"


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from: "set" (by hand), "preset", "search", "inherited" or "default".

    `source` names the preset, the candidate, or the layer it is inherited from.
    """

    kind: str = DEFAULT
    source: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.source}" if self.source else self.kind


Origins = Mapping[Key, Origin]


def editable(info: ModelInfo, layer: LayerInfo) -> tuple[str, ...]:
    """Parameter types of a layer that a recipe gives a quantizer to; "output" of an input layer is the recipe's input.
    """
    return (OUTPUT,) if layer.name in info.inputs else layer.quantizable


def value(info: ModelInfo, recipe: Recipe, key: Key) -> str | None:
    """What a cell holds, as written; None for float, and for a number that changes nothing."""
    layer, parameter = key
    if layer in info.inputs:
        return recipe.input if parameter == OUTPUT else None
    if parameter in NUMBERS:
        entry = recipe.layers.get(layer, LayerRecipe())
        number = getattr(entry, parameter)
        return None if number == getattr(LayerRecipe(), parameter) else f"{number:g}"
    return recipe.text(layer, parameter)


def changed(info: ModelInfo, recipe: Recipe, changes: Mapping[Key, str | None]) -> Recipe:
    """The recipe with some cells changed; None or "" is float, or a number's default.

    Raises:
        QuantizerError: a text is not a quantizer.
        RecipeError: a layer has no such parameter, a number is out of range, or an input would be left in float.
    """
    inputs = {key: text for key, text in changes.items() if key[0] in info.inputs}
    numbers = {key: text for key, text in changes.items() if key not in inputs and key[1] in NUMBERS}
    new = merged(recipe, {key: text for key, text in changes.items() if key not in inputs and key not in numbers})
    for (name, field), text in numbers.items():
        entry = new.layers.get(name, LayerRecipe())
        new = new.with_layer(name, msgspec.structs.replace(entry, **{field: _number(name, field, text)}))
    for (name, _), text in inputs.items():
        if not text:
            raise RecipeError(f"the input {name!r} needs a quantizer",
                              remedy="Firmware reads fixed-point numbers: give its width, at most 32 bits")
        new = msgspec.structs.replace(new, input=str(parse(text)))
    new.check(info)
    return new


def _number(layer: str, field: str, text: str | None) -> float:
    if not text:
        return float(getattr(LayerRecipe(), field))
    cleaned = text.strip().lstrip("\u00d7x").rstrip("%").strip().replace(",", ".")
    try:
        number = float(cleaned) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        number = -1.0
    if field == UNITS and not 0 < number <= MOST_UNITS:
        raise RecipeError(f"{text!r} cannot be the units multiplier of {layer!r}",
                          remedy=f"Give a number above 0, at most {MOST_UNITS:g}; 1 leaves the layer as it is")
    if field == SPARSITY and not 0 <= number < 1:
        raise RecipeError(f"{text!r} cannot be the sparsity of {layer!r}",
                          remedy="Give the share of weights that become zero, from 0 to below 1")
    return number


# -- origins ---------------------------------------------------------------------------------------


def marked(origins: Origins, keys: Iterable[Key], origin: Origin) -> Origins:
    """The origins after these cells were given their values by one edit."""
    return {**origins, **dict.fromkeys(keys, origin)}


def everywhere(info: ModelInfo, origin: Origin) -> Origins:
    """The origins after one edit gave every cell its value."""
    return {(layer.name, parameter): origin for layer in info.layers
            for parameter in (*editable(info, layer), *NUMBERS)}


def plain_origins(info: ModelInfo, recipe: Recipe, origins: Origins) -> dict[str, dict[str, list[str]]]:
    """Origins as a project's settings hold them: by layer and parameter [value, kind, source]."""
    found: dict[str, dict[str, list[str]]] = {}
    for (layer, parameter), origin in origins.items():
        held = value(info, recipe, (layer, parameter)) or ""
        found.setdefault(layer, {})[parameter] = [held, origin.kind, origin.source]
    return found


def read_origins(info: ModelInfo, recipe: Recipe, plain: Any) -> Origins:
    """Origins of the cells that still hold what they held when `plain_origins` wrote them; anything else is dropped."""
    try:
        held = msgspec.convert(plain or {}, type=dict[str, dict[str, tuple[str, str, str]]])
    except msgspec.ValidationError:
        return {}
    return {(layer, parameter): Origin(kind, source) for layer, cells in held.items()
            for parameter, (text, kind, source) in cells.items()
            if (value(info, recipe, (layer, parameter)) or "") == text}
