"""What is fuzzed: each target makes a hostile input from a seed and gives it to a reader of Quantiscope.

A reader may give a value or raise one of `core.errors`; everything else is a finding (see `sandbox`).
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

import resources
from tests.fuzz.mutate import damage, dump, rearrange

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "core" / "fixtures" / "schema1"
JETS = resources.path("models/jet_tagger.keras")


@dataclass(frozen=True)
class Target:
    """One reader: `make(chance)` gives the bytes of an input, `read(data, folder)` gives them to the reader.

    `share` is its part of all inputs; `most_mib` how far the memory of the process may grow over all of them;
    `coverage` lets atheris, where it is installed, seek inputs for it too.
    """

    name: str
    make: Callable[[random.Random], bytes]
    read: Callable[[bytes, Path], Any]
    share: float
    most_mib: int = 512
    coverage: bool = False


# -- models ----------------------------------------------------------------------------------------------


def _members(path: Path = JETS) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _h5_model() -> bytes:
    """The bundled model's weights under a description as HDF5 files of Keras have it."""
    described = json.loads(_members()["config.json"])
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file, h5py.File(io.BytesIO(_members()["model.weights.h5"]), "r") as stored:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(described), "2.14.0"
        group = file.create_group("model_weights")
        names = [layer["config"]["name"] for layer in described["config"]["layers"]]
        group.attrs["layer_names"] = [name.encode() for name in names]
        dense = iter(sorted(key for key in stored["layers"] if key.startswith("dense")))
        for name in names:
            layer = group.create_group(name)
            held = stored["layers"][next(dense)]["vars"] if name.startswith(("fc", "output")) else {}
            layer.attrs["weight_names"] = [
                f"{name}/{kind}:0".encode() for kind, _ in zip(("kernel", "bias"), held, strict=False)
            ]
            for kind, key in zip(("kernel", "bias"), held, strict=False):
                layer[f"{name}/{kind}:0"] = held[key][()]
    return buffer.getvalue()


ARCHIVE = JETS.read_bytes()
MEMBERS = _members()
DESCRIPTION = json.loads(MEMBERS["config.json"])
H5 = _h5_model()


def _description(chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return damage(MEMBERS["config.json"], chance)
    return dump(rearrange(DESCRIPTION, chance))


def _archive_with_description(chance: random.Random) -> bytes:
    return _zipped({**MEMBERS, "config.json": _description(chance)})


def _archive_with_weights(chance: random.Random) -> bytes:
    return _zipped({**MEMBERS, "model.weights.h5": damage(MEMBERS["model.weights.h5"], chance, H5, 3)})


def _archive_with_members(chance: random.Random) -> bytes:
    """Names that lead out, members that claim what they do not hold, bombs, doubles."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in MEMBERS.items():
            if chance.random() < 0.9:
                archive.writestr(name, data)
        for _ in range(chance.randint(1, 3)):
            name = chance.choice(
                ("../x", "/tmp/x", "C:\\x", "a/../../x", "config.json", "x" * 300, "assets/x", "\\\\host\\x")
            )
            archive.writestr(name, bytes(chance.choice((0, 10, 10**6, 3 * 10**7))))
    data = bytearray(buffer.getvalue())
    if chance.random() < 0.5:  # sizes in the directory that are not those of the members
        at = data.rfind(b"PK\1\2")
        struct.pack_into("<I", data, at + chance.choice((20, 24)), chance.choice((0, 1, 2**31, 2**32 - 1)))
    return bytes(data)


def read_model(data: bytes, folder: Path) -> None:
    """As the window does, then as the worker does before Keras sees the file."""
    from core import model_safety
    from core.loading import stored_recipe
    from core.model_files import open_model
    from core.model_io import inspect_model, read_weights
    from core.model_sizes import refuse_oversized

    path = folder / "model.keras"
    path.write_bytes(data)
    info = inspect_model(path)
    msgspec.json.encode(info)
    read_weights(path)
    stored_recipe(path)
    model_safety.refuse_unknown(open_model(path, weights=False).config, path.name)
    refuse_oversized(info, path.name)


def read_description(data: bytes, folder: Path) -> None:
    """A description alone, without the archive around it."""
    from core.model_files import StoredModel, _json
    from core.model_io import _inspected
    from core.model_sizes import refuse_oversized
    from core.quant.qkeras_names import is_qkeras, recipe_of

    stored = StoredModel(_json(data, "model.keras"), "3.15", "0" * 64)
    info = _inspected(stored, folder / "model.keras")
    refuse_oversized(info, "model.keras")
    if is_qkeras(stored.config):
        recipe_of(stored.config, "model")


def build_model(data: bytes, folder: Path) -> None:
    """The worker's own: Keras builds what came through the checks."""
    from core.model_io import load_model

    path = folder / "model.keras"
    path.write_bytes(data)
    load_model(path)


# -- datasets --------------------------------------------------------------------------------------------

_X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
_Y = np.arange(60) % 3


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _csv() -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["a", "b", "c", "d", "label"])
    writer.writerows([*row, label] for row, label in zip(_X.tolist(), _Y.tolist(), strict=True))
    return text.getvalue().encode()


