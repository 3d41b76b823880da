"""Where the layers of a model go in a drawing: plain numbers, no widgets."""

from __future__ import annotations

from dataclasses import dataclass

from core.model_info import ModelInfo


@dataclass(frozen=True)
class Place:
    """One layer: `depth` counts layers on the longest way from an input, `lane` the layers beside it from the left.
    """

    layer: str
    depth: int
    lane: int


@dataclass(frozen=True)
class Graph:
    """Places in topological order, and edges (from, to) between layers."""

    places: tuple[Place, ...]
    edges: tuple[tuple[str, str], ...]

    @property
    def lanes(self) -> int:
        """Layers that lie beside each other at most."""
        return max((place.lane for place in self.places), default=-1) + 1


def graph_of(info: ModelInfo) -> Graph:
    """Each layer one below the deepest of those that feed it; a layer takes its feeder's lane where that is free."""
    depths: dict[str, int] = {}
    lanes: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for layer in info.layers:
        known = [name for name in layer.inbound if name in depths]
        depth = max((depths[name] for name in known), default=-1) + 1
        lane = lanes[known[0]] if known else 0
        while (depth, lane) in taken:
            lane += 1
        depths[layer.name], lanes[layer.name] = depth, lane
        taken.add((depth, lane))
    edges = tuple((name, layer.name) for layer in info.layers for name in layer.inbound if name in depths)
    return Graph(tuple(Place(name, depth, lanes[name]) for name, depth in depths.items()), edges)
