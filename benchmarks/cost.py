"""Prices a second: one recipe, one edit, and a population, of the published jet tagger, beside the original QTools.

The original runs in an environment of its own, made at the first call; `--alone` leaves it out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _environments import environment, run_side

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.energy import Pricer, price
from core.energy.population import PopulationPricer, Slot
from core.energy.published import PUBLISHED

KERNELS = (*(f"quantized_bits({bits},0,alpha=1)" for bits in range(2, 13)), "ternary(alpha=1)", "binary(alpha=1)")
OUTPUTS = tuple(f"quantized_relu({bits},0)" for bits in range(2, 9))
ORIGINAL = """
import contextlib, io, time
from tensorflow.keras.layers import Activation, Input
from tensorflow.keras.models import Model
from qkeras import QActivation, QDense, quantized_bits
from qkeras.qtools import run_qtools
x = y = Input((16,))
for i, units in enumerate((64, 32, 32, 5)):
    y = QDense(units, kernel_quantizer=quantized_bits(6, 0, alpha=1), bias_quantizer=quantized_bits(6, 0, alpha=1))(y)
    y = QActivation("quantized_relu(6,0)")(y) if i < 3 else Activation("softmax")(y)
model = Model(x, y)
best = 1e9
for _ in range(10):
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        tools = run_qtools.QTools(model, process="horowitz", source_quantizers=[quantized_bits(16, 6, 1)],
                                  is_inference=False, keras_quantizer="fp32", keras_accumulator="fp32",
                                  for_reference=False)
        tools.pe(weights_on_memory="sram", activations_on_memory="sram", min_sram_size=2**27, rd_wr_on_io=False)
    best = min(best, time.perf_counter() - start)
print(best)
"""


def best_of(function: Callable[[], object], times: int = 7) -> float:
    """Least seconds of several calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Print the timings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alone", action="store_true", help="leave the original out")
    parser.add_argument("--members", type=int, default=100_000)
    arguments = parser.parse_args()
    info, recipe = PUBLISHED["Q6"]
    single = best_of(lambda: price(info, recipe))
    pricer = Pricer(info)
    pricer.price(recipe)
    edits = [recipe.with_quantizer("fc2", "kernel", text) for text in KERNELS]
    edit = best_of(lambda: [pricer.price(edit) for edit in edits], 1) / len(edits)
    slots = [Slot(layer.name, parameter, OUTPUTS if parameter == "output" else KERNELS)
             for layer in info.layers for parameter in layer.quantizable]
    random = np.random.default_rng(0)
    genes = np.stack([random.integers(0, len(slot.options), arguments.members) for slot in slots], axis=1)
    population = PopulationPricer(Pricer(info), recipe, slots)
    first = best_of(lambda: population.price(genes), 1)
    later = best_of(lambda: population.price(genes))
    print(f"one recipe, nothing known before   {single * 1e3:10.3f} ms")
    print(f"one edit of one layer              {edit * 1e3:10.3f} ms")
    print(f"population, nothing known before   {arguments.members / first:10,.0f} prices/s")
    print(f"population, later generations      {arguments.members / later:10,.0f} prices/s")
    if not arguments.alone:
        original = float(run_side(environment("qkeras"), ORIGINAL).split()[-1])
        print(f"original QTools 0.9.0, one model   {original * 1e3:10.3f} ms")
        print(f"  times one recipe {original / single:,.0f}, one edit {original / edit:,.0f}, "
              f"a later generation's member {original * arguments.members / later:,.0f}")


if __name__ == "__main__":
    main()
