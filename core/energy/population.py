"""Prices of many recipes at once: energy and bits of a whole population, equal to `price` of each.

A layer's price depends on the formats of its inputs and on its own quantizers. Both are few: every combination
that occurs is priced once, and the population looks its rows up as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.energy.pricing import Pricer
from core.energy.types import DataType
from core.errors import CostError
from core.quant.recipe import LayerRecipe, Recipe

Ints = NDArray[np.int64]
INPUT = "input"
#: largest lookup table of a layer, in entries; beyond it combinations are sorted instead
_TABLE = 4_000_000


class Slot(NamedTuple):
    """One thing that varies: a parameter of a layer, or `Slot("", "input", ...)` for the model's input quantizer.

    `options` are quantizer strings; None takes the quantizer away.
    """

    layer: str
    parameter: str
    options: tuple[str | None, ...]


class PopulationCosts(NamedTuple):
    """Costs of each member, all of shape (members,). Energy in pJ."""

    energy_pj: NDArray[np.float64]
    parameter_bits: Ints
    activation_bits: Ints
    ebops: Ints


class PopulationPricer:
    """Prices populations over fixed slots.

    Args:
        pricer: prices single layers; its memory of rows is shared.
        base: the recipe whose other quantizers hold for every member; without unit multipliers.
        slots: what varies, one column of the genes each.

    Raises:
        CostError: a slot names a layer that is not priced, or has no option; a unit multiplier is set.
    """

    def __init__(self, pricer: Pricer, base: Recipe, slots: Sequence[Slot]) -> None:
        self.pricer = pricer
        self.base = base
        self.slots = tuple(slots)
        names = {node.layer.name for node in pricer.nodes} | {""}
        for slot in self.slots:
            if slot.layer not in names or not slot.options:
                raise CostError(f"the slot {slot.layer}.{slot.parameter} cannot be priced",
                                "it names no priced layer, or has no option")
        if any(entry.units_multiplier != 1.0 for entry in base.layers.values()):
            raise CostError("a population cannot vary or scale numbers of units", remedy="Price such recipes singly")
        self._columns = [[c for c, slot in enumerate(self.slots) if slot.layer == node.layer.name]
                         for node in pricer.nodes]
        self._inputs = [c for c, slot in enumerate(self.slots) if slot.layer == "" and slot.parameter == INPUT]
        self._types: dict[DataType, int] = {}
        self._kinds: list[DataType] = []
        self._layers = [_LayerTable(self, number) for number in range(len(pricer.nodes))]

    def price(self, genes: NDArray[np.integer]) -> PopulationCosts:
        """Costs of each member.

        Args:
            genes: (members, slots) positions in each slot's options.

        Raises:
            CostError: a position is out of range, or the shape does not fit.
        """
        genes = self._checked(genes)
        members = len(genes)
        sources = self._sources(genes)
        formats: list[Ints] = []
        energy = np.zeros(members)
        sums = np.zeros((3, members), dtype=np.int64)
        sums[1] = self.pricer.input_bits
        for node, layer in zip(self.pricer.nodes, self._layers, strict=True):
            rows = layer.rows([formats[p] if p >= 0 else sources[-1 - p] for p in node.parents], genes)
            energy += layer.energy[rows]
            for total, column in zip(sums, layer.counts, strict=True):
                total += column[rows]
            formats.append(layer.formats[rows])
        return PopulationCosts(energy, sums[0], sums[1], sums[2])

    def recipe(self, genes: Sequence[int]) -> Recipe:
        """The recipe of one member."""
        recipe = self.base
        for slot, gene in zip(self.slots, genes, strict=True):
            text = slot.options[gene]
            if slot.layer:
                recipe = recipe.with_quantizer(slot.layer, slot.parameter, text)
            elif text:
                recipe = Recipe(name=recipe.name, layers=recipe.layers, input=text)
        return recipe

    def format_number(self, kind: DataType) -> int:
        """Number of a format, given at first sight."""
        number = self._types.setdefault(kind, len(self._kinds))
        if number == len(self._kinds):
            self._kinds.append(kind)
        return number

    def format_of(self, number: int) -> DataType:
        """Format of that number."""
        return self._kinds[number]

    def quantizers(self, number: int, combination: int) -> dict[str, str]:
        """Quantizers of a layer for one combination of its slots' options."""
        name = self.pricer.nodes[number].layer.name
        chosen = dict(self.base.layers.get(name, LayerRecipe()).quantizers)
        for column in reversed(self._columns[number]):
            slot = self.slots[column]
            combination, gene = divmod(combination, len(slot.options))
            chosen.pop(slot.parameter, None)
            text = slot.options[gene]
            if text:
                chosen[slot.parameter] = text
        return chosen

    def combinations(self, number: int, genes: Ints) -> tuple[Ints, int]:
        """(combination of each member's options at a layer, number of combinations)."""
        combined, count = np.zeros(len(genes), dtype=np.int64), 1
        for column in self._columns[number]:
            options = len(self.slots[column].options)
            combined = combined * options + genes[:, column]
            count *= options
        return combined, count

    def _checked(self, genes: NDArray[np.integer]) -> Ints:
        genes = np.asarray(genes)
        if genes.ndim != 2 or genes.shape[1] != len(self.slots):
            raise CostError(f"genes of shape {genes.shape} do not fit {len(self.slots)} slots",
                            remedy="Give one row a member and one column a slot")
        limits = np.array([len(slot.options) for slot in self.slots])
        if genes.size and ((genes < 0).any() or (genes >= limits).any()):
            raise CostError("a gene is out of range", "it is no position in its slot's options")
        return genes.astype(np.int64, copy=False)

    def _sources(self, genes: Ints) -> list[Ints]:
        sources = []
        for name in self.pricer.input_names:
            if self._inputs:
                slot = self.slots[self._inputs[0]]
                kinds = [self.pricer.source(Recipe(layers=self.base.layers, input=text or self.base.input), name)
                         for text in slot.options]
                numbers = np.array([self.format_number(kind) for kind in kinds])
                sources.append(numbers[genes[:, self._inputs[0]]])
            else:
                sources.append(np.full(len(genes), self.format_number(self.pricer.source(self.base, name))))
        return sources


