"""The filter over candidates: a line such as "accuracy>=74 energy<2000 method=staged ternary front"."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.models.measures import MEASURES, Known
from core.candidate import Candidate
from core.errors import SearchError

#: words for measures, beside the measures' own keys; compared in the shown unit
WORDS = {"acc": "accuracy", "auc": "mean_auc", "energy": "energy_pj", "bits": "parameter_bits"}
TEXTS: dict[str, Callable[[Candidate], str]] = {
    "id": lambda c: c.id, "method": lambda c: c.method, "kind": lambda c: c.evaluation.kind}
NUMBERS: dict[str, Callable[[Candidate], float | None]] = {
    "time": lambda c: c.seconds, "epochs": lambda c: c.training.get("epochs"), "seed": lambda c: c.seed}
MARKS = ("front", "compared")
EXAMPLE = "accuracy>=74 energy<2000 method=staged ternary front"
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, ">": operator.gt, "<": operator.lt, "=": operator.eq}
_SIGN = re.compile(r"(>=|<=|!=|=|<|>)")
_SPACED = re.compile(r"\s*(>=|<=|!=|==|=|<|>)\s*")

Test = Callable[[Candidate, Known, Mapping[str, bool]], bool]


@dataclass(frozen=True)
class CandidateFilter:
    """All tests of one line; an empty one takes every candidate."""

    tests: tuple[Test, ...] = ()

    def takes(self, candidate: Candidate, known: Known, marks: Mapping[str, bool]) -> bool:
        """True where every test holds; `marks` says of "front" and "compared" whether the candidate is."""
        return all(test(candidate, known, marks) for test in self.tests)


def parse_filter(line: str) -> CandidateFilter:
    """Read a line; terms are parted by blanks or commas and must all hold.

    Raises:
        SearchError: a term names no measure, or compares with what is no number.
    """
    spaced = _SPACED.sub(lambda found: "=" if found[1] == "==" else found[1], line)
    return CandidateFilter(tuple(_test(term) for term in re.split(r"[\s,]+(?![^(]*\))", spaced.strip()) if term))


def _test(term: str) -> Test:
    parts = _SIGN.split(term, maxsplit=1)
    # "quantized_bits(4,0,alpha=1)" holds a sign but compares nothing
    if len(parts) == 1 or "(" in parts[0]:
        return _word(term)
    name, sign, wanted = parts[0].lower(), parts[1], parts[2]
    if name in TEXTS:
        return _text_test(name, sign, wanted)
    key = WORDS.get(name, name)
    if key not in MEASURES and key not in NUMBERS:
        raise SearchError(f"{name!r} cannot be filtered by",
                          remedy=f"Use {', '.join([*WORDS, *TEXTS, *NUMBERS])} or a cost; for example {EXAMPLE}")
    try:
        bound = float(wanted)
    except ValueError:
        raise SearchError(f"{wanted!r} in {term!r} is not a number", remedy=f"Write, for example, {EXAMPLE}") from None
    compare = _OPERATORS[sign]

    def test(candidate: Candidate, known: Known, marks: Mapping[str, bool]) -> bool:
        value = MEASURES[key].shown(known) if key in MEASURES else NUMBERS[key](candidate)
        return value is not None and compare(value, bound)

    return test


def _text_test(name: str, sign: str, wanted: str) -> Test:
    if sign not in ("=", "!="):
        raise SearchError(f"{name!r} is compared by = or !=", remedy=f"Write {name}={wanted}")
    return lambda candidate, known, marks: (TEXTS[name](candidate).lower() == wanted.lower()) is (sign == "=")


def _word(word: str) -> Test:
    """A mark, or a text that the id, the method, the kind or a quantizer holds."""
    lower = word.lower()
    if lower in MARKS:
        return lambda candidate, known, marks: marks[lower]

    def test(candidate: Candidate, known: Known, marks: Mapping[str, bool]) -> bool:
        if any(lower in take(candidate).lower() for take in TEXTS.values()):
            return True
        return any(lower in text.lower() for entry in candidate.recipe.layers.values()
                   for text in entry.quantizers.values())

    return test
