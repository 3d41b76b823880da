"""HGQ2 trains the jet tagger with its own widths, beta growing: one run, a whole front. Run by its own Python.

    python _hgq_side.py EVENTS.npz FOLDER '{"epochs": 300, "beta": [5e-7, 1e-3], "batch_size": 1024, ...}'

The model, its quantizers, Adam and its learning rate are those of HGQ2's own example of a jet tagger. FOLDER gets
`front.json` and, for each point of the front, `<number>.npz`: exact weights, the widths of inputs, kernels and
biases, the formats of the inputs, and what the network gives for the test events.
"""

import json
import os
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from hgq.config import LayerConfigScope, QuantizerConfig, QuantizerConfigScope  # noqa: E402
from hgq.layers import QDense  # noqa: E402
from hgq.utils import trace_minmax  # noqa: E402
from hgq.utils.sugar import BetaScheduler, FreeEBOPs, ParetoFront, PieceWiseSchedule  # noqa: E402

UNITS = (64, 32, 32)


def network(beta: float) -> keras.Model:
    """16-64-32-32-5 as in HGQ2's own example: a width for each weight and for each input of a layer."""
    with (QuantizerConfigScope(place="all", default_q_type="kbi", k0=1, b0=3, i0=0, overflow_mode="SAT_SYM"),
          QuantizerConfigScope(place="datalane", default_q_type="kif", k0=0, f0=3, i0=3, overflow_mode="WRAP"),
          LayerConfigScope(enable_ebops=True, beta0=beta)):
        signed = {"iq_conf": QuantizerConfig(place="datalane", k0=1)}
        hidden = [QDense(units, activation="relu", name=f"fc{number}", **(signed if number == 1 else {}))
                  for number, units in enumerate(UNITS, 1)]
        return keras.Sequential([keras.layers.Input((16,)), *hidden, QDense(5, name="output")])


def described(layer) -> dict:
    """Exact weights, widths and input formats of one layer, as HGQ2 has them."""
    found = {}
    for name, quantizer, value in (("kernel", layer.kq, layer.qkernel), ("bias", layer.bq, layer.qbias)):
        found[name] = np.asarray(value)
        found[f"{name}_bits"] = np.asarray(quantizer.bits_(value.shape))
    found["input_bits"] = np.asarray(layer.iq.bits_((1, *layer.input.shape[1:])))[0]
    found["input_kif"] = np.stack([np.asarray(v, np.float32) for v in layer.iq.quantizer.kif])[:, 0]
    return {f"{layer.name}/{key}": array for key, array in found.items()}


def cpu_seconds() -> float:
    return sum(os.times()[:4])


def trained(model: keras.Model, data: dict, folder: Path, settings: dict) -> ParetoFront:
    """Fit, and the callback that kept the front."""
    first, last = settings["beta"]
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
    return front


def scored(model: keras.Model, front: ParetoFront, data: dict, folder: Path) -> list:
    """The points of the front, their integer bits traced on the training events as HGQ2 asks for."""
    points = []
    order = sorted(range(len(front.paths)), key=lambda i: front.record[i][1])
    best = -1.0
    for i in order:
        if front.record[i][0] <= best:
            continue  # another has more accuracy for fewer EBOPs
        best = front.record[i][0]
        model.load_weights(front.paths[i])
        ebops = int(trace_minmax(model, data["x_train"], batch_size=16384))
        outputs = {part: model.predict(data[f"x_{part}"], batch_size=8192, verbose=0) for part in ("val", "test")}
        accuracies = {part: float((found.argmax(1) == data[f"y_{part}"]).mean()) for part, found in outputs.items()}
        layers = {k: v for layer in model.layers for k, v in described(layer).items()}
        np.savez(folder / f"{len(points)}.npz", outputs=outputs["test"], **layers)
        points.append({"ebops": ebops, "seen": list(map(float, front.record[i])), **accuracies,
                       "epoch": int(Path(front.paths[i]).name.split(".")[0])})
    return points


def main() -> None:
    """Train, keep the front, write it down."""
    data, folder, settings = dict(np.load(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3])
    tf.config.threading.set_intra_op_parallelism_threads(settings["cores"])
    keras.utils.set_random_seed(settings["seed"])
    load = os.getloadavg()[0]
    imported = time.perf_counter() - STARTED
    model = network(settings["beta"][0])
    front = trained(model, data, folder, settings)
    seconds, cpu = time.perf_counter() - STARTED, cpu_seconds()
    points = scored(model, front, data, folder)
    result = {"seconds": seconds, "cpu_seconds": cpu, "import_seconds": imported,
              "trace_seconds": time.perf_counter() - STARTED - seconds, "points": points,
              "load": [load, os.getloadavg()[0]], "settings": settings,
              "versions": {"tensorflow": tf.__version__, "keras": keras.__version__}}
    (folder / "front.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
