"""What the table of layers knows beside recipe and costs: precisions in force, sensitivities, values of activations."""

from __future__ import annotations

from typing import Any

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.jobs.job import Job
from app.jobs.runner import EXPORT, INTERACTIVE, LONG, JobRunner
from core.energy.effective import Effective, EffectivePrecision
from core.errors import QuantiscopeError
from core.events import Progress
from core.model_info import ModelInfo
from core.model_io import Weights, read_weights
from core.project import Project
from core.quant.edits import Origins
from core.quant.measures import Key, Recorded, Sensitivity
from core.quant.recipe import INPUT, OUTPUT, Recipe
from core.requests import Calibrate, MeasureSensitivity, RecordValues

#: multiplications that a measurement may take in the worker that answers edits; about two seconds
QUICK = 4e9
_EVENTS = MeasureSensitivity.__struct_defaults__[-1]


class LayerAnalysis(QObject):
    """Follows the recipe; measures when asked to.

    Attributes:
        effective: precision in force of each tensor, and the sums, of the last recipe told by `follow`.
        sensitivities: by (layer, parameter), each for the quantizer it names; an input layer's has "output".
        recorded: values of activations in the float model; None until `record`.
        measuring: True while sensitivities are measured; `progress` (done, total) tells how far.

    Signals:
        effectiveChanged(); sensitivityChanged(): also when measuring begins, goes on or ends; recordedChanged().
        calibrated(Recipe asked about, Recipe found). failed(QuantiscopeError).
    """

    effectiveChanged = Signal()
    sensitivityChanged = Signal()
    recordedChanged = Signal()
    calibrated = Signal(object, object)
    failed = Signal(object)

    def __init__(self, runner: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layer_analysis")
        self._runner = runner
        self._soon = QTimer(self, objectName="precision_soon", singleShot=True, interval=0)
        self._soon.timeout.connect(self._work_out)
        self._jobs: dict[str, Job] = {}
        self._reset()

    def _reset(self) -> None:
        self.effective = Effective()
        self.sensitivities: dict[Key, Sensitivity] = {}
        self.recorded: Recorded | None = None
        self.progress: tuple[float, float] = (0.0, 0.0)
        self._info: ModelInfo | None = None
        self._project: Project | None = None
        self._weights: Weights | None = None
        self._precision: EffectivePrecision | None = None
        self._wanted: tuple[Recipe, Origins] | None = None

    # -- which project -----------------------------------------------------------------------------

    def open(self, project: Project, info: ModelInfo, weights: Weights | None = None,
             precision: EffectivePrecision | None = None) -> None:
        """Begin with a project; what was measured of it before is known again. `weights` where they were read."""
        self.forget()
        self._project, self._info = project, info
        self._weights, self._precision = weights, precision
        try:
            kept = msgspec.convert(project.settings.get("sensitivity", []), type=list[Sensitivity])
        except msgspec.ValidationError:
            kept = []
        self.sensitivities = self._by_key(kept)

    def forget(self) -> None:
        """No project: end what runs, know nothing."""
        self._soon.stop()
        for job in self._jobs.values():
            job.ended.disconnect(self._on_ended)
            job.cancel()
        self._jobs.clear()
        self._reset()

    @property
    def weights(self) -> Weights:
        """The float model's weights by layer and parameter, read on first use; raises ModelFileError."""
        if self._weights is None:
            self._weights = read_weights(self._project.model_path) if self._project is not None else {}
        return self._weights

    # -- precision ---------------------------------------------------------------------------------

    def follow(self, recipe: Recipe, origins: Origins) -> None:
        """Work out this recipe's precisions once the event loop is free."""
        self._wanted = recipe, origins
        self._soon.start()

    def _work_out(self) -> None:
        if self._info is None or self._wanted is None:
            return
        try:
            if self._precision is None:
                self._precision = EffectivePrecision(self._info, self.weights)
            self.effective = self._precision.of(*self._wanted)
        except QuantiscopeError:
            self.effective = Effective()  # the price told what is wrong
        self.effectiveChanged.emit()

    # -- jobs --------------------------------------------------------------------------------------

    @property
    def measuring(self) -> bool:
        """True while sensitivities are measured."""
        return "sensitivity" in self._jobs

    @property
    def recording(self) -> bool:
        """True while values are recorded."""
        return "values" in self._jobs

    def measure(self, recipe: Recipe) -> None:
        """Measure the sensitivity to each of the recipe's quantizers."""
        if self._project is None or self._info is None or self.measuring:
            return
        count = 1 + sum(len(entry.quantizers) for entry in recipe.layers.values())
        quick = self._info.macs * _EVENTS * count < QUICK
        # a search that runs must not hold it up, nor it the answer to an edit
        lane = INTERACTIVE if quick else EXPORT if self._runner.busy(LONG) else LONG
        self.progress = (0.0, 0.0)
        self._submit("sensitivity", MeasureSensitivity(model=self._model, data=self._data, recipe=recipe), lane)
        self.sensitivityChanged.emit()

    def stop_measuring(self) -> None:
        """End the measurement; what is known by then is kept."""
        if self.measuring:
            self._jobs["sensitivity"].cancel()

    def record(self) -> None:
        """Fetch the values of activations, once."""
        if self._project is not None and self.recorded is None and not self.recording:
            self._submit("values", RecordValues(model=self._model, data=self._data), INTERACTIVE)

    def calibrate(self, recipe: Recipe, layers: list[str]) -> None:
        """Choose the integer bits of these layers (none: of all) from data; `calibrated` brings the recipe."""
        if self._project is not None and "calibration" not in self._jobs:
            self._submit("calibration", Calibrate(model=self._model, data=self._data, recipe=recipe, layers=layers),
                         INTERACTIVE)

    @property
    def _model(self) -> str:
        assert self._project is not None
        return str(self._project.model_path)

    @property
    def _data(self) -> str:
        assert self._project is not None
        return self._project.data_reference

    def _submit(self, what: str, request: Any, lane: str) -> None:
        job = self._jobs[what] = self._runner.submit(request, lane)
        job.ended.connect(self._on_ended)
        if what == "sensitivity":
            job.progress.connect(self._on_progress)

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress.done, progress.total
        self.sensitivityChanged.emit()

    def _on_ended(self, job: Job) -> None:
        what = next(name for name, known in self._jobs.items() if known is job)
        del self._jobs[what]
        if job.error is not None:
            self.failed.emit(job.error)
        if what == "sensitivity":
            self._take_sensitivities(job.result or [])
        elif what == "values":
            self.recorded = job.result
            self.recordedChanged.emit()
        elif job.result is not None:
            self.calibrated.emit(job.request.recipe, job.result)

    def _take_sensitivities(self, found: list[Sensitivity]) -> None:
        self.sensitivities = {**self.sensitivities, **self._by_key(found)}
        if found and self._project is not None and not self._project.read_only:
            try:
                kept = [msgspec.to_builtins(msgspec.structs.replace(one, layer=layer, parameter=parameter))
                        for (layer, parameter), one in self.sensitivities.items()]
                self._project.save_settings({**self._project.settings, "sensitivity": kept})
            except QuantiscopeError as error:
                self.failed.emit(error)
        self.sensitivityChanged.emit()

    def _by_key(self, found: list[Sensitivity]) -> dict[Key, Sensitivity]:
        """By the table's keys: what holds for the inputs is each input layer's."""
        keyed: dict[Key, Sensitivity] = {}
        for one in found:
            if (one.layer, one.parameter) != INPUT:
                keyed[one.layer, one.parameter] = one
            elif self._info is not None:
                keyed.update(dict.fromkeys(((name, OUTPUT) for name in self._info.inputs), one))
        return keyed
