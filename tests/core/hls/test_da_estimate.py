"""Distributed-arithmetic estimates: trees counted by hand, caches, and that no keras is needed."""

import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from core.errors import ExportError
from core.hls.da_estimate import (
    DaEstimate,
    DaLayer,
    DaOptions,
    EstimateCache,
    LayerEstimate,
    _logic,
    estimate,
    estimate_candidate,
    estimate_layer,
    key_of,
    layers_of,
)
from core.model_info import LayerInfo, ModelInfo, WeightInfo
from core.quant.quantizers import FixedPoint, quantizer
from core.quant.recipe import LayerRecipe, Recipe

pytest.importorskip("alkaid")
FOUR = FixedPoint(True, 4, 0)


def layer(kernel, name="one", source=FOUR, **options):
    return DaLayer(name, np.array(kernel, dtype=float), source, **options)


def measured(kernel, **options):
    return estimate_layer(layer(kernel, **options), cache=EstimateCache())


@pytest.mark.parametrize("kernel", [[[1]], [[0.5]], [[0]], [[1, 2, 0.25]]])
def test_wires_cost_nothing(kernel):
    found = measured(kernel)
    assert (found.lut, found.adders, found.depth, found.latency_ns) == (0, 0, 0, 0)


@pytest.mark.parametrize("kernel, adders, depth", [
    ([[1], [1]], 1, 1),  # a + b
    ([[3]], 1, 1),  # a + 2a
    ([[7]], 1, 1),  # 8a - a
    ([[1], [1], [1]], 1, 1),  # one adder of three inputs
    ([[1], [1], [1], [1]], 2, 2),  # three at once, then the fourth
    ([[1, 1], [1, 1]], 1, 1),  # both outputs are one sum
    ([[1, 1], [1, -1]], 2, 1),  # a + b and a - b
])
def test_trees_counted_by_hand(kernel, adders, depth):
    found = measured(kernel)
    assert (found.adders, found.depth) == (adders, depth)
    # alkaid's model charges about a LUT a bit of an adder, and above a nanosecond
    assert found.lut >= 3 * adders and found.latency_ns > depth


def test_places_multiply_area_and_not_depth():
    once, often = measured([[3, 5]]), measured([[3, 5]], places=12)
    assert (often.lut, often.adders) == (12 * once.lut, 12 * once.adders)
    assert (often.depth, often.latency_ns) == (once.depth, once.latency_ns)


def test_measured_logic_computes_the_layer():
    random = np.random.default_rng(3)
    kernel = np.clip(np.rint(random.normal(0, 3, (5, 4))), -7, 7) / 8
    bias = np.array([0.5, -0.25, 0, 0.125])
    output = quantizer("quantized_relu(4,1)")
    one = layer(kernel, bias=bias, activation="relu", output=output.fixed_point())
    inputs = random.integers(-8, 8, (200, 5)) / 8
    found = np.asarray(_logic(one, {"hard_dc": 2}).predict(inputs))
    assert np.array_equal(found, np.asarray(output(inputs @ kernel + bias)))


def test_whole_is_the_longest_way():
    def made(name, depth, latency):
        return LayerEstimate(name=name, lut=10, adders=3, depth=depth, latency_ns=latency, key=name, computed=0.0,
                             seconds=0)

    class Known(EstimateCache):
        def get(self, key):
            return by_key[key]

    layers = [layer([[1]], "a", inbound=()), layer([[2]], "b", inbound=("a",)), layer([[4]], "c", inbound=("a",)),
              layer([[8]], "d", inbound=("b", "c"))]
    figures = {"a": (2, 3.0), "b": (4, 5.5), "c": (5, 5.0), "d": (1, 1.5)}
    by_key = {key_of(one, DaOptions()): made(one.name, *figures[one.name]) for one in layers}
    whole = estimate(layers, cache=Known())
    # a, c, d are the deepest: 2 + 5 + 1; a, b, d the slowest: 3 + 5.5 + 1.5
    assert (whole.depth, whole.latency_ns, whole.lut, whole.adders) == (8, 10.0, 40, 12)
    # stages of four fifths of 5 ns: 10 / 4 is three
    assert whole.cycles(5.0) == 3
    assert DaEstimate(layers=(), depth=0, latency_ns=0.0).age_s == 0


def test_looked_up_by_weights_types_and_options():
    one = layer([[3, 5], [1, 7]])
    key = key_of(one, DaOptions())
    assert key == key_of(layer([[3, 5], [1, 7]], "other name"), DaOptions())
    others = [layer([[3, 5], [1, 6]]), layer([[3, 5], [1, 7]], source=FixedPoint(True, 5, 0)),
              layer([[3, 5], [1, 7]], bias=np.zeros(2)), layer([[3, 5], [1, 7]], activation="relu"),
              layer([[3, 5], [1, 7]], output=FOUR), layer([[3, 5], [1, 7]], places=2)]
    assert len({key, *(key_of(other, DaOptions()) for other in others), key_of(one, DaOptions(hard_dc=0))}) == 8


