"""What is measured of a model for the table of layers, as plain values: no TensorFlow; the window reads them."""

from __future__ import annotations

import msgspec
import numpy as np

#: (layer name, parameter type) as in a recipe
Key = tuple[str, str]


class Sensitivity(msgspec.Struct, frozen=True):
    """What quantizing one parameter type of one layer alone does to the task's figure ("accuracy", "AUC", "R2").

    `metric_drop` is the float model's figure minus `metric`, the figure with that one quantized. The inputs
    have an empty layer and the parameter "input".
    """

    layer: str
    parameter: str
    metric_drop: float
    metric: float
    quantizer: str = ""
    name: str = "accuracy"


class Recorded(msgspec.Struct, frozen=True):
    """Values of the float model on `events` events, (values,) float32 each, by (layer, parameter).

    An output's is what the layer gives, after its activation function; an input layer's "output" the events
    themselves. Of more values than fit the message evenly spaced ones are kept.
    """

    events: int
    values: dict[Key, np.ndarray]
