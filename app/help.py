"""The user's manual inside the program: docs/window.md, section by section."""

from __future__ import annotations

from pathlib import Path

import resources

_CHECKOUT = Path(__file__).resolve().parent.parent / "docs"


def folder() -> Path | None:
    """Where the documentation lies: in a checkout, or beside the other files of an installed program."""
    if (_CHECKOUT / "window.md").exists():
        return _CHECKOUT
    try:
        return resources.path("docs")
    except FileNotFoundError:
        return None


def manual() -> str:
    """The manual's markdown; one sentence that says where to find it when it was not installed."""
    found = folder()
    if found is None:
        return "# Help\n\nThe manual is not part of this installation; it is docs/window.md of the source."
    return (found / "window.md").read_text(encoding="utf-8")


def sections(text: str) -> list[str]:
    """Titles of second-level sections, in order."""
    return [line[3:].strip() for line in text.splitlines() if line.startswith("## ")]
