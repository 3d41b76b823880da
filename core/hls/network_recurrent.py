"""Recurrent layers as nodes, unrolled over time: one step after the other, each step a copy of the cell.

A quantizer on a cell's function makes it exact: the function of one value is then looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from core.errors import ExportError
from core.hls import geometry
from core.hls.network import Node, exact_weights
from core.hls.network_functions import Ending, joined
from core.quant.layers_recurrent import STATE, QBidirectional
from core.quant.quantizers import Quantizer
from core.quant.recipe import OUTPUT

CELLS = ("SimpleRNN", "LSTM", "GRU")


def recurrent_nodes(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node] | None:
    """The steps of a recurrent layer; None for any other.

    Raises:
        ExportError: it cannot be exported exactly.
    """
    kind = type(layer).__name__.removeprefix("Q")
    if kind in CELLS:
        source = tuple(int(side) for side in layer.input.shape[1:])
        return _Unrolled(layer, inbound, layer.name, source).nodes_of(layer.name, shape, _output(layer, shape))
    if kind == "Bidirectional":
        return _bidirectional(layer, inbound, shape)
    return None


def _output(layer: Any, shape: tuple[int, ...]) -> Ending:
    """Only the quantizer: the layer's activation is inside its cell."""
    return joined(layer, shape, "linear", getattr(layer, "quantizers", {}).get(OUTPUT))


def _bidirectional(layer: Any, inbound: tuple[str, ...], shape: tuple[int, ...]) -> list[Node]:
    if not isinstance(layer, QBidirectional):
        raise ExportError(f"the weights of layer {layer.name!r} are in float",
                          remedy="Give it quantizers, such as quantized_bits(6,0,alpha=1)")
    source = tuple(int(side) for side in layer.input.shape[1:])
    nodes: list[Node] = []
    names, steps = [], source[0]
    for one, side in ((layer.forward_layer, "forward"), (layer.backward_layer, "backward")):
        name = f"{layer.name}/{side}"
        own = (steps, one.units) if layer.return_sequences else (one.units,)
        nodes += _Unrolled(one, inbound, name, source).nodes_of(name, own, _output(one, own))
        names.append(name)
        if side == "backward" and layer.return_sequences:
            table = geometry.places(own)[::-1].astype(np.int64)
            nodes.append(Node(f"{name}/turned", "move", (name,), own, table=table))
            names[-1] = f"{name}/turned"
    return [*nodes, _merged(layer, tuple(names), own, shape)]


def _merged(layer: Any, names: tuple[str, ...], own: tuple[int, ...], shape: tuple[int, ...]) -> Node:
    end = vars(_output(layer, shape))
    if layer.merge_mode == "concat":
        parts = [geometry.places(own), geometry.places(own) + int(np.prod(own))]
        return Node(layer.name, "concatenate", names, shape, table=np.concatenate(parts, -1).astype(np.int64), **end)
    if layer.merge_mode in ("sum", "ave"):
        return Node(layer.name, "add", names, shape, factor=0.5 if layer.merge_mode == "ave" else 1.0, **end)
    return Node(layer.name, "multiply", names, shape, **end)


