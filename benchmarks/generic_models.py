"""Candidate-epochs a second on a small CNN and an LSTM: our search's workers beside Keras, one after another.

    python benchmarks/generic_models.py [--candidates 4] [--epochs 1]

Each side trains quantized candidates on the same events with the same batches. Ours: the compiled trainer in one
worker a core, as every search uses it, timed after its programs are compiled. Keras: model.fit of one candidate after
another on all cores, each built and compiled anew, as a search on top of Keras does it; the float model beside.
The floating-point operations of an epoch (forward and backward: three times two for each multiplication) against the
measured rate of matrix products say how far either is from what the cores could do. The result is printed and
written to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _machine import CORES, cpu_seconds, heading, load, said, write

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from core.dataset import load_dataset  # noqa: E402
from core.model_io import inspect_model  # noqa: E402
from core.quant.recipe import Recipe  # noqa: E402
from core.search.space import build_space  # noqa: E402
from resources.families import FAMILIES  # noqa: E402

RESULT = HERE / "results" / "generic_models.txt"
MODELS = ("digits_cnn", "gravitational_lstm")
BAR = 3.0
RUNS = 3
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

_FIT = f"""
import sys, time, json
sys.path.insert(0, {str(HERE.parent)!r})
import keras
from core.dataset import load_dataset
from core.model_io import inspect_model, load_model
from core.quant import quantize, uniform
path, data, batch, epochs, candidates = sys.argv[1], load_dataset(sys.argv[2]), *map(int, sys.argv[3:])
model, info = load_model(path), inspect_model(path)
found = {{}}
for name in ("quantized", "float"):
    seconds, cpu = [], []
    for number in range(candidates + 1):
        start, used = time.perf_counter(), time.process_time()
        built = quantize(model, uniform(info, 4 + number % 4, 1)) if name[0] == "q" else keras.models.clone_model(model)
        built.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        built.fit(data.x_train, data.y_train, batch_size=batch, epochs=epochs, verbose=0,
                  validation_data=(data.x_val, data.y_val))
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    found[name] = [epochs / s for s in seconds[1:]], [c / epochs for c in cpu[1:]]
print(json.dumps(found))
"""


def matrix_rate() -> float:
    """Floating-point operations a second of float32 matrix products of 1024 x 1024, all cores."""
    a = np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32)
    a @ a
    start = time.perf_counter()
    for _ in range(10):
        a @ a
    return 10 * 2 * 1024**3 / (time.perf_counter() - start)


def fit(path: Path, data: str, batch: int, epochs: int, candidates: int) -> dict[str, tuple[float, float]]:
    """(candidate-epochs a second, CPU seconds of one) of Keras, medians over candidates, by "quantized" and "float"."""
    done = subprocess.run([sys.executable, "-c", _FIT, path, data, str(batch), str(epochs), str(candidates)],
                          capture_output=True, text=True, check=True, env=QUIET)
    return {name: (statistics.median(rates), statistics.median(cpu))
            for name, (rates, cpu) in json.loads(done.stdout.splitlines()[-1]).items()}


def ours(path: Path, data: str, batch: int, epochs: int, candidates: int) -> tuple[list[float], float, dict[str, Any]]:
    """Candidate-epochs a second of all workers in each of RUNS runs, CPU seconds of one, and what a worker says."""
    from core.events import Monitor
    from core.search.pool import Pool
    from core.search.worker import Setup

    random, rates, used = np.random.default_rng(0), [], 0.0
    with Pool(Setup(str(path), data, build_space(inspect_model(path), Recipe()), batch_size=batch)) as pool:
        facts = pool.ready(Monitor())[0]
        pool.settle()
        space = pool.all("space", [()] * pool.workers, Monitor())[0]
        for run in range(RUNS + 1):
            if run == 1:
                used = cpu_seconds()
            points = [{c.key: int(random.integers(len(c.options))) for c in space.choices} for _ in range(candidates)]
            start = time.perf_counter()
            pool.all("train", [(space.decode(point), 0, epochs, None, None) for point in points], Monitor())
            rates.append(candidates * epochs / (time.perf_counter() - start))
        used = (cpu_seconds() - used) / (RUNS * candidates * epochs)
    return rates[1:], used, facts  # the first run still traces what scores and settles


def compared(name: str, epochs: int, candidates: int, folder: Path) -> list[str]:
    """Both sides on one family; lines of text."""
    import keras

    family = FAMILIES[name]
    path, data = folder / f"{name}.keras", f"family:{name}"
    keras.utils.set_random_seed(0)
    family.build().save(path)
    events = len(load_dataset(data).x_train)
    macs = sum(layer.macs or 0 for layer in inspect_model(path).layers)
    rate = matrix_rate()
    most = rate / (6.0 * macs * events)
    rates, cpu, facts = ours(path, data, family.batch_size, epochs, candidates)
    keras_rates = fit(path, data, family.batch_size, epochs, candidates)
    own = statistics.median(rates)
    ways = ", ".join(f"{way} {1e3 * s:.2f} ms" for way, s in facts["timings"].items())
    return [
        f"{family.title}: {events} training events, batches of {family.batch_size}, {macs} multiplications an event,"
        f" load {load()}",
        f"  ours, {CORES} workers: median {own:.3f} candidate-epochs/s of {', '.join(f'{r:.3f}' for r in rates)}"
        f", {cpu:.2f} CPU-s each (a step as {ways}; {facts['way']} it is)",
        *[f"  Keras fit one after another, {kind} model: {found:.3f}, {keras_cpu:.2f} CPU-s each: ratio"
          f" {own / found:.2f}, of CPU seconds {keras_cpu / cpu:.2f}"
          + (f" (bar {BAR:.0f}: {said(own / found >= BAR)})" if kind == "quantized" else "")
          for kind, (found, keras_cpu) in keras_rates.items()],
        f"  bound: {6e-9 * macs * events:.1f} GFLOP an epoch at the measured {rate / 1e9:.0f} GFLOP/s of both cores:"
        f" {most:.2f} a second, {most / keras_rates['quantized'][0]:.1f} times Keras's, {most / own:.1f} ours"]


def main() -> None:
    """Print the comparison and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--result", type=Path, default=RESULT, help="the file that is written")
    arguments = parser.parse_args()
    lines = [heading()]
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            lines += compared(model, arguments.epochs, arguments.candidates, Path(folder))
    write(lines, arguments.result)


if __name__ == "__main__":
    main()
