"""One compiled program for all candidates: nothing traced again, and the same numbers as a plain training."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest

from core.dataset import Dataset
from core.events import Monitor
from core.model_io import describe_model
from core.quant import quantize, weights
from core.quant.evaluation import evaluate
from core.quant.recipe import Recipe
from core.quant.schedules import RateSchedule
from core.quant.training import TrainOptions
from core.quant.training_loop import Loop
from core.search.compiled_trainer import CompiledTrainer
from core.search.program import CHUNK, Program, cosine
from core.search.space import build_space
from tests.core.quant import small

OPTIONS = {"kernel": ["quantized_bits(4,0,alpha=1)", "quantized_bits(6,1,alpha=1)", "ternary(alpha='auto_po2')",
                      "binary(alpha='auto_po2')", "quantized_po2(4)"],
           "bias": ["quantized_bits(8,2,alpha=1)", "quantized_bits(5,1,alpha=1)"],
           "output": ["quantized_relu(4,2)", "quantized_relu(6,3)", "quantized_bits(8,3,alpha=1)"]}


def images(shape: tuple[int, ...], events: int = 480) -> Dataset:
    """Three classes of noise of unequal mean."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, events)
    x = (rng.normal(0, 1, (events, *shape)) + y.reshape(-1, *[1] * len(shape))).astype(np.float32)
    a, b = events * 6 // 10, events * 9 // 10  # unequal parts: each is another shape to score
    return Dataset(name="images", x_train=x[:a], y_train=y[:a], x_val=x[a:b], y_val=y[a:b], x_test=x[b:],
                   y_test=y[b:], feature_names=(), class_names=("a", "b", "c"), mean=np.zeros(1, np.float32),
                   scale=np.ones(1, np.float32), provenance="noise", hash=f"images{shape}")


def convolutional() -> keras.Model:
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(3, 3, name="conv")(x)
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm", momentum=0.9)(x))
    x = keras.layers.Dense(3, name="last")(keras.layers.Flatten(name="flat")(x))
    return keras.Model(inputs, keras.layers.Softmax(name="softmax")(x))


def recurrent() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5, 2))
    x = keras.layers.LSTM(4, name="lstm")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="last")(x))


def drawn(trainer: CompiledTrainer, seed: int) -> Recipe:
    """A random recipe of the trainer's space."""
    random = np.random.default_rng(seed)
    return trainer.space.decode({c.key: int(random.integers(len(c.options))) for c in trainer.space.choices})


def plain(case: str, recipe: Recipe, rates: np.ndarray, order: np.ndarray) -> keras.Model:
    """The recipe's quantized model, trained by Keras alone: train_on_batch and keras.optimizers.Adam."""
    build, data, *_ = CASES[case]
    model = quantize(build(), recipe)
    optimizer = keras.optimizers.Adam(1e-3)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    for rate, rows in zip(rates, order.reshape(len(rates), -1), strict=True):
        optimizer.learning_rate.assign(rate)
        model.train_on_batch(data.x_train[rows], data.y_train[rows])
    return model


CASES = {"dense by XLA": (small.network, small.dataset(), "xla", 64),
         "dense by graph": (small.network, small.dataset(), "graph", 64),
         "conv": (convolutional, images((6, 6, 1)), "graph", 32), "lstm": (recurrent, images((5, 2)), "graph", 32)}
DENSE = [name for name in CASES if name.startswith("dense")]


@cache
def trainer_of(case: str) -> CompiledTrainer:
    """Compiled once for all tests of this file."""
    build, data, way, batch = CASES[case]
    model = build()
    trainer = CompiledTrainer(model, data, 2e-3, batch, way)
    trainer.prepare(build_space(describe_model(model), Recipe(), OPTIONS))
    return trainer


def run(trainer: CompiledTrainer, recipe: Recipe, rates: np.ndarray, order: np.ndarray):
    """The program's state after training a recipe from the float weights, and the mean loss."""
    return trainer.program.train(trainer.program.start(trainer._start), trainer.switches.rows(recipe)[None], rates,
                                 order)


def close(found, wanted):
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def batches(program: Program, steps: int) -> np.ndarray:
    return np.concatenate([np.random.default_rng(5 + i).permutation(program.events)[:program.batch]
                           for i in range(steps)])


