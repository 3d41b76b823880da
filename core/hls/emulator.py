"""Runs events through compiled C++ emulation. Started as a program of its own, so that an assertion that
fails inside hls4ml's arithmetic ends this process and no other; needs numpy alone.

    python emulator.py LIBRARY FUNCTION EVENTS.npy OUTPUTS RESULT.npy [INPUTS]

OUTPUTS and INPUTS count the values of each output and input, such as 5 or 3,1; the function takes a pointer for each.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence

import numpy as np


def run(library: str, function: str, events: np.ndarray, outputs: Sequence[int],
        inputs: Sequence[int] = ()) -> np.ndarray:
    """Outputs (events, outputs) of `function` in `library` for events (events, inputs), float64.

    The values of several outputs, and of several inputs, follow each other in a row.
    """
    top = getattr(ctypes.CDLL(library), function)
    counts = [*(inputs or [events.shape[1]]), *outputs]
    top.restype, top.argtypes = None, [np.ctypeslib.ndpointer(np.float64, ndim=1, flags="C_CONTIGUOUS")] * len(counts)
    results = np.zeros((len(events), sum(outputs)))
    within = [np.cumsum(sizes)[:-1] for sizes in (counts[:-len(outputs)], outputs)]
    for event, result in zip(events, results, strict=True):
        top(*(part for row, ends in zip((event, result), within, strict=True) for part in np.split(row, ends)))
    return results


def sizes_text(sizes: Sequence[int]) -> str:
    """Sizes as an argument of this program."""
    return ",".join(str(size) for size in sizes)


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def main(arguments: list[str]) -> None:
    """Read the events, run them, write the result."""
    library, function, source, outputs, target, *inputs = arguments
    events = np.ascontiguousarray(np.load(source, allow_pickle=False), dtype=np.float64)
    np.save(target, run(library, function, events.reshape(len(events), -1), _sizes(outputs),
                        _sizes(inputs[0]) if inputs else ()))


if __name__ == "__main__":
    main(sys.argv[1:])
