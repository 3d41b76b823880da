#!/usr/bin/env python3
"""Train the float model of a model family and store it with its events, ready to open.

    python scripts/make_family.py NAME [--out DIR] [--bits N] [--events N] [--epochs N] [--seed N]
    python scripts/make_family.py --list
    python scripts/make_family.py --table [--out DIR]

Writes `NAME.keras` (the model), `NAME.npz` (its events, split, with their task) and `NAME.json` (figures and
settings) to DIR, and prints what the model is worth; with `--bits`, also what it is worth with that width
everywhere, before and after a short training. "all" makes every family. None takes over a minute on one core.
`--table` prints what lies in DIR as the table of docs/families.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from core.candidate import Evaluation  # noqa: E402
from core.dataset import FAMILY, Dataset, family_dataset  # noqa: E402
from core.versions import versions  # noqa: E402
from resources.families import FAMILIES, Family  # noqa: E402

#: integer bits of the uniform widths, and epochs they are trained
INTEGER, QAT_EPOCHS = 2, 5


def make(family: Family, arguments: argparse.Namespace) -> None:
    """Train one family and write its three files."""
    import keras

    from core.quant.evaluation import evaluate
    from core.quant.training import TrainOptions, train

    data = family_dataset(family.name, arguments.events, arguments.seed)
    keras.utils.set_random_seed(arguments.seed)
    model = family.build()
    epochs = arguments.epochs if arguments.epochs is not None else family.epochs
    start = time.monotonic()
    train(model, data, TrainOptions(epochs=epochs, learning_rate=family.learning_rate, batch_size=family.batch_size,
                                    seed=arguments.seed))
    seconds = time.monotonic() - start
    result = evaluate(model, data, "float")
    model.save(arguments.out / f"{family.name}.keras")
    write_events(arguments.out / f"{family.name}.npz", data)
    widths = quantized_figures(model, family, data, arguments) if arguments.bits else {}
    told = {**figures(result), **widths, "family": family.name, "title": family.title, "source": family.source,
            "task": family.task, "data": data.provenance, "data_hash": data.hash, "parameters": model.count_params(),
            "epochs": epochs, "batch_size": family.batch_size, "learning_rate": family.learning_rate,
            "seed": arguments.seed, "seconds": round(seconds, 1), "versions": versions()}
    (arguments.out / f"{family.name}.json").write_text(json.dumps(told, indent=2) + "\n")
    print(f"{family.name}: {result.metric} {result.accuracy:.4f} on {result.events} test events,"
          f" {model.count_params()} parameters, {seconds:.0f} s" + "".join(f", {k} {v}" for k, v in widths.items()))


def quantized_figures(model: Any, family: Family, data: Dataset, arguments: argparse.Namespace) -> dict[str, float]:
    """The figure with `--bits` everywhere, after rounding the float weights and after `QAT_EPOCHS` of training."""
    from core.model_io import describe_model
    from core.quant.build import quantize
    from core.quant.evaluation import evaluate
    from core.quant.recipe import uniform
    from core.quant.training import TrainOptions, train

    bits = arguments.bits
    built = quantize(model, uniform(describe_model(model), bits, INTEGER))
    before = evaluate(built, data, "post-training").accuracy
    train(built, data, TrainOptions(epochs=QAT_EPOCHS, learning_rate=family.learning_rate / 3,
                                    batch_size=family.batch_size, seed=arguments.seed))
    return {f"{bits} bits rounded": round(before, 4),
            f"{bits} bits trained": round(evaluate(built, data, "trained").accuracy, 4)}


def figures(result: Evaluation) -> dict[str, object]:
    """What is stored of an evaluation."""
    return {result.metric: round(result.accuracy, 4), "test_events": result.events,
            "auc": {name: round(area, 4) for name, area in result.auc.items()},
            "auc_error": {name: round(error, 4) for name, error in result.auc_error.items()},
            **{name: round(value, 4) for name, value in result.figures.items()}}


def write_events(path: Path, data: Dataset) -> None:
    """A dataset as a file that `core.dataset.load_dataset` reads back to the same split."""
    parts = {f"{kind}_{part}": getattr(data, f"{kind}_{part}") for kind in "xy" for part in ("train", "val", "test")}
    np.savez_compressed(path, **parts, class_names=data.class_names, task=data.task, provenance=data.provenance)


def table(folder: Path) -> str:
    """The families made in a folder as a Markdown table."""
    rows = ["| family | after | task | parameters | float | 8 bits, rounded | 8 bits, trained |", "|" + "---|" * 7]
    for family in FAMILIES.values():
        if not (path := folder / f"{family.name}.json").is_file():
            continue
        told = json.loads(path.read_text())
        metric = "AUC" if "AUC" in told else "accuracy"
        figures = [told[metric], told.get("8 bits rounded"), told.get("8 bits trained")]
        rows.append(f"| `{family.name}`: {family.title} | {family.source} | {family.task} | {told['parameters']} | "
                    + " | ".join("" if value is None else f"{metric} {value:.3f}" for value in figures) + " |")
    return "\n".join(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the float model of a model family and store it.")
    parser.add_argument("name", nargs="?", choices=[*FAMILIES, "all"])
    parser.add_argument("--list", action="store_true", help="name the families")
    parser.add_argument("--table", action="store_true", help="print a table of the families in --out")
    parser.add_argument("--out", type=Path, default=Path("families-out"))
    parser.add_argument("--bits", type=int, help="judge it with this width everywhere, too")
    parser.add_argument("--events", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    if arguments.table:
        print(table(arguments.out))
        return
    if arguments.list or not arguments.name:
        for family in FAMILIES.values():
            print(f"{family.name:20} {family.title} ({family.source}); data {FAMILY}{family.name}")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES.values():
        if arguments.name in (family.name, "all"):
            make(family, arguments)


if __name__ == "__main__":
    main()
