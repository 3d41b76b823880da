"""The jobs a user can ask for, as plain values that cross a process border.

`core.workflows.run(request, monitor)` carries one out, in the worker process (window) or in this one
(command line). Paths are strings; `data` is a path or the name of a bundled dataset ("jets").
"""

from __future__ import annotations

from typing import Any

import msgspec

from core.cluster_options import ClusterOptions
from core.hls.hls4ml_options import Hls4mlOptions
from core.hls.rtl_options import RtlOptions
from core.hls.synthesis_options import SynthesisOptions
from core.quant.recipe import Recipe

#: test events that firmware is proved on, where so many are there; 0 in a request means all of them
EVENTS = 10_000


class WarmUp(msgspec.Struct, frozen=True, tag=True):
    """Import TensorFlow and load a model and its data, so that the next job starts at once."""

    model: str = ""
    data: str = ""


class Evaluate(msgspec.Struct, frozen=True, tag=True):
    """Accuracy and ROC on the test events, without training. Result: Evaluation.

    `recipe` None evaluates the float model. `weights` is a weights.npz to use instead of the model's.
    """

    model: str
    data: str
    recipe: Recipe | None = None
    weights: str = ""
    events: int | None = None


class Train(msgspec.Struct, frozen=True, tag=True):
    """Quantization-aware training from the model's weights; stored in the project. Result: Candidate.

    `schedule` of the learning rate is "cosine", "constant" or "exponential", after a share `warmup` of the
    training; `pruning`, "polynomial" or "constant", is how the recipe's sparsities are reached; `noise_until` is
    the share of the training by which quantization is let in fully (0: from the start); `freeze` names layers,
    or patterns, that are not trained; `patience` 0 trains all epochs; `loss` is "" for that of the dataset's
    task, "compiled" for the one the model was compiled with, or the name of a Keras loss.
    """

    project: str
    recipe: Recipe
    epochs: int = 10
    learning_rate: float = 1e-3
    batch_size: int = 1024
    seed: int = 0
    schedule: str = "cosine"
    warmup: float = 0.0
    patience: int = 0
    freeze: list[str] = []
    pruning: str = "polynomial"
    noise_until: float = 0.0
    loss: str = ""


class Search(msgspec.Struct, frozen=True, tag=True):
    """Run or resume the project's study. Result: list of candidate ids added.

    Stops after `trials` candidates or `seconds`, whichever is first; at least one must be given.
    `options` maps a parameter type ("kernel", "bias", "output") to the quantizer strings it may take;
    empty: the default space. `frozen` names layers that keep the base recipe's quantizers.
    `quantization_config` and `limit` are AutoQKeras's (see `core.search.autoqkeras`) in the place of `options`.
    `units` and `sparsity` are further choices of each layer; units by "layer" or "block", but not of layers that
    `exceptions` matches (see `core.search.shapes`). `groups` maps patterns of layer names to options of their own
    (see `core.search.requested`). `blocks` are patterns of layer names for block-by-block methods.

    `objectives` and `constraints` are texts (see `core.search.objectives`); none: accuracy against energy.
    `workers` is the number of processes (0: one a core), `memory_gb` what they may take together (0: no limit) and
    `way` "xla", "graph" or "" for the faster. The same seed and number of workers give the same candidates.
    On a `cluster` its workers take the place of these, and the seed does not decide all. `storage` is the URL of a
    database that Optuna knows, for the study; "": a file in the project.

    A gradient search trains one network for `epochs` and needs no `trials` nor `seconds`; `granularity` is that
    of its weights' widths, "tensor", "channel" or "weight"; `beta` are the weights of EBOPs in its loss at the
    start and the end, empty to choose them by the model's EBOPs.
    """

    project: str
    method: str = "staged"
    trials: int | None = None
    seconds: float | None = None
    epochs: int = 3
    seed: int = 0
    options: dict[str, list[str]] = {}
    frozen: list[str] = []
    workers: int = 0
    quantization_config: dict[str, dict[str, float]] = {}
    limit: dict[str, Any] = {}
    units: list[float] = []
    sparsity: list[float] = []
    tune_units: str = "layer"
    exceptions: str = ""
    groups: dict[str, dict[str, list[str]]] = {}
    blocks: list[str] = []
    objectives: list[str] = []
    constraints: list[str] = []
    memory_gb: float = 0.0
    way: str = ""
    cluster: ClusterOptions = ClusterOptions()
    storage: str = ""
    granularity: str = "weight"
    beta: list[float] = []


