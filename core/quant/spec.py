"""Quantizer strings: QKeras's grammar, read without `eval`, and the arguments each kind takes.

`parse("quantized_bits(6,0,alpha=1)")` gives a QuantizerSpec; `str()` of it gives the shortest
string with the same meaning. Names, order and defaults of the arguments are those of QKeras 0.9.0
(`quantized_linear`: QKeras at 78ea90f).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from core.errors import QuantizerError

Value = bool | int | float | str | None

_NOISE: dict[str, Value] = {"qnoise_factor": 1.0, "var_name": None, "use_ste": True, "use_variables": False}

#: kind -> argument names in positional order with their defaults
KINDS: Mapping[str, Mapping[str, Value]] = MappingProxyType(
    {
        "quantized_bits": {
            "bits": 8, "integer": 0, "symmetric": 0, "keep_negative": True, "alpha": None,
            "use_stochastic_rounding": False, "scale_axis": None, **_NOISE,
        },
        "quantized_linear": {
            "bits": 8, "integer": 0, "symmetric": 1, "keep_negative": True, "alpha": None,
            "use_stochastic_rounding": False, "scale_axis": None,
            "qnoise_factor": 1.0, "var_name": None, "use_variables": False,
        },
        "quantized_relu": {
            "bits": 8, "integer": 0, "use_sigmoid": 0, "negative_slope": 0.0, "use_stochastic_rounding": False,
            "relu_upper_bound": None, "is_quantized_clip": True, **_NOISE,
        },
        "quantized_ulaw": {"bits": 8, "integer": 0, "symmetric": 0, "u": 255.0},
        "quantized_tanh": {"bits": 8, "use_stochastic_rounding": False, "symmetric": False, "use_real_tanh": False},
        "quantized_sigmoid": {
            "bits": 8, "symmetric": False, "use_real_sigmoid": False, "use_stochastic_rounding": False,
        },
        "quantized_hswish": {
            "bits": 8, "integer": 0, "symmetric": 0, "alpha": None, "use_stochastic_rounding": False,
            "scale_axis": None, **_NOISE, "relu_shift": 3, "relu_upper_bound": 6,
        },
        "quantized_po2": {
            "bits": 8, "max_value": None, "use_stochastic_rounding": False, "quadratic_approximation": False,
            "log2_rounding": "rnd", **_NOISE,
        },
        "quantized_relu_po2": {
            "bits": 8, "max_value": None, "negative_slope": 0, "use_stochastic_rounding": False,
            "quadratic_approximation": False, "log2_rounding": "rnd", **_NOISE,
        },
        "binary": {"use_01": False, "alpha": None, "use_stochastic_rounding": False},
        "stochastic_binary": {"alpha": None, "temperature": 6.0, "use_real_sigmoid": True},
        "ternary": {"alpha": None, "threshold": None, "use_stochastic_rounding": False, "number_of_unrolls": 5},
        "stochastic_ternary": {
            "alpha": None, "threshold": None, "temperature": 8.0, "use_real_sigmoid": True, "number_of_unrolls": 5,
        },
        "bernoulli": {"alpha": None, "temperature": 6.0, "use_real_sigmoid": True},
    }
)

#: parameter types on which QKeras silently replaces alpha=None by 'auto_po2'
SCALED_PARAMETERS = frozenset({"kernel", "recurrent_kernel", "depthwise", "pointwise"})


#: a longer text is no quantizer; the parser of Python is never given one
MAX_TEXT = 1000


class QuantizerSpec:
    """A quantizer kind with all its arguments; immutable and hashable.

    Args:
        kind: a key of KINDS.
        arguments: values by name; those left out take QKeras's defaults.

    Raises:
        QuantizerError: unknown kind or argument, or a value out of its range.
    """

    __slots__ = ("arguments", "kind")

    kind: str
    arguments: Mapping[str, Value]

    def __init__(self, kind: str, arguments: Mapping[str, Value] | None = None) -> None:
        defaults = KINDS.get(kind)
        if defaults is None:
            raise QuantizerError(
                f"unknown quantizer {kind!r}", remedy=f"Use one of: {', '.join(sorted(KINDS))}"
            )
        given = dict(arguments or {})
        unknown = sorted(set(given) - set(defaults))
        if unknown:
            raise QuantizerError(
                f"{kind} has no argument {unknown[0]!r}", remedy=f"It takes: {', '.join(defaults)}"
            )
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "arguments", MappingProxyType({**defaults, **given}))
        _check(self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a QuantizerSpec does not change; use replace()")

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Value = None) -> Any:
        """The argument's value, or `default` where this kind has no such argument."""
        return self.arguments.get(name, default)

    def replace(self, **arguments: Value) -> QuantizerSpec:
        """A copy with some arguments changed."""
        return QuantizerSpec(self.kind, {**self.arguments, **arguments})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantizerSpec) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, tuple[tuple[str, Value], ...]]:
        return self.kind, tuple(self.arguments.items())

    def __reduce__(self) -> tuple[Any, ...]:
        return QuantizerSpec, (self.kind, dict(self.arguments))

    def __repr__(self) -> str:
        return f"QuantizerSpec({str(self)!r})"

    def __str__(self) -> str:
        shown = []
        positional = True
        for name, default in KINDS[self.kind].items():
            value = self.arguments[name]
            if positional and name in ("bits", "integer", "symmetric"):
                if name == "symmetric" and value == default:
                    positional = False
                    continue
                shown.append(_format(int(value) if name == "symmetric" else value))  # type: ignore[arg-type]
                continue
            positional = False
            if value != default:
                shown.append(f"{name}={_format(value)}")
        return f"{self.kind}({','.join(shown)})"


