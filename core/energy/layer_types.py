"""What the rules for single layers share: the layer's surroundings, its quantizers as types, and their result."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from core.energy.graph import Node
from core.energy.operators import Operation
from core.energy.process import Process
from core.energy.settings import EnergySettings
from core.energy.types import DEFAULT, SHORT, DataType, Unknown, type_of
from core.quant.recipe import OUTPUT
from core.quant.spec import QuantizerSpec, in_force, parse


class Outcome(NamedTuple):
    """Types and operations of one layer before memory is priced.

    `types` maps "weight", "bias", "multiplier", ... to formats; `operation` is what `op_count` counts;
    `parameters` lists (number of values, bits) of each tensor read for one event.
    """

    output: DataType
    types: Mapping[str, DataType] = {}
    operations: Mapping[str, Operation] = {}
    op_count: int = 0
    op_pj: float = 0.0
    parameters: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


@lru_cache(maxsize=8192)
def _spec(text: str, parameter: str) -> QuantizerSpec:
    return in_force(parse(text), parameter)


class Context(NamedTuple):
    """One layer to be priced, with everything its price depends on.

    `quantizers` are the strings of its recipe; `values` gives the number of different values of a parameter
    whose weights are known.
    """

    node: Node
    inputs: tuple[DataType, ...]
    quantizers: Mapping[str, str]
    quantized: bool
    settings: EnergySettings
    process: Process
    values: Mapping[str, int] = {}

    @property
    def plain(self) -> DataType:
        """Format of parameters that have no quantizer."""
        return SHORT[self.settings.float_type] if self.settings.float_type else DEFAULT

    @property
    def plain_accumulator(self) -> DataType:
        """Format of results of layers that have no quantizer."""
        return SHORT[self.settings.float_accumulator] if self.settings.float_accumulator else DEFAULT

    @property
    def corrected(self) -> bool:
        """True unless the original's behaviour is asked for."""
        return self.settings.corrected

    @property
    def forced(self) -> bool:
        """True where the layer counts as a plain Keras one."""
        return self.settings.reference or not self.quantized

    def spec(self, parameter: str) -> QuantizerSpec | None:
        """The quantizer of a parameter as applied, or None."""
        text = self.quantizers.get(parameter)
        return _spec(text, parameter) if text else None

    def parameter(self, name: str, notes: list[str], missing: DataType | None = None) -> DataType:
        """Format of a parameter; `missing` is what the original takes for a quantized layer's unquantized one."""
        if self.forced:
            return self.plain
        spec = self.spec(name)
        if spec is None:
            return self.plain if self.corrected else missing or DEFAULT
        kind = self.known(spec, notes)
        if self.settings.inference and kind.power:
            kind = kind._replace(values=self.values.get(name, -1))
        return kind

    def known(self, spec: QuantizerSpec, notes: list[str]) -> DataType:
        """Format of a quantizer; where QTools 0.9 has none, the sound one and a note."""
        try:
            return type_of(spec, self.corrected)
        except Unknown as error:
            notes.append(str(error))
            return error.sound

    def output(self, computed: DataType, notes: list[str]) -> DataType:
        """Format on the layer's outgoing edge: that of its output quantizer, or what it computes."""
        spec = None if self.settings.reference else self.spec(OUTPUT)
        if spec is None:
            return computed if self.corrected else _relabelled(computed)
        if not self.corrected and spec.kind in ("quantized_sigmoid", "quantized_linear"):
            return computed  # the original passes over an activation it does not know
        return self.known(spec, notes)


def _relabelled(kind: DataType) -> DataType:
    # in the original's table these four turn into stochastic_ternary when they are passed on
    if kind.name in ("stochastic_binary", "bernoulli", "quantized_tanh", "quantized_ulaw"):
        from core.energy.types import TERNARY_TYPE

        return TERNARY_TYPE._replace(name="stochastic_ternary")
    return kind
