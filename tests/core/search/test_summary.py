"""Hypervolume over time by hand, and importances of choices that are known to matter."""

from __future__ import annotations

import numpy as np
import pytest

import resources
from core.candidate import Candidate, Costs, Evaluation
from core.energy import price
from core.errors import SearchError
from core.model_io import inspect_model
from core.quant.recipe import LayerRecipe, Recipe, uniform
from core.search.objectives import Goal
from core.search.summary import hypervolume_history, importances, reference_point

INFO = inspect_model(resources.path("models/jet_tagger.keras"))


def candidate(number, accuracy, energy, kind="trained", recipe=None):
    return Candidate(id=f"c{number:04d}", recipe=recipe or Recipe(), seconds=2.0,
                     created=f"2026-01-01T00:00:{number:02d}Z",
                     evaluation=Evaluation(kind=kind, events=9, accuracy=accuracy, auc={}),
                     costs=Costs(energy_pj=energy, parameter_bits=1, activation_bits=1))


def test_volume_over_time_is_what_it_is_by_hand():
    # from (0, 1024 pJ) = 2**10: 0.5 * (10 - 8) = 1; then 0.5*2 + (0.75 - 0.5) * (10 - 9) = 1.25
    made = [candidate(3, 0.4, 600.0), candidate(1, 0.5, 256.0), candidate(2, 0.75, 512.0),
            candidate(4, 0.99, 2.0, kind="post-training")]
    history = hypervolume_history(made, Goal.of(), (0.0, 1024.0))
    assert history.ids == ("c0001", "c0002", "c0003")
    assert history.volumes == pytest.approx((1.0, 1.25, 1.25))
    assert history.seconds == (2.0, 4.0, 6.0)
    assert history.unit == "accuracy x log2 energy_pj" and history.reference == (0.0, 1024.0)


def test_what_misses_a_constraint_adds_nothing():
    goal = Goal.of([], ["accuracy>=0.6"])
    history = hypervolume_history([candidate(1, 0.5, 256.0), candidate(2, 0.75, 512.0)], goal, (0.0, 1024.0))
    assert history.volumes == pytest.approx((0.0, 0.75))
    assert hypervolume_history([], goal, (0.0, 1.0)).volumes == ()


def test_the_reference_is_8_bits_all_over_and_stated():
    assert reference_point(Goal.of(), INFO) == (0.0, price(INFO, uniform(INFO, 8)).costs.energy_pj)
    assert reference_point(Goal.of(["loss", "bits"]), INFO) == (1.0, 8 * 4389)
    with pytest.raises(SearchError, match="reference"):
        reference_point(Goal.of(["accuracy", "latency_ns"]), INFO)
    with pytest.raises(SearchError, match="reference point"):
        hypervolume_history([], Goal.of(), (0.0,))


def test_the_choice_that_makes_the_difference_is_the_most_important():
    random = np.random.default_rng(0)
    made = []
    for number in range(60):
        widths = {name: int(random.integers(2, 6)) for name in ("fc1", "fc2", "fc3")}
        layers = {name: LayerRecipe(quantizers={"kernel": f"quantized_bits({bits},0,alpha=1)"})
                  for name, bits in widths.items()}
        layers["fc3"] = LayerRecipe(quantizers=layers["fc3"].quantizers, units_multiplier=[0.5, 1.0][number % 2])
        made.append(candidate(number, 0.5 + 0.1 * widths["fc2"] + 0.001 * widths["fc1"], 100.0 * widths["fc1"],
                              recipe=Recipe(layers=layers)))
    for objective, layer in ((0, "fc2"), (1, "fc1")):
        found = importances(made, Goal.of(), objective)
        assert (found[0].layer, found[0].parameter) == (layer, "kernel")
        assert found[0].options == 4 and found[0].share > 0.5
        assert {(one.layer, one.parameter) for one in found} == {
            ("fc1", "kernel"), ("fc2", "kernel"), ("fc3", "kernel"), ("fc3", "units")}
        assert sum(one.share for one in found) == pytest.approx(1)


def test_too_few_candidates_have_no_importances():
    with pytest.raises(SearchError, match="more candidates"):
        importances([candidate(1, 0.5, 2.0)], Goal.of())
    with pytest.raises(SearchError, match="same recipe"):
        importances([candidate(n, 0.5, 2.0) for n in range(12)], Goal.of())
