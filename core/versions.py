"""Versions of what a result was made with."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

import core

PACKAGES = ("numpy", "keras", "tensorflow", "tensorflow-cpu", "optuna", "hls4ml", "alkaid")


@cache
def versions() -> dict[str, str]:
    """Name -> version of Quantiscope, Python and the packages that make numbers; missing ones are left out."""
    found = {"quantiscope": core.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
