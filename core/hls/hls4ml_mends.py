"""What hls4ml 1.3.0 gets wrong or leaves out, set right for as long as it converts and writes."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from core.hls.hls4ml_adders import by_alkaid

#: attribute of hls4ml's layers: integer bits, sign included, that its values need before they are rounded
NEEDED = "needed_integer_bits"


@contextlib.contextmanager
def mended() -> Iterator[None]:
    """hls4ml with all mends of this file."""
    if not hasattr(np, "product"):
        np.product = np.prod  # type: ignore[attr-defined]  # hls4ml 1.3.0 still calls the name numpy 2.4 dropped
    with _kept_types(), _noted_ranges(), by_alkaid():
        yield


def _bit_exact() -> Any:
    return importlib.import_module("hls4ml.model.optimizer.passes.bit_exact")


@contextlib.contextmanager
def _kept_types() -> Iterator[None]:
    """Each quantizer keeps the type it was given.

    hls4ml drops fraction bits that the input does not have, and with them the largest value where it saturates
    (3.75 became 3.5; right only where saturation is symmetric). And where one channel is always 0 it raises
    negative integer bits to 0 for all.
    """
    passes = _bit_exact()
    narrowing = passes._produce_kif.dispatch(passes.FixedPointQuantizer)

    def produce(layer: Any) -> Any:
        kept, types = layer.SAT, layer.mask_kbi
        layer.SAT = "SAT_SYM" if kept == "SAT" else kept
        try:
            return narrowing(layer)
        finally:
            layer.SAT, layer.mask_kbi = kept, types

    passes._produce_kif.register(passes.FixedPointQuantizer, produce)
    try:
        yield
    finally:
        passes._produce_kif.register(passes.FixedPointQuantizer, narrowing)


@contextlib.contextmanager
def _noted_ranges() -> Iterator[None]:
    """Each layer remembers what its interval arithmetic found, under NEEDED."""
    passes = _bit_exact()
    computed = passes.produce_kif

    def produce(layer: Any, force_reset: bool = False) -> Any:
        signed, integer, fraction = computed(layer, force_reset)
        layer.set_attr(NEEDED, int(np.max(integer)) + int(np.max(signed)))
        return signed, integer, fraction

    passes.produce_kif = produce
    try:
        yield
    finally:
        passes.produce_kif = computed
