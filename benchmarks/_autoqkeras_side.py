"""AutoQKeras's Bayesian search with the energy goal, run by the Python of its own environment (qkeras 0.9.0).

    python _autoqkeras_side.py EVENTS.npz FOLDER '{"trials": 15, "epochs": 20, ...}'

FOLDER gets `trials.json`, what came of each trial and when, and `<number>.h5` with its best epoch.
"""

import json
import os
import sys
import time
from pathlib import Path

started = time.perf_counter()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from qkeras import autoqkeras  # noqa: E402
from qkeras.autoqkeras.autoqkeras_internal import AutoQKHyperModel  # noqa: E402
from qkeras.utils import _add_supported_quantized_objects  # noqa: E402

#: what of the trial's layers is a quantizer, by our name for it
PARTS = {"kernel_quantizer": "kernel", "bias_quantizer": "bias"}
state = {"trials": [], "energy": 0.0}


def work_around() -> None:
    """Keras 2.14 looks for QKeras's classes among its own layers when it reads a configuration back."""
    classes = {}
    _add_supported_quantized_objects(classes)
    for name, item in classes.items():
        if not hasattr(keras.layers, name):
            setattr(keras.layers, name, item)


def network(learning_rate: float):
    """The jet tagger in Keras 2; the optimizer is the old one, which may serve several models in turn."""
    layers = [keras.layers.Input((16,), name="features")]
    for number, units in enumerate((64, 32, 32), 1):
        layers += [keras.layers.Dense(units, name=f"fc{number}"),
                   keras.layers.Activation("relu", name=f"relu{number}")]
    layers += [keras.layers.Dense(5, name="output"), keras.layers.Activation("softmax", name="softmax")]
    tensor = layers[0]
    for layer in layers[1:]:
        tensor = layer(tensor)
    model = keras.Model(layers[0], tensor)
    model.compile(keras.optimizers.legacy.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["acc"])
    return model


def goal(settings):
    """The energy goal of AutoQKeras's notebook with the memories of the published rows."""
    from qkeras import quantized_bits

    return {"type": "energy", "params": {
        "delta_p": 8.0, "delta_n": 8.0, "rate": 2.0, "stress": 1.0, "process": "horowitz",
        "parameters_on_memory": ["sram", "sram"], "activations_on_memory": ["sram", "sram"],
        "rd_wr_on_io": [False, False], "min_sram_size": [settings["sram_bits"]] * 2,
        "source_quantizers": [quantized_bits(16, 5, alpha=1)], "reference_internal": "fp32",
        "reference_accumulator": "fp32"}}


class Watch(keras.callbacks.Callback):
    """Keeps the weights of a trial's best epoch, and says when it ended."""

    folder = Path()
    begun = 0.0

    def on_train_begin(self, logs=None):
        self.best, self.weights, self.count = -1.0, None, 0

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        if logs["val_acc"] > self.best:
            self.best, self.weights = logs["val_acc"], self.model.get_weights()

    def on_train_end(self, logs=None):
        ended = time.perf_counter()
        number = len(state["trials"])
        self.model.set_weights(self.weights)
        self.model.save(self.folder / f"{number}.h5", include_optimizer=False)
        predicted = np.asarray(self.model(Watch.x_test)).argmax(1)  # predict() would take the search's history away
        state["trials"].append({
            "seconds": ended - Watch.begun, "epochs": self.count, "validation_accuracy": self.best,
            "test_accuracy": float((predicted == Watch.y_test).mean()), "energy": float(state["energy"]),
            "load": os.getloadavg()[0], "quantizers": quantizers(self.model)})
        Watch.begun += time.perf_counter() - ended  # our watching is not its time
        print(number, state["trials"][-1]["seconds"], self.best, state["energy"], file=sys.stderr, flush=True)


def quantizers(model):
    """By layer and part, the quantizer strings of a trial as AutoQKeras set them."""
    found = {}
    for layer in model.layers:
        if layer.__class__.__name__ == "QDense":
            found[layer.name] = {ours: text(getattr(layer, theirs)) for theirs, ours in PARTS.items()}
        elif layer.__class__.__name__ == "QActivation":
            found[layer.name] = {"output": text(layer.activation)}
    return found


def text(quantizer):
    return quantizer if isinstance(quantizer, str) else str(quantizer)


def main() -> None:
    data, folder, settings = np.load(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    tf.config.threading.set_intra_op_parallelism_threads(settings["cores"])
    keras.utils.set_random_seed(settings["seed"])
    work_around()
    Watch.folder, Watch.x_test, Watch.y_test = folder, data["x_test"], data["y_test"]
    build = AutoQKHyperModel.build

    def watched(self, hp):
        model = build(self, hp)
        state["energy"] = self.trial_size
        return model

    AutoQKHyperModel.build = watched
    imported = time.perf_counter() - started
    Watch.begun = time.perf_counter()
    search = autoqkeras.AutoQKeras(
        network(settings["learning_rate"]), metrics=["acc"], goal=goal(settings), output_dir=str(folder / "tuner"),
        mode="bayesian", limit=settings["limit"], quantization_config=settings["quantization_config"],
        tune_filters="none", tune_filters_exceptions="^none", transfer_weights=False, activation_bits=4,
        max_trials=settings["trials"], seed=settings["seed"], overwrite=True)
    search.fit(data["x_train"], data["y_train"], validation_data=(data["x_val"], data["y_val"]),
               batch_size=settings["batch_size"], epochs=settings["epochs"], verbose=0, callbacks=[Watch()])
    result = {"import_seconds": imported, "seconds": time.perf_counter() - Watch.begun,
              "cpu_seconds": time.process_time(),
              "versions": {"tensorflow": tf.__version__, "keras": keras.__version__}, "trials": state["trials"]}
    (folder / "trials.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
