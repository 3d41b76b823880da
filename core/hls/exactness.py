"""Value-for-value comparison of implementations with the Keras reference."""

from __future__ import annotations

import numpy as np

from core.hls.report import Exactness, FlowCheck, Mismatch


def compare(flow: str, reference: np.ndarray, found: np.ndarray, seconds: float,
            limits: tuple[float, float] | None = None) -> FlowCheck:
    """Compare outputs (events, outputs), exactly.

    Args:
        flow: "c++" or "rtl".
        limits: lowest and highest value the output type can hold, to tell an overflow from a rounding.
    """
    reference = np.asarray(reference, np.float64).reshape(len(reference), -1)
    found = np.asarray(found, np.float64).reshape(len(found), -1)
    if reference.shape != found.shape:
        raise ValueError(f"reference {reference.shape} and found {found.shape} differ in shape")
    wrong = ~(reference == found)  # NaN counts as wrong
    first = None
    if wrong.any():
        event, output = (int(i) for i in np.argwhere(wrong)[0])
        expected, value = float(reference[event, output]), float(found[event, output])
        first = Mismatch(event=event, output=output, expected=expected, found=value,
                         cause=_cause(expected, value, reference, limits))
    return FlowCheck(flow=flow, events=len(reference), values=int(reference.size), mismatches=int(wrong.sum()),
                     seconds=seconds, first=first)


def _cause(expected: float, found: float, reference: np.ndarray, limits: tuple[float, float] | None) -> str:
    if limits and np.isfinite(found) and not limits[0] <= expected <= limits[1]:
        return "overflow: the expected value is outside the output type"
    return by_size(expected, found, reference)


def by_size(expected: float, found: float, values: np.ndarray) -> str:
    """The likely cause of a difference from its size against the expected values."""
    if not np.isfinite(found):
        return "the implementation gave no number"
    spread = float(np.abs(values).max()) or 1.0
    if abs(expected - found) > 0.5 * spread:
        return "overflow or wrap-around in an accumulator: the difference is as large as the values"
    return "rounding: the difference is small against the values"


def combined(checks: dict[str, FlowCheck], note: str = "") -> Exactness:
    """All flows of one candidate together."""
    return Exactness(events=min((c.events for c in checks.values()), default=0),
                     mismatches=sum(c.mismatches for c in checks.values()), flows=checks, note=note)
