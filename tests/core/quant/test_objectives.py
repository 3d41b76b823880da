"""Objectives against closed forms, brute force and Keras's own losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.dataset import family_dataset
from core.quant.evaluation import evaluate, judge, mean_loss, validation_figure
from core.quant.objectives import Flow, Objective, Reconstruction, Regression, Variational, objective_of
from resources.families import FAMILIES

RANDOM = np.random.default_rng(2)


def probabilities(*shape: int) -> np.ndarray:
    raw = RANDOM.random(shape).astype(np.float32) + 0.05
    return raw / raw.sum(axis=-1, keepdims=True)


def loss(objective: Objective, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return objective.loss(tf.constant(targets), tf.constant(outputs)).numpy()


def test_that_every_family_has_the_objective_of_its_task():
    kinds = {name: type(objective_of(family_dataset(name, 30))) for name in FAMILIES}
    assert kinds["dense_autoencoder"] is kinds["conv_autoencoder"] is Reconstruction
    assert (kinds["vae"], kinds["flow"], kinds["track_graph"]) == (Variational, Flow, Objective)


@pytest.mark.parametrize("shape", [(8,), (8, 5), (8, 3, 4)])
def test_that_the_cross_entropy_of_an_event_is_the_mean_over_its_labels(shape):
    labels = RANDOM.integers(0, 3, shape)
    outputs = probabilities(*shape, 3)
    expected = -np.log(np.take_along_axis(outputs, labels[..., None], axis=-1))[..., 0].reshape(8, -1).mean(axis=1)
    np.testing.assert_allclose(loss(Objective(), labels, outputs), expected, rtol=1e-5)


@pytest.mark.parametrize("outputs", [(8, 5), (8, 5, 1)])
def test_that_one_probability_a_label_is_of_the_second_class(outputs):
    labels = RANDOM.integers(0, 2, (8, 5))
    scores = RANDOM.uniform(0.05, 0.95, outputs).astype(np.float32)
    flat = scores.reshape(8, 5)
    expected = -np.log(np.where(labels == 1, flat, 1 - flat)).mean(axis=1)
    np.testing.assert_allclose(loss(Objective(), labels, scores), expected, rtol=1e-4)


def test_that_one_column_is_of_the_second_class():
    labels, scores = np.array([0, 1, 1]), np.array([[0.1], [0.6], [0.9]], np.float32)
    np.testing.assert_allclose(loss(Objective(), labels, scores), -np.log([0.9, 0.6, 0.9]), rtol=1e-5)


def test_that_regression_and_reconstruction_are_square_errors_of_an_event():
    targets, outputs = RANDOM.normal(0, 1, (2, 7, 3, 2)).astype(np.float32)
    expected = ((targets - outputs) ** 2).reshape(7, -1).mean(axis=1)
    np.testing.assert_allclose(loss(Regression(), targets, outputs), expected, rtol=1e-5)
    np.testing.assert_allclose(loss(Reconstruction(), targets, outputs), expected, rtol=1e-5)
    np.testing.assert_allclose(Reconstruction().scores(targets, outputs), expected, rtol=1e-5)
    one = loss(Regression(), targets[:, 0, 0], outputs[:, 0, :1])
    np.testing.assert_allclose(one, (targets[:, 0, 0] - outputs[:, 0, 0]) ** 2, rtol=1e-5)


def encoded(events: int = 400, features: int = 6, latent: int = 2) -> tuple[np.ndarray, np.ndarray]:
    hidden = RANDOM.normal(0, 1, (events, latent))
    x = hidden @ RANDOM.normal(0, 1, (latent, features)) + RANDOM.normal(1, 0.3, (events, features))
    outputs = np.concatenate([0.8 * hidden, RANDOM.normal(-2, 0.3, hidden.shape)], axis=1)
    return x.astype(np.float32), outputs.astype(np.float32)


def test_that_the_divergence_of_a_variational_encoder_is_that_of_its_gaussian():
    mean, log_variance = np.split(encoded()[1].astype(np.float64), 2, axis=1)
    draws = mean + np.exp(log_variance / 2) * RANDOM.normal(0, 1, (4000, *mean.shape))
    ratio = 0.5 * (draws**2 - (draws - mean) ** 2 / np.exp(log_variance) - log_variance)
    brute = ratio.sum(axis=-1)
    found = Variational().scores(np.zeros(1), encoded_outputs(mean, log_variance))
    assert (np.abs(found - brute.mean(axis=0)) < 5 * brute.std(axis=0) / 4000**0.5).mean() > 0.99


def encoded_outputs(mean: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    return np.concatenate([mean, log_variance], axis=1)


def test_that_no_linear_decoder_or_noise_beats_the_one_of_the_variational_loss():
    x, outputs = encoded()
    found = loss(Variational(), x, outputs).mean()
    mean, log_variance = np.split(outputs.astype(np.float64), 2, axis=1)
    draws = (mean + np.exp(log_variance / 2) * RANDOM.normal(0, 1, (200, *mean.shape))).reshape(-1, 2)
    known = np.concatenate([draws, np.ones((len(draws), 1))], axis=1)
    target = np.tile(x.astype(np.float64), (200, 1))
    best = np.linalg.lstsq(known, target, rcond=None)[0]
    divergence = Variational().scores(x, outputs).mean()

    def bound(weights: np.ndarray, noise: float) -> float:
        error = ((target - known @ weights) ** 2).sum(axis=1).mean()
        return 0.5 * (error / noise + x.shape[1] * np.log(noise)) + divergence

    noise = ((target - known @ best) ** 2).mean()
    assert found == pytest.approx(bound(best, noise), abs=0.05)
    for _ in range(20):
        assert bound(best + RANDOM.normal(0, 0.1, best.shape), noise * RANDOM.uniform(0.5, 2)) > found


def test_that_a_variational_encoder_that_says_nothing_has_a_loss_and_gradient():
    outputs = tf.Variable(tf.zeros((32, 4)))
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(Variational().loss(tf.constant(encoded(32)[0]), outputs))
    assert np.isfinite(value.numpy()) and np.isfinite(tape.gradient(value, outputs).numpy()).all()


def test_that_a_flow_is_matched_between_noise_and_event():
    x = np.concatenate([RANDOM.normal(4, 1, (5000, 3)), np.full((5000, 1), 0.9)], axis=1).astype(np.float32)
    inputs, velocity = (part.numpy() for part in Flow().batch(tf.constant(x), None))
    time = inputs[:, -1:]
    noise = x[:, :-1] - velocity
    np.testing.assert_allclose(inputs[:, :-1], (1 - time) * noise + time * x[:, :-1], atol=1e-5)
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    assert time.min() >= 0 and time.max() <= 1 and abs(time.mean() - 0.5) < 0.02
    again = Flow().batch(tf.constant(x), None)[0].numpy()
    assert not np.array_equal(again, inputs)
    first, second = (Flow().batch(tf.constant(x), None, training=False)[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_that_anomaly_models_learn_from_background_alone():
    data = family_dataset("dense_autoencoder", 200)
    objective = objective_of(data)
    np.testing.assert_array_equal(objective.trains_on(data.y_train), data.y_train == 0)
    keras.utils.set_random_seed(1)
    model = FAMILIES["dense_autoencoder"].build()
    background = data.y_test == 0
    wild = np.where(background[:, None], data.x_test, 50)
    expected = mean_loss(model, data.x_test[background], data.y_test[background], objective)
    assert mean_loss(model, wild, data.y_test, objective) == pytest.approx(expected)
    assert mean_loss(model, data.x_test, np.ones_like(data.y_test), objective) is None
    assert judge(model, wild, data.y_test, data.class_names, "float", objective).accuracy == 1.0


@pytest.mark.parametrize("name", ["jet_mlp", "segmentation", "vae", "flow"])
def test_that_the_validation_figure_is_the_one_an_evaluation_tells(name):
    data = family_dataset(name, 300)
    keras.utils.set_random_seed(1)
    model = FAMILIES[name].build()
    objective = objective_of(data)
    told = judge(model, data.x_val, data.y_val, data.class_names, "float", objective)
    assert validation_figure(model, data) == pytest.approx(told.accuracy)
    assert (told.metric, told.loss is not None) == (objective.metric, True)
    assert evaluate(model, data, "float", events=40).events == 40
