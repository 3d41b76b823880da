"""What each sort of node is in alkaid's arithmetic on arrays of fixed-point values."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from core.hls.network import Node

#: alkaid 0.8.2 hands kernels to its solver in float32, of 24 bits, and takes differences of columns in it
SOLVER_BITS = 16


def step(node: Node, inputs: list[Any]) -> Any:
    """A node's result before bias, activation and quantizer, in the node's shape."""
    return _STEPS[node.op](node, inputs)


def array_like(elements: Any, like: Any) -> Any:
    """Elements, or plain numbers, as an array of alkaid's."""
    trace: Any = importlib.import_module("alkaid.trace")
    return trace.FVArray(elements, like.solver_options, hwconf=like.hwconf)


def each(value: Any, change: Callable[[Any], Any]) -> Any:
    """An array with `change` applied to each element."""
    raw = np.asarray(value)
    out = np.empty(raw.shape, dtype=object)
    for place, element in np.ndenumerate(raw):
        out[place] = change(element)
    return array_like(out, value)


def is_constant(element: Any) -> bool:
    return bool(element.low == element.high)


def constant(number: float, like: Any) -> Any:
    return type(like).from_const(number, hwconf=like.hwconf)


def rectified(element: Any) -> Any:
    return constant(max(element.low, 0.0), element) if is_constant(element) else element.relu()


def bent(element: Any, slope: float, ceiling: float | None) -> Any:
    """max(x, 0) - slope * max(-x, 0), at most the ceiling."""
    value = rectified(element)
    if slope:
        value = value - rectified(-element) * slope
    if ceiling is None or value.high <= ceiling:
        return value
    return constant(ceiling, value) if value.low >= ceiling else value.min_of(ceiling)


def product(value: Any, kernel: np.ndarray) -> Any:
    """value @ kernel, exactly, also where the kernel has more bits than alkaid's solver can tell apart."""
    return reduce(lambda a, b: a + b, (_product(value, part) for part in narrow(kernel)))


def narrow(kernel: np.ndarray) -> list[np.ndarray]:
    """Kernels of at most `SOLVER_BITS` bits whose sum this one is."""
    rest, parts = np.asarray(kernel, np.float64), []
    while rest.any():
        values = np.abs(rest[rest != 0])
        size = 2.0 ** (int(np.min(_lowest_bit(values))) + SOLVER_BITS)
        upper = np.rint(rest / size) * size if values.max() >= size else np.zeros_like(rest)
        parts.append(rest - upper)
        rest = upper
    return parts or [np.asarray(kernel, np.float64)]


def _lowest_bit(values: np.ndarray) -> np.ndarray:
    """The exponent of the last bit that is set in each value."""
    mantissa, exponent = np.frexp(values)
    whole = (mantissa * 2.0**53).astype(np.int64)
    return np.asarray(exponent - 53 + np.log2((whole & -whole).astype(np.float64)))


def _product(value: Any, kernel: np.ndarray) -> Any:
    """value @ kernel; inputs that never change are summed here, for alkaid cannot take a vector of them."""
    raw = np.asarray(value)
    if raw.ndim == 1:
        return _vector_product(value, kernel)
    if not any(is_constant(element) for element in raw.ravel()):
        return value @ kernel
    rows = value.reshape((-1, raw.shape[-1]))
    out = [np.asarray(_vector_product(rows[number], kernel)) for number in range(len(np.asarray(rows)))]
    return array_like(np.stack(out).reshape(*raw.shape[:-1], kernel.shape[-1]), value)


def _vector_product(value: Any, kernel: np.ndarray) -> Any:
    raw = np.asarray(value)
    fixed = np.array([is_constant(element) for element in raw])
    if not fixed.any():
        return value @ kernel
    offset = np.array([element.low if still else 0.0 for element, still in zip(raw, fixed, strict=True)]) @ kernel
    moving = kernel[~fixed]
    if not moving.any():
        return array_like(np.array([constant(v, raw[0]) for v in offset], dtype=object), value)
    return value[~fixed] @ moving + offset


def _taken(value: Any, table: np.ndarray) -> Any:
    """The values at the places of a table, 0 for place 0, in the table's shape."""
    flat = np.asarray(value).ravel()
    zero = constant(0.0, flat[0])
    out = np.empty(table.shape, dtype=object)
    for place, number in np.ndenumerate(table):
        out[place] = zero if number == 0 else flat[number - 1]
    return array_like(out, value)


