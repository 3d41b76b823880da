#!/usr/bin/env python3
"""Train the bundled jet tagger, 16-64-32-32-5, and store it with its figures.

    python scripts/train_jet_tagger.py [--epochs 150] [--learning-rate 0.003] [--seed 1] [--output DIR]

Writes `jet_tagger.keras` (no optimizer state) and `jet_tagger.json` (accuracy, AUC per class, settings,
versions) to resources/models, and prints the figures. Architecture, loss, batch size, L1 penalty and initializer
are those of Coelho et al., Nature Machine Intelligence 3 (2021) 675; the rate there is a constant 1e-4
(`--schedule constant --learning-rate 1e-4`), here it falls from 3e-3 along a cosine, which ends higher.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from core.candidate import Evaluation  # noqa: E402
from core.dataset import Dataset, load_dataset  # noqa: E402
from core.metrics import evaluate_scores  # noqa: E402

L1 = 1e-4
BATCH = 1024
FIT_THREADS = 1


def build() -> keras.Model:
    """The float model: features -> fc1, relu1, fc2, relu2, fc3, relu3, output -> softmax."""
    def dense(units: int, name: str) -> keras.layers.Dense:
        return keras.layers.Dense(units, kernel_initializer="lecun_uniform",
                                  kernel_regularizer=keras.regularizers.L1(L1), name=name)

    features = keras.Input((16,), name="features")
    x = features
    for number, units in enumerate((64, 32, 32), start=1):
        x = dense(units, f"fc{number}")(x)
        x = keras.layers.Activation("relu", name=f"relu{number}")(x)
    x = keras.layers.Activation("softmax", name="softmax")(dense(5, "output")(x))
    return keras.Model(features, x, name="jet_tagger")


class KeepBest(keras.callbacks.Callback):
    """Remember the weights of the epoch with the least validation loss."""

    best = float("inf")
    epoch = 0
    weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls this after each epoch."""
        loss = (logs or {})["val_loss"]
        if loss < self.best:
            self.best, self.epoch, self.weights = loss, epoch + 1, self.model.get_weights()


def train(data: Dataset, arguments: argparse.Namespace) -> tuple[keras.Model, int]:
    """The trained model, uncompiled, with the weights of its best epoch, and the number of that epoch."""
    keras.utils.set_random_seed(arguments.seed)
    tf.config.experimental.enable_op_determinism()
    model = build()
    steps = arguments.epochs * -(-len(data.x_train) // BATCH)
    rate = arguments.learning_rate
    if arguments.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    best = KeepBest()
    model.fit(data.x_train, data.y_train, batch_size=BATCH, epochs=arguments.epochs, verbose=0,
              validation_data=(data.x_val, data.y_val), validation_batch_size=8192, callbacks=[best])
    trained = build()
    trained.set_weights(best.weights)
    return trained, best.epoch


def figures(data: Dataset, result: Evaluation, arguments: argparse.Namespace, best_epoch: int,
            seconds: float) -> dict[str, Any]:
    """What is stored beside the model."""
    return {
        "model": "jet_tagger",
        "data": data.provenance,
        "data_hash": data.hash,
        "events": {"train": len(data.y_train), "validation": len(data.y_val), "test": len(data.y_test)},
        "test_accuracy": round(result.accuracy, 4),
        "test_accuracy_error": round((result.accuracy * (1 - result.accuracy) / result.events) ** 0.5, 4),
        "test_auc": {name: round(area, 4) for name, area in result.auc.items()},
        "test_auc_error": {name: round(error, 4) for name, error in result.auc_error.items()},
        "standardization": {"mean": data.mean.tolist(), "scale": data.scale.tolist()},
        "feature_names": list(data.feature_names),
        "class_names": list(data.class_names),
        "training": {
            "command": shlex.join(["python", "scripts/train_jet_tagger.py", *sys.argv[1:]]),
            "optimizer": "Adam", "schedule": arguments.schedule, "learning_rate": arguments.learning_rate,
            "epochs": arguments.epochs, "best_epoch": best_epoch, "batch_size": BATCH, "l1": L1,
            "seed": arguments.seed, "seconds": round(seconds, 1),
        },
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": sys.version.split()[0], "tensorflow": tf.__version__,
                     "keras": keras.__version__, "numpy": np.__version__},
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the bundled jet tagger and store it with its figures.")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--schedule", choices=("cosine", "constant"), default="cosine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "resources" / "models")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(FIT_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(FIT_THREADS)
    data = load_dataset("jets")
    start = time.monotonic()
    model, best_epoch = train(data, arguments)
    seconds = time.monotonic() - start
    result = evaluate_scores(model.predict(data.x_test, batch_size=8192, verbose=0), data.y_test,
                             data.class_names, "float")
    told = figures(data, result, arguments, best_epoch, seconds)
    arguments.output.mkdir(parents=True, exist_ok=True)
    model.save(arguments.output / "jet_tagger.keras")
    (arguments.output / "jet_tagger.json").write_text(json.dumps(told, indent=2) + "\n")
    print(f"accuracy {told['test_accuracy']} +- {told['test_accuracy_error']} on {result.events} test jets"
          f" (epoch {best_epoch} of {arguments.epochs}, {seconds:.0f} s)")
    for name in result.auc:
        print(f"AUC {name} {told['test_auc'][name]} +- {told['test_auc_error'][name]}")


if __name__ == "__main__":
    main()
