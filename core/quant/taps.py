"""Listening at, or standing in for, every quantizer of a model while it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

from core.quant.layer_base import QuantizedLayer, replaced
from core.quant.layers_output import QInput
from core.quant.recipe import INPUT

#: (layer name, parameter type) as in a recipe; `INPUT` for the quantizers of the model's inputs
Key = tuple[str, str]
#: one quantizer's place: (layer, parameter type, key)
Place = tuple[QuantizedLayer, str, Key]
#: (place, what the quantizer is given, what the float model would have there, quantized) -> what goes on
Tap = Callable[[Place, Any, Callable[[], Any], Callable[[], Any]], Any]


def places(model: keras.Model) -> Iterator[Place]:
    """Every quantizer of a quantized model in the order of its layers; the directions of a Bidirectional share keys."""
    for layer in model.layers:
        for part in layer._flatten_layers():
            for parameter in part.quantizers if isinstance(part, QuantizedLayer) else ():
                yield part, parameter, INPUT if isinstance(part, QInput) else (layer.name, parameter)


@contextmanager
def tapped(model: keras.Model, tap: Tap) -> Iterator[None]:
    """Each value that would go through a quantizer goes through `tap` instead."""
    with ExitStack() as stack:
        found: dict[int, tuple[QuantizedLayer, dict[str, Place]]] = {}
        for place in places(model):
            found.setdefault(id(place[0]), (place[0], {}))[1][place[1]] = place
        for layer, keys in found.values():
            stack.enter_context(replaced(layer, "apply", _through(layer, keys, tap)))
        yield


def _through(layer: QuantizedLayer, keys: dict[str, Place], tap: Tap) -> Callable[..., Any]:
    original = layer.apply
    # where a quantizer is itself the activation function, the float model has that function there
    functions = {name: getattr(*layer._place(path)) for name, path in layer.functions.items() if layer.stands_for(name)}

    def apply(parameter: str, value: Any, training: bool) -> Any:
        function = functions.get(parameter)
        return tap(keys[parameter], value, lambda: function(value) if function else value,
                   lambda: original(parameter, value, training))

    return apply
