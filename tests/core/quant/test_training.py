"""What a training may be told, each for real on a small task: schedules, freezing, pruning, noise, losses."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import TrainingError
from core.events import LogLine, Monitor
from core.model_io import describe_model
from core.quant import quantize, uniform
from core.quant.losses import compiled_loss, loss_of
from core.quant.pruning import Pruner, Pruning
from core.quant.recipe import LayerRecipe, Recipe
from core.quant.schedules import NoiseSchedule, RateSchedule
from core.quant.training import TrainOptions, train
from core.quant.training_loop import Loop
from tests.core.quant.small import dataset, network

DATA = dataset()
FAST = TrainOptions(epochs=4, batch_size=128, learning_rate=0.01)


def recipe(model: keras.Model, bits: int = 6) -> Recipe:
    return uniform(describe_model(model), bits, 2)


def quantized(seed: int = 0, bits: int = 6, **changes: float) -> keras.Model:
    model = network(seed, **changes)
    return quantize(model, recipe(model, bits))


def weights(model: keras.Model, layer: str) -> list[np.ndarray]:
    return model.get_layer(layer).get_weights()


def factors(schedule, at) -> list[float]:
    return [float(schedule(share)) for share in at]


# -- schedules ---------------------------------------------------------------------------------------------


def test_learning_rates_follow_their_formulas() -> None:
    at = (0.0, 0.25, 0.5, 1.0)
    assert factors(RateSchedule(), at) == pytest.approx([1, (1 + np.cos(np.pi / 4)) / 2, 0.5, 0], abs=1e-6)
    assert factors(RateSchedule("constant"), at) == [1, 1, 1, 1]
    assert factors(RateSchedule("exponential", final=0.0001), at) == pytest.approx([1, 0.1, 0.01, 0.0001])
    assert factors(RateSchedule("piecewise", pieces=((0.25, 0.3), (0.9, 0.1))), at) == pytest.approx([1, 0.3, 0.3, 0.1])
    warm = factors(RateSchedule("constant", warmup=0.5), at)
    assert warm == pytest.approx([0, 0.5, 1, 1])
    assert factors(RateSchedule(warmup=0.2), (0.1, 0.2, 0.6, 1)) == pytest.approx([0.5 * 1, 1, 0.5, 0], abs=1e-6)


@pytest.mark.parametrize("make", [
    lambda: RateSchedule("linear"), lambda: RateSchedule(warmup=1.0), lambda: RateSchedule("piecewise"),
    lambda: RateSchedule("exponential", final=0.0), lambda: NoiseSchedule(0.5, 0.2), lambda: Pruning(schedule="none"),
    lambda: Pruning({"first": 1.0}), lambda: Pruning(begin=0.6, end=0.5)])
def test_a_schedule_out_of_range_is_refused_with_what_to_do(make) -> None:
    with pytest.raises(TrainingError) as caught:
        make()
    assert caught.value.remedy


def test_the_rate_of_the_schedule_is_the_one_the_optimizer_uses() -> None:
    loop = Loop(quantized(), DATA, dataclasses.replace(FAST, schedule=RateSchedule("exponential", final=0.1)))
    rates = []
    for epoch in range(4):
        loop.epoch(epoch)
        rates.append(float(loop._optimizer.learning_rate))
    steps = len(DATA.x_train) // 128
    assert rates == pytest.approx([0.01 * 0.1 ** (((e + 1) * steps - 1) / (4 * steps)) for e in range(4)], rel=1e-5)


# -- starting, freezing, stopping --------------------------------------------------------------------------


def test_training_starts_from_the_weights_it_has_and_never_ends_worse() -> None:
    model = quantized()
    first = train(model, DATA, FAST)
    assert first.validation_loss[-1] < 0.7 * first.validation_loss[0] and first.best_epoch == 3
    loss = Loop(model, DATA, FAST).validation_loss()
    assert loss == pytest.approx(min(first.validation_loss), rel=1e-5)
    again = train(model, DATA, dataclasses.replace(FAST, learning_rate=1e-4, epochs=1))
    assert again.validation_loss[0] == pytest.approx(loss, abs=0.05)  # it went on, not anew
    wild = train(model, DATA, dataclasses.replace(FAST, learning_rate=3.0, epochs=1))
    assert wild.best_epoch == -1  # nothing better: the start's weights are kept
    assert Loop(model, DATA, FAST).validation_loss() <= loss * (1 + 1e-5)


def test_frozen_layers_keep_their_weights_and_can_be_trained_again_afterwards() -> None:
    model = quantized()
    before = {name: weights(model, name) for name in ("first", "second", "last")}
    train(model, DATA, dataclasses.replace(FAST, epochs=2, freeze=("first", "sec*")))
    for name in ("first", "second"):
        for old, new in zip(before[name], weights(model, name), strict=True):
            np.testing.assert_array_equal(old, new)
    assert np.abs(before["last"][0] - weights(model, "last")[0]).max() > 0.01
    assert all(layer.trainable for layer in model.layers)
    for freeze in (("first", "nothing*"), ("*",)):
        with pytest.raises(TrainingError):
            train(model, DATA, dataclasses.replace(FAST, freeze=freeze))
    assert all(layer.trainable for layer in model.layers)


def test_training_stops_when_it_gets_no_better() -> None:
    history = train(quantized(), DATA, dataclasses.replace(FAST, epochs=60, learning_rate=0.05, patience=2,
                                                           schedule=RateSchedule("constant")))
    assert history.best_epoch + 3 == len(history.validation_loss) < 60


def test_a_training_is_traced_once_whatever_changes_from_step_to_step() -> None:
    traces = []

    def loss(targets, outputs):
        traces.append(1)
        return keras.losses.sparse_categorical_crossentropy(targets, outputs)

    options = dataclasses.replace(FAST, loss=loss, pruning=Pruning({"*st": 0.5}), epochs=5)
    train(quantized(), DATA, options)
    assert len(traces) == 2  # one for the step, one for the validation


# -- pruning -----------------------------------------------------------------------------------------------


def zeros(model: keras.Model, layer: str) -> float:
    return float((weights(model, layer)[0] == 0).mean())


@pytest.mark.parametrize("schedule", ["polynomial", "constant"])
def test_pruning_ends_with_exactly_the_zeros_of_the_recipe_also_when_quantized(schedule: str) -> None:
    float_model = network()
    chosen = recipe(float_model, 8)
    chosen = chosen.with_layer("first", LayerRecipe(quantizers=chosen.layers["first"].quantizers, sparsity=0.75))
    chosen = chosen.with_layer("second", LayerRecipe(quantizers=chosen.layers["second"].quantizers, sparsity=0.5))
    model = quantize(float_model, chosen)
    pruning = Pruning.of_recipe(chosen, schedule=schedule, end=0.6)
    assert pruning is not None
    history = train(model, DATA, dataclasses.replace(FAST, epochs=6, pruning=pruning))
    assert (zeros(model, "first"), zeros(model, "second")) == (0.75, 0.5)
    assert zeros(model, "last") == 0
    quantized_zeros = (model.get_layer("first").quantized_weights()["kernel"] == 0).mean()
    assert quantized_zeros >= 0.75
    assert history.validation_loss[history.best_epoch] < 0.5  # and it still does its task
    assert Pruning.of_recipe(recipe(float_model)) is None


def test_zeros_come_in_the_cubic_course_and_those_taken_stay() -> None:
    model = quantized()
    pruning = Pruning({"first": 0.8}, begin=0.1, end=0.9, initial=0.2, updates=1000)
    pruner = Pruner(model, pruning, 101)
    kernel = model.get_layer("first")._kernel
    rng, gone, course = np.random.default_rng(0), np.zeros(kernel.shape, bool), []
    step = tf.function(pruner.step)
    for number in range(101):
        kernel.assign_add(rng.normal(0, 0.003, kernel.shape))  # what an optimizer would do, also to zeros
        step(tf.constant(number))
        value = kernel.numpy()
        assert not value[gone].any()
        gone |= value == 0
        course.append(float((value == 0).mean()))
    t = np.clip((np.arange(101) - 10) / (pruner.last - 10), 0, 1)
    expected = np.where(np.arange(101) < 10, 0, 0.8 + (0.2 - 0.8) * (1 - t) ** 3)
    np.testing.assert_allclose(course, expected, atol=0.5 / kernel.numpy().size + 1e-6)
    assert pruner.last == 90


def test_pruning_takes_the_smallest() -> None:
    model = quantized()
    before = np.abs(weights(model, "second")[0])
    Pruner(model, Pruning({"second": 0.5}, schedule="constant"), 1).step(tf.constant(0))
    gone = weights(model, "second")[0] == 0
    assert before[gone].max() <= before[~gone].min()


def test_what_cannot_be_pruned_is_said() -> None:
    float_model = network()
    model = quantize(float_model, recipe(float_model).with_quantizer("second", "kernel", "binary(alpha=1)"))
    lines: list[str] = []
    monitor = Monitor(lambda event: lines.append(event.text) if isinstance(event, LogLine) else None)
    train(model, DATA, dataclasses.replace(FAST, epochs=1, pruning=Pruning({"second": 0.5, "first": 0.5}, end=0.1)),
          monitor)
    assert [line for line in lines if "second" in line and "binary" in line]
    assert (zeros(model, "first"), zeros(model, "second")) == (0.5, 0.0)
    for targets in ({"nothing": 0.5}, {"events_quantizer": 0.5}):
        with pytest.raises(TrainingError):
            train(model, DATA, dataclasses.replace(FAST, pruning=Pruning(targets)))


# -- noise -------------------------------------------------------------------------------------------------


def test_quantization_comes_in_by_and_by_and_is_whole_in_validation() -> None:
    assert factors(NoiseSchedule(0.2, 0.6), (0.0, 0.2, 0.4, 0.6, 1.0)) == pytest.approx([0, 0, 0.875, 1, 1])
    plain = network()
    wide = uniform(describe_model(plain), 3, 6)  # coarse, and without an end in reach
    model = quantize(plain, wide)
    options = dataclasses.replace(FAST, noise=NoiseSchedule(begin=0.5, end=1.0), epochs=2)
    loop = Loop(model, DATA, options)
    with loop.installed():
        x = tf.constant(DATA.x_val[:50])
        loop._noise.assign(0.0)
        without = model(x, training=True).numpy()
        coarse = loop.validation_loss()
        loop.epoch(0)
        assert float(loop._noise) == 0.0  # the whole first epoch was one in float
        loop.epoch(1)
        assert 0.9 < float(loop._noise) < 1.0
    float_outputs = plain(x).numpy()
    np.testing.assert_allclose(without, float_outputs, atol=1e-5)
    assert coarse == pytest.approx(Loop(quantize(plain, wide), DATA, FAST).validation_loss(), rel=1e-5)
    assert all(getattr(layer, "noise", None) is None for layer in model.layers)
    history = train(quantized(bits=3), DATA, dataclasses.replace(FAST, epochs=8, noise=NoiseSchedule(end=0.5)))
    assert history.validation_loss[history.best_epoch] < 0.6


# -- losses ------------------------------------------------------------------------------------------------


def test_the_loss_of_a_compiled_model_from_memory_and_from_files(tmp_path) -> None:
    model = network()
    with pytest.raises(TrainingError):
        compiled_loss(model)
    targets, outputs = tf.constant([0, 2]), tf.constant([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    for loss in ("sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()):
        model.compile("adam", loss)
        for suffix in (".keras", ".h5"):
            model.save(tmp_path / f"model{suffix}")
            found = compiled_loss(tmp_path / f"model{suffix}")(targets, outputs)
            np.testing.assert_allclose(found, [-np.log(0.5), -np.log(0.8)], rtol=1e-5)
        np.testing.assert_allclose(compiled_loss(model)(targets, outputs), found)
    model.compile("adam", keras.losses.CategoricalCrossentropy(label_smoothing=0.3))
    model.save(tmp_path / "smooth.keras")
    smooth = compiled_loss(tmp_path / "smooth.keras")(tf.constant([[1.0, 0, 0]]), outputs[:1])
    np.testing.assert_allclose(smooth, [-(0.8 * np.log(0.5) + 0.2 * np.log(0.25))], rtol=1e-5)
    model.compile("adam", keras.losses.Huber(delta=0.5))
    model.save(tmp_path / "huber.keras")
    huber = compiled_loss(model)(tf.constant([[0.0], [0.0]]), tf.constant([[0.2], [2.0]]))
    np.testing.assert_allclose(huber, [0.02, 0.5 * 0.5**2 + 0.5 * 1.5], rtol=1e-5)
    with pytest.raises(TrainingError, match="delta"):  # Keras does not store it, and 1 would be wrong
        compiled_loss(tmp_path / "huber.keras")
    for wrong in ("os.system", {"module": "os", "class_name": "system", "config": {}}):
        with pytest.raises(TrainingError):
            loss_of(wrong)


def test_a_given_loss_is_the_one_that_falls_and_class_numbers_fit_it() -> None:
    square = train(quantized(), DATA, dataclasses.replace(FAST, loss=loss_of("mse")))
    assert square.validation_loss[-1] < 0.12 < square.training_loss[0]
    entropy = train(quantized(), DATA, FAST)
    for loss in ("categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()):
        history = train(quantized(), DATA, dataclasses.replace(FAST, loss=loss_of(loss)))
        assert history.validation_loss == pytest.approx(entropy.validation_loss, rel=1e-3)


def test_a_loss_that_does_not_fit_is_explained() -> None:
    with pytest.raises(TrainingError, match="loss"):
        train(quantized(), dataclasses.replace(DATA, y_val=DATA.x_val), dataclasses.replace(FAST, loss=loss_of("mse")))


@pytest.mark.parametrize("task", ["regression", "reconstruction"])
def test_training_for_numbers(task: str) -> None:
    keras.utils.set_random_seed(0)
    width = 8 if task == "reconstruction" else 2
    model = keras.Sequential([keras.Input((8,), name="events"), keras.layers.Dense(24, activation="relu", name="a"),
                              keras.layers.Dense(width, name="b")])
    changes = {}
    if task == "regression":
        slopes = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
        changes = {f"y_{p}": getattr(DATA, f"x_{p}") @ slopes for p in ("train", "val", "test")}
    data = dataclasses.replace(DATA, task=task, **changes)
    model = quantize(model, uniform(describe_model(model), 12, 3))
    history = train(model, data, dataclasses.replace(FAST, epochs=12))
    assert history.validation_loss[-1] < 0.3 * history.validation_loss[0]


def test_a_loss_that_is_no_number_ends_the_training_with_the_best_weights() -> None:
    model = quantized()
    before = model.get_weights()

    def loss(targets, outputs):
        return keras.losses.sparse_categorical_crossentropy(targets, outputs) * float("nan")

    with pytest.raises(TrainingError) as caught:
        train(model, DATA, dataclasses.replace(FAST, loss=loss))
    assert caught.value.remedy
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_with_several_outputs_trains_with_a_loss_for_them() -> None:
    entry = keras.Input((8,), name="events")
    hidden = keras.layers.Dense(16, activation="relu", name="a")(entry)
    model = keras.Model(entry, [keras.layers.Dense(3, activation="softmax", name="kind")(hidden),
                                keras.layers.Dense(8, name="copy")(hidden)])
    model = quantize(model, uniform(describe_model(model), 10, 3))

    def loss(targets, outputs):
        return keras.losses.sparse_categorical_crossentropy(targets, outputs[0]) + 0.0 * outputs[1][:, 0]

    history = train(model, DATA, dataclasses.replace(FAST, loss=loss))
    assert history.validation_loss[-1] < 0.5 * history.validation_loss[0]
