"""The project folder `name.qscope`: atomic, versioned, resumable.

    project.json            schema version, model file + SHA-256, dataset reference + SHA-256, recipe, settings
    model/<file>            the model, when it was copied into the project
    float/                  metrics.json, roc.npz of the float model
    candidates/<id>/        recipe.json, weights.npz, metrics.json, roc.npz
    exports/<id>-<flow>/    what core.hls writes
    checkpoints/            trainings that were interrupted; gone when their candidate is stored
    study.sqlite3           Optuna's storage
    lock                    held by the process that may write

A candidate folder appears as a whole or not at all. Needs numpy and msgspec alone.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from core.candidate import Candidate, Evaluation
from core.errors import ProjectError
from core.files import (
    TEMPORARY,
    FolderLock,
    npz_bytes,
    read_bounded,
    replace_folder_atomically,
    restore_folders,
    sha256_of,
    write_atomically,
    write_folder_atomically,
)
from core.hls.report import ExportReport
from core.model_info import ModelInfo
from core.project_exports import REPORT, replacing
from core.project_files import (
    NOT_OURS,
    PROJECT_FILE,
    RECIPE,
    UNREADABLE,
    WEIGHTS,
    Metrics,
    ModelReference,
    ProjectFile,
    build_folder,
    digest,
    encode,
    evaluation_files,
    migrate,
    outside_links,
    read_evaluation,
    read_project_file,
)
from core.quant.recipe import Recipe
from core.versions import versions

SUFFIX = ".qscope"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Project:
    """An open project. Use `create` or `open`; close it (or leave its `with` block) to give the lock back.

    Attributes:
        folder: the project folder, absolute.
        read_only: True where another process has it open or the folder cannot be written.
        notes: one sentence for each thing that was found damaged and left out.
    """

    def __init__(self, folder: Path, lock: FolderLock, read_only: bool, holder: int | None = None) -> None:
        self.folder = folder
        self.read_only = read_only
        self.notes: list[str] = []
        self._opening: list[str] = []
        self._lock = lock
        self._holder = holder
        self._file = read_project_file(folder)
        self._info: ModelInfo | None = None
        self._candidates: dict[str, Candidate] = {}

    # -- opening -----------------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path | str, model: Path | str, data: Path | str, name: str | None = None,
               recipe: Recipe | None = None, copy_model: bool = True) -> Project:
        """Make a new project folder and open it; nothing is written unless the model can be read.

        Args:
            folder: where to make it; ".qscope" is appended when missing.
            model: the Keras model file; copied into the project unless `copy_model` is False.
            data: a dataset file, or the name of a bundled dataset.
            name: the shown name; the folder's by default.
            recipe: the recipe to begin with; every layer in float by default.

        Raises:
            ProjectError: the folder exists or cannot be written, or the dataset is missing.
            ModelFileError: the model cannot be read.
        """
        from core.model_io import inspect_model

        folder = Path(folder).absolute()
        if folder.suffix != SUFFIX:
            folder = folder.with_name(folder.name + SUFFIX)
        if folder.exists():
            raise ProjectError(f"{folder} exists already", remedy="Choose another name, or open it instead")
        model = Path(model).absolute()
        info = inspect_model(model)
        if recipe is not None:
            recipe.check(info)
        reference, data_hash = _data_reference(data)
        file = ProjectFile(
            name=name or folder.stem, created=now(), recipe=recipe or Recipe(name="float"),
            model=ModelReference(path=f"model/{model.name}" if copy_model else str(model),
                                 sha256=info.source_hash or sha256_of(model), copied=copy_model),
            data=reference, data_sha256=data_hash, versions=versions(),
        )
        build_folder(folder, model if copy_model else None, file)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str) -> Project:
        """Open a project; read-only where another process (not our parent) has it open.

        One of an older schema is migrated; where it cannot be written it is read as if it had been.

        Raises:
            ProjectError: no such project, damaged, or written by a newer version.
        """
        folder = Path(folder).absolute()
        if not folder.is_dir():
            raise ProjectError(f"there is no project folder {folder}", remedy=NOT_OURS)
        read_project_file(folder)  # refuse before a lock file is written into a foreign folder
        lock = FolderLock(folder)
        owned = lock.acquire()
        holder = None if owned else lock.holder()
        try:
            notes = _made_ready(folder) if owned else []
            project = cls(folder, lock, read_only=not owned and not lock.in_family(), holder=holder)
        except BaseException:
            lock.release()
            raise
        project._opening = project.notes = notes
        return project

    def close(self) -> None:
        """Give the lock back; the object stays readable."""
        self._lock.release()
        self.read_only = True

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it holds -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The shown name."""
        return self._file.name

    @property
    def model_path(self) -> Path:
        """The model file, absolute."""
        return self.folder / self._file.model.path

    @property
    def data_reference(self) -> str:
        """What `core.dataset.load_dataset` takes: a bundled dataset's name or an absolute path."""
        return self._file.data

    @property
    def recipe(self) -> Recipe:
        """The recipe being edited."""
        return self._file.recipe

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values the window keeps with the project; a copy."""
        return dict(self._file.settings)

    @property
    def info(self) -> ModelInfo:
        """The model's layers, read on first use; raises ModelFileError, or ProjectError when it changed."""
        if self._info is None:
            self.check_sources(data=False)
            from core.model_io import inspect_model

            self._info = inspect_model(self.model_path)
        return self._info

    @property
    def identity(self) -> str:
        """What tells this project from others, wherever it lies: a digest of its sources and when it was made."""
        return digest("\n".join((self._file.created, self._file.model.sha256, self._file.data_sha256)).encode())[:16]

    @property
    def study_url(self) -> str:
        """SQLAlchemy URL of the Optuna storage."""
        return f"sqlite:///{self.folder / 'study.sqlite3'}"

    def check_sources(self, data: bool = True) -> None:
        """Raise ProjectError when the model or the dataset is gone or is not what it was."""
        if not self.model_path.is_file():
            raise ProjectError(f"the model {self.model_path} of project {self.name!r} is gone",
                               remedy="Put the file back where it was")
        if sha256_of(self.model_path) != self._file.model.sha256:
            raise ProjectError(f"the model {self.model_path} changed since project {self.name!r} was made",
                               remedy="Put the old file back, or make a new project for the new one")
        if data and _data_reference(self.data_reference)[1] != self._file.data_sha256:
            raise ProjectError(f"the dataset {self.data_reference} changed since project {self.name!r} was made",
                               remedy="Put the old file back, or make a new project for the new one")

    # -- writing -----------------------------------------------------------------------------------

    def save_recipe(self, recipe: Recipe) -> None:
        """Store the recipe being edited; raises RecipeError when it does not fit the model."""
        recipe.check(self.info)
        self._save(msgspec.structs.replace(self._file, recipe=recipe))

    def save_settings(self, settings: dict[str, Any]) -> None:
        """Store plain values with the project."""
        self._save(msgspec.structs.replace(self._file, settings=dict(settings)))

    def require_writable(self) -> None:
        """Raise ProjectError where the project is read-only, before work is done that could not be stored."""
        if self.read_only:
            who = f"process {self._holder} has it open" if self._holder else "its folder cannot be written"
            raise ProjectError(f"project {self.name!r} is open for reading only", who,
                               "Close it there, or work on a copy of the folder")

    def _save(self, file: ProjectFile) -> None:
        with self._writing():
            write_atomically(self.folder / PROJECT_FILE, encode(file))
        self._file = file

    @contextlib.contextmanager
    def _writing(self) -> Any:
        """Turn every failure to write into one sentence; refuse when read-only."""
        self.require_writable()
        try:
            yield
        except OSError as error:
            raise ProjectError(f"project {self.name!r} could not be saved", error.strerror or str(error),
                               "What was stored before is untouched; mend that and try again") from error

    # -- the float model ---------------------------------------------------------------------------

    @property
    def float_evaluation(self) -> Evaluation | None:
        """How the float model does on the test events, once it was evaluated."""
        try:
            return read_evaluation(self.folder / "float").evaluation
        except UNREADABLE:
            return None

    def save_float_evaluation(self, evaluation: Evaluation) -> None:
        """Store how the float model does."""
        with self._writing():
            replace_folder_atomically(self.folder / "float",
                                      evaluation_files(Metrics(evaluation=evaluation, created=now())))

    # -- candidates --------------------------------------------------------------------------------

    def candidates(self) -> list[Candidate]:
        """Every finished candidate in the order of their ids; a damaged one is left out and noted."""
        found = []
        self.notes = [*self._opening]
        for folder in self._candidate_folders():
            try:
                found.append(self._read_candidate(folder))
            except UNREADABLE as error:
                self.notes.append(f"candidate {folder.name} is incomplete or damaged and was left out ({error}).")
        return found

    def candidate(self, candidate_id: str) -> Candidate:
        """One candidate; raises ProjectError when there is none of that id."""
        folder = self._candidate_folder(candidate_id)
        try:
            return self._read_candidate(folder)
        except UNREADABLE:
            known = ", ".join(path.name for path in self._candidate_folders()[:8])
            raise ProjectError(f"project {self.name!r} has no candidate {candidate_id!r}",
                               remedy=f"It has: {known}" if known else "Run a search or a training first") from None

    def _candidate_folders(self) -> list[Path]:
        """In the order of their ids, c9999 before c10000."""
        return sorted((self.folder / "candidates").glob("[!.]*"), key=lambda path: (len(path.name), path.name))

    def new_candidate_id(self) -> str:
        """The next free id: "c0001", "c0002" ..."""
        taken = [int(path.name[1:]) for path in (self.folder / "candidates").glob("c*")
                 if path.name[1:].isdecimal() and path.name.isascii() and len(path.name) < 12]
        return f"c{max(taken, default=0) + 1:04d}"

    def add_candidate(self, candidate: Candidate, weights: dict[str, np.ndarray]) -> Candidate:
        """Store a finished candidate durably: when this returns, a power cut cannot lose it.

        Returns:
            The candidate with the SHA-256 of the model and dataset it is of, and of its recipe and weights as stored.

        Raises:
            ProjectError: the id is taken or malformed, or the folder cannot be written.
        """
        folder = self._candidate_folder(candidate.id)
        files = {RECIPE: candidate.recipe.to_json(), WEIGHTS: npz_bytes(weights)}
        hashes = {"model": self._file.model.sha256, "data": self._file.data_sha256,
                  **{name: digest(data) for name, data in files.items()}}
        candidate = msgspec.structs.replace(candidate, hashes=hashes)
        metrics = Metrics(evaluation=candidate.evaluation, costs=candidate.costs, seconds=candidate.seconds,
                          created=candidate.created, method=candidate.method, seed=candidate.seed,
                          versions=candidate.versions, training=candidate.training, hashes=hashes)
        if folder.exists():
            raise ProjectError(f"project {self.name!r} already has a candidate {candidate.id!r}")
        with self._writing():
            write_folder_atomically(folder, {**files, **evaluation_files(metrics)})
        self._candidates[candidate.id] = candidate
        return candidate

    def weights_path(self, candidate_id: str) -> Path:
        """The weights.npz of a candidate, whether or not it exists."""
        return self._candidate_folder(candidate_id) / WEIGHTS

    def _candidate_folder(self, candidate_id: str) -> Path:
        if not _ID.fullmatch(candidate_id):
            raise ProjectError(f"{candidate_id!r} cannot be the id of a candidate",
                               remedy="Use letters, digits, '-', '_' and '.'")
        return self.folder / "candidates" / candidate_id

    def _read_candidate(self, folder: Path) -> Candidate:
        known = self._candidates.get(folder.name)
        if known is None:
            metrics = read_evaluation(folder)
            if metrics.costs is None or not (folder / WEIGHTS).is_file():
                raise ValueError("costs or weights are missing")
            known = Candidate(
                id=folder.name, recipe=Recipe.load(folder / RECIPE), evaluation=metrics.evaluation,
                costs=metrics.costs, seconds=metrics.seconds, created=metrics.created, method=metrics.method,
                seed=metrics.seed, versions=metrics.versions, training=metrics.training, hashes=metrics.hashes)
            self._candidates[folder.name] = known
        return known

    # -- exports -----------------------------------------------------------------------------------

    def export_directory(self, candidate_id: str, flow: str) -> Path:
        """The folder for one candidate's export by one flow; the caller makes it."""
        if not _ID.fullmatch(flow):
            raise ProjectError(f"{flow!r} cannot be the name of a flow")
        return self.folder / "exports" / f"{self._candidate_folder(candidate_id).name}-{flow}"

    @contextlib.contextmanager
    def exporting(self, candidate_id: str, flow: str) -> Iterator[tuple[Path, Path]]:
        """(`export_directory`, the folder of the finished export before) for a block that makes one.

        That one is not listed meanwhile, and comes back where the block leaves no report, also after a kill.

        Raises:
            ProjectError: read-only, or something in it is a link that leads out of the project.
        """
        directory = self.export_directory(candidate_id, flow)
        link = outside_links(directory, self.folder)
        if link is not None:
            raise ProjectError(f"{link} leads out of the project", remedy="Delete it, and export again")
        with self._writing(), replacing(directory) as former:
            yield directory, former

    def save_export(self, report: ExportReport) -> None:
        """Write an export's report.json into its directory."""
        with self._writing():
            directory = self.export_directory(report.candidate_id, report.flow)
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(directory / REPORT, encode(report))

    def exports(self) -> list[ExportReport]:
        """The report of each finished export, oldest first; unfinished ones are left out."""
        reports = []
        for path in sorted((self.folder / "exports").glob(f"[!.]*/{REPORT}")):
            with contextlib.suppress(*UNREADABLE):
                reports.append(msgspec.json.decode(read_bounded(path), type=ExportReport))
        return sorted(reports, key=lambda report: report.created)


def now() -> str:
    """The time in ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _made_ready(folder: Path) -> list[str]:
    """Put in order what a killed process left, and migrate an older schema; only the lock's holder may.

    Returns:
        A sentence for what could not be done.
    """
    parents = (folder, *(folder / name for name in ("candidates", "exports", "checkpoints")))
    try:
        for parent in parents:
            restore_folders(parent, REPORT if parent.name == "exports" else "")
        migrate(folder)
    except OSError as error:
        return [f"The project was not brought up to date ({error.strerror or error})."]
    finally:
        for path in (path for parent in parents for path in parent.glob(f"{TEMPORARY}*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
    return []


def _data_reference(data: Path | str) -> tuple[str, str]:
    """(reference, SHA-256): the name and hash of a bundled dataset, or the absolute path and hash of a file."""
    from core.dataset import FAMILY, bundled_path, fingerprint

    if str(data).startswith(FAMILY):
        return str(data), fingerprint(str(data))
    bundled = bundled_path(str(data))
    path = bundled or Path(data).absolute()
    try:
        return (str(data) if bundled else str(path)), sha256_of(path)
    except OSError as error:
        raise ProjectError(f"the dataset {data} cannot be read", error.strerror or str(error),
                           "Choose a dataset file that exists") from None

