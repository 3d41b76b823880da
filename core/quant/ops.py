"""The few array operations quantizers need, on numpy arrays and on TensorFlow tensors alike.

One arithmetic serves the window (numpy), training (tensors with gradients) and run-time bit widths.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

Tensor = Any


class NumpyOps:
    """numpy; gradients do not exist here, so `stop` is the identity."""

    round = staticmethod(np.rint)
    floor = staticmethod(np.floor)
    abs = staticmethod(np.abs)
    sign = staticmethod(np.sign)
    log = staticmethod(np.log)
    exp = staticmethod(np.exp)
    sqrt = staticmethod(np.sqrt)
    tanh = staticmethod(np.tanh)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    where = staticmethod(np.where)

    @staticmethod
    def array(x: Tensor) -> Tensor:
        """A floating array: float32 unless it is float64 already."""
        x = np.asarray(x)
        return x if x.dtype == np.float64 else x.astype(np.float32)

    @staticmethod
    def like(value: Tensor, x: Tensor) -> Tensor:
        """`value` in the type of `x`."""
        return np.asarray(value, dtype=x.dtype)

    @staticmethod
    def stop(x: Tensor) -> Tensor:
        """No gradient through here."""
        return x

    @staticmethod
    def exp2(x: Tensor) -> Tensor:
        """2**x, exact for whole x; x is held to the exponents of float32."""
        return np.exp2(np.clip(x, -126.0, 127.0))

    @staticmethod
    def mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Mean over axes, kept as size 1."""
        return np.mean(x, axis=axes, keepdims=True)

    @staticmethod
    def max(x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Maximum over axes, kept as size 1."""
        return np.max(x, axis=axes, keepdims=True)

    @staticmethod
    def uniform(x: Tensor) -> Tensor:
        """Random numbers in [0, 1) of the shape of `x`."""
        return np.random.default_rng().random(x.shape, dtype=np.float32).astype(x.dtype)

    @staticmethod
    def rank(x: Tensor) -> int:
        """Number of axes."""
        return int(np.ndim(x))


class TensorFlowOps:
    """TensorFlow; looked up at first use, so that importing this module stays light."""

    #: a tf.random.Generator whose state a training stores, so that it can be continued; None: TensorFlow's own
    generator: Any = None

    def __init__(self) -> None:
        import tensorflow as tf

        self._tf = tf
        self.round, self.floor, self.abs, self.sign = tf.round, tf.floor, tf.abs, tf.sign
        self.exp, self.tanh, self.log, self.sqrt = tf.exp, tf.tanh, tf.math.log, tf.sqrt
        self.minimum, self.maximum, self.where, self.stop = tf.minimum, tf.maximum, tf.where, tf.stop_gradient

    def array(self, x: Tensor) -> Tensor:
        """A floating tensor: float32 unless it is float64 already."""
        x = self._tf.convert_to_tensor(x)
        return x if x.dtype == self._tf.float64 else self._tf.cast(x, self._tf.float32)

    def like(self, value: Tensor, x: Tensor) -> Tensor:
        """`value` in the type of `x`."""
        return self._tf.cast(value, x.dtype)

    def exp2(self, x: Tensor) -> Tensor:
        """2**x, exact for whole x (built from its exponent bits), with its gradient."""
        tf = self._tf
        whole = tf.clip_by_value(tf.round(x), -126.0, 127.0)
        if x.dtype == tf.float64:
            power = tf.bitcast((tf.cast(whole, tf.int64) + 1023) * 2**52, tf.float64)
        else:
            power = tf.bitcast((tf.cast(whole, tf.int32) + 127) * 2**23, tf.float32)
        smooth = tf.exp(np.log(2.0) * (x - tf.stop_gradient(whole)))
        return tf.where(tf.equal(x, tf.round(x)), power + tf.stop_gradient(power) * (smooth - tf.stop_gradient(smooth)),
                        tf.stop_gradient(power) * smooth)

    def mean(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Mean over axes, kept as size 1."""
        return self._tf.reduce_mean(x, axis=axes, keepdims=True)

    def max(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Maximum over axes, kept as size 1."""
        return self._tf.reduce_max(x, axis=axes, keepdims=True)

    def uniform(self, x: Tensor) -> Tensor:
        """Random numbers in [0, 1) of the shape of `x`, new at each run of a graph."""
        return self.source.uniform(self._tf.shape(x), dtype=x.dtype)

    @property
    def source(self) -> Any:
        """Where random numbers come from in this run or graph: has `uniform` and `normal`."""
        return self._tf.random if self.generator is None else self.generator

    @staticmethod
    def rank(x: Tensor) -> int:
        """Number of axes."""
        return int(x.shape.rank)


_NUMPY = NumpyOps()
_TENSORFLOW: list[TensorFlowOps] = []


def ops_for(*values: Tensor) -> Any:
    """The operations for these values: TensorFlow's where one of them is a tensor or variable."""
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        if any(isinstance(v, (tf.Tensor, tf.Variable)) or hasattr(v, "_value") for v in values):
            if not _TENSORFLOW:
                _TENSORFLOW.append(TensorFlowOps())
            return _TENSORFLOW[0]
    return _NUMPY
