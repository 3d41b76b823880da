"""Environments of the libraries we compare with: made once with the machine's Python, outside the project's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import platformdirs

#: the originals, in the versions the references were made with; qkeras asks for "pyparser" where it needs pyparsing
REQUIREMENTS = {
    "qkeras": ("qkeras==0.9.0", "tensorflow==2.14.1", "pyparsing==3.0.9", "numpy<2", "keras-tuner==1.4.8",
               "tensorflow-model-optimization<0.8.1", "setuptools<81"),
    "qkeras-v3": ("qkeras-v3==1.2.1", "keras>=3.15,<3.16", "tensorflow-cpu>=2.21,<2.22"),
    "hgq2": ("hgq2==0.2.0", "keras>=3.15,<3.16", "tensorflow-cpu>=2.21,<2.22"),
}


def _folder(name: str) -> Path:
    mark = hashlib.sha256(repr((REQUIREMENTS[name], sys.version_info[:2])).encode()).hexdigest()[:10]
    return platformdirs.user_cache_path("quantiscope") / "benchmarks" / f"{name}-{mark}"


def existing(name: str) -> Path | None:
    """The Python of the environment `name` where it has been made, else None."""
    folder = _folder(name)
    return folder / "bin" / "python" if (folder / "done").exists() else None


def environment(name: str) -> Path:
    """The Python of the environment `name` of REQUIREMENTS, made now if it is not there; says so on stderr."""
    wanted, folder = REQUIREMENTS[name], _folder(name)
    python = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        print(f"making the environment of {name} in {folder} (a few minutes)", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True, stderr=subprocess.DEVNULL)
        done.touch()
    return python


def run_side(python: Path | str, program: str, arguments: tuple[str, ...] = (),
             variables: Mapping[str, str] | None = None) -> str:
    """What a program prints on stdout, run by this Python; its last lines of stderr are shown where it fails."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run([str(python), "-c", program, *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, **quiet, **(variables or {})})
    if done.returncode:
        raise SystemExit(f"{python} failed:\n{done.stderr[-2000:]}")
    return done.stdout
