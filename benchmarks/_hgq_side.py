"""HGQ2 trains the jet tagger with its own widths, beta growing: one run, a whole front. Run by its own Python.

    python _hgq_side.py EVENTS.npz FOLDER '{"epochs": 60, "beta": [1e-7, 3e-5], "batch_size": 1024, ...}'

FOLDER gets `front.json` and, for each point of the front, `<number>.npz` with its exact weights and the widths
of its inputs, kernels and biases.
"""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QDense
from hgq.utils import trace_minmax
from hgq.utils.sugar import BetaScheduler, FreeEBOPs, ParetoFront, PieceWiseSchedule

UNITS = (64, 32, 32)


def network(beta: float) -> keras.Model:
    """16-64-32-32-5 as in HGQ2's own examples: a width for each weight and for each input of a layer."""
    with (QuantizerConfigScope(q_type="kbi", place="weight", overflow_mode="SAT_SYM", round_mode="RND"),
          QuantizerConfigScope(q_type="kbi", place="bias", overflow_mode="WRAP", round_mode="RND"),
          QuantizerConfigScope(q_type="kif", place="datalane", overflow_mode="WRAP", round_mode="RND"),
          LayerConfigScope(enable_ebops=True, beta0=beta)):
        layers = [QDense(units, activation="relu", name=f"fc{number}") for number, units in enumerate(UNITS, 1)]
        return keras.Sequential([keras.layers.Input((16,)), *layers, QDense(5, name="output")])


def widths(layer) -> dict:
    """Exact weights and widths of one layer, as HGQ2 counts them."""
    found = {}
    for name, quantizer, value in (("kernel", layer.kq, layer.qkernel), ("bias", layer.bq, layer.qbias)):
        found[name] = np.asarray(value)
        found[f"{name}_bits"] = np.asarray(quantizer.bits_(value.shape))
    found["input_bits"] = np.asarray(layer.iq.bits_((1, *layer.input.shape[1:])))[0]
    return {f"{layer.name}/{key}": array for key, array in found.items()}


def main() -> None:
    data, folder, settings = np.load(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    tf.config.threading.set_intra_op_parallelism_threads(settings["cores"])
    keras.utils.set_random_seed(settings["seed"])
    first, last = settings["beta"]
    started = time.perf_counter()
    model = network(first)
    steps = settings["epochs"] * -(-len(data["x_train"]) // settings["batch_size"])
    rate = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], steps, alpha=settings["last_rate"])
    model.compile(keras.optimizers.Adam(rate), metrics=["accuracy"], jit_compile=True,
                  loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  steps_per_execution=settings["steps_per_execution"])
    front = ParetoFront(folder / "weights", ["val_accuracy", "ebops"], [1, -1], "{epoch}.weights.h5")
    beta = BetaScheduler(PieceWiseSchedule([(0, first, "log"), (settings["epochs"], last, "constant")]))
    model.fit(data["x_train"], data["y_train"], validation_data=(data["x_val"], data["y_val"]), verbose=0,
              batch_size=settings["batch_size"], validation_batch_size=4096, epochs=settings["epochs"],
              callbacks=[beta, FreeEBOPs(), front])
    fitted = time.perf_counter() - started
    points = []
    for number, path in enumerate(sorted(front.paths, key=lambda p: int(p.name.split(".")[0]))):
        model.load_weights(path)
        ebops = int(trace_minmax(model, data["x_train"], batch_size=8192))
        accuracies = {part: float((model.predict(data[f"x_{part}"], batch_size=8192, verbose=0).argmax(1)
                                   == data[f"y_{part}"]).mean()) for part in ("val", "test")}
        points.append({"ebops": ebops, **accuracies, "epoch": int(path.name.split(".")[0])})
        np.savez(folder / f"{number}.npz", **{k: v for layer in model.layers for k, v in widths(layer).items()})
    result = {"fit_seconds": fitted, "seconds": time.perf_counter() - started, "points": points,
              "versions": {"tensorflow": tf.__version__, "keras": keras.__version__}}
    (folder / "front.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
