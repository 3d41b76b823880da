"""Small models of the original QKeras 0.9 (and of plain Keras 2) with their own predictions, to compare with.

    PYTHON tests/golden/make_qkeras_models.py tests/golden/qkeras_models

where PYTHON is that of the environment "qkeras" of benchmarks/_environments.py. Each model becomes NAME.h5
(architecture and weights), NAME.json (architecture alone) and NAME.npz (events x, predictions y).
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from qkeras import (
    QGRU,
    QLSTM,
    QActivation,
    QAdaptiveActivation,
    QAveragePooling2D,
    QBatchNormalization,
    QBidirectional,
    QConv1D,
    QConv2D,
    QConv2DBatchnorm,
    QConv2DTranspose,
    QDense,
    QDepthwiseConv2D,
    QDepthwiseConv2DBatchnorm,
    QGlobalAveragePooling2D,
    QSeparableConv1D,
    QSeparableConv2D,
    QSimpleRNN,
    binary,
    quantized_bits,
    quantized_po2,
    quantized_relu,
    stochastic_ternary,
    ternary,
)
from tensorflow.python.ops import array_ops
from tensorflow.python.util import nest

# QKeras 0.9 asks for these two where TensorFlow 2.14 has them no more
array_ops.stack = tf.stack
nest.is_sequence = nest.is_nested
L, Input, Model = tf.keras.layers, tf.keras.Input, tf.keras.Model
B = "quantized_bits(5,1,alpha=1)"


def dense():
    x = Input((6,), name="x")
    t = QDense(5, kernel_quantizer=quantized_bits(4, 0, alpha=1), bias_quantizer=quantized_bits(6, 1), name="fc1")(x)
    t = QActivation("quantized_relu(6,2)", name="act1")(t)
    t = QDense(4, kernel_quantizer="quantized_bits(4,0)", bias_quantizer=B, activation="quantized_relu(5,1)",
               name="fc2")(t)
    t = QBatchNormalization(gamma_quantizer=B, beta_quantizer=B, mean_quantizer=B, variance_quantizer=B, name="bn")(t)
    t = QActivation(quantized_relu(4, 1, negative_slope=0.25), name="act2")(t)
    t = QDense(4, kernel_quantizer=ternary(alpha=1), use_bias=False, activation="quantized_tanh(5)", name="fc3")(t)
    t = QDense(3, kernel_quantizer=binary(alpha="auto_po2"), bias_quantizer=quantized_po2(4), name="out")(t)
    return Model(x, L.Activation("softmax", name="softmax")(t))


def sequential():
    return tf.keras.Sequential([
        Input((6,)), QDense(4, kernel_quantizer=stochastic_ternary(alpha=1), bias_quantizer=B, name="a"),
        L.Dropout(0.1, name="drop"), QActivation("quantized_bits(6,2,alpha=1)", name="b"), L.Dense(2, name="c")])


def pictures():
    x = Input((8, 8, 2), name="x")
    t = QConv2D(3, 3, kernel_quantizer=B, bias_quantizer=B, activation=quantized_relu(5, 2), name="conv")(x)
    t = QDepthwiseConv2D(3, depthwise_quantizer=B, bias_quantizer=B, name="depth")(t)
    t = QSeparableConv2D(4, 2, depthwise_quantizer=B, pointwise_quantizer=B, bias_quantizer=B, name="sep")(t)
    t = QConv2DTranspose(3, 2, kernel_quantizer=B, bias_quantizer=B, name="up")(t)
    t = QAveragePooling2D(2, average_quantizer="quantized_bits(6,0,alpha=1)", activation="quantized_relu(6,2)",
                          name="pool")(t)
    t = QGlobalAveragePooling2D(average_quantizer="quantized_bits(6,0,alpha=1)", name="mean")(t)
    return Model(x, QDense(2, kernel_quantizer=B, bias_quantizer=B, name="out")(t))


def folded():
    x = Input((6, 6, 2), name="x")
    t = QConv2DBatchnorm(3, 3, kernel_quantizer=B, bias_quantizer=B, activation="quantized_relu(6,2)", name="conv")(x)
    t = QDepthwiseConv2DBatchnorm(2, depthwise_quantizer=B, bias_quantizer=B, name="depth")(t)
    t = QAdaptiveActivation("quantized_relu", 6, name="adapt")(t)
    return Model(x, QDense(2, kernel_quantizer=B, bias_quantizer=B, name="out")(L.Flatten(name="flat")(t)))


def series():
    x = Input((7, 3), name="x")
    t = QConv1D(3, 2, kernel_quantizer=B, bias_quantizer=B, name="conv")(x)
    t = QSeparableConv1D(3, 2, depthwise_quantizer=B, pointwise_quantizer=B, bias_quantizer=B, name="sep")(t)
    k = {"kernel_quantizer": B, "recurrent_quantizer": B, "bias_quantizer": B, "state_quantizer": B}
    t = QSimpleRNN(3, return_sequences=True, activation="quantized_tanh(6)", **k, name="rnn")(t)
    t = QLSTM(3, return_sequences=True, activation="quantized_tanh(6)", recurrent_activation="quantized_sigmoid(6)",
              **k, name="lstm")(t)
    t = QBidirectional(QGRU(2, return_sequences=True, activation="tanh", recurrent_activation="hard_sigmoid", **k,
                            name="inner"), name="both")(t)
    t = QGRU(2, activation="quantized_tanh(6)", recurrent_activation="hard_sigmoid", **k, name="gru")(t)
    return Model(x, QDense(2, kernel_quantizer=B, bias_quantizer=B, name="out")(t))


def plain():
    x = Input((6, 6, 2), name="x")
    t = L.BatchNormalization(name="bn")(L.Conv2D(3, 3, activation="relu", name="conv")(x))
    return Model(x, L.Dense(2, activation="softmax", name="out")(L.Flatten(name="flat")(t)))


def main(folder: Path) -> None:
    for make in (dense, sequential, pictures, folded, series, plain):
        tf.keras.utils.set_random_seed(4)
        model = make()
        random = np.random.default_rng(5)
        weights = []
        for variable, value in zip(model.weights, model.get_weights(), strict=False):
            moves = "iteration" in variable.name or value.dtype.kind == "i"
            weights.append(value if moves else random.uniform(0.1, 1.2, value.shape) * random.choice(
                [1.0] if "variance" in variable.name or "gamma" in variable.name else [-1.0, 1.0], value.shape))
        model.set_weights(weights)
        x = random.normal(0, 1.5, (40, *model.input_shape[1:])).astype(np.float32)
        model.save(folder / f"{make.__name__}.h5")
        (folder / f"{make.__name__}.json").write_text(model.to_json())
        np.savez_compressed(folder / f"{make.__name__}.npz", x=x, y=model.predict(x, verbose=0))
        print(make.__name__, len(model.layers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
