"""One kernel a layer: what a network that is too large to be unrolled would take, layer by layer.

    .venv/bin/python scripts/layer_kernels.py MODEL.keras RECIPE.json
    .venv/bin/python scripts/layer_kernels.py street-view
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras

from core.errors import QuantiscopeError
from core.hls.network import read_network
from core.hls.parts import DEFAULT_PART, find_part
from core.hls.rtl_limits import KernelEstimate, kernels, products, unrolled_lut
from core.model_io import describe_model, load_model
from core.quant import Recipe, quantize, uniform

BITS = 6


def street_view() -> keras.Model:
    """The house-number network of the field's literature, 6 bits, random weights: its shapes are what counts here."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = inputs = keras.Input((32, 32, 3), name="x")
    for number, filters in enumerate((16, 16, 24)):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flat")(x)
    for number, units in enumerate((42, 64)):
        x = layers.Dense(units, activation="relu", name=f"fc{number}")(x)
    model = keras.Model(inputs, layers.Dense(10, name="output")(x))
    return quantize(model, uniform(describe_model(model), BITS, input_quantizer="quantized_bits(8,0,alpha=1)"))


def table(found: KernelEstimate) -> str:
    """One line a kernel and the sum."""
    lines = [f"{'layer':<10} {'LUT':>9} {'depth':>6} {'places':>7} {'rows kept':>10} {'BRAM 18k':>9} {'shift LUT':>10}"]
    lines += [f"{k.name:<10} {k.lut:>9,.0f} {k.depth:>6} {k.places:>7} {k.rows:>10} {k.bram_18k:>9} {k.shift_lut:>10}"
              for k in found.kernels]
    lines.append(f"{'all':<10} {found.lut:>9,.0f} {'':>6} {'':>7} {'':>10} {found.bram_18k:>9} {found.buffer_lut:>10}"
                 f"   an event every {found.interval} clocks")
    return "\n".join([*lines, *(f"Note: {note}." for note in found.notes)])


def main(arguments: list[str]) -> int:
    """Print the kernels of the model named."""
    try:
        if arguments == ["street-view"]:
            model = street_view()
        elif len(arguments) == 2:
            model = quantize(load_model(Path(arguments[0])), Recipe.load(Path(arguments[1])))
        else:
            print(__doc__)
            return 2
        network = read_network(model)
        part = find_part(DEFAULT_PART)
        print(f"Unrolled: {products(network):,} products, about {unrolled_lut(network):,.0f} LUT of {part.lut:,}"
              f" in {part.name}.\nOne kernel a layer, LUT and depth by alkaid's model:")
        print(table(kernels(network)))
    except QuantiscopeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
