"""Projects that are made when they are opened for the first time."""

from __future__ import annotations

from pathlib import Path

import resources
from app import settings
from core.errors import ProjectError
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
