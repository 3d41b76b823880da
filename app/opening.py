"""Projects that are made when they are opened for the first time, and all that is read when one is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import resources
from app import settings
from core import energy
from core.candidate import Candidate, Evaluation
from core.energy.effective import EffectivePrecision
from core.energy.scaled import resizable
from core.errors import ProjectError, QuantiscopeError
from core.hls.report import ExportReport
from core.model_info import ModelInfo
from core.model_io import Weights, read_weights
from core.project import Project
from core.quant.recipe import uniform

DEMO_MODEL = "models/jet_tagger.keras"
DEMO_DATA = "jets"
#: 8 bits, 2 of them integer: costs the jet tagger half a percent of accuracy before any training
DEMO_BITS = (8, 2)


def project_of(model: Path | str, data: str, folder: Path | str | None = None) -> Path:
    """Folder of a model file's project, made beside the file unless `folder` is given; raises QuantiscopeError."""
    from core.workflows import create_project

    model = Path(model).absolute()
    target = Path(folder) if folder else model.with_suffix(".qscope")
    if not target.exists():
        create_project(target, model, data).close()
    return target


def demo_project() -> Path:
    """Folder of the project of the bundled jet tagger, 8 bits everywhere to begin with; raises ProjectError."""
    folder = settings.data_folder() / "jet_tagger_demo.qscope"
    try:
        if not folder.exists():
            with Project.create(folder, resources.path(DEMO_MODEL), DEMO_DATA, name="Jet tagger demo") as project:
                project.save_recipe(uniform(project.info, *DEMO_BITS))
    except OSError as error:
        raise ProjectError("the demo cannot be set up", str(error), f"See whether {folder.parent} can be written"
                           ) from None
    return folder


@dataclass(frozen=True)
class Opened:
    """An open project with everything that is read from its files; `weights` None where they cannot be read."""

    project: Project
    info: ModelInfo
    resizable: frozenset[str]
    candidates: dict[str, Candidate]
    exports: list[ExportReport]
    float_evaluation: Evaluation | None
    pricer: energy.Pricer
    weights: Weights | None
    precision: EffectivePrecision | None


def read_project(folder: Path) -> Opened:
    """Open a project and read it; needs no Qt and may run in a thread. Raises QuantiscopeError, nothing open then."""
    project = Project.open(folder)
    try:
        info = project.info
        candidates = {candidate.id: candidate for candidate in project.candidates()}
        pricer = energy.Pricer(info)
        weights, precision = _weights(project, info)
        return Opened(project, info, resizable(info), candidates, project.exports(), project.float_evaluation, pricer,
                      weights, precision)
    except QuantiscopeError:
        project.close()
        raise


def _weights(project: Project, info: ModelInfo) -> tuple[Weights | None, EffectivePrecision | None]:
    """The float model's weights; a file without them can be looked at all the same."""
    try:
        weights = read_weights(project.model_path)
        precision = EffectivePrecision(info, weights)
        precision.of(project.recipe, {})  # it keeps what it worked out: the window finds it done
        return weights, precision
    except QuantiscopeError:
        return None, None
