"""Equality with the original QTools 0.9.0: types, counts, energies, sums and bits of every golden model.

`QTOOLS_GOLDEN` may name another golden file of the same form. Merge inputs are compared as sets: the original
orders them at random.
"""

from collections import Counter

import pytest

from core.energy import EnergySettings, Pricer, preset, price
from tests.core.energy.golden_models import (
    as_golden,
    energy_settings,
    from_golden,
    golden,
    model_named,
    quantized_weights,
    read,
)

NAMES = [record["name"] for record in golden()["models"]]
CONFIGS = {config["id"]: config for config in golden()["qtools_configs"]}
MEMORIES = {memory["id"]: memory for memory in golden()["memory_settings"]}
PARAMETERS = {"weight_quantizer": "weight", "bias_quantizer": "bias", "gamma_quantizer": "gamma",
              "beta_quantizer": "beta", "mean_quantizer": "mean", "variance_quantizer": "variance"}
OPERATIONS = {"multiplier": "multiplier", "internal_multiplier": "multiplier", "internal_divide_quantizer": "divider"}
SUMS = {"accumulator": "accumulator", "internal_accumulator": "accumulator"}
PARTS = {"inputs": "inputs_pj", "parameters": "parameters_pj", "op_cost": "op_pj", "outputs": "outputs_pj"}


def reports(record, config):
    """The report of each memory setting."""
    info, recipe = read(record)
    weights = quantized_weights(record, info, recipe) if config["is_inference"] else None
    return {memory: price(info, recipe, energy_settings(config, MEMORIES[memory]), weights) for memory in MEMORIES}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_original(name, config):
    record = model_named(name)
    run = record["runs"][config]
    ours = reports(record, CONFIGS[config])
    if "error" in run:
        assert_said(run["error"], ours["sram_2^27"])
        return
    report = ours["sram_2^27"]
    assert {row.name for row in report.rows} == set(run["layers"])
    for row in report.rows:
        assert_types(row, run["layers"][row.name])
    for memory, expected in run["energy"].items():
        if "error" in expected:
            assert_said(expected["error"], ours[memory])
        else:
            assert_energies(ours[memory], expected)


def assert_said(error, report):
    """Where the original stopped, the report says at which layer and why, and goes on."""
    words = {"TagMissingError": "has no type for", "KeyError": "has no type for", "AttributeError": "taken as Add",
             "IndexError": "cannot read folded layers"}
    assert any(words[error.split(":")[0]] in note for note in report.notes), (error, report.notes)
    assert report.total_pj > 0


def assert_types(row, expected):
    name = row.name
    assert Counter(map(as_golden, row.inputs)) == Counter(map(from_golden, expected["inputs"])), name
    assert as_golden(row.output) == from_golden(expected["output"]), name
    assert row.op_count == expected["operation_count"], name
    held = {key for key in (*PARAMETERS, *OPERATIONS, *SUMS) if expected.get(key)}
    ours = {k: v for k, v in {**PARAMETERS, **OPERATIONS, **SUMS}.items() if k in held}
    assert set(row.types) == set(ours.values()), name
    for key in held & set(PARAMETERS):
        assert as_golden(row.types[PARAMETERS[key]]) == from_golden(expected[key]), (name, key)
    for key in held & set(SUMS):
        assert as_golden(row.types[SUMS[key]]) == from_golden(expected[key]["output"]), (name, key)
    for key in held & set(OPERATIONS):
        operation = row.operations[OPERATIONS[key]]
        assert as_golden(operation.output) == from_golden(expected[key]["output"]), (name, key)
        assert operation.implementation == expected[key]["implemented_as"], (name, key)
        assert operation.gate_bits == pytest.approx(expected[key]["gate_bits"], rel=1e-12), (name, key)
        assert operation.gate_factor == pytest.approx(expected[key]["gate_factor"], rel=1e-12), (name, key)


def assert_energies(report, expected):
    for row in report.rows:
        for part, ours in PARTS.items():
            assert getattr(row, ours) == pytest.approx(expected["layers"][row.name][part], abs=0.01), (row.name, part)
        assert row.profile_pj == pytest.approx(expected["profile"][row.name], abs=0.01), row.name
    assert report.total_pj == expected["sum"]
    # the original cuts a sum of unrounded parts
    assert sum(row.total_pj for row in report.rows) == pytest.approx(
        expected["total_cost"] + 0.5, abs=0.5 + 0.02 * len(report.rows))


@pytest.mark.parametrize("name", NAMES)
def test_bits_equal_the_forgiving_factors(name):
    record = model_named(name)
    if "error" in record["bits"]:
        pytest.skip("the original cannot count the bits of this model")
    info, recipe = read(record)
    report = price(info, recipe, preset("published"))
    expected = record["bits"]
    assert report.parameter_bits == expected["parameters"]
    assert report.activation_bits == expected["activations"]
    for row in report.rows:
        assert row.parameter_bits == expected["layers"][row.name]["parameters"], row.name
        assert row.activation_bits == expected["layers"][row.name]["activations"], row.name


def test_every_golden_model_is_priced_in_corrected_mode():
    for name in NAMES:
        info, recipe = read(model_named(name))
        report = Pricer(info, EnergySettings()).price(recipe)
        assert report.energy_pj > 0, name
