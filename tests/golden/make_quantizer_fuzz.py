"""Values and gradients of random quantizers, made by the original QKeras 0.9.0.

Run by the python of an environment with qkeras 0.9.0 (TensorFlow 2.14):
    python make_quantizer_fuzz.py --seed 20260101 --count 250 [--output quantizer_fuzz]
writes OUTPUT.json and OUTPUT.npz beside this file, in the form of quantizer_golden:
    x_grid (257,), x_mat (16, 8), x_small (3, 3, 2, 4)   inputs, float32
    ID/INPUT/y, ID/INPUT/g     output and d(sum of outputs)/d(input) in inference
    ID/INPUT/ytrain, gtrain    the same in training, where that differs and nothing is drawn at random

Objects are made from Python values, not from strings: the original's string reader takes `alpha=None` for
the text 'on' and fails at the first call. Never drawn, because the original has no answer there:
  - a negative `integer`, but for quantized_ulaw: it raises the whole number 2 to it, which TensorFlow refuses;
  - ternary with an automatic scale and a threshold, stochastic_ternary with a threshold of 1: refused;
  - ternary with a fixed scale and stochastic rounding: refused; binary with it: the inference of anything but
    a vector multiplies arrays that do not fit each other;
  - quantized_bits and quantized_hswish of one bit with alpha='auto': 0/0, NaN everywhere.
Left out of the record with the reason, if met: any other refusal, an answer that is not finite, and one that
hangs on the place of a value in the array, as TensorFlow's vector and scalar functions differ in the last bit and
a tie then falls to either side (the root of 1/2 in the logarithm, for one).
quantized_linear is younger than 0.9.0 and bernoulli random in inference: quantizer_golden has them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from qkeras import quantizers
from tensorflow.keras import backend

Arguments = dict[str, Any]

#: the inputs of quantizer_golden: a fine grid full of ties, activations, a small convolution kernel
INPUTS = {
    "x_grid": np.linspace(-4.0, 4.0, 257).astype(np.float32),
    "x_mat": np.random.RandomState(1234).normal(size=(16, 8)).astype(np.float32),
    "x_small": (np.random.RandomState(4321).normal(size=(3, 3, 2, 4)) * 0.2).astype(np.float32),
}
BITS = (1, 2, 3, 4, 5, 6, 8, 12)
SCALES = (None, None, 1.0, 0.5, 2.0, 0.3, "auto", "auto_po2")
#: kinds that draw random numbers in training, whatever their arguments
RANDOM_IN_TRAINING = ("stochastic_binary", "stochastic_ternary")


class Draw:
    """Random arguments of each kind."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def of(self, *values: Any) -> Any:
        return self._random.choice(values)

    def flag(self) -> bool:
        return self._random.random() < 0.5

    def seldom(self) -> bool:
        return self._random.random() < 0.15

    def noise(self) -> Arguments:
        """A share of the quantization error, now and then."""
        if self._random.random() < 0.65:
            return {}
        return {"qnoise_factor": self.of(0.0, 0.25, 0.7, 1.0), "use_ste": self.flag()}

    def quantizer(self) -> tuple[str, Arguments]:
        """(kind, its arguments)."""
        make: Callable[[], tuple[str, Arguments]] = self.of(
            self.bits, self.bits, self.relu, self.relu, self.ulaw, self.tanh, self.sigmoid, self.po2, self.po2,
            self.relu_po2, self.relu_po2, self.hswish, self.hswish, self.binary, self.ternary)
        return make()

    def _scaled(self, bits: int) -> Arguments:
        scale = self.of(*SCALES)
        return {"bits": bits, "integer": self.of(0, 0, 1, 2, 3), "symmetric": self.of(0, 1),
                "alpha": "auto_po2" if scale == "auto" and bits == 1 else scale,
                "use_stochastic_rounding": self.seldom()}

    def bits(self) -> tuple[str, Arguments]:
        arguments = self._scaled(self.of(*BITS))
        axis = {"scale_axis": 0} if isinstance(arguments["alpha"], str) and self.seldom() else {}
        return "quantized_bits", {**arguments, "keep_negative": self.of(True, True, False), **axis, **self.noise()}

    def hswish(self) -> tuple[str, Arguments]:
        return "quantized_hswish", {**self._scaled(self.of(*BITS)), "relu_shift": self.of(2, 3, 4),
                                    "relu_upper_bound": self.of(3, 4, 6), **self.noise()}

    def relu(self) -> tuple[str, Arguments]:
        return "quantized_relu", {
            "bits": self.of(*BITS), "integer": self.of(0, 0, 1, 2, 3), "use_sigmoid": self.of(0, 0, 1),
            "negative_slope": self.of(0.0, 0.0, 0.125, 0.25, 0.5), "use_stochastic_rounding": self.seldom(),
            "relu_upper_bound": self.of(None, None, 1.5, 2.0, 6.0), "is_quantized_clip": self.flag(), **self.noise()}

    def ulaw(self) -> tuple[str, Arguments]:
        return "quantized_ulaw", {"bits": self.of(*BITS), "integer": self.of(-1, 0, 0, 1, 2, 3),
                                  "symmetric": self.of(0, 1), "u": self.of(255.0, 15.0, 100.0)}

    def tanh(self) -> tuple[str, Arguments]:
        return "quantized_tanh", {"bits": self.of(*BITS), "use_stochastic_rounding": self.seldom(),
                                  "symmetric": self.flag(), "use_real_tanh": self.flag()}

    def sigmoid(self) -> tuple[str, Arguments]:
        return "quantized_sigmoid", {"bits": self.of(*BITS), "symmetric": self.flag(),
                                     "use_real_sigmoid": self.flag(), "use_stochastic_rounding": self.seldom()}

    def _power(self) -> Arguments:
        return {"bits": self._random.randint(2, 8), "max_value": self.of(None, 0.5, 1, 2, 3, 4, 16),
                "use_stochastic_rounding": self.seldom(), "quadratic_approximation": self.of(True, False, False),
                "log2_rounding": self.of("rnd", "floor"), **self.noise()}

    def po2(self) -> tuple[str, Arguments]:
        return "quantized_po2", self._power()

    def relu_po2(self) -> tuple[str, Arguments]:
        return "quantized_relu_po2", {**self._power(), "negative_slope": self.of(0, 0, 0.125, 0.25, 0.5)}

    def binary(self) -> tuple[str, Arguments]:
        if self.seldom():
            return "stochastic_binary", {"alpha": self.of(*SCALES), "temperature": self.of(2.0, 6.0)}
        return "binary", {"use_01": self.flag(), "alpha": self.of(*SCALES)}

    def ternary(self) -> tuple[str, Arguments]:
        scale = self.of(*SCALES)
        auto = isinstance(scale, str)
        common = {"alpha": scale, "threshold": None if auto else self.of(None, 0.1, 0.5, 1.5),
                  "number_of_unrolls": self.of(1, 2, 5)}
        if auto and self.seldom():
            return "stochastic_ternary", common
        return "ternary", {**common, "use_stochastic_rounding": auto and self.seldom()}


