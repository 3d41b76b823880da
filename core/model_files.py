"""Keras model files opened without Keras: `.keras` archives and `.h5` / `.hdf5` files.

Nothing of the file is believed: sizes are bounded before anything is unpacked, names may not leave the
archive, and HDF5 links to other files are refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from core.errors import ModelFileError
from core.files import sha256_of

#: largest description and largest unpacked file that are accepted, in bytes
MAX_CONFIG = 64 * 2**20
MAX_UNPACKED = 4 * 2**30
MAX_MEMBERS = 4096
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
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK"):
            config, version, found = _read_archive(path, weights)
        elif start == b"\x89HDF\r\n\x1a\n":
            config, version, found = _read_hdf5(path, weights)
        else:
            raise ModelFileError(f"{path.name} is not a Keras model file",
                                 "it is neither a .keras archive nor an HDF5 file", _SAVE_AGAIN)
        return StoredModel(config, version, sha256_of(path), found)
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


def _read_archive(path: Path, weights: bool) -> tuple[dict[str, Any], str, dict[str, list[Variable]]]:
    with zipfile.ZipFile(path) as archive:
        check_members(archive, path.name)
        names = set(archive.namelist())
        if "config.json" not in names or "model.weights.h5" not in names:
            raise ModelFileError(f"{path.name} is not a Keras model file",
                                 "the archive lacks config.json or model.weights.h5", _SAVE_AGAIN)
        config = _json(_bounded(archive, "config.json", path.name), path.name)
        metadata = _json(_bounded(archive, "metadata.json", path.name), path.name) if "metadata.json" in names else {}
        found = {}
        with archive.open("model.weights.h5") as member:  # checked even where the values are not wanted
            data = io.BytesIO(member.read(MAX_UNPACKED))
        with h5py.File(data, "r") as stored:
            check_hdf5(stored, path.name)
            if weights:
                found = _archive_weights(stored, config)
    return config, str(metadata.get("keras_version", "")), found


def check_members(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an archive with members outside it, too many of them, or more than MAX_UNPACKED in all."""
    members = archive.infolist()
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or re.match(r"[A-Za-z]:", member.filename):
            raise ModelFileError(f"{name} is refused", f"it would write outside its folder ({member.filename!r})",
                                 _SAVE_AGAIN)
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED:
        raise ModelFileError(f"{name} is refused", f"it unpacks to more than {MAX_UNPACKED // 2**30} GiB or "
                             f"{MAX_MEMBERS} files", _SAVE_AGAIN)


def _bounded(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    if archive.getinfo(member).file_size > MAX_CONFIG:
        raise ModelFileError(f"{name} is refused", f"its {member} is larger than {MAX_CONFIG // 2**20} MiB",
                             _SAVE_AGAIN)
    with archive.open(member) as file:
        return file.read(MAX_CONFIG)


def _json(text: bytes | str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelFileError(f"{name} is damaged", "its description is not JSON", _SAVE_AGAIN) from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{name} is not a Keras model file", "its description is not that of a model", _SAVE_AGAIN)
    return value


def check_hdf5(stored: h5py.Group, name: str) -> None:
    """Refuse links out of the file, data kept elsewhere, and more than MAX_UNPACKED of declared data."""
    left = MAX_UNPACKED
    for data in _datasets(stored, name):
        left -= int(data.size or 0) * data.dtype.itemsize
        if left < 0:
            raise ModelFileError(f"{name} is refused", f"its weights claim more than {MAX_UNPACKED // 2**30} GiB",
                                 _SAVE_AGAIN)


def _datasets(group: h5py.Group, name: str, depth: int = 0) -> Iterator[h5py.Dataset]:
    if depth > 64:
        raise ModelFileError(f"{name} is refused", "its weights are nested too deeply", _SAVE_AGAIN)
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ModelFileError(f"{name} is refused", "its weights are links", _SAVE_AGAIN)
        item = group[key]
        if isinstance(item, h5py.Group):
            yield from _datasets(item, name, depth + 1)
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
        found[str(name or by_order.get(key, key))] = [("", data[()]) for data in _in_order(container[key])]
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
    for layer in layers if isinstance(layers, list) else []:
        if config.get("class_name") == "Sequential" and layer.get("class_name") == "InputLayer":
            continue
        stem = snake_case(str(layer.get("class_name")))
        number = sum(1 for key in names if key == stem or re.fullmatch(rf"{re.escape(stem)}_\d+", key))
        own = layer.get("config") or {}
        names[f"{stem}_{number}" if number else stem] = str(layer.get("name") or own.get("name") or stem)
    return names


def snake_case(name: str) -> str:
    """Keras's spelling of a class name in variable paths: BatchNormalization -> batch_normalization."""
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()


@contextmanager
def hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file opened for reading, after `check_hdf5`."""
    with h5py.File(path, "r") as stored:
        check_hdf5(stored, path.name)
        yield stored


def _read_hdf5(path: Path, weights: bool) -> tuple[dict[str, Any], str, dict[str, list[Variable]]]:
    with hdf5(path) as stored:
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
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; long ones are stored in numbered pieces."""
    if attribute in group.attrs:
        pieces = [group.attrs[attribute]]
    else:
        pieces = []
        while f"{attribute}{len(pieces)}" in group.attrs:
            pieces.append(group.attrs[f"{attribute}{len(pieces)}"])
    return [_text(name) for piece in pieces for name in np.asarray(piece).tolist()]
