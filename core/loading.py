"""Models and datasets kept in memory between jobs, and TensorFlow brought in quietly on first use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.dataset import Dataset, bundled_path, load_dataset
from core.dataset_fit import arranged
from core.model_files import open_model
from core.model_io import inspect_model
from core.quant.qkeras_names import is_hgq, is_qkeras, recipe_of
from core.quant.recipe import Recipe

if TYPE_CHECKING:
    import keras

#: loaded things by the file they came from and its state; a few of each, oldest dropped
_models: dict[tuple[str, int, int], keras.Model] = {}
_datasets: dict[tuple[str, int, int], Dataset] = {}
_KEPT = 3


def _state(path: Path) -> tuple[str, int, int]:
    """A key that changes when the file does."""
    try:
        stat = path.stat()
    except OSError:
        return str(path), 0, 0  # the loader will say what is wrong
    return str(path.absolute()), stat.st_mtime_ns, stat.st_size


def _kept(cache: dict[Any, Any], key: Any, load: Callable[[], Any]) -> Any:
    if key not in cache:
        value = load()
        while len(cache) >= _KEPT:
            del cache[next(iter(cache))]
        cache[key] = value
    return cache[key]


def dataset_of(reference: str, model: str | Path = "") -> Dataset:
    """The dataset, from memory when its file did not change, with its arrays in the order of a model's file.

    Raises:
        DatasetError: it cannot be read, or its arrays are not those of the model.
        ModelFileError: the model cannot be read.
    """
    found = _kept(_datasets, _state(bundled_path(reference) or Path(reference)), lambda: load_dataset(reference))
    return arranged(found, inspect_model(model)) if model and found.several else found


def bring_in_tensorflow() -> None:
    """Import TensorFlow without the lines its C++ writes to stderr at the time; errors come as exceptions anyway."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def model_of(path: str | Path) -> keras.Model:
    """The float model, from memory when its file did not change; raises ModelFileError. Imports TensorFlow."""
    bring_in_tensorflow()
    return _kept(_models, _state(Path(path)), lambda: _loaded(Path(path)))


def _loaded(path: Path) -> keras.Model:
    from core.model_io import load_model

    stored = open_model(path, weights=False)
    if is_hgq(stored.config):
        from core.quant.hgq_io import read_hgq

        return read_hgq(path)
    if is_qkeras(stored.config):
        from core.quant.qkeras_io import read_split

        return read_split(open_model(path), path.name)[0]
    import core.quant.layers  # noqa: F401  registers what a file of ours may hold
    from core.quant.feeding import by_place

    return by_place(load_model(path))


def stored_recipe(path: Path | str) -> Recipe | None:
    """The quantizers of a model file of QKeras, None for any other file. Needs no TensorFlow; raises ModelFileError."""
    stored = open_model(Path(path), weights=False)
    return recipe_of(stored.config, Path(path).stem) if is_qkeras(stored.config) else None
