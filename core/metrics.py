"""How well scores separate classes: accuracy, ROC, AUC with its error, background rejection. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.candidate import Evaluation
from core.errors import DatasetError, QuantiscopeError

#: points kept of a drawn ROC: half evenly along the signal, half evenly in the logarithm of the background
ROC_POINTS = 300

Floats = NDArray[np.float64]


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


def background_rejection(fpr: ArrayLike, tpr: ArrayLike, signal_efficiency: float) -> float:
    """1 / (background efficiency) where the ROC reaches `signal_efficiency`; infinite without background."""
    background = float(np.interp(signal_efficiency, np.asarray(tpr, np.float64), np.asarray(fpr, np.float64)))
    return 1.0 / background if background > 0 else float("inf")


def evaluate_scores(
    scores: ArrayLike, labels: ArrayLike, class_names: Sequence[str], kind: str, loss: float | None = None
) -> Evaluation:
    """Accuracy, and ROC and AUC of each class against the rest.

    Args:
        scores: (events, classes); of one column, the probability of the second of two classes.
        labels: (events,) class numbers.
        class_names: names for the columns; missing ones are numbered.
        kind: "float", "post-training" or "trained".
        loss: stored along, if known.

    A class without events, or with nothing but events, has no ROC and is left out.

    Raises:
        QuantiscopeError: no events, or scores that are not numbers.
    """
    values = np.asarray(scores, dtype=np.float64)
    truth = np.asarray(labels)
    if values.ndim == 1:
        values = values[:, None]
    if not len(truth) or values.shape[0] != len(truth):
        raise DatasetError(f"there are {values.shape[0]} scores for {len(truth)} labels", remedy="Use more test events")
    bad = int((~np.isfinite(values)).any(axis=1).sum())
    if bad:
        raise QuantiscopeError(f"the model's output is not a number for {bad} of {len(truth)} events",
                               remedy="Widen its quantizers, or check its weights")
    if values.shape[1] == 1:
        values = np.concatenate([1 - values, values], axis=1)
    names = [class_names[i] if i < len(class_names) else str(i) for i in range(values.shape[1])]
    areas, errors, curves = {}, {}, {}
    for number, name in enumerate(names):
        signal = truth == number
        signals = int(signal.sum())
        if not 0 < signals < len(truth):
            continue
        fpr, tpr, _ = roc_curve(values[:, number], signal)
        areas[name] = auc(fpr, tpr)
        errors[name] = auc_error(areas[name], signals, len(truth) - signals)
        curves[name] = thinned(fpr, tpr)
    return Evaluation(kind=kind, events=len(truth), accuracy=float((values.argmax(axis=1) == truth).mean()),
                      auc=areas, auc_error=errors, roc=curves, loss=None if loss is None else float(loss))


def thinned(fpr: Floats, tpr: Floats, points: int = ROC_POINTS) -> tuple[list[float], list[float]]:
    """A ROC with at most `points` of its own points, fit for a linear and a logarithmic background axis."""
    if len(fpr) > points:
        first = fpr[fpr > 0].min()
        along_signal = np.searchsorted(tpr, np.linspace(0, 1, points // 2))
        along_background = np.searchsorted(fpr, np.geomspace(first, 1, points - points // 2 - 2))
        kept = np.unique(np.concatenate([[0], along_signal, along_background, [len(fpr) - 1]]))
        fpr, tpr = fpr[np.minimum(kept, len(fpr) - 1)], tpr[np.minimum(kept, len(tpr) - 1)]
    return fpr.tolist(), tpr.tolist()
