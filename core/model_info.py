"""What is known of a model's layers without running it: plain values, no TensorFlow, no Qt."""

from __future__ import annotations

from typing import Any

import msgspec

#: weight parameters a recipe may quantize, by layer class (QKeras's parameter types)
PARAMETERS: dict[str, tuple[str, ...]] = {
    "Dense": ("kernel", "bias"),
    "EinsumDense": ("kernel", "bias"),
    "Conv1D": ("kernel", "bias"),
    "Conv2D": ("kernel", "bias"),
    "Conv1DTranspose": ("kernel", "bias"),
    "Conv2DTranspose": ("kernel", "bias"),
    "DepthwiseConv2D": ("depthwise", "bias"),
    "SeparableConv1D": ("depthwise", "pointwise", "bias"),
    "SeparableConv2D": ("depthwise", "pointwise", "bias"),
    "SimpleRNN": ("kernel", "recurrent_kernel", "bias"),
    "LSTM": ("kernel", "recurrent_kernel", "bias"),
    "GRU": ("kernel", "recurrent_kernel", "bias"),
    "Bidirectional": ("kernel", "recurrent_kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "mean", "variance"),
    "DenseBatchnorm": ("kernel", "bias"),
    "Conv1DBatchnorm": ("kernel", "bias"),
    "Conv2DBatchnorm": ("kernel", "bias"),
    "DepthwiseConv2DBatchnorm": ("depthwise", "bias"),
}
#: layers with the BatchNormalization behind them folded in: they have a bias whether or not it is stored
FOLDED = frozenset({"DenseBatchnorm", "Conv1DBatchnorm", "Conv2DBatchnorm", "DepthwiseConv2DBatchnorm"})
_POOLS = frozenset({"AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D"})
_GATED = frozenset({"LSTM", "GRU", "Bidirectional"})
#: what a recipe may quantize that is no weight: the factor 1 / area of a pooling, states and functions of a cell
EXTRAS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_POOLS, ("average",)),
    "SimpleRNN": ("state", "activation"),
    **dict.fromkeys(_GATED, ("state", "activation", "recurrent_activation")),
}
#: classes whose output a recipe may quantize beside those of PARAMETERS
ACTIVATIONS = frozenset({"Activation", "ReLU", "LeakyReLU", "Add", "Subtract", "Multiply", "Average", "Maximum",
                         "Minimum", "Concatenate", "Dot", "PReLU", "ELU"}) | _POOLS
#: classes that compute nothing: values are moved, copied, dropped or chosen as they are
MOVING = frozenset({
    "InputLayer", "QInput", "Flatten", "Reshape", "Permute", "RepeatVector", "Dropout", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "ActivityRegularization", "Identity", "AdaptiveActivation",
    *(f"{kind}{n}D" for kind in ("MaxPooling", "GlobalMaxPooling", "UpSampling", "ZeroPadding", "Cropping")
      for n in (1, 2, 3)),
})


class WeightInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One weight tensor: its parameter type ("kernel", "bias", ...), shape, and range of its values."""

    parameter: str
    shape: tuple[int, ...]
    minimum: float | None = None
    maximum: float | None = None

    @property
    def size(self) -> int:
        """Number of values."""
        product = 1
        for side in self.shape:
            product *= side
        return product


class LayerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of a model, shapes without the batch axis.

    `class_name` is the Keras name ("Dense"); `inbound` names the layers that feed it, in order;
    `config` holds the Keras arguments that fix its arithmetic (units, strides, padding, activation,
    use_bias, ...); `macs` counts multiply-accumulates for one event.
    """

    name: str
    class_name: str
    inbound: tuple[str, ...] = ()
    input_shapes: tuple[tuple[int | None, ...], ...] = ()
    output_shape: tuple[int | None, ...] = ()
    weights: tuple[WeightInfo, ...] = ()
    macs: int = 0
    config: dict[str, Any] = {}

    @property
    def parameters(self) -> int:
        """Number of weight values, trainable or not."""
        return sum(weight.size for weight in self.weights)

    @property
    def activation(self) -> str:
        """Name of the activation applied inside the layer; "linear" when there is none."""
        if self.class_name == "ReLU":
            return "relu"
        if self.class_name == "Softmax":
            return "softmax"
        return str(self.config.get("activation") or "linear")

    @property
    def is_relu(self) -> bool:
        """True where the output is that of a ReLU."""
        return self.activation == "relu"

    @property
    def quantizable(self) -> tuple[str, ...]:
        """Parameter types a recipe may give a quantizer to, "output" last."""
        held = {weight.parameter for weight in self.weights}
        folded = self.class_name in FOLDED
        own = tuple(p for p in PARAMETERS.get(self.class_name, ()) if p in held or (folded and p == "bias"))
        own += EXTRAS.get(self.class_name, ())
        has_output = self.class_name in PARAMETERS or self.class_name in ACTIVATIONS
        return (*own, "output") if has_output and self.activation != "softmax" else own

    @property
    def float_reason(self) -> str:
        """Why nothing of this layer can be quantized; empty where something can, or where it only moves values."""
        if self.quantizable or self.class_name in MOVING:
            return ""
        if self.activation == "softmax":
            return "a softmax stays in float, or is left out on export"
        return f"there is no quantized form of {self.class_name}"

    def weight(self, parameter: str) -> WeightInfo | None:
        """The weight of that parameter type, or None."""
        return next((w for w in self.weights if w.parameter == parameter), None)


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model as a list of layers in topological order, InputLayers included.

    `source_hash` is the SHA-256 of the file it came from; `notes` lists what could not be understood.
    """

    name: str
    layers: tuple[LayerInfo, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: str = ""
    source_hash: str = ""
    keras_version: str = ""
    notes: tuple[str, ...] = ()

    def find(self, name: str) -> LayerInfo | None:
        """The layer of that name, or None."""
        return next((layer for layer in self.layers if layer.name == name), None)

    @property
    def layer_names(self) -> list[str]:
        """Names in topological order."""
        return [layer.name for layer in self.layers]

    @property
    def parameters(self) -> int:
        """Number of weight values."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one event."""
        return sum(layer.macs for layer in self.layers)