def _move(node: Node, inputs: list[Any]) -> Any:
    assert node.table is not None
    return _taken(inputs[0], node.table)


def _dense(node: Node, inputs: list[Any]) -> Any:
    return product(inputs[0], node.weights["kernel"])


def _matrix(node: Node, inputs: list[Any]) -> Any:
    return product(inputs[0].reshape((-1,)), node.weights["kernel"]).reshape(node.shape)


def _windows(node: Node, inputs: list[Any]) -> Any:
    assert node.table is not None
    kernel = node.weights["kernel"]
    rows = _taken(inputs[0], node.table.reshape(-1, node.table.shape[-2] * node.table.shape[-1]))
    return product(rows, kernel.reshape(-1, kernel.shape[-1])).reshape(node.shape)


def _depthwise(node: Node, inputs: list[Any]) -> Any:
    assert node.table is not None
    kernel = node.weights["kernel"]
    channels, multiplier = kernel.shape[1:]
    table = node.table.reshape(-1, *node.table.shape[-2:])
    parts = [np.asarray(product(_taken(inputs[0], table[:, :, channel]), kernel[:, channel]))
             for channel in range(channels)]
    return array_like(np.stack(parts, axis=1).reshape(*node.shape[:-1], channels * multiplier), inputs[0])


def _pooled(node: Node, inputs: list[Any], both: Callable[[Any, Any], Any]) -> Any:
    assert node.table is not None
    flat = np.asarray(inputs[0]).ravel()
    out = np.empty((*node.table.shape[:-2], node.table.shape[-1]), dtype=object)
    for place in np.ndindex(out.shape):
        taken = [flat[n - 1] for n in node.table[(*place[:-1], slice(None), place[-1])] if n]
        out[place] = _tree(taken, both)
    return array_like(out.reshape(node.shape), inputs[0])


def _tree(values: list[Any], both: Callable[[Any, Any], Any]) -> Any:
    """Pairs of pairs, so that the logic is as shallow as it can be."""
    while len(values) > 1:
        values = [both(*values[i:i + 2]) if i + 1 < len(values) else values[i] for i in range(0, len(values), 2)]
    return values[0]


def _maximum_pool(node: Node, inputs: list[Any]) -> Any:
    return _pooled(node, inputs, lambda a, b: a.max_of(b))


def _sum_pool(node: Node, inputs: list[Any]) -> Any:
    return _pooled(node, inputs, lambda a, b: a + b) * node.factor


def _elementwise(both: Callable[[Any, Any], Any]) -> Callable[[Node, list[Any]], Any]:
    def apply(node: Node, inputs: list[Any]) -> Any:
        spread = np.broadcast_arrays(*(np.asarray(value) for value in inputs))
        out = np.empty(spread[0].shape, dtype=object)
        for place in np.ndindex(out.shape):
            out[place] = reduce(both, (values[place] for values in spread))
        made = array_like(out, inputs[0])
        return made if node.factor == 1.0 else made * node.factor

    return apply


def _dot(node: Node, inputs: list[Any]) -> Any:
    products = [a * b for a, b in zip(*(np.asarray(value).ravel() for value in inputs), strict=True)]
    return array_like(np.array([_tree(products, lambda a, b: a + b)], dtype=object), inputs[0])


def _concatenate(node: Node, inputs: list[Any]) -> Any:
    assert node.table is not None
    flat = np.concatenate([np.asarray(value).ravel() for value in inputs])
    return _taken(array_like(flat, inputs[0]), node.table)


_STEPS: dict[str, Callable[[Node, list[Any]], Any]] = {
    "move": _move, "dense": _dense, "matrix": _matrix, "windows": _windows, "depthwise": _depthwise,
    "maximum_pool": _maximum_pool, "sum_pool": _sum_pool, "concatenate": _concatenate, "dot": _dot,
    "add": _elementwise(lambda a, b: a + b), "subtract": _elementwise(lambda a, b: a - b),
    "multiply": _elementwise(lambda a, b: a * b), "maximum": _elementwise(lambda a, b: a.max_of(b)),
    "minimum": _elementwise(lambda a, b: a.min_of(b)),
}
