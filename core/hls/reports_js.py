"""Reads the literals that Intel's HLS compiler assigns to variables in its report scripts; runs nothing."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

_TOKEN = re.compile(r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<number>-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)
  | (?P<name>[A-Za-z_$][\w$]*)
  | (?P<mark>[{}\[\]:,+;=]))""", re.VERBOSE | re.DOTALL)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "undefined": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_DEEPEST = 100


class ScriptError(ValueError):
    """The text is not a literal."""


def variables(text: str, wanted: Collection[str]) -> dict[str, Any]:
    """The values of `var NAME = literal` for the wanted names; raises ScriptError for one that is cut."""
    found = {}
    for match in re.finditer(r"\bvar\s+([A-Za-z_$][\w$]*)\s*=", text):
        if match.group(1) in wanted:
            found[match.group(1)] = _Reader(text, match.end()).value(0)
    return found


class _Reader:
    """One literal, from a place in a text on."""

    def __init__(self, text: str, start: int) -> None:
        self._text, self._at = text, start

    def value(self, depth: int) -> Any:
        """A literal, or strings and numbers joined by plus."""
        found = self._single(depth)
        while self._peek() == "+":
            self._next()
            other = self._single(depth)
            if not isinstance(found, (str, int, float)) or not isinstance(other, type(found)):
                raise ScriptError("a sum of unlike things")
            found = found + other  # type: ignore[operator]
        return found

    def _single(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ScriptError("it is nested too deeply")
        kind, token = self._next()
        if kind == "string":
            return _unquoted(token)
        if kind == "number":
            return float(token) if re.search(r"[.eE]", token) else int(token)
        if kind == "name":
            return _WORDS.get(token, token)
        if token == "{":
            return dict(self._items("}", lambda: self._pair(depth)))
        if token == "[":
            return self._items("]", lambda: self.value(depth + 1))
        raise ScriptError(f"{token!r} at character {self._at}")

    def _pair(self, depth: int) -> tuple[str, Any]:
        kind, token = self._next()
        key = _unquoted(token) if kind == "string" else token
        if self._next()[1] != ":":
            raise ScriptError(f"a key without a value at character {self._at}")
        return key, self.value(depth + 1)

    def _items(self, end: str, one: Any) -> list[Any]:
        found = []
        while self._peek() != end:
            found.append(one())
            if self._peek() == ",":
                self._next()
            elif self._peek() != end:
                raise ScriptError(f"no {end!r} at character {self._at}")
        self._next()
        return found

    def _peek(self) -> str:
        at = self._at
        try:
            return self._next()[1]
        finally:
            self._at = at

    def _next(self) -> tuple[str, str]:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.lastgroup is None:
            raise ScriptError("it ends early" if not self._text[self._at:].strip() else f"character {self._at}")
        self._at = match.end()
        return match.lastgroup, match.group(match.lastgroup)


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), token[1:-1], flags=re.DOTALL)