def _h5_data() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("X", data=_X, chunks=(20, 4), compression="gzip")
        file["y"] = _Y
        file["class_names"] = ["a", "b", "c"]
    return buffer.getvalue()


NPZ = _zipped({"X.npy": _npy(_X), "y.npy": _npy(_Y), "class_names.npy": _npy(np.array(["a", "b", "c"]))})
CSV, H5_DATA = _csv(), _h5_data()
_HEADERS = [
    ("'<f4'", "'|O'"),
    ("'<f4'", "'<f8'"),
    ("'<f4'", "'|V0'"),
    ("'<f4'", "'<U0'"),
    ("'<f4'", "'<M8[s]'"),
    ("'<i8'", "'<u8'"),
    ("'<i8'", "[('a', '<i8')]"),
    ("(60, 4)", "(6000000000, 4)"),
    ("(60, 4)", "(0, 99999999999)"),
    ("(60, 4)", "(60, -4)"),
    ("(60,)", "(1,)"),
    ("(60,)", "()"),
    ("(60,)", "(60, 1, 1)"),
    ("False", "True"),
    ("'<i8'", "'<f8'"),
    ("'<i8'", "'<c16'"),
    ("(60,)", "(7, 8)"),
    ("'shape'", "'shade'"),
    ("{", "{" * 300),
]


def _npz_with_headers(chance: random.Random) -> bytes:
    """A sound archive of arrays whose headers lie."""
    members = {"X.npy": _npy(_X), "y.npy": _npy(_Y)}
    name = chance.choice(list(members))
    data = members[name]
    if chance.random() < 0.6:
        old, new = chance.choice(_HEADERS)
        data = data.replace(old.encode(), new.encode()[:9000], 1)
    else:
        data = damage(data[:120], chance) + data[120:]
    members[name] = data
    if chance.random() < 0.1:
        members["task.npy"] = _npy(np.array(chance.choice(("flow", "vae", "regression", "magic", "x" * 999))))
    return _zipped(members)


