"""Samplers through ask and tell: proposals fit, the same seed repeats, a killed study goes on as if it had not been."""

from __future__ import annotations

import pytest

from core.errors import SearchError
from core.quant.recipe import LayerRecipe, Recipe
from core.search.samplers import METHODS
from core.search.space import Choice, SearchSpace
from core.search.study import Study

WIDTHS = tuple(f"quantized_bits({bits},0,alpha=1)" for bits in range(2, 9))
SPACE = SearchSpace(Recipe(layers={f"d{i}": LayerRecipe() for i in range(5)}),
                    tuple(Choice(f"d{i}", "kernel", WIDTHS) for i in range(5)))
START = [SPACE.uniform(8), SPACE.uniform(3)]


def truth(values):
    """A made-up trade-off whose front is known: accuracy saturates with bits, energy grows with them."""
    bits = [values[f"d{i}.kernel"] + 2 for i in range(5)]
    return 1 - sum(2.0 ** -b for b in bits) / 5, float(sum((i + 1) * b for i, b in enumerate(bits)))


def url(tmp_path, name="study"):
    return f"sqlite:///{tmp_path / name}.sqlite3"


def advance(study, count):
    asked = []
    for _ in range(count):
        proposal = study.ask()
        asked.append(tuple(sorted(proposal.values.items())))
        study.tell(proposal, truth(proposal.values), f"c{proposal.number}")
    return asked


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_proposals_killed_or_not(tmp_path, method):
    whole = Study(url(tmp_path, "whole"), SPACE, method, seed=3)
    whole.enqueue(START)
    expected = advance(whole, 40)
    assert expected[:2] == [tuple(sorted(p.items())) for p in START]

    first = Study(url(tmp_path, "killed"), SPACE, method, seed=3)
    first.enqueue(START)
    found = advance(first, 1)
    first.ask()  # dies while it tries its second proposal
    second = Study(url(tmp_path, "killed"), SPACE, method, seed=3)
    second.enqueue(START)
    found += advance(second, 22)
    second.put_back(second.ask())
    found += advance(Study(url(tmp_path, "killed"), SPACE, method, seed=3), 17)
    assert found == expected

    other = Study(url(tmp_path, "other"), SPACE, method, seed=4)
    other.enqueue(START)
    assert advance(other, 10) != expected[:10]


@pytest.mark.parametrize("method", METHODS)
def test_proposals_lie_in_the_space(tmp_path, method):
    for point in advance(Study(url(tmp_path), SPACE, method, seed=0), 25):
        assert set(dict(point)) == {choice.key for choice in SPACE.choices}
        assert all(0 <= value < len(WIDTHS) for _, value in point)


def test_points_asked_first_are_parents_of_the_next_generation(tmp_path):
    study = Study(url(tmp_path), SPACE, "nsga2", seed=0)
    study.enqueue(START)
    advance(study, 17)
    generations = [t.system_attrs["NSGAIISampler:generation"] for t in study._study.get_trials(deepcopy=False)]
    assert generations == [0] * 16 + [1]


def test_given_up_is_not_tried_again(tmp_path):
    study = Study(url(tmp_path), SPACE, "random", seed=0)
    study.enqueue(START)
    study.give_up(study.ask(), "no")
    again = Study(url(tmp_path), SPACE, "random", seed=0)
    again.enqueue(START)
    assert again.settled == 1
    assert again.ask().values == START[1]


def test_unknown_method_and_damaged_storage_are_sentences(tmp_path):
    with pytest.raises(SearchError, match="unknown search method"):
        Study(url(tmp_path), SPACE, "psychic", seed=0)
    (tmp_path / "bad.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(SearchError, match="cannot be opened"):
        Study(url(tmp_path, "bad"), SPACE, "random", seed=0)
