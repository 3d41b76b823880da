"""Errors read as one sentence with what, why and remedy."""

from __future__ import annotations

import pickle

from core.errors import DatasetError, QuantiscopeError


def test_that_an_error_reads_as_one_sentence_with_its_remedy():
    assert str(DatasetError("x is broken", "it has no end", "Write it again")) == (
        "x is broken: it has no end. Write it again")
    assert str(DatasetError("x is broken")) == "x is broken."
    assert str(DatasetError("x is broken", remedy="Mend it")) == "x is broken. Mend it"


def test_that_an_error_crosses_a_process_border_whole():
    error = pickle.loads(pickle.dumps(DatasetError("what", "why", "remedy")))
    assert isinstance(error, DatasetError) and isinstance(error, QuantiscopeError)
    assert (error.what, error.why, error.remedy) == ("what", "why", "remedy")
