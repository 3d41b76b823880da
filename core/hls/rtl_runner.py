"""Runs events through the compiled simulation of an export's RTL. A program of its own that needs numpy alone; a
copy of it lies in each export, so that the export can be checked without Quantiscope.

    python rtl_runner.py LIBRARY EVENTS.npy OUTPUTS EXTRA_STEPS RESULT.npy
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np

_POINTER = ctypes.POINTER(ctypes.c_double)


def run(library: str, events: np.ndarray, outputs: int, extra_steps: int) -> np.ndarray:
    """Outputs (events, outputs) for events (events, inputs), one new event each clock; float64.

    Args:
        extra_steps: clock cycles to run on after the last event, until its result is out.
    """
    simulator = ctypes.CDLL(library)
    simulator.fsm_create.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(simulator.fsm_create())
    results = np.zeros((len(events), outputs))
    inputs = (_POINTER * 1)(events.ctypes.data_as(_POINTER))
    targets = (_POINTER * 1)(results.ctypes.data_as(_POINTER))
    counts = (ctypes.c_size_t * 1)(len(events))
    simulator.fsm_soft_reset(handle)
    simulator.fsm_run(handle, inputs, counts, targets, ctypes.c_size_t(len(events)), ctypes.c_size_t(extra_steps),
                      ctypes.c_uint8(1), ctypes.c_size_t(1))
    simulator.fsm_destroy(handle)
    return results


def main(arguments: list[str]) -> None:
    """Read the events, run them, write the result."""
    library, source, outputs, extra_steps, target = arguments
    events = np.ascontiguousarray(np.load(source, allow_pickle=False), dtype=np.float64)
    np.save(target, run(library, events.reshape(len(events), -1), int(outputs), int(extra_steps)))


if __name__ == "__main__":
    main(sys.argv[1:])
