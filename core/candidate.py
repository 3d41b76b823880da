"""A candidate: one recipe with everything that was computed of it."""

from __future__ import annotations

import msgspec

from core.quant.recipe import Recipe


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How well a model does on `events` events.

    `accuracy` is the one figure that searches raise and tables show; `metric` says what it is: "accuracy"
    (share of right labels), "AUC" (anomaly scores; mean over the signals, so that no threshold has to be
    chosen on the events it is judged on) or "R2" (regression; 1 for perfect, 0 for the mean, may be
    negative). `figures` holds further ones by name: "rmse" (in units of the targets), "mean_iou".

    `auc` and `auc_error` map a class name to the area under its ROC and the standard error of that area:
    against the rest of the events, or against the background alone where scores are of anomalies. `roc`
    maps a class name to (false positive rates, true positive rates), thinned to at most a few hundred
    points, both ascending from 0 to 1. `kind` says what was judged: "float", "post-training" or "trained".
    """

    kind: str
    events: int
    accuracy: float
    auc: dict[str, float]
    auc_error: dict[str, float] = {}
    roc: dict[str, tuple[list[float], list[float]]] = {}
    loss: float | None = None
    metric: str = "accuracy"
    figures: dict[str, float] = {}


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Cost vector of a candidate. Energy in pJ (QTools' 45 nm model), bits in bits, EBOPs as in HGQ.

    Further estimates are there where a search was asked for them: `lut`, `dsp` and `bram_18k` of the hls4ml path
    (`core.energy.resources`); `da_lut` and `latency_ns` as distributed arithmetic (`core.hls.da_estimate`).
    """

    energy_pj: float
    parameter_bits: int
    activation_bits: int
    ebops: int | None = None
    lut: int | None = None
    dsp: int | None = None
    bram_18k: int | None = None
    da_lut: float | None = None
    latency_ns: float | None = None

    @property
    def bits(self) -> int:
        """Parameter bits: the "bits" column of the paper's tables."""
        return self.parameter_bits


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a study. `evaluation.kind` tells a trained accuracy from a proxy.

    `id` is unique within the project and names its folder; `seconds` is the wall time it took;
    `created` is an ISO 8601 UTC time; `method` is the sampler or "manual"; `training` holds the numbers
    it was trained with ("epochs", "learning_rate", "batch_size") and "validation_accuracy"; `hashes` the SHA-256
    of what it is of ("model", "data") and of its files ("recipe.json", "weights.npz"), once it is stored.
    """

    id: str
    recipe: Recipe
    evaluation: Evaluation
    costs: Costs
    seconds: float = 0.0
    created: str = ""
    method: str = "manual"
    seed: int | None = None
    versions: dict[str, str] = {}
    training: dict[str, float] = {}
    hashes: dict[str, str] = {}
