"""Undoable edits of the recipe. Each keeps the recipe before and after: both are immutable and small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from PySide6.QtGui import QUndoCommand

from core.quant.edits import NUMBERS, SPARSITY, UNITS, Key, Origins
from core.quant.recipe import Recipe

S = TypeVar("S")


class Change(QUndoCommand, Generic[S]):
    """Replace one state by another.

    Args:
        take: makes a state the one in force.
        text: what the edit is called in the Edit menu.
        step: edits that follow each other with the same, not empty, step are one: a spin box being turned.
    """

    #: tells these commands from others that Qt may merge
    kind = 0

    def __init__(self, take: Callable[[S], None], old: S, new: S, text: str, step: str = "") -> None:
        super().__init__(text)
        self._take = take
        self._old = old
        self._new = new
        self._step = step

    def redo(self) -> None:
        """Do the edit, for the first time or again."""
        self._take(self._new)

    def undo(self) -> None:
        """Take the edit back."""
        self._take(self._old)

    def id(self) -> int:
        """Qt asks for a merge where two commands in a row have the same."""
        return self.kind if self._step else -1

    def same(self) -> bool:
        """True where the edit changes nothing."""
        return self._new == self._old

    def mergeWith(self, other: QUndoCommand) -> bool:
        """Take in the next edit of the same step; both together may change nothing."""
        if not isinstance(other, Change) or other.kind != self.kind or other._step != self._step:
            return False
        self._new = other._new
        self.setText(other.text())
        self.setObsolete(self.same())
        return True


class State(NamedTuple):
    """A recipe with where its cells came from."""

    recipe: Recipe
    origins: Origins


Take = Callable[[State], None]


class ChangeRecipe(Change[State]):
    """Replace one recipe by another."""

    kind = 1

    def same(self) -> bool:
        """True where the recipe is the same, wherever its cells came from."""
        return self._new.recipe == self._old.recipe


class SetCells(ChangeRecipe):
    """Change some cells; keys are (layer, parameter), None is float or a number's default."""

    def __init__(self, take: Take, old: State, new: State, changes: Mapping[Key, str | None], verb: str = "set",
                 step: str = "") -> None:
        super().__init__(take, old, new, _name(changes, verb), step)


class ApplyCandidate(ChangeRecipe):
    """Take over the recipe of a candidate."""

    def __init__(self, take: Take, old: State, new: State, candidate_id: str) -> None:
        super().__init__(take, old, new, f"apply candidate {candidate_id}")


class ApplyPreset(ChangeRecipe):
    """Take over a preset."""

    def __init__(self, take: Take, old: State, new: State) -> None:
        super().__init__(take, old, new, f"apply preset {new.recipe.name}")


def _name(changes: Mapping[Key, str | None], verb: str) -> str:
    if len(changes) == 1:
        ((layer, parameter), text), = changes.items()
        nothing = {UNITS: "1", SPARSITY: "0"}.get(parameter, "float")
        return f"set {parameter.replace('_', ' ')} of {layer} to {text or nothing}"
    plain = verb == "set" and not any(parameter in NUMBERS for _, parameter in changes)
    return f"{verb} {len(changes)} {'quantizers' if plain else 'cells'}"
