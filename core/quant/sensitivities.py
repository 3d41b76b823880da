"""How much is lost when a single parameter type of a single layer is quantized. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import msgspec
import tensorflow as tf

from core.dataset import Dataset
from core.events import Monitor
from core.model_io import describe_model
from core.quant.build import quantize
from core.quant.feeding import gathered, tensors
from core.quant.measures import Sensitivity
from core.quant.objectives import objective_of
from core.quant.recipe import INPUT, LayerRecipe, Recipe, merged
from core.quant.taps import Key, Place, places, tapped

#: validation events that are looked at if nothing is said; one standard error of an accuracy then is below 0.5 %
EVENTS = 10_000
BATCH = 5_000


Wanted = Recipe | Mapping[Key, str] | str


def sensitivity(model: keras.Model, wanted: Wanted, dataset: Dataset, monitor: Monitor | None = None,
                events: int | None = EVENTS, told: Callable[[Sensitivity], None] | None = None) -> list[Sensitivity]:
    """One Sensitivity for each quantizer, in the model's order; no training.

    Args:
        model: the float model.
        wanted: a recipe; or quantizer strings by (layer, parameter); or one string for whatever can be
            quantized in the model.
        events: so many of the dataset's validation events are looked at; None: all.
        told: is given each result as soon as it is known; the monitor gets it as a log line and as progress.

    Everything is one compiled program with a switch for each quantizer, so that no result costs a trace.

    Raises:
        RecipeError, QuantizerError: the recipe does not fit the model.
        Cancelled: when asked to stop; `told` has what was known by then.
    """
    monitor = monitor or Monitor()
    recipe = _recipe(model, wanted)
    judge = _Switched(quantize(model, recipe), dataset, events)
    base = judge.figure(None)
    monitor.log(f"float: {judge.name} {base:.4f} on {judge.events} validation events")
    found = []
    for number, key in enumerate(judge.keys):
        monitor.check()
        metric = judge.figure(key)
        text = recipe.input if key == INPUT else str(recipe.spec(*key))
        found.append(Sensitivity(*key, metric_drop=base - metric, metric=metric, quantizer=text, name=judge.name))
        monitor.log(f"{' '.join(filter(None, key))} as {text}: {judge.name} {metric:.4f} ({metric - base:+.4f})")
        monitor.progress("sensitivity", number + 1, len(judge.keys))
        if told is not None:
            told(found[-1])
    return found


def _recipe(model: keras.Model, wanted: Wanted) -> Recipe:
    if isinstance(wanted, Recipe):
        return msgspec.structs.replace(wanted, layers={
            name: msgspec.structs.replace(entry, units_multiplier=1.0) for name, entry in wanted.layers.items()})
    if isinstance(wanted, str):
        layers = {layer.name: LayerRecipe(quantizers=dict.fromkeys(layer.quantizable, wanted))
                  for layer in describe_model(model).layers if layer.quantizable}
        return Recipe(name="sensitivity", layers=layers)
    recipe = merged(Recipe(name="sensitivity"), {key: text for key, text in wanted.items() if key != INPUT})
    return msgspec.structs.replace(recipe, input=wanted[INPUT]) if INPUT in wanted else recipe


class _Switched:
    """A quantized model in which one quantizer at a time is on, all others doing what the float model does."""

    def __init__(self, model: keras.Model, dataset: Dataset, events: int | None) -> None:
        self._model, self._objective = model, objective_of(dataset)
        self._x, self._y = dataset.x_val[:events], dataset.y_val[:events]
        self.keys = list(dict.fromkeys(key for _, _, key in places(model)))
        self.name, self.events = self._objective.metric, len(self._x)
        self._run = tf.function(self._outputs, autograph=False, reduce_retracing=True)
        self._data = [tensors(self._x[start:start + BATCH]) for start in range(0, self.events, BATCH)]

    def figure(self, key: Key | None) -> float:
        """The task's figure with this quantizer on; None: none of them."""
        on = tf.constant(-1 if key is None else self.keys.index(key))
        outputs = gathered(self._model, [self._run(part, on) for part in self._data])
        return float(self._objective.figure(self._x, self._y, outputs))

    def _outputs(self, x: Any, on: tf.Tensor) -> Any:
        def tap(place: Place, given: Any, wanted: Any, quantized: Any) -> Any:
            return tf.cond(tf.equal(on, self.keys.index(place[2])), quantized, wanted)

        with tapped(self._model, tap):
            return self._model(x, training=False)
