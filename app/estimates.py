"""Estimates before any tool has run, as plain values for the command line."""

from __future__ import annotations

from typing import Any

import msgspec

from core.energy import accumulator, resources
from core.hls import da_estimate
from core.model_info import ModelInfo
from core.model_io import Weights
from core.quant.quantizers import Quantizer
from core.quant.recipe import Recipe


def estimates_of(info: ModelInfo, recipe: Recipe, weights: Weights, strategy: str, reuse: int,
                 clock_ns: float) -> dict[str, Any]:
    """DSP and LUT of the hls4ml path, LUT and depth of distributed arithmetic, and each accumulator's width."""
    exact = quantized(recipe, weights)
    hls = resources.estimate(info, recipe, resources.HlsOptions(strategy=strategy, reuse=reuse), exact)
    da = da_estimate.estimate_candidate(info, recipe, exact)
    return {
        "hls4ml": {"dsp": hls.dsp, "lut": sum(layer.lut for layer in hls.layers),
                   "bram_18k": sum(layer.bram_18k for layer in hls.layers),
                   "layers": [msgspec.to_builtins(layer) for layer in hls.layers]},
        "distributed_arithmetic": {
            "lut": da.lut, "dsp": 0, "adder_depth": da.depth, "latency_ns": da.latency_ns,
            "cycles": da.cycles(clock_ns), "clock_ns": clock_ns, "age_s": da.age_s, "notes": list(da.notes),
            "layers": [msgspec.to_builtins(layer) for layer in da.layers]},
        "accumulators": [msgspec.to_builtins(found) for found in accumulator.check(info, recipe, exact)],
    }


def quantized(recipe: Recipe, weights: Weights) -> Weights:
    """Each weight that the recipe quantizes, as used at inference; layers with one in float are left out."""
    found: Weights = {}
    for layer, values in weights.items():
        specs = {parameter: recipe.spec(layer, parameter) for parameter in values}
        if specs and all(spec is not None for spec in specs.values()):
            found[layer] = {p: Quantizer(spec)(values[p]) for p, spec in specs.items() if spec is not None}
    return found
