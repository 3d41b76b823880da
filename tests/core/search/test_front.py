"""The incremental front against the definition, and hypervolumes against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.candidate import Candidate, Costs, Evaluation
from core.errors import SearchError
from core.quant.recipe import Recipe
from core.search.front import Front, best_tradeoff, candidate_front, pareto_mask


def beaten(values: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """By definition: some row is at least as good everywhere and better somewhere, or equal and earlier."""
    turned = values * signs
    result = np.zeros(len(values), dtype=bool)
    for i, row in enumerate(turned):
        no_worse = (turned <= row).all(axis=1)
        better = no_worse & (turned < row).any(axis=1)
        equal_before = no_worse & ~better & (np.arange(len(values)) < i)
        result[i] = better.any() or equal_before.any()
    return result


@pytest.mark.parametrize("directions", [("maximize", "minimize"), ("minimize", "minimize", "maximize")])
@given(data=st.data())
def test_mask_is_the_definition(directions, data):
    n = data.draw(st.integers(0, 40))
    rows = data.draw(st.lists(st.tuples(*[st.integers(0, 6)] * len(directions)), min_size=n, max_size=n))
    values = np.array(rows, dtype=float).reshape(n, len(directions))
    signs = np.array([-1.0 if d == "maximize" else 1.0 for d in directions])
    assert (pareto_mask(values, directions) == ~beaten(values, signs)).all()


@given(rows=st.lists(st.tuples(*[st.integers(0, 7)] * 3), max_size=12))
def test_volume_is_the_number_of_unit_cells_dominated(rows):
    directions = ("minimize", "maximize", "minimize")
    front = Front(directions)
    for i, row in enumerate(rows):
        front.add(str(i), row)
    reference = (6, 1, 5)
    cells = {(x, y, z)
             for a, b, c in rows for x in range(a, 6) for y in range(1, b) for z in range(c, 5)}
    assert front.hypervolume(reference) == len(cells)


def test_two_objectives_by_hand():
    front = Front()
    assert front.add("a", (0.7, 100.0))
    assert front.add("b", (0.75, 200.0))
    assert not front.add("worse", (0.69, 150.0))
    assert not front.add("same as a", (0.7, 100.0))
    assert not front.add("nan", (float("nan"), 1.0))
    assert front.hypervolume((0.2, 300.0)) == pytest.approx(0.5 * 200 + 0.05 * 100)
    assert front.add("beats a", (0.72, 90.0))
    assert [key for key, _ in front.members()] == ["b", "beats a"]
    assert front.members()[0][1] == (0.75, 200.0)


def make(name: str, accuracy: float, energy: float, kind: str = "trained") -> Candidate:
    return Candidate(id=name, recipe=Recipe(), evaluation=Evaluation(kind=kind, events=10, accuracy=accuracy, auc={}),
                     costs=Costs(energy_pj=energy, parameter_bits=1, activation_bits=1))


def test_only_trained_candidates_are_on_the_front():
    proxy = make("proxy", 0.99, 1.0, "post-training")
    front = candidate_front([make("a", 0.7, 10.0), proxy, make("b", 0.6, 20.0)])
    assert [c.id for c in front] == ["a"]
    with pytest.raises(SearchError):
        candidate_front([make("a", 0.7, 10.0)], cost="colour")


def test_best_tradeoff_is_the_cheapest_good_one_else_the_most_accurate():
    points = [make("a", 0.76, 1000.0), make("b", 0.755, 300.0), make("c", 0.70, 10.0)]
    assert best_tradeoff(points, 0.763).id == "b"
    assert best_tradeoff(points, 0.80).id == "a"
    assert best_tradeoff([], 0.80) is None
