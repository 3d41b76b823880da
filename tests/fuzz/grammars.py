"""Inputs that hypothesis makes from scratch: sound in form, wild in content."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

_NAMES = st.sampled_from(
    [
        "name",
        "config",
        "class_name",
        "layers",
        "units",
        "filters",
        "kernel_size",
        "strides",
        "axis",
        "batch_shape",
        "inbound_nodes",
        "module",
        "registered_name",
        "activation",
        "quantizers",
        "kernel",
        "bias",
        "output",
        "input",
        "fc1",
        "relu1",
        "schema_version",
        "sparsity",
        "widths",
    ]
)
_WORDS = st.sampled_from(
    [
        "Dense",
        "Conv2D",
        "InputLayer",
        "Sequential",
        "Functional",
        "ReLU",
        "Lambda",
        "Reshape",
        "Flatten",
        "Concatenate",
        "Dot",
        "EinsumDense",
        "keras.layers",
        "os",
        "same",
        "valid",
        "quantized_bits(4,0)",
        "ternary",
        "quantized_relu(4)",
        "tensor",
        "ab,bc->ac",
    ]
)
_PLAIN: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-5, 20) | st.integers() | st.floats() | st.text(max_size=20) | _WORDS
)
JSON: st.SearchStrategy[Any] = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_NAMES | st.text(max_size=8), inner, max_size=6),
    max_leaves=25,
)


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


_LAYER = st.fixed_dictionaries(
    {"class_name": _WORDS, "config": st.dictionaries(_NAMES, JSON, max_size=6)},
    optional={"name": st.sampled_from("abcd"), "inbound_nodes": JSON, "module": JSON, "registered_name": JSON},
)
_MODEL = st.fixed_dictionaries(
    {
        "class_name": st.sampled_from(["Sequential", "Functional", "Model"]),
        "config": st.fixed_dictionaries(
            {"layers": st.lists(_LAYER, max_size=5)},
            optional={"name": JSON, "input_layers": JSON, "output_layers": JSON, "build_input_shape": JSON},
        ),
    }
)
_ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "quantizers": st.dictionaries(_NAMES, _WORDS | st.text(max_size=30), max_size=4),
        "sparsity": _PLAIN,
        "units_multiplier": _PLAIN,
        "widths": JSON,
    },
)
_RECIPE = st.fixed_dictionaries(
    {},
    optional={
        "name": _PLAIN,
        "layers": st.dictionaries(_NAMES, _ENTRY, max_size=4),
        "input": _WORDS | st.text(max_size=30),
        "schema_version": _PLAIN,
    },
)
_ARGUMENT = st.sampled_from(
    ["1", "8", "-3", "None", "'auto'", "alpha=1", "bits=4", "x", "True", "1e3", "[]"]
) | st.text(max_size=6)
_QUANTIZER = st.builds(
    lambda kind, values: f"{kind}({','.join(values)})".encode("utf-8", "replace"),
    st.sampled_from(["quantized_bits", "ternary", "binary", "quantized_relu", "quantized_po2", "x"]),
    st.lists(_ARGUMENT, max_size=5),
)
_CSV = st.lists(
    st.lists(st.text(max_size=6) | st.floats().map(str) | st.integers().map(str), max_size=4), max_size=30
).map(lambda rows: "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass"))

#: by the name of a target, strategies of its inputs
GRAMMARS: dict[str, st.SearchStrategy[bytes]] = {
    "model description": _MODEL.map(_bytes) | JSON.map(_bytes),
    "recipe": _RECIPE.map(_bytes) | JSON.map(_bytes),
    "quantizer": _QUANTIZER | st.text().map(lambda text: text.encode("utf-8", "replace")),
    "AutoQKeras settings": st.fixed_dictionaries({"quantization_config": JSON, "limit": JSON}).map(_bytes),
    "dataset .csv": _CSV | st.binary(max_size=500),
    "tool reports": st.binary(min_size=1, max_size=600),
}
