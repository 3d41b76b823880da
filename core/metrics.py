"""How good outputs are: accuracy, ROC and AUC with its error, background rejection, regression. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.candidate import Evaluation
from core.errors import DatasetError, QuantiscopeError

#: points kept of a drawn ROC: half evenly along the signal, half evenly in the logarithm of the background
ROC_POINTS = 300

Floats = NDArray[np.float64]
Curves = dict[str, tuple[list[float], list[float]]]


def roc_curve(scores: ArrayLike, signal: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """ROC of one score.

    Args:
        scores: (events,) larger means more signal-like.
        signal: (events,) truthy for signal.

    Returns:
        false positive rates, true positive rates (both ascending from 0 to 1) and the thresholds
        (descending; first infinite). Events of equal score enter together.

    Raises:
        DatasetError: signal or background has no event.
    """
    values = np.asarray(scores, dtype=np.float64)
    positive = np.asarray(signal, dtype=bool)
    signals = int(positive.sum())
    backgrounds = positive.size - signals
    if not signals or not backgrounds:
        raise DatasetError("a ROC needs signal and background events", remedy="Use more test events")
    order = np.argsort(-values, kind="stable")
    values = values[order]
    last_of_equals = np.append(np.flatnonzero(np.diff(values)), values.size - 1)
    accepted_signal = np.cumsum(positive[order])[last_of_equals]
    accepted_background = last_of_equals + 1 - accepted_signal
    tpr = np.concatenate([[0.0], accepted_signal / signals])
    fpr = np.concatenate([[0.0], accepted_background / backgrounds])
    return fpr, tpr, np.concatenate([[np.inf], values[last_of_equals]])


def auc(fpr: ArrayLike, tpr: ArrayLike) -> float:
    """Area under a ROC by trapezoids."""
    return float(np.trapezoid(np.asarray(tpr, np.float64), np.asarray(fpr, np.float64)))


def auc_error(area: float, signals: int, backgrounds: int) -> float:
    """Standard error of an AUC (Hanley and McNeil, Radiology 143 (1982) 29)."""
    if signals < 1 or backgrounds < 1:
        return float("nan")
    q1 = area / (2 - area)
    q2 = 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (signals - 1) * (q1 - area**2) + (backgrounds - 1) * (q2 - area**2)
    return float(np.sqrt(max(variance, 0.0) / (signals * backgrounds)))


def mean_auc(areas: Mapping[str, float]) -> float | None:
    """Mean of the AUCs of all classes; None where there is none."""
    return sum(areas.values()) / len(areas) if areas else None


def background_efficiency(fpr: ArrayLike, tpr: ArrayLike, signal_efficiency: float) -> float:
    """Share of the background that is kept where the ROC reaches `signal_efficiency`, between its points on a line."""
    return float(np.interp(signal_efficiency, np.asarray(tpr, np.float64), np.asarray(fpr, np.float64)))


def background_rejection(fpr: ArrayLike, tpr: ArrayLike, signal_efficiency: float) -> float:
    """1 / (background efficiency) where the ROC reaches `signal_efficiency`; infinite without background."""
    background = background_efficiency(fpr, tpr, signal_efficiency)
    return 1.0 / background if background > 0 else float("inf")


def evaluate_scores(
    scores: ArrayLike, labels: ArrayLike, class_names: Sequence[str], kind: str, loss: float | None = None
) -> Evaluation:
    """Accuracy, and ROC and AUC of each class against the rest.

    Args:
        scores: (events, ..., classes); of one column, or of the labels' own shape, the probability of the
            second of two classes.
        labels: (events, ...) class numbers: one an event, or one for each value (pixel, edge) of it. The
            values of an event are counted as independent in the error of the AUC.
        class_names: names for the columns; missing ones are numbered.
        kind: "float", "post-training" or "trained".
        loss: stored along, if known.

    A class without events, or with nothing but events, has no ROC and is left out.

    Raises:
        QuantiscopeError: no events, or scores that are not numbers.
    """
    values, truth = _by_value(scores, labels)
    names = [class_names[i] if i < len(class_names) else str(i) for i in range(values.shape[1])]
    areas, errors, curves = _rocs({name: (values[:, i], truth == i) for i, name in enumerate(names)})
    figures = {"mean_iou": mean_iou(values.argmax(axis=1), truth)} if np.ndim(labels) > 1 and len(names) > 2 else {}
    return Evaluation(kind=kind, events=len(np.asarray(labels)), accuracy=_share_right(values, truth), auc=areas,
                      auc_error=errors, roc=curves, loss=None if loss is None else float(loss), figures=figures)


def accuracy(scores: ArrayLike, labels: ArrayLike) -> float:
    """Share of labels that the largest score names; shapes and errors as `evaluate_scores`."""
    return _share_right(*_by_value(scores, labels))


def _share_right(values: Floats, truth: NDArray[Any]) -> float:
    return float((values.argmax(axis=1) == truth).mean())


def _by_value(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[Any]]:
    """Scores as (values, classes), at least two of them, and labels as (values,)."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if not len(truth) or values.shape[0] != len(truth):
        raise DatasetError(f"there are {values.shape[0]} scores for {len(truth)} labels", remedy="Use more test events")
    _check_finite(values)
    columns = 1 if values.size == truth.size else values.shape[-1]
    values = values.reshape(-1, columns)
    if len(values) != truth.size:
        raise DatasetError(f"there are {len(values)} scores for {truth.size} labels",
                           remedy="Give one label for each score of the model")
    return (np.concatenate([1 - values, values], axis=1) if columns == 1 else values), truth.reshape(-1)


