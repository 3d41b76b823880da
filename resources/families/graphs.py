"""Tracks: hits on four detector layers, and which pairs on neighbouring layers belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.families.jets import fixed

PROVENANCE = "generated: three helical tracks through four layers, with 1 % smearing"
LAYERS, TRACKS = 4, 3
NODES = LAYERS * TRACKS
EDGES = [(layer * TRACKS + i, (layer + 1) * TRACKS + j)
         for layer in range(LAYERS - 1) for i in range(TRACKS) for j in range(TRACKS)]


def tracks(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(count, 12, 3) hits as (r, phi, z) and, for each of 27 candidate edges, 1 where both are of one track."""
    random = np.random.default_rng(seed)
    radius = np.linspace(0.25, 1.0, LAYERS)
    phi0, slope = random.uniform(-1, 1, (2, count, TRACKS))
    curve = random.normal(0, 0.25, (count, TRACKS))
    phi = phi0[:, None] + curve[:, None] * radius[None, :, None] + random.normal(0, 0.01, (count, LAYERS, TRACKS))
    z = slope[:, None] * radius[None, :, None] + random.normal(0, 0.01, (count, LAYERS, TRACKS))
    owner = np.argsort(random.random((count, LAYERS, TRACKS)), axis=-1)
    hits = np.stack([np.broadcast_to(radius[None, :, None], phi.shape), np.take_along_axis(phi, owner, -1),
                     np.take_along_axis(z, owner, -1)], axis=-1)
    flat = owner.reshape(count, NODES)
    labels = np.stack([flat[:, i] == flat[:, j] for i, j in EDGES], axis=1)
    return hits.reshape(count, NODES, 3).astype(np.float32), labels.astype(np.int64)


def edge_classifier() -> Any:
    """One round of message passing on the candidate edges, then a score for each edge (sigmoid)."""
    from keras import Input, Model, layers

    senders, receivers = np.zeros((2, NODES, len(EDGES)), np.float32)
    for edge, (i, j) in enumerate(EDGES):
        senders[i, edge] = receivers[j, edge] = 1
    x = Input((NODES, 3), name="hits")

    def pick(tensor: Any, label: str) -> Any:
        turned = layers.Permute((2, 1), name=f"{label}_turn")(tensor)
        ends = [layers.Permute((2, 1), name=f"{label}_{end}_rows")(fixed(f"{label}_{end}", matrix)(turned))
                for end, matrix in (("sender", senders), ("receiver", receivers))]
        return layers.Concatenate(name=f"{label}_pair")(ends)

    message = _dense(pick(x, "first"), 16, "message")
    summed = fixed("collect", receivers.T)(layers.Permute((2, 1), name="message_turn")(message))
    nodes = layers.Concatenate(name="nodes")([x, layers.Permute((2, 1), name="collected")(summed)])
    nodes = _dense(nodes, 8, "node")
    edges = _dense(pick(nodes, "second"), 16, "edge")
    score = layers.Dense(1, name="output")(edges)
    score = layers.Activation("sigmoid", name="sigmoid")(score)
    return Model(x, layers.Reshape((len(EDGES),), name="scores")(score), name="track_graph")


def _dense(tensor: Any, units: int, name: str) -> Any:
    from keras import layers

    return layers.Activation("relu", name=f"{name}_relu")(layers.Dense(units, name=name)(tensor))
