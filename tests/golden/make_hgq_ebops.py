"""Writes tests/golden/hgq_ebops.json: EBOPs that HGQ2 gives for small networks, with the widths it keeps.

Runs in an environment that has HGQ2 0.2.0 (`benchmarks/_environments.py` makes one):

    PYTHON tests/golden/make_hgq_ebops.py [FILE]

Each network has a variant for each granularity: "tensor", "channel" and "weight". Widths are drawn from a fixed seed,
some of them zero; integer bits of wrapping quantizers and the EBOPs come from HGQ2's own `trace_minmax`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hgq
import keras
import numpy as np
from hgq.config import LayerConfigScope
from hgq.layers import QAdd, QAveragePooling2D, QBatchNormalization, QConv1D, QConv2D, QDense, QEinsumDense, QMultiply
from hgq.quantizer import Quantizer, QuantizerConfig
from hgq.utils import trace_minmax

GRANULARITIES = ("tensor", "channel", "weight")
_QUANTIZERS = {"kq": "kernel", "bq": "bias", "iq": "input"}
_CONFIG = ("units", "filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "pool_size", "equation",
           "use_bias", "center", "scale", "axis", "data_format")


def quantizer(place: str, granularity: str, rank: int, overflow: str = "") -> QuantizerConfig:
    """A quantizer with a width for the tensor, for each of the last axis, or for each value."""
    axes = {"tensor": (), "channel": (rank - 1,), "weight": tuple(range(place == "datalane", rank))}[granularity]
    mode = {"overflow_mode": overflow} if overflow else {}
    return QuantizerConfig("default", place, heterogeneous_axis=axes, homogeneous_axis=None, **mode)


def dense(g: str) -> keras.Model:
    """Dense layers; the first input saturates with its sign, a bias is absent, the last has several positions."""
    x = keras.Input((6,))
    y = QDense(8, activation="relu", kq_conf=quantizer("weight", g, 2), bq_conf=quantizer("bias", g, 1),
               iq_conf=quantizer("datalane", g, 2, "SAT"), name="first")(x)
    y = QDense(8, activation="relu", use_bias=False, kq_conf=quantizer("weight", g, 2, "SAT"),
               iq_conf=quantizer("datalane", g, 2), name="no_bias")(y)
    y = keras.layers.Reshape((2, 4))(y)
    y = QDense(4, kq_conf=quantizer("weight", g, 2), bq_conf=quantizer("bias", g, 1),
               iq_conf=quantizer("datalane", g, 3), name="positions")(y)
    return keras.Model(x, y)


def conv(g: str) -> keras.Model:
    """Convolutions with padding, strides and groups, batch normalization, pooling, and a dense end."""
    x = keras.Input((6, 5, 2))
    y = QConv2D(4, 3, padding="same", activation="relu", kq_conf=quantizer("weight", g, 4),
                bq_conf=quantizer("bias", g, 1), iq_conf=quantizer("datalane", g, 4), name="same")(x)
    y = QBatchNormalization(kq_conf=quantizer("weight", g, 1), bq_conf=quantizer("bias", g, 1),
                            iq_conf=quantizer("datalane", g, 4), name="normal")(y)
    y = QConv2D(8, (3, 2), strides=2, groups=2, padding="same", activation="relu", kq_conf=quantizer("weight", g, 4),
                bq_conf=quantizer("bias", g, 1), iq_conf=quantizer("datalane", g, 4), name="groups")(y)
    y = QAveragePooling2D(2, strides=1, iq_conf=quantizer("datalane", g, 4), name="pool")(y)
    y = keras.layers.Flatten()(y)
    y = QDense(4, kq_conf=quantizer("weight", g, 2), bq_conf=quantizer("bias", g, 1),
               iq_conf=quantizer("datalane", g, 2), name="end")(y)
    return keras.Model(x, y)


def line(g: str) -> keras.Model:
    """One-dimensional convolutions: valid with a stride, dilated without bias; and an einsum."""
    x = keras.Input((9, 2))
    y = QConv1D(4, 3, strides=2, activation="relu", kq_conf=quantizer("weight", g, 3), bq_conf=quantizer("bias", g, 1),
                iq_conf=quantizer("datalane", g, 3), name="valid")(x)
    y = QConv1D(4, 2, dilation_rate=2, use_bias=False, padding="same", activation="relu",
                kq_conf=quantizer("weight", g, 3), iq_conf=quantizer("datalane", g, 3), name="dilated")(y)
    y = QEinsumDense("btc,tcd->btd", (4, 8), bias_axes="d", kq_conf=quantizer("weight", g, 3),
                     bq_conf=quantizer("bias", g, 1), iq_conf=quantizer("datalane", g, 3), name="einsum")(y)
    return keras.Model(x, y)


def merges(g: str) -> keras.Model:
    """Sum and product of two branches, the same widths in every value."""
    x = keras.Input((4,))
    ends = [QDense(4, kq_conf=quantizer("weight", g, 2), bq_conf=quantizer("bias", g, 1),
                   iq_conf=quantizer("datalane", g, 2), name=name)(x) for name in ("left", "right")]
    inputs = [quantizer("datalane", "tensor", 2), quantizer("datalane", "tensor", 2)]
    y = QAdd(iq_confs=inputs, name="sum")(ends)
    return keras.Model(x, QMultiply(iq_confs=inputs, name="product")([y, ends[0]]))


NETWORKS = {"dense": dense, "conv": conv, "line": line, "merges": merges}


def draw(model: keras.Model, random: np.random.Generator) -> None:
    """Weights, and widths from 0 to 7 for weights and from 1 to 7 for the rest."""
    for weight in model.trainable_weights:
        if weight.path.rsplit("/", 1)[-1] in ("kernel", "bias", "gamma", "beta"):
            weight.assign(random.normal(0, 1, weight.shape))
    for part in model._flatten_layers():
        if isinstance(part, Quantizer):
            inner = part.quantizer
            name = "_b" if hasattr(inner, "_b") else "_f"
            low = 0 if inner._is_weight and np.prod(inner._i.shape) > 1 else 1
            getattr(inner, name).assign(random.integers(low, 8, inner._i.shape))
            inner._i.assign(random.integers(0, 2, inner._i.shape))


def widths_of(found: Quantizer) -> dict:
    """k, i, f and overflow mode of a quantizer, shaped as HGQ2 keeps them."""
    inner = found.quantizer
    kif = {name: np.asarray(value).astype(int).tolist() for name, value in zip("kif", inner.kif, strict=True)}
    shape = np.asarray(inner.kif[1]).shape
    return {**kif, "shape": list(shape), "overflow": inner.overflow_mode}


def record(layer: keras.Layer) -> dict:
    """What prices a layer, and what HGQ2 says it costs."""
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    config = {name: getattr(layer, name) for name in _CONFIG if hasattr(layer, name)}
    found: dict = {
        "name": layer.name, "class_name": type(layer).__name__, "config": config,
        "inbound": [one._keras_history.operation.name for one in inputs],
        "input_shapes": [list(one.shape[1:]) for one in inputs], "output_shape": list(layer.output.shape[1:]),
        "weights": {name: list(getattr(layer, name).shape) for name in ("kernel", "bias")
                    if getattr(layer, name, None) is not None},
    }
    names = _QUANTIZERS
    if isinstance(layer, QBatchNormalization):  # whose own `beta` is the weight of EBOPs in the loss
        found["weights"] = {"gamma": [inputs[0].shape[-1]], "beta": [inputs[0].shape[-1]]}
        names = {"kq": "gamma", "bq": "beta", "iq": "input"}
    if getattr(layer, "enable_ebops", False):
        found["ebops"] = int(layer.ebops)
        found["widths"] = {name: widths_of(getattr(layer, key)) for key, name in names.items()
                           if isinstance(getattr(layer, key, None), Quantizer)}
        if len(inputs) > 1:
            found["inputs"] = [widths_of(one) for one in layer.iq]
    return found


def main() -> None:
    """Write the file."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "hgq_ebops.json"
    networks = []
    for number, (name, build) in enumerate(NETWORKS.items()):
        for granularity in GRANULARITIES:
            random = np.random.default_rng(number)
            keras.utils.set_random_seed(number)
            with LayerConfigScope(enable_ebops=True, beta0=0.0):
                model = build(granularity)
            draw(model, random)
            data = random.normal(0, 1, (64, *model.input_shape[1:])).astype("float32")
            total = trace_minmax(model, data)
            networks.append({"name": f"{name}-{granularity}", "ebops": int(total),
                             "layers": [record(layer) for layer in model.layers
                                        if not isinstance(layer, keras.layers.InputLayer)]})
    found = {"what": __doc__, "hgq2": hgq.__version__, "keras": keras.__version__, "networks": networks}
    target.write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
