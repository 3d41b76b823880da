"""Where an implementation that disagrees with Keras goes wrong: the first layer that differs, and the likely cause.

One event is followed layer by layer. `core.hls.diagnosis_cpp` does it for written C++, `core.hls.diagnosis_rtl` for
RTL; both fall back on what is known of the outputs alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import msgspec
import numpy as np

from core.arrays import Arrays
from core.errors import QuantiscopeError
from core.events import Monitor
from core.hls.exactness import by_size
from core.hls.network import PASSIVE, Network
from core.hls.report import FlowCheck

OVERFLOW, ACCUMULATOR, ROUNDING, WEIGHTS = "overflow", "accumulator", "rounding", "weights"


@dataclass(frozen=True)
class Divergence:
    """The first layer in which an implementation differs on an event: which value of it, both values, and why."""

    layer: str
    place: int
    expected: float
    found: float
    cause: str


@dataclass(frozen=True)
class WrittenType:
    """A fixed-point type as it stands in written C++: ap_fixed, ap_ufixed, ap_int, ap_uint or ac_fixed."""

    text: str
    signed: bool
    width: int
    integer: int

    @property
    def fraction(self) -> int:
        """Bits behind the point."""
        return self.width - self.integer

    @property
    def low(self) -> float:
        """Smallest value."""
        return -(2.0 ** (self.integer - 1)) if self.signed else 0.0

    @property
    def high(self) -> float:
        """Largest value."""
        return 2.0 ** (self.integer - self.signed) - 2.0**-self.fraction

    def holds(self, value: float) -> bool:
        """True where the value is in range."""
        return self.low <= value <= self.high

    def represents(self, value: float) -> bool:
        """True where the value has no bits below the last."""
        return bool(value * 2.0**self.fraction == np.rint(value * 2.0**self.fraction))


_TYPE = re.compile(r"(ap|ac)_(u?)(fixed|int)<\s*(\d+)\s*(?:,\s*(-?\d+|true|false)\s*)?(?:,\s*(true|false)\s*)?")


def written_type(text: str) -> WrittenType | None:
    """Read a type's text; None for another."""
    found = _TYPE.search(text)
    if found is None:
        return None
    family, unsigned, sort, width, second, third = found.groups()
    if sort == "int":
        signed = not unsigned if family == "ap" else second != "false"
        return WrittenType(text, signed, int(width), int(width))
    if second is None or not re.fullmatch(r"-?\d+", second):
        return None
    return WrittenType(text, not unsigned if family == "ap" else third != "false", int(width), int(second))


def keras_values(model: keras.Model, event: Arrays) -> dict[str, np.ndarray]:
    """Every layer's output for one event (1, ...), flat, in double precision, by layer name in the model's order."""
    from core.quant.build import in_double
    from core.quant.feeding import tensors

    double = in_double(model)
    layers = [layer for layer in double.layers
              if not isinstance(layer, keras.layers.InputLayer) and isinstance(layer.output, keras.KerasTensor)]
    taps = keras.Model(double.inputs, [layer.output for layer in layers])
    found = taps(tensors(event, "float64"), training=False)
    return {layer.name: keras.ops.convert_to_numpy(value)[0].astype(np.float64).ravel()
            for layer, value in zip(layers, keras.tree.flatten(found), strict=True)}


def first_difference(expected: np.ndarray, found: np.ndarray) -> int | None:
    """The first place that differs; None where all agree or the shapes cannot be compared."""
    if expected.shape != found.shape:
        return None
    wrong = np.flatnonzero(~(expected == found))
    return int(wrong[0]) if len(wrong) else None


def passed_on(model: keras.Model, names: Sequence[str]) -> dict[str, str]:
    """For each of some layers, the last layer behind it that one step of an implementation may have taken along.

    Behind a layer stand its activation and quantizer; those with steps of their own, in `names`, are not taken along.
    """
    readers: dict[str, list[str]] = {}
    for layer in model.layers:
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                readers.setdefault(tensor._keras_history.operation.name, []).append(layer.name)
    ends = {}
    for name in names:
        end = name
        while len(readers.get(end, [])) == 1 and readers[end][0] not in names and _takes_along(model, readers[end][0]):
            end = readers[end][0]
        ends[name] = end
    return ends


