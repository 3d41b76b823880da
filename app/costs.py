"""Prices as plain values for the command line."""

from __future__ import annotations

from typing import Any

import msgspec

from core import energy
from core.energy import Row
from core.energy.settings import EnergySettings, published
from core.model_info import ModelInfo
from core.quant.recipe import Recipe


def cost_of(info: ModelInfo, recipe: Recipe | None, compat: str) -> dict[str, Any]:
    """The price of one recipe; None prices the float model. Energies in pJ."""
    settings = published(compat)
    recipe = recipe or Recipe(name="float")
    return _described({recipe.name: (info, recipe)}, settings)


def published_costs(compat: str) -> dict[str, Any]:
    """The prices of the published networks, by name."""
    from core.energy.published import PUBLISHED

    return _described(PUBLISHED, published(compat))


def _described(networks: dict[str, tuple[ModelInfo, Recipe]], settings: EnergySettings) -> dict[str, Any]:
    return {"compat": settings.compat, "settings": msgspec.to_builtins(settings),
            "networks": {name: _network(info, recipe, settings) for name, (info, recipe) in networks.items()}}


def _network(info: ModelInfo, recipe: Recipe, settings: EnergySettings) -> dict[str, Any]:
    report = energy.price(info, recipe, settings)
    costs = report.costs
    return {"total_pj": report.total_pj, "energy_pj": report.energy_pj, "bits": costs.parameter_bits,
            "activation_bits": costs.activation_bits, "ebops": costs.ebops,
            "layers": [_row(row) for row in report.rows]}


def _row(row: Row) -> dict[str, Any]:
    """A row with its gate and widths spelt out."""
    widths = {name: getattr(row, name) for name in
              ("implementation", "weight_bits", "bias_bits", "multiplier_bits", "accumulator_bits", "output_bits")}
    return {**msgspec.to_builtins(row), **widths}
