"""Activation functions that QKeras 0.9 defines otherwise than Keras 3, under our own registered names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from core.quant.arithmetic import round_through
from core.quant.arithmetic_relu import hard_sigmoid, smooth_sigmoid
from core.quant.layer_base import PACKAGE
from core.quant.ops import ops_for


def _named(name: str, function: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    def apply(x: Any) -> Any:
        return function(ops_for(x), x)

    apply.__name__ = apply.__qualname__ = name
    return keras.saving.register_keras_serializable(package=PACKAGE, name=name)(apply)


FUNCTIONS = {name: _named(name, function) for name, function in {
    "hard_sigmoid": hard_sigmoid,
    "smooth_sigmoid": smooth_sigmoid,
    "binary_sigmoid": lambda ops, x: round_through(ops, hard_sigmoid(ops, x), False),
    "hard_tanh": lambda ops, x: 2 * hard_sigmoid(ops, x) - 1,
    "smooth_tanh": lambda ops, x: 2 * smooth_sigmoid(ops, x) - 1,
    "binary_tanh": lambda ops, x: 2 * round_through(ops, hard_sigmoid(ops, x), False) - 1,
}.items()}
