"""Forgiving factors equal the original's tables; the corrected one obeys the stress."""

import math
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from core.energy import CORRECTED, QTOOLS, EnergySettings, preset, price
from core.energy.forgiving import BitsFactor, EnergyFactor, Tolerance, delta, score
from core.energy.published import PUBLISHED
from core.errors import CostError
from tests.core.energy.golden_models import golden, model_named, read

TABLES = golden()["forgiving"]
SHORT = ("int8", "int16", "int32", "fp16", "fp32")
TOLERANCES = ("delta_p", "delta_n", "rate", "stress")


def known_models():
    return {record["name"] for record in golden()["models"]}


@dataclass
class Table:
    params: dict
    reference: str
    trials: dict
    expected_reference: float


def tables(kind):
    return [Table(t["params"], t["reference_model"], t["trials"], t["reference_size_attribute"])
            for t in TABLES if t["type"] == kind]


def model(name):
    """A golden model, or a published network of the same name where the golden file leaves it out."""
    if name in known_models():
        return read(model_named(name))
    plain = {"jet_QB": "QB"}.get(name)
    return PUBLISHED[plain] if plain else None


@pytest.mark.parametrize("table", tables("energy"))
def test_energy_factors_equal_the_original(table):
    params = table.params
    source = params["source_quantizers"][0]
    settings = EnergySettings(
        compat=QTOOLS, float_type=params["reference_internal"], float_accumulator=params["reference_accumulator"],
        source=source if source in SHORT else None, minimum_sram_bits=params["min_sram_size"][1])
    factor = EnergyFactor(Tolerance(**{k: params[k] for k in TOLERANCES}), settings)
    reference = factor.reference(model(table.reference)[0])
    assert factor.cost(reference) == table.expected_reference
    for name, expected in table.trials.items():
        info, recipe = model(name)
        trial = factor.trial(info, recipe if source in SHORT else replace(recipe, input=source))
        assert factor.cost(trial) == expected["trial_size"], name
        assert factor.delta(reference, trial) == pytest.approx(expected["delta"], abs=1e-5), name
        assert factor.total_factor(reference, trial) == pytest.approx(expected["total_factor"], abs=1e-5), name


@pytest.mark.parametrize("table", tables("bits"))
def test_bits_factors_equal_the_original(table):
    params = table.params
    settings = replace(preset("published"), input_bits=params["input_bits"], output_bits=params["output_bits"],
                       unquantized_bits=params["ref_bits"])
    factor = BitsFactor(Tolerance(**{k: params[k] for k in TOLERANCES}), params["config"])
    reference = price(*model(table.reference), settings)
    assert factor.cost(reference) * params["stress"] == table.expected_reference
    compared = 0
    for name, expected in table.trials.items():
        if model(name) is None:
            continue
        trial = price(*model(name), settings)
        assert factor.cost(trial) == expected["trial_size"], name
        assert factor.delta(reference, trial) == pytest.approx(expected["delta"], abs=1e-5), name
        assert factor.total_factor(reference, trial) == pytest.approx(expected["total_factor"], abs=1e-5), name
        compared += 1
    assert compared >= 6


def test_corrected_energy_obeys_the_stress():
    info, recipe = PUBLISHED["Q6"]
    deltas = []
    for stress in (1.0, 0.5):
        factor = EnergyFactor(Tolerance(delta_p=5, delta_n=10, rate=4, stress=stress), EnergySettings(compat=CORRECTED))
        deltas.append(factor.delta(factor.reference(info), factor.trial(info, recipe)))
    # halving the reference costs d * log_rate(2) = 5 % * 1/2
    assert deltas[0] - deltas[1] == pytest.approx(0.05 * math.log(2) / math.log(4))


def test_score_and_sides():
    tolerance = Tolerance(delta_p=5.0, delta_n=10.0, rate=4.0)
    assert delta(4.0, 1.0, tolerance) == pytest.approx(0.05)
    assert delta(1.0, 4.0, tolerance) == pytest.approx(-0.10)
    assert score(0.75, delta(4.0, 1.0, tolerance)) == pytest.approx(0.7875)


@pytest.mark.parametrize(("reference", "trial"), [(0, 1), (1, 0), (-1, 1)])
def test_costs_must_be_above_zero(reference, trial):
    with pytest.raises(CostError, match="must be above 0"):
        delta(reference, trial, Tolerance())


def test_a_rate_of_one_is_refused():
    with pytest.raises(CostError, match="rate"):
        Tolerance(rate=1.0)
