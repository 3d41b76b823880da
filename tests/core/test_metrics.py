"""Metrics against scikit-learn and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from core.errors import QuantiscopeError
from core.metrics import (
    accuracy,
    anomaly_auc,
    auc,
    auc_error,
    background_efficiency,
    background_rejection,
    evaluate_anomaly,
    evaluate_regression,
    evaluate_scores,
    mean_auc,
    r_squared,
    roc_curve,
    thinned,
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), levels=st.sampled_from([2, 5, 50, 10**9]), events=st.integers(2, 400))
def test_that_roc_and_auc_equal_those_of_scikit_learn_with_and_without_equal_scores(seed, levels, events):
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, events).astype(float)
    signal = random.random(events) < 0.4
    signal[:2] = True, False
    fpr, tpr, thresholds = roc_curve(scores, signal)
    expected = sklearn_metrics.roc_curve(signal, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0])
    np.testing.assert_allclose(tpr, expected[1])
    np.testing.assert_allclose(thresholds, expected[2])
    assert auc(fpr, tpr) == pytest.approx(sklearn_metrics.roc_auc_score(signal, scores), abs=1e-12)


def test_that_the_auc_error_has_the_spread_of_repeated_experiments():
    random = np.random.default_rng(1)
    areas = []
    for _ in range(400):
        scores = np.concatenate([random.normal(1, 1, 100), random.normal(0, 1, 150)])
        fpr, tpr, _ = roc_curve(scores, np.arange(250) < 100)
        areas.append(auc(fpr, tpr))
    assert auc_error(float(np.mean(areas)), 100, 150) == pytest.approx(np.std(areas), rel=0.15)


def test_that_background_rejection_is_read_off_between_points():
    assert background_rejection([0, 0.1, 1], [0, 0.5, 1], 0.5) == pytest.approx(10)
    assert background_rejection([0, 0.1, 1], [0, 0.5, 1], 0.25) == pytest.approx(20)
    assert background_rejection([0, 0, 1], [0, 0.8, 1], 0.5) == float("inf")


def test_that_a_working_point_lies_on_the_line_between_points_and_rejection_is_its_inverse():
    curve = [0.0, 0.01, 0.1, 1.0], [0.0, 0.5, 0.9, 1.0]
    assert background_efficiency(*curve, 0.7) == pytest.approx(0.055)
    assert background_rejection(*curve, 0.7) == pytest.approx(1 / 0.055)
    assert background_efficiency(*curve, 1.0) == 1.0
    assert mean_auc({"a": 0.9, "b": 0.8}) == pytest.approx(0.85) and mean_auc({}) is None


def test_that_an_evaluation_holds_each_class_against_the_rest():
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, 3000)
    scores = np.eye(3)[labels] + random.normal(0, 0.7, (3000, 3))
    result = evaluate_scores(scores, labels, ["a", "b", "c"], "float", loss=0.5)
    assert result.accuracy == pytest.approx(sklearn_metrics.accuracy_score(labels, scores.argmax(axis=1)))
    assert (result.kind, result.events, result.loss, list(result.auc)) == ("float", 3000, 0.5, ["a", "b", "c"])
    for number, name in enumerate(result.auc):
        assert result.auc[name] == pytest.approx(sklearn_metrics.roc_auc_score(labels == number, scores[:, number]))
        fpr, tpr = result.roc[name]
        assert len(fpr) == len(tpr) <= 300
        assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
        assert auc(fpr, tpr) == pytest.approx(result.auc[name], abs=2e-3)


def test_that_one_column_of_scores_means_two_classes():
    result = evaluate_scores([0.1, 0.8, 0.6, 0.3], [0, 1, 1, 0], ["background", "signal"], "trained")
    assert result.accuracy == 1
    assert result.auc == {"background": 1.0, "signal": 1.0}


def test_that_a_class_without_events_is_left_out():
    result = evaluate_scores(np.eye(3)[[0, 1, 0, 1]], [0, 1, 0, 1], ["a", "b"], "float")
    assert list(result.auc) == ["a", "b"]


def test_that_scores_that_are_not_numbers_are_named():
    with pytest.raises(QuantiscopeError, match="not a number for 1 of 2 events"):
        evaluate_scores([[0.5, np.nan], [0.1, 0.9]], [0, 1], ["a", "b"], "float")
    with pytest.raises(QuantiscopeError, match="0 scores for 0 labels"):
        evaluate_scores(np.zeros((0, 2)), [], ["a", "b"], "float")


def test_that_thinning_keeps_own_points_and_the_steep_start():
    fpr = np.linspace(0, 1, 20001)
    tpr = fpr**0.1
    kept_fpr, kept_tpr = thinned(fpr, tpr)
    assert len(kept_fpr) <= 300
    assert set(kept_fpr) <= set(fpr.tolist())
    assert kept_fpr == sorted(kept_fpr) and kept_tpr == sorted(kept_tpr)
    assert sum(1 for value in kept_fpr if 0 < value < 1e-2) > 20


def test_that_a_label_for_each_value_is_judged_as_if_each_value_were_an_event():
    random = np.random.default_rng(5)
    labels = random.integers(0, 4, (30, 6, 8))
    scores = np.eye(4)[labels] + random.normal(0, 0.8, (30, 6, 8, 4))
    result = evaluate_scores(scores, labels, ["sky", "road", "car", "ground"], "float")
    flat = evaluate_scores(scores.reshape(-1, 4), labels.reshape(-1), ["sky", "road", "car", "ground"], "float")
    assert (result.auc, result.accuracy) == (flat.auc, flat.accuracy)
    assert (result.events, flat.events, flat.figures) == (30, 30 * 48, {})
    found = scores.argmax(axis=-1).ravel()
    expected = sklearn_metrics.jaccard_score(labels.ravel(), found, average="macro")
    assert result.figures == {"mean_iou": pytest.approx(expected)}


def test_that_scores_of_the_labels_shape_are_probabilities_of_the_second_class():
    random = np.random.default_rng(6)
    edges = random.integers(0, 2, (50, 27))
    scores = np.clip(0.5 + 0.4 * (edges - 0.5) + random.normal(0, 0.2, edges.shape), 0, 1)
    result = evaluate_scores(scores, edges, ["other", "same"], "float")
    assert result.accuracy == pytest.approx(((scores > 0.5) == edges).mean()) == accuracy(scores[..., None], edges)
    assert result.auc["same"] == pytest.approx(sklearn_metrics.roc_auc_score(edges.ravel(), scores.ravel()))
    with pytest.raises(QuantiscopeError, match="100 scores for 1350 labels"):
        evaluate_scores(np.zeros((50, 2, 5)), edges, [], "float")


def test_that_each_anomaly_is_judged_against_the_background_alone():
    random = np.random.default_rng(8)
    labels = random.integers(0, 3, 600)
    scores = np.array([0.0, 2.0, 0.5])[labels] + random.normal(0, 1, 600)
    result = evaluate_anomaly(scores, labels, ["background", "heavy", "light"], "trained", loss=0.1)
    assert (result.metric, result.loss, list(result.auc)) == ("AUC", 0.1, ["heavy", "light"])
    for number, name in enumerate(["heavy", "light"], start=1):
        kept = (labels == 0) | (labels == number)
        assert result.auc[name] == pytest.approx(sklearn_metrics.roc_auc_score(labels[kept] > 0, scores[kept]))
    assert result.accuracy == pytest.approx((result.auc["heavy"] + result.auc["light"]) / 2)
    assert result.accuracy == anomaly_auc(scores, labels)
    for missing in (np.zeros(600, int), np.ones(600, int)):
        with pytest.raises(QuantiscopeError, match="judged on background"):
            evaluate_anomaly(scores, missing, [], "float")
    with pytest.raises(QuantiscopeError, match="not a number for 1 of 600 events"):
        evaluate_anomaly(np.where(np.arange(600) == 3, np.inf, scores), labels, [], "float")


@pytest.mark.parametrize("shape", [(200,), (200, 3), (40, 5, 2)])
def test_that_regression_equals_that_of_scikit_learn(shape):
    random = np.random.default_rng(9)
    targets = random.normal(3, 2, shape)
    outputs = targets + random.normal(0, 0.5, shape)
    result = evaluate_regression(outputs, targets, "float")
    flat = targets.reshape(shape[0], -1), outputs.reshape(shape[0], -1)
    assert result.accuracy == pytest.approx(sklearn_metrics.r2_score(*flat, multioutput="variance_weighted"))
    assert result.figures["rmse"] == pytest.approx(sklearn_metrics.mean_squared_error(*flat) ** 0.5)
    assert (result.metric, result.auc, result.events) == ("R2", {}, shape[0])
    assert r_squared(np.broadcast_to(targets.mean(axis=0), shape), targets) == pytest.approx(0)
