"""The price of a candidate: energy of every layer and part, parameter and activation bits, EBOPs.

`price` does it once; a `Pricer` keeps what depends on the model alone and remembers priced layers, so that
an edit of one layer prices only what it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.candidate import Costs
from core.energy import bits as bit_counts
from core.energy import graph
from core.energy.ebops import counts, layer_ebops
from core.energy.layer_types import Context, Outcome
from core.energy.operators import Operation
from core.energy.process import load_process
from core.energy.rules import rule_for
from core.energy.scaled import multipliers, scaled
from core.energy.settings import EnergySettings, corrected
from core.energy.types import SHORT, DataType, Unknown, type_of
from core.model_info import ModelInfo
from core.quant.recipe import OUTPUT, Recipe
from core.quant.spec import parse

Weights = Mapping[str, Mapping[str, NDArray[Any]]]
#: parts of a layer that a sum counts, by class; as QTools' own table
_OUTPUTS_ONLY = frozenset({"Activation", "AdaptiveActivation"})
_OP_ONLY = frozenset({"Add", "Subtract", "MaxPooling2D"})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Price of one layer for one event, in pJ.

    Parts have two decimals in "qtools-0.9" mode. `profile_pj` is what a sum counts of the four parts;
    `types` holds the format of each parameter and result by name ("weight", "bias", "multiplier", "accumulator",
    "gamma", ...), `operations` the gates of "multiplier", "divider", ... `notes` says what is not counted or was
    taken differently.
    """

    name: str
    class_name: str
    quantized: bool
    inputs_pj: float
    parameters_pj: float
    op_pj: float
    outputs_pj: float
    profile_pj: float
    op_count: int
    inputs: tuple[DataType, ...]
    types: dict[str, DataType]
    operations: dict[str, Operation]
    output: DataType
    parameter_bits: int
    activation_bits: int
    ebops: int
    notes: tuple[str, ...] = ()

    @property
    def operation(self) -> Operation | None:
        """The multiplication, or what stands in its place."""
        return self.operations.get("multiplier") or self.operations.get("divider")

    @property
    def implementation(self) -> str:
        """The gate of `operation`: "mul", "shifter", "mux", "xor", "and", "add", or "" for none."""
        return self.operation.implementation if self.operation else ""

    @property
    def weight_bits(self) -> int | None:
        """Width of the kernel."""
        return self._bits("weight")

    @property
    def bias_bits(self) -> int | None:
        """Width of the bias."""
        return self._bits("bias")

    @property
    def multiplier_bits(self) -> int | None:
        """Width of a product."""
        return self._bits("multiplier")

    @property
    def accumulator_bits(self) -> int | None:
        """Width of a sum."""
        return self._bits("accumulator")

    @property
    def output_bits(self) -> int:
        """Width of the output."""
        return self.output.bits

    @property
    def total_pj(self) -> float:
        """All four parts."""
        return self.inputs_pj + self.parameters_pj + self.op_pj + self.outputs_pj

    def _bits(self, name: str) -> int | None:
        kind = self.types.get(name)
        return kind.bits if kind else None


class CostReport(msgspec.Struct, frozen=True, kw_only=True):
    """Price of a network: one row a layer, in topological order.

    `input_bits` are the bits of the model's inputs, part of the activation bits.
    """

    name: str
    rows: tuple[Row, ...]
    settings: EnergySettings
    input_bits: int = 0

    @property
    def energy_pj(self) -> float:
        """Sum of the profile, pJ."""
        return sum(row.profile_pj for row in self.rows)

    @property
    def total_pj(self) -> int:
        """QTools' figure: the sum cut to a whole number (its parts have two decimals in that mode)."""
        return int(self.energy_pj)

    @property
    def parameter_bits(self) -> int:
        """Bits of all parameters."""
        return sum(row.parameter_bits for row in self.rows)

    @property
    def activation_bits(self) -> int:
        """Bits of all activations and inputs."""
        return self.input_bits + sum(row.activation_bits for row in self.rows)

    @property
    def ebops(self) -> int:
        """Effective bit operations."""
        return sum(row.ebops for row in self.rows)

    @property
    def costs(self) -> Costs:
        """The cost vector of a candidate."""
        return Costs(energy_pj=self.energy_pj, parameter_bits=self.parameter_bits,
                     activation_bits=self.activation_bits, ebops=self.ebops)

    @property
    def notes(self) -> list[str]:
        """Everything that is not counted or was taken differently, each with its layer's name."""
        return [f"{row.name}: {note}" for row in self.rows for note in row.notes]

    def row(self, name: str) -> Row | None:
        """The row of that layer, or None."""
        return next((row for row in self.rows if row.name == name), None)


