"""The jobs behind the table of layers, on the bundled model."""

from __future__ import annotations

import numpy as np
import pytest

import resources
from core import workflows
from core.errors import Cancelled
from core.events import Monitor
from core.loading import dataset_of
from core.model_io import inspect_model
from core.quant.recipe import uniform
from core.requests import Calibrate, MeasureSensitivity, RecordValues

MODEL = str(resources.path("models/jet_tagger.keras"))


@pytest.fixture(scope="module")
def info():
    return inspect_model(MODEL)


def test_that_narrow_first_layers_are_found_most_sensitive(info):
    done = []
    found = workflows.run(MeasureSensitivity(model=MODEL, data="jets", recipe=uniform(info, 3, 1), events=3000),
                          Monitor(done.append))
    drops = {(one.layer, one.parameter): one.metric_drop for one in found}
    assert set(drops) >= {("fc1", "kernel"), ("relu1", "output"), ("output", "bias")}
    assert drops["fc1", "kernel"] > 0.01
    assert drops["fc1", "kernel"] > drops["output", "bias"]
    assert {one.name for one in found} == {"accuracy"}
    assert any(getattr(event, "total", 0) == len(found) for event in done)


def test_that_stopping_keeps_what_is_known_and_nothing_known_is_cancelled(info):
    request = MeasureSensitivity(model=MODEL, data="jets", recipe=uniform(info, 3, 1), events=500)
    told = []
    found = workflows.run(request, Monitor(told.append, lambda: any("fc1" in str(event) for event in told)))
    assert 0 < len(found) < 6
    with pytest.raises(Cancelled):
        workflows.run(request, Monitor(cancelled=lambda: True))


def test_that_recorded_values_are_those_of_the_float_model(info):
    found = workflows.run(RecordValues(model=MODEL, data="jets", events=300))
    assert found.events == 300
    assert ("fc1", "kernel") not in found.values
    relu, before = found.values["relu1", "output"], found.values["fc1", "output"]
    assert relu.dtype == np.float32 and relu.size == 300 * 64
    assert relu.min() == 0 and before.min() < 0
    np.testing.assert_array_equal(relu, np.maximum(before, 0))
    assert np.sort(found.values["features", "output"]) == pytest.approx(np.sort(dataset_of("jets").x_val[:300].ravel()))


def test_that_calibration_changes_integer_bits_alone_and_only_in_the_layers_named(info):
    recipe = uniform(info, 6)
    found = workflows.run(Calibrate(model=MODEL, data="jets", recipe=recipe, events=500))
    assert found.spec("relu1", "output")["bits"] == 6
    assert found.spec("relu1", "output")["integer"] > 0
    only = workflows.run(Calibrate(model=MODEL, data="jets", recipe=recipe, events=500, layers=["relu1"]))
    assert only.text("relu1", "output") == found.text("relu1", "output")
    assert only.text("relu2", "output") == recipe.text("relu2", "output")
