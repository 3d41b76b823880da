"""What a candidate can be measured by, in one list: axes of the front, columns of tables, words of the filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.candidate import Candidate, Costs, Evaluation
from core.hls.report import ExportReport, SynthesisReport
from core.metrics import mean_auc
from core.search.front import MAXIMIZE, MINIMIZE


@dataclass(frozen=True)
class Known:
    """What is known of a candidate or a recipe; None is not known."""

    costs: Costs | None = None
    evaluation: Evaluation | None = None
    synthesis: SynthesisReport | None = None


@dataclass(frozen=True)
class Measure:
    """One number of a candidate.

    `value` gives it as stored; `scale` turns it into the shown number; `better` is its direction; `log` says
    that it is drawn on a logarithmic axis; `quality` that it is a figure of merit, else it is a cost.
    """

    key: str
    title: str
    unit: str
    value: Callable[[Known], float | None]
    better: str = MINIMIZE
    log: bool = True
    scale: float = 1.0
    quality: bool = False

    @property
    def label(self) -> str:
        """Title with its unit, for an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def shown(self, known: Known) -> float | None:
        """The number in the unit of the label."""
        value = self.value(known)
        return None if value is None else value * self.scale


def _of_evaluation(take: Callable[[Evaluation], float | None]) -> Callable[[Known], float | None]:
    return lambda known: take(known.evaluation) if known.evaluation is not None else None


def _of_costs(take: Callable[[Costs], float | None]) -> Callable[[Known], float | None]:
    return lambda known: take(known.costs) if known.costs is not None else None


def _estimate(name: str) -> Callable[[Known], float | None]:
    """A cost that is there where a search was asked for it."""
    return _of_costs(lambda costs: getattr(costs, name, None))


def _of_synthesis(take: Callable[[SynthesisReport], float | None]) -> Callable[[Known], float | None]:
    return lambda known: take(known.synthesis) if known.synthesis is not None else None


MEASURES = {measure.key: measure for measure in (
    Measure("accuracy", "Accuracy", "%", _of_evaluation(lambda e: e.accuracy), MAXIMIZE, False, 100.0, True),
    Measure("mean_auc", "Mean AUC over the classes", "", _of_evaluation(lambda e: mean_auc(e.auc)), MAXIMIZE, False,
            quality=True),
    Measure("worst_auc", "AUC of the worst class", "",
            _of_evaluation(lambda e: min(e.auc.values()) if e.auc else None), MAXIMIZE, False, quality=True),
    Measure("error", "Error rate", "%", _of_evaluation(lambda e: 1 - e.accuracy), scale=100.0, quality=True),
    Measure("energy_pj", "Energy per event", "pJ", _of_costs(lambda c: c.energy_pj)),
    Measure("parameter_bits", "Parameter bits", "bits", _of_costs(lambda c: c.parameter_bits)),
    Measure("activation_bits", "Activation bits", "bits", _of_costs(lambda c: c.activation_bits)),
    Measure("ebops", "EBOPs", "", _of_costs(lambda c: c.ebops)),
    Measure("lut", "LUT, estimated for hls4ml", "", _estimate("lut")),
    Measure("dsp", "DSP, estimated for hls4ml", "", _estimate("dsp"), log=False),
    Measure("da_lut", "LUT, estimated for RTL", "", _estimate("da_lut")),
    Measure("latency_ns", "Latency, estimated for RTL", "ns", _estimate("latency_ns"), log=False),
    Measure("syn_lut", "LUT, synthesized", "", _of_synthesis(lambda s: s.lut)),
    Measure("syn_ff", "FF, synthesized", "", _of_synthesis(lambda s: s.ff)),
    Measure("syn_dsp", "DSP, synthesized", "", _of_synthesis(lambda s: s.dsp), log=False),
    Measure("syn_latency_ns", "Latency, synthesized", "ns", _of_synthesis(lambda s: s.latency_ns), log=False),
)}
#: those that an export finds out, not the search
SYNTHESIZED = ("syn_lut", "syn_ff", "syn_dsp", "syn_latency_ns")


def for_metric(measure: Measure, metric: str) -> Measure:
    """The measure under the name of what its Evaluation calls accuracy ("accuracy", "AUC", "R2")."""
    if metric == "accuracy" or measure.key not in ("accuracy", "error"):
        return measure
    title = metric if measure.key == "accuracy" else f"1 \u2212 {metric}"
    return Measure(measure.key, title, "", measure.value, measure.better, measure.log, 1.0, True)


def syntheses(exports: list[ExportReport]) -> dict[str, SynthesisReport]:
    """By candidate, the synthesis that was reported last."""
    return {report.candidate_id: report.synthesis for report in exports if report.synthesis is not None}


def known_of(candidate: Candidate, synthesized: dict[str, SynthesisReport]) -> Known:
    """Everything known of a candidate."""
    return Known(candidate.costs, candidate.evaluation, synthesized.get(candidate.id))


def quality_text(evaluation: Evaluation) -> str:
    """The one figure of merit with its name: "accuracy 74.91 %", "AUC 0.9312"."""
    if evaluation.metric == "accuracy":
        return f"accuracy {100 * evaluation.accuracy:.2f}\u00a0%"
    return f"{evaluation.metric} {evaluation.accuracy:.4f}"
