"""Events of models with several inputs, and labels of models with several outputs: several arrays as one.

What has one array stays a plain numpy array; only where there are several they become a `Several`, whose rows are
events just as those of an array. Needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import DatasetError

#: features or labels of events: one array (events, ...), or several of as many events
Arrays = Any


@dataclass(frozen=True, eq=False)
class Several:
    """Arrays (events, ...) of the same number of events, by the names of the model's inputs or outputs.

    `len` is the number of events, and indexing takes events of all arrays: `x[:100]`, `x[mask]`, `x[numbers]`.
    """

    names: tuple[str, ...]
    parts: tuple[NDArray[Any], ...]

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, rows: Any) -> Several:
        return self.map(lambda part: part[rows])

    def map(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Several:
        """Every array changed."""
        return Several(self.names, tuple(change(part) for part in self.parts))

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return sum(part.nbytes for part in self.parts)

    def part(self, name: str) -> NDArray[Any]:
        """The array of that name."""
        return self.parts[self.names.index(name)]

    def ordered(self, names: Sequence[str]) -> Several:
        """The same arrays in the order of these names, which are all of them."""
        return self if tuple(names) == self.names else Several(tuple(names), tuple(self.part(name) for name in names))


def parts_of(values: Arrays) -> tuple[NDArray[Any], ...]:
    """The arrays of events: one, or those of several."""
    return values.parts if isinstance(values, Several) else (values,)


def named_parts(values: Arrays) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name, array) of each; the name of a single one is empty."""
    yield from zip(values.names, values.parts, strict=True) if isinstance(values, Several) else (("", values),)


def each(change: Callable[..., NDArray[Any]], first: Arrays, *others: Arrays) -> Arrays:
    """`change` of the arrays of each place: of one array, or one by one of several of the same names."""
    if not isinstance(first, Several):
        return change(first, *others)
    return Several(first.names, tuple(change(*same) for same in zip(first.parts, *map(parts_of, others), strict=True)))


def joined(values: Sequence[Arrays]) -> Arrays:
    """Events of several groups, one group after the other."""
    return each(lambda *same: np.concatenate(same), *values)


def flat(values: Arrays) -> NDArray[Any]:
    """(events, values): what all inputs (or outputs) of an event hold, one after the other, as firmware has them."""
    rows = [part.reshape(len(part), -1) for part in parts_of(values)]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def shapes_of(values: Arrays) -> tuple[tuple[int, ...], ...]:
    """Shape of one event in each array."""
    return tuple(part.shape[1:] for part in parts_of(values))


def several(arrays: dict[str, NDArray[Any]]) -> Arrays:
    """Arrays by name as events; a single one stays an array.

    Raises:
        DatasetError: they do not have the same number of events.
    """
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DatasetError(f"the arrays of the events differ in length: {told}", remedy="Give each one row an event")
    return Several(tuple(arrays), tuple(arrays.values()))