def _counted(class_name: str, quantized: bool, inputs: float, parameters: float, op: float,
             outputs: float) -> tuple[float, ...]:
    base = graph.base_class(class_name)
    if base in _OUTPUTS_ONLY or (base in graph.ACTIVATIONS and quantized):
        return (outputs,)
    if base == "BatchNormalization":
        return (parameters,)
    return (op,) if base in _OP_ONLY else (inputs, parameters, op)


class Pricer:
    """Prices recipes for one model; a layer whose inputs and quantizers were seen before is looked up.

    Args:
        info: the model.
        settings: energy settings; the corrected ones (`core.energy.corrections`) when left out.
        weights: quantized weights by layer and parameter, for EBOPs for each weight and, in inference mode, the
            number of different power-of-two values. Shapes as in `info`.
        widths: trained bit widths by layer and parameter, and of a layer's input as "input", for HGQ2's own EBOPs
            (`core.energy.ebops`).
    """

    def __init__(self, info: ModelInfo, settings: EnergySettings | None = None, weights: Weights | None = None,
                 widths: Weights | None = None) -> None:
        self.info = info
        self.settings = settings or corrected()
        self.process = load_process(self.settings.process)
        self.nodes = graph.build(info, self.settings)
        self.weights = weights or {}
        self.widths = widths or {}
        self._counts = [counts(node) for node in self.nodes]
        self._values = {name: _different_values(held) for name, held in self.weights.items()}
        inputs = [layer for layer in info.layers if layer.class_name == "InputLayer"]
        self.input_names = [layer.name for layer in inputs] or list(info.inputs) or ["input"]
        self.input_bits = sum(graph.size(layer.output_shape) for layer in inputs) * self.settings.input_bits
        self._accesses: dict[tuple[float, str, bool], float] = {}
        self._rows: dict[tuple[Any, ...], Row] = {}
        self._sizes: dict[tuple[tuple[str, float], ...], Pricer] = {}

    def price(self, recipe: Recipe) -> CostReport:
        """Price of a recipe. Layers it does not name are plain float layers.

        Raises:
            CostError: the process table lacks an operation; QuantizerError: a string is not a quantizer.
        """
        factors = multipliers(recipe)
        if factors:
            return self._of_size(factors).price(_unscaled(recipe))
        sources = [self.source(recipe, name) for name in self.input_names]
        rows: list[Row] = []
        for number, node in enumerate(self.nodes):
            inputs = tuple(rows[p].output if p >= 0 else sources[-1 - p] for p in node.parents)
            entry = recipe.layers.get(node.layer.name)
            rows.append(self.row(number, inputs, entry.quantizers if entry else {}))
        return CostReport(name=recipe.name, rows=tuple(rows), settings=self.settings, input_bits=self.input_bits)

    def of_recipe(self, recipe: Recipe) -> Pricer:
        """The pricer whose nodes are the layers that a recipe builds: another where numbers of units change."""
        factors = multipliers(recipe)
        return self._of_size(factors) if factors else self

    def _of_size(self, factors: tuple[tuple[str, float], ...]) -> Pricer:
        """The pricer of the model with those numbers of units."""
        if factors not in self._sizes:
            self._sizes[factors] = Pricer(scaled(self.info, dict(factors)), self.settings, self.weights, self.widths)
        return self._sizes[factors]

    def source(self, recipe: Recipe, name: str) -> DataType:
        """Format of a model input: the recipe's, or the one the settings put in its place."""
        if self.settings.source:
            return SHORT[self.settings.source]
        text = recipe.text(name, OUTPUT) or recipe.input
        try:
            return type_of(parse(text), self.settings.corrected)
        except Unknown as error:
            return error.sound

    def row(self, number: int, inputs: tuple[DataType, ...], quantizers: Mapping[str, str]) -> Row:
        """Row of the layer at a position of `nodes`, given the formats of its inputs and its quantizers."""
        key = (number, inputs, tuple(quantizers.items()))
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = self._priced(number, inputs, quantizers)
        return found

    def _priced(self, number: int, inputs: tuple[DataType, ...], quantizers: Mapping[str, str]) -> Row:
        node = self.nodes[number]
        name = node.layer.name
        ctx = Context(node, inputs, quantizers, bool(quantizers) or is_quantized_class(node), self.settings,
                      self.process, self._values.get(name, {}))
        outcome = rule_for(ctx)(ctx)
        parts = [*self._memory(ctx, outcome), outcome.op_pj]
        if not self.settings.corrected:
            parts = [round(part, 2) for part in parts]  # as the original prints and sums them
        read, parameters, written, op_pj = parts
        counted = _counted(node.layer.class_name, ctx.quantized or self.settings.corrected,
                           read, parameters, op_pj, written)
        return Row(
            name=name, class_name=node.layer.class_name, quantized=ctx.quantized, inputs_pj=read,
            parameters_pj=parameters, op_pj=op_pj, outputs_pj=written, profile_pj=sum(counted),
            op_count=outcome.op_count, inputs=inputs, types=dict(outcome.types),
            operations=dict(outcome.operations), output=outcome.output,
            parameter_bits=bit_counts.parameter_bits(ctx), activation_bits=bit_counts.activation_bits(ctx),
            notes=outcome.notes,
            ebops=layer_ebops(ctx, outcome, self._counts[number], self.weights.get(name), self.widths.get(name)),
        )

    def _memory(self, ctx: Context, outcome: Outcome) -> tuple[float, float, float]:
        """pJ to read the inputs, to read the parameters, to write the output."""
        node, settings = ctx.node, self.settings
        if settings.corrected and node.base in graph.WIRING:
            return 0.0, 0.0, 0.0
        edge = "dram" if settings.io_transfer else "sram"
        read = parameters = 0.0
        for size, kind, io in zip(node.input_sizes, ctx.inputs, node.io_inputs, strict=True):
            read += self._access(size * kind.bits, edge if io else settings.activations_memory, False)
        for size, bits in outcome.parameters:
            parameters += self._access(size * bits, settings.weights_memory, False)
        place = edge if node.io_output else settings.activations_memory
        return read, parameters, self._access(node.output_size * outcome.output.bits, place, True)

    def _access(self, bits: float, memory: str, write: bool) -> float:
        """pJ to read or write that many bits."""
        key = (bits, memory, write)
        found = self._accesses.get(key)
        if found is None:
            act = self.process.write if write else self.process.read
            found = self._accesses[key] = act(bits, memory, self.settings.minimum_sram_bits, self.settings.io_transfer)
        return found


def _unscaled(recipe: Recipe) -> Recipe:
    layers = {name: msgspec.structs.replace(entry, units_multiplier=1.0) for name, entry in recipe.layers.items()}
    return msgspec.structs.replace(recipe, layers=layers)


def is_quantized_class(node: graph.Node) -> bool:
    """True for a quantized class that has no quantizer at all (QKeras' QDense without arguments)."""
    return node.layer.class_name.startswith("Q") or bool(node.layer.config.get("quantized"))


def _different_values(weights: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    return {name: int(np.unique(values).size) for name, values in weights.items()}


def price(info: ModelInfo, recipe: Recipe, settings: EnergySettings | None = None,
          weights: Weights | None = None, widths: Weights | None = None) -> CostReport:
    """Price of a recipe on a model, by the corrected settings unless others are given.

    Args:
        weights: quantized weights by layer and parameter, where they are known (see `Pricer`).
        widths: trained bit widths by layer and parameter, where they are known (see `Pricer`).

    Raises:
        CostError, QuantizerError: as `Pricer.price`.
    """
    return Pricer(info, settings, weights, widths).price(recipe)
