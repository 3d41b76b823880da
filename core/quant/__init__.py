"""Quantizers, recipes, quantized layers and their training.

What needs Keras is looked up on first use, so that the window can import recipes and quantizers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from core.quant.quantizers import FixedPoint, Quantizer, quantizer
from core.quant.recipe import LayerRecipe, Recipe, uniform
from core.quant.spec import QuantizerSpec, parse

_NEED_KERAS = {"quantize": "build", "train": "training", "evaluate": "evaluation", "predict": "evaluation"}

__all__ = ["FixedPoint", "LayerRecipe", "Quantizer", "QuantizerSpec", "Recipe", "evaluate", "parse", "predict",
           "quantize", "quantizer", "train", "uniform"]


def __getattr__(name: str) -> Any:
    if name in _NEED_KERAS:
        return getattr(import_module(f"core.quant.{_NEED_KERAS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
