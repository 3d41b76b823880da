"""Models with several inputs and outputs, quantized, judged, calibrated, measured and trained."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.arrays import Several
from core.dataset import check_fits, load_dataset
from core.events import Monitor
from core.loading import dataset_of, model_of
from core.measurements import record_values
from core.model_io import describe_model, inspect_model
from core.quant import calibrate, quantize, uniform
from core.quant.calibration import saturation
from core.quant.evaluation import evaluate, predict
from core.quant.losses import compiled_loss, loss_of
from core.quant.objectives import objective_of
from core.quant.recipe import INPUT, OUTPUT
from core.quant.sensitivities import sensitivity
from core.quant.training import TrainOptions, train
from core.requests import RecordValues
from tests.core.several import network, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def model(folder):
    """Trained for a little while, and stored."""
    built = network()
    data = check_fits(load_dataset(write(folder / "d.npz")), describe_model(built))
    train(built, data, TrainOptions(epochs=30, learning_rate=1e-2, batch_size=60))
    built.compile("adam", loss={"kind": "sparse_categorical_crossentropy", "energy": keras.losses.MeanSquaredError()},
                  loss_weights={"kind": 1.0, "energy": 0.25})
    built.save(folder / "m.keras")
    return built


@pytest.fixture(scope="module")
def data(folder, model):
    return dataset_of(str(folder / "d.npz"), folder / "m.keras")


@pytest.fixture(scope="module")
def recipe(model):
    return uniform(describe_model(model), 6)


def test_that_outputs_are_those_of_keras_by_name(model, data):
    found = predict(model, data.x_test)
    wanted = model.predict([data.x_test.part("tracks"), data.x_test.part("calo")], verbose=0)
    assert isinstance(found, Several) and found.names == ("kind", "energy")
    np.testing.assert_allclose(found.part("kind"), wanted[0], atol=1e-6)
    np.testing.assert_allclose(found.part("energy"), wanted[1], atol=1e-5)
    double = predict(model, data.x_test, "float64")
    assert double.part("energy").dtype == np.float64
    np.testing.assert_allclose(double.part("energy"), wanted[1], atol=1e-5)


def test_that_the_figure_is_the_mean_and_each_output_is_told(model, data):
    found = evaluate(model, data, "float")
    kind, energy = (model.predict([*data.x_test.parts], verbose=0))
    accuracy = float((kind.argmax(1) == data.y_test.part("kind")).mean())
    wanted = data.y_test.part("energy")
    errors = energy[:, 0] - wanted
    r2 = 1 - float((errors**2).sum()) / float(((wanted - wanted.mean())**2).sum())
    assert accuracy > 0.8 and r2 > 0.8
    assert found.accuracy == pytest.approx((accuracy + r2) / 2, abs=1e-5)
    assert found.metric == "mean of accuracy and R2"
    assert found.figures["accuracy:kind"] == pytest.approx(accuracy)
    assert found.figures["rmse:energy"] == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-4)
    assert list(found.roc) == list(found.auc) == ["kind/electron", "kind/muon", "kind/tau"]
    entropy = -np.log(kind[np.arange(len(kind)), data.y_test.part("kind")])
    assert found.loss == pytest.approx(float(entropy.mean() + (errors**2).mean()), rel=1e-4)  # the sum, as Keras has it


def test_that_integer_bits_and_sensitivities_see_every_input(model, data, recipe):
    found = calibrate(model, recipe, data.x_train[:200])
    counts = saturation(model, found, data.x_train[:200])
    assert counts[INPUT].values == 200 * 8
    assert counts["two", OUTPUT].values == 200 * 6
    rows = sensitivity(model, recipe, data, events=100)
    assert [row.layer for row in rows if row.parameter == "kernel"] == ["one", "two", "deep", "scores", "energy"]
    assert rows[0].name == "mean of accuracy and R2"


def test_that_a_quantized_model_learns_both_outputs(model, data, recipe):
    quantized = quantize(model, calibrate(model, uniform(describe_model(model), 3), data.x_train[:200]))
    before = evaluate(quantized, data, "post-training")
    history = train(quantized, data, TrainOptions(epochs=8, learning_rate=5e-3, batch_size=60))
    after = evaluate(quantized, data, "trained")
    assert history.best_epoch >= 0 and after.loss < before.loss
    assert after.accuracy > before.accuracy


def test_that_compiled_losses_are_summed_with_their_weights(model, data, folder):
    x, y = data.x_test[:20], data.y_test[:20]
    outputs = tuple(tf.constant(part) for part in predict(model, x).parts)
    targets = tuple(tf.constant(part) for part in y.parts)
    entropy = keras.losses.sparse_categorical_crossentropy(targets[0], outputs[0])
    square = tf.square(outputs[1][:, 0] - targets[1])
    for source in (model, folder / "m.keras"):
        np.testing.assert_allclose(compiled_loss(source)(targets, outputs), entropy + 0.25 * square, rtol=1e-5)
    np.testing.assert_allclose(objective_of(data).loss(targets, outputs), entropy + square, rtol=1e-5)
    weighted = replace(data, heads=(data.heads[0], replace(data.heads[1], weight=0.25)))
    np.testing.assert_allclose(objective_of(weighted).loss(targets, outputs), entropy + 0.25 * square, rtol=1e-5)
    one = loss_of("mse")((targets[1], targets[1]), (outputs[1], outputs[1]))
    np.testing.assert_allclose(one, 2 * square, rtol=1e-5)


def test_that_values_of_every_input_are_recorded(model, folder):
    found = record_values(RecordValues(str(folder / "m.keras"), str(folder / "d.npz"), 50), Monitor())
    assert found.values["tracks", OUTPUT].size == 250 and found.values["calo", OUTPUT].size == 150


@pytest.mark.filterwarnings("error:The structure of")
def test_that_a_model_of_dictionaries_is_taken_by_place(folder, data):
    built = network(seed=3)
    named = keras.Model({"z": built.inputs[0], "a": built.inputs[1]}, {"z": built.outputs[0], "a": built.outputs[1]})
    named.save(folder / "named.keras")
    assert inspect_model(folder / "named.keras").inputs == ("calo", "tracks")
    assert describe_model(named).outputs == ("energy", "kind")
    loaded = model_of(folder / "named.keras")
    arranged = check_fits(data, describe_model(loaded))
    np.testing.assert_allclose(predict(loaded, arranged.x_test).part("kind"),
                               predict(built, data.x_test).part("kind"), atol=1e-6)
    assert evaluate(quantize(loaded, uniform(describe_model(loaded), 8)), arranged, "post-training").events == 120


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 1), (1, 2)])
def test_that_two_inputs_or_two_outputs_alone_do(inputs, outputs, tmp_path):
    built = network(inputs, outputs)
    left = {**({} if inputs == 2 else {"X_calo": None}), **({} if outputs == 2 else {"y_energy": None})}
    data = check_fits(load_dataset(write(tmp_path / "d.npz", **left)), describe_model(built))
    assert isinstance(data.x_test, Several) == (inputs == 2) and bool(data.heads) == (outputs == 2)
    quantized = quantize(built, uniform(describe_model(built), 6))
    train(quantized, data, TrainOptions(epochs=1, batch_size=120))
    assert evaluate(quantized, data, "trained").events == 120
