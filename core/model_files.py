"""Keras model files opened without Keras: `.keras` archives and `.h5` / `.hdf5` files.

Nothing of the file is believed: sizes are bounded before anything is unpacked, names may not leave the
archive, and HDF5 links to other files are refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from core import guard
from core.errors import ModelFileError
from core.files import open_regular, sha256_of
from core.npz import ALWAYS, MAX_RATIO, unpacks_too_far

#: largest description and largest unpacked file that are accepted, in bytes
MAX_CONFIG = 8 * 2**20
MAX_UNPACKED = 4 * 2**30
MAX_MEMBERS = 4096
#: most layers of a model, and most variables and groups of its weights
MAX_LAYERS, MAX_OBJECTS = 10_000, 100_000
_LIMITS = f"{MAX_UNPACKED // 2**30} GiB, or {MAX_RATIO} times its size and {ALWAYS // 2**20} MiB,"
_SAVE_AGAIN = "Save the model again with Keras (model.save('name.keras'))"
#: Keras 3 writes "layers"; the first versions of the format in Keras 2 wrote the other
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")

#: (name of the variable as stored, values); the name is empty where the file only numbers them
Variable = tuple[str, NDArray[Any]]


@dataclass(frozen=True)
class StoredModel:
    """A model file's description and weights, not interpreted.

    `config` is Keras's configuration of the whole model; `weights` maps a layer name to its variables in
    the order stored; `sha256` is that of the file.
    """

    config: dict[str, Any]
    keras_version: str
    sha256: str
    weights: dict[str, list[Variable]] = field(default_factory=dict)


def open_model(path: Path, weights: bool = True) -> StoredModel:
    """Read a model file's description and, if asked, its weights.

    Raises:
        ModelFileError: the file is missing, damaged, foreign, or unreasonably large.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"there is no model file {path}", remedy="Check the path")
    if path.is_dir():
        raise ModelFileError(f"{path.name} is a folder", "SavedModel folders hold compiled code", _SAVE_AGAIN)
    try:
        with open_regular(path) as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            reader = _read_archive
        elif start == b"\x89HDF\r\n\x1a\n":
            reader = _read_hdf5
        else:
            raise ModelFileError(f"{path.name} is not a Keras model file",
                                 "it is neither a .keras archive nor an HDF5 file", _SAVE_AGAIN)
        digest = sha256_of(path)
        config, version, found = reader(path, digest, weights)
        return StoredModel(config, version, digest, found)
    except ModelFileError:
        raise
    except PermissionError:
        raise ModelFileError(f"{path.name} may not be read", remedy="Change its permissions") from None
    except Exception as error:  # damaged zip and HDF5 files make their readers raise nearly anything
        raise ModelFileError(f"{path.name} is damaged", reason(error), _SAVE_AGAIN) from error


def reason(error: Exception) -> str:
    """A reader's error as the cause in a sentence; what Python says of a wrong structure tells a user nothing."""
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str) and " " not in error.args[0]:
        return f"its description lacks {error.args[0]!r}"
    if isinstance(error, KeyError | IndexError | TypeError | AttributeError | re.error):
        return "its description is not one that Keras writes"
    return (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".:")


def _read_archive(path: Path, digest: str, weights: bool) -> tuple[dict[str, Any], str, dict[str, list[Variable]]]:
    with zipfile.ZipFile(path) as archive:
        check_members(archive, path.name, path.stat().st_size)
        names = set(archive.namelist())
        if "config.json" not in names or "model.weights.h5" not in names:
            raise ModelFileError(f"{path.name} is not a Keras model file",
                                 "the archive lacks config.json or model.weights.h5", _SAVE_AGAIN)
        config = _json(_bounded(archive, "config.json", path.name), path.name)
        metadata = _json(_bounded(archive, "metadata.json", path.name), path.name) if "metadata.json" in names else {}
        found = {}
        _examine(path, digest)
        with archive.open("model.weights.h5") as member:  # checked even where the values are not wanted
            data = io.BytesIO(member.read(MAX_UNPACKED))
        with h5py.File(data, "r") as stored:
            check_hdf5(stored, path.name, len(data.getbuffer()))
            if weights:
                found = _archive_weights(stored, config)
    return config, str(metadata.get("keras_version", "")), found


