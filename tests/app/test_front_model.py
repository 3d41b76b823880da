"""The front as candidates arrive, its axes, and the published points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.models.distribution import distribution
from app.models.front_model import FrontModel, published_points
from core.candidate import Candidate, Costs, Evaluation
from core.energy.published import PUBLISHED
from core.quant.recipe import Recipe


def candidate(number: int, accuracy: float, energy: float, kind: str = "trained",
              ebops: int | None = None) -> Candidate:
    return Candidate(id=f"c{number:04d}", recipe=Recipe(name="r"),
                     evaluation=Evaluation(kind=kind, events=100, accuracy=accuracy, auc={"a": 0.9, "b": 0.8}),
                     costs=Costs(energy_pj=energy, parameter_bits=round(energy), activation_bits=7, ebops=ebops))


def test_front_grows_point_by_point_and_ignores_what_was_not_trained():
    model = FrontModel()
    for point in (candidate(1, 0.70, 1000), candidate(2, 0.75, 2000), candidate(3, 0.72, 2500),
                  candidate(4, 0.99, 1, kind="post-training"), candidate(5, 0.71, 900)):
        assert model.add(point)
    assert model.front == ["c0005", "c0002"]
    x, y = model.staircase()
    assert [10**v for v in x] == pytest.approx([900, 2000, 2000])
    assert y == pytest.approx([71, 71, 75])


def test_a_candidate_without_the_cost_or_seen_before_is_not_taken():
    model = FrontModel("ebops")
    assert not model.add(candidate(1, 0.7, 1000))
    assert model.add(candidate(2, 0.7, 1000, ebops=5000))
    assert not model.add(candidate(2, 0.7, 1000, ebops=5000))
    assert model.where("c0002") == (pytest.approx(math.log10(5000)), pytest.approx(70))


def test_neighbour_stops_at_the_ends_and_comes_in_from_beside_the_front():
    model = FrontModel()
    for point in (candidate(1, 0.60, 100), candidate(2, 0.70, 1000), candidate(3, 0.75, 10000),
                  candidate(4, 0.5, 900)):
        model.add(point)
    assert model.neighbour("c0002", 1) == "c0003"
    assert model.neighbour("c0003", 1) == "c0003"
    assert model.neighbour("c0001", -1) == "c0001"
    assert model.neighbour("c0004", 1) == "c0002"
    assert model.neighbour(None, 1) == "c0001"
    assert FrontModel().neighbour(None, 1) is None


def test_published_points_cost_what_the_publication_prints():
    found = {point.name: point for point in published_points()}
    assert {name: int(point.costs.energy_pj) for name, point in found.items() if name != "QB"} == pytest.approx(
        {"BF": 7004, "Q6": 2633, "QE": 948}, abs=3)
    assert {name: point.costs.parameter_bits for name, point in found.items()} == {
        "BF": 61446, "Q6": 26334, "QE": 4728, "QB": 4216}
    assert set(found) <= set(PUBLISHED)
    assert not FrontModel(vertical="mean_auc").published()


def test_distribution_counts_what_a_quantizer_clips_and_zeroes():
    values = np.array([-3.0, -1.0, 0.0, 0.01, 0.24, 0.5, 0.99, 5.0])
    found = distribution(values, "quantized_bits(4,0,alpha=1)", "kernel")
    assert (found.low, found.high, found.representable) == (-1.0, 0.875, 16)
    assert found.clipped == 3  # -3, 0.99 (more than half a step above 0.875) and 5
    assert found.zeroed == 1
    assert found.counts.sum() == values.size
    expected = np.array([-1, -1, 0, 0, 0.25, 0.5, 0.875, 0.875])
    assert found.error == pytest.approx(np.sqrt(np.mean((expected - values) ** 2)))
    assert found.grid is not None and len(found.grid) == 16


def test_distribution_of_float_and_of_a_scale_found_from_the_values():
    values = np.random.default_rng(0).normal(size=(50, 4))
    plain = distribution(values, None)
    assert plain.low is None and plain.counts.sum() == 200
    scaled = distribution(values, "ternary(alpha='auto_po2')")
    assert scaled.clipped is None and scaled.representable is None
    assert scaled.levels >= 3
    wide = distribution(values, "quantized_bits(16,5,alpha=1)")
    assert wide.grid is None and (wide.low, wide.high) == (-32.0, 32 - 2.0**-10)
