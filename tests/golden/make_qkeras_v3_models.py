"""Small models of qkeras-v3 as `.keras` files with their own predictions, to compare with.

    PYTHON tests/golden/make_qkeras_v3_models.py tests/golden/qkeras_models

where PYTHON is that of the environment "qkeras-v3" of benchmarks/_environments.py.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from qkeras import (
    QGRU,
    QActivation,
    QBatchNormalization,
    QConv2D,
    QDense,
    QDepthwiseConv2D,
    QSimpleRNN,
    quantized_bits,
    quantized_relu,
    ternary,
)

B = "quantized_bits(5,1,alpha=1)"


def v3_dense():
    x = keras.Input((6,), name="x")
    t = QDense(5, kernel_quantizer=quantized_bits(4, 0, alpha=1), bias_quantizer=B, name="fc1")(x)
    t = QActivation("quantized_relu(6,2)", name="act1")(t)
    t = QDense(4, kernel_quantizer="quantized_bits(4,0)", bias_quantizer=B, activation=quantized_relu(5, 1),
               name="fc2")(t)
    t = QBatchNormalization(gamma_quantizer=B, beta_quantizer=B, mean_quantizer=B, variance_quantizer=B, name="bn")(t)
    return keras.Model(x, QDense(3, kernel_quantizer=ternary(alpha=1), bias_quantizer=B, name="out")(t))


def v3_pictures():
    x = keras.Input((6, 6, 2), name="x")
    t = QConv2D(3, 3, kernel_quantizer=B, bias_quantizer=B, activation=quantized_relu(5, 2), name="conv")(x)
    t = QDepthwiseConv2D(3, depthwise_quantizer=B, bias_quantizer=B, name="depth")(t)
    t = keras.layers.Flatten(name="flat")(t)
    return keras.Model(x, QDense(2, kernel_quantizer=B, bias_quantizer=B, name="out")(t))


def v3_series():
    x = keras.Input((5, 3), name="x")
    k = {"kernel_quantizer": B, "recurrent_quantizer": B, "bias_quantizer": B, "state_quantizer": B}
    t = QSimpleRNN(3, return_sequences=True, activation="quantized_tanh(6)", **k, name="rnn")(x)
    t = QGRU(2, activation="quantized_tanh(6)", recurrent_activation="quantized_sigmoid(6)", **k, name="gru")(t)
    return keras.Model(x, QDense(2, kernel_quantizer=B, bias_quantizer=B, name="out")(t))


def main(folder: Path) -> None:
    for make in (v3_dense, v3_pictures, v3_series):
        keras.utils.set_random_seed(4)
        model = make()
        random = np.random.default_rng(5)
        for variable in model.weights:
            size = random.uniform(0.1, 1.2, variable.shape)
            sign = 1.0 if any(word in variable.path for word in ("variance", "gamma")) else random.choice(
                [-1.0, 1.0], variable.shape)
            variable.assign(size * sign)
        x = random.normal(0, 1.5, (40, *model.input_shape[1:])).astype(np.float32)
        model.save(folder / f"{make.__name__}.keras")
        np.savez_compressed(folder / f"{make.__name__}.npz", x=x, y=model.predict(x, verbose=0))
        print(make.__name__, len(model.layers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
