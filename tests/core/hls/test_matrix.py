"""A corner of the matrix of kinds, classes and flows, by the real tools; the whole is `make matrix`."""

from __future__ import annotations

import pytest

from core.hls import matrix, matrix_page

KINDS = ("quantized_bits", "quantized_sigmoid", "quantized_po2", "bernoulli")


@pytest.mark.parametrize("flow", ["logic", pytest.param("c++", marks=pytest.mark.slow), "rtl"])
def test_a_corner_of_the_matrix_is_all_zeros_and_refusals_say_why(flow: str) -> None:
    found = [row for row in matrix.rows(["Dense"], [flow], KINDS, 64) if row.place == "output"]
    assert [(row.flow, set(row.cells)) for row in found] == [(flow, set(KINDS))]
    cells = found[0].cells
    assert [cells[kind].mark for kind in KINDS] == ["0", "0", "0", "-"]
    assert cells["quantized_bits"].values == 3 * 64 and "random at inference" in cells["bernoulli"].refused
    text = matrix_page.page(found, "# title")
    assert "0 mismatches in 576 values of 3 cells; 1 cells are refused." in text and "random at inference" in text


def test_a_mismatch_stands_in_the_table_as_its_number() -> None:
    cells = {"binary": matrix_page.Cell("binary", 7, 192)}
    text = matrix_page.page([matrix_page.Row("Dense", "output", "rtl", cells, 1.0)], "# title")
    assert "7 mismatches in 192 values" in text and "| 7 |" in text
