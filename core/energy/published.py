"""The published jet taggers BF, Q6, QE and QB as (architecture, recipe), read from `resources/published`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec

from core.errors import CostError
from core.model_info import ModelInfo
from core.quant.recipe import Recipe

NAMES = ("BF", "Q6", "QE", "QB")


class PublishedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """One network of the paper; `source` says where its quantizers come from, `accuracy` is the printed one."""

    name: str
    title: str
    source: str
    accuracy: float | None = None
    model: ModelInfo
    recipe: Recipe


@lru_cache(maxsize=len(NAMES))
def network(name: str) -> PublishedNetwork:
    """The published network of that name, in any case; raises CostError for another."""
    key = name.upper()
    if key not in NAMES:
        raise CostError(f"there is no published network {name!r}", remedy=f"Use one of: {', '.join(NAMES)}")
    from resources import path

    return msgspec.json.decode(path(f"published/{key.lower()}.json").read_bytes(), type=PublishedNetwork)


class _Published(Mapping[str, tuple[ModelInfo, Recipe]]):
    """Name -> (ModelInfo, Recipe), each read when it is asked for."""

    def __getitem__(self, name: str) -> tuple[ModelInfo, Recipe]:
        if name.upper() not in NAMES:
            raise KeyError(name)
        found = network(name)
        return found.model, found.recipe

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


PUBLISHED: Mapping[str, tuple[ModelInfo, Recipe]] = _Published()
