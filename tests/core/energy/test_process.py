"""Process tables are data: a user's file works, a damaged one is refused in a sentence."""

import json

import pytest

from core.energy import EnergySettings, price
from core.energy.process import load_process, process_names
from core.energy.published import PUBLISHED
from core.errors import CostError
from resources import path


def test_bundled_table_names_units_and_source():
    assert "horowitz45" in process_names()
    process = load_process("horowitz45")
    assert "ISSCC 2014" in process.source
    assert set(process.units) == {"operations", "sram", "dram"}


def test_known_energies():
    process = load_process("horowitz45")
    assert process.operation("fixed", "add", 32) == pytest.approx(0.1)
    assert process.operation("fixed", "mul", 32) == pytest.approx(3.1)
    assert process.operation("fp32", "mul", 32) == 3.7
    assert process.read(1, "sram", 2**27, False) == pytest.approx(3.804, abs=5e-4)
    assert process.read(65, "sram", 2**27, False) == 2 * process.read(64, "sram", 2**27, False)
    assert process.write(10, "dram", 0, False) == pytest.approx(203.125)
    assert process.read(10, "dram", 2**27, True) == pytest.approx(203.125 + process.read(1, "sram", 2**27, False))
    assert process.read(10, "fixed", 2**27, True) == 0
    assert process.read(0, "sram", 0, False) == 0


def test_a_users_table_needs_no_code(tmp_path):
    table = json.loads(path("processes/horowitz45.json").read_text())
    table["name"] = "half"
    for operations in table["operations"].values():
        for name, coefficients in operations.items():
            operations[name] = [value / 2 for value in coefficients]
    mine = tmp_path / "half.json"
    mine.write_text(json.dumps(table))
    free = {"weights_memory": "fixed", "activations_memory": "fixed"}
    whole = price(*PUBLISHED["Q6"], EnergySettings(**free)).row("fc2")
    half = price(*PUBLISHED["Q6"], EnergySettings(process=str(mine), **free)).row("fc2")
    assert half.op_pj == pytest.approx(whole.op_pj / 2)


def test_an_operation_that_is_missing_is_named(tmp_path):
    table = json.loads(path("processes/horowitz45.json").read_text())
    del table["operations"]["fixed"]["mul"]
    (tmp_path / "poor.json").write_text(json.dumps(table))
    with pytest.raises(CostError, match="no energy for 'mul' in fixed"):
        price(*PUBLISHED["Q6"], EnergySettings(process=str(tmp_path / "poor.json")))


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"name": 3}', "\udcff"])
def test_a_damaged_table_is_refused(tmp_path, content):
    damaged = tmp_path / f"damaged{abs(hash(content))}.json"
    damaged.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CostError, match="cannot be read"):
        load_process(str(damaged))
