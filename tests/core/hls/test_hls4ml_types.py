"""Where hls4ml itself narrows types wrongly: small networks that showed it, as C++ against Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from core.events import Monitor
from core.hls import hls4ml_flow
from core.hls.network import logits_model
from core.quant import Recipe, predict, quantize
from core.quant.recipe import LayerRecipe


def _dense(kernel: list[list[float]], recipe: dict[str, str], source: str) -> keras.Model:
    inputs = keras.Input((len(kernel),), name="x")
    hidden = keras.layers.Dense(len(kernel[0]), use_bias=False, name="fc")(inputs)
    model = keras.Model(inputs, keras.layers.Activation("linear", name="act")(hidden))
    model.get_layer("fc").set_weights([np.array(kernel)])
    layers = {"fc": LayerRecipe(quantizers={"kernel": recipe["kernel"]}),
              "act": LayerRecipe(quantizers={"output": recipe["output"]})}
    return quantize(model, Recipe(layers=layers, input=source))


@pytest.mark.parametrize(("kernel", "recipe", "source"), [
    ([[0.5, 1.0]], {"kernel": "quantized_bits(3,1,alpha=1)", "output": "quantized_relu(4,2)"},
     "quantized_bits(6,5,alpha=1)"),
    ([[0.5, 0.0]], {"kernel": "quantized_bits(3,1,alpha=1)", "output": "quantized_relu(4,-1)"},
     "quantized_bits(6,3,alpha=1)"),
], ids=["saturates to a value finer than its input", "negative integer bits and a channel that is always 0"])
def test_a_quantizer_keeps_its_type(kernel: list[list[float]], recipe: dict[str, str], source: str,
                                    tmp_path: Path) -> None:
    model = _dense(kernel, recipe, source)
    events = np.linspace(-40, 40, 321, dtype=np.float32).reshape(-1, 1)
    wanted = predict(logits_model(model)[0], events, "float64").reshape(len(events), -1)
    graph = hls4ml_flow.write_project(model, tmp_path, "xcvu9p-flgb2104-2L-e", 5.0, Monitor())
    np.testing.assert_array_equal(hls4ml_flow.emulate(graph, tmp_path, events, Monitor()), wanted)
    assert wanted.max() in (3.75, 15 / 32)
