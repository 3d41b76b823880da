"""Where the proof ends: Keras in double precision is exact for so many bits, and no more."""

from __future__ import annotations

from core.errors import ExportError

#: bits of a double's mantissa: wider sums are rounded by Keras too, and nothing could be proved of them
DOUBLE_BITS = 53


def check_bits(name: str, bits: int) -> None:
    """Raise ExportError for a layer with values of more bits than the reference holds."""
    if bits > DOUBLE_BITS:
        raise ExportError(f"layer {name!r} computes values of {bits} bits",
                          f"Keras in double precision holds {DOUBLE_BITS}, so that they could not be proved",
                          "Give it weights of fewer bits, or quantize the output of the layer before it")