@pytest.mark.parametrize(("case", "seed"), [(DENSE[0], 0), (DENSE[0], 1), (DENSE[1], 0), ("conv", 1), ("lstm", 1)])
def test_training_is_that_of_plain_keras(case, seed):
    trainer = trainer_of(case)
    recipe, steps = drawn(trainer, seed), CHUNK + 5  # two calls, the second not full
    rates, order = cosine(2e-3, steps), batches(trainer.program, steps)
    state, _ = run(trainer, recipe, rates, order)
    model = plain(case, recipe, rates, order)
    close([np.asarray(v) for v in state.weights], [np.asarray(v) for v in model.trainable_variables])
    if case == "conv":
        close([np.asarray(v) for v in state.others[-2:]],
              [np.asarray(v) for v in model.get_layer("norm").non_trainable_variables])


@pytest.mark.parametrize("case", DENSE)
def test_an_epoch_is_that_of_our_training_loop(case):
    trainer, program = trainer_of(case), trainer_of(case).program
    recipe = drawn(trainer, 4)
    model = quantize(small.network(), recipe)
    loop = Loop(model, small.dataset(), TrainOptions(epochs=1, learning_rate=1e-3, batch_size=64, seed=3,
                                                     schedule=RateSchedule("constant")))
    loss = loop.epoch(0)
    order = np.random.default_rng((3, 0)).permutation(program.events)[:program.steps * program.batch]
    state, mean = run(trainer, recipe, np.full(program.steps, 1e-3), order)
    assert mean == pytest.approx(loss, rel=1e-4)
    close([np.asarray(v) for v in state.weights], [np.asarray(v) for v in model.trainable_variables])


@pytest.mark.parametrize("case", list(CASES))
def test_no_candidate_traces_anything_again(case):
    trainer = trainer_of(case)
    points = [{c.key: n % len(c.options) for c in trainer.space.choices} for n in range(6)]
    trainer.train(drawn(trainer, 0), 0, 1, Monitor())
    shared = trainer.share(1, 0, Monitor())
    trainer.proxies(shared, points)
    for seed in range(6):
        trainer.train(drawn(trainer, seed), seed, 1, Monitor(), shared if seed % 2 else None)
    trainer.proxies(shared, points[::-1])
    settle = {"settle": 1} if case == "conv" else {}
    assert trainer.program.traces == {"train": 1, "outputs": 1, **settle}


@pytest.mark.parametrize("case", list(CASES))
def test_quantized_alone_a_trained_candidate_scores_the_same(case):
    build, data, *_ = CASES[case]
    trainer = trainer_of(case)
    recipe = drawn(trainer, 2)
    trained = trainer.train(recipe, 0, 2, Monitor())
    model = quantize(build(), recipe)
    weights.set_weights(model, trained.weights)
    again = evaluate(model, data, kind="trained")
    assert again.accuracy == trained.evaluation.accuracy
    assert again.loss == pytest.approx(trained.evaluation.loss, rel=1e-5)
    close(trainer.state_of(trained.weights)[:2], [np.asarray(v) for v in model.trainable_variables[:2]])


def test_statistics_are_settled_for_each_candidate():
    """They become the means over batches of this candidate's own statistics; nothing else changes."""
    build, data, *_ = CASES["conv"]
    trainer, program = trainer_of("conv"), trainer_of("conv").program
    state = program.start(trainer._start)
    recipes = [trainer.space.decode(trainer.space.uniform(8)), drawn(trainer, 7)]
    found = [program.settled(state, trainer.switches.rows(recipe), batches=4) for recipe in recipes]
    order = np.random.default_rng(0).permutation(program.events)[:4 * 32]
    for recipe, settled in zip(recipes, found, strict=True):
        model = quantize(build(), recipe)
        before = keras.Model(model.input, model.get_layer("norm").input)
        values = np.asarray(before(data.x_train[order])).reshape(4, -1, 3)
        close([np.asarray(v) for v in settled.others[-2:]], [values.mean(1).mean(0), values.var(1).mean(0)])
        close([np.asarray(v) for v in settled.weights], [np.asarray(v) for v in state.weights])
    assert not np.allclose(found[0].others[-1], found[1].others[-1])


def test_a_candidate_that_only_gets_worse_keeps_its_start(monkeypatch):
    trainer = trainer_of(DENSE[1])
    monkeypatch.setattr(trainer, "_rate", 30.0)  # breaks everything
    recipe = drawn(trainer, 0)
    kept = trainer.train(recipe, 0, 2, Monitor())
    untrained = trainer.train(recipe, 0, 0, Monitor())
    assert kept.validation_accuracy == untrained.validation_accuracy
    assert (kept.evaluation.kind, untrained.evaluation.kind) == ("trained", "post-training")
