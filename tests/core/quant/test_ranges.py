"""What a quantizer says of its own values, against those that come out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.quant import quantizer
from core.quant.quantizers import GRID_BITS
from core.quant.spec import parse

RECORD = json.loads((Path(__file__).parents[2] / "golden" / "quantizer_fuzz.json").read_text())
TEXTS = [entry["quantizer"] for entry in RECORD["entries"]]
TEXTS += ["quantized_linear(4)", "quantized_linear(5,2,0,alpha=0.3)", "quantized_linear(4,1,keep_negative=False)",
          "quantized_linear(1)", "bernoulli(alpha=0.5)", "ternary(threshold=5.0)", "quantized_bits(6,-3,alpha=1)",
          "quantized_relu(4,-2)", "quantized_relu(4,1,negative_slope=2)", "quantized_sigmoid(12,1,1)"]
SPECS = {text: parse(text) for text in TEXTS}
CLOSED = [text for text, spec in SPECS.items() if not isinstance(spec.get("alpha"), str)
          and spec.get("qnoise_factor", 1.0) == 1.0 and (spec.get("bits") or 1) <= 8]
FIXED = [text for text in TEXTS if quantizer(text).fixed_point() is not None]
#: far finer than any of these grids, with magnitudes that no sum reaches besides
DENSE = np.concatenate([np.linspace(-reach, reach, 2**15 + 1) for reach in (0.5, 4, 32, 256)]
                       + [sign * 2.0 ** np.linspace(-130, 127, 2**14) for sign in (1, -1)]).astype(np.float32)


@pytest.mark.parametrize("text", CLOSED)
def test_the_grid_is_the_set_of_values_that_come_out(text: str) -> None:
    # 2**100 and more overflow where fixed-point kinds scale their input
    x = DENSE if "po2" in text else DENSE[np.abs(DENSE) < 1e30]
    np.testing.assert_array_equal(quantizer(text).grid(), np.unique(quantizer(text)(x)).astype(float))


@pytest.mark.parametrize("text", FIXED)
def test_the_fixed_point_form_rounds_and_saturates_as_the_quantizer(text: str) -> None:
    chosen = quantizer(text)
    fixed, grid = chosen.fixed_point(), chosen.grid()
    x = DENSE[np.abs(DENSE) < 1e30]
    step = 2.0**-fixed.fraction
    expected = np.clip(np.rint(x.astype(float) / step) * step, fixed.minimum, fixed.maximum)
    if parse(text).kind == "quantized_tanh":  # its hard form halves the input, and loses what lies 24 bits below 1
        expected = np.where(np.abs(x) < 1e-6, 0, expected)
    np.testing.assert_array_equal(chosen(x), expected)
    assert (grid[0], grid[-1]) == (fixed.minimum, fixed.maximum)
    assert np.diff(grid) == pytest.approx(step)


def test_there_is_no_grid_where_values_depend_on_the_data_or_are_too_many() -> None:
    for text in ("quantized_bits(4,0,alpha='auto')", "quantized_relu(4,1,qnoise_factor=0.5)",
                 "binary(alpha='auto_po2')", f"quantized_bits({GRID_BITS + 1},0)"):
        assert quantizer(text).grid() is None


@pytest.mark.parametrize(("text", "low", "high"), [
    ("quantized_hswish(8,2)", -0.375, 4.0), ("quantized_hswish(4,0,relu_shift=3,relu_upper_bound=6)", -0.375, 1.0),
    ("quantized_hswish(3,1)", -0.5, 2.0), ("quantized_sigmoid(16,1)", 2.0**-16, 1 - 2.0**-16)])
def test_nominal_ranges_the_original_fails_at_or_that_are_too_fine_to_list(text: str, low: float, high: float) -> None:
    chosen = quantizer(text)
    assert (chosen.min(), chosen.max()) == (low, high)


@pytest.mark.parametrize("text", TEXTS)
def test_a_string_keeps_every_argument(text: str) -> None:
    assert parse(str(SPECS[text])) == SPECS[text]