def _npz_of_several(chance: random.Random) -> bytes:
    """Arrays of several inputs and outputs: some lie, go missing, come twice or bear another's name."""
    held = {"X_a": _npy(_X), "X_b": _npy(_X[:, :2]), "y_kind": _npy(_Y), "y_e": _npy(_X[:, 0]),
            "task_e": _npy(np.array("regression")), "class_names_kind": _npy(np.array(["a", "b", "c"]))}
    parts = {key.replace("_", f"_{part}_", 1): data for key, data in held.items() if key[0] in "Xy"
             for part in ("train", "test")}
    held = chance.choice((held, {**held, **parts}, parts))
    for _ in range(chance.randrange(3)):
        name, other = chance.choice(list(held)), chance.choice(list(held))
        if chance.random() < 0.4:
            held[name] = held[other]
        elif chance.random() < 0.5:
            held[chance.choice(("X", "y", "X_", "y_test_", "task", "task_kind", "Y_E", name.upper(), "X_train"))] = \
                held.pop(name)
        else:
            old, new = chance.choice(_HEADERS)
            held[name] = held[name].replace(old.encode(), new.encode()[:9000], 1)
    return _zipped({f"{name}.npy": data for name, data in held.items()})


def _dataset(ending: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from core.dataset import load_dataset

        path = folder / f"data{ending}"
        path.write_bytes(data)
        load_dataset(path)

    return read


def read_npy_pair(data: bytes, folder: Path) -> None:
    """Features and labels in two files: the first byte says which is hostile."""
    from core.dataset import load_dataset

    hostile, other = ("x_d.npy", "y_d.npy") if data[:1] < b"\x80" else ("y_d.npy", "x_d.npy")
    (folder / hostile).write_bytes(data[1:])
    (folder / other).write_bytes(_npy(_Y if other.startswith("y") else _X))
    load_dataset(folder / "x_d.npy")


# -- recipes, quantizers, settings -----------------------------------------------------------------------

RECIPE = json.loads((FIXTURE / "candidates" / "c0001" / "recipe.json").read_text())
AUTOQKERAS = {
    "quantization_config": {
        "kernel": {"binary": 1, "quantized_bits(4,0,1)": 4},
        "bias": {"quantized_bits(8,3,1)": 8},
        "activation": {"quantized_relu(6,2)": 6},
        "linear": {"binary": 1},
    },
    "limit": {"Dense": [4, 8, 6], "Activation": [6], "fc.*": [["binary"], 8, 6]},
}
_INFO: dict[str, Any] = {}


def _info() -> Any:
    if not _INFO:
        from core.model_io import inspect_model

        _INFO["jets"] = inspect_model(JETS)
    return _INFO["jets"]


def read_recipe(data: bytes, folder: Path) -> None:
    """Read, checked against the model, priced."""
    from core.energy import price
    from core.quant.recipe import Recipe

    recipe = Recipe.from_json(data)
    recipe.check(_info())
    price(_info(), recipe)


def read_quantizer(data: bytes, folder: Path) -> None:
    """A quantizer as a user writes it."""
    from core.quant.quantizers import Quantizer
    from core.quant.spec import in_force, parse

    spec = parse(data.decode("utf-8", "replace"))
    Quantizer(in_force(spec, "kernel"))
    assert parse(str(spec)) == spec


_KIND = (
    "quantized_bits",
    "quantized_relu",
    "quantized_po2",
    "ternary",
    "binary",
    "bernoulli",
    "quantized_tanh",
    "os.system",
)
_VALUE = (
    "1",
    "8",
    "0",
    "-1",
    "1e9",
    "None",
    "'auto'",
    "'auto_po2'",
    "True",
    "alpha=1",
    "alpha='auto'",
    "bits=6",
    "2**99",
    "[1]",
    "lambda: 1",
    "__import__('os')",
    "(" * 50,
    "x" * 2000,
    "-" * 600 + "1",
    "'" * 3,
    "*a",
    "**b",
    "1,",
    "nan",
    "1j",
)


def _quantizer(chance: random.Random) -> bytes:
    text = f"{chance.choice(_KIND)}({','.join(chance.choice(_VALUE) for _ in range(chance.randrange(5)))})".encode()
    return damage(text, chance, most=2) if chance.random() < 0.5 else text


def read_settings(data: bytes, folder: Path) -> None:
    """AutoQKeras's settings, and the space they make."""
    from core.quant.recipe import Recipe
    from core.search.autoqkeras import autoqkeras_space, read_file

    path = folder / "settings.json"
    path.write_bytes(data)
    config, limit = read_file(path)
    autoqkeras_space(_info(), Recipe(), config, limit)


# -- projects --------------------------------------------------------------------------------------------

_PROJECT_FILES = [
    "project.json",
    "candidates/c0001/metrics.json",
    "candidates/c0001/recipe.json",
    "candidates/c0001/roc.npz",
    "candidates/c0001/weights.npz",
    "float/metrics.json",
    "exports/c0002-rtl/report.json",
    "lock",
]


def _project_file(chance: random.Random) -> bytes:
    """The number of a file of a project in one byte, then what it holds."""
    number = chance.randrange(len(_PROJECT_FILES))
    path = FIXTURE / _PROJECT_FILES[number]
    data = path.read_bytes() if path.exists() else b'{"pid": 12}'
    if path.suffix == ".json" and chance.random() < 0.8:
        return bytes([number]) + dump(rearrange(json.loads(data), chance))
    return bytes([number]) + damage(data, chance)


def read_project(data: bytes, folder: Path) -> None:
    """A project with one hostile file: opened, listed, read, changed, closed."""
    from core.npz import read_npz
    from core.project import Project

    place = folder / "p.qscope"
    if not place.exists():
        shutil.copytree(FIXTURE, place, ignore=shutil.ignore_patterns("study.sqlite3"))
    changed = place / _PROJECT_FILES[sum(data[:1]) % len(_PROJECT_FILES)]
    try:
        changed.write_bytes(data[1:])
        with Project.open(place) as project:
            for candidate in project.candidates():
                msgspec.json.encode(candidate)
                try:
                    read_npz(project.weights_path(candidate.id))
                except ValueError:
                    assert changed.name == "weights.npz"
            msgspec.json.encode(project.exports())
            project.new_candidate_id()
            _ = project.float_evaluation
            _ = project.info
            project.check_sources()
            project.save_settings({"n": 1})
    finally:
        for name in (*_PROJECT_FILES, "project.json.schema1", "candidates/c0002/metrics.json"):
            (place / name).unlink(missing_ok=True)
            if (FIXTURE / name).exists():
                shutil.copyfile(FIXTURE / name, place / name)


def read_arrays(data: bytes, folder: Path) -> None:
    """Weights, curves and checkpoints: a ValueError is what their readers expect."""
    from core.npz import read_npz

    with contextlib.suppress(ValueError):
        read_npz(data)


# -- what tools write ------------------------------------------------------------------------------------


#: what is known before a report is read (see `core.hls.vendors`)
_KNOWN = {"tool": "Vitis HLS", "stage": "hls", "part": "xcvu9p-flgb2104-2L-e", "clock_ns": 5.0}


def _report_files() -> list[tuple[Callable[[Path], Any], str]]:
    from tests.core.hls.test_reports import FILES

    return list(FILES)


def _report(chance: random.Random) -> bytes:
    files = _report_files()
    number = chance.randrange(len(files))
    return bytes([number]) + damage(files[number][1].encode(), chance, files[chance.randrange(len(files))][1].encode())


def read_report(data: bytes, folder: Path) -> None:
    """A report of a synthesizer, by the reader of its kind."""
    from core.hls.reports_text import to_report

    files = _report_files()
    path = folder / "report"
    path.write_bytes(data[1:])
    figures = files[sum(data[:1]) % len(files)][0](path)
    msgspec.json.encode(to_report(figures, _KNOWN))


def _report_folder(chance: random.Random) -> bytes:
    from tests.core.hls.test_reports import FOLDERS

    number = chance.randrange(len(FOLDERS))
    files = dict(FOLDERS[number][1])
    name = chance.choice(list(files))
    changed = damage(files[name].encode(), chance).decode("latin-1")
    return json.dumps([number, {**files, name: changed}]).encode()


def read_report_folder(data: bytes, folder: Path) -> None:
    """The report folder of Intel's compilers."""
    from core.hls.reports_text import to_report
    from tests.core.hls.test_reports import FOLDERS

    number, files = json.loads(data)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode("latin-1", "replace"))
    msgspec.json.encode(to_report(FOLDERS[number][0](folder), _KNOWN))


