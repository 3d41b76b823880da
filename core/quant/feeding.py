"""Events as the tensors that a model takes, and what it gives as arrays; one of each, or several. Imports TensorFlow.

Several inputs, targets or outputs are a tuple or list of tensors, in the order of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.arrays import Arrays, Several, parts_of

#: a tensor, or a tuple or list of them
Tensors = Any


def tensors(values: Arrays, dtype: str | None = None) -> Tensors:
    """Arrays as a tensor, or as a tuple of tensors."""
    found = tuple(tf.constant(part, dtype) for part in parts_of(values))
    return found if isinstance(values, Several) else found[0]


def each(change: Callable[[Any], Any], values: Tensors) -> Tensors:
    """`change` of the tensor, or of each of them."""
    return tf.nest.map_structure(change, values)


def taken(values: Tensors, numbers: Any) -> Tensors:
    """The events of these numbers (a tensor) in every tensor."""
    return each(lambda value: tf.gather(value, numbers), values)


def apart(values: Tensors) -> Sequence[Any]:
    """The tensors, or arrays, of several outputs."""
    return values.parts if isinstance(values, Several) else values


def specs(values: Arrays, dtype: str | None = None) -> Tensors:
    """What `tensors` gives, for any number of events."""
    found = tuple(tf.TensorSpec((None, *part.shape[1:]), dtype or part.dtype) for part in parts_of(values))
    return found if isinstance(values, Several) else found[0]


def gathered(model: keras.Model, groups: Sequence[Tensors]) -> Arrays:
    """A model's outputs for groups of events as arrays, one group after the other."""
    flat = [keras.tree.flatten(group) for group in groups]
    parts = tuple(np.concatenate([np.asarray(part) for part in same]) for same in zip(*flat, strict=True))
    return parts[0] if len(parts) == 1 else Several(output_names(model), parts)


def output_names(model: keras.Model) -> tuple[str, ...]:
    """The layers that a model's outputs come from."""
    return tuple(tensor._keras_history.operation.name for tensor in model.outputs)


def by_place(model: keras.Model) -> keras.Model:
    """The model, taking and giving tensors in a row instead of dictionaries of them."""
    if any(isinstance(getattr(model, ends, None), dict) for ends in ("input", "output")):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return model
