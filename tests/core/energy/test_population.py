"""Population prices equal single prices, on drawn recipes of networks with and without merges."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.energy import CORRECTED, QTOOLS, EnergySettings, Pricer, price
from core.energy.population import INPUT, PopulationPricer, Slot
from core.energy.published import PUBLISHED
from core.errors import CostError
from core.quant.recipe import LayerRecipe, Recipe
from tests.core.energy.golden_models import model_named, read

KERNELS = (*(f"quantized_bits({b},0,alpha=1)" for b in range(2, 9)), "ternary(alpha=1)", "binary(alpha=1)",
           "quantized_po2(4)", "stochastic_binary(alpha=1)", None)
OUTPUTS = ("quantized_relu(3,1)", "quantized_relu(6,0)", "quantized_relu_po2(4,4)", "binary(alpha=1)", "ternary",
           "quantized_tanh(4)", None)


def slots_of(info):
    slots = []
    for layer in info.layers:
        for parameter in layer.quantizable:
            if parameter in ("gamma", "beta", "mean", "variance"):
                continue
            slots.append(Slot(layer.name, parameter, OUTPUTS if parameter == "output" else KERNELS))
    return [*slots, Slot("", INPUT, ("quantized_bits(16,6,1)", "quantized_bits(8,2,1)", "quantized_relu(4,2)"))]


MODELS = {"BF": PUBLISHED["BF"], "QE": PUBLISHED["QE"],
          **{name: read(model_named(name)) for name in ("merge_layers", "two_inputs", "conv1d")}}


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(MODELS)), seed=st.integers(0, 2**32 - 1),
       compat=st.sampled_from([QTOOLS, CORRECTED]))
def test_equals_single_prices(name, seed, compat):
    info, base = MODELS[name]
    slots = slots_of(info)
    options = EnergySettings(compat=compat)
    population = PopulationPricer(Pricer(info, options), base, slots)
    random = np.random.default_rng(seed)
    genes = np.stack([random.integers(0, len(slot.options), 6) for slot in slots], axis=1)
    costs = population.price(genes)
    for member, row in enumerate(genes):
        single = price(info, population.recipe(row), options)
        assert costs.energy_pj[member] == pytest.approx(single.energy_pj, rel=1e-12, abs=1e-9)
        assert costs.parameter_bits[member] == single.parameter_bits
        assert costs.activation_bits[member] == single.activation_bits
        assert costs.ebops[member] == single.ebops


def test_a_hundred_thousand_prices_in_a_second():
    info, base = PUBLISHED["BF"]
    population = PopulationPricer(Pricer(info), base, slots_of(info)[:-1])
    random = np.random.default_rng(1)
    genes = np.stack([random.integers(0, len(slot.options), 100_000) for slot in population.slots], axis=1)
    population.price(genes[:20_000])
    start = time.process_time()
    costs = population.price(genes)
    assert len(costs.energy_pj) == 100_000
    assert time.process_time() - start < 1.0


def test_one_edit_takes_under_five_milliseconds():
    info, recipe = PUBLISHED["QE"]
    pricer = Pricer(info)
    pricer.price(recipe)
    edits = [recipe.with_quantizer("fc1", "kernel", text) for text in KERNELS]
    start = time.process_time()
    for edit in edits:
        pricer.price(edit)
    assert (time.process_time() - start) / len(edits) < 0.005


def test_what_does_not_fit_is_refused():
    info, base = PUBLISHED["BF"]
    pricer = Pricer(info)
    slot = Slot("fc1", "kernel", KERNELS)
    with pytest.raises(CostError, match="out of range"):
        PopulationPricer(pricer, base, [slot]).price(np.array([[len(KERNELS)]]))
    with pytest.raises(CostError, match="do not fit"):
        PopulationPricer(pricer, base, [slot]).price(np.zeros((3, 2), dtype=int))
    with pytest.raises(CostError, match="cannot be priced"):
        PopulationPricer(pricer, base, [Slot("fc9", "kernel", KERNELS)])
    wide = base.with_layer("fc1", LayerRecipe(units_multiplier=2.0))
    with pytest.raises(CostError, match="numbers of units"):
        PopulationPricer(pricer, wide, [slot])


def test_unit_multipliers_change_the_model():
    info, recipe = PUBLISHED["Q6"]
    half = recipe.with_layer("fc1", replace(recipe.layers["fc1"], units_multiplier=0.5))
    report = price(info, half)
    # 16*32+32 + 32*32+32 + 32*32+32 + 32*5+5 weights of 6 bits
    assert report.parameter_bits == 6 * (544 + 1056 + 1056 + 165)
    assert report.row("fc1").op_count == 512
    assert report.row("fc2").op_count == 1024
    assert report.energy_pj < price(info, recipe).energy_pj


def test_unit_multipliers_follow_through_convolutions():
    info, recipe = MODELS["conv1d"]
    wide = recipe.with_layer("c1", replace(recipe.layers["c1"], units_multiplier=2.0))
    report = price(info, wide)
    assert report.row("c1").op_count == 2 * price(info, recipe).row("c1").op_count
    assert report.row("c2").op_count == 2 * price(info, recipe).row("c2").op_count


def test_units_never_vanish():
    info, _ = PUBLISHED["Q6"]
    report = price(info, Recipe(layers={"fc1": LayerRecipe(units_multiplier=0.001)}))
    assert report.row("fc1").op_count == 16
