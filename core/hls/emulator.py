"""Runs events through compiled C++ emulation. Started as a program of its own, so that an assertion that
fails inside hls4ml's arithmetic ends this process and no other; needs numpy alone.

    python emulator.py LIBRARY FUNCTION EVENTS.npy OUTPUTS RESULT.npy
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np


def run(library: str, function: str, events: np.ndarray, outputs: int) -> np.ndarray:
    """Outputs (events, outputs) of `function` in `library` for events (events, inputs), float64."""
    top = getattr(ctypes.CDLL(library), function)
    vector = np.ctypeslib.ndpointer(np.float64, ndim=1, flags="C_CONTIGUOUS")
    top.restype, top.argtypes = None, [vector, vector]
    results = np.zeros((len(events), outputs))
    for event, result in zip(events, results, strict=True):
        top(event, result)
    return results


def main(arguments: list[str]) -> None:
    """Read the events, run them, write the result."""
    library, function, source, outputs, target = arguments
    events = np.ascontiguousarray(np.load(source, allow_pickle=False), dtype=np.float64)
    np.save(target, run(library, function, events.reshape(len(events), -1), int(outputs)))


if __name__ == "__main__":
    main(sys.argv[1:])
