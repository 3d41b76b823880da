"""Random damage to bytes, texts and JSON values; the same seed gives the same damage."""

from __future__ import annotations

import json
import random
from typing import Any

#: what a description should never hold where it expects something else
NASTY: list[Any] = [
    None,
    True,
    False,
    -1,
    0,
    1,
    2**31,
    2**62,
    10**30,
    -(10**30),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "\0",
    "../../../etc/passwd",
    "/etc/passwd",
    "Lambda",
    "__lambda__",
    "os.system",
    "\ud800",
    "ü測",
    [],
    {},
    [[]],
    [None] * 100,
    {"class_name": "Lambda", "config": {"function": ["4wEAAAA=", None, None]}},
    {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
    {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"},
    {"class_name": "Popen", "module": "subprocess", "config": {"args": "id"}, "registered_name": None},
    {"class_name": "TFSMLayer", "config": {"filepath": "/tmp"}},
    "quantized_bits(1e9,-1e9)",
    "__import__('os').system('id')",
    "quantized_bits(" * 200,
    "family:../x",
    "c" * 300,
    [[[[[[[[1]]]]]]]],
    {"a": {"b": {"c": {}}}},
]
BYTES = [
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0" * 8,
    b"\xff" * 8,
    b"PK\3\4",
    b"PK\1\2",
    b"\x89HDF\r\n\x1a\n",
    b"TREE",
    b"SNOD",
    b"HEAP",
    b"FRHP",
    b"OHDR",
    b"BTHD",
    b"\x93NUMPY",
    b"'descr': '|O'",
    b"cos\nsystem\n(S'id'\ntR.",
    b"|O8",
    b"'shape': (99999999999,)",
    b"<script>",
    b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>",
    b"1e999",
    b"nan",
    b"-",
    b"9" * 400,
    b"|" * 50,
    b"\r\n" * 20,
    b"\xef\xbb\xbf",
    b"[" * 3000,
    b"{" * 300,
    b'"' * 30,
    b",",
]


def damage(data: bytes, chance: random.Random, other: bytes = b"", most: int = 6) -> bytes:
    """A few cuts, flips, copies and foreign pieces."""
    found = bytearray(data)
    for _ in range(chance.randint(1, most)):
        at = chance.randrange(len(found) + 1)
        size = min(1 << chance.randrange(12), len(found) - at)
        kind = chance.randrange(9)
        if kind <= 2 and at < len(found):
            found[at] ^= 1 << chance.randrange(8)
        elif kind == 3 and at < len(found):
            found[at] = chance.choice((0, 1, 127, 128, 255))
        elif kind == 4:
            del found[at : at + size]
        elif kind == 5:
            found[at:at] = found[at : at + size] * chance.randint(1, 4)
        elif kind == 6:
            piece = chance.choice(BYTES)
            end = at if chance.random() < 0.5 else at + len(piece)
            found[at:end] = piece
        elif kind == 7 and other:
            start = chance.randrange(len(other))
            found[at : at + size] = other[start : start + size]
        elif kind == 8 and chance.random() < 0.2:
            del found[at:]
    return bytes(found)


def rearrange(value: Any, chance: random.Random, most: int = 3) -> Any:
    """A JSON value with a few inner values replaced, copied elsewhere, taken out, renamed or wrapped deep."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.randint(1, most)):
        path = _place(value, chance)
        if not path:
            continue
        parent, key = _at(value, path[:-1]), path[-1]
        kind = chance.randrange(8)
        if kind <= 2:
            parent[key] = json.loads(json.dumps(chance.choice(NASTY)))
        elif kind == 3:
            parent[key] = json.loads(dump(_at(value, _place(value, chance)), b"0"))
        elif kind == 4:
            del parent[key]
        elif kind == 5 and isinstance(parent, dict):
            parent[str(chance.choice(NASTY))[:40]] = parent.pop(key)
        elif kind == 6 and isinstance(parent, list):
            parent.extend([parent[key]] * chance.choice((1, 3, 300)))
        elif kind == 7:
            inner = parent[key]
            for _ in range(chance.choice((1, 5, 70, 250))):
                inner = [inner] if chance.random() < 0.5 else {"config": inner}
            parent[key] = inner
    return value


def dump(value: Any, otherwise: bytes = b"[" * 5000) -> bytes:
    """JSON of a value; something else for one that is nested too deep to be written."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return otherwise


def _place(value: Any, chance: random.Random) -> tuple[Any, ...]:
    """Path to some value inside a JSON value: down from the top, as far as chance goes."""
    path: list[Any] = []
    while isinstance(value, dict | list) and value and (not path or chance.random() < 0.88):
        key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        path.append(key)
        value = value[key]
    return tuple(path)


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
