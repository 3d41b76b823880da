"""HGQ2's front of one training beside our gradient search, on the same jets and cores, counted by the same code.

    python benchmarks/search_vs_hgq.py [--epochs 300] [--runs 3] [--exports 3] [--hgq FOLDER]

HGQ2 0.2.0 trains with the quantizers, optimizer and learning rate of its own example of a jet tagger, compiled by
XLA, beta growing as in its published runs, and keeps its front by its own callback. Ours is one gradient search with
its defaults, started as a user starts it. Of every network of either side the accuracy is that on the same test
events, and EBOPs are counted by `core.energy` from the widths as stored: biases and weights of no bits alike. HGQ2's
own figures stand beside. The result is printed and written to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
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
from core.model_io import inspect_model  # noqa: E402
from core.quant.recipe import LayerRecipe, Recipe, uniform  # noqa: E402

MODEL = resources.path("models/jet_tagger.keras")
RESULT = HERE / "results" / "search_vs_hgq.txt"
LAYERS = ("fc1", "fc2", "fc3", "output")
#: learning rate, Adam and start of HGQ2's own example; beta as in its published runs on jets
SETTINGS = {"beta": [5e-7, 1e-3], "batch_size": 1024, "learning_rate": 5e-3, "last_rate": 1.0, "seed": 0,
            "cores": CORES, "steps_per_execution": 32}
#: an accuracy below which a tagger of five classes is of no use; ratios are told with and without what lies below
USEFUL = 0.7
MOST_EBOPS, MOST_TIME, LEAST_SAVING, MOST_LOSS = 1.05, 0.25, 10.0, 0.003
EIGHT = "quantized_bits(8,0,alpha=1)"
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
Point = dict[str, Any]


def hgq(folder: Path, epochs: int) -> Point:
    """HGQ2's front, with our count and accuracy and what differs in each point; runs it unless it is there."""
    if not (folder / "front.json").exists():
        data = load_dataset("jets")
        np.savez(folder / "events.npz", **{name: getattr(data, name) for name in (
            "x_train", "y_train", "x_val", "y_val", "x_test", "y_test")})
        with (folder / "log.txt").open("w") as log:
            subprocess.run([environment("hgq2"), HERE / "_hgq_side.py", folder / "events.npz", folder,
                            json.dumps({**SETTINGS, "epochs": epochs})], check=True, stdout=log, stderr=log, env=QUIET)
    result = json.loads((folder / "front.json").read_text())
    for number, point in enumerate(result["points"]):
        with np.load(folder / f"{number}.npz", allow_pickle=False) as stored:
            _score(point, dict(stored))
    return result


def _score(point: Point, stored: dict[str, np.ndarray]) -> None:
    """Add what our code makes of one network of HGQ2, rebuilt from its weights and formats."""
    import keras

    from core.quant import predict
    from core.quant.hgq_io import QFixedPoint

    data = load_dataset("jets")
    value = inputs = keras.Input((16,))
    for name in LAYERS:
        k, i, f = stored[f"{name}/input_kif"]
        quantized = QFixedPoint((1, len(i)), "RND", "WRAP")
        dense = keras.layers.Dense(len(stored[f"{name}/bias"]), activation=None if name == "output" else "relu")
        value = dense(quantized(value))
        quantized.set_weights([k[None], i[None], f[None]])
        dense.set_weights([stored[f"{name}/kernel"], stored[f"{name}/bias"]])
    outputs = predict(keras.Model(inputs, value), data.x_test)
    widths = {name: {"input": stored[f"{name}/input_bits"], "kernel": stored[f"{name}/kernel_bits"],
                     "bias": stored[f"{name}/bias_bits"]} for name in LAYERS}
    recipe = Recipe(layers={name: LayerRecipe(quantizers={"kernel": EIGHT, "bias": EIGHT}) for name in LAYERS})
    point["its_ebops"] = point["ebops"]
    point["ebops"] = price(inspect_model(MODEL), recipe, widths=widths).costs.ebops
    point["accuracy"] = float((outputs.argmax(axis=1) == data.y_test).mean())
    point["differing"] = int((outputs != stored["outputs"]).sum())


def ours(folder: Path, seed: int) -> tuple[list[Point], Point]:
    """Candidates of one search, and its end: seconds from the start of the process, CPU seconds, load before."""
    load = os.getloadavg()[0]
    done = subprocess.run([sys.executable, HERE / "_gradient_side.py", folder, str(seed), str(time.time())],
                          capture_output=True, text=True, check=False, env=QUIET)
    if done.returncode:
        raise SystemExit(f"our search failed:\n{done.stderr[-2000:]}")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [line for line in told if "accuracy" in line], {
        **told[-1], "load": load, "log": next((line["log"] for line in told if "log" in line), "")}


