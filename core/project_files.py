"""The files of a project folder: what they hold, how they are read and written, and how older ones are migrated.

Schema 1: as now, without hashes of candidates. Schema 2: `hashes` in each metrics.json, `versions` in project.json.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from core.candidate import Costs, Evaluation
from core.errors import ProjectError, RecipeError
from core.files import TEMPORARY, npz_bytes, read_bounded, sha256_of, sync, write_atomically
from core.npz import read_npz
from core.quant.recipe import Recipe

SCHEMA_VERSION = 2
PROJECT_FILE, METRICS, CURVES, RECIPE, WEIGHTS = "project.json", "metrics.json", "roc.npz", "recipe.json", "weights.npz"
#: what a project keeps in its folder; none of these may be a link to a place elsewhere
OWN = (PROJECT_FILE, "lock", "study.sqlite3", "study.sqlite3-journal", "study.sqlite3-wal", "candidates", "exports",
       "checkpoints", "float", "model")
#: the most that the curves of one candidate may hold, in bytes
MAX_CURVES = 2**28
NOT_OURS = "Choose a folder that ends in .qscope and was made by Quantiscope"
_BACKUP = "Restore it from a backup"
#: what reading a damaged candidate raises
UNREADABLE = (OSError, ValueError, KeyError, msgspec.MsgspecError, RecipeError, zipfile.BadZipFile, EOFError,
              RecursionError)


class ModelReference(msgspec.Struct, frozen=True, kw_only=True):
    """Where the model lies: a path within the project when `copied`, else an absolute one."""

    path: str
    sha256: str
    copied: bool = True


class ProjectFile(msgspec.Struct, frozen=True, kw_only=True):
    """What project.json holds. `data` is a bundled dataset's name or an absolute path; `versions` made it."""

    schema_version: int = SCHEMA_VERSION
    name: str
    created: str
    model: ModelReference
    data: str
    data_sha256: str = ""
    recipe: Recipe = Recipe()
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """metrics.json: a candidate without its recipe and curves; `curves` names the classes of roc.npz in order."""

    schema_version: int = SCHEMA_VERSION
    evaluation: Evaluation
    curves: list[str] = []
    costs: Costs | None = None
    seconds: float = 0.0
    created: str = ""
    method: str = "manual"
    seed: int | None = None
    versions: dict[str, str] = {}
    training: dict[str, float] = {}
    hashes: dict[str, str] = {}


def encode(value: Any) -> bytes:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def read_project_file(folder: Path) -> ProjectFile:
    """project.json, an older one as if it had been migrated.

    Raises:
        ProjectError: there is none, or it is damaged, newer, or leads out of the folder.
    """
    return _decoded(folder, _migrated(_raw(folder)))


def _raw(folder: Path) -> dict[str, Any]:
    path = folder / PROJECT_FILE
    linked = next((name for name in OWN if (folder / name).is_symlink()), None)
    if linked is not None:
        raise ProjectError(f"{folder / linked} is a link", "a project keeps its files in its own folder",
                           "Put what it leads to in its place")
    try:
        found = msgspec.json.decode(read_bounded(path), type=dict[str, Any])
    except OSError as error:
        raise ProjectError(f"{folder} is not a Quantiscope project", error.strerror or str(error), NOT_OURS) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProjectError(f"{path} is damaged", str(error), _BACKUP) from None
    version = found.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise ProjectError(f"{path} is damaged", "it names no schema version", _BACKUP)
    if version > SCHEMA_VERSION:
        raise ProjectError(f"{folder} was written by a newer Quantiscope (schema {version})",
                           remedy=f"Update Quantiscope; this version reads up to {SCHEMA_VERSION}")
    return found


def _decoded(folder: Path, raw: dict[str, Any]) -> ProjectFile:
    path = folder / PROJECT_FILE
    try:
        file = msgspec.convert(raw, ProjectFile)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProjectError(f"{path} is damaged", str(error), _BACKUP) from None
    if "\0" in file.model.path + file.data:
        raise ProjectError(f"{path} is damaged", "it names a path that cannot be", _BACKUP)
    if file.model.copied and (Path(file.model.path).is_absolute() or ".." in Path(file.model.path).parts):
        raise ProjectError(f"{path} is damaged", "its model lies outside the project", _BACKUP)
    return file


# -- migration -------------------------------------------------------------------------------------------


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "schema_version": 2, "versions": {}}


#: schema version -> what makes a project.json of the next one of it
_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}


