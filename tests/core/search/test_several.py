"""Searches on a model with two inputs and two outputs: the same numbers as plain Keras, traced once."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from core.dataset import check_fits, load_dataset
from core.events import Monitor
from core.loading import dataset_of, model_of
from core.model_io import describe_model
from core.project import Project
from core.quant import quantize, weights
from core.quant.evaluation import evaluate
from core.quant.recipe import Recipe
from core.requests import Search
from core.search.compiled_trainer import CompiledTrainer
from core.search.gradient import run_gradient
from core.search.keras_trainer import KerasTrainer
from core.search.program import CHUNK, cosine
from core.search.shaped_trainer import ShapedTrainer
from core.search.shapes import with_numbers
from core.search.space import build_space
from core.search.trainer import Extras
from core.verify import verify
from tests.core.several import network, write

OPTIONS = {"kernel": ["quantized_bits(4,0,alpha=1)", "ternary(alpha='auto_po2')", "quantized_po2(4)"],
           "bias": ["quantized_bits(8,2,alpha=1)"], "output": ["quantized_relu(4,2)", "quantized_relu(6,3)"]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    network().save(folder / "model.keras")
    return str(folder / "model.keras"), str(write(folder / "events.npz"))


@pytest.fixture(scope="module")
def data(files):
    return dataset_of(files[1], files[0])


@pytest.fixture(scope="module")
def trainer(files, data):
    model = model_of(files[0])
    made = CompiledTrainer(model, data, 2e-3, 60, "graph", Extras(qualities=True))
    made.prepare(build_space(describe_model(model), Recipe(), OPTIONS))
    return made


def drawn(trainer, seed):
    random = np.random.default_rng(seed)
    return trainer.space.decode({c.key: int(random.integers(len(c.options))) for c in trainer.space.choices})


def test_training_is_that_of_plain_keras(trainer, files, data):
    program, recipe, steps = trainer.program, drawn(trainer, 1), CHUNK + 3
    rates = cosine(2e-3, steps)
    order = np.concatenate([np.random.default_rng(i).permutation(program.events)[:program.batch]
                            for i in range(steps)])
    state, loss = program.train(program.start(trainer._start), trainer.switches.rows(recipe)[None], rates, order)
    model = quantize(model_of(files[0]), recipe)
    optimizer = keras.optimizers.Adam(1e-3)
    model.compile(optimizer, loss=["sparse_categorical_crossentropy", "mse"], jit_compile=False)
    losses = []
    for rate, rows in zip(rates, order.reshape(steps, -1), strict=True):
        optimizer.learning_rate.assign(rate)
        x, y = data.x_train[rows], data.y_train[rows]
        losses.append(model.train_on_batch(list(x.parts), [y.part("kind"), y.part("energy")[:, None]],
                                           return_dict=True)["loss"])
        model.reset_metrics()
    for found, wanted in zip(state.weights, model.trainable_variables, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)
    assert loss == pytest.approx(np.mean(losses), rel=1e-3)


def test_no_candidate_traces_anything_again_and_scores_what_it_says(trainer, files, data):
    shared = trainer.share(1, 0, Monitor())
    points = [{c.key: n % len(c.options) for c in trainer.space.choices} for n in range(3)]
    assert np.isfinite(trainer.proxies(shared, points)).all()
    for seed in range(3):
        trained = trainer.train(drawn(trainer, seed), seed, 2, Monitor(), shared if seed else None)
    assert trainer.program.traces == {"train": 1, "outputs": 1}
    model = quantize(model_of(files[0]), drawn(trainer, 2))
    weights.set_weights(model, trained.weights)
    again = evaluate(model, data, "trained")
    assert again.accuracy == pytest.approx(trained.evaluation.accuracy, abs=1e-6)
    assert again.loss == pytest.approx(trained.evaluation.loss, rel=1e-4)
    assert {"kind/electron", "kind/muon", "kind/tau"} == set(trained.evaluation.auc)
    assert trained.validation


@pytest.mark.slow
def test_the_plain_trainer_and_other_shapes_take_it_too(files, data):
    model = model_of(files[0])
    info = describe_model(model)
    trainer = ShapedTrainer(model, data, lambda source: KerasTrainer(source, data, batch_size=120))
    trainer.prepare(with_numbers(build_space(info, Recipe(), OPTIONS), info, [0.5, 1]))
    trained = trainer.train(trainer.space.decode({"one.units": 0}), 0, 1, Monitor())
    assert trained.evaluation.events == 120 and trained.weights["one/kernel"].shape == (5, 4)


@pytest.mark.slow
def test_a_gradient_search_gives_candidates_at_their_cost(files, data, tmp_path):
    with Project.create(tmp_path / "p", *files) as project:
        asked = Search(project=str(project.folder), method="gradient", beta=[3e-5, 1e-2], epochs=6, workers=1, trials=3)
        added = run_gradient(project, asked, model_of(files[0]), data, Monitor(), "graph")
        assert added
        found = verify(project, project.candidates(), data, Monitor())
        assert found.agrees, found
        assert all(candidate.costs.ebops > 0 for candidate in project.candidates())


def test_arrays_of_a_file_reach_a_search_in_the_models_order(files):
    stored = load_dataset(files[1])
    assert stored.x_test.names == ("calo", "tracks") != dataset_of(files[1], files[0]).x_test.names
    assert check_fits(stored, describe_model(model_of(files[0]))).x_test.names == ("tracks", "calo")
