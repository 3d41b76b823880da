"""Quantizers, recipes, quantized layers and their training.

What needs Keras is looked up on first use, so that the window can import recipes and quantizers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from core.quant.quantizers import FixedPoint, Quantizer, quantizer
from core.quant.recipe import LayerRecipe, Recipe, uniform
from core.quant.spec import QuantizerSpec, parse

#: name -> the module that has it; none of these modules may be called like what it gives
_ON_USE = {"quantize": "build", "train": "training", "evaluate": "evaluation", "predict": "evaluation",
           "calibrate": "calibration", "saturation": "calibration", "sensitivity": "sensitivities"}

__all__ = ["FixedPoint", "LayerRecipe", "Quantizer", "QuantizerSpec", "Recipe", "calibrate", "evaluate", "parse",
           "predict", "quantize", "quantizer", "saturation", "sensitivity", "train", "uniform"]


def __getattr__(name: str) -> Any:
    if name in _ON_USE:
        return getattr(import_module(f"core.quant.{_ON_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