class _LayerTable:
    """Rows of one layer that were met, as arrays, and where to find them."""

    def __init__(self, population: PopulationPricer, number: int) -> None:
        self.population = population
        self.number = number
        self.energy = np.zeros(64)
        self.formats: Ints = np.zeros(64, dtype=np.int64)
        self.counts: Ints = np.zeros((3, 64), dtype=np.int64)
        self._used = 0
        self._table: Ints = np.full(64, -1, dtype=np.int64)
        self._sparse: dict[int, int] = {}
        self._sets: dict[tuple[int, ...], int] = {}

    def rows(self, inputs: list[Ints], genes: Ints) -> Ints:
        """Row of each member, pricing what is new."""
        combined, count = self.population.combinations(self.number, genes)
        if len(inputs) == 1:
            keys = inputs[0] * count + combined
        else:
            sets, where = np.unique(np.stack(inputs, axis=1), axis=0, return_inverse=True)
            keys = self._number_sets(sets)[where.reshape(-1)] * count + combined
        top = int(keys.max(initial=0)) + 1
        if top > _TABLE:
            distinct, where = np.unique(keys, return_inverse=True)
            found = np.array([self._sparse.get(int(key), -1) for key in distinct])
            for place in np.flatnonzero(found < 0):
                found[place] = self._sparse[int(distinct[place])] = self._priced(int(distinct[place]), count)
            return found[where.reshape(-1)]
        if top > len(self._table):
            self._table = np.concatenate([self._table, np.full(2 * top - len(self._table), -1, dtype=np.int64)])
        rows = self._table[keys]
        missing = rows < 0
        if missing.any():
            for key in np.unique(keys[missing]):
                self._table[key] = self._priced(int(key), count)
            rows = self._table[keys]
        return rows

    def _number_sets(self, sets: Ints) -> Ints:
        # several inputs: each set of formats gets a number of its own
        return np.array([self._sets.setdefault(tuple(map(int, row)), len(self._sets)) for row in sets])

    def _priced(self, key: int, count: int) -> int:
        incoming, combination = divmod(key, count)
        several = len(self.population.pricer.nodes[self.number].parents) > 1
        numbers = list(self._sets)[incoming] if several else (incoming,)
        kinds = tuple(self.population.format_of(number) for number in numbers)
        row = self.population.pricer.row(self.number, kinds, self.population.quantizers(self.number, combination))
        place = self._used
        if place == len(self.energy):
            self.energy = np.resize(self.energy, 2 * place)
            self.formats = np.resize(self.formats, 2 * place)
            self.counts = np.stack([np.resize(column, 2 * place) for column in self.counts])
        self.energy[place] = row.profile_pj
        self.formats[place] = self.population.format_number(row.output)
        self.counts[:, place] = row.parameter_bits, row.activation_bits, row.ebops
        self._used += 1
        return place
