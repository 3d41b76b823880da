"""Writes a Python script that makes a candidate again from the float model, and checks that it is the same."""

from __future__ import annotations

from pathlib import Path

from core.candidate import Candidate

_TEMPLATE = '''"""Makes candidate {id} of a Quantiscope project again from its float model.

    python {name} [--train] [--export FOLDER]

Quantizes the float model by the recipe below and gives it the candidate's weights, which lie beside this file; with
--train it is trained anew from the float weights instead, by the learning rate, batch size, epochs and seed that the
candidate was trained with (a search that shares weights between candidates ends with others, and so does a training
that was told more than these). Prints the accuracy beside the one that was stored, and writes the predictions.

Needs Quantiscope as a library (its packages core and resources), of version {version} or a later one.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from core.arrays import flat
from core.loading import dataset_of, model_of
from core.quant import Recipe, evaluate, predict, quantize

HERE = Path(__file__).resolve().parent
MODEL = Path({model!r})
DATA = {data!r}
WEIGHTS = HERE / {weights!r}
ACCURACY = {accuracy!r}  # {metric} on {events} test events, as stored
TRAINING = {training!r}
RECIPE = r"""{recipe}"""


def make(train=False):
    """The quantized model with its weights, and the dataset."""
    dataset = dataset_of(DATA, MODEL)
    recipe = Recipe.from_json(RECIPE)
    if train:
        from core.events import Monitor
        from core.quant.weights import set_weights
        from core.search.keras_trainer import KerasTrainer

        trainer = KerasTrainer(model_of(MODEL), dataset, TRAINING["learning_rate"], int(TRAINING["batch_size"]))
        trained = trainer.train(recipe, TRAINING["seed"], int(TRAINING["epochs"]), Monitor())
        model = quantize(model_of(MODEL), recipe)
        set_weights(model, trained.weights)
        return model, dataset
    from core.quant.weights import load_weights

    model = quantize(model_of(MODEL), recipe)
    load_weights(model, WEIGHTS)
    return model, dataset


def main():
    """Make it, judge it, and do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="train anew instead of taking the stored weights")
    parser.add_argument("--export", type=Path, help="write the firmware project here, and prove it")
    parser.add_argument("--events", type=int, default=2000, help="test events for that proof")
    asked = parser.parse_args()
    model, dataset = make(asked.train)
    found = evaluate(model, dataset, "trained")
    predictions = HERE / (Path(__file__).stem + ".predictions.npy")
    outputs = predict(model, dataset.x_test)  # those of several outputs are written one after the other
    np.save(predictions, outputs if isinstance(outputs, np.ndarray) else flat(outputs))
    print(f"{{found.metric}} {{found.accuracy:.6f}}, stored {{ACCURACY:.6f}}; predictions in {{predictions.name}}")
    if asked.export:
        from core.hls.export import ExportOptions, export

        report = export(model, dataset.x_test, ExportOptions(events=asked.events), asked.export)
        print(f"{{report.exactness.mismatches}} mismatching values on {{report.exactness.events}} events")
    same = found.accuracy == ACCURACY or found.events != {events}
    return 0 if same or asked.train else 1


if __name__ == "__main__":
    sys.exit(main())
'''


def text_of(candidate: Candidate, model: Path, data: str, weights: str) -> str:
    """The script's text; paths are absolute, and those of data sets that come with Quantiscope stay names.

    Args:
        weights: name of the weights' file, beside the script.
    """
    import core
    from core.dataset import bundled_path

    training = {"learning_rate": 3e-3, "batch_size": 256.0, "epochs": 0.0, **candidate.training,
                "seed": candidate.seed or 0}
    where = data if bundled_path(data) else str(Path(data).absolute())
    return _TEMPLATE.format(
        id=candidate.id, name="SCRIPT.py", version=core.__version__, model=str(model.absolute()), data=where,
        weights=weights, accuracy=candidate.evaluation.accuracy, metric=candidate.evaluation.metric,
        events=candidate.evaluation.events, training=training,
        recipe=candidate.recipe.to_json().decode().replace('"""', "'''"))
