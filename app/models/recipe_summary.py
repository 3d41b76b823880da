"""A recipe in a few words, for tool tips and narrow columns."""

from __future__ import annotations

from functools import lru_cache

from core.quant.recipe import LayerRecipe, Recipe
from core.quant.spec import parse

_SHORT = {"quantized_bits": "bits", "quantized_relu": "relu", "quantized_po2": "po2", "quantized_relu_po2": "relu_po2",
          "quantized_linear": "linear", "quantized_tanh": "tanh", "quantized_sigmoid": "sigmoid"}

_ORDER = ("kernel", "depthwise", "pointwise", "recurrent_kernel", "bias", "gamma", "beta", "mean", "variance", "output")


@lru_cache(maxsize=4096)
def short(text: str) -> str:
    """A quantizer string by kind, bits and integer bits: "bits(6,0)", "ternary"."""
    spec = parse(text)
    numbers = [str(spec.get(name)) for name in ("bits", "integer") if spec.get(name) is not None]
    kind = _SHORT.get(spec.kind, spec.kind)
    return f"{kind}({','.join(numbers)})" if numbers else kind


def layer_summary(entry: LayerRecipe) -> str:
    """The quantizers of a layer, with its units and sparsity where those are changed."""
    # edits append: the order of the layer's parameters is more familiar
    ordered = sorted(entry.quantizers.items(), key=lambda item: _ORDER.index(item[0]) if item[0] in _ORDER else 99)
    parts = [f"{parameter} {short(text)}" for parameter, text in ordered]
    if entry.units_multiplier != 1.0:
        parts.append(f"units \u00d7 {entry.units_multiplier:g}")
    if entry.sparsity:
        parts.append(f"{100 * entry.sparsity:.0f} % zeros")
    return ", ".join(parts)


def recipe_lines(recipe: Recipe) -> list[str]:
    """One line for each layer that is not left in float."""
    return [f"{layer}: {summary}" for layer, entry in recipe.layers.items() if (summary := layer_summary(entry))]
