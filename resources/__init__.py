"""Files that ship with Quantiscope: jet data, a trained model, published networks."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """The file or folder of that name below `resources/`, for example "models/jet_tagger.keras".

    Raises:
        FileNotFoundError: nothing of that name ships with this version.
    """
    found = (_ROOT / name).resolve()
    if not found.is_relative_to(_ROOT) or not found.exists():
        raise FileNotFoundError(f"no bundled file named {name!r}")
    return found
