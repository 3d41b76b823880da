"""The open project as one QObject: state, undo stack, signals. Views read it and call it, nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QUndoStack

from app.commands import ApplyCandidate, ApplyPreset, SetCells, State
from app.inspection import Inspection
from app.jobs.analysis import LayerAnalysis
from app.jobs.background import in_background
from app.jobs.evaluation import LiveEvaluation
from app.jobs.job import Job, JobState
from app.jobs.runner import INTERACTIVE, JobRunner
from app.opening import DEMO_DATA, demo_project, project_of, read_project
from core import energy
from core.candidate import Candidate, Evaluation
from core.energy.presets import Preset, presets
from core.energy.scaled import multipliers
from core.errors import ProjectError, QuantiscopeError, RecipeError
from core.events import LogLine
from core.hls.report import ExportReport
from core.model_info import ModelInfo
from core.project import Project
from core.quant import edits
from core.quant.edits import Origin, Origins
from core.quant.recipe import INPUT, OUTPUT, Recipe
from core.quant.spec import parse
from core.requests import Evaluate, Export, Search, Synthesize, Train, WarmUp

#: an edited recipe is stored this long after the last edit, in ms
SAVE_MS = 1500
LONG_REQUESTS = (Train, Search, Export, Synthesize)


class Session(QObject):
    """What the window shows, and what it can ask for.

    Attributes:
        project, info, recipe: the open project; None (an empty Recipe) while there is none. origins: where the
            recipe's cells came from, by (layer, parameter). resizable: layers whose number of units may change.
        report: the CostReport of the recipe; None where it cannot be priced.
        float_evaluation: how the float model does. evaluation: how the recipe does without training; while
            `computing`, that of the recipe before.
        candidates: by id, oldest first. exports: the project's ExportReports. selected_id: a candidate's id.
        search_state: "idle", "running", "paused" or "stopping". export_state: "idle", "running" or "stopping".

    Signals:
        errorRaised(QuantiscopeError); noticed(str): worth a line in the status bar.
        jobStarted(Job), jobEnded(Job), jobProgress(Progress), jobStage(str): of long jobs (train, search,
            export). jobLogged(LogLine): of every job.
    """

    projectChanged = Signal()
    recipeChanged = Signal()
    costsChanged = Signal()
    evaluationChanged = Signal()
    candidateAdded = Signal(object)
    proxiesScored = Signal(object)
    selectionChanged = Signal()
    searchStateChanged = Signal(str)
    exportStateChanged = Signal(str)
    exportFinished = Signal(object)
    jobStarted = Signal(object)
    jobEnded = Signal(object)
    jobProgress = Signal(object)
    jobStage = Signal(str)
    jobLogged = Signal(object)
    errorRaised = Signal(object)
    noticed = Signal(str)
    busyChanged = Signal(bool)

    def __init__(self, runner: JobRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("session")
        self.runner = runner
        self.undo_stack = QUndoStack(self, objectName="undo_stack")
        self.project: Project | None = None
        self.info: ModelInfo | None = None
        self.recipe = Recipe(name="float")
        self.origins: Origins = {}
        self.resizable: frozenset[str] = frozenset()
        self.report: Any = None
        self.float_evaluation: Evaluation | None = None
        self.candidates: dict[str, Candidate] = {}
        self.exports: list[ExportReport] = []
        self.selected_id: str | None = None
        self.inspection = Inspection(self)
        self.search_state = "idle"
        self.export_state = "idle"
        self.search_job: Job | None = None
        self.export_job: Job | None = None
        self.train_job: Job | None = None
        self.pricing_s = 0.0
        self._pricer: energy.Pricer | None = None
        self._float_job: Job | None = None
        self._long_jobs: list[Job] = []
        self._live = LiveEvaluation(runner, self)
        self._live.changed.connect(self.evaluationChanged)
        self._live.failed.connect(self.errorRaised)
        self.analysis = LayerAnalysis(runner, self)
        self.analysis.failed.connect(self.errorRaised)
        self.analysis.calibrated.connect(self._on_calibrated)
        self._saving = QTimer(self, objectName="saving", singleShot=True, interval=SAVE_MS)
        self._saving.timeout.connect(self.save)
        runner.jobStarted.connect(self._on_job_started)
        runner.workerDied.connect(self._on_worker_died)

    # -- what views read ---------------------------------------------------------------------------

    @property
    def evaluation(self) -> Evaluation | None:
        """How the recipe does on the test events without training; the recipe before while `computing`."""
        return self._live.evaluation

    @property
    def computing(self) -> bool:
        """True while the accuracy of the recipe is being worked out."""
        return self._live.computing

    @property
    def busy(self) -> bool:
        """True while a long job runs or waits."""
        return bool(self._long_jobs)

    @property
    def selected(self) -> Candidate | None:
        """The selected candidate."""
        return self.candidates.get(self.selected_id or "")

    @property
    def needs_training(self) -> bool:
        """True where the recipe changes numbers of units: its weights do not exist yet."""
        return bool(multipliers(self.recipe))

    def presets(self) -> list[Preset]:
        """Recipes that fit this model: the same width everywhere, and published ones."""
        return [] if self.info is None else presets(self.info, self.recipe.input)

    # -- opening and closing -----------------------------------------------------------------------

    def open_project(self, path: Path | str, warm: bool = True) -> bool:
        """Open a project folder; False (and errorRaised) where that fails: what was open then stays open.

        `warm` False starts no worker, for a picture of what is stored.
        """
        try:
            self._give_way(Path(path))
            opened = in_background(lambda: read_project(Path(path)))
        except QuantiscopeError as error:
            self.errorRaised.emit(error)
            return False
        self._leave()
        project, info = opened.project, opened.info
        self.project, self.info, self.recipe = project, info, project.recipe
        self.origins = edits.read_origins(info, project.recipe, project.settings.get("origins"))
        self.resizable, self._pricer = opened.resizable, opened.pricer
        self.analysis.open(project, info, opened.weights, opened.precision)
        self.candidates, self.exports = opened.candidates, opened.exports
        self.float_evaluation = opened.float_evaluation
        for note in project.notes:
            self.noticed.emit(note)
        if project.read_only:
            self.noticed.emit("This project is open elsewhere: edits are not stored.")
        self._price()
        self.projectChanged.emit()
        self.selectionChanged.emit()
        if warm:
            self._warm_up()
        return True

    def open_model(self, model: Path | str, data: str = DEMO_DATA, folder: Path | str | None = None) -> bool:
        """Open the project of a model file, made beside it if there is none; False (and errorRaised) on failure."""
        return self._open(lambda: project_of(model, data, folder))

    def open_demo(self) -> bool:
        """Open the bundled jet tagger, 8 bits everywhere to begin with."""
        return self._open(demo_project)

    def _open(self, find: Callable[[], Path]) -> bool:
        try:
            folder = in_background(find)
        except QuantiscopeError as error:
            self.errorRaised.emit(error)
            return False
        return self.open_project(folder)

    def save(self) -> None:
        """Store the recipe now; a project open elsewhere is left as it is."""
        self._saving.stop()
        if self.project is None or self.project.read_only or self.project.recipe == self.recipe:
            return
        try:
            self.project.save_recipe(self.recipe)
            if self.info is not None:
                origins = edits.plain_origins(self.info, self.recipe, self.origins)
                self.project.save_settings({**self.project.settings, "origins": origins})
        except QuantiscopeError as error:
            self.errorRaised.emit(error)

    def close(self) -> None:
        """Store what was edited, end every job and worker, give the project back."""
        self._leave()
        self.runner.close()

    def _give_way(self, folder: Path) -> None:
        """Close the project that is open where it is the one asked for: it would be locked by ourselves."""
        if self.project is not None and self.project.folder == folder.absolute():
            self.save()
            self.project.close()

    def _leave(self) -> None:
        self.save()
        for job in list(self._long_jobs):
            job.proxies.disconnect(self.proxiesScored)
            job.candidate.disconnect(self._on_candidate)  # what it still finishes belongs to the old project
            job.cancel()
        if self._float_job is not None:
            self._float_job.finished.disconnect(self._on_float_evaluated)
            self._float_job = None
        self._live.forget()
        self.analysis.forget()
        self.undo_stack.clear()
        if self.project is not None:
            self.project.close()
        self.project = self.info = self._pricer = self.report = self.float_evaluation = None
        self.selected_id = None
        self.inspection.compare([])

    def _warm_up(self) -> None:
        """Bring the worker to life and both accuracies in, the recipe's before the float model's."""
        assert self.project is not None
        model, data = str(self.project.model_path), self.project.data_reference
        self.runner.submit(WarmUp(model, data), INTERACTIVE)
        self._evaluate(at_once=True)
        if self.float_evaluation is None:
            self._float_job = self.runner.submit(Evaluate(model=model, data=data), INTERACTIVE)
            self._float_job.finished.connect(self._on_float_evaluated)
            self._float_job.failed.connect(self.errorRaised)
            self._float_job.ended.connect(self._on_float_ended)

    # -- editing -----------------------------------------------------------------------------------

    def quantizer(self, layer: str, parameter: str) -> str | None:
        """The quantizer string of a parameter, as written; that of an input layer is the recipe's `input`.

        Also a number of `core.quant.edits.NUMBERS`; None where it is that of the float model.
        """
        return edits.value(self.info, self.recipe, (layer, parameter)) if self.info is not None else None

    def set_quantizers(self, changes: Mapping[tuple[str, str], str | None], verb: str = "set", step: str = "") -> None:
        """Change quantizers by (layer, parameter), as one undoable edit; None or "" is float.

        The keys of `core.quant.edits` for numbers of units and sparsities are taken too. `verb` is how the edit is
        named; edits in a row with the same `step` are undone as one.

        Raises:
            QuantizerError: a text is not a quantizer. Nothing changes.
            RecipeError: a layer has no such parameter, or an input would be left without quantizer.
            CostError: the model cannot have these numbers of units.
        """
        if self.info is None:
            return
        numbers = edits.NUMBERS
        wanted = {key: str(parse(text)) if text and key[1] not in numbers else text for key, text in changes.items()}
        new = edits.changed(self.info, self.recipe, wanted)
        for layer in (key[0] for key in wanted if key[1] == edits.UNITS):
            if layer not in self.resizable and new.layers[layer].units_multiplier != 1:
                raise RecipeError(f"the number of units of {layer!r} cannot change",
                                  "the model's output, or a layer it is added to, depends on it")
        if multipliers(new) and self._pricer is not None:
            self._pricer.price(new)
        wanted = {key: edits.value(self.info, new, key) for key in wanted}
        wanted = {key: text for key, text in wanted.items() if self.quantizer(*key) != text}
        if wanted:
            origins = edits.marked(self.origins, wanted, Origin(edits.SET))
            self.undo_stack.push(SetCells(self._take, self._state, State(new, origins), wanted, verb, step))

    def apply_preset(self, recipe: Recipe) -> None:
        """Replace the whole recipe, undoably; raises RecipeError where it does not fit."""
        if self.info is None or recipe == self.recipe:
            return
        recipe.check(self.info)
        origins = edits.everywhere(self.info, Origin(edits.PRESET, recipe.name))
        self.undo_stack.push(ApplyPreset(self._take, self._state, State(recipe, origins)))

    def apply_candidate(self, candidate_id: str) -> None:
        """Edit a candidate's recipe from here on, undoably."""
        candidate = self.candidates.get(candidate_id)
        if candidate is not None and self.info is not None and candidate.recipe != self.recipe:
            origins = edits.everywhere(self.info, Origin(edits.SEARCH, candidate_id))
            self.undo_stack.push(ApplyCandidate(self._take, self._state, State(candidate.recipe, origins),
                                                candidate_id))

    def calibrate(self, layers: list[str]) -> None:
        """Choose integer bits from data, for these layers or (none named) all; one undoable edit once it is known."""
        self.analysis.calibrate(self.recipe, layers)

    def _on_calibrated(self, asked: Recipe, found: Recipe) -> None:
        """Take over what was found, but for cells that were edited meanwhile."""
        if self.info is None:
            return
        places = {INPUT: (self.info.inputs[0], OUTPUT)}
        changes = {places.get((layer, parameter), (layer, parameter)): theirs
                   for layer, parameter, _, theirs in asked.differences(found)}
        kept = {key: text for key, text in changes.items()
                if self.quantizer(*key) == edits.value(self.info, asked, key)}
        self.set_quantizers(kept, "calibrate")
        if not changes:
            self.noticed.emit("The integer bits are already those of least error.")

    @property
    def _state(self) -> State:
        return State(self.recipe, self.origins)

    def _take(self, state: State) -> None:
        """Make a recipe the one in force: price it now, evaluate it soon, store it later."""
        self.recipe, self.origins = state
        self._price()
        self.recipeChanged.emit()
        self._evaluate()
        self._saving.start()

    def _price(self) -> None:
        started = time.perf_counter()
        try:
            self.report = self._pricer.price(self.recipe) if self._pricer is not None else None
        except QuantiscopeError as error:
            self.report = None
            self.noticed.emit(str(error))
        self.pricing_s = time.perf_counter() - started
        self.analysis.follow(self.recipe, self.origins)
        self.costsChanged.emit()

    def _evaluate(self, at_once: bool = False) -> None:
        if self.needs_training:
            self._live.rest()
        elif self.project is not None:
            self._live.ask(Evaluate(model=str(self.project.model_path), data=self.project.data_reference,
                                    recipe=self.recipe), at_once)

    def _on_float_ended(self, _: Job) -> None:
        self._float_job = None

    def _on_float_evaluated(self, evaluation: Evaluation) -> None:
        self.float_evaluation = evaluation
        if self.project is not None and not self.project.read_only:
            try:
                self.project.save_float_evaluation(evaluation)
            except QuantiscopeError as error:
                self.errorRaised.emit(error)
        self.evaluationChanged.emit()

    # -- long jobs ---------------------------------------------------------------------------------

    def start_search(self, **fields: Any) -> bool:
        """Start or extend the project's search; `fields` are those of core.requests.Search but `project`."""
        if self.search_state != "idle":
            return False
        job = self._start(Search, fields)
        if job is None:
            return False
        self.search_job = job
        job.stateChanged.connect(self._on_search_state)
        self._on_search_state(job.state)
        return True

    def pause_search(self) -> None:
        """Let the search wait after the unit of work it is at."""
        if self.search_job is not None:
            self.search_job.pause()

    def resume_search(self) -> None:
        """Let a paused search go on."""
        if self.search_job is not None:
            self.search_job.resume()

    def stop_search(self) -> None:
        """End the search; every finished candidate stays."""
        if self.search_job is not None:
            self.search_job.cancel()

    def start_training(self, **fields: Any) -> bool:
        """Train the recipe being edited into a candidate; `fields` as in core.requests.Train."""
        if self.train_job is not None:
            return False
        self.train_job = self._start(Train, {"recipe": self.recipe, **fields})
        return self.train_job is not None

    def start_export(self, **fields: Any) -> bool:
        """Export a candidate, the selected one unless `candidate_id` is given; other fields of Export.

        With `options` it is synthesized by the tool they name: fields of Synthesize.
        """
        if self.export_state != "idle":
            return False
        if self.selected_id is None and "candidate_id" not in fields:
            self.errorRaised.emit(ProjectError("no candidate is selected",
                                               remedy="Choose a point in the search, or train the recipe first"))
            return False
        kind = Synthesize if "options" in fields else Export
        job = self._start(kind, {"candidate_id": self.selected_id, **fields})
        if job is None:
            return False
        self.export_job = job
        job.finished.connect(self._on_exported)
        job.stateChanged.connect(self._on_export_state)
        self._on_export_state(job.state)
        return True

    def cancel_export(self) -> None:
        """End the export with the tools it runs."""
        if self.export_job is not None:
            self.export_job.cancel()

    def select_candidate(self, candidate_id: str | None) -> None:
        """Show this candidate everywhere."""
        if candidate_id is not None and candidate_id not in self.candidates:
            return
        if candidate_id != self.selected_id:
            self.selected_id = candidate_id
            self.selectionChanged.emit()

    def toggle_compared(self, candidate_id: str) -> None:
        """Compare a candidate with others, or no longer; says so where there are as many as can be."""
        if not self.inspection.toggle(candidate_id):
            self.noticed.emit(f"{len(self.inspection.compared)} candidates are compared already: take one away first.")

    def _start(self, kind: type, fields: dict[str, Any]) -> Job | None:
        if self.project is None:
            self.errorRaised.emit(ProjectError("no project is open", remedy="Open a model or the demo first"))
            return None
        self.save()
        try:
            self.project.require_writable()
        except QuantiscopeError as error:
            self.errorRaised.emit(error)
            return None
        return self.runner.submit(kind(project=str(self.project.folder), **fields))

    def _on_job_started(self, job: Job) -> None:
        job.logged.connect(self.jobLogged)
        if not isinstance(job.request, LONG_REQUESTS):
            return
        self._long_jobs.append(job)
        job.progress.connect(self.jobProgress)
        job.stage.connect(self.jobStage)
        job.candidate.connect(self._on_candidate)
        job.proxies.connect(self.proxiesScored)
        job.failed.connect(self.errorRaised)
        job.ended.connect(self._on_long_job_ended)
        self.jobStarted.emit(job)
        self.busyChanged.emit(True)

    def _on_long_job_ended(self, job: Job) -> None:
        if job in self._long_jobs:
            self._long_jobs.remove(job)
        if job is self.train_job:
            self.train_job = None
        self.jobEnded.emit(job)
        self.busyChanged.emit(self.busy)

    def _on_candidate(self, candidate: Candidate) -> None:
        self.candidates[candidate.id] = candidate
        self.candidateAdded.emit(candidate)

    def _on_search_state(self, state: JobState) -> None:
        self._set_search_state({JobState.QUEUED: "running", JobState.RUNNING: "running", JobState.PAUSED: "paused",
                                JobState.CANCELLING: "stopping"}.get(state, "idle"))

    def _set_search_state(self, state: str) -> None:
        if state != self.search_state:
            self.search_state = state
            self.searchStateChanged.emit(state)

    def _on_export_state(self, state: JobState) -> None:
        name = "idle" if state.over else "stopping" if state is JobState.CANCELLING else "running"
        if name != self.export_state:
            self.export_state = name
            self.exportStateChanged.emit(name)

    def _on_exported(self, report: ExportReport) -> None:
        self.exports = [old for old in self.exports if old.directory != report.directory] + [report]
        self.exportFinished.emit(report)

    def _on_worker_died(self, lane: str, error: QuantiscopeError) -> None:
        self.jobLogged.emit(LogLine(str(error), "error", lane))
        if lane == INTERACTIVE and self.project is not None:
            self.noticed.emit("The worker process ended and was started again.")
            self.runner.submit(WarmUp(str(self.project.model_path), self.project.data_reference), INTERACTIVE)
