"""What a search is asked to do: checked before it starts, kept in the project, extended while it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.jobs.job import JobState
from app.session import Session
from core.errors import QuantiscopeError, SearchError
from core.model_info import ModelInfo
from core.quant.recipe import Recipe
from core.quant.spec import parse
from core.requests import Search
from core.search.methods import METHODS
from core.search.objectives import BUILT, ESTIMATED, PRICED, Goal
from core.search.requested import space_of
from core.search.space import SPARSITY, UNITS, SearchSpace

#: name in the project's settings
KEPT = "search"
_RAISED = str.maketrans("0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
#: costs that a search can lower, dearest to know last
COSTS = {"energy_pj": "Energy (pJ)", "parameter_bits": "Parameter bits", "activation_bits": "Activation bits",
         "total_bits": "All bits", "ebops": "EBOPs", "lut": "LUT, hls4ml estimate", "dsp": "DSP, hls4ml estimate",
         "bram_18k": "BRAM, hls4ml estimate", "da_lut": "LUT, RTL estimate", "latency_ns": "Latency, RTL estimate (ns)"}
assert set(COSTS) == {*PRICED, *ESTIMATED, *BUILT}


@dataclass(frozen=True)
class Checked:
    """A form: why it cannot be used, empty where it can, and the space it describes."""

    problem: str = ""
    space: SearchSpace | None = None
    summary: str = ""


def check(fields: Mapping[str, Any], info: ModelInfo | None, recipe: Recipe) -> Checked:
    """Look at the fields of a Search without starting it; says what the worker would refuse."""
    method = METHODS[fields["method"]]
    if method.needs_budget and not fields.get("seconds") and not fields.get("trials"):
        return Checked("Limit the time or the number of candidates.")
    if info is None:
        return Checked()
    try:
        request = msgspec.convert({"project": "", **fields}, Search)
        Goal.of(request.objectives, request.constraints)
        if not method.proposes_recipes:
            return Checked(summary="Every width of a layer that is not frozen is trained.")
        space = space_of(info, recipe, request)
    except (QuantiscopeError, msgspec.ValidationError) as error:
        return Checked(sentence(error))
    if request.method == "staged" and space.varies(UNITS):
        return Checked("A staged search keeps the numbers of units: search by NSGA-II, or leave units out.")
    return Checked("", space, _summary(space, request))


def sentence(error: Exception) -> str:
    """An error as one line that begins with a capital."""
    text = str(error)
    return text[:1].upper() + text[1:]


def _summary(space: SearchSpace, request: Search) -> str:
    layers = len({choice.layer for choice in space.choices})
    text = f"{_size(space.size)} recipes: {len(space.choices)} choices in {layers} layers"
    groups = f"{len(request.groups)} group{'s' if len(request.groups) > 1 else ''}"
    extra = [name for name, there in (("AutoQKeras's settings", bool(request.quantization_config or request.limit)),
                                      (groups, bool(request.groups)),
                                      ("units", space.varies(UNITS)), ("zeros", space.varies(SPARSITY))) if there]
    return f"{text}; with {', '.join(extra)}" if extra else text


def _size(number: int) -> str:
    """A count, from a million on as a power of ten."""
    if number < 1_000_000:
        return f"{number:,}".replace(",", "\u2009")
    power = len(str(number)) - 1
    return f"{number / 10**power:.1f} \u00b7 10" + str(power).translate(_RAISED)


def numbers_of(text: str, what: str) -> list[float]:
    """Numbers parted by blanks, commas or semicolons; raises SearchError."""
    try:
        return [float(part) for part in re.split(r"[\s,;]+", text.strip()) if part]
    except ValueError:
        raise SearchError(f"the {what} {text.strip()!r} are not numbers",
                          remedy="Write, for example, 0.5, 1, 2") from None


def texts_of(text: str) -> list[str]:
    """Terms parted by blanks, commas or semicolons outside brackets."""
    parts, depth, current = [], 0, ""
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and letter in " ,;\n\t":
            parts.append(current)
            current = ""
        else:
            current += letter
    return [part for part in (*parts, current) if part]


def quantizers_of(text: str) -> list[str]:
    """Quantizer strings parted by blanks, as written; raises QuantizerError for one that is none."""
    found = texts_of(text)
    for one in found:
        parse(one)
    return found


def kept_fields(session: Session) -> dict[str, Any]:
    """The fields that the open project was searched by last; none, where they cannot be read any more."""
    found = session.project.settings.get(KEPT) if session.project is not None else None
    try:
        return msgspec.to_builtins(msgspec.convert({"project": "", **found}, Search)) if found else {}
    except (msgspec.ValidationError, TypeError):
        return {}


class SearchForm(QObject):
    """Keeps the form's fields in the project, and what is to follow the search that runs.

    Signals:
        extended(): a further budget was added, or is no longer waited for.
    """

    extended = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("search_form")
        self._session = session
        self._waiting: list[dict[str, Any]] = []
        self._next = QTimer(self, objectName="search_next", singleShot=True, interval=0)
        self._next.timeout.connect(self._on_next)
        session.searchStateChanged.connect(self._on_state)
        session.projectChanged.connect(self._forget)

    def kept(self) -> dict[str, Any]:
        """The fields that this project was searched by last."""
        return kept_fields(self._session)

    def start(self, fields: dict[str, Any]) -> bool:
        """Start or continue the search, and keep its fields in the project."""
        project = self._session.project
        if project is not None and not project.read_only:
            try:
                project.save_settings({**project.settings, KEPT: fields})
            except QuantiscopeError as error:
                self._session.errorRaised.emit(error)
        return self._session.start_search(**fields)

    def extend(self, fields: dict[str, Any]) -> None:
        """Search on by as much again once the search that runs has ended by itself."""
        if self._session.search_state in ("running", "paused"):
            self._waiting.append(dict(fields))
            self.extended.emit()

    @property
    def waiting(self) -> int:
        """How many times the search goes on."""
        return len(self._waiting)

    def _on_state(self, state: str) -> None:
        job = self._session.search_job
        if state != "idle" or not self._waiting:
            return
        if job is not None and job.state is JobState.FINISHED:
            self._next.start()  # the session is still telling everyone that the job has ended
        else:
            self._forget()

    def _on_next(self) -> None:
        if self._waiting and self._session.search_state == "idle":
            fields = self._waiting.pop(0)
            self._session.start_search(**fields)
            self.extended.emit()

    def _forget(self) -> None:
        self._waiting.clear()
        self.extended.emit()