def front(points: list[Point]) -> list[Point]:
    """Those that no other beats in both, fewest EBOPs first."""
    found, best = [], -1.0
    for point in sorted(points, key=lambda p: (p["ebops"], -p["accuracy"])):
        if point["accuracy"] > best:
            found.append(point)
            best = point["accuracy"]
    return found


def ratios(mine: list[Point], theirs: list[Point]) -> list[float]:
    """For each point of theirs the fewest EBOPs of mine at that accuracy or more, as a share of its own."""
    return [min((p["ebops"] for p in mine if p["accuracy"] >= point["accuracy"]), default=math.inf)
            / max(point["ebops"], 1) for point in theirs]


def exported(project: Path, candidates: list[Point]) -> list[str]:
    """What the exports of some candidates to C++ and RTL say, on test events."""
    from core import workflows
    from core.requests import Export

    lines = []
    for candidate in candidates:
        report = workflows.run(Export(project=str(project), candidate_id=candidate["id"], flow="both",
                                      synthesize=False))
        found = report.exactness
        flows = ", ".join(f"{name}: {check.mismatches} of {check.values} values differ"
                          for name, check in found.flows.items())
        lines.append(f"  ours at {candidate['ebops']} EBOPs, {found.events} test events, {flows}")
    return lines


# -- the comparison --------------------------------------------------------------------------------------


