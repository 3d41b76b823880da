"""Quantizers chosen at run time: one program then trains every candidate of a space.

Each place of the model that a space (or a recipe) quantizes gets a `Switch`, which holds one quantizer for
each family of options: kinds and arguments without the widths. Which family, how many bits and how many
integer bits are numbers that the program is given: a row (family, bits, integer).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.quant.build import quantize
from core.quant.layers import QuantizedLayer
from core.quant.quantizers import Quantizer
from core.quant.recipe import LayerRecipe, Recipe
from core.quant.spec import QuantizerSpec, in_force, parse

#: (layer, parameter)
Place = tuple[str, str]
#: the widths a family is built with; the run-time ones take their place
_BITS, _INTEGER = 8, 0


def family_of(spec: QuantizerSpec) -> QuantizerSpec:
    """The spec without its widths."""
    widths = {name: value for name, value in (("bits", _BITS), ("integer", _INTEGER)) if name in spec.arguments}
    return spec.replace(**widths)


class Switch:
    """Stands in a layer's `quantizers` for several; `row` is set while a program is traced."""

    def __init__(self, families: tuple[Quantizer, ...]) -> None:
        self.families = families
        self.row: Any = None

    @property
    def spec(self) -> QuantizerSpec:
        """That of the first family; all of them stand for the same activation, or none."""
        return self.families[0].spec

    def __str__(self) -> str:
        return str(self.families[0])

    def __call__(self, x: Any, training: bool = False, bits: Any = None, integer: Any = None,
                 noise: Any = None) -> Any:
        """`x` by the family the row names; all of them are computed, for tensors of weights are small."""
        given = {} if noise is None else {"noise": noise}
        found = None
        for number, family in enumerate(self.families):
            widths = {name: value for name, value in (("bits", self.row[1] if bits is None else bits),
                                                      ("integer", self.row[2] if integer is None else integer))
                      if name in family.spec.arguments}
            value = family(x, training=training, **widths, **given)
            found = value if found is None else tf.where(tf.equal(self.row[0], float(number)), value, found)
        return found


class Switches:
    """The switches of one model, and rows for its recipes."""

    def __init__(self, options: Mapping[Place, Iterable[str]]) -> None:
        self.places: tuple[Place, ...] = tuple(options)
        self._families: dict[Place, tuple[QuantizerSpec, ...]] = {
            place: tuple(dict.fromkeys(family_of(in_force(parse(text), place[1])) for text in texts))
            for place, texts in options.items()}
        self.switches = {place: Switch(tuple(map(Quantizer, families)))
                         for place, families in self._families.items()}

    def holds(self, recipe: Recipe) -> bool:
        """True where every quantizer of the recipe has its family here, and nothing here is left in float."""
        named = {(layer, parameter) for layer, entry in recipe.layers.items() for parameter in entry.quantizers}
        return named == set(self.places) and all(
            family_of(spec) in self._families[place] for place in self.places
            if (spec := recipe.spec(*place)) is not None)

    def rows(self, recipe: Recipe) -> np.ndarray:
        """(places, 3) float32: family, bits and integer bits of each place under a recipe that is held."""
        found = []
        for place in self.places:
            spec = recipe.spec(*place)
            assert spec is not None
            chosen = Quantizer(spec)
            found.append((self._families[place].index(family_of(spec)), chosen.bits, chosen.integer))
        return np.array(found, np.float32).reshape(-1, 3)

    def option_rows(self, options: Mapping[Place, Iterable[str]]) -> list[np.ndarray]:
        """For each place a table (options, 3) of its options' rows, to draw from."""
        return [np.array([(self._families[place].index(family_of(spec)), Quantizer(spec).bits,
                           Quantizer(spec).integer)
                          for spec in (in_force(parse(text), place[1]) for text in options[place])], np.float32)
                for place in self.places]

    def install(self, rows: Any) -> None:
        """Let every switch read its row (a tensor (places, 3)) from now on."""
        for number, place in enumerate(self.places):
            self.switches[place].row = rows[number]

    def model(self, source: keras.Model, base: Recipe) -> keras.Model:
        """The float model quantized by switches, its input as the base recipe says."""
        layers: dict[str, LayerRecipe] = {}
        for layer, parameter in self.places:
            entry = layers.setdefault(layer, LayerRecipe(
                units_multiplier=base.layers.get(layer, LayerRecipe()).units_multiplier))
            entry.quantizers[parameter] = str(self.switches[layer, parameter].spec)
        built = quantize(source, Recipe(layers=layers, input=base.input))
        for (layer, parameter), switch in self.switches.items():
            target = built.get_layer(layer)
            assert isinstance(target, QuantizedLayer)
            target.quantizers[parameter] = switch  # type: ignore[assignment]
        return built
