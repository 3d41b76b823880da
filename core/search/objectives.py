"""What a search raises, lowers and must keep to: any quality against any cost or several, and limits on both.

A goal is written as texts, so that it travels in a request and is stored with a study:

    objectives    "accuracy", "mean_auc", "auc:NAME", "loss", "rmse" ..., "energy_pj", "ebops", "lut" ..., or
                  "score(accuracy, energy_pj, delta_p=8, delta_n=8, rate=2, stress=1)", AutoQKeras's forgiving
                  factor as one figure to raise (`core.energy.forgiving`)
    constraints   "accuracy>=0.75", "lut<=5000", "latency_ns<=100"

Searches choose by figures on validation events; what people are shown is on test events.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from core.candidate import Candidate, Costs, Evaluation
from core.energy.forgiving import EnergyFactor, Tolerance, delta, score
from core.energy.pricing import Pricer, Weights
from core.energy.resources import HlsOptions, estimate_report
from core.energy.settings import corrected, published
from core.errors import CostError, SearchError
from core.model_info import ModelInfo
from core.quant.recipe import Recipe, uniform
from core.search.front import MAXIMIZE, MINIMIZE, TRAINED, Front

#: costs that every candidate has
PRICED = ("energy_pj", "parameter_bits", "activation_bits", "total_bits", "ebops")
#: hls4ml-style estimates of a recipe (`core.energy.resources`), made where a goal asks for them
ESTIMATED = ("lut", "dsp", "bram_18k")
#: estimates of a trained candidate as distributed arithmetic (`core.hls.da_estimate`), likewise
BUILT = ("da_lut", "latency_ns")
COSTS = (*PRICED, *ESTIMATED, *BUILT)
#: qualities of an evaluation; "auc:NAME" is that of one class, "accuracy:NAME" ... that of one of several outputs
QUALITIES = ("accuracy", "mean_auc", "mean_iou", "loss", "rmse")
OF_OUTPUT = ("accuracy:", "R2:", "rmse:", "mean_iou:")
LOWERED = frozenset({"loss", "rmse"})
AUC = "auc:"
#: prefix of a figure on validation events in `Candidate.training`
VALIDATION = "validation_"
#: the width whose uniform recipe a cost is held against, where a score or a volume is given nothing else
REFERENCE_BITS = 8
DEFAULT = ("accuracy", "energy_pj")
#: by how much a figure that is not known misses its constraint; finite, for storages keep it
UNKNOWN = 1e9

_SCORE = re.compile(r"score\((.*)\)", re.DOTALL)
_CONSTRAINT = re.compile(r"\s*(\S+?)\s*(>=|<=)\s*(\S+)\s*")
_TOLERANCE = ("delta_p", "delta_n", "rate", "stress")
#: (recipe, exact weights by layer and parameter) -> values of `BUILT`
Builder = Callable[[Recipe, Weights], Mapping[str, float]]


class Objective(msgspec.Struct, frozen=True):
    """One figure: a quality, a cost, or (both named) a score of the quality forgiven by the cost.

    `reference` is the cost a score's trials are held against; None until `Goal.resolved`.
    """

    quality: str = ""
    cost: str = ""
    tolerance: Tolerance | None = None
    reference: float | None = None

    @property
    def name(self) -> str:
        """As a table calls it."""
        return "score" if self.tolerance else self.quality or self.cost

    @property
    def maximized(self) -> bool:
        """True where more is better."""
        return bool(self.quality) and not is_lowered(self.quality)

    def value(self, figures: Mapping[str, float]) -> float:
        """Its value for figures by name; nan where one is missing."""
        if self.tolerance is None:
            return figures.get(self.name, math.nan)
        quality, cost = figures.get(self.quality, math.nan), figures.get(self.cost, math.nan)
        if self.reference is None or not (math.isfinite(quality) and cost > 0):
            return math.nan
        return score(quality, delta(self.reference * self.tolerance.stress, cost, self.tolerance))


class Constraint(msgspec.Struct, frozen=True):
    """A figure that must be at least or at most a limit."""

    name: str
    at_least: bool
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{'>=' if self.at_least else '<='}{self.limit:g}"

    def violation(self, figures: Mapping[str, float]) -> float:
        """By how much it is missed, relative to the limit; 0 or less where it is kept, UNKNOWN where not known."""
        value = figures.get(self.name, math.nan)
        if not math.isfinite(value):
            return UNKNOWN
        short = self.limit - value if self.at_least else value - self.limit
        return short / (abs(self.limit) or 1.0)


class Goal(msgspec.Struct, frozen=True):
    """Objectives and constraints of one search."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()

    @staticmethod
    def of(objectives: Sequence[str] = (), constraints: Sequence[str] = ()) -> Goal:
        """Read the texts; none: accuracy against energy.

        Raises:
            SearchError: a text that is no objective or constraint.
        """
        found = tuple(_objective(text) for text in objectives or DEFAULT)
        if len({(o.name, o.quality, o.cost) for o in found}) < len(found):
            raise SearchError("an objective is given twice", remedy="Name each once")
        return Goal(found, tuple(_constraint(text) for text in constraints))

    @property
    def directions(self) -> tuple[str, ...]:
        """"maximize" or "minimize" for each objective."""
        return tuple(MAXIMIZE if objective.maximized else MINIMIZE for objective in self.objectives)

    @property
    def names(self) -> frozenset[str]:
        """Every figure that is needed."""
        named = {name for o in self.objectives for name in (o.quality, o.cost) if name}
        return frozenset(named | {constraint.name for constraint in self.constraints})

    @property
    def measured(self) -> bool:
        """True where a quality beside the task's figure is needed."""
        return bool(self.names - set(COSTS) - {"accuracy"})

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that are the same for the same goal; empty for the default one."""
        if self == Goal.of():
            return ""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:8]

    def values(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """One value an objective."""
        return tuple(objective.value(figures) for objective in self.objectives)

    def violations(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """One value a constraint, 0 or less where it is kept."""
        return tuple(constraint.violation(figures) for constraint in self.constraints)

    def missed(self, figures: Mapping[str, float]) -> dict[str, float]:
        """`violations` by what they are of."""
        return {str(one): violation for one, violation in zip(self.constraints, self.violations(figures), strict=True)}

    def kept(self, figures: Mapping[str, float]) -> bool:
        """True where every constraint is kept."""
        return all(violation <= 0 for violation in self.violations(figures))

    def resolved(self, info: ModelInfo) -> Goal:
        """A copy in which every score has its reference: of energy QTools' for the float model, else 8 bits all over.

        Raises:
            SearchError: a cost that has no reference of its own.
        """
        return msgspec.structs.replace(self, objectives=tuple(_resolved(o, info) for o in self.objectives))

    def ranked(self, figures: Sequence[Mapping[str, float]]) -> list[int]:
        """Numbers of the sets of figures, best first: those that keep the constraints, front after front, each
        front from its ends inwards; then the others by how much they miss. Deterministic."""
        values = [self.values(one) for one in figures]
        missed = [sum(max(v, 0.0) for v in self.violations(one)) for one in figures]
        kept = [n for n, one in enumerate(values) if missed[n] == 0 and all(map(math.isfinite, one))]
        order: list[int] = []
        while kept:
            front = Front(self.directions)
            for number in kept:
                front.add(str(number), values[number])
            layer = [int(key) for key, _ in front.members()]
            order += _spread(layer, np.array([values[number] for number in layer]))
            kept = [number for number in kept if number not in set(layer)]
        rest = sorted(set(range(len(figures))) - set(order), key=lambda number: (missed[number], number))
        return order + rest


def _spread(numbers: list[int], values: np.ndarray) -> list[int]:
    """Members of one front, ordered so that each next one is far from those before it; ends first."""
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    chosen: list[int] = [0]
    distance = np.abs(scaled - scaled[0]).sum(axis=1)
    while len(chosen) < len(numbers):
        distance[chosen] = -1.0
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.abs(scaled - scaled[chosen[-1]]).sum(axis=1))
    return [numbers[place] for place in chosen]


def is_lowered(quality: str) -> bool:
    """True for a quality of which less is better."""
    return quality.split(":", 1)[0] in LOWERED


# -- reading texts ---------------------------------------------------------------------------------------


def _objective(text: str) -> Objective:
    found = _SCORE.fullmatch(text.strip())
    if found is None:
        name = _named(text.strip())
        return Objective(cost=name) if name in COSTS else Objective(quality=name)
    parts = [part.strip() for part in found[1].split(",") if part.strip()]
    plain = [_named(part) for part in parts if "=" not in part]
    given = dict(part.split("=", 1) for part in parts if "=" in part)
    values = {key.strip(): _number(value, text) for key, value in given.items()}
    foreign = sorted(set(values) - {*_TOLERANCE, "reference"})
    if foreign or len(plain) > 2 or (plain and (plain[0] in COSTS or is_lowered(plain[0]))) \
            or (len(plain) == 2 and plain[1] not in COSTS):
        raise SearchError(f"the objective {text!r} cannot be read",
                          remedy="Write score(accuracy, energy_pj, delta_p=8, delta_n=8, rate=2, stress=1)")
    try:
        tolerance = Tolerance(**{key: values[key] for key in _TOLERANCE if key in values})
    except CostError as error:
        raise SearchError(f"the objective {text!r} cannot be used", error.what, error.remedy) from None
    quality, cost = [*plain, *DEFAULT[len(plain):]]
    return Objective(quality, cost, tolerance, values.get("reference"))


def _named(name: str) -> str:
    name = "parameter_bits" if name == "bits" else name
    if name in COSTS or name in QUALITIES or (name.startswith((AUC, *OF_OUTPUT)) and name.split(":", 1)[1]):
        return name
    raise SearchError(f"{name!r} is no objective", remedy=f"Use a quality ({', '.join(QUALITIES)}, auc:NAME), that of"
                                                         f" one of several outputs (accuracy:NAME ...), a cost"
                                                         f" ({', '.join(COSTS)}), or score(quality, cost)")


def _constraint(text: str) -> Constraint:
    found = _CONSTRAINT.fullmatch(text)
    if found is None:
        raise SearchError(f"the constraint {text!r} cannot be read", remedy="Write accuracy>=0.75 or lut<=5000")
    return Constraint(_named(found[1]), found[2] == ">=", _number(found[3], text))


def _number(value: str, text: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SearchError(f"{value.strip()!r} in {text!r} is no number", remedy="Write a number such as 0.75")
    return number


def _resolved(objective: Objective, info: ModelInfo) -> Objective:
    if objective.tolerance is None or objective.reference is not None:
        return objective
    if objective.cost == "energy_pj":
        reference = EnergyFactor(objective.tolerance, published()).reference(info).energy_pj
    elif objective.cost in BUILT:
        raise SearchError(f"a score needs a reference for {objective.cost}", "it is known of built networks only",
                          "Add reference=NUMBER to the score")
    else:
        reference = Measures(info, [objective.cost]).figures(uniform(info, REFERENCE_BITS))[objective.cost]
    if not reference > 0:
        raise SearchError(f"the score has nothing to hold {objective.cost} against", "that of the reference is 0",
                          "Add reference=NUMBER to the score")
    return msgspec.structs.replace(objective, reference=float(reference))


# -- figures ---------------------------------------------------------------------------------------------


class Measures:
    """Costs of a model's recipes, as far as they are asked for; layers priced before are looked up.

    Args:
        info: the model.
        names: figures that are needed beyond those every candidate has.
        builder: gives the values of `BUILT`, where they are needed.
        sparse: True where recipes differ in their zeros: EBOPs and LUT then count the bits that each weight
            really has; of an untrained recipe, those of a layer are taken as fewer by its share of zeros.
    """

    def __init__(self, info: ModelInfo, names: Iterable[str] = (), builder: Builder | None = None,
                 sparse: bool = False) -> None:
        named = set(names)
        if named & set(BUILT) and builder is None:
            raise SearchError(f"{', '.join(sorted(named & set(BUILT)))} cannot be estimated here",
                              remedy=f"Use one of: {', '.join((*PRICED, *ESTIMATED))}")
        self._info, self._sparse = info, sparse
        self._pricer = Pricer(info)
        self._hls = Pricer(info, corrected()) if named & set(ESTIMATED) else None
        self._builder = builder if named & set(BUILT) else None

    @property
    def exact(self) -> bool:
        """True where `costs` has use for the weights a candidate was trained to."""
        return self._sparse or self._builder is not None

    def costs(self, recipe: Recipe, weights: Weights | None = None) -> Costs:
        """Costs of a recipe; `weights` are the exact ones it was trained to, where it was."""
        known = weights if self._sparse else None
        pricer = self._pricer if known is None else Pricer(self._info, weights=known)
        report = pricer.price(recipe)
        shares = self._shares(recipe) if known is None else {}
        costs = msgspec.structs.replace(report.costs, ebops=sum(_less(row.ebops or 0, shares.get(row.name, 0.0))
                                                                for row in report.rows)) if shares else report.costs
        if self._hls is not None:
            costs = self._estimated(costs, recipe, known, shares)
        if self._builder is not None and weights is not None:
            costs = msgspec.structs.replace(costs, **self._builder(recipe, weights))
        return costs

    def _estimated(self, costs: Costs, recipe: Recipe, known: Weights | None, shares: Mapping[str, float]) -> Costs:
        assert self._hls is not None
        pricer = self._hls if known is None else Pricer(self._info, corrected(), known)
        found = estimate_report(pricer.of_recipe(recipe), pricer.price(recipe).rows, recipe.name, HlsOptions())
        lut, dsp = (sum(_less(getattr(layer, name), shares.get(layer.name, 0.0)) for layer in found.layers)
                    for name in ("lut", "dsp"))
        return msgspec.structs.replace(costs, lut=lut, dsp=dsp, bram_18k=found.bram_18k)

    def _shares(self, recipe: Recipe) -> dict[str, float]:
        if not self._sparse:
            return {}
        return {name: entry.sparsity for name, entry in recipe.layers.items() if entry.sparsity}

    def figures(self, recipe: Recipe, built: bool = True) -> dict[str, float]:
        """Costs of an untrained recipe by name; with `built`, EBOPs stand for what only a built network has."""
        found = cost_figures(self.costs(recipe))
        if self._builder is not None and built:
            found |= dict.fromkeys(BUILT, found["ebops"])
        return found


def _less(count: int, share: float) -> int:
    return round(count * (1.0 - share))


def cost_figures(costs: Costs) -> dict[str, float]:
    """Costs by name, those not known left out."""
    found = {name: getattr(costs, name) for name in COSTS if name != "total_bits"}
    found["total_bits"] = costs.parameter_bits + costs.activation_bits
    return {name: float(value) for name, value in found.items() if value is not None}


def qualities_of(evaluation: Evaluation) -> dict[str, float]:
    """Everything an evaluation says of how good a model is, by the names objectives have."""
    found = {"accuracy": evaluation.accuracy, **evaluation.figures,
             **{AUC + name: area for name, area in evaluation.auc.items()}}
    if evaluation.auc:
        found["mean_auc"] = sum(evaluation.auc.values()) / len(evaluation.auc)
    if evaluation.loss is not None:
        found["loss"] = evaluation.loss
    return found


def validation_figures(candidate: Candidate) -> dict[str, float]:
    """What a search knows of a candidate: qualities on validation events, and costs."""
    found = {name.removeprefix(VALIDATION): value for name, value in candidate.training.items()
             if name.startswith(VALIDATION)}
    return {**found, **cost_figures(candidate.costs)}


def shown_figures(candidate: Candidate) -> dict[str, float]:
    """What people are shown of a candidate: qualities on test events, and costs."""
    return {**qualities_of(candidate.evaluation), **cost_figures(candidate.costs)}


def goal_front(candidates: Iterable[Candidate], goal: Goal, kinds: frozenset[str] = TRAINED) -> list[Candidate]:
    """Candidates on test events that keep the constraints and that no other beats, best in the first objective first.

    Only those whose accuracy is of one of `kinds` count.
    """
    front = Front(goal.directions)
    known: dict[str, Candidate] = {}
    for candidate in candidates:
        figures = shown_figures(candidate)
        if candidate.evaluation.kind in kinds and goal.kept(figures):
            known[candidate.id] = candidate
            front.add(candidate.id, goal.values(figures))
    found = [known[key] for key, _ in front.members()]
    return found