_STAT = {
    "creator": "Yosys",
    "design": {"num_cells": 12, "num_cells_by_type": {"LUT2": 3, "\\LUT6": 4, "FDRE": 5, "CARRY8": 1}},
}


def _stat(chance: random.Random) -> bytes:
    if chance.random() < 0.7:
        return b"log\n" + dump(rearrange(_STAT, chance))
    return damage(json.dumps(_STAT).encode(), chance)


def read_stat(data: bytes, folder: Path) -> None:
    """Cell counts of Yosys."""
    from core.hls.yosys import read_stat as read

    path = folder / "stat.json"
    path.write_bytes(data)
    counts = read(path)
    _ = counts.lut + counts.ff + counts.dsp + counts.bram


def _of(seed: bytes, other: bytes = b"") -> Callable[[random.Random], bytes]:
    return lambda chance: damage(seed, chance, other)


def _json_of(value: Any) -> Callable[[random.Random], bytes]:
    text = json.dumps(value).encode()
    return lambda chance: (
        damage(text, chance) if chance.random() < 0.2 else dump(rearrange(value, chance))
    )


TARGETS = (
    Target("model description", _description, read_description, 0.18, coverage=True),
    Target(".keras with a hostile description", _archive_with_description, read_model, 0.03),
    Target(".keras, damaged", _of(ARCHIVE, NPZ), read_model, 0.03),
    Target(".keras with hostile members", _archive_with_members, read_model, 0.01),
    Target(".keras with damaged weights", _archive_with_weights, read_model, 0.01, 2048),
    Target(".h5 model, damaged", _of(H5, MEMBERS["model.weights.h5"]), read_model, 0.01, 2048),
    Target("dataset .npz, damaged", _of(NPZ, ARCHIVE), _dataset(".npz"), 0.05, 1536),
    Target("dataset .npz, headers that lie", _npz_with_headers, _dataset(".npz"), 0.10, 1536),
    Target("dataset .npz of several arrays", _npz_of_several, _dataset(".npz"), 0.03, 1536),
    Target(
        "dataset .npy pair",
        lambda c: bytes([c.randrange(256)]) + damage(_npy(_X if c.random() < 0.5 else _Y), c),
        read_npy_pair,
        0.06,
        1536,
        coverage=True,
    ),
    Target("dataset .csv", _of(CSV), _dataset(".csv"), 0.04, coverage=True),
    Target("dataset .h5, damaged", _of(H5_DATA, H5), _dataset(".h5"), 0.01, 2048),
    Target("recipe", _json_of(RECIPE), read_recipe, 0.10, coverage=True),
    Target("quantizer", _quantizer, read_quantizer, 0.10, coverage=True),
    Target("AutoQKeras settings", _json_of(AUTOQKERAS), read_settings, 0.06),
    Target("project folder", _project_file, read_project, 0.01),
    Target(
        "weights, curves, checkpoints", _of((FIXTURE / "candidates/c0001/roc.npz").read_bytes(), NPZ), read_arrays, 0.06
    ),
    Target("tool reports", _report, read_report, 0.08, coverage=True),
    Target("tool report folders", _report_folder, read_report_folder, 0.02),
    Target("Yosys statistics", _stat, read_stat, 0.04, coverage=True),
)
#: needs TensorFlow: apart, and fewer
BUILD = Target("Keras builds a hostile description", _archive_with_description, build_model, 0.0, 4096)
BY_NAME = {target.name: target for target in (*TARGETS, BUILD)}
__all__ = ["BUILD", "BY_NAME", "TARGETS", "Target"]
