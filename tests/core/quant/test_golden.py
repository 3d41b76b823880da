"""Every quantizer against values the original QKeras made.

QUANTIZER_GOLDEN names a file to take in place of quantizer_golden, without its suffix; the random quantizers of
quantizer_fuzz are compared besides. tests/golden/make_quantizer_fuzz.py makes such files from any seed.
"""

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

FOLDER = Path(__file__).parents[2] / "golden"
INPUTS = ("x_grid", "x_mat", "x_small")
DRAWS = 1000
STANDARD_ERRORS = 4.0

Entry = dict[str, Any]


def _entries(path: Path) -> list[Entry]:
    """The record's entries, each with the arrays it has by name; "inputs" are those of all."""
    record = json.loads(path.with_suffix(".json").read_text())
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        arrays = dict(stored)
    inputs = {name: arrays[name] for name in INPUTS}
    return [{**entry, "inputs": inputs, "n_draws": record.get("n_draws"), "file": path.name,
             "arrays": {key.split("/", 1)[1]: arrays[key] for key in entry["arrays"]}}
            for entry in record["entries"]]


def _answered(entry: Entry) -> bool:
    """Whether the original gives numbers: it refuses some arguments, and divides 0 by 0 for others."""
    return bool(entry["arrays"]) and all(np.isfinite(array).all() for array in entry["arrays"].values())


ALL = [e for path in (Path(os.environ.get("QUANTIZER_GOLDEN") or FOLDER / "quantizer_golden"),
                      FOLDER / "quantizer_fuzz") for e in _entries(path)]


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


def _call(entry: Entry, x: tf.Tensor, training: bool) -> tf.Tensor:
    if entry["source"].endswith("function"):
        return _function(entry["quantizer"])(ops_for(x), x)
    return quantizer(entry["quantizer"])(x, training=training)


def _with_gradient(entry: Entry, x: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = _call(entry, x, training)
    gradient = tape.gradient(y, x)
    return y, tf.zeros_like(x) if gradient is None else gradient


DETERMINISTIC = [e for e in ALL if _answered(e) and not e["quantizer"].startswith("bernoulli")]
RANDOM = [e for e in ALL if e["stochastic"]]


def _ids(entries: list[Entry]) -> list[str]:
    return [f"{e['file']}-{e['id']}-{e['quantizer']}" for e in entries]


@pytest.mark.parametrize("entry", DETERMINISTIC, ids=_ids(DETERMINISTIC))
def test_values_and_gradients_equal_the_original(entry: Entry) -> None:
    compared = 0
    for name in INPUTS:
        for training, value, slope in ((False, "y", "g"), (True, "ytrain", "gtrain")):
            expected, gradient = (entry["arrays"].get(f"{name}/{what}") for what in (value, slope))
            if expected is None:
                continue
            y, g = _with_gradient(entry, tf.constant(entry["inputs"][name]), training)
            np.testing.assert_allclose(y, expected, atol=1e-6, rtol=0, err_msg=f"{name} {value}")
            if gradient is not None:
                np.testing.assert_allclose(g, gradient, atol=1e-5, rtol=0, err_msg=f"{name} {slope}")
            compared += 1
    assert compared


@pytest.mark.parametrize("entry", RANDOM, ids=_ids(RANDOM))
def test_means_of_random_kinds_equal_the_original(entry: Entry) -> None:
    tf.random.set_seed(1)
    compared = 0
    for name in INPUTS:
        expected = entry["arrays"].get(f"{name}/mean")
        if expected is None:
            continue
        x = tf.constant(entry["inputs"][name])
        step = tf.function(lambda x=x: _with_gradient(entry, x, True))
        draws = [step() for _ in range(DRAWS)]
        for found, mean, spread in (
            (np.stack([d[0] for d in draws]), expected, entry["arrays"].get(f"{name}/std")),
            (np.stack([d[1] for d in draws]), entry["arrays"].get(f"{name}/gtrain_mean"), None),
        ):
            if mean is None:
                continue
            own = found.std(axis=0, dtype=np.float64)
            theirs = own if spread is None else spread
            error = np.sqrt(own**2 / DRAWS + theirs**2 / entry["n_draws"])
            difference = np.abs(found.mean(axis=0, dtype=np.float64) - mean)
            allowed = STANDARD_ERRORS * error + 1e-5 * np.maximum(1, np.abs(mean))
            # of n independent values some lie beyond 4 standard errors by chance: less than one is expected
            assert (difference > allowed).sum() <= 1, f"{name}: {difference.max()} off"
        compared += 1
    assert compared


QUANTIZERS = [e for e in DETERMINISTIC if "function" not in e["source"]]


@pytest.mark.parametrize("entry", QUANTIZERS, ids=_ids(QUANTIZERS))
def test_numpy_and_tensorflow_give_the_same_values(entry: Entry) -> None:
    chosen = quantizer(entry["quantizer"])
    for name in INPUTS:
        x = entry["inputs"][name]
        values = chosen(tf.constant(x)).numpy()
        # TensorFlow's logarithm differs in the last bit between a full vector and the rest of an array, so that the
        # root of an odd power of two falls to either side by its place; only values at home anywhere can be compared
        settled = np.isclose(values, chosen(tf.constant(x[::-1])).numpy()[::-1], atol=5e-7, rtol=3e-7)
        assert settled.mean() > 0.95
        np.testing.assert_allclose(chosen(x)[settled], values[settled], atol=5e-7, rtol=3e-7)


RANGED = [e for e in ALL if all(isinstance(e.get(end), (int, float)) for end in ("min", "max"))]


@pytest.mark.parametrize("entry", RANGED, ids=_ids(RANGED))
def test_nominal_range_equals_the_original(entry: Entry) -> None:
    chosen = quantizer(entry["quantizer"])
    assert chosen.min() == pytest.approx(entry["min"])
    assert chosen.max() == pytest.approx(entry["max"])
