"""Jets: the tagger of the paper, and two networks on particle constituents."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import resources

CONSTITUENTS, LEADING = 16, 8
CLASSES = ("g", "q", "w", "z", "t")
PROVENANCE = "simulated substitute of the hls4ml LHC jet set (Zenodo 3602260, OpenML 42468)"


@lru_cache(maxsize=2)
def _file(name: str) -> dict[str, NDArray[Any]]:
    with np.load(resources.path(f"data/{name}.npz"), allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def features(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`count` jets (110,000 at most): (count, 16) high-level features, standardized over the whole set, and class."""
    data = _file("jets")
    rows = np.random.default_rng(seed).permutation(len(data["y"]))[:count]
    x = data["X"][rows].astype(np.float64)
    return ((x - x.mean(0)) / np.maximum(x.std(0), 1e-9)).astype(np.float32), data["y"][rows].astype(np.int64)


def constituents(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`count` jets (50,000 at most): (count, 16, 3) constituents, zero padded, and class.

    A constituent is log10 of its share of the summed pt, plus 2, and 10 times its eta and phi from the axis.
    """
    data = _file("jet_constituents")
    labels = data["y"]
    rows = np.random.default_rng(seed).permutation(len(labels))[:count]
    raw = data["X"][rows].astype(np.float32)
    pt = raw[..., 0]
    share = pt / np.maximum(pt.sum(axis=1, keepdims=True), 1e-6)
    present = pt > 0
    x = np.stack([np.where(present, np.log10(np.maximum(share, 1e-4)) + 2, 0),
                  np.where(present, 10 * raw[..., 1], 0), np.where(present, 10 * raw[..., 2], 0)], axis=-1)
    return x.astype(np.float32), labels[rows].astype(np.int64)


def leading_constituents(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """As `constituents`, the 8 hardest."""
    x, y = constituents(count, seed)
    return np.ascontiguousarray(x[:, :LEADING]), y


def mlp() -> Any:
    """16-64-32-32-5 with ReLU and softmax."""
    from keras import Input, Model, layers

    x = tensor = Input((16,), name="features")
    for index, units in enumerate((64, 32, 32), start=1):
        tensor = layers.Dense(units, name=f"fc{index}", kernel_initializer="lecun_uniform")(tensor)
        tensor = layers.Activation("relu", name=f"relu{index}")(tensor)
    tensor = layers.Dense(len(CLASSES), name="output", kernel_initializer="lecun_uniform")(tensor)
    return Model(x, layers.Activation("softmax", name="softmax")(tensor), name="jet_mlp")


def deep_sets() -> Any:
    """A dense network on each constituent, their average, and a dense network on that."""
    from keras import Input, Model, layers

    x = tensor = Input((CONSTITUENTS, 3), name="constituents")
    for index in (1, 2):
        tensor = layers.Dense(32, name=f"phi{index}")(tensor)
        tensor = layers.Activation("relu", name=f"phi_relu{index}")(tensor)
    tensor = layers.GlobalAveragePooling1D(name="average")(tensor)
    tensor = layers.Dense(32, name="rho1")(tensor)
    tensor = layers.Activation("relu", name="rho_relu1")(tensor)
    tensor = layers.Dense(len(CLASSES), name="output")(tensor)
    return Model(x, layers.Activation("softmax", name="softmax")(tensor), name="deep_sets")


def interaction_network() -> Any:
    """Edge network on every ordered pair of constituents, summed at the receiver, then a node network.

    The incidence matrices are fixed kernels of Dense layers without bias, as in hls4ml's own network.
    """
    from keras import Input, Model, layers

    receivers, senders = _incidence(LEADING)
    x = Input((LEADING, 3), name="constituents")
    by_feature = layers.Permute((2, 1), name="by_feature")(x)
    pairs = [layers.Permute((2, 1), name=f"{name}_rows")(fixed(f"{name}_select", matrix)(by_feature))
             for name, matrix in (("receiver", receivers), ("sender", senders))]
    tensor = layers.Concatenate(name="pair")(pairs)
    for index, units in ((1, 16), (2, 8)):
        tensor = layers.Dense(units, name=f"edge{index}")(tensor)
        tensor = layers.Activation("relu", name=f"edge_relu{index}")(tensor)
    effects = layers.Permute((2, 1), name="effects")(tensor)
    received = layers.Permute((2, 1), name="received")(fixed("receiver_sum", receivers.T)(effects))
    tensor = layers.Concatenate(name="node_input")([x, received])
    tensor = layers.Dense(16, name="node1")(tensor)
    tensor = layers.Activation("relu", name="node_relu1")(tensor)
    tensor = layers.GlobalAveragePooling1D(name="average")(tensor)
    tensor = layers.Dense(len(CLASSES), name="output")(tensor)
    return Model(x, layers.Activation("softmax", name="softmax")(tensor), name="interaction_network")


def _incidence(nodes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(nodes, edges) matrices that pick the receiver and the sender of each ordered pair."""
    edges = [(i, j) for i in range(nodes) for j in range(nodes) if i != j]
    receivers, senders = np.zeros((2, nodes, len(edges)), np.float32)
    for edge, (i, j) in enumerate(edges):
        receivers[i, edge] = senders[j, edge] = 1
    return receivers, senders


def fixed(name: str, matrix: NDArray[np.float32]) -> Any:
    """A frozen Dense layer that multiplies by a constant matrix."""
    from keras import layers

    layer = layers.Dense(matrix.shape[1], use_bias=False, trainable=False, name=name)
    layer.build((None, None, matrix.shape[0]))
    layer.set_weights([matrix])
    return layer
