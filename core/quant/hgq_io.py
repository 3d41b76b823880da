"""Models of HGQ2 with their per-weight widths, as models of our layers; needs the package `hgq2` to read them.

HGQ2 quantizes a layer's input, kernel and bias. The kernel and bias become ours with a width for each value;
the input gets a layer of its own, for HGQ2 rounds and overflows in other ways than QKeras's quantizers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from core.errors import ModelFileError
from core.model_files import open_model, reason
from core.model_safety import named_objects, refuse_code, unknown_reason
from core.quant.layer_base import register
from core.quant.layers import QUANTIZED_CLASSES
from core.quant.qkeras_names import of_hgq

#: HGQ2's layers that have a form here
LAYERS = ("QDense", "QConv1D", "QConv2D", "QEinsumDense")
_DROPPED = ("ebops_factor", "kq_conf", "bq_conf", "iq_conf", "oq_conf", "beta0", "enable_ebops", "enable_iq",
            "enable_oq", "parallelization_factor", "quantization_config", "lora_rank", "kernel_initializer",
            "bias_initializer", "kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint",
            "activity_regularizer")
_ROUNDING = {"TRN": keras.ops.floor, "RND": lambda x: keras.ops.floor(x + 0.5), "RND_CONV": keras.ops.round}
_OVERFLOW = ("WRAP", "SAT", "SAT_SYM")


@register
class QFixedPoint(keras.layers.Layer):
    """Fixed point with sign, integer and fraction bits for each value, or shared along axes of size 1.

    Args:
        shape: of the widths, the batch axis of size 1 included.
        rounding: "TRN" (down), "RND" (half up) or "RND_CONV" (half to even).
        overflow: "WRAP", "SAT" or "SAT_SYM".
    """

    def __init__(self, shape: Any, rounding: str = "RND", overflow: str = "WRAP", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if rounding not in _ROUNDING or overflow not in _OVERFLOW:
            raise ValueError(f"rounding {rounding!r} and overflow {overflow!r} are not both known")
        self.shape, self.rounding, self.overflow = tuple(shape), rounding, overflow

    def build(self, input_shape: Any) -> None:
        """The widths."""
        self.sign, self.integer, self.fraction = (
            self.add_weight(name=name, shape=self.shape, initializer="zeros", trainable=False)
            for name in ("sign", "integer", "fraction"))

    def call(self, inputs: Any) -> Any:
        """Rounded and brought into range; 0 where a value has no bits."""
        k, i, f = (keras.ops.cast(keras.ops.convert_to_tensor(v), inputs.dtype)
                   for v in (self.sign, self.integer, self.fraction))
        codes = _ROUNDING[self.rounding](inputs * 2.0**f)
        span = 2.0 ** (i + f)
        high = span - 1.0
        low = -k * (high if self.overflow == "SAT_SYM" else span)
        if self.overflow == "WRAP":
            held = keras.ops.floor((codes - low) / (span * (1.0 + k)))
            codes = codes - held * span * (1.0 + k)
        else:
            codes = keras.ops.clip(codes, low, high)
        return keras.ops.where(k + i + f > 0, codes * 2.0**-f, keras.ops.zeros_like(codes))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "shape": list(self.shape), "rounding": self.rounding,
                "overflow": self.overflow}

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape


def read_hgq(path: Path | str) -> keras.Model:
    """The model of an HGQ2 `.keras` file, of our layers, computing the same.

    Raises:
        ModelFileError: hgq2 is not installed, the file is damaged, or it holds what has no form here.
    """
    path = Path(path)
    stored = open_model(path, weights=False)
    refuse_code(stored.config, path.name)
    _refuse(stored.config, path.name)
    try:
        import hgq  # noqa: F401  registers its classes
    except ImportError:
        raise ModelFileError(f"{path.name} was made with HGQ2, which is not installed",
                             remedy="Install it with: python -m pip install hgq2") from None
    _refuse(stored.config, path.name, registered=True)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises nearly anything for a file it does not like
        raise ModelFileError(f"Keras cannot load {path.name}", reason(error),
                             "Save the model again with HGQ2 0.2") from error
    return converted(model)


def _refuse(config: dict[str, Any], name: str, registered: bool = False) -> None:
    """Nothing but Keras's classes and those HGQ2 registers may be built; the second can be known once it is there."""
    for item in named_objects(config):
        doubt = unknown_reason(item)
        own = f"hgq>{item['class_name']}"
        if of_hgq(item) and item.get("registered_name") == own:
            known = not registered or keras.saving.get_registered_object(own) is not None
            doubt = "" if known else f"HGQ2 has no class {item['class_name']}"
        if doubt:
            raise ModelFileError(f"{name} cannot be loaded", doubt, "Use layers of Keras and HGQ2 alone")