def _examine(path: Path, digest: str) -> None:
    """Refuse a file whose HDF5 part another process could not read."""
    if reason := guard.examine(path, digest):
        raise ModelFileError(f"{path.name} is refused", reason, _SAVE_AGAIN)


def check_members(archive: zipfile.ZipFile, name: str, stored: int) -> None:
    """Refuse an archive of `stored` bytes with members outside it, too many of them, or that unpacks to too much."""
    members = archive.infolist()
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or re.match(r"[A-Za-z]:", member.filename):
            raise ModelFileError(f"{name} is refused", f"it would write outside its folder ({member.filename!r})",
                                 _SAVE_AGAIN)
    claimed = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or unpacks_too_far(claimed, stored, MAX_UNPACKED):
        raise ModelFileError(f"{name} is refused", f"it unpacks to more than {_LIMITS} or {MAX_MEMBERS} files",
                             _SAVE_AGAIN)


def _bounded(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    if archive.getinfo(member).file_size > MAX_CONFIG:
        raise ModelFileError(f"{name} is refused", f"its {member} is larger than {MAX_CONFIG // 2**20} MiB",
                             _SAVE_AGAIN)
    with archive.open(member) as file:
        return file.read(MAX_CONFIG)


def _json(text: bytes | str, name: str) -> dict[str, Any]:
    if len(text) > MAX_CONFIG:
        raise ModelFileError(f"{name} is refused", f"its description is larger than {MAX_CONFIG // 2**20} MiB",
                             _SAVE_AGAIN)
    try:
        text = text.encode() if isinstance(text, str) else text
        value = json.loads(text, parse_int=_whole)
        if b"\\ud" in text.lower():  # half of a character, which no file and no window could show
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ModelFileError(f"{name} is damaged", "its description is not JSON", _SAVE_AGAIN) from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{name} is not a Keras model file", "its description is not that of a model", _SAVE_AGAIN)
    return value


def _whole(text: str) -> int:
    """A whole number that fits 64 bits: no argument of a layer is larger."""
    value = int(text)
    if abs(value) >= 2**63:
        raise ValueError(text)
    return value


def check_hdf5(stored: h5py.Group, name: str, size: int) -> None:
    """Refuse links, data kept elsewhere, and more declared data than a file of `size` bytes may hold."""
    claimed = 0
    for data in _datasets(stored, name, set()):
        claimed += int(data.size or 0) * data.dtype.itemsize
        if unpacks_too_far(claimed, size, MAX_UNPACKED):
            raise ModelFileError(f"{name} is refused", f"its weights claim more than {_LIMITS} of memory", _SAVE_AGAIN)


def _datasets(group: h5py.Group, name: str, seen: set[int], depth: int = 0) -> Iterator[h5py.Dataset]:
    if depth > 64:
        raise ModelFileError(f"{name} is refused", "its weights are nested too deeply", _SAVE_AGAIN)
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ModelFileError(f"{name} is refused", "its weights are links", _SAVE_AGAIN)
        item = group[key]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen or len(seen) > MAX_OBJECTS:  # a circle, or the same values claimed again and again
            raise ModelFileError(f"{name} is refused", "its weights are linked to one another, or too many",
                                 _SAVE_AGAIN)
        seen.add(address)
        if isinstance(item, h5py.Group):
            yield from _datasets(item, name, seen, depth + 1)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ModelFileError(f"{name} is refused", "its weights lie in other files", _SAVE_AGAIN)
            yield item


def _archive_weights(stored: h5py.File, config: dict[str, Any]) -> dict[str, list[Variable]]:
    """Variables by layer name. Files written before the names were stored are matched by class and order."""
    container = next((stored[key] for key in _CONTAINERS if key in stored), None)
    if container is None:
        return {}
    by_order = _container_names(config)
    found = {}
    for key in container:
        variables = container[key].get("vars")
        name = variables.attrs.get("name") if variables is not None else None
        found[_text(name or by_order.get(key, key))] = [("", data[()]) for data in _in_order(container[key])]
    return found


def _in_order(group: h5py.Group) -> list[h5py.Dataset]:
    """A layer's datasets: its own first, then those of the objects it holds; random states left out."""
    own = group.get("vars", {})
    found = [own[key] for key in sorted(own, key=lambda key: (len(key), key)) if isinstance(own[key], h5py.Dataset)]
    held = ["layers"] if "layers" in group else group  # of a nested model, not its optimizer and metrics
    for key in sorted(held, key=lambda key: (key != "forward_layer", key)):  # a Bidirectional's forward half first
        if key not in ("vars", "seed_generator") and isinstance(group[key], h5py.Group):
            found += _in_order(group[key])
    return found


def _container_names(config: dict[str, Any]) -> dict[str, str]:
    """Keras numbers a model's layers by class ("dense", "dense_1", ...): that name -> layer name."""
    inner = config.get("config")
    layers = inner.get("layers", []) if isinstance(inner, dict) else inner
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for layer in layers if isinstance(layers, list) else []:
        if config.get("class_name") == "Sequential" and layer.get("class_name") == "InputLayer":
            continue
        stem = snake_case(str(layer.get("class_name")))
        number = counts[stem]
        counts[stem] += 1
        own = layer.get("config") or {}
        names[f"{stem}_{number}" if number else stem] = str(layer.get("name") or own.get("name") or stem)
    return names


def snake_case(name: str) -> str:
    """Keras's spelling of a class name in variable paths: BatchNormalization -> batch_normalization."""
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()


@contextmanager
def hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file opened for reading, after another process has read it and after `check_hdf5`."""
    with _checked(path, sha256_of(path)) as stored:
        yield stored


@contextmanager
def _checked(path: Path, digest: str) -> Iterator[h5py.File]:
    _examine(path, digest)
    with h5py.File(path, "r") as stored:
        check_hdf5(stored, path.name, path.stat().st_size)
        yield stored


def _read_hdf5(path: Path, digest: str, weights: bool) -> tuple[dict[str, Any], str, dict[str, list[Variable]]]:
    with _checked(path, digest) as stored:
        if "model_config" not in stored.attrs:
            what = "it holds weights without the model" if "layers" in stored or "layer_names" in stored.attrs else (
                "it is an HDF5 file of another kind")
            raise ModelFileError(f"{path.name} is not a Keras model file", what, _SAVE_AGAIN)
        config = _json(_text(stored.attrs["model_config"]), path.name)
        group = stored.get("model_weights")
        found = layer_variables(group) if weights and group is not None else {}
        return config, _text(stored.attrs.get("keras_version", "")), found


def layer_variables(group: h5py.Group) -> dict[str, list[Variable]]:
    """Variables by layer of a group of weights, in the order stored."""
    return {layer: [(name, group[layer][name][()]) for name in _names(group[layer], "weight_names")
                    if "seed_generator" not in name] for layer in _names(group, "layer_names")}


def _text(value: Any) -> str:
    """A text of HDF5; UnicodeError where it is none."""
    text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
    text.encode("utf-8")
    return text


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; long ones are stored in numbered pieces."""
    if attribute in group.attrs:
        pieces = [group.attrs[attribute]]
    else:
        pieces = []
        while f"{attribute}{len(pieces)}" in group.attrs:
            pieces.append(group.attrs[f"{attribute}{len(pieces)}"])
    names = [_text(name) for piece in pieces for name in np.asarray(piece).tolist()]
    if len(names) > MAX_LAYERS:
        raise ValueError(f"it lists more than {MAX_LAYERS} names")
    return list(dict.fromkeys(names))
