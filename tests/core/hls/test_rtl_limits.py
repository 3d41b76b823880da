"""Where unrolling ends: counted by hand on a small picture, and refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import ExportError
from core.hls import rtl_limits
from core.hls.export import ExportOptions, export
from core.hls.network import read_network
from core.model_io import describe_model
from core.quant import quantize, uniform
from core.quant.samples import events_for

pytest.importorskip("alkaid")
SOURCE = "quantized_bits(8,0,alpha=1)"


def pictures(side: int, filters: int, units: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((side, side, 2), name="x")
    x = keras.layers.Conv2D(filters, 3, activation="relu", name="conv")(x)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Flatten(name="flat")(x)
    model = keras.Model(inputs, keras.layers.Dense(units, name="out")(x))
    return quantize(model, uniform(describe_model(model), 4, input_quantizer=SOURCE))


def test_products_and_line_buffers_are_those_counted_by_hand() -> None:
    network = read_network(pictures(8, 3, 2))
    nodes = {node.name: node for node in network.nodes}
    dense, conv = (int(np.count_nonzero(nodes[name].weights["kernel"])) for name in ("out", "conv"))
    assert rtl_limits.products(network) == 36 * conv + dense
    found = rtl_limits.kernels(network)
    first, last = found.kernels
    assert (first.places, first.inputs, first.rows, first.row_bits) == (36, 64, 2, 8 * 2 * 8)
    assert first.bram_18k == 0 and first.shift_lut == 2 * 2 * 8 and first.window_ff == 9 * 2 * 8
    assert (last.places, last.rows) == (1, 0) and found.interval == 64 and found.lut > 0
    assert any("counted by a model" in note for note in found.notes)


def test_wide_rows_are_kept_in_blocks_of_memory() -> None:
    (first, _) = rtl_limits.kernels(read_network(pictures(80, 1, 1))).kernels
    assert first.row_bits == 80 * 2 * 8 and first.bram_18k == 2 and first.shift_lut == 0


def test_a_network_too_large_for_the_part_is_refused_with_figures_and_remedy(tmp_path: Path) -> None:
    model = pictures(64, 64, 64)
    with pytest.raises(ExportError, match=r"products take about [\d,]+ LUT, and the part has .*io_stream") as caught:
        export(model, events_for(model, 2), ExportOptions("rtl"), tmp_path / "out")
    assert "xcvu9p" in caught.value.what and not (tmp_path / "out").exists()
