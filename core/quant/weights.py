"""Weights of a model as plain arrays, to and from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from core.errors import ModelFileError
from core.files import npz_bytes, write_atomically
from core.npz import read_npz


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """All weights by "<layer>/<variable>", as `save_weights` stores them."""
    return {f"{layer.name}/{variable.path.split('/', 1)[-1]}": keras.ops.convert_to_numpy(variable)
            for layer in model.layers for variable in layer.weights}


def save_weights(model: keras.Model, path: Path) -> None:
    """Write all weights as npz, atomically."""
    write_atomically(Path(path), npz_bytes(weights_of(model)))


def load_weights(model: keras.Model, path: Path) -> None:
    """Read weights that `save_weights` wrote; raises ModelFileError unless every name and shape fits."""
    try:
        stored = read_npz(Path(path))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"the weights {path} cannot be read", str(error), "Train the candidate again") from None
    set_weights(model, stored, str(path))


def set_weights(model: keras.Model, stored: Mapping[str, np.ndarray], where: str = "the weights") -> None:
    """Give a model the weights of `weights_of`; raises ModelFileError unless every name and shape fits."""
    wanted = {f"{layer.name}/{variable.path.split('/', 1)[-1]}": variable
              for layer in model.layers for variable in layer.weights}
    wrong = next((n for n, v in wanted.items() if n not in stored or stored[n].shape != tuple(v.shape)), None)
    if wrong is not None:
        raise ModelFileError(f"{where} do not fit the model", f"{wrong} is missing or of another shape",
                             "Choose the weights of a candidate of this model")
    for name, variable in wanted.items():
        variable.assign(stored[name])
