"""AutoQKeras's `quantization_config` and `limit` as a search space. TensorFlow-free.

`quantization_config` says for "kernel", "bias", "activation", "linear" (outputs of linear activation layers),
"recurrent_kernel", "pointwise_kernel" and "recurrent_activation" which quantizers there are, each with its bits.
`limit` says for layer classes, names or patterns of names what may be taken: (kernel, bias, output) or, of
recurrent layers, (kernel, bias, recurrent kernel, output); for an activation layer (output,). Each is a number of
bits at most, or a list of quantizers; "default" fills what is left out. A layer that no entry names stays as it is.

Where QKeras 0.9 departs from that by mistake, it is not followed: recurrent and pointwise kernels have their own
options there are (QKeras takes those of "kernel"), a layer called "kernel..." or "bias..." keeps each part's own,
a single default serves recurrent layers too, class names and "default" are no patterns of layer names, and the
last entry, not the first, limits a linear activation. Layers of one pattern are chosen for one by one, and a
ReLU stays a ReLU: of the options for its output only ReLU kinds are taken, for QKeras puts others in its place.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import SearchError
from core.model_info import ACTIVATIONS, PARAMETERS, LayerInfo, ModelInfo
from core.quant.recipe import OUTPUT, Recipe
from core.quant.spec import parse
from core.search.space import Choice, SearchSpace, fitting

Config = Mapping[str, Mapping[str, float]]
Limit = Mapping[str, Any]

DEFAULT = "default"
DEFAULT_BITS = 8
RECURRENT = frozenset({"SimpleRNN", "LSTM", "GRU", "Bidirectional"})
#: what AutoQKeras offers where nothing else is said
QUANTIZERS: dict[str, dict[str, float]] = {
    "kernel": {"binary": 1, "stochastic_binary": 1, "ternary": 2, "stochastic_ternary": 2,
               "quantized_bits(2,1,1,alpha=1.0)": 2, "quantized_bits(4,0,1)": 4, "quantized_bits(8,0,1)": 8,
               "quantized_po2(4,1)": 4},
    "bias": {"quantized_bits(4,0,1)": 4, "quantized_bits(8,3,1)": 8, "quantized_po2(4,8)": 4},
    "activation": {"binary": 1, "binary(alpha='auto_po2')": 1, "ternary": 2, "quantized_relu(3,1)": 3,
                   "quantized_relu(4,2)": 4, "quantized_relu(8,2)": 8, "quantized_relu(8,4)": 8,
                   "quantized_relu(16,8)": 16, "quantized_relu_po2(4,4)": 4},
    "linear": {"binary": 1, "ternary": 2, "quantized_bits(4,1)": 4, "quantized_bits(8,2)": 8,
               "quantized_bits(16,10)": 16, "quantized_po2(6,4)": 6},
}
#: our parameter type -> (its entries in `quantization_config`, the first there is; its place in `limit`)
_PLACES: dict[str, tuple[tuple[str, ...], int]] = {
    "kernel": (("kernel",), 0), "depthwise": (("kernel",), 0), "pointwise": (("pointwise_kernel", "kernel"), 0),
    "recurrent_kernel": (("recurrent_kernel", "kernel"), 2), "bias": (("bias",), 1),
    "activation": (("activation",), -1), "recurrent_activation": (("recurrent_activation", "activation"), -1),
    OUTPUT: (("activation",), -1),
}
_FIELDS = frozenset({"kernel", "bias", "activation", "linear", "recurrent_kernel", "pointwise_kernel",
                     "recurrent_activation"})


#: largest file of settings that is read
MAX_BYTES = 2**20


def read_file(path: Path | str) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """(quantization_config, limit) of a file, as `read_text`; raises SearchError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SearchError(f"{path.name} cannot be read as AutoQKeras's settings", str(error).splitlines()[0],
                          "Give a JSON object with quantization_config and limit") from None
    return read_text(text, path.name)


def read_text(text: str, name: str = "the text") -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """(quantization_config, limit) of a JSON object or a Python dictionary of literals with these two keys.

    A text without either key is taken as a `quantization_config`. Nothing in it is executed.

    Raises:
        SearchError: not of that form.
    """
    try:
        try:
            found = json.loads(text)
        except ValueError:
            found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise SearchError(f"{name} cannot be read as AutoQKeras's settings", str(error).splitlines()[0],
                          "Give a JSON object with quantization_config and limit") from None
    if not isinstance(found, dict):
        raise SearchError(f"{name} does not hold AutoQKeras's settings", "it is not a dictionary",
                          "Give a JSON object with quantization_config and limit")
    if not {"quantization_config", "limit"} & set(found):
        found = {"quantization_config": found}
    config, limit = found.get("quantization_config") or {}, found.get("limit") or {}
    check(config, limit)
    return config, limit


def check(config: Any, limit: Any) -> None:
    """Raise SearchError or QuantizerError for what is no `quantization_config` or no `limit`."""
    if not isinstance(config, Mapping) or not isinstance(limit, Mapping):
        raise SearchError("AutoQKeras's settings are dictionaries", remedy="Give quantization_config and limit as such")
    for field, options in config.items():
        if field not in _FIELDS or not isinstance(options, Mapping):
            raise SearchError(f"{field!r} is no part of a quantization_config",
                              remedy=f"Use: {', '.join(sorted(_FIELDS))}")
        for text, bits in options.items():
            parse(text)
            if isinstance(bits, bool) or not isinstance(bits, int | float):
                raise SearchError(f"the bits of {text} are {bits!r}", remedy="Give a number of bits")
    for name, entry in limit.items():
        for value in entry if isinstance(entry, list | tuple) else [entry]:
            known = all(isinstance(t, str) for t in value) if isinstance(value, list | tuple) else \
                isinstance(value, int | float) and not isinstance(value, bool)
            if not known:
                raise SearchError(f"the limit of {name!r} holds {value!r}",
                                  remedy="Give numbers of bits, or lists of quantizers")


