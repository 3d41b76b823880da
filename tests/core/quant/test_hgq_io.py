"""HGQ2's files against predictions that HGQ2 stored beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import ModelFileError
from core.loading import model_of, stored_recipe
from core.model_io import inspect_model, load_model
from core.quant import predict
from core.quant.hgq_io import QFixedPoint, read_hgq

GOLDEN = Path(__file__).parents[2] / "golden" / "hgq_models"


@pytest.mark.parametrize("name", ["dense", "line"])
def test_a_file_of_hgq2_computes_the_same_with_its_widths(name: str, tmp_path: Path) -> None:
    pytest.importorskip("hgq")
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as stored:
        x, y = stored["x"], stored["y"]
    model = model_of(GOLDEN / f"{name}.keras")
    np.testing.assert_allclose(predict(model, x), y, atol=1e-6)
    assert len(np.unique(y)) > 100
    layer = next(layer for layer in model.layers if hasattr(layer, "kernel_bits"))
    widths = layer.kernel_bits.numpy()
    assert widths.shape == tuple(layer.kernel.shape) and len(np.unique(widths)) > 3
    model.save(tmp_path / "ours.keras")
    np.testing.assert_array_equal(predict(load_model(tmp_path / "ours.keras"), x), predict(model, x))
    assert {layer.class_name for layer in inspect_model(GOLDEN / f"{name}.keras").layers} >= {"Dense"} \
        or name == "line"


def test_without_hgq2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hgq", None)
    with pytest.raises(ModelFileError, match="pip install hgq2"):
        read_hgq(GOLDEN / "line.keras")


def test_its_quantizers_are_no_recipe_of_ours() -> None:
    assert stored_recipe(GOLDEN / "dense.keras") is None


@pytest.mark.parametrize(("overflow", "expected"), [("SAT", [-2.0, -0.5, 0.0, 0.5, 1.5, 1.5]),
                                                    ("SAT_SYM", [-1.5, -0.5, 0.0, 0.5, 1.5, 1.5]),
                                                    ("WRAP", [-2.0, -0.5, 0.0, 0.5, 1.5, -2.0])])
def test_fixed_point_rounds_half_up_and_overflows_as_told(overflow: str, expected: list[float]) -> None:
    layer = QFixedPoint((1, 1), "RND", overflow)
    x = np.array([[-2.0], [-0.75], [-0.25], [0.25], [1.5], [2.0]], np.float32)
    layer.build(x.shape)
    layer.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1))])
    np.testing.assert_array_equal(layer(x)[:, 0], expected)
