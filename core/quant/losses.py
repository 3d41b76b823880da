"""The loss that a model was compiled with, as one value an event; read without running any code of the file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import tensorflow as tf

from core.errors import TrainingError
from core.model_files import open_model

#: (targets, outputs) -> one value an event
Loss = Callable[[Any, Any], Any]
_REMEDY = "Train with the loss of the dataset's task, or compile the model with a loss of Keras and save it again"


def loss_of(loss: Any) -> Loss:
    """A Keras loss (name, function, Loss object, or its configuration) as one value an event.

    Class numbers become rows of 0 and 1 for a loss that compares with all outputs ("categorical_crossentropy").

    Raises:
        TrainingError: Keras has no such loss.
    """
    try:
        found = keras.losses.get(loss)
    except (ValueError, TypeError, KeyError, AttributeError, ImportError):
        found = None
    if not callable(found):
        raise TrainingError(f"the loss {_name(loss)!r} is not one of Keras", remedy=_REMEDY)
    function = found.call if isinstance(found, keras.Loss) else found
    sparse = "sparse" in _name(found).lower()

    def per_event(targets: Any, outputs: Any) -> Any:
        values = function(targets if sparse else _shaped(targets, outputs), outputs)
        axes = list(range(1, len(values.shape)))
        return tf.reduce_mean(values, axis=axes) if axes else values

    return per_event


def _shaped(targets: Any, outputs: Any) -> Any:
    if len(targets.shape) != len(outputs.shape) - 1:
        return targets
    if outputs.shape[-1] == 1:
        return tf.cast(targets, outputs.dtype)[..., None]
    return tf.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype) if targets.dtype.is_integer else targets


def compiled_loss(model: keras.Model | Path | str) -> Loss:
    """The loss that a model, or the model in a file, was compiled with.

    Raises:
        TrainingError: it was not compiled, has more than one loss, or one that Keras does not know.
        ModelFileError: the file cannot be read.
    """
    loss = getattr(model, "loss", None) if isinstance(model, keras.Model) else _stored(Path(model))
    if isinstance(loss, dict) and "class_name" not in loss and len(loss) == 1:
        loss = next(iter(loss.values()))
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        loss = loss[0]
    if loss is None or isinstance(loss, (list, tuple)) or (isinstance(loss, dict) and "class_name" not in loss):
        what = "was not compiled with a loss" if loss is None else "has several losses"
        raise TrainingError(f"the model {what}", remedy=_REMEDY)
    if isinstance(loss, dict) and loss.get("module") not in (None, "keras.losses", "builtins"):
        raise TrainingError(f"the loss {_name(loss)!r} is not one of Keras", remedy=_REMEDY)
    return loss_of(loss)


def _name(loss: Any) -> str:
    if isinstance(loss, dict):
        return str(loss.get("registered_name") or loss.get("class_name"))
    return str(loss) if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)


def _stored(path: Path) -> Any:
    """What a file's description says of the loss; None where it says nothing."""
    stored = open_model(path, weights=False)
    if zipfile.is_zipfile(path):
        described = stored.config.get("compile_config") or {}
    else:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("training_config", "{}")
        described = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    loss = described.get("loss") if isinstance(described, dict) else None
    if isinstance(loss, dict) and loss.get("class_name") == "function":  # Keras 3 writes plain functions so
        return loss.get("config")
    if isinstance(loss, dict) and loss.get("class_name") == "Huber" and "delta" not in loss.get("config", {}):
        raise TrainingError(f"{path.name} does not say the delta of its Huber loss", "Keras 3.15 does not store it",
                            "Train with the loss of the dataset's task")
    return loss
