"""The jobs behind the table of layers: sensitivities, recorded values, integer bits from data."""

from __future__ import annotations

import msgspec
import numpy as np

from core import requests
from core.arrays import parts_of
from core.dataset import Dataset
from core.errors import Cancelled
from core.events import Monitor
from core.loading import bring_in_tensorflow, dataset_of, model_of
from core.quant.measures import Key, Recorded, Sensitivity
from core.quant.recipe import OUTPUT, Recipe

#: values of one tensor that are handed over
KEPT = 20_000


def measure_sensitivity(request: requests.MeasureSensitivity, monitor: Monitor) -> list[Sensitivity]:
    """See MeasureSensitivity."""
    dataset = _loaded(request, monitor)
    from core.quant.sensitivities import sensitivity

    monitor.stage("measure")
    found: list[Sensitivity] = []
    try:
        sensitivity(model_of(request.model), request.recipe, dataset, monitor, request.events, found.append)
    except Cancelled:
        if not found:
            raise
    return found


def record_values(request: requests.RecordValues, monitor: Monitor) -> Recorded:
    """See RecordValues."""
    events = _loaded(request, monitor).x_val[:request.events]
    from core.model_io import describe_model
    from core.quant.calibration import calibration_samples

    monitor.stage("record")
    model = model_of(request.model)
    info = describe_model(model)
    weights = {(layer.name, weight.parameter) for layer in info.layers for weight in layer.weights}
    found: dict[Key, np.ndarray] = {key: _thinned(values) for key, values in calibration_samples(model, events).items()
                                    if key not in weights}
    for name, values in zip(info.inputs, parts_of(events), strict=True):
        found[name, OUTPUT] = _thinned(values)
    return Recorded(len(events), found)


def calibrate(request: requests.Calibrate, monitor: Monitor) -> Recipe:
    """See Calibrate."""
    dataset = _loaded(request, monitor)
    from core.quant import calibration

    monitor.stage("calibrate")
    recipe = request.recipe
    found = calibration.calibrate(model_of(request.model), recipe, dataset.x_train[:request.events], request.method)
    if not request.layers:
        return found
    layers = {name: found.layers[name] if name in request.layers else entry for name, entry in recipe.layers.items()}
    return msgspec.structs.replace(recipe, layers=layers)


def _loaded(request: requests.MeasureSensitivity | requests.RecordValues | requests.Calibrate,
            monitor: Monitor) -> Dataset:
    monitor.stage("load")
    dataset = dataset_of(request.data, request.model)
    bring_in_tensorflow()
    return dataset


def _thinned(values: np.ndarray) -> np.ndarray:
    flat = np.asarray(values, np.float32).ravel()
    return np.ascontiguousarray(flat[:: max(-(-flat.size // KEPT), 1)])
