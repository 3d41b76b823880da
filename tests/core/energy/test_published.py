"""The published networks must give the published rows, at the published settings."""

import pytest

from core.energy import EnergySettings, Pricer, preset, price
from core.energy.published import PUBLISHED, network
from core.errors import CostError

# talk of 1 December 2020 and the original QTools 0.9.0: (sum pJ, parameter bits, profile by layer)
ROWS = {
    "BF": (7004, 61446, [1735.42, 53.25, 3239.97, 26.63, 1630.11, 26.63, 280.62, 11.41]),
    "Q6": (2633, 26334, [794.46, 22.82, 1119.76, 11.41, 562.39, 11.41, 99.52, 11.41]),
    "QE": (948, 4728, [279.34, 243.44, 7.61, 89.91, 121.72, 3.80, 47.48, 121.72, 3.80, 18.01, 11.41]),
    "QB": (912, 4216, [279.34, 243.44, 7.61, 57.56, 121.72, 3.80, 44.15, 121.72, 3.80, 17.69, 11.41]),
}
BF_PARTS = {"fc1": (15.22, 905.30, 814.90, 133.13), "fc2": (53.25, 1730.72, 1456.00, 68.47),
            "output": (26.63, 140.74, 113.25, 11.41), "softmax": (11.41, 0.0, 0.0, 11.41)}


@pytest.mark.parametrize("name", ROWS)
def test_published_rows(name):
    report = price(*PUBLISHED[name], preset("published"))
    total, bits, profile = ROWS[name]
    assert report.total_pj == total
    assert report.parameter_bits == bits
    assert [row.profile_pj for row in report.rows] == pytest.approx(profile, abs=1e-9)
    assert report.costs.energy_pj == pytest.approx(sum(profile))
    assert report.notes == []


def test_parts_of_the_baseline():
    report = price(*PUBLISHED["BF"], preset("published"))
    for name, parts in BF_PARTS.items():
        row = report.row(name)
        assert (row.inputs_pj, row.parameters_pj, row.op_pj, row.outputs_pj) == pytest.approx(parts, abs=1e-9)


def test_notebook_preset_gives_the_notebooks_operations():
    # the notebook's Q6 dense energies; it feeds 15-bit data
    info, recipe = PUBLISHED["Q6"]
    from msgspec.structs import replace

    report = price(info, replace(recipe, input="quantized_bits(15,5,1)"), preset("notebook"))
    dense = [row.op_pj for row in report.rows if row.class_name == "Dense"]
    assert dense == pytest.approx([369.32, 355.2, 174.4, 27.25], abs=0.01)


def test_an_edit_prices_what_it_changes():
    info, recipe = PUBLISHED["Q6"]
    pricer = Pricer(info)
    first = pricer.price(recipe)
    second = pricer.price(recipe.with_quantizer("fc2", "kernel", "ternary(alpha=1)"))
    assert second.energy_pj < first.energy_pj
    changed = [a.name for a, b in zip(first.rows, second.rows, strict=True) if a is not b]
    assert changed == ["fc2", "relu2"]  # relu2 reads another format
    assert second == price(info, recipe.with_quantizer("fc2", "kernel", "ternary(alpha=1)"))


def test_unknown_names_are_refused_in_a_sentence():
    with pytest.raises(CostError, match="Use one of: BF"):
        network("Q7")
    with pytest.raises(CostError, match="compat cannot be"):
        EnergySettings(compat="0.8")
    with pytest.raises(CostError, match="no process table"):
        price(*PUBLISHED["Q6"], settings=EnergySettings(process="65nm"))
