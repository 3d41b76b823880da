"""For all tests: nothing is remembered in the user's folders, and the models that tests make cost no process each."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from core import guard


@pytest.fixture(autouse=True, scope="session")
def examined_here(tmp_path_factory):
    """HDF5 files that the tests made are read through in this process; programs they start do it as for a user."""
    apart = guard._sent

    def here(path: Path) -> str:
        with contextlib.suppress(Exception):
            guard.walk(path)
        return ""

    here.apart = apart
    guard._sent = here
    before = os.environ.get(guard.CACHE)
    os.environ[guard.CACHE] = str(tmp_path_factory.mktemp("examined"))
    yield
    guard._sent = apart
    if before is None:
        del os.environ[guard.CACHE]
    else:
        os.environ[guard.CACHE] = before
