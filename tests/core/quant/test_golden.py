"""Every quantizer against values the original QKeras made; QUANTIZER_GOLDEN names other files (without suffix)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from core.quant import quantizer
from core.quant.arithmetic import round_through
from core.quant.arithmetic_relu import hard_sigmoid, smooth_sigmoid
from core.quant.ops import ops_for

GOLDEN = Path(os.environ.get("QUANTIZER_GOLDEN") or Path(__file__).parents[2] / "golden" / "quantizer_golden")
RECORD = json.loads(GOLDEN.with_suffix(".json").read_text())
VALUES = np.load(GOLDEN.with_suffix(".npz"), allow_pickle=False)
INPUTS = ("x_grid", "x_mat", "x_small")
DRAWS = 1000
STANDARD_ERRORS = 4.0


def _function(name: str) -> Any:
    """QKeras's helper functions, in terms of ours."""
    hard, smooth = hard_sigmoid, smooth_sigmoid
    return {
        "hard_sigmoid": hard,
        "smooth_sigmoid": smooth,
        "binary_sigmoid": lambda ops, x: round_through(ops, hard(ops, x), False),
        "smooth_tanh": lambda ops, x: 2 * smooth(ops, x) - 1,
        "hard_tanh": lambda ops, x: 2 * hard(ops, x) - 1,
        "binary_tanh": lambda ops, x: 2 * round_through(ops, hard(ops, x), False) - 1,
    }[name]


def _call(entry: dict[str, Any], x: tf.Tensor, training: bool) -> tf.Tensor:
    if entry["source"].endswith("function"):
        return _function(entry["quantizer"])(ops_for(x), x)
    return quantizer(entry["quantizer"])(x, training=training)


def _with_gradient(entry: dict[str, Any], x: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = _call(entry, x, training)
    gradient = tape.gradient(y, x)
    return y, tf.zeros_like(x) if gradient is None else gradient


def _stored(entry: dict[str, Any], name: str, what: str) -> np.ndarray | None:
    key = f"{entry['id']}/{name}/{what}"
    return VALUES[key] if key in VALUES.files else None


DETERMINISTIC = [e for e in RECORD["entries"] if not e["quantizer"].startswith("bernoulli")]
RANDOM = [e for e in RECORD["entries"] if e["stochastic"]]


def _ids(entries: list[dict[str, Any]]) -> list[str]:
    return [f"{e['id']}-{e['quantizer']}" for e in entries]


@pytest.mark.parametrize("entry", DETERMINISTIC, ids=_ids(DETERMINISTIC))
def test_values_and_gradients_equal_the_original(entry: dict[str, Any]) -> None:
    compared = 0
    for name in INPUTS:
        for training, value, slope in ((False, "y", "g"), (True, "ytrain", "gtrain")):
            expected, gradient = _stored(entry, name, value), _stored(entry, name, slope)
            if expected is None:
                continue
            y, g = _with_gradient(entry, tf.constant(VALUES[name]), training)
            np.testing.assert_allclose(y, expected, atol=1e-6, rtol=0, err_msg=f"{name} {value}")
            if gradient is not None:
                np.testing.assert_allclose(g, gradient, atol=1e-5, rtol=0, err_msg=f"{name} {slope}")
            compared += 1
    assert compared


@pytest.mark.parametrize("entry", RANDOM, ids=_ids(RANDOM))
def test_means_of_random_kinds_equal_the_original(entry: dict[str, Any]) -> None:
    tf.random.set_seed(1)
    compared = 0
    for name in INPUTS:
        expected = _stored(entry, name, "mean")
        if expected is None:
            continue
        x = tf.constant(VALUES[name])
        step = tf.function(lambda x=x: _with_gradient(entry, x, True))
        draws = [step() for _ in range(DRAWS)]
        for found, mean, spread in (
            (np.stack([d[0] for d in draws]), expected, _stored(entry, name, "std")),
            (np.stack([d[1] for d in draws]), _stored(entry, name, "gtrain_mean"), None),
        ):
            if mean is None:
                continue
            own = found.std(axis=0, dtype=np.float64)
            theirs = own if spread is None else spread
            error = np.sqrt(own**2 / DRAWS + theirs**2 / RECORD["n_draws"])
            difference = np.abs(found.mean(axis=0, dtype=np.float64) - mean)
            allowed = STANDARD_ERRORS * error + 1e-5 * np.maximum(1, np.abs(mean))
            # of n independent values some lie beyond 4 standard errors by chance: less than one is expected
            assert (difference > allowed).sum() <= 1, f"{name}: {difference.max()} off"
        compared += 1
    assert compared


@pytest.mark.parametrize("entry", [e for e in DETERMINISTIC if "function" not in e["source"]],
                         ids=_ids([e for e in DETERMINISTIC if "function" not in e["source"]]))
def test_numpy_and_tensorflow_give_the_same_values(entry: dict[str, Any]) -> None:
    chosen = quantizer(entry["quantizer"])
    for name in INPUTS:
        x = VALUES[name]
        np.testing.assert_allclose(chosen(x), chosen(tf.constant(x)).numpy(), atol=5e-7, rtol=0)


RANGED = [e for e in RECORD["entries"] if all(isinstance(e.get(end), (int, float)) for end in ("min", "max"))]


@pytest.mark.parametrize("entry", RANGED, ids=_ids(RANGED))
def test_nominal_range_equals_the_original(entry: dict[str, Any]) -> None:
    chosen = quantizer(entry["quantizer"])
    assert chosen.min() == pytest.approx(entry["min"])
    assert chosen.max() == pytest.approx(entry["max"])
