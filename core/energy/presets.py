"""Recipes to begin with: the same width everywhere, and the published ones where they fit the model."""

from __future__ import annotations

import contextlib

import msgspec

from core.energy.graph import base_class
from core.energy.published import NAMES, PublishedNetwork, network
from core.energy.scaled import resizable
from core.errors import RecipeError
from core.model_info import LayerInfo, ModelInfo
from core.quant.recipe import OUTPUT, LayerRecipe, Recipe, uniform

WIDTHS = (16, 12, 10, 8, 7, 6, 5, 4, 3, 2)
#: the share of zeros in the authors' own tutorial; that of the published BP was not printed
BP_SPARSITY = 0.75
SOURCE = "Nature Machine Intelligence 3 (2021) 675"


class Preset(msgspec.Struct, frozen=True):
    """A recipe with its title and what it is; `published` where it is one of a paper."""

    title: str
    recipe: Recipe
    tip: str
    published: bool = False


def presets(info: ModelInfo, input_quantizer: str) -> list[Preset]:
    """What fits this model; `input_quantizer` stays that of the inputs where a preset says nothing else."""
    found = [Preset("Float", Recipe(name="float", input=input_quantizer), "No quantizer but the input's")]
    found += [Preset(f"Uniform {bits}-bit", uniform(info, bits, input_quantizer=input_quantizer),
                     f"Weights and biases quantized_bits({bits},0,alpha=1), ReLUs quantized_relu({bits},0)")
              for bits in WIDTHS]
    may = resizable(info)
    for name in NAMES:
        found += [msgspec.structs.replace(preset, published=True) for preset in _published(info, network(name), may)]
    fitting = []
    for preset in found:
        with contextlib.suppress(RecipeError):
            preset.recipe.check(info)
            fitting.append(preset)
    return fitting


def _published(info: ModelInfo, paper: PublishedNetwork, may: frozenset[str]) -> list[Preset]:
    if [layer.parameters for layer in paper.model.layers] == [layer.parameters for layer in info.layers]:
        whole = Preset(f"Published {paper.name}", paper.recipe, f"{paper.title}; {SOURCE}")
        return [whole, _pruned(info, paper.recipe)] if paper.name == "BF" else [whole]
    pairs = _pairs(info, paper.model)
    if not pairs:
        return []
    biases = (paper.recipe.text(layer.name, "bias") for layer in reversed(paper.model.layers))
    fill = next(text for text in biases if text)
    recipe = Recipe(name=paper.name, input=paper.recipe.input, layers={
        mine.name: LayerRecipe(quantizers=_carried(mine, paper.recipe.layers[theirs.name].quantizers, fill))
        for mine, theirs in pairs if theirs.name in paper.recipe.layers})
    note = f"{SOURCE}; it has BatchNormalization where yours has biases, which take {fill}"
    found = [Preset(f"{paper.name} quantizers", recipe, f"The quantizers of {paper.name} by layer; {note}")]
    factors = {mine.name: theirs.output_shape[-1] / mine.output_shape[-1] for mine, theirs in pairs  # type: ignore[operator]
               if mine.name in may}
    if any(factor != 1.0 for factor in factors.values()):
        layers = {name: msgspec.structs.replace(entry, units_multiplier=factors.get(name, 1.0))
                  for name, entry in recipe.layers.items()}
        sized = msgspec.structs.replace(recipe, layers=layers, name=f"{paper.name} with units")
        found.append(Preset(f"{paper.name} quantizers and units", sized,
                            f"{paper.name} with its numbers of units, to be trained; {note}"))
    return found


def _pruned(info: ModelInfo, recipe: Recipe) -> Preset:
    kernels = {name: msgspec.structs.replace(entry, sparsity=BP_SPARSITY) if "kernel" in entry.quantizers else entry
               for name, entry in recipe.layers.items()}
    return Preset("Published BP", msgspec.structs.replace(recipe, name="BP", layers=kernels),
                  f"BF pruned to {100 * BP_SPARSITY:.0f} % zeros, to be trained; the paper does not print the share,"
                  f" this is that of its authors' tutorial; {SOURCE}")


def _pairs(info: ModelInfo, paper: ModelInfo) -> list[tuple[LayerInfo, LayerInfo]]:
    """Layers of the two models that correspond: those with kernels and the ReLUs, each in their order; or none."""
    pairs: list[tuple[LayerInfo, LayerInfo]] = []
    for chosen in (lambda layer: "kernel" in layer.quantizable,
                   lambda layer: not layer.weights and layer.is_relu and OUTPUT in layer.quantizable):
        mine, theirs = ([layer for layer in model.layers if chosen(layer)] for model in (info, paper))
        if [base_class(layer.class_name) for layer in mine] != [base_class(layer.class_name) for layer in theirs]:
            return []
        pairs += zip(mine, theirs, strict=True)
    return pairs


def _carried(layer: LayerInfo, quantizers: dict[str, str], bias: str) -> dict[str, str]:
    return {parameter: quantizers.get(parameter) or bias for parameter in layer.quantizable
            if parameter in quantizers or parameter == "bias"}