def _migrated(raw: dict[str, Any]) -> dict[str, Any]:
    while raw["schema_version"] < SCHEMA_VERSION:
        raw = _STEPS[raw["schema_version"]](raw)
    return raw


def migrate(folder: Path) -> int | None:
    """Bring an older project to this schema on disk; the version it had, or None where there was nothing to do.

    The old project.json stays beside the new one as project.json.schema<N>. project.json is written last, so that a
    migration that is interrupted is done again.

    Raises:
        ProjectError: as `read_project_file`.
        OSError: the folder cannot be written.
    """
    raw = _raw(folder)
    version = raw["schema_version"]
    if version == SCHEMA_VERSION:
        return None
    file = _decoded(folder, _migrated(raw))
    for candidate in (folder / "candidates").glob("[!.]*"):
        _hash_candidate(candidate, file)
    kept = folder / f"{PROJECT_FILE}.schema{version}"
    if not kept.exists():
        write_atomically(kept, read_bounded(folder / PROJECT_FILE))
    write_atomically(folder / PROJECT_FILE, encode(file))
    return int(version)


def _hash_candidate(folder: Path, file: ProjectFile) -> None:
    """Give a candidate of schema 1 its hashes; a damaged one is left as it is."""
    try:
        metrics = msgspec.json.decode(read_bounded(folder / METRICS), type=Metrics)
        hashes = {"model": file.model.sha256, "data": file.data_sha256, RECIPE: sha256_of(folder / RECIPE),
                  WEIGHTS: sha256_of(folder / WEIGHTS)}
    except UNREADABLE:
        return
    if metrics.schema_version == 1:
        write_atomically(folder / METRICS, encode(msgspec.structs.replace(metrics, schema_version=2, hashes=hashes)))


# -- folders ---------------------------------------------------------------------------------------------


def build_folder(folder: Path, model: Path | None, file: ProjectFile) -> None:
    """Make the folder under a temporary name, then rename it: it appears whole or not at all.

    Raises:
        ProjectError: it cannot be made.
    """
    temporary = folder.with_name(f"{TEMPORARY}{folder.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name in ("candidates", "exports"):
            (temporary / name).mkdir()
        if model is not None:
            (temporary / "model").mkdir()
            shutil.copyfile(model, temporary / file.model.path)
            sync(temporary / file.model.path)
        write_atomically(temporary / PROJECT_FILE, encode(file))
        temporary.rename(folder)
        sync(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise ProjectError(f"{folder} cannot be made", error.strerror or str(error),
                           "Choose a folder that can be written") from None


def digest(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def evaluation_files(metrics: Metrics) -> dict[str, bytes]:
    """metrics.json and roc.npz: the curves go into the npz, by class number."""
    curves = list(metrics.evaluation.roc)
    arrays: dict[str, np.ndarray] = {}
    for number, name in enumerate(curves):
        false_positive, true_positive = metrics.evaluation.roc[name]
        arrays[f"fpr_{number}"] = np.asarray(false_positive, dtype=np.float64)
        arrays[f"tpr_{number}"] = np.asarray(true_positive, dtype=np.float64)
    bare = msgspec.structs.replace(metrics.evaluation, roc={})
    return {METRICS: encode(msgspec.structs.replace(metrics, evaluation=bare, curves=curves)),
            CURVES: npz_bytes(arrays)}


def read_evaluation(folder: Path) -> Metrics:
    """What `evaluation_files` gave; raises one of UNREADABLE."""
    if folder.is_symlink():
        raise ValueError("it is a link to another place")
    metrics = msgspec.json.decode(read_bounded(folder / METRICS), type=Metrics)
    if metrics.schema_version > SCHEMA_VERSION:
        raise ValueError("it was written by a newer Quantiscope")
    curves = read_npz(read_bounded(folder / CURVES), MAX_CURVES)
    roc = {name: (_curve(curves[f"fpr_{number}"]), _curve(curves[f"tpr_{number}"]))
           for number, name in enumerate(metrics.curves)}
    evaluation = msgspec.structs.replace(metrics.evaluation, roc=roc)
    return msgspec.structs.replace(metrics, evaluation=evaluation)


def _curve(values: np.ndarray) -> list[float]:
    if values.ndim != 1 or values.dtype.kind != "f":
        raise ValueError("its curves are not rows of numbers")
    return [float(value) for value in values]


def outside_links(folder: Path, project: Path) -> Path | None:
    """A link below `folder` that leads out of the project, or None: what is written there would leave it."""
    inside = project.resolve()
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            return path
    return None
