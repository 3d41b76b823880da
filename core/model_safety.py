"""Which classes a model file may name. The check reads the configuration only; Keras has not seen it yet.

A Keras file is a description that Keras turns into objects by importing what it names. So only what is
listed here may be named: Keras's own layers without code or file access in them, its initializers,
regularizers, constraints and number formats, and the layers Quantiscope registers itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from core.errors import ModelFileError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: layer classes whose configuration is (or points at) code
CODE_CLASSES = frozenset({"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer",
                          "TensorFlowOpLayer", "TFOpLambda", "SlicingOpLambda"})
MODELS = frozenset({"Functional", "Sequential", "Model"})
LAYERS = _words(
    """Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D
    AveragePooling2D AveragePooling3D BatchNormalization Bidirectional Concatenate Conv1D Conv1DTranspose Conv2D
    Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D
    Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute
    RMSNormalization RNN ReLU RepeatVector Rescaling Reshape SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell
    Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract
    TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
    ZeroPadding3D"""
)
_PARTS = _words(
    """Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform
    Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm DTypePolicy FloatDTypePolicy Policy
    __keras_tensor__ __tuple__ __tensor__ __numpy__ __ellipsis__ __slice__ __bytes__ TensorShape"""
)
#: what only training needs; never built, because models are loaded without their compile settings
_TRAINING_MODULES = ("keras.optimizers", "keras.losses", "keras.metrics")
ACTIVATIONS = _words(
    """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold"""
)
#: our own registered layers
PACKAGE = "quantiscope>"
#: functions we register ourselves: those that QKeras defines otherwise than Keras
OUR_FUNCTIONS = _words("hard_sigmoid hard_tanh smooth_sigmoid smooth_tanh binary_sigmoid binary_tanh")
#: Keras classes live here; older files say keras.src.<...>, tensorflow.keras or tf_keras
_MODULE = re.compile(r"(tensorflow\.)?(keras|tf_keras)(\.[a-z0-9_.]+)?")
_OPERATIONS = ("keras.src.ops", "keras.ops")


def named_objects(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every dictionary inside a configuration that names a class, outermost first."""
    if depth > 64:
        raise ModelFileError("the model's description is nested too deeply", remedy="Save the model again with Keras")
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value
        for inner in value.values():
            yield from named_objects(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from named_objects(inner, depth + 1)


def refuse_code(config: dict[str, Any], file: str) -> None:
    """Raise ModelFileError if the configuration holds Python code or a class made to run some."""
    for item in named_objects(config):
        if item["class_name"] in CODE_CLASSES:
            kind = "Lambda" if item["class_name"] == "__lambda__" else item["class_name"]
            raise ModelFileError(
                f"{file} is refused",
                f"{_place(item)} is a {kind}, which runs code stored in or named by the file",
                "Replace it by Keras layers and save the model again",
            )


def unknown_reason(item: dict[str, Any]) -> str:
    """Why a named object is not one that may be built; empty where it may."""
    name, module = str(item["class_name"]), item.get("module")
    registered = item.get("registered_name")
    if is_ours(item):
        return ""
    if name == "function":
        function = item.get("config")
        if isinstance(function, str) and function.removeprefix(PACKAGE) in OUR_FUNCTIONS and PACKAGE in function:
            return ""
        return "" if function in ACTIVATIONS and module in (None, "builtins", "keras.activations") else (
            f"{_place(item)} uses the function {function!r}, which is not one of Keras's activations")
    if isinstance(module, str) and module.startswith(_OPERATIONS):
        return f"{_place(item)} is the bare operation {name}, which has no layer to quantize (use keras.layers)"
    if module is not None and (not isinstance(module, str) or not _MODULE.fullmatch(module)):
        return f"{_place(item)} is of the class {name} from {module}, which is not one of Keras's layers"
    if registered not in (None, name, f"Custom>{name}") and not str(registered).startswith("keras"):
        return f"{_place(item)} is of the custom class {registered}"
    if isinstance(module, str) and module.startswith(_TRAINING_MODULES):
        return ""
    if name in LAYERS or name in MODELS or name in _PARTS or _legacy_part(name):
        return ""
    return f"{_place(item)} is of the class {name}, which is not one of Keras's layers that can be loaded"


def is_ours(item: dict[str, Any]) -> bool:
    """True for a layer that Quantiscope registers itself."""
    return item.get("registered_name") == f"{PACKAGE}{item['class_name']}"


def refuse_unknown(config: dict[str, Any], file: str) -> None:
    """Raise ModelFileError unless every class the configuration names may be built."""
    refuse_code(config, file)
    for item in named_objects(config):
        if reason := unknown_reason(item):
            raise ModelFileError(f"{file} cannot be loaded", reason, "Use Keras's own layers and save the model again")


def _legacy_part(name: str) -> bool:
    """Initializers of older files, written as functions: `glorot_uniform`, `zeros`."""
    return re.sub("_", "", name).lower() in _LOWERED


_LOWERED = frozenset(name.lower() for name in _PARTS if not name.startswith("__"))


def _place(item: dict[str, Any]) -> str:
    config = item.get("config")
    name = item.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return f"layer {name!r}" if name else "a part"
