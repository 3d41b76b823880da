"""Exports of models with several inputs and outputs: every value of every output is compared."""

from __future__ import annotations

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from core.arrays import Several, flat
from core.errors import ExportError
from core.events import Monitor
from core.hls import diagnosis, exactness, hls4ml_flow
from core.hls.export import ExportOptions, export
from core.hls.hls4ml_options import Hls4mlOptions
from core.hls.network import logits_model, read_network
from core.hls.rtl_alkaid import trace_network
from core.model_io import describe_model
from core.quant import quantize, uniform
from core.quant.evaluation import predict
from core.quant.samples import events_for
from tests.core.several import network


@pytest.fixture(scope="module")
def model():
    """tracks (5) and calo (3), in this order -> kind (3) and energy (1); quantized with unlike widths."""
    built = network()
    return quantize(built, uniform(describe_model(built), 5))


def test_that_logic_traced_from_all_inputs_gives_all_outputs(model):
    found = read_network(model)
    assert found.entries == ("tracks_quantizer", "calo_quantizer")
    assert found.results == ("scores", "energy") and found.softmax
    events = events_for(model, 300)
    assert isinstance(events, Several) and [part.shape for part in events.parts] == [(300, 5), (300, 3)]
    given = np.concatenate([np.asarray(model.get_layer(name).output_quantizer(part.astype(np.float64)))
                            for name, part in zip(found.entries, events.parts, strict=True)], axis=1)
    wanted = flat(predict(logits_model(model)[0], events, "float64"))
    assert wanted.shape == (300, 4) and np.unique(wanted).size > 20
    np.testing.assert_array_equal(np.asarray(trace_network(found).predict(given)), wanted)


def test_that_written_cpp_gives_all_outputs(model):
    assert hls4ml_flow.hls4ml_mismatches(model, events_for(model, 100)) == 0


@pytest.mark.slow
def test_that_both_flows_prove_every_output(model, tmp_path):
    options = ExportOptions("both", events=120, synthesize=False)
    report = export(model, events_for(model, 200), options, tmp_path / "out")
    assert report.exactness.mismatches == 0
    assert {name: check.values for name, check in report.exactness.flows.items()} == {"c++": 480, "rtl": 480}
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    assert manifest["hls"]["input_sizes"] == [5, 3] and manifest["hls"]["output_sizes"] == [3, 1]
    bench = (tmp_path / "out/hls4ml/tb_data/tb_input_features.dat").read_text().splitlines()
    assert len(bench[0].split()) == 8
    run = manifest["checks"]["c++"]["run"]  # what the export runs by itself, with the numbers of its inputs and outputs
    library = next((tmp_path / "out/hls4ml/firmware").glob("*.so"))
    words = {"{python}": sys.executable, "{library}": str(library), "{result}": str(tmp_path / "result.npy")}
    subprocess.run([words.get(word, word) for word in run["command"]], cwd=tmp_path / "out" / run["folder"], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "result.npy"), np.load(tmp_path / "out/golden/expected_cpp.npy"))


def test_that_a_backend_of_one_input_says_so(model):
    with pytest.raises(ExportError, match="VivadoAccelerator backend takes one input and one output, the model"):
        hls4ml_flow.check(model, Hls4mlOptions(backend="VivadoAccelerator"))


@pytest.mark.slow
def test_that_an_output_inside_and_an_input_of_two_axes_do(tmp_path):
    """The output "deep" is read further on; the input "grid" goes through a convolution."""
    keras.utils.set_random_seed(4)
    grid, other = keras.Input((4, 4, 1), name="grid"), keras.Input((3,), name="other")
    seen = keras.layers.Flatten(name="flat")(keras.layers.Conv2D(2, 3, activation="relu", name="conv")(grid))
    deep = keras.layers.Dense(4, activation="relu", name="deep")(keras.layers.Concatenate(name="both")([other, seen]))
    built = keras.Model([grid, other], [deep, keras.layers.Dense(2, name="last")(deep)])
    quantized = quantize(built, uniform(describe_model(built), 4))
    events = events_for(quantized, 100)
    wanted = flat(predict(quantized, events, "float64"))
    found = read_network(quantized)
    given = np.concatenate([np.asarray(quantized.get_layer(name).output_quantizer(part.astype(np.float64))).reshape(
        100, -1) for name, part in zip(found.entries, events.parts, strict=True)], axis=1)
    np.testing.assert_array_equal(np.asarray(trace_network(found).predict(given)), wanted)
    assert hls4ml_flow.hls4ml_mismatches(quantized, events) == 0


@pytest.mark.slow
@pytest.mark.parametrize("softmax", ["argmax", "keep"])
def test_that_a_softmax_of_one_of_two_outputs_is_what_is_asked_for(model, softmax, tmp_path):
    options = ExportOptions("hls4ml", events=100, synthesize=False, hls4ml=Hls4mlOptions(softmax=softmax))
    report = export(model, events_for(model, 100), options, tmp_path / "out")
    assert report.exactness.mismatches == 0
    assert ("names the same class" in report.exactness.note) == (softmax == "keep")


@pytest.mark.slow
def test_that_the_layer_of_a_fault_is_named_behind_two_inputs(model, tmp_path):
    """A changed weight in the written C++ is found and named."""
    events = events_for(model, 40)
    graph = hls4ml_flow.write_project(model, tmp_path, "xcvu9p-flgb2104-2L-e", 5.0, Monitor())
    head = next(path for path in sorted((tmp_path / "firmware/weights").glob("w*.h"))
                if "[18]" in path.read_text())  # of the layer "two", 3 by 6
    values = head.with_suffix(".txt").read_text().split(",")
    head.with_suffix(".txt").write_text(",".join([str(float(values[0]) + 0.25), *values[1:]]))
    exported = logits_model(model)[0]
    found = hls4ml_flow.emulate(graph, tmp_path, flat(events), Monitor())
    check = exactness.compare("c++", flat(predict(exported, events, "float64")), found, 0.0)
    assert check.first is not None
    told = diagnosis.diagnosed(check, exported, read_network(model), events[check.first.event:][:1], tmp_path,
                               Monitor())
    assert told.first.layer == "two"