@dataclass
class _Unrolled:
    """One direction of a recurrent layer on its way to nodes."""

    layer: Any
    inbound: tuple[str, ...]
    name: str
    source: tuple[int, ...]
    nodes: list[Node] = field(default_factory=list)

    def nodes_of(self, name: str, shape: tuple[int, ...], end: Any) -> list[Node]:
        """All steps, the last one named `name`, of that shape and ending."""
        layer = self.layer
        if len(self.inbound) != 1 or layer.stateful or layer.return_state:
            raise ExportError(f"layer {layer.name!r} hands states in or out, which cannot be exported yet",
                              remedy="Let it begin each event anew and give its output only")
        self.weights = exact_weights(layer)
        self.units = int(layer.units)
        step = {"SimpleRNN": self._simple, "LSTM": self._long_short, "GRU": self._gated}[
            type(layer).__name__.removeprefix("Q")]
        count = 2 if step == self._long_short else 1
        states = [self._add("zero", "constant", (), {"values": np.zeros(self.units)})] * count
        outputs = []
        order = range(self.source[0])
        for time in reversed(order) if layer.go_backwards else order:
            states = step(time, [self._state(f"{time}/state{n}", held) for n, held in enumerate(states)])
            outputs.append(states[0])
        kept = tuple(outputs) if layer.return_sequences else (outputs[-1],)
        table = geometry.places((len(kept) * self.units,)).astype(np.int64).reshape(shape)
        self.nodes.append(Node(name, "concatenate", kept, shape, table=table, **vars(end)))
        return self.nodes

    def _add(self, what: str, op: str, inbound: tuple[str, ...], weights: dict[str, np.ndarray] | None = None,
             **others: Any) -> str:
        width = next(iter(weights.values())).shape[-1] if weights else self.units
        node = Node(f"{self.name}/{what}", op, inbound, (width,), weights or {}, **others)
        if all(known.name != node.name for known in self.nodes):
            self.nodes.append(node)
        return node.name

    def _state(self, what: str, held: str) -> str:
        chosen = self.layer.quantizers.get(STATE)
        return held if chosen is None else self._add(what, "activation", (held,), **self._end("linear", chosen, STATE))

    def _end(self, activation: Any, chosen: Quantizer | None, parameter: str) -> dict[str, Any]:
        return vars(joined(self.layer, (self.units,), activation, chosen, parameter))

    def _function(self, what: str, held: str, which: str) -> str:
        """The value through the cell's function of that name."""
        layer = self.layer
        own = getattr(layer.cell, which, None) or keras.activations.linear
        replaced = layer.stands_for(which)
        chosen = layer.quantizers.get(which)
        end = self._end("linear" if replaced else _Holder(own, layer.name), chosen, which)
        return self._add(what, "activation", (held,), **end)

    def _input(self, time: int) -> str:
        table = geometry.places(self.source)[time].astype(np.int64)
        name = f"{self.name}/{time}/input"
        self.nodes.append(Node(name, "move", self.inbound, table.shape, table=table))
        return name

    def _product(self, what: str, held: str, kernel: np.ndarray, bias: np.ndarray | None = None) -> str:
        return self._add(what, "dense", (held,), {"kernel": kernel} | ({} if bias is None else {"bias": bias}))

    def _simple(self, time: int, states: list[str]) -> list[str]:
        x = self._product(f"{time}/x", self._input(time), self.weights["kernel"], self.weights.get("bias"))
        h = self._product(f"{time}/h", states[0], self.weights["recurrent_kernel"])
        return [self._function(f"{time}/out", self._add(f"{time}/sum", "add", (x, h)), "activation")]

    def _gates(self, time: int, inputs: str, state: str, count: int,
               recurrent_bias: np.ndarray | None = None) -> Callable[[int], str]:
        """The sum at the entrance of each gate."""
        bias, units = self.weights.get("bias"), self.units
        bias = bias[0] if bias is not None and bias.ndim == 2 else bias

        def gate(number: int) -> str:
            part = slice(number * units, (number + 1) * units)
            x = self._product(f"{time}/x{number}", inputs, self.weights["kernel"][:, part],
                              None if bias is None else bias[part])
            if number >= count:
                return x
            h = self._product(f"{time}/h{number}", state, self.weights["recurrent_kernel"][:, part],
                              None if recurrent_bias is None else recurrent_bias[part])
            return self._add(f"{time}/sum{number}", "add", (x, h))

        return gate

    def _long_short(self, time: int, states: list[str]) -> list[str]:
        gate = self._gates(time, self._input(time), states[0], 4)
        enter, forget, out = (self._function(f"{time}/gate{n}", gate(n), "recurrent_activation") for n in (0, 1, 3))
        new = self._function(f"{time}/new", gate(2), "activation")
        kept = self._add(f"{time}/kept", "multiply", (forget, states[1]))
        added = self._add(f"{time}/added", "multiply", (enter, new))
        carry = self._add(f"{time}/carry", "add", (kept, added))
        shown = self._function(f"{time}/shown", carry, "activation")
        return [self._add(f"{time}/out", "multiply", (out, shown)), carry]

    def _gated(self, time: int, states: list[str]) -> list[str]:
        state, units, after = states[0], self.units, bool(self.layer.reset_after)
        bias = self.weights.get("bias")
        recurrent_bias = bias[1] if after and bias is not None else None
        gate = self._gates(time, self._input(time), state, 2, recurrent_bias)
        update, reset = (self._function(f"{time}/gate{n}", gate(n), "recurrent_activation") for n in (0, 1))
        part = slice(2 * units, 3 * units)
        kernel = self.weights["recurrent_kernel"][:, part]
        if after:
            inner = self._product(f"{time}/h2", state, kernel, None if recurrent_bias is None else recurrent_bias[part])
            inner = self._add(f"{time}/inner", "multiply", (reset, inner))
        else:
            inner = self._product(f"{time}/h2", self._add(f"{time}/inner", "multiply", (reset, state)), kernel)
        new = self._function(f"{time}/new", self._add(f"{time}/sum2", "add", (gate(2), inner)), "activation")
        one = self._add("one", "constant", (), {"values": np.ones(units)})
        left = self._add(f"{time}/left", "subtract", (one, update))
        kept = self._add(f"{time}/kept", "multiply", (update, state))
        added = self._add(f"{time}/added", "multiply", (left, new))
        return [self._add(f"{time}/out", "add", (kept, added))]


@dataclass(frozen=True)
class _Holder:
    """An activation function where a layer with one is expected."""

    activation: Any
    name: str
