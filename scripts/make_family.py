#!/usr/bin/env python3
"""Train the float model of a model family and store it with its events, ready to open.

    python scripts/make_family.py NAME [--out DIR] [--events N] [--epochs N] [--seed N]
    python scripts/make_family.py --list

Writes `NAME.keras` (the model), `NAME.npz` (its events, split, with their task) and `NAME.json` (figures and
settings) to DIR, and prints what the model is worth. "all" makes every family. None takes over a minute on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from core.candidate import Evaluation  # noqa: E402
from core.dataset import FAMILY, Dataset, family_dataset  # noqa: E402
from core.versions import versions  # noqa: E402
from resources.families import FAMILIES, Family  # noqa: E402


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
    told = {**figures(result), "family": family.name, "title": family.title, "source": family.source,
            "task": family.task, "data": data.provenance, "data_hash": data.hash, "parameters": model.count_params(),
            "epochs": epochs, "batch_size": family.batch_size, "learning_rate": family.learning_rate,
            "seed": arguments.seed, "seconds": round(seconds, 1), "versions": versions()}
    (arguments.out / f"{family.name}.json").write_text(json.dumps(told, indent=2) + "\n")
    print(f"{family.name}: {result.metric} {result.accuracy:.4f} on {result.events} test events,"
          f" {model.count_params()} parameters, {seconds:.0f} s")


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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the float model of a model family and store it.")
    parser.add_argument("name", nargs="?", choices=[*FAMILIES, "all"])
    parser.add_argument("--list", action="store_true", help="name the families")
    parser.add_argument("--out", type=Path, default=Path("families-out"))
    parser.add_argument("--events", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
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
