"""Every model family on its whole way: float model, file, layer table, recipe, quantized model, training, judgement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from core.candidate import Evaluation
from core.dataset import Dataset, check_fits, family_dataset
from core.errors import DatasetError
from core.model_info import ModelInfo
from core.model_io import inspect_model, load_model
from core.quant import quantize, train
from core.quant.evaluation import evaluate, predict
from core.quant.recipe import OUTPUT, Recipe, uniform
from core.quant.training import TrainOptions
from core.workflows import create_project
from resources.families import FAMILIES

#: so coarse that training has something to mend
BITS = (4, 6)
#: what the uniform recipe leaves in float: parameters of a normalization, and outputs that are not of a ReLU
REST = "quantized_bits(10,3,alpha=1)"
#: bits and integer bits of the weights' quantizers
WIDTHS = {**{f"quantized_bits({bits},1,alpha=1)": (bits, 1) for bits in BITS}, REST: (10, 3)}


@dataclass(frozen=True)
class Brief:
    """A training short enough for a test; `auc` is what the float model then reaches at least, over the classes."""

    events: int
    epochs: int
    auc: float
    batch: int = 64
    rate: float = 5e-3
    bits: int = BITS[0]
    quantized_epochs: int = 2


#: chance is 0.5 however rare a class is; the signal's AUC of an untrained autoencoder is about 0.75
BRIEF = {
    "jet_mlp": Brief(3000, 5, 0.8),
    "deep_sets": Brief(3000, 6, 0.7, bits=6),
    "interaction_network": Brief(2000, 6, 0.62, bits=6),
    "digits_cnn": Brief(1500, 5, 0.62, 32, bits=6),
    "segmentation": Brief(200, 6, 0.85, 16, 1e-2),
    "dense_autoencoder": Brief(2000, 8, 0.9),
    "conv_autoencoder": Brief(2000, 6, 0.9),
    "vae": Brief(3000, 16, 0.7, bits=6, quantized_epochs=6),
    "flow": Brief(3000, 8, 0.75),
    "gravitational_lstm": Brief(1500, 6, 0.8),
    "gravitational_gru": Brief(1500, 6, 0.8),
    "track_graph": Brief(1500, 8, 0.75),
}


def mean_auc(result: Evaluation) -> float:
    return sum(result.auc.values()) / len(result.auc)


def options(brief: Brief, epochs: int) -> TrainOptions:
    return TrainOptions(epochs=epochs, learning_rate=brief.rate, batch_size=brief.batch, seed=1)


def stored(name: str, data: Dataset, folder: Path) -> Path:
    """The file of a briefly trained float model that tells the classes apart."""
    keras.utils.set_random_seed(3)
    model = FAMILIES[name].build()
    train(model, data, options(BRIEF[name], BRIEF[name].epochs))
    assert mean_auc(evaluate(model, data, "float")) > BRIEF[name].auc
    model.save(folder / f"{name}.keras")
    return folder / f"{name}.keras"


def everywhere(info: ModelInfo, bits: int) -> Recipe:
    """The uniform recipe, and a quantizer on whatever else the table says can have one."""
    recipe = uniform(info, bits, 1, input_quantizer="quantized_bits(12,5,alpha=1)")
    for layer in info.layers:
        for parameter in layer.quantizable:
            if recipe.text(layer.name, parameter) is None:
                recipe = recipe.with_quantizer(layer.name, parameter, REST)
    return recipe


def assert_quantized(model: keras.Model, info: ModelInfo, recipe: Recipe) -> None:
    """Each quantizable parameter of the table has its quantizer in the model, and its values are on the grid."""
    count = 0
    for layer in (layer for layer in info.layers if layer.quantizable):
        built = model.get_layer(layer.name)
        assert set(built.quantizers) == set(layer.quantizable), layer.name
        for parameter, values in built.quantized_weights().items():
            bits, integer = WIDTHS[recipe.text(layer.name, parameter)]
            codes = np.asarray(values, np.float64) * 2.0 ** (bits - integer - 1)
            np.testing.assert_array_equal(codes, np.round(codes), err_msg=f"{layer.name} {parameter}")
            assert -(2 ** (bits - 1)) <= codes.min() <= codes.max() < 2 ** (bits - 1)
            count += 1
    assert count >= sum(1 for layer in info.layers if "kernel" in layer.quantizable) > 0


def test_that_every_family_is_tried():
    assert set(BRIEF) == set(FAMILIES)


@pytest.mark.parametrize("name", BRIEF)
def test_that_a_family_goes_the_whole_way(name, tmp_path):
    brief = BRIEF[name]
    data = family_dataset(name, brief.events, seed=5)
    path = stored(name, data, tmp_path)
    info = inspect_model(path)
    check_fits(data, info)
    model = load_model(path)
    assert info.notes == () and info.parameters == model.count_params()
    assert {layer.name for layer in info.layers} == {layer.name for layer in model.layers}
    recipe = everywhere(info, brief.bits)
    recipe.check(info)
    quantized = quantize(model, recipe)
    assert_quantized(quantized, info, recipe)
    post = evaluate(quantized, data, "post-training")
    train(quantized, data, options(brief, brief.quantized_epochs))
    assert_quantized(quantized, info, recipe)
    result = evaluate(quantized, data, "trained")
    assert result.loss < post.loss
    assert set(result.auc) <= set(data.class_names) and mean_auc(result) > 0.6
    assert result.metric == {"classification": "accuracy"}.get(data.task, "AUC")
    saved = tmp_path / "quantized.keras"
    quantized.save(saved)
    some = data.x_test[:32]
    np.testing.assert_array_equal(predict(load_model(saved), some), predict(quantized, some))


@pytest.mark.parametrize("name", BRIEF)
def test_that_the_uniform_recipe_names_every_kernel(name, tmp_path):
    FAMILIES[name].build().save(tmp_path / "m.keras")
    info = inspect_model(tmp_path / "m.keras")
    recipe = uniform(info, 6)
    kernels = [(layer.name, weight.parameter) for layer in info.layers for weight in layer.weights
               if weight.parameter.endswith(("kernel", "depthwise", "pointwise", "bias"))]
    assert kernels and all(recipe.text(*kernel) for kernel in kernels)
    relus = [layer.name for layer in info.layers if layer.is_relu]
    assert all(recipe.text(layer, OUTPUT) == "quantized_relu(6,0)" for layer in relus)


def test_that_a_project_keeps_the_events_of_a_family_by_name(tmp_path):
    FAMILIES["flow"].build().save(tmp_path / "flow.keras")
    with create_project(tmp_path / "p", tmp_path / "flow.keras", "family:flow") as project:
        assert project.data_reference == "family:flow"
        project.check_sources()
    with pytest.raises(DatasetError, match="the model 'vae' takes 57 features"):
        FAMILIES["vae"].build().save(tmp_path / "vae.keras")
        create_project(tmp_path / "q", tmp_path / "vae.keras", "family:flow")
