"""What a search is asked to do: checked before it starts, kept in the project, extended while it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal

from app.session import Session
from core.cluster_options import ClusterOptions
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
    """Keeps the form's fields in the project, and adds to the budget of the search.

    Signals:
        extended(): a further budget was added, or a search that had some is over.
    """

    extended = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("search_form")
        self._session = session
        #: where searches run, if not on this machine
        self.cluster = ClusterOptions()
        #: how many times the search that runs was given as much again
        self.added = 0
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
        return self._session.start_search(**fields, cluster=self.cluster)

    @property
    def extendable(self) -> bool:
        """Whether there is a search, running or over, with a budget that can be added to."""
        session, job = self._session, self._session.search_job
        if session.search_state in ("running", "paused") and job is not None:
            return bool(job.request.trials or job.request.seconds)
        return session.search_state == "idle" and bool(session.candidates) and bool(self.kept())

    def extend(self) -> None:
        """Give the search that runs as much again as it was started with; one that is over goes on with as much."""
        if not self.extendable:
            return
        job = self._session.search_job
        if self._session.search_state == "idle" or job is None:
            last = msgspec.convert(self.kept(), Search)
            self._session.start_search(**{name: getattr(last, name) for name in last.__struct_fields__
                                          if name not in ("project", "cluster")}, cluster=self.cluster)
            return
        job.grant(job.request.trials or 0, job.request.seconds or 0.0)
        self.added += 1
        self.extended.emit()

    def _on_state(self, state: str) -> None:
        if state == "idle":
            self._forget()

    def _forget(self) -> None:
        self.added = 0
        self.extended.emit()