def _check_finite(values: Floats) -> None:
    bad = int((~np.isfinite(values.reshape(len(values), -1))).any(axis=1).sum())
    if bad:
        raise QuantiscopeError(f"the model's output is not a number for {bad} of {len(values)} events",
                               remedy="Widen its quantizers, or check its weights")


def _rocs(of: Mapping[str, tuple[Floats, NDArray[np.bool_]]]) -> tuple[dict[str, float], dict[str, float], Curves]:
    """AUC, its error and the thinned ROC of each (scores, signal) that has both signal and background."""
    areas: dict[str, float] = {}
    errors: dict[str, float] = {}
    curves: Curves = {}
    for name, (scores, signal) in of.items():
        signals = int(signal.sum())
        if not 0 < signals < len(signal):
            continue
        fpr, tpr, _ = roc_curve(scores, signal)
        areas[name] = auc(fpr, tpr)
        errors[name] = auc_error(areas[name], signals, len(signal) - signals)
        curves[name] = thinned(fpr, tpr)
    return areas, errors, curves


def mean_iou(found: ArrayLike, labels: ArrayLike) -> float:
    """Intersection over union of found and true labels, averaged over the classes that occur in either."""
    mine, truth = np.asarray(found).reshape(-1), np.asarray(labels).reshape(-1)
    shares = [float(((mine == c) & (truth == c)).sum() / ((mine == c) | (truth == c)).sum())
              for c in np.union1d(mine, truth)]
    return float(np.mean(shares))


def evaluate_anomaly(
    scores: ArrayLike, labels: ArrayLike, class_names: Sequence[str], kind: str, loss: float | None = None
) -> Evaluation:
    """ROC and AUC of each signal against the background by an anomaly score.

    Args:
        scores: (events,) larger means less like the background.
        labels: (events,) 0 for background, 1 and up for one kind of signal each.
        class_names: of the labels, the background's first; missing ones are numbered.
        kind, loss: as `evaluate_scores`.

    Raises:
        DatasetError: no background or no signal.
        QuantiscopeError: scores that are not numbers.
    """
    pairs = _signal_pairs(scores, labels)
    areas, errors, curves = _rocs({class_names[i] if i < len(class_names) else str(i): p for i, p in pairs.items()})
    return Evaluation(kind=kind, events=len(np.asarray(labels)), accuracy=float(np.mean(list(areas.values()))),
                      auc=areas, auc_error=errors, roc=curves, loss=None if loss is None else float(loss), metric="AUC")


