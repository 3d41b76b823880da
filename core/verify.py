"""Candidates computed again from what is stored of them, and where the figures agree.

Metrics come from the stored weights on the test events, costs from the stored recipe and, where widths were trained or
zeros count, from the weights too, hashes from the files. TensorFlow is imported when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from core.candidate import Candidate, Costs, Evaluation
from core.dataset import Dataset
from core.errors import QuantiscopeError
from core.events import Monitor
from core.files import sha256_of
from core.npz import read_npz
from core.project import Project
from core.project_files import RECIPE, WEIGHTS
from core.search.front import candidate_front
from core.search.objectives import BUILT, ESTIMATED, Measures
from core.search.samplers import GRADIENT
from core.search.widths import stored_costs
from core.versions import versions

#: metrics may differ by this share of their statistical error, for compiled programs add in another order
SHARE = 0.1
#: what has no statistical error may differ by this share of itself
RELATIVE = 1e-3
#: costs are exact but for the last digits of a sum
EXACT = 1e-9
#: costs that every candidate has
ALWAYS = ("energy_pj", "parameter_bits", "activation_bits", "ebops")


class Difference(msgspec.Struct, frozen=True):
    """One figure that is not what is stored."""

    figure: str
    stored: Any
    found: Any


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one candidate: `compared` figures were computed again, `differences` of them disagree."""

    candidate_id: str
    compared: int
    differences: list[Difference] = []
    notes: list[str] = []

    @property
    def agrees(self) -> bool:
        """True where every figure agrees."""
        return not self.differences


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts on a project's candidates."""

    project: str
    candidates: list[Verdict]

    @property
    def agrees(self) -> bool:
        """True where every candidate agrees."""
        return all(verdict.agrees for verdict in self.candidates)


def chosen(project: Project, ids: Sequence[str], front: bool) -> list[Candidate]:
    """The candidates of these ids, or those of the Pareto front, or all; raises ProjectError for an unknown id."""
    if ids:
        return [project.candidate(identity) for identity in ids]
    return candidate_front(project.candidates()) if front else project.candidates()


def verify(project: Project, candidates: Sequence[Candidate], dataset: Dataset, monitor: Monitor) -> Verification:
    """Compute candidates again and compare.

    Raises:
        ModelFileError: the model cannot be read.
        Cancelled: asked to stop.
    """
    verdicts = []
    for number, candidate in enumerate(candidates, start=1):
        monitor.check()
        verdicts.append(_verdict(project, candidate, dataset, monitor))
        monitor.progress("candidates computed again", number, len(candidates))
    return Verification(project=str(project.folder), candidates=verdicts)


def _verdict(project: Project, candidate: Candidate, dataset: Dataset, monitor: Monitor) -> Verdict:
    rows, notes = _hash_rows(project, candidate), _notes(candidate)
    try:
        found, model = _evaluated(project, candidate, dataset, monitor)
        rows += _cost_rows(candidate.costs, _costs(project, candidate, model))
        rows += _metric_rows(candidate.evaluation, found)
    except QuantiscopeError as error:
        rows += _cost_rows(candidate.costs, [Measures(project.info).costs(candidate.recipe)], _fixed(candidate))
        rows.append(("evaluation", candidate.evaluation.kind, str(error), False))
    differences = [Difference(name, stored, new) for name, stored, new, equal in rows if not equal]
    return Verdict(candidate_id=candidate.id, compared=len(rows), differences=differences, notes=notes)


Rows = list[tuple[str, Any, Any, bool]]


def _hash_rows(project: Project, candidate: Candidate) -> Rows:
    folder = project.weights_path(candidate.id).parent
    found = {name: _hash(folder / name) for name in (RECIPE, WEIGHTS)}
    return [(f"hash of {name}", stored, found[name], stored == found[name])
            for name, stored in candidate.hashes.items() if name in found]


def _hash(path: Any) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        return error.strerror or str(error)


