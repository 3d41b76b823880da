"""Recurrent layers with quantized kernels, bias, states, activations and output.

The quantizers "activation" and "recurrent_activation" act on (or, where their kind is that function, stand
for) the functions inside the cell; "state" acts on the states as they enter each step, as in QKeras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from core.errors import RecipeError
from core.quant.layer_base import QuantizedLayer, register, replaced
from core.quant.recipe import OUTPUT

STATE = "state"


class _QRecurrent(QuantizedLayer):
    slots = {"kernel": "cell.kernel", "recurrent_kernel": "cell.recurrent_kernel", "bias": "cell.bias"}
    functions = {"activation": "cell.activation"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_cudnn = False  # its fused step has no place for quantizers

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Keras's weights and the widths."""
        super().build(sequences_shape, initial_state_shape)  # type: ignore[misc]
        self.build_widths(sequences_shape)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:  # type: ignore[override]
        """Keras's loop over the steps with quantized weights, then the output quantizer."""
        with self.in_place(bool(training)), self._quantized_states(bool(training)):
            outputs = super(QuantizedLayer, self).call(  # type: ignore[misc]
                sequences, initial_state=initial_state, mask=mask, training=training)
        if OUTPUT not in self.quantizers:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return (self.quantize_output(outputs[0], bool(training)), *outputs[1:])
        return self.quantize_output(outputs, bool(training))

    def _function(self, name: str, training: bool) -> Callable[[Any], Any] | None:
        if name not in self.quantizers:
            return None
        if self.stands_for(name):
            return lambda x: self.apply(name, x, training)
        holder, attribute = self._place(self.functions[name])
        plain = getattr(holder, attribute) or keras.activations.linear
        return lambda x: self.apply(name, plain(x), training)

    @contextmanager
    def _quantized_states(self, training: bool) -> Iterator[None]:
        if STATE not in self.quantizers:
            yield
            return
        cell: Any = self.cell  # type: ignore[attr-defined]
        step = cell.call

        def call(inputs: Any, states: Any, training: bool = training) -> Any:
            return step(inputs, keras.tree.map_structure(lambda s: self.apply(STATE, s, training), states),
                        training=training)

        with replaced(cell, "call", call):
            yield


@register
class QSimpleRNN(_QRecurrent, keras.layers.SimpleRNN):
    """SimpleRNN with quantized kernel, recurrent kernel, bias, state, activation and output."""


@register
class QLSTM(_QRecurrent, keras.layers.LSTM):
    """LSTM with quantized kernel, recurrent kernel, bias, states, activations and output."""

    functions = {"activation": "cell.activation", "recurrent_activation": "cell.recurrent_activation"}


@register
class QGRU(_QRecurrent, keras.layers.GRU):
    """GRU with quantized kernel, recurrent kernel, bias, state, activations and output."""

    functions = {"activation": "cell.activation", "recurrent_activation": "cell.recurrent_activation"}


_DIRECTIONS: dict[str, Any] = {"SimpleRNN": QSimpleRNN, "LSTM": QLSTM, "GRU": QGRU}


@register
class QBidirectional(QuantizedLayer, keras.layers.Bidirectional):
    """Bidirectional around a recurrent layer; both directions get the quantizers, "output" acts on what is merged."""

    slots = {"kernel": "", "recurrent_kernel": "", "bias": ""}
    functions = {}

    def __init__(self, layer: keras.Layer, *args: Any, quantizers: Any = None, backward_layer: Any = None,
                 **kwargs: Any) -> None:
        inner = {p: text for p, text in (quantizers or {}).items() if p != OUTPUT}
        layer = _quantized_direction(layer, inner)
        if backward_layer is not None:
            backward_layer = _quantized_direction(backward_layer, inner)
        super().__init__(layer, *args, quantizers=quantizers, backward_layer=backward_layer, **kwargs)

    def weight(self, parameter: str) -> Any:
        """None: the weights are those of the two directions."""
        return None

    def quantized_weights(self) -> dict[str, Any]:
        """Weights as used at inference: "kernel", ... of the forward layer, "backward_kernel", ... of the other."""
        backward = self.backward_layer.quantized_weights()
        return {**self.forward_layer.quantized_weights(), **{f"backward_{p}": v for p, v in backward.items()}}

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool | None = None) -> Any:  # type: ignore[override]
        """Both directions, merged, then the output quantizer."""
        outputs = keras.layers.Bidirectional.call(self, sequences, initial_state=initial_state, mask=mask,
                                                  training=training)
        return self.quantize_output(outputs, bool(training))


def _quantized_direction(layer: keras.Layer, quantizers: dict[str, str]) -> keras.Layer:
    if isinstance(layer, QuantizedLayer):
        return layer
    cls = _DIRECTIONS.get(layer.__class__.__name__)
    if cls is None:
        raise RecipeError(f"the layer {layer.name!r} inside a Bidirectional is a {layer.__class__.__name__}",
                          remedy="SimpleRNN, LSTM and GRU can be quantized there")
    return cls.from_config({**layer.get_config(), "quantizers": quantizers})