def text_of(kind: str, arguments: Arguments) -> str:
    """The quantizer as a string."""
    return f"{kind}({','.join(f'{name}={value!r}' for name, value in arguments.items())})"


def answer(made: Any, x: np.ndarray, training: bool) -> tuple[np.ndarray, np.ndarray]:
    """(outputs, gradient of their sum), both float32 of the shape of `x`."""
    backend.set_learning_phase(int(training))
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = made(inputs)
    gradient = tape.gradient(outputs, inputs)
    found = np.zeros_like(x) if gradient is None else gradient.numpy()
    return np.broadcast_to(np.asarray(outputs, np.float32), x.shape), np.asarray(found, np.float32)


def nominal(method: Callable[[], Any]) -> Arguments:
    """The original's min() or max() as a record; nothing where it fails, as quantized_hswish's min() does."""
    try:
        return {method.__name__: float(np.array(method()))}
    except AttributeError:
        return {}


def arrays_of(kind: str, arguments: Arguments) -> dict[str, np.ndarray]:
    """INPUT/what -> array for all inputs; ValueError with the reason where the original gives no number."""
    arrays: dict[str, np.ndarray] = {}
    draws = kind in RANDOM_IN_TRAINING or arguments.get("use_stochastic_rounding")
    for name, x in INPUTS.items():
        y, g = answer(getattr(quantizers, kind)(**arguments), x, False)
        turned, _ = answer(getattr(quantizers, kind)(**arguments), x[::-1], False)
        if not np.allclose(turned[::-1], y, atol=1e-6, rtol=0):
            raise ValueError("the original's answer hangs on the place of a value in the array")
        arrays[f"{name}/y"], arrays[f"{name}/g"] = y, g
        if not draws:
            also, slope = answer(getattr(quantizers, kind)(**arguments), x, True)
            if not (np.array_equal(y, also) and np.array_equal(g, slope)):
                arrays[f"{name}/ytrain"], arrays[f"{name}/gtrain"] = also, slope
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("the original's answer is not finite")
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("quantizer_fuzz"))
    given = parser.parse_args()
    draw, entries, left_out = Draw(given.seed), [], []
    stored: dict[str, np.ndarray] = dict(INPUTS)
    seen: set[str] = set()
    while len(entries) < given.count:
        kind, arguments = draw.quantizer()
        text = text_of(kind, arguments)
        if text in seen:
            continue
        seen.add(text)
        try:
            arrays = arrays_of(kind, arguments)
        except Exception as refusal:  # whatever the original raises is a reason to have no entry
            left_out.append({"quantizer": text, "why": f"{type(refusal).__name__}: {refusal}"[:200]})
            continue
        made = getattr(quantizers, kind)(**arguments)
        identity = f"r{len(entries):03d}"
        entries.append({"id": identity, "quantizer": text, "source": "0.9.0", "stochastic": False,
                        **nominal(made.min), **nominal(made.max),
                        "arrays": [f"{identity}/{name}" for name in arrays]})
        stored.update({f"{identity}/{name}": array for name, array in arrays.items()})
    np.savez_compressed(given.output.with_suffix(".npz"), **stored)
    record = {"what": "outputs and gradients of random quantizers of the original QKeras 0.9.0",
              "tensorflow": tf.__version__, "numpy": np.__version__, "seed": given.seed,
              "entries": entries, "left_out": left_out}
    given.output.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