def test_kept_on_disk_with_its_age(tmp_path, monkeypatch):
    first = estimate_layer(layer([[3, 5]]), cache=EstimateCache(tmp_path))
    (file,) = tmp_path.glob("*.json")
    monkeypatch.setattr("core.hls.da_estimate._measured", lambda *_: pytest.fail("computed again"))
    again = estimate_layer(layer([[3, 5]], "renamed"), cache=EstimateCache(tmp_path))
    assert again == msgspec.structs.replace(first, name="renamed")
    monkeypatch.setattr("core.hls.da_estimate.time.time", lambda: first.computed + 90.0)
    assert again.age_s == 90.0
    monkeypatch.undo()
    file.write_text("{")
    assert estimate_layer(layer([[3, 5]]), cache=EstimateCache(tmp_path)).lut == first.lut
    assert msgspec.json.decode(file.read_bytes())["lut"] == first.lut


def test_weights_that_were_never_quantized_are_refused():
    with pytest.raises(ExportError, match="multiples of a power of two"):
        measured([[0.1]])
    with pytest.raises(ExportError, match="do not fit"):
        measured([[1, 2]], bias=np.zeros(3))


def _model(layers):
    source = LayerInfo(name="in", class_name="InputLayer", output_shape=layers[0].input_shapes[0])
    return ModelInfo(name="m", layers=(source, *layers), inputs=("in",), outputs=(layers[-1].name,))


def test_layers_of_a_candidate():
    kernel = np.array([[0.5, 0.25, 0.125], [0.75, 0.0, 0.5]])
    info = _model([
        LayerInfo(name="fc", class_name="Dense", inbound=("in",), input_shapes=((2,),), output_shape=(3,),
                  weights=(WeightInfo(parameter="kernel", shape=(2, 3)),)),
        LayerInfo(name="act", class_name="Activation", inbound=("fc",), input_shapes=((3,),), output_shape=(3,),
                  config={"activation": "relu"}),
        LayerInfo(name="next", class_name="Dense", inbound=("act",), input_shapes=((3,),), output_shape=(1,),
                  weights=(WeightInfo(parameter="kernel", shape=(3, 1)),)),
        LayerInfo(name="pool", class_name="GlobalMaxPooling1D", inbound=("next",), input_shapes=((1,),),
                  output_shape=(1,)),
    ])
    four = "quantized_bits(4,0,alpha=1)"
    recipe = Recipe(layers={"fc": LayerRecipe(quantizers={"kernel": four}),
                            "act": LayerRecipe(quantizers={"output": "quantized_relu(5,1)"}),
                            "next": LayerRecipe(quantizers={"kernel": four})}, input="quantized_bits(6,1)")
    layers, notes = layers_of(info, recipe, {"fc": {"kernel": kernel}, "next": {"kernel": np.ones((3, 1)) / 2}})
    assert notes == ["pool: GlobalMaxPooling1D has no estimate"]
    fc, following = layers
    assert (fc.name, fc.source, fc.activation, fc.output) == (
        "fc", FixedPoint(True, 6, 1), "linear", FixedPoint(False, 5, 1))
    assert (following.source, following.inbound) == (FixedPoint(False, 5, 1), ("fc",))
    found = estimate_candidate(info, recipe, {"fc": {"kernel": kernel}})
    assert [one.name for one in found.layers] == ["fc"]
    assert found.notes[0] == "next: its quantized weights are not known"


def test_convolutions_are_matrices_of_one_place():
    kernel = np.arange(1, 9).reshape(2, 1, 4) / 8  # 2 taps, 2 groups of 1 channel, 4 filters
    depthwise = np.array([[[1], [2]], [[3], [4]]])  # 2 taps, 2 channels
    info = _model([
        LayerInfo(name="groups", class_name="Conv1D", inbound=("in",), input_shapes=((5, 2),), output_shape=(4, 4),
                  weights=(WeightInfo(parameter="kernel", shape=(2, 1, 4)),), config={"groups": 2}),
        LayerInfo(name="deep", class_name="DepthwiseConv1D", inbound=("in",), input_shapes=((5, 2),),
                  output_shape=(4, 2), weights=(WeightInfo(parameter="depthwise", shape=(2, 2, 1)),)),
    ])
    four = "quantized_bits(4,0,alpha=1)"
    recipe = Recipe(layers={"groups": LayerRecipe(quantizers={"kernel": four}),
                            "deep": LayerRecipe(quantizers={"depthwise": four})}, input="quantized_bits(6,1)")
    (groups, deep), _ = layers_of(info, recipe, {"groups": {"kernel": kernel}, "deep": {"depthwise": depthwise}})
    assert (groups.kernel * 8).tolist() == [[1, 2, 0, 0], [0, 0, 3, 4], [5, 6, 0, 0], [0, 0, 7, 8]]
    assert deep.kernel.tolist() == [[1, 0], [0, 2], [3, 0], [0, 4]]
    assert groups.places == deep.places == 4


def test_needs_no_keras():
    code = ("import numpy as np, sys; from core.hls import da_estimate as d;"
            "d.estimate_layer(d.DaLayer('x', np.array([[3.0]]), d.FixedPoint(True, 4, 0)));"
            "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))")
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
