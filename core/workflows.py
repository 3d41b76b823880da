"""Carries out the jobs of core.requests. TensorFlow is imported by the jobs that need it, on first use.

Models and datasets stay loaded between calls, so that a warm worker answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core import firmware, measurements, requests, storage_errors
from core.candidate import Candidate, Evaluation
from core.dataset import Dataset, check_fits
from core.energy import price
from core.energy.pricing import Weights
from core.errors import ExportError, QuantiscopeError
from core.events import Monitor
from core.hls.report import ExportReport
from core.loading import bring_in_tensorflow, dataset_of, model_of, stored_recipe
from core.model_info import ModelInfo
from core.model_io import inspect_model
from core.project import Project, now
from core.quant.recipe import Recipe
from core.versions import versions

if TYPE_CHECKING:

    from core.hls.hls4ml_precision import PrecisionReport
    from core.hls.preflight import Finding
    from core.quant.training import TrainOptions
    from core.search.summary import Importance
    from core.verify import Verification


def run(request: requests.Request, monitor: Monitor | None = None) -> Any:
    """Carry out one request and return its result (see the request's docstring).

    Raises:
        QuantiscopeError: anything the user can meet.
        Cancelled: the user asked to stop and the job had no result to keep.
    """
    try:
        return _JOBS[type(request)](request, monitor or Monitor())
    except QuantiscopeError:
        raise
    except Exception as error:
        found = storage_errors.told(error)
        if found is None:
            raise
        raise found from error


def checked(model: str | Path, data: str) -> tuple[ModelInfo, Dataset]:
    """Layers and dataset of a job, known to fit each other; needs no TensorFlow.

    Raises:
        ModelFileError, DatasetError: one cannot be read, or they do not fit.
    """
    info = inspect_model(model)
    return info, check_fits(dataset_of(data), info)


def create_project(folder: str | Path, model: str | Path, data: str, **options: Any) -> Project:
    """`Project.create`, after checking that model and dataset fit; a QKeras file's quantizers become its recipe."""
    checked(model, data)
    recipe = stored_recipe(model)
    project = Project.create(folder, model, data, **options)
    if recipe is not None:
        project.save_recipe(recipe)
    return project


def _opened(project: Project) -> Dataset:
    """The dataset of an open project whose sources are as they were."""
    project.require_writable()
    project.check_sources()
    return checked(project.model_path, project.data_reference)[1]


# -- jobs --------------------------------------------------------------------------------------------


def _warm_up(request: requests.WarmUp, monitor: Monitor) -> None:
    monitor.stage("load")
    bring_in_tensorflow()
    import core.quant.evaluation  # noqa: F401

    if request.model:
        model_of(request.model)
    if request.data:
        dataset_of(request.data)


def _evaluate(request: requests.Evaluate, monitor: Monitor) -> Evaluation:
    monitor.stage("load")
    info, dataset = checked(request.model, request.data)
    if request.recipe is not None:
        request.recipe.check(info)
    bring_in_tensorflow()
    from core.quant import evaluation, pruning, quantize, weights

    model = model_of(request.model)
    kind = "float"
    if request.recipe is not None:
        model = quantize(model, request.recipe)
        kind = "post-training"
        if request.weights:
            weights.load_weights(model, Path(request.weights))
            kind = "trained"
        else:
            pruning.prune_once(model, request.recipe, monitor)
    monitor.stage("evaluate")
    return evaluation.evaluate(model, dataset, kind, request.events)


def _train(request: requests.Train, monitor: Monitor) -> Candidate:
    with Project.open(request.project) as project:
        monitor.stage("load")
        dataset = _opened(project)
        request.recipe.check(project.info)
        costs = price(project.info, request.recipe).costs
        bring_in_tensorflow()
        from core.search.engine import training_record
        from core.search.keras_trainer import KerasTrainer

        started = time.monotonic()
        trainer = KerasTrainer(model_of(project.model_path), dataset, request.learning_rate, request.batch_size,
                               _train_options(request, project), request.pruning)
        monitor.stage("train")
        checkpoint = _checkpoint_of(request, project)
        trained = trainer.train(request.recipe, request.seed, request.epochs, monitor, checkpoint)
        candidate = Candidate(
            id=project.new_candidate_id(), recipe=request.recipe, evaluation=trained.evaluation, costs=costs,
            seconds=time.monotonic() - started, created=now(), method="manual", seed=request.seed,
            versions=versions(), training=training_record(trained, trainer, request.epochs))
        candidate = project.add_candidate(candidate, trained.weights)
        checkpoint.unlink(missing_ok=True)
        monitor.candidate(candidate)
        return candidate


def _train_options(request: requests.Train, project: Project) -> TrainOptions:
    from core.quant.losses import compiled_loss, loss_of
    from core.quant.schedules import NoiseSchedule, RateSchedule
    from core.quant.training import TrainOptions

    loss = compiled_loss(project.model_path) if request.loss == "compiled" else \
        loss_of(request.loss) if request.loss else None
    return TrainOptions(loss=loss, schedule=RateSchedule(request.schedule, request.warmup), patience=request.patience,
                        freeze=tuple(request.freeze),
                        noise=NoiseSchedule(end=request.noise_until) if request.noise_until else None)


def _checkpoint_of(request: requests.Train, project: Project) -> Path:
    """Where a training is kept until its candidate is stored: the same request, asked again, goes on from there."""
    from core.quant.checkpoints import fingerprint, tidy

    folder = project.folder / "checkpoints"
    path = folder / f"{fingerprint(msgspec.json.encode(msgspec.structs.replace(request, project='')))}.npz"
    tidy(folder, wanted=path)
    return path


def _search(request: requests.Search, monitor: Monitor) -> list[str]:
    with Project.open(request.project) as project:
        from core.search.engine import check_request, memory_of, run_pooled, run_search, setup_of
        from core.search.samplers import GRADIENT, STAGED
        from core.search.worker import trainer_for
        from core.search.workers import fits, single

        check_request(request, project)  # refuse before loading TensorFlow
        monitor.stage("load")
        dataset = _opened(project)
        builder = _builder(project.info)
        if request.method == STAGED:
            from core.search.staged import run_staged

            return run_staged(project, request, monitor, builder)
        if request.method != GRADIENT and (request.cluster.asked or not single(request.workers)):
            return run_pooled(project, request, monitor, builder)
        fits(memory_of(request), dataset)
        bring_in_tensorflow()
        if request.method == GRADIENT:
            from core.search.gradient import run_gradient

            return run_gradient(project, request, model_of(project.model_path), dataset, monitor)
        trainer = trainer_for(setup_of(project, request), model_of(project.model_path), dataset)
        monitor.stage("search")
        return run_search(project, request, trainer, monitor, builder)


def _builder(info: ModelInfo) -> Callable[[Recipe, Weights], dict[str, float]]:
    """Estimates of trained candidates as distributed arithmetic, for goals that ask for them."""
    def build(recipe: Recipe, weights: Weights) -> dict[str, float]:
        from core.hls.da_estimate import estimate_candidate

        found = estimate_candidate(info, recipe, weights)
        return {"da_lut": found.lut, "latency_ns": found.latency_ns}

    return build


def _export(request: requests.Export, monitor: Monitor) -> ExportReport:
    from core.hls.parts import find_part

    find_part(request.part)
    if request.flow not in ("hls4ml", "rtl", "both"):
        raise ExportError(f"unknown export flow {request.flow!r}", remedy="Use hls4ml, rtl or both")
    if request.cluster.asked:
        from core.remote_export import export_there

        return export_there(request, monitor)
    with Project.open(request.project) as project:
        candidate = project.candidate(request.candidate_id)
        monitor.stage("load")
        dataset = _opened(project)
        bring_in_tensorflow()
        from core.hls.export import ExportOptions, export
        from core.quant import quantize, weights

        model = quantize(model_of(project.model_path), candidate.recipe)
        weights.load_weights(model, project.weights_path(candidate.id))
        options = ExportOptions(flow=request.flow, part=request.part, clock_ns=request.clock_ns,
                                events=request.events, synthesize=request.synthesize, rtl=request.rtl,
                                hls4ml=request.hls4ml)
        with project.exporting(candidate.id, request.flow) as (directory, former):
            return export(model, dataset.x_test, options, directory, monitor, candidate.id, former)


def _preflight(request: requests.Preflight, monitor: Monitor) -> list[Finding]:
    from core.hls.preflight import FAIL, preflight, worst

    asked = request.export
    with Project.open(asked.project) as project:
        candidate = project.candidate(asked.candidate_id)
        folder = project.export_directory(candidate.id, asked.flow)
        first = preflight(asked, folder=folder)
        if worst(first) == FAIL:
            return first
        monitor.stage("load")
        project.check_sources()
        dataset = checked(project.model_path, project.data_reference)[1]
        bring_in_tensorflow()
        from core.quant import quantize, weights

        model = quantize(model_of(project.model_path), candidate.recipe)
        weights.load_weights(model, project.weights_path(candidate.id))
        return preflight(asked, model, len(dataset.x_test), folder)


def _list_precision(request: requests.ListPrecision, monitor: Monitor) -> PrecisionReport:
    request.hls4ml.check()
    with Project.open(request.project) as project:
        candidate = project.candidate(request.candidate_id)
        monitor.stage("load")
        bring_in_tensorflow()
        from core.hls.hls4ml_precision import precision
        from core.quant import quantize, weights

        model = quantize(model_of(project.model_path), candidate.recipe)
        weights.load_weights(model, project.weights_path(candidate.id))
    return precision(model, request.hls4ml, request.part, request.clock_ns)


def _verify(request: requests.Verify, monitor: Monitor) -> Verification:
    from core.verify import chosen, verify

    with Project.open(request.project) as project:
        candidates = chosen(project, request.candidates, request.front)
        monitor.stage("load")
        project.check_sources()
        dataset = checked(project.model_path, project.data_reference)[1]
        return verify(project, candidates, dataset, monitor)


def _importances(request: requests.Importances, monitor: Monitor) -> dict[str, list[Importance]]:
    from core.search.objectives import Goal
    from core.search.summary import importances

    with Project.open(request.project) as project:
        goal = Goal.of(request.objectives, request.constraints).resolved(project.info)
        candidates = project.candidates()
    return {objective.name: importances(candidates, goal, number) for number, objective in enumerate(goal.objectives)}


_JOBS: dict[type, Callable[[Any, Monitor], Any]] = {
    requests.WarmUp: _warm_up,
    requests.Evaluate: _evaluate,
    requests.Train: _train,
    requests.Search: _search,
    requests.Export: _export,
    requests.ListPrecision: _list_precision,
    requests.Preflight: _preflight,
    requests.Synthesize: firmware.synthesize_candidate,
    requests.WriteScript: firmware.write_script,
    requests.Verify: _verify,
    requests.Importances: _importances,
    requests.MeasureSensitivity: measurements.measure_sensitivity,
    requests.RecordValues: measurements.record_values,
    requests.Calibrate: measurements.calibrate,
}
