"""Seconds for one epoch of quantization-aware training of the jet tagger, beside plain Keras and HGQ2.

Every side trains 16-64-32-32-5 on the same events, batch 1024, Adam, in a process of its own, one after
the other; the first epoch (tracing, compiling) is told apart and the median of the others is compared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from _environments import environment, run_side

ROOT = Path(__file__).resolve().parent.parent
EPOCHS = 6

_COMMON = f"""
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np, keras
data = np.load({str(ROOT / "resources/data/jets.npz")!r})
x = data["X"][:66000]; x = ((x - x.mean(0)) / x.std(0)).astype("float32"); y = data["y"][:66000].astype("int64")
keras.utils.set_random_seed(0)
class Clock(keras.callbacks.Callback):
    seconds = []
    def on_epoch_begin(self, *a): self.start = time.perf_counter()
    def on_epoch_end(self, *a): self.seconds.append(time.perf_counter() - self.start)
def fit(model, jit):
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", jit_compile=jit)
    clock = Clock(); clock.seconds = []
    model.fit(x, y, batch_size=1024, epochs={EPOCHS}, verbose=0, callbacks=[clock])
    return clock.seconds
result = {{}}
"""
_KERAS = _COMMON + """
def plain():
    layers = [keras.Input((16,))]
    for units in (64, 32, 32): layers += [keras.layers.Dense(units), keras.layers.Activation("relu")]
    return keras.Sequential([*layers, keras.layers.Dense(5), keras.layers.Activation("softmax")])
result["plain Keras fit"] = fit(plain(), False)
print(json.dumps(result))
"""
_OURS = _COMMON + f"""
sys.path.insert(0, {str(ROOT)!r})
import resources
from core.model_io import inspect_model, load_model
from core.quant import quantize, training, uniform
from core.quant.training_loop import Loop
from core.dataset import load_dataset
path = resources.path("models/jet_tagger.keras")
info = inspect_model(path)
for name, recipe in (("6 bits", uniform(info, 6, 1)), ("ternary", uniform(info, 6, 1))):
    if name == "ternary":
        for layer in ("fc1", "fc2", "fc3", "output"):
            recipe = recipe.with_quantizer(layer, "kernel", "ternary(alpha='auto_po2')")
    float_model = load_model(path)
    result["our layers, " + name + ", Keras fit"] = fit(quantize(float_model, recipe), False)
    model = quantize(float_model, recipe)
    loop = Loop(model, load_dataset("jets"), training.TrainOptions(epochs={EPOCHS}))
    seconds = []
    for epoch in range({EPOCHS}):
        start = time.perf_counter(); loop.epoch(epoch); seconds.append(time.perf_counter() - start)
    result["our loop, " + name] = seconds
print(json.dumps(result))
"""
_HGQ2 = _COMMON + """
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QDense
for jit in (False, True):
    with QuantizerConfigScope(q_type="kbi", place="weight", overflow_mode="SAT_SYM"), \\
         QuantizerConfigScope(q_type="kif", place="datalane", overflow_mode="WRAP"), \\
         LayerConfigScope(enable_ebops=True, beta0=1e-6):
        layers = [keras.Input((16,))] + [QDense(units, activation="relu") for units in (64, 32, 32)]
        model = keras.Sequential([*layers, QDense(5), keras.layers.Activation("softmax")])
    result["HGQ2, trained widths" + (", XLA" if jit else "")] = fit(model, jit)
print(json.dumps(result))
"""


def main() -> None:
    """Run every side and print seconds and ratios."""
    sides: dict[str, list[float]] = {}
    for python, program in ((sys.executable, _KERAS), (sys.executable, _OURS), (environment("hgq2"), _HGQ2)):
        sides |= json.loads(run_side(python, program).strip().splitlines()[-1])
    base = _median(sides["plain Keras fit"][1:])
    print(f"{'side':42} first epoch  median of {EPOCHS - 1}   ratio to plain Keras")
    for name, seconds in sides.items():
        median = _median(seconds[1:])
        print(f"{name:42} {seconds[0]:9.2f} s {median:12.3f} s {median / base:10.2f}")


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


if __name__ == "__main__":
    main()
