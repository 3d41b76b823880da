"""AutoQKeras's Bayesian search beside our staged search, on the same jets and cores, scored by the same code.

    python benchmarks/search_vs_autoqkeras.py [--trials 60] [--seconds 75] [--runs 3] [--autoqkeras FOLDER]

Both minimise QTools' energy (published memories; ours by the corrected mode, 0.03 pJ less for this network) against
the accuracy. Every trained network of either side is scored on the same test events and priced by the same code. A
front's hypervolume is its area in (accuracy, log2 energy) from the reference point: accuracy 0.3 and the energy of
the model with 8 bits everywhere. The result is printed and written to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from _environments import environment
from _machine import CORES, heading, said, write

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import resources  # noqa: E402
from core.dataset import load_dataset  # noqa: E402
from core.energy import price  # noqa: E402
from core.energy.settings import PUBLISHED_SRAM_BITS  # noqa: E402
from core.model_io import inspect_model  # noqa: E402
from core.quant.recipe import LayerRecipe, Recipe, uniform  # noqa: E402
from core.search.front import Front  # noqa: E402
from core.search.space import build_space, width_of  # noqa: E402

MODEL = resources.path("models/jet_tagger.keras")
RESULT = HERE / "results" / "search_vs_autoqkeras.txt"
#: AutoQKeras's default quantizers, at most 8 bits each, 20 epochs at most (it stops after 4 without improvement)
SETTINGS = {"epochs": 20, "batch_size": 1024, "learning_rate": 3e-3, "seed": 0, "cores": CORES,
            "sram_bits": PUBLISHED_SRAM_BITS, "limit": {"Dense": [8, 8, 8], "Activation": [8]},
            "quantization_config": None}
LOWEST = 0.3
#: a second reference accuracy, told beside the first: most of the volume above 0.3 is had by any network
USEFUL = 0.65
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
#: recipes and epochs of the comparison of speeds
RECIPES, EPOCHS = 24, 3
Point = dict[str, Any]


def autoqkeras(folder: Path, trials: int) -> Point:
    """Its trials, each with our energy and accuracy beside its own; runs it unless the folder has them."""
    if not (folder / "trials.json").exists():
        data = load_dataset("jets")
        np.savez(folder / "events.npz", **{name: getattr(data, name) for name in (
            "x_train", "y_train", "x_val", "y_val", "x_test", "y_test")})
        with (folder / "log.txt").open("w") as log:
            subprocess.run([environment("qkeras"), HERE / "_autoqkeras_side.py", folder / "events.npz", folder,
                            json.dumps({**SETTINGS, "trials": trials})], check=True, stdout=log, env=QUIET)
    result = json.loads((folder / "trials.json").read_text())
    _score(folder, result["trials"])
    return result


def _score(folder: Path, trials: list[Point]) -> None:
    """Add "accuracy" and "energy" of our own code to each trial, read as any QKeras model."""
    from core.quant.evaluation import evaluate
    from core.quant.qkeras_io import read_qkeras

    info, data = inspect_model(MODEL), load_dataset("jets")
    for number, trial in enumerate(trials):
        recipe = Recipe(name=f"trial {number}", layers={
            layer: LayerRecipe(quantizers=texts) for layer, texts in trial["quantizers"].items()})
        trial["its_energy"] = trial["energy"]
        trial["energy"] = price(info, recipe).costs.energy_pj
        trial["accuracy"] = evaluate(read_qkeras(folder / f"{number}.h5"), data, "trained").accuracy


def staged(seconds: float, seed: int) -> list[Point]:
    """What our search told and when, start-up included; log lines too."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, HERE / "_staged_side.py", Path(folder) / "p", str(seconds), str(seed),
                               str(time.time())], capture_output=True, text=True, check=False, env=QUIET)
    if done.returncode:
        raise SystemExit(f"our search failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def volume(points: Iterable[Point], highest: float, lowest: float = LOWEST) -> float:
    """Hypervolume of the front of these points."""
    front = Front()
    for number, point in enumerate(points):
        front.add(str(number), (point["accuracy"], math.log2(point["energy"])))
    return front.hypervolume((lowest, math.log2(highest)))


def passing(points: list[Point], wanted: float, highest: float) -> tuple[float, float]:
    """Seconds, and CPU seconds, until the front of these has more than this volume; infinite where it never does."""
    for count in range(1, len(points) + 1):
        if volume(points[:count], highest) > wanted:
            return points[count - 1]["seconds"], points[count - 1]["cpu_seconds"]
    return math.inf, math.inf


def importing(told: list[Point]) -> float:
    """Seconds that our side spent on imports: its own, and a worker's of TensorFlow, one after the other."""
    own = next(line["seconds"] for line in told if "imported" in line)
    found = next((re.search(r"imported in ([0-9.]+) s", line["log"]) for line in told if "each" in line.get("log", "")),
                 None)
    return own + (float(found.group(1)) if found else 0.0)


def front_lines(points: list[Point]) -> list[str]:
    """The front as text, best accuracy first."""
    front = Front()
    for number, point in enumerate(points):
        front.add(str(number), (point["accuracy"], point["energy"]))
    members = front.members()
    chosen = members if len(members) <= 12 else [members[i] for i in np.linspace(0, len(members) - 1, 12).astype(int)]
    return [f"    {accuracy:.4f}  {energy:7.0f} pJ" for _, (accuracy, energy) in chosen]


# -- speed -----------------------------------------------------------------------------------------------

_FIT = f"""
import sys, time, json
sys.path.insert(0, {str(HERE.parent)!r})
import resources, keras
from core.dataset import load_dataset
from core.model_io import inspect_model, load_model
from core.quant import quantize, uniform
data = load_dataset("jets"); model = load_model(resources.path("models/jet_tagger.keras"))
info = inspect_model(resources.path("models/jet_tagger.keras"))
found = {{}}
for name in ("float model", "quantized model"):
    seconds = []
    for number in range(4):
        start = time.perf_counter()
        built = keras.models.clone_model(model) if name[0] == "f" else quantize(model, uniform(info, 6, number))
        built.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        built.fit(data.x_train, data.y_train, batch_size=1024, epochs={EPOCHS}, verbose=0,
                  validation_data=(data.x_val, data.y_val))
        seconds.append(time.perf_counter() - start)
    found[name] = {EPOCHS} / sorted(seconds[1:])[1]
print(json.dumps(found))
"""


def fit_rates() -> dict[str, float]:
    """Candidate-epochs a second of Keras fit, one candidate after another, all cores, median of three."""
    done = subprocess.run([sys.executable, "-c", _FIT], capture_output=True, text=True, check=True, env=QUIET)
    return json.loads(done.stdout.splitlines()[-1])


def our_rates() -> tuple[dict[str, float], Point]:
    """Candidate-epochs a second of the compiled trainer on all cores, and what a worker says of itself."""
    from core.events import Monitor
    from core.search.pool import Pool
    from core.search.worker import Setup

    random, found = np.random.default_rng(0), {}
    for batch in (1024, 512):
        setup = Setup(str(MODEL), "jets", build_space(inspect_model(MODEL), Recipe()), batch_size=batch)
        with Pool(setup) as pool:
            facts = pool.ready(Monitor())[0]
            space = pool.all("space", [()] * pool.workers, Monitor())[0]
            points = [{c.key: int(random.integers(len(c.options))) for c in space.choices} for _ in range(RECIPES)]
            tasks = [(space.decode(point), 0, EPOCHS, None, None) for point in points]
            pool.settle()
            pool.all("train", tasks[:2 * CORES], Monitor())  # what scores is traced once
            start = time.perf_counter()
            pool.all("train", tasks, Monitor())
            found[f"batch {batch}"] = RECIPES * EPOCHS / (time.perf_counter() - start)
    return found, facts


# -- the comparison --------------------------------------------------------------------------------------

def report(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Run both sides; lines of text."""
    info = inspect_model(MODEL)
    highest = price(info, uniform(info, 8)).costs.energy_pj
    theirs = autoqkeras(folder, arguments.trials)
    trials = theirs["trials"]
    wanted, wall = volume(trials, highest), theirs["seconds"]
    lines = [*_heading(highest), *_their_lines(theirs, wanted)]
    times, ratios, best, useful, without = [], [], [], [], []
    for seed in range(arguments.runs):
        told = staged(arguments.seconds, seed)
        points = [line for line in told if "accuracy" in line and line["kind"] == "trained"]
        times.append(passing(points, wanted, highest))
        ratios.append(volume([p for p in points if p["seconds"] <= 60], highest) / wanted)
        best.append(volume(points, highest) / wanted)
        useful.append(volume([p for p in points if p["seconds"] <= 60], highest, USEFUL)
                      / volume(trials, highest, USEFUL))
        ready = next((line["seconds"] for line in told if "each" in line.get("log", "")), math.nan)
        imports = importing(told)
        without.append(times[-1][0] - imports)
        epochs = sum(p["epochs"] for p in points)
        lines += [f"ours, seed {seed}: {len(points)} trained in {arguments.seconds:.0f} s, of it {ready:.1f} s start-up"
                  f" ({imports:.1f} s imports) and compiling, first candidate at {points[0]['seconds']:.1f} s;"
                  f" passes AutoQKeras at {times[-1][0]:.1f} s ({times[-1][1]:.1f} CPU-s);"
                  f" volume ratio {ratios[-1]:.3f} after 60 s, {best[-1]:.3f} at the end;"
                  f" {epochs / (points[-1]['seconds'] - ready):.1f} candidate-epochs/s with everything between"]
    lines += ["  front of the last:", *front_lines(points)]
    lines += [_limit_line(info, wanted, highest), f"volume after 60 s above accuracy {USEFUL} alone, where any network"
              f" counts for less: median {statistics.median(useful):.3f} of AutoQKeras's (bar 1.2:"
              f" {said(statistics.median(useful) >= 1.2)})"]
    return lines + _verdict(times, without, ratios, wall, theirs)


def _heading(highest: float) -> list[str]:
    return [heading(),
            f"hypervolume: accuracy above {LOWEST} times log2 of energy below {highest:.0f} pJ (8 bits everywhere);"
            " accuracy on 22000 test jets"]


def _their_lines(theirs: Point, wanted: float) -> list[str]:
    trials = theirs["trials"]
    energy = max(abs(t["energy"] - t["its_energy"]) for t in trials)
    accuracy = max(abs(t["accuracy"] - t["test_accuracy"]) for t in trials)
    return [f"AutoQKeras: {len(trials)} trials in {theirs['seconds']:.0f} s (imports, {theirs['import_seconds']:.0f} s,"
            f" left out), {theirs['cpu_seconds']:.0f} CPU-s, median {_median_trial(trials):.1f} s a trial at"
            f" load {min(t['load'] for t in trials):.1f} to {max(t['load'] for t in trials):.1f},"
            f" {sum(t['epochs'] for t in trials)} epochs, volume {wanted:.4f};"
            f" best accuracy {max(t['accuracy'] for t in trials):.4f}",
            f"  its own figures and ours for its networks differ by at most {energy:.2f} pJ and {accuracy:.5f}",
            "  front:", *front_lines(trials)]


def _median_trial(trials: list[Point]) -> float:
    ends = [0.0, *(trial["seconds"] for trial in trials)]
    return statistics.median(np.diff(ends).tolist())


def _limit_line(info: Any, wanted: float, highest: float) -> str:
    """What the reference point leaves to be won: all of the accuracy at the price of the cheapest recipe."""
    from core.loading import model_of
    from core.quant.evaluation import evaluate

    best = evaluate(model_of(MODEL), load_dataset("jets"), "float").accuracy
    space = build_space(info, Recipe())
    cheapest = price(info, space.decode({c.key: min(range(len(c.options)), key=lambda i: width_of(c.options[i]))
                                         for c in space.choices})).costs.energy_pj
    most = (best - LOWEST) * math.log2(highest / cheapest)
    return (f"bound: the float model's accuracy {best:.4f} at the price of the narrowest recipe, {cheapest:.0f} pJ,"
            f" would be {most / wanted:.3f} of AutoQKeras's volume")


def _verdict(times: list[tuple[float, float]], without: list[float], ratios: list[float], wall: float,
             theirs: Point) -> list[str]:
    rates, facts = our_rates()
    fit = fit_rates()
    theirs_rate = sum(t["epochs"] for t in theirs["trials"]) / theirs["seconds"]
    passed, cpu = (statistics.median(values) for values in zip(*times, strict=True))
    time_ratio, cpu_ratio = wall / passed, theirs["cpu_seconds"] / cpu
    ours, shortest = rates["batch 1024"], statistics.median(without)
    ways = ", ".join(f"{way} {1e3 * s:.2f} ms" for way, s in facts["timings"].items())
    compiled = ", ".join(f"{way} {s:.1f} s" for way, s in facts["compile_seconds"].items())
    return [
        f"time to pass: median {passed:.1f} s, 1/{time_ratio:.0f} of AutoQKeras's (bar 1/50:"
        f" {said(time_ratio >= 50)}); {cpu:.1f} CPU-s, 1/{cpu_ratio:.0f}, whatever else ran",
        f"  imports left out on both sides: median {shortest:.1f} s, 1/{wall / shortest:.0f} (bar 1/50:"
        f" {said(wall / shortest >= 50)})",
        f"volume after 60 s: median {statistics.median(ratios):.3f} of AutoQKeras's (bar 1.2:"
        f" {said(statistics.median(ratios) >= 1.2)})",
        f"candidate-epochs a second, {CORES} workers, {RECIPES} recipes of {EPOCHS} epochs: "
        + ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
        + f" (a step of 512 as {ways}; compiling {compiled})",
        f"  AutoQKeras {theirs_rate:.2f}: ratio {ours / theirs_rate:.1f} (bar 20: {said(ours / theirs_rate >= 20)})",
        *[f"  Keras fit one after another, {name}, batch 1024: {rate:.2f}: ratio {ours / rate:.1f}"
          f" (bar 8: {said(ours / rate >= 8)})" for name, rate in fit.items()]]


def main() -> None:
    """Print the comparison and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=75, help="of each run of ours")
    parser.add_argument("--runs", type=int, default=3, help="of ours, one a seed")
    parser.add_argument("--autoqkeras", type=Path, help="keep AutoQKeras's trials here, and take those there are")
    parser.add_argument("--result", type=Path, default=RESULT, help="the file that is written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = arguments.autoqkeras or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        lines = report(arguments, kept)
    write(lines, arguments.result)


if __name__ == "__main__":
    main()
