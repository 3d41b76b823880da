"""The Recipe: which quantizer each parameter and output of each layer gets. The only thing that travels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from core.errors import RecipeError
from core.files import read_bounded
from core.model_info import ModelInfo
from core.quant.spec import QuantizerSpec, in_force, parse

SCHEMA_VERSION = 1
#: largest recipe file that is read
MAX_BYTES = 8 * 2**20
#: most that a units multiplier may be
MAX_MULTIPLIER = 1024
#: the published energies take a 16-bit fixed-point source; 5 integer bits hold standardized features
DEFAULT_INPUT = "quantized_bits(16,5,alpha=1)"
OUTPUT = "output"
#: (layer, parameter type) by which the quantizer of the inputs goes where others go by theirs
INPUT = ("", "input")
#: `uniform` leaves these in float: their range is not that of weights
_KEPT_BY_UNIFORM = frozenset({OUTPUT, "gamma", "beta", "mean", "variance", "state", "activation",
                              "recurrent_activation"})


class LayerRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one layer.

    `quantizers` maps a parameter type ("kernel", "bias", "recurrent_kernel", "depthwise", "pointwise",
    "gamma", "beta", "mean", "variance", "average", "state", ...) or "output" to a quantizer string; what is
    not named stays in float. `units_multiplier` scales units or filters; `sparsity` is a target share of
    zeros. `widths` maps some of the parameter types to "tensor", "channel" or "weight": their bit widths
    then are variables of that granularity, stored with the weights.
    """

    quantizers: dict[str, str] = {}
    units_multiplier: float = 1.0
    sparsity: float = 0.0
    widths: dict[str, str] = {}


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A full assignment of quantizers for one model; layers not named stay in float.

    `input` quantizes every model input; `input_widths`, "channel" or "weight", makes its bit widths variables of that
    granularity, stored with the weights. It is immutable: edits return a new Recipe.
    """

    name: str = "unnamed"
    layers: dict[str, LayerRecipe] = {}
    input: str = DEFAULT_INPUT
    input_widths: str = ""
    schema_version: int = SCHEMA_VERSION

    def spec(self, layer: str, parameter: str) -> QuantizerSpec | None:
        """The quantizer as applied (kernel alpha None resolved to auto_po2), or None for float."""
        text = self.text(layer, parameter)
        return in_force(parse(text), parameter) if text else None

    def text(self, layer: str, parameter: str) -> str | None:
        """The quantizer string as written, or None for float."""
        entry = self.layers.get(layer)
        return entry.quantizers.get(parameter) if entry else None

    def input_spec(self) -> QuantizerSpec:
        """The quantizer of the model's inputs."""
        return parse(self.input)

    def with_quantizer(self, layer: str, parameter: str, text: str | None) -> Recipe:
        """A copy with one quantizer changed, or taken away when `text` is None or empty."""
        entry = self.layers.get(layer, LayerRecipe())
        quantizers = {k: v for k, v in entry.quantizers.items() if k != parameter}
        if text:
            quantizers[parameter] = str(parse(text))
        return self.with_layer(layer, msgspec.structs.replace(entry, quantizers=quantizers))

    def with_layer(self, layer: str, entry: LayerRecipe) -> Recipe:
        """A copy with one layer's entry replaced."""
        return msgspec.structs.replace(self, layers={**self.layers, layer: entry})

    def renamed(self, name: str) -> Recipe:
        """A copy under another name."""
        return msgspec.structs.replace(self, name=name)

    def check(self, info: ModelInfo) -> None:
        """Raise RecipeError unless every layer and parameter exists in the model and every string parses.

        Quantizers of a layer that cannot be quantized at all are passed over: see `left_in_float`.
        """
        parse(self.input)
        for layer, entry in self.layers.items():
            found = info.find(layer)
            if found is None:
                raise RecipeError(
                    f"the recipe {self.name!r} names a layer {layer!r} that the model does not have",
                    remedy=f"Its layers are: {', '.join(info.layer_names)}",
                )
            for parameter, text in entry.quantizers.items():
                parse(text)
                if parameter not in found.quantizable and not found.float_reason:
                    raise RecipeError(
                        f"layer {layer!r} ({found.class_name}) has no {parameter!r} to quantize",
                        remedy=f"It has: {', '.join(found.quantizable) or 'nothing to quantize'}",
                    )
            if not 0.0 <= entry.sparsity < 1.0 or not 0.0 < entry.units_multiplier <= MAX_MULTIPLIER:
                raise RecipeError(f"layer {layer!r} has a sparsity or units multiplier out of range",
                                  remedy=f"Sparsity lies in [0, 1), a multiplier above 0 and up to {MAX_MULTIPLIER}")

    def left_in_float(self, info: ModelInfo) -> list[tuple[str, str]]:
        """(layer, reason) of each layer that computes and stays in float under this recipe, in the model's order."""
        found = []
        for layer in info.layers:
            entry = self.layers.get(layer.name)
            reason = layer.float_reason
            if not reason and layer.weights and layer.quantizable and not (entry and entry.quantizers):
                reason = "the recipe gives it no quantizer"
            if reason:
                found.append((layer.name, reason))
        return found

    def differences(self, other: Recipe) -> list[tuple[str, str, str | None, str | None]]:
        """(layer, parameter, mine, theirs) wherever two recipes differ."""
        rows: list[tuple[str, str, str | None, str | None]] = []
        for layer in dict.fromkeys([*self.layers, *other.layers]):
            mine = self.layers.get(layer, LayerRecipe()).quantizers
            theirs = other.layers.get(layer, LayerRecipe()).quantizers
            rows += [(layer, p, mine.get(p), theirs.get(p))
                     for p in dict.fromkeys([*mine, *theirs]) if mine.get(p) != theirs.get(p)]
        if self.input != other.input:
            rows.append((*INPUT, self.input, other.input))
        return rows

    def to_json(self) -> bytes:
        """UTF-8 JSON, indented, of this recipe."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @staticmethod
    def from_json(data: bytes | str, where: str = "the recipe") -> Recipe:
        """Read what `to_json` wrote; raises RecipeError naming `where` for anything else."""
        try:
            recipe = msgspec.json.decode(data, type=Recipe)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise RecipeError(f"{where} cannot be read", str(error), "Choose a recipe written by Quantiscope") from None
        if recipe.schema_version > SCHEMA_VERSION:
            raise RecipeError(f"{where} was written by a newer Quantiscope", remedy="Update Quantiscope to open it")
        return recipe

    @staticmethod
    def load(path: Path) -> Recipe:
        """Read a recipe file; raises RecipeError."""
        try:
            data = read_bounded(Path(path), MAX_BYTES)
        except OSError as error:
            raise RecipeError(f"the recipe {path} cannot be read", error.strerror or str(error),
                              "Choose a recipe written by Quantiscope") from None
        return Recipe.from_json(data, f"the recipe {path}")


def uniform(info: ModelInfo, bits: int, integer: int = 0, input_quantizer: str = DEFAULT_INPUT) -> Recipe:
    """The same width everywhere: the Q-series of the paper ("Q6" is `uniform(info, 6)`).

    Kernels and biases get quantized_bits(bits, integer, alpha=1), ReLU outputs quantized_relu(bits, integer).
    """
    layers = {}
    for layer in info.layers:
        weights = f"quantized_bits({bits},{integer},alpha=1)"
        chosen = {p: weights for p in layer.quantizable if p not in _KEPT_BY_UNIFORM}
        if OUTPUT in layer.quantizable and layer.is_relu:
            chosen[OUTPUT] = f"quantized_relu({bits},{integer})"
        if chosen:
            layers[layer.name] = LayerRecipe(quantizers=chosen)
    return Recipe(name=f"Q{bits}", layers=layers, input=input_quantizer)


def merged(base: Recipe, changes: Mapping[tuple[str, str], str | None] | Iterable[tuple[tuple[str, str], str | None]],
           name: str | None = None) -> Recipe:
    """`base` with many quantizers changed at once; keys are (layer, parameter)."""
    recipe = base
    for (layer, parameter), text in dict(changes).items():
        recipe = recipe.with_quantizer(layer, parameter, text)
    return recipe.renamed(name) if name else recipe

