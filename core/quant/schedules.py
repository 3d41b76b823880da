"""What changes during a training: learning rate and quantization noise, as functions of the share done.

Shares run from 0 (first step) to 1 (end), so that a schedule means the same at any batch size. Each
works on numbers and, inside the compiled loop, on tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from core.errors import TrainingError

RATES = ("cosine", "constant", "exponential", "piecewise")
#: where an exponential schedule ends when nothing is said
_EXPONENTIAL_END = 0.01


@dataclass(frozen=True)
class RateSchedule:
    """The learning rate as a share of its full value.

    Args:
        kind: "cosine" falls to `final`; "constant"; "exponential" falls to `final` by equal factors;
            "piecewise" takes the factor of the last of `pieces` that has begun.
        warmup: share of the training in which it first rises from 0 on a straight line.
        final: what is left at the end; None: 0 (cosine) or 0.01 (exponential).
        pieces: (share of the training, factor from there on), rising; 1 before the first.

    Raises:
        TrainingError: unknown kind, or a value out of its range.
    """

    kind: str = "cosine"
    warmup: float = 0.0
    final: float | None = None
    pieces: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in RATES:
            raise TrainingError(f"unknown learning-rate schedule {self.kind!r}", remedy=f"Use {', '.join(RATES)}")
        if not 0 <= self.warmup < 1 or not 0 <= (self.final or 0) <= 1 or (self.kind == "exponential"
                                                                           and self.final == 0):
            raise TrainingError("the learning-rate schedule is out of range",
                                remedy="A warm-up lies in [0, 1), a final share in [0, 1], above 0 for exponential")
        starts = [start for start, _ in self.pieces]
        if self.kind == "piecewise" and (not starts or starts != sorted(starts)):
            raise TrainingError("a piecewise learning rate needs pieces in rising order",
                                remedy="Give pairs of (share of the training, factor)")

    def __call__(self, done: Any) -> Any:
        """The factor after the share `done` of all steps."""
        done = tf.convert_to_tensor(done, tf.float32)
        left = (done - self.warmup) / (1.0 - self.warmup)
        factor = self._factor(tf.clip_by_value(left, 0.0, 1.0), done)
        return factor * tf.minimum(done / self.warmup, 1.0) if self.warmup else factor

    def _factor(self, left: Any, done: Any) -> Any:
        if self.kind == "cosine":
            final = self.final or 0.0
            return final + (1.0 - final) * 0.5 * (1.0 + tf.cos(math.pi * left))
        if self.kind == "exponential":
            return tf.exp(math.log(_EXPONENTIAL_END if self.final is None else self.final) * left)
        factor = tf.constant(1.0)
        for start, value in self.pieces if self.kind == "piecewise" else ():
            factor = tf.where(done >= start, value, factor)
        return factor


@dataclass(frozen=True)
class NoiseSchedule:
    """The share of the quantization error that is let through: 0 until `begin`, 1 from `end` on.

    Between, 1 - (1 - t)**exponent with t from 0 to 1, QKeras's schedule.
    """

    begin: float = 0.0
    end: float = 0.5
    exponent: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end <= 1 or self.exponent <= 0:
            raise TrainingError("the schedule of the quantization noise is out of range",
                                remedy="Give 0 <= begin <= end <= 1 and an exponent above 0")

    def __call__(self, done: Any) -> Any:
        """The factor after the share `done` of all steps."""
        done = tf.convert_to_tensor(done, tf.float32)
        t = tf.clip_by_value((done - self.begin) / max(self.end - self.begin, 1e-9), 0.0, 1.0)
        return tf.where(done >= self.end, 1.0, 1.0 - (1.0 - t) ** self.exponent)
