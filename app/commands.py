"""Undoable edits of the recipe. Each keeps the recipe before and after: both are immutable and small."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtGui import QUndoCommand

from core.quant.recipe import Recipe


class ChangeRecipe(QUndoCommand):
    """Replace one recipe by another.

    Args:
        take: makes a recipe the one in force.
        text: what the edit is called in the Edit menu.
    """

    def __init__(self, take: Callable[[Recipe], None], old: Recipe, new: Recipe, text: str) -> None:
        super().__init__(text)
        self._take = take
        self._old = old
        self._new = new

    def redo(self) -> None:
        """Do the edit, for the first time or again."""
        self._take(self._new)

    def undo(self) -> None:
        """Take the edit back."""
        self._take(self._old)


class SetQuantizers(ChangeRecipe):
    """Change some quantizers; keys are (layer, parameter), None is float."""

    def __init__(self, take: Callable[[Recipe], None], old: Recipe, new: Recipe,
                 changes: Mapping[tuple[str, str], str | None]) -> None:
        if len(changes) == 1:
            ((layer, parameter), text), = changes.items()
            name = f"set {parameter} of {layer} to {text or 'float'}"
        else:
            name = f"set {len(changes)} quantizers"
        super().__init__(take, old, new, name)


class ApplyCandidate(ChangeRecipe):
    """Take over the recipe of a candidate."""

    def __init__(self, take: Callable[[Recipe], None], old: Recipe, new: Recipe, candidate_id: str) -> None:
        super().__init__(take, old, new, f"apply candidate {candidate_id}")


class ApplyPreset(ChangeRecipe):
    """Take over a preset."""

    def __init__(self, take: Callable[[Recipe], None], old: Recipe, new: Recipe) -> None:
        super().__init__(take, old, new, f"apply preset {new.name}")
