"""EBOPs against HGQ2's figure and by hand."""

import numpy as np
import pytest

from core.energy import price
from core.energy.ebops import products_ebops, significant_bits
from core.energy.published import PUBLISHED
from core.quant.recipe import LayerRecipe, Recipe


def test_significant_bits():
    values = np.array([0.0, 1.0, -0.5, 0.75, 0.625, 5.0, -7.0, 2.0**-20, 96.0])
    assert significant_bits(values).tolist() == [0, 1, 1, 2, 3, 3, 3, 1, 2]


def test_uniform_dense_equals_hgq2():
    # HGQ2 0.2.0 gives 74112 for a 16x64 layer of 6-bit weights and bias on 12-bit data
    info, _ = PUBLISHED["BF"]
    six = "quantized_bits(6,0,alpha=1)"
    recipe = Recipe(layers={"fc1": LayerRecipe(quantizers={"kernel": six, "bias": six})}, input="quantized_bits(12,5)")
    assert price(info, recipe).row("fc1").ebops == 74112
    assert products_ebops(np.full((16, 64), 6), np.full(16, 12), np.full(64, 6)) == 74112


def test_known_weights_count_their_own_bits():
    info, recipe = PUBLISHED["Q6"]
    kernel = np.zeros((16, 64))
    kernel[0, 0], kernel[3, 5] = 0.75, -0.5
    row = price(info, recipe, weights={"fc1": {"kernel": kernel}}).row("fc1")
    assert row.ebops == (2 + 1) * 16 + 64 * 6
    assert price(info, recipe).row("fc1").ebops == 16 * 64 * 6 * 16 + 64 * 6


@pytest.mark.parametrize("name", PUBLISHED)
def test_total_is_the_sum_of_rows(name):
    report = price(*PUBLISHED[name])
    assert report.costs.ebops == sum(row.ebops for row in report.rows) > 0