def report(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Run both sides; lines of text."""
    kept = arguments.hgq or folder
    kept.mkdir(parents=True, exist_ok=True)
    lines = [heading() + "; 66000 training jets, accuracy on 22000 test jets"]
    theirs = hgq(kept, arguments.epochs)
    wanted = front(theirs["points"])
    lines += _their_lines(theirs, wanted)
    found, worst, useful, times, cpus, saved = [], [], [], [], [], []
    for seed in range(arguments.runs):
        points, end = ours(folder / f"project{seed}.qscope", seed)
        found.append(ratios(points, wanted))
        worst.append(max(found[-1]))
        useful.append(max(r for r, p in zip(found[-1], wanted, strict=True) if p["accuracy"] >= USEFUL))
        times.append(end["seconds"] / theirs["seconds"])
        cpus.append(end["cpu_seconds"] / theirs["cpu_seconds"])
        saved.append(_saving(folder / f"project{seed}.qscope", points))
        lines.append(f"ours, seed {seed}: {len(points)} candidates, the first at {points[0]['seconds']:.1f} s, the end"
                     f" at {end['seconds']:.1f} s, {end['cpu_seconds']:.1f} CPU-s, load before {end['load']:.1f};"
                     f" EBOPs at most {worst[-1]:.3f} of HGQ2's, {useful[-1]:.3f} above accuracy {USEFUL}"
                     f" ({end['log']})")
    lines += ["  front of the last:", *(f"    {p['accuracy']:.4f}  {p['ebops']:7d}" for p in front(points)[::-1])]
    lines += _by_accuracy(wanted, found)
    lines += _verdict(worst, useful, times, cpus, saved)
    chosen = [front(points)[i] for i in np.linspace(0, len(front(points)) - 1, arguments.exports + 2).astype(int)[1:-1]]
    lines += exported(folder / f"project{arguments.runs - 1}.qscope", chosen)
    return lines


def _their_lines(theirs: Point, wanted: list[Point]) -> list[str]:
    points, settings = theirs["points"], theirs["settings"]
    off = max(abs(p["ebops"] - p["its_ebops"]) for p in points)
    differing = sum(p["differing"] for p in points)
    accuracy = max(abs(p["accuracy"] - p["test"]) for p in points)
    return [f"HGQ2 0.2.0, {settings['epochs']} epochs, beta {settings['beta'][0]:g} to {settings['beta'][1]:g}, Adam"
            f" {settings['learning_rate']:g}, batches of {settings['batch_size']}, jit_compile:"
            f" {theirs['seconds']:.1f} s ({theirs['import_seconds']:.1f} s of it imports), {theirs['cpu_seconds']:.1f}"
            f" CPU-s, load {theirs['load'][0]:.1f} to {theirs['load'][1]:.1f}; tracing the integer bits of its front,"
            f" {theirs['trace_seconds']:.1f} s, left out",
            f"  {len(points)} networks, {len(wanted)} of them on the front by test accuracy; its own EBOPs and ours"
            f" differ by at most {off}, accuracies by {accuracy:.5f}; rebuilt from its weights and formats, {differing}"
            f" of {len(points) * 110000} outputs for test jets differ"]


def _by_accuracy(wanted: list[Point], found: list[list[float]]) -> list[str]:
    lines = ["at each accuracy of HGQ2's front: its EBOPs, and ours as a share of that in each run"]
    for number, point in list(enumerate(wanted))[::-1]:
        lines.append(f"    {point['accuracy']:.4f}  {point['ebops']:7d}  "
                     + "  ".join(f"{each[number]:.2f}" for each in found))
    return lines


def _saving(project: Path, points: list[Point]) -> tuple[float, float, float]:
    """The least energy within MOST_LOSS of the float accuracy: 14 bits everywhere as a multiple of it, as QTools counts
    it and without what has no bits; and the accuracy lost."""
    from core.loading import model_of
    from core.quant.evaluation import evaluate

    info = inspect_model(MODEL)
    best = evaluate(model_of(MODEL), load_dataset("jets"), "float").accuracy
    wide = price(info, uniform(info, 14)).costs.energy_pj
    able = [p for p in points if p["accuracy"] >= best - MOST_LOSS]
    if not able:
        return 0.0, 0.0, math.nan
    least = min(able, key=lambda p: p["energy"])
    lean = min(_lean(project, p["id"]) for p in able)
    return wide / least["energy"], wide / lean, best - least["accuracy"]


def _lean(project: Path, identity: str) -> float:
    """Energy where weights of no bits, and those on values of no bits, neither multiply nor are read, and no weight
    is read with more bits than it has; QTools counts all with the bits of the widest."""
    from core.project import Project

    opened = Project.open(project)
    candidate = opened.candidate(identity)
    found = price(opened.info, candidate.recipe)
    with np.load(opened.weights_path(identity), allow_pickle=False) as stored:
        widths = dict(stored)
    read = next(bits for name, bits in widths.items() if name.endswith("_quantizer/output_bits"))
    total = sum(row.total_pj for row in found.rows)
    for number, name in enumerate(LAYERS, 1):
        row, bits = found.row(name), widths[f"{name}/kernel_bits"]
        alive = (bits > 0) & (read > 0)[:, None]
        own = bits[alive].sum() + widths[f"{name}/bias_bits"].sum()
        total -= row.op_pj * (1 - alive.mean()) + row.parameters_pj * (1 - own / row.parameter_bits)
        read = widths.get(f"relu{number}/output_bits", read)
    return total


def _verdict(worst: list[float], useful: list[float], times: list[float], cpus: list[float],
             saved: list[tuple[float, float, float]]) -> list[str]:
    ebops, above, time_ratio = (statistics.median(v) for v in (worst, useful, times))
    saving, lean, loss = sorted(saved)[len(saved) // 2]
    return [f"EBOPs at every accuracy of HGQ2's front: median of the worst {ebops:.3f} of HGQ2's (bar {MOST_EBOPS}:"
            f" {said(ebops <= MOST_EBOPS)}); above accuracy {USEFUL}: {above:.3f} ({said(above <= MOST_EBOPS)})",
            f"wall time of the whole front, start of the process to its end: median {time_ratio:.3f} of HGQ2's"
            f" (bar {MOST_TIME}: {said(time_ratio <= MOST_TIME)}); {statistics.median(cpus):.3f} of its CPU seconds",
            f"energy (QTools, published memories) within {100 * MOST_LOSS:.1f} % of the float model's accuracy: median"
            f" 1/{saving:.1f} of the 14-bit model's, accuracy lower by {100 * loss:.2f} % (bar 1/{LEAST_SAVING:.0f}:"
            f" {said(saving >= LEAST_SAVING)}); where what has no bits costs nothing, which QTools does not know:"
            f" 1/{lean:.1f} ({said(lean >= LEAST_SAVING)})"]


def main() -> None:
    """Print the comparison and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=300, help="of HGQ2")
    parser.add_argument("--runs", type=int, default=3, help="of ours, one a seed")
    parser.add_argument("--exports", type=int, default=3, help="candidates of the last run that are exported")
    parser.add_argument("--hgq", type=Path, help="keep HGQ2's networks here, and take those there are")
    parser.add_argument("--result", type=Path, default=RESULT, help="the file that is written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = report(arguments, Path(folder))
    write(lines, arguments.result)


if __name__ == "__main__":
    main()
