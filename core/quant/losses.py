"""The loss that a model was compiled with, as one value an event; read without running any code of the file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import tensorflow as tf

from core.errors import TrainingError
from core.model_files import open_model
from core.model_io import inspect_model
from core.quant.feeding import apart, output_names

#: (targets, outputs) -> one value an event
Loss = Callable[[Any, Any], Any]
_REMEDY = "Train with the loss of the dataset's task, or compile the model with a loss of Keras and save it again"


def loss_of(loss: Any) -> Loss:
    """A Keras loss (name, function, Loss object, or its configuration) as one value an event.

    Of several outputs it is the sum of each one's loss.
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
        if isinstance(outputs, (list, tuple)):
            return _summed([per_event] * len(outputs), [1.0] * len(outputs))(targets, outputs)
        values = function(targets if sparse else _shaped(targets, outputs), outputs)
        axes = list(range(1, len(values.shape)))
        return tf.reduce_mean(values, axis=axes) if axes else values

    return per_event


def _summed(losses: Sequence[Loss | None], weights: Sequence[float]) -> Loss:
    """The weighted sum of the losses of several outputs; None is an output without one."""
    def per_event(targets: Any, outputs: Any) -> Any:
        return tf.add_n([weight * loss(target, output) for loss, weight, target, output in
                         zip(losses, weights, apart(targets), apart(outputs), strict=True) if loss is not None])

    return per_event


def _shaped(targets: Any, outputs: Any) -> Any:
    if len(targets.shape) != len(outputs.shape) - 1:
        return targets
    if outputs.shape[-1] == 1:
        return tf.cast(targets, outputs.dtype)[..., None]
    return tf.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype) if targets.dtype.is_integer else targets


def compiled_loss(model: keras.Model | Path | str) -> Loss:
    """The loss that a model, or the model in a file, was compiled with; of several outputs their weighted sum.

    Raises:
        TrainingError: it was not compiled, or with a loss that Keras does not know.
        ModelFileError: the file cannot be read.
    """
    if isinstance(model, keras.Model):
        names, loss = output_names(model), getattr(model, "loss", None)
        weights = getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)
    else:
        names = inspect_model(model).outputs
        described = _stored(Path(model))
        loss, weights = described.get("loss"), described.get("loss_weights")
    found = _of_outputs(loss, names)
    if all(one is None for one in found):
        raise TrainingError("the model was not compiled with a loss", remedy=_REMEDY)
    if len(found) == 1:
        return _checked(found[0])
    return _summed([None if one is None else _checked(one) for one in found],
                   [1.0 if factor is None else float(factor) for factor in _of_outputs(weights, names)])


def _of_outputs(given: Any, names: Sequence[str]) -> list[Any]:
    """What `compile` was told for each output, in their order: one thing for all, a list, or a dictionary."""
    if isinstance(given, dict) and "class_name" not in given:
        keys = names if set(given) <= set(names) else sorted(given)
        return [given.get(key) for key in keys]
    return list(given) if isinstance(given, (list, tuple)) else [given] * max(len(names), 1)


def _checked(loss: Any) -> Loss:
    if isinstance(loss, dict) and loss.get("class_name") == "function":  # Keras 3 writes plain functions so
        loss = loss.get("config")
    if isinstance(loss, dict) and loss.get("class_name") == "Huber" and "delta" not in loss.get("config", {}):
        raise TrainingError("the model's file does not say the delta of its Huber loss", "Keras 3.15 does not store it",
                            "Train with the loss of the dataset's task")
    if isinstance(loss, dict) and loss.get("module") not in (None, "keras.losses", "builtins"):
        raise TrainingError(f"the loss {_name(loss)!r} is not one of Keras", remedy=_REMEDY)
    return loss_of(loss)


def _name(loss: Any) -> str:
    if isinstance(loss, dict):
        return str(loss.get("registered_name") or loss.get("class_name"))
    return str(loss) if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)


def _stored(path: Path) -> dict[str, Any]:
    """What a file's description says that the model was compiled with."""
    stored = open_model(path, weights=False)
    if zipfile.is_zipfile(path):
        described = stored.config.get("compile_config") or {}
    else:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("training_config", "{}")
        described = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    return described if isinstance(described, dict) else {}
