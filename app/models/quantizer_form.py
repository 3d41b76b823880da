"""A quantizer taken apart into fields that can be edited one by one, in one cell or in many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.session import Session
from core.errors import QuantizerError
from core.quant.edits import Key
from core.quant.spec import KINDS, QuantizerSpec, Value, parse

FLOAT = "float"
KIND = "kind"
#: arguments that most quantizers have, in the order they are shown; the others follow when asked for
COMMON = ("bits", "integer", "alpha", "symmetric", "keep_negative")
#: QKeras takes these for its own bookkeeping; they change no value
_SILENT = frozenset({"var_name", "use_variables", "use_ste"})
_CHOICES = {"alpha": ("None", "1", "auto", "auto_po2"), "log2_rounding": ("rnd", "floor")}
_RANGES = {"bits": (1, 32), "integer": (-16, 16), "number_of_unrolls": (1, 100), "relu_shift": (0, 16)}
_TIPS = {
    "bits": "Width of one value, its sign included",
    "integer": "Bits before the point, the sign not counted",
    "alpha": "Scale: a number, or found from the weights (auto, auto_po2 as a power of two); None is 1, but"
             " auto_po2 for a kernel",
    "symmetric": "As many negative values as positive ones",
    "keep_negative": "Off: negative values become zero and no sign is stored",
    "max_value": "Largest power of two; None: no limit",
    "threshold": "Values nearer to zero than this become zero; None: found from the weights",
}


@dataclass(frozen=True)
class Field:
    """One argument: `type` is "int", "bool", "choice" (free text allowed) or "text"; `value` what it is now."""

    name: str
    type: str
    value: Value
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()
    tip: str = ""
    common: bool = True


def kinds() -> list[str]:
    """What a quantizer may be; float last."""
    return [*KINDS, FLOAT]


def fields(text: str | None) -> list[Field]:
    """The arguments of a quantizer string; none of float."""
    if not text:
        return []
    spec = parse(text)
    names = [name for name in COMMON if name in spec.arguments]
    names += [name for name in spec.arguments if name not in COMMON and name not in _SILENT]
    return [_field(spec, name) for name in names]


def _field(spec: QuantizerSpec, name: str) -> Field:
    value, default = spec[name], KINDS[spec.kind][name]
    tip, common = _TIPS.get(name, ""), name in COMMON
    if name in _CHOICES:
        return Field(name, "choice", value, choices=_CHOICES[name], tip=tip, common=common)
    if name in _RANGES:
        low, high = _RANGES[name]
        return Field(name, "int", int(value), low, high, tip=tip, common=common)
    if isinstance(default, bool) or name in ("symmetric", "use_sigmoid"):
        return Field(name, "bool", bool(value), tip=tip, common=common)
    return Field(name, "text", value, tip=tip, common=common)


def read_value(text: str) -> Value:
    """What a person wrote for an argument: None, a number, or a word."""
    plain = text.strip().strip("'\"")
    if plain.lower() in ("", "none"):
        return None
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return plain


def changes(session: Session, keys: Iterable[Key], name: str, value: Value) -> dict[Key, str]:
    """What setting one field of these cells changes; cells whose quantizer has no such argument stay.

    `name` KIND takes another kind, which keeps the arguments that it shares with the one before.

    Raises:
        QuantizerError: the value is not possible.
    """
    found = {}
    for key in keys:
        text = session.quantizer(*key)
        if name == KIND:
            found[key] = _of_kind(text, str(value))
        elif text and name in (spec := parse(text)).arguments:
            default = KINDS[spec.kind][name]
            kept = int(value) if isinstance(value, bool) and not isinstance(default, bool) else value
            found[key] = str(spec.replace(**{name: kept}))
    return {key: text for key, text in found.items() if text != (session.quantizer(*key) or "")}


def _of_kind(text: str | None, kind: str) -> str:
    if kind == FLOAT:
        return ""
    known = KINDS.get(kind)
    if known is None:
        raise QuantizerError(f"unknown quantizer {kind!r}", remedy=f"Use one of: {', '.join(sorted(KINDS))}")
    held = dict(parse(text).arguments) if text else {"alpha": 1.0 if kind == "quantized_bits" else None}
    shared = {name: value for name, value in held.items() if name in ("bits", "integer", "alpha", "keep_negative")
              and name in known}
    return str(QuantizerSpec(kind, shared))
