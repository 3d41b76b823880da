"""How a candidate gets its accuracy: one interface, so that a faster engine can take its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from core.candidate import Evaluation
from core.events import Monitor
from core.quant.recipe import Recipe
from core.search.space import SearchSpace

#: training events whose activations choose integer bits
CALIBRATION_EVENTS = 2000


@dataclass(frozen=True)
class Trained:
    """A trained candidate.

    `evaluation` is on the test events, for people; `validation_accuracy` is on the validation events,
    for the search to choose by, so that the test events choose nothing. `validation` holds further qualities
    on them by name, and `exact` quantized weights by layer and parameter, as far as `Extras` asked for them;
    `notes` are numbers of how it was trained beside the settings.
    """

    evaluation: Evaluation
    validation_accuracy: float
    weights: dict[str, np.ndarray]
    validation: Mapping[str, float] = field(default_factory=dict)
    exact: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Extras:
    """What a trainer tells of a candidate beside its accuracy: every quality on validation events, exact weights."""

    qualities: bool = False
    weights: bool = False


NOTHING = Extras()


class Trainer(Protocol):
    """Trains recipes of one model on one dataset."""

    @property
    def settings(self) -> Mapping[str, float]:
        """What it trains with beside the epochs ("learning_rate", "batch_size"), stored with each candidate."""
        ...

    def samples(self) -> dict[tuple[str, str], np.ndarray]:
        """By (layer, parameter): float weights, and for "output" the float layer's outputs on training events."""
        ...

    def prepare(self, space: SearchSpace) -> None:
        """Get ready for recipes of a space that has nothing open; called once, before the first is trained."""
        ...

    def train(self, recipe: Recipe, seed: int, epochs: int, monitor: Monitor) -> Trained:
        """Train one recipe, beginning with the float model's weights; raises Cancelled when asked to stop."""
        ...