def _takes_along(model: keras.Model, name: str) -> bool:
    layer = model.get_layer(name)
    return type(layer).__name__.removeprefix("Q") in (
        *PASSIVE, "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "BatchNormalization")


def explained(check: FlowCheck, divergence: Divergence | None, otherwise: str = "") -> FlowCheck:
    """A check with what was found out about its first mismatch."""
    if check.first is None:
        return check
    if divergence is None:
        text = f"{check.first.cause}{f'; {otherwise}' if otherwise else ''}"
        return msgspec.structs.replace(check, first=msgspec.structs.replace(check.first, cause=text))
    first = msgspec.structs.replace(
        check.first, layer=divergence.layer, cause=divergence.cause, layer_output=divergence.place,
        layer_expected=divergence.expected, layer_found=divergence.found)
    return msgspec.structs.replace(check, first=first)


def diagnosed(check: FlowCheck, model: keras.Model, network: Network, event: Arrays, source: Any,
              monitor: Monitor) -> FlowCheck:
    """A check that failed, with the first layer that diverges.

    Args:
        model: the exported model, without softmax.
        event: (1, ...) the inputs of the event of the first mismatch, not quantized.
        source: the folder of the C++ project, or the `Rtl`.

    A tool that fails here leaves the check as it is: the mismatch itself is what counts.
    """
    from core.hls import diagnosis_cpp, diagnosis_rtl

    monitor.stage("diagnosis")
    try:
        expected = keras_values(model, event)
        divergence = diagnosis_cpp.find(model, network, expected, event, source, monitor) if check.flow == "c++" \
            else diagnosis_rtl.find(model, network, expected, event, source, monitor)
    except QuantiscopeError as error:
        monitor.log(f"the first layer that differs could not be found: {error}", "warning", "exactness")
        return explained(check, None, "the layer could not be found")
    found = explained(check, divergence, "no single layer differs on this event")
    if found.first is not None and divergence is not None:
        monitor.log(f"{check.flow}: first difference in layer {divergence.layer!r}, value {divergence.place}: expected"
                    f" {divergence.expected:g}, found {divergence.found:g}; {divergence.cause}", "error", "exactness")
    return found


def from_types(types: Mapping[str, WrittenType], expected: float, found: float, sums: np.ndarray | None,
               weights: Mapping[str, np.ndarray], values: np.ndarray) -> str:
    """The likely cause from the types that stand in the project.

    Args:
        types: "result", "accum", and the weights' by parameter, as far as they are known.
        expected, found: the value that differs.
        sums: what the accumulators of the layer should hold, or None.
        weights: the layer's exact weights by parameter.
        values: the layer's expected values.
    """
    for parameter, exact in weights.items():
        kind = types.get(parameter)
        bad = [] if kind is None else [v for v in np.unique(exact) if not (kind.holds(v) and kind.represents(v))]
        if kind is not None and bad:
            return f"{WEIGHTS}: the written type {kind.text} of the {parameter} cannot hold {bad[0]:g}"
    accum = types.get("accum")
    if accum is not None and sums is not None:
        if not all(accum.holds(v) for v in (sums.min(), sums.max())):
            worst = max((float(sums.min()), float(sums.max())), key=abs)
            return (f"{ACCUMULATOR}: its written type {accum.text} holds {accum.low:g} to {accum.high:g} and wraps"
                    f" around; a sum is {worst:g}")
        if not all(accum.represents(v) for v in sums):
            return f"{ACCUMULATOR} and {ROUNDING}: its written type {accum.text} drops bits of the sum"
    result = types.get("result")
    if result is not None and not result.holds(expected):
        return (f"{OVERFLOW}: the written type {result.text} of its result holds {result.low:g} to {result.high:g},"
                f" the value is {expected:g}")
    if result is not None and not result.represents(expected):
        return f"{ROUNDING}: the written type {result.text} of its result drops bits of {expected:g}"
    return by_size(expected, found, values)
