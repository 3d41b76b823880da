"""Forgiving factors: how much metric a cheaper model may lose, after AutoQKeras.

score = metric * (1 + delta); delta = d/100 * ln(stress*reference/trial) / ln(rate), where d is `delta_p` for a trial
cheaper than the (stressed) reference and `delta_n` for a dearer one. QTools-compatible energy factors leave the
stress out, as the original does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from core.energy.graph import base_class
from core.energy.pricing import CostReport, Row, price
from core.energy.settings import EnergySettings
from core.errors import CostError
from core.model_info import ModelInfo
from core.quant.recipe import Recipe

#: what of a layer counts towards its size in bits
PARTS = ("parameters", "activations")
Counting = Mapping[str, Sequence[str]]
EVERYTHING: Counting = {"default": PARTS}


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """`delta_p` per cent of metric may be lost for a cost `rate` times lower; `delta_n` is asked for one higher.

    `stress` below 1 demands more: it lowers the reference the trial is held against.
    """

    delta_p: float = 8.0
    delta_n: float = 8.0
    rate: float = 2.0
    stress: float = 1.0

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.rate == 1 or self.stress <= 0:
            raise CostError("a forgiving factor needs a rate above 0 other than 1 and a stress above 0",
                            remedy="Take rate 2 and stress 1")


def delta(reference: float, trial: float, tolerance: Tolerance) -> float:
    """The factor by which the metric is raised (or lowered, where negative), less one.

    Args:
        reference: cost of the reference model, already stressed where stress is wanted; above 0.
        trial: cost of the trial in the same unit; above 0.

    Raises:
        CostError: a cost is not above 0.
    """
    if reference <= 0 or trial <= 0:
        raise CostError("costs must be above 0 to be compared", f"they are {reference:g} and {trial:g}")
    share = tolerance.delta_p if trial < reference else tolerance.delta_n
    return share / 100.0 * math.log(reference / trial) / math.log(tolerance.rate)


def score(metric: float, factor: float) -> float:
    """The metric forgiven by `delta`."""
    return metric * (1.0 + factor)


def total_factor(reference: float, trial: float) -> float:
    """Relative change of cost, negative for a cheaper trial; without stress."""
    return (trial - reference) / reference


def size_in_bits(report: CostReport, counting: Counting = EVERYTHING) -> tuple[int, int]:
    """(parameter bits, activation bits) of a price, counting what `counting` lists for each layer class.

    Keys are QKeras or Keras class names ("QDense", "Dense", "InputLayer"); "default" stands for the others, and a
    class that is not listed does not count without it.
    """
    parameters, activations = 0, 0
    for row in report.rows:
        parts = counting.get(_counted_name(row), counting.get("default", ()))
        parameters += row.parameter_bits if "parameters" in parts else 0
        activations += row.activation_bits if "activations" in parts else 0
    if "activations" in counting.get("InputLayer", counting.get("default", ())):
        activations += report.input_bits
    return parameters, activations


def _counted_name(row: Row) -> str:
    base = base_class(row.class_name)
    if not row.quantized:
        return base
    return "QActivation" if base in ("ReLU", "LeakyReLU") else f"Q{base}"


class BitsFactor:
    """Forgiving factor on size in bits.

    Args:
        counting: see `size_in_bits`.
    """

    def __init__(self, tolerance: Tolerance, counting: Counting = EVERYTHING) -> None:
        self.tolerance = tolerance
        self.counting = counting

    def cost(self, report: CostReport) -> int:
        """Counted bits of a price."""
        return sum(size_in_bits(report, self.counting))

    def delta(self, reference: CostReport, trial: CostReport) -> float:
        """`delta` of two prices; the stress counts."""
        return delta(self.cost(reference) * self.tolerance.stress, self.cost(trial), self.tolerance)

    def total_factor(self, reference: CostReport, trial: CostReport) -> float:
        """`total_factor` of two prices."""
        return total_factor(self.cost(reference), self.cost(trial))


class EnergyFactor:
    """Forgiving factor on energy. The reference is the model with every format forced to the float types.

    Args:
        settings: of the trials; the reference takes the same with `reference=True` and the source forced as well,
            unless `reference_settings` are given.
    """

    def __init__(self, tolerance: Tolerance, settings: EnergySettings,
                 reference_settings: EnergySettings | None = None) -> None:
        self.tolerance = tolerance
        self.settings = settings
        self.reference_settings = reference_settings or msgspec.structs.replace(
            settings, reference=True, source=settings.float_type or "int8")

    def reference(self, info: ModelInfo) -> CostReport:
        """Price of the reference model."""
        return price(info, Recipe(name="reference"), self.reference_settings)

    def trial(self, info: ModelInfo, recipe: Recipe) -> CostReport:
        """Price of a trial."""
        return price(info, recipe, self.settings)

    def cost(self, report: CostReport) -> float:
        """Energy that is compared: whole pJ in the original."""
        return report.energy_pj if self.settings.corrected else report.total_pj

    def delta(self, reference: CostReport, trial: CostReport) -> float:
        """`delta` of two prices; QTools 0.9 computes a stressed reference and does not use it."""
        stress = self.tolerance.stress if self.settings.corrected else 1.0
        return delta(self.cost(reference) * stress, self.cost(trial), self.tolerance)

    def total_factor(self, reference: CostReport, trial: CostReport) -> float:
        """`total_factor` of two prices."""
        return total_factor(self.cost(reference), self.cost(trial))