def converted(model: Any) -> keras.Model:
    """A model of HGQ2's layers as one of ours; raises ModelFileError for a layer that has no form here."""
    ours: dict[str, tuple[Any, Any]] = {}

    def clone(layer: Any) -> keras.Layer:
        if not type(layer).__module__.startswith("hgq."):
            return layer.__class__.from_config(layer.get_config())
        made = _layer(layer)
        ours[layer.name] = made, _input(layer)
        return made

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        quantized = ours.get(layer.name, (None, None))[1]
        if quantized is not None:
            args = (quantized(args[0]), *args[1:])
        return layer(*args, **kwargs)

    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    built = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.name in ours:
            _fill(layer, *ours[layer.name])
        else:
            built.get_layer(layer.name).set_weights(layer.get_weights())
    return built


def _layer(layer: Any) -> Any:
    name = type(layer).__name__
    if name not in LAYERS or getattr(layer, "enable_oq", False):
        raise ModelFileError(f"layer {layer.name!r} ({name} of HGQ2) cannot be read",
                             "it has no form here" if name not in LAYERS else "its output has a quantizer",
                             f"Use {', '.join(LAYERS)} with quantized inputs")
    config = {key: value for key, value in layer.get_config().items() if key not in _DROPPED}
    held = ["kernel"] if layer.bias is None else ["kernel", "bias"]
    cls: Any = QUANTIZED_CLASSES[name.removeprefix("Q")]
    return cls.from_config({**config, "quantizers": dict.fromkeys(held, "quantized_bits(8,0,alpha=1)"),
                            "widths": dict.fromkeys(held, "weight")})


def _input(layer: Any) -> QFixedPoint | None:
    if not layer.enable_iq:
        return None
    inner = layer.iq.quantizer
    return QFixedPoint(tuple(np.shape(inner.kif[1])), inner.round_mode, inner.overflow_mode,
                       name=f"{layer.name}_input")


def _fill(layer: Any, made: Any, quantized: QFixedPoint | None) -> None:
    """Values as HGQ2 quantizes them, and the widths it keeps: ours then leave them as they are."""
    for parameter, values, widths in (("kernel", layer.qkernel, layer.kq), ("bias", layer.qbias, layer.bq)):
        if values is None:
            continue
        exact = np.asarray(keras.ops.convert_to_numpy(values))
        i, f = (np.broadcast_to(np.asarray(keras.ops.convert_to_numpy(v), np.float32), exact.shape)
                for v in widths.quantizer.kif[1:])
        getattr(made, made.slots[parameter]).assign(exact)
        # one bit means a bare sign in QKeras, -1 or 1; two hold what HGQ2 means by none and by one
        getattr(made, f"{parameter}_bits").assign(np.maximum(i + f + 1.0, 2.0))
        getattr(made, f"{parameter}_integer").assign(i)
    if quantized is not None:
        quantized.set_weights([np.broadcast_to(np.asarray(keras.ops.convert_to_numpy(v)), quantized.shape)
                               for v in layer.iq.quantizer.kif])