def anomaly_auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean AUC of the signals against the background; arguments and errors as `evaluate_anomaly`."""
    return float(np.mean([auc(*roc_curve(*pair)[:2]) for pair in _signal_pairs(scores, labels).values()]))


def _signal_pairs(scores: ArrayLike, labels: ArrayLike) -> dict[int, tuple[Floats, NDArray[np.bool_]]]:
    """By label: scores of background and that signal, and which of them are signal."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    signals = [int(number) for number in np.unique(truth) if number > 0]
    if not signals or not (truth == 0).any():
        raise DatasetError("an anomaly score is judged on background (label 0) and signal (label 1) events",
                           "one of them is missing", "Use more test events, or label the signal")
    _check_finite(values)
    kept = {number: (truth == 0) | (truth == number) for number in signals}
    return {number: (values[keep], truth[keep] > 0) for number, keep in kept.items()}


def evaluate_regression(outputs: ArrayLike, targets: ArrayLike, kind: str, loss: float | None = None) -> Evaluation:
    """R2 and the root of the mean square error of (events, ...) outputs against targets of the same size.

    Raises:
        QuantiscopeError: outputs that are not numbers.
    """
    found, truth = _flat(outputs), _flat(targets)
    _check_finite(found)
    return Evaluation(kind=kind, events=len(truth), accuracy=r_squared(found, truth), auc={},
                      loss=None if loss is None else float(loss), metric="R2",
                      figures={"rmse": float(np.sqrt(np.mean((found - truth) ** 2)))})


def together(found: Mapping[str, Evaluation], metric: str, loss: float | None = None) -> Evaluation:
    """What the outputs of one model are worth together: the mean of their figures, and everything else by output.

    Args:
        found: by the name of the output.
        metric: what the mean is called.
        loss: of all of them.

    ROCs and areas are named "output/class", figures "figure:output"; each output's own figure is among them.
    """
    def named(what: str) -> dict[str, Any]:
        return {f"{name}/{key}": value for name, one in found.items() for key, value in getattr(one, what).items()}

    first = next(iter(found.values()))
    figures = {f"{key}:{name}": value for name, one in found.items()
               for key, value in {one.metric: one.accuracy, **one.figures}.items()}
    return Evaluation(kind=first.kind, events=first.events, metric=metric, auc=named("auc"),
                      accuracy=float(np.mean([one.accuracy for one in found.values()])), auc_error=named("auc_error"),
                      roc=named("roc"), loss=None if loss is None else float(loss),
                      figures=figures)


def r_squared(outputs: ArrayLike, targets: ArrayLike) -> float:
    """Share of the targets' variance, summed over their values, that the outputs explain; nan where they have none."""
    found, truth = _flat(outputs), _flat(targets)
    spread = float(((truth - truth.mean(axis=0)) ** 2).sum())
    return 1.0 - float(((found - truth) ** 2).sum()) / spread if spread > 0 else float("nan")


def _flat(values: ArrayLike) -> Floats:
    """(events, values) in double precision."""
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(len(array), -1)


def thinned(fpr: Floats, tpr: Floats, points: int = ROC_POINTS) -> tuple[list[float], list[float]]:
    """A ROC with at most `points` of its own points, fit for a linear and a logarithmic background axis."""
    if len(fpr) > points:
        first = fpr[fpr > 0].min()
        along_signal = np.searchsorted(tpr, np.linspace(0, 1, points // 2))
        along_background = np.searchsorted(fpr, np.geomspace(first, 1, points - points // 2 - 2))
        kept = np.unique(np.concatenate([[0], along_signal, along_background, [len(fpr) - 1]]))
        fpr, tpr = fpr[np.minimum(kept, len(fpr) - 1)], tpr[np.minimum(kept, len(tpr) - 1)]
    return fpr.tolist(), tpr.tolist()