class Export(msgspec.Struct, frozen=True, tag=True):
    """Generate, prove and (if asked) synthesize one candidate. Result: ExportReport.

    `flow`: "hls4ml" (C++ project for Vitis, checked by g++ emulation), "rtl" (alkaid, Verilator, Yosys)
    or "both" (RTL synthesized, both checked). `rtl` and `hls4ml` are the settings of the flows. It is proved on the
    first `events` test events, or on as many as there are; 0 is all.
    """

    project: str
    candidate_id: str
    flow: str = "both"
    part: str = "xcvu9p-flgb2104-2L-e"
    clock_ns: float = 5.0
    events: int = EVENTS
    synthesize: bool = True
    rtl: RtlOptions = RtlOptions()
    hls4ml: Hls4mlOptions = Hls4mlOptions()
    cluster: ClusterOptions = ClusterOptions()


class Preflight(msgspec.Struct, frozen=True, tag=True):
    """What an export would meet, without making it: tools, part, memory, unrolling, precision.

    Result: list of core.hls.preflight.Finding.
    """

    export: Export


class Synthesize(msgspec.Struct, frozen=True, tag=True):
    """Synthesize a candidate by the tool of `options`, here or on a build host. Result: ExportReport.

    An export of the same settings by `flow` ("": the one the tool works on; or "both") is used where it is there and
    proved; else the candidate is exported first. Steps of the tool that are finished are not run again.
    """

    project: str
    candidate_id: str
    flow: str = ""
    part: str = "xcvu9p-flgb2104-2L-e"
    clock_ns: float = 5.0
    events: int = EVENTS
    rtl: RtlOptions = RtlOptions()
    hls4ml: Hls4mlOptions = Hls4mlOptions()
    options: SynthesisOptions = SynthesisOptions()


class WriteScript(msgspec.Struct, frozen=True, tag=True):
    """Write a Python script that makes a candidate again from the float model, weights beside it. Result: its path."""

    project: str
    candidate_id: str
    path: str


class ListPrecision(msgspec.Struct, frozen=True, tag=True):
    """The types hls4ml would give every tensor and accumulator of a candidate, before anything is written.

    Result: core.hls.hls4ml_precision.PrecisionReport.
    """

    project: str
    candidate_id: str
    part: str = "xcvu9p-flgb2104-2L-e"
    clock_ns: float = 5.0
    hls4ml: Hls4mlOptions = Hls4mlOptions()


class MeasureSensitivity(msgspec.Struct, frozen=True, tag=True):
    """Quantize one parameter type of one layer at a time, as the recipe says, without training. Result: [Sensitivity].

    Stopped early it gives those that are known by then. On `events` validation events.
    """

    model: str
    data: str
    recipe: Recipe
    events: int = 10_000


class RecordValues(msgspec.Struct, frozen=True, tag=True):
    """What every layer of the float model gives on some validation events. Result: Recorded."""

    model: str
    data: str
    events: int = 2000


class Calibrate(msgspec.Struct, frozen=True, tag=True):
    """Choose a recipe's integer bits from data; its bits stay. Result: Recipe.

    `method` is "mse", "min_max" or "percentile"; `events` are training events; `layers` names those that change,
    empty: all.
    """

    model: str
    data: str
    recipe: Recipe
    method: str = "mse"
    events: int = 2000
    layers: list[str] = []


class Importances(msgspec.Struct, frozen=True, tag=True):
    """How much each choice matters, for each objective. Result: {objective: [core.search.summary.Importance]}.

    `objectives` and `constraints` are those of Search; none: accuracy against energy.
    """

    project: str
    objectives: list[str] = []
    constraints: list[str] = []


class Verify(msgspec.Struct, frozen=True, tag=True):
    """Compute candidates again from what is stored of them. Result: Verification.

    `candidates` names them; empty: those of the Pareto front where `front` is set, else all.
    """

    project: str
    candidates: list[str] = []
    front: bool = False


Request = WarmUp | Evaluate | Train | Search | Export | Synthesize | WriteScript | ListPrecision | Preflight \
    | MeasureSensitivity | RecordValues | Calibrate | Verify | Importances