def autoqkeras_space(info: ModelInfo, base: Recipe, config: Config | None = None, limit: Limit | None = None,
                     frozen: Sequence[str] = ()) -> SearchSpace:
    """The space that AutoQKeras's settings describe; everything else keeps the base recipe.

    Args:
        info: the model.
        base: what is not chosen.
        config: `quantization_config`; None or empty: AutoQKeras's own.
        limit: `limit`; None or empty: every layer, any of the quantizers.
        frozen: names of layers to leave as they are.

    Raises:
        SearchError: nothing is left to choose, an entry cannot be read, or allows no quantizer.
        QuantizerError: an option is not a quantizer.
    """
    config, limit = config or QUANTIZERS, limit or {}
    check(config, limit)
    choices = [choice for layer in info.layers if layer.name not in frozen
               for choice in _choices(layer, config, limit)]
    if not choices:
        raise SearchError("the search space is empty", "no layer is named by the limit, or has anything to choose",
                          "Name its class or a pattern of its name in the limit")
    return SearchSpace(base, tuple(choices))


def _choices(layer: LayerInfo, config: Config, limit: Limit) -> Iterator[Choice]:
    entry = _entry(layer, limit)
    if entry is None or (layer.class_name not in PARAMETERS and layer.class_name not in ACTIVATIONS):
        return
    for parameter in layer.quantizable:
        if parameter not in _PLACES:
            continue
        fields, place = _PLACES[parameter]
        if parameter == OUTPUT and layer.class_name in ACTIVATIONS and layer.activation == "linear":
            fields = ("linear",)
        offered = next((config[field] for field in fields if field in config), None)
        if offered is None or (parameter == OUTPUT and layer.class_name in RECURRENT):
            continue  # a recurrent layer's "activation" is the cell's
        texts = _allowed(layer, parameter, offered, entry[place] if entry else None)
        kept = fitting(layer, parameter, [str(parse(text)) for text in texts])
        if kept:
            yield Choice(layer.name, parameter, kept)


def _entry(layer: LayerInfo, limit: Limit) -> list[Any] | None:
    """The limits of a layer, all places filled in; [] where nothing limits it, None where it is to be left alone."""
    named = {name: value for name, value in limit.items() if name != DEFAULT}
    default = limit.get(DEFAULT, DEFAULT_BITS)
    found = _named(layer, named)
    if found is None:
        if named:
            return None
        return _filled([], default, layer) if limit else []
    return _filled(found if isinstance(found, list | tuple) else [found] * _places(layer), default, layer)


def _named(layer: LayerInfo, named: Limit) -> Any:
    """What the limit says of a layer: by its name, else the first pattern that its name begins with, else its class."""
    if layer.name in named:
        return named[layer.name]
    for pattern, value in named.items():
        try:
            if not _is_class(pattern) and re.match(pattern, layer.name):
                return value
        except re.error as error:
            raise SearchError(f"the limit's pattern {pattern!r} cannot be read", str(error),
                              "Give a class, a layer's name, or a regular expression") from None
    return named.get(layer.class_name)


def _is_class(name: str) -> bool:
    return name in PARAMETERS or name in ACTIVATIONS


def _places(layer: LayerInfo) -> int:
    return 4 if layer.class_name in RECURRENT else 3 if layer.class_name in PARAMETERS else 1


def _filled(entry: Sequence[Any], default: Any, layer: LayerInfo) -> list[Any]:
    """As many limits as a layer of that class has places; those left out are the default's, the last stays last."""
    places = _places(layer)
    defaults = list(default) if isinstance(default, list | tuple) else [default] * places
    if len(defaults) < places:  # (kernel, bias, output) for a recurrent layer: its recurrent kernel is a kernel
        defaults = [*defaults[:-1], *defaults[:1] * (places - len(defaults)), defaults[-1]] if defaults \
            else [DEFAULT_BITS] * places
    if places == 1:
        return [*entry, defaults[-1]][:1] if len(entry) < 2 else [entry[-1]]
    kept = list(entry)[:places]
    return [*kept, *defaults[len(kept):places - 1], defaults[-1]][:places]


def _allowed(layer: LayerInfo, parameter: str, offered: Mapping[str, float], bound: Any) -> list[str]:
    if bound is None:
        return list(offered)
    if isinstance(bound, list | tuple):
        known = {parse(text) for text in offered}
        foreign = next((text for text in bound if parse(text) not in known), None)
        if foreign is not None:
            raise SearchError(f"the limit of {layer.name!r} names {foreign}",
                              f"it is none of the {parameter} quantizers of the quantization_config",
                              "Add it there with its bits")
        return list(bound)
    texts = [text for text, bits in offered.items() if bits <= bound]
    if not texts:
        raise SearchError(f"the limit leaves no quantizer for the {parameter} of {layer.name!r}",
                          f"none has {bound:g} bits or fewer", "Raise the limit, or offer a narrower one")
    return texts
