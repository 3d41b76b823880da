"""The space of a search as the form has it, and what the step from one to another is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from app.commands import Change

NAMES = {"kernel": "kernels", "bias": "biases", "output": "activations"}


class SpaceState(NamedTuple):
    """Plain values: ticked quantizers by parameter type, frozen layers, groups, numbers as typed, dictionaries."""

    options: dict[str, tuple[str, ...]]
    frozen: tuple[str, ...]
    groups: tuple[tuple[str, str, str], ...]
    units: str
    shared: str
    zeros: str
    config: dict[str, Any]
    limit: dict[str, Any]


class ChangeSpace(Change[SpaceState]):
    """Another search space; `take` shows one in the form. What was edited by hand is there already when it is pushed.

    Edits in a row with the same, not empty, `step` are one: a line being typed.
    """

    kind = 2

    def __init__(self, take: Callable[[SpaceState], None], old: SpaceState, new: SpaceState) -> None:
        super().__init__(take, old, new, *step_of(old, new))
        self._pushed = False

    def redo(self) -> None:
        """Show the new one again."""
        if self._pushed:
            super().redo()
        self._pushed = True


def step_of(old: SpaceState, new: SpaceState) -> tuple[str, str]:
    """What the edit is called, and a key: edits in a row with the same, not empty, key are one."""
    changed = [name for name in old._fields if getattr(old, name) != getattr(new, name)]
    if set(changed) & {"config", "limit"}:
        return ("search by AutoQKeras's settings" if new.config or new.limit else "search by the lists"), ""
    if changed == ["options"]:
        return _options(old.options, new.options), ""
    if changed == ["frozen"]:
        return _frozen(old.frozen, new.frozen), ""
    if changed == ["groups"]:
        return _groups(old.groups, new.groups), ""
    for name, text in (("units", "units multipliers"), ("zeros", "shares of zeros")):
        if changed == [name]:
            return f"set {text} to {getattr(new, name).strip() or 'none'}", name
    if changed == ["shared"]:
        return "change how units are chosen", ""
    return "change the search space", ""


def _options(old: dict[str, tuple[str, ...]], new: dict[str, tuple[str, ...]]) -> str:
    edits = [(parameter, text, text in new.get(parameter, ())) for parameter in new
             for text in set(old.get(parameter, ())) ^ set(new.get(parameter, ()))]
    if len(edits) != 1:
        return "change what quantizers may be taken"
    (parameter, text, allowed), = edits
    name = NAMES.get(parameter, parameter)
    return f"allow {text} for {name}" if allowed else f"leave {text} out for {name}"


def _frozen(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    added, gone = set(new) - set(old), set(old) - set(new)
    if len(added) + len(gone) != 1:
        return "change which layers are frozen"
    return f"freeze {added.pop()}" if added else f"free {gone.pop()}"


def _groups(old: tuple[tuple[str, str, str], ...], new: tuple[tuple[str, str, str], ...]) -> str:
    if len(new) > len(old):
        return f"add group {new[-1][0]}".rstrip()
    if len(new) < len(old):
        gone = next((line for line, other in zip(old, (*new, None), strict=False) if line != other), old[-1])
        return f"remove group {gone[0]}".rstrip()
    line = next(line for line, other in zip(new, old, strict=True) if line != other)
    return f"change group {line[0]}".rstrip()