def _costs(project: Project, candidate: Candidate, model: Any) -> Iterator[Costs]:
    """What a candidate may be priced at: where zeros are counted, its weights are; a search for them counts all so."""
    recipe = candidate.recipe
    if candidate.method == GRADIENT:
        yield stored_costs(project.info, recipe, read_npz(project.weights_path(candidate.id)))
        return
    from core.search.compiled_trainer import exact_of

    names = [name for name in ESTIMATED if getattr(candidate.costs, name) is not None]
    if not any(entry.sparsity for entry in recipe.layers.values()):
        yield Measures(project.info, names).costs(recipe)
    yield Measures(project.info, names, sparse=True).costs(recipe, exact_of(model))


def _fixed(candidate: Candidate) -> tuple[str, ...]:
    """Costs that the recipe alone fixes: EBOPs may count zeros, and of trained widths more depends on the weights."""
    return ("activation_bits",) if candidate.method == GRADIENT else ("energy_pj", "parameter_bits", "activation_bits")


def _cost_rows(stored: Costs, found: Iterable[Costs], names: Sequence[str] = (*ALWAYS, *ESTIMATED)) -> Rows:
    """Compare with the first of what may be right that agrees, or with the first."""
    first: Rows = []
    for costs in found:
        rows = [(name, old, new, new is not None and math.isclose(old, new, rel_tol=EXACT))
                for name, old, new in ((name, getattr(stored, name), getattr(costs, name)) for name in names)
                if old is not None]
        if all(row[3] for row in rows):
            return rows
        first = first or rows
    return first


def _evaluated(project: Project, candidate: Candidate, dataset: Dataset, monitor: Monitor) -> tuple[Evaluation, Any]:
    """The evaluation, and the model it is of."""
    from core.loading import bring_in_tensorflow, model_of

    bring_in_tensorflow()
    from core.quant import evaluation, quantize, weights

    monitor.stage(f"candidate {candidate.id}")
    model = quantize(model_of(project.model_path), candidate.recipe)
    weights.load_weights(model, project.weights_path(candidate.id))
    return evaluation.evaluate(model, dataset, candidate.evaluation.kind, candidate.evaluation.events), model


def _metric_rows(stored: Evaluation, found: Evaluation) -> Rows:
    rows: Rows = [("events", stored.events, found.events, stored.events == found.events),
                  (stored.metric, stored.accuracy, found.accuracy,
                   abs(stored.accuracy - found.accuracy) <= _tolerance(stored.metric, stored.accuracy, stored.events))]
    for name, old in stored.auc.items():
        new = found.auc.get(name, math.nan)
        bound = SHARE * stored.auc_error.get(name, 0.0) + 1 / max(stored.events, 1)
        rows.append((f"AUC {name}", old, new, abs(old - new) <= bound))
    rows += [(name, old, found.figures.get(name),
              abs(old - found.figures.get(name, math.nan)) <= _tolerance(name, old, stored.events))
             for name, old in stored.figures.items()]
    return rows


def _tolerance(metric: str, value: float, events: int) -> float:
    """For an accuracy, and a mean with one in it, a tenth of the statistical error and one event."""
    if "accuracy" not in metric:
        return RELATIVE * max(abs(value), 1.0)
    share, events = min(max(value, 0.0), 1.0), max(events, 1)
    return SHARE * math.sqrt(share * (1 - share) / events) + 1 / events


def _notes(candidate: Candidate) -> list[str]:
    notes = []
    now = versions()
    other = [f"{name} {old} (now {now.get(name, 'missing')})" for name, old in candidate.versions.items()
             if now.get(name) != old]
    if other:
        notes.append("made with " + ", ".join(other))
    if not candidate.hashes:
        notes.append("stored without hashes")
    estimates = [name for name in BUILT if getattr(candidate.costs, name) is not None]
    if estimates:
        notes.append(f"{' and '.join(estimates)}, estimates of a built network, are not computed again")
    return notes