def _format(value: Value) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    return repr(value)


def _check(spec: QuantizerSpec) -> None:
    bits = spec.get("bits")
    if bits is not None and not (isinstance(bits, (int, float)) and 1 <= bits <= 32 and bits == int(bits)):
        raise QuantizerError(f"{spec.kind} cannot have bits={bits!r}", remedy="Give a whole number from 1 to 32")
    integer = spec.get("integer")
    if integer is not None and not (isinstance(integer, (int, float)) and -32 <= integer <= 32):
        raise QuantizerError(f"{spec.kind} cannot have integer={integer!r}", remedy="Give a number from -32 to 32")
    symmetric = spec.get("symmetric")
    if symmetric is not None and symmetric not in (0, 1):
        raise QuantizerError(f"{spec.kind} cannot have symmetric={symmetric!r}", remedy="Give 0 or 1")
    alpha = spec.get("alpha")
    if isinstance(alpha, str) and alpha not in ("auto", "auto_po2"):
        raise QuantizerError(
            f"{spec.kind} cannot have alpha={alpha!r}", remedy="Use None, a number, 'auto' or 'auto_po2'"
        )
    if isinstance(alpha, (int, float)) and not isinstance(alpha, bool) and alpha <= 0:
        raise QuantizerError(f"{spec.kind} cannot have alpha={alpha!r}", remedy="A scale must be above 0")


@lru_cache(maxsize=4096)
def parse(text: str) -> QuantizerSpec:
    """Read a QKeras quantizer string such as "quantized_relu(6,0)" or "ternary".

    Only literal arguments are taken; nothing is evaluated.

    Raises:
        QuantizerError: the text is not a quantizer string, or the quantizer is unknown.
    """
    bad = QuantizerError(
        f"{text!r} is not a quantizer", remedy="Write it as in QKeras, for example quantized_bits(6,0,alpha=1)"
    )
    if len(text) > MAX_TEXT:
        raise QuantizerError(f"{text[:40]!r}... is not a quantizer", remedy=bad.remedy)
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise bad from None
    if isinstance(node, ast.Name):
        return QuantizerSpec(node.id)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise bad
    kind = node.func.id
    names = list(KINDS.get(kind, ()))
    if names and len(node.args) > len(names):
        raise QuantizerError(f"{kind} takes at most {len(names)} arguments", remedy=f"They are: {', '.join(names)}")
    arguments: dict[str, Value] = {}
    try:
        for name, argument in zip(names, node.args, strict=False):
            arguments[name] = _literal(argument)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in arguments:
                raise bad
            arguments[keyword.arg] = _literal(keyword.value)
    except (ValueError, TypeError, RecursionError):
        raise bad from None
    return QuantizerSpec(kind, arguments)


def _literal(node: ast.expr) -> Value:
    value = ast.literal_eval(node)
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError(value)
    return value


def in_force(spec: QuantizerSpec, parameter: str) -> QuantizerSpec:
    """The spec as QKeras really applies it to a parameter type.

    QKeras turns `alpha=None` of a kernel into 'auto_po2' (and symmetric); biases and outputs keep it.
    """
    if parameter in SCALED_PARAMETERS and "alpha" in spec.arguments and spec["alpha"] is None:
        changed: dict[str, Value] = {"alpha": "auto_po2"}
        if "symmetric" in spec.arguments:
            changed["symmetric"] = 1
        return spec.replace(**changed)
    return spec
