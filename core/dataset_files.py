"""Dataset files: npz, a pair of npy, HDF5 and CSV, read without ever unpickling anything."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from core import guard
from core.arrays import Arrays, several
from core.errors import DatasetError
from core.files import open_regular, sha256_of
from core.npz import MAX_MEMBERS, MAX_RATIO, members, read_npy, unpacks_too_far

#: accepted spellings, compared in lower case
_FEATURES = ("x", "features", "data")
_LABELS = ("y", "labels", "label", "target", "targets", "class")
_PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_KNOWN = "Use .npz, .npy (a pair), .h5, .hdf5 or .csv"
#: what a model may be trained for, see `core.dataset.Dataset`; the last three tell signal from background
ANOMALY_TASKS = ("reconstruction", "vae", "flow")
TASKS = ("classification", "regression", *ANOMALY_TASKS)
#: the task of a dataset with labels for several outputs, each with a task of its own
SEVERAL = "several"
#: a file may not claim more than this once unpacked, in bytes
MAX_BYTES = 64 * 2**30
#: what any file may claim, however small it is: images that are nearly empty compress well
ALWAYS = 2**30
#: bytes that a byte of text takes while it is read
CSV_GROWTH = 32
#: labels go from 0 to this at most
MAX_LABEL = 65535


@dataclass(frozen=True)
class Head:
    """One of several outputs: its name in the model, what it is trained for, the names of its classes, and the weight
    of its loss in the sum of all.
    """

    name: str
    task: str = TASKS[0]
    class_names: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass
class RawData:
    """What a file holds: features (events, ...) float32 and labels, not yet split or scaled.

    Labels are as `core.dataset.Dataset` has them for the task. `x`, `y` are all events, or the training events
    where the file has a test part of its own. Features of several inputs and labels of several outputs are
    `Several`, and there is then one of `heads` for each output.
    """

    x: Arrays
    y: Arrays
    x_val: Arrays | None = None
    y_val: Arrays | None = None
    x_test: Arrays | None = None
    y_test: Arrays | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    provenance: str = ""
    task: str = "classification"
    heads: tuple[Head, ...] = ()


def read_file(path: Path) -> RawData:
    """Read a dataset file by its ending.

    - `.npz`, `.h5`, `.hdf5`: keys `X` and `y`, or `x_train`, `y_train`, `x_test`, `y_test` (and `x_val`,
      `y_val`); optional `feature_names`, `class_names`, `provenance`, `task` (one of TASKS). For several inputs
      `X_<input>` each (`x_train_<input>`, ...), for several outputs `y_<output>` each, by the names of the model's
      layers; then `task_<output>`, `class_names_<output>` and `loss_weight_<output>` too.
    - `.npy`: the features; the labels lie beside it, named with `y` or `labels` for `x` or `features`
      (`x_jets.npy` and `y_jets.npy`; `jets_features.npy` and `jets_labels.npy`).
    - `.csv`: a header line; labels in the column `label`, `class`, `target` or `y`, else in the last one.

    Labels are whole numbers from 0, class names, or one-hot rows; whole numbers for each value of an event where
    they have more axes or the file gives its task; any numbers where the task is regression.

    Raises:
        DatasetError: the file cannot be read as a dataset.
    """
    readers: dict[str, Callable[[Path], RawData]] = {
        ".npz": _read_npz, ".npy": _read_npy, ".h5": _read_hdf5, ".hdf5": _read_hdf5, ".csv": _read_csv,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path.name!r} is not a dataset file that can be read", remedy=_KNOWN)
    if not path.is_file():
        raise DatasetError(f"there is no dataset file {path}", remedy="Check the path, or use the bundled set 'jets'")
    try:
        return reader(path)
    except DatasetError:
        raise
    except MemoryError:
        raise DatasetError(f"{path.name} does not fit into memory", remedy="Choose a smaller file") from None
    except Exception as error:  # foreign or damaged files make numpy and h5py raise nearly anything
        reason = "it is damaged, or not what its name says"
        if "allow_pickle" in str(error):
            reason = "it holds pickled Python objects, which could run code"
        elif "claims" in str(error):
            reason = str(error)
        raise DatasetError(f"{path.name} cannot be read", reason, f"Write it again. {_KNOWN}") from error


def _read_npz(path: Path) -> RawData:
    with open_regular(path) as file:
        return _from_arrays(path, members(file, most_bytes(), ALWAYS))


def _read_hdf5(path: Path) -> RawData:
    if why := guard.examine(path, sha256_of(path)):
        raise DatasetError(f"{path.name} is refused", why, f"Write it again. {_KNOWN}")
    claimed = 0
    with h5py.File(path, "r") as stored:
        if len(stored) > MAX_MEMBERS:
            raise DatasetError(f"{path.name} holds more than {MAX_MEMBERS} datasets", remedy=_KNOWN)
        found = {}
        for key in stored:
            link = stored.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink) or not isinstance(stored[key], h5py.Dataset):
                continue
            data = stored[key]
            if data.external or data.is_virtual:
                raise DatasetError(f"{path.name} refers to other files", remedy="Copy the data into one file")
            claimed += (data.size or 0) * data.dtype.itemsize
            _check_size(path, claimed)
            text = h5py.check_string_dtype(data.dtype) is not None
            found[key] = partial((data.asstr() if text else data).__getitem__, ())
        return _from_arrays(path, found)


def _read_npy(path: Path) -> RawData:
    other = _label_file(path)
    return RawData(
        x=_features(read_npy(path, most_bytes()), path.name),
        **_labelled(read_npy(other, most_bytes()), (), other.name),
    )


def _label_file(path: Path) -> Path:
    for mine, theirs in (("features", "labels"), ("x", "y"), ("X", "y"), ("X", "Y"), ("data", "labels")):
        stem = path.stem
        names = [theirs] if stem == mine else []
        if stem.startswith(f"{mine}_"):
            names.append(f"{theirs}_{stem[len(mine) + 1:]}")
        if stem.endswith(f"_{mine}"):
            names.append(f"{stem[:-len(mine) - 1]}_{theirs}")
        for name in names:
            if (candidate := path.with_name(f"{name}.npy")).is_file():
                return candidate
    raise DatasetError(f"no labels were found beside {path.name}",
                       remedy="Name the pair x_NAME.npy and y_NAME.npy, or choose the features file of the pair")


def _read_csv(path: Path) -> RawData:
    if path.stat().st_size * CSV_GROWTH > most_bytes():
        raise DatasetError(f"{path.name} is too large to be read as text", remedy="Store it as .npz")
    with path.open(newline="", encoding="utf-8-sig") as text:
        header = [name.strip() for name in next(csv.reader(text), [])]
        if len(header) < 2:
            raise DatasetError(f"{path.name} has fewer than two columns", remedy="Separate columns by commas")
        if all(_is_number(name) for name in header):
            raise DatasetError(f"{path.name} has no header line", remedy="Name the columns in the first line")
        lowered = [name.lower() for name in header]
        label = next((lowered.index(name) for name in _LABELS if name in lowered), len(header) - 1)
        columns = [i for i in range(len(header)) if i != label]
        rows = [row for row in csv.reader(text) if row]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DatasetError(f"row {number} of {path.name} has {len(row)} columns, the header {len(header)}",
                               remedy="Give every row the same columns")
    try:
        x = np.array([[float(row[i] or "nan") for i in columns] for row in rows], dtype=np.float32)
    except ValueError as error:
        raise DatasetError(f"{path.name} holds a feature that is not a number", str(error),
                           "Keep numbers and one label column") from None
    y = np.array([row[label].strip() for row in rows])
    return RawData(x=x.reshape(len(rows), len(columns)), feature_names=tuple(header[i] for i in columns),
                   **_labelled(y, (), path.name))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _from_arrays(path: Path, stored: Mapping[str, Callable[[], Any]]) -> RawData:
    lowered = {key.lower(): read for key, read in stored.items()}
    x, y = _group(stored, _FEATURES, ("x_",)), _group(stored, _LABELS, ("y_",))
    parts = {} if x and y and {*x, *y} == {""} else {
        part: (_group(stored, _spellings(_FEATURES, words), tuple(f"x_{word}_" for word in words)),
               _group(stored, _spellings(_LABELS, words), tuple(f"y_{word}_" for word in words)))
        for part, words in _PARTS.items()}
    if not parts or not all((*parts["train"], *parts["test"])):
        parts = {"train": (x, y)}
    if not all(parts["train"]):
        keys = ", ".join(sorted(stored)[:12]) or "nothing"
        raise DatasetError(f"{path.name} holds {keys}, but no features and labels",
                           remedy="Name them X and y, or x_train, y_train, x_test and y_test; X_<input> and y_<output>"
                                  " for a model with several")
    read = {part: (_joined_features(x, path.name), *_joined_labels(y, lowered, path.name))
            for part, (x, y) in parts.items() if x and y}
    task, names, heads = _same_classes(path.name, [found[2:] for found in read.values()])
    extra: dict[str, Any] = {f"{what}_{part}": values for part in ("val", "test") if part in read
                             for what, values in zip("xy", read[part][:2], strict=True)}
    return RawData(x=read["train"][0], y=read["train"][1], task=task, class_names=names, heads=heads,
                   feature_names=_texts(lowered.get("feature_names")),
                   provenance=(_texts(lowered.get("provenance")) or ("",))[0], **extra)


def _group(stored: Mapping[str, Callable[[], Any]], names: tuple[str, ...],
           prefixes: tuple[str, ...]) -> dict[str, Callable[[], Any]]:
    """{"": the array so named}; else arrays named with a prefix, by the rest of their names; none: empty."""
    one = _first({key.lower(): read for key, read in stored.items()}, names)
    if one:
        return {"": one}
    words = {word for words in _PARTS.values() for word in words}
    found = {key[len(prefix):]: read for prefix in prefixes for key, read in sorted(stored.items())
             if key.lower().startswith(prefix)}
    return {name: read for name, read in found.items() if name and name.split("_")[0].lower() not in words}


def _joined_features(group: Mapping[str, Callable[[], Any]], where: str) -> Arrays:
    return several({name: _features(read(), _place(where, "X", name)) for name, read in group.items()})


def _joined_labels(group: Mapping[str, Callable[[], Any]], lowered: Mapping[str, Callable[[], Any]],
                   where: str) -> tuple[Arrays, str, tuple[str, ...], tuple[Head, ...]]:
    """Labels, their task, their class names, and what each of several outputs is for."""
    arrays, heads = {}, []
    for name, read in group.items():
        own = f"_{name.lower()}"
        task = (_texts(lowered.get("task" + own)) or _texts(lowered.get("task")) or ("",))[0]
        if task and task not in TASKS:
            raise DatasetError(f"{where} has the task {task[:40]!r}", remedy=f"Use one of {', '.join(TASKS)}")
        names = _texts(lowered.get("class_names" + own) or lowered.get("class_names"))
        found = _labelled(read(), names, _place(where, "y", name), task)
        arrays[name] = found["y"]
        heads.append(Head(name, task or TASKS[0], found["class_names"],
                          _weight(lowered.get("loss_weight" + own), where)))
    if len(heads) == 1:
        return several(arrays), heads[0].task, heads[0].class_names, ()
    return several(arrays), SEVERAL, (), tuple(heads)


def _weight(read: Callable[[], Any] | None, where: str) -> float:
    """The weight of an output's loss; 1 where nothing is said."""
    weight = np.asarray(read() if read else 1.0)
    if weight.size != 1 or weight.dtype.kind not in "fiu" or not 0 < float(weight.reshape(())) < np.inf:
        raise DatasetError(f"{where} has a loss weight that is no number above 0", remedy="Give one number for each")
    return float(weight.reshape(()))


def _place(where: str, what: str, name: str) -> str:
    return f"{what}_{name} of {where}" if name else where


def _same_classes(name: str, found: list[Any]) -> Any:
    if any(what != found[0] for what in found):
        raise DatasetError(f"the parts of {name} name different classes", remedy="Add class_names to the file")
    return found[0]


def _spellings(stems: tuple[str, ...], words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(spelled for stem in stems for word in words for spelled in (f"{stem}_{word}", f"{word}_{stem}"))


def _first(stored: Mapping[str, Callable[[], Any]], names: tuple[str, ...]) -> Callable[[], Any] | None:
    return next((stored[name] for name in names if name in stored), None)


def _texts(read: Callable[[], Any] | None) -> tuple[str, ...]:
    texts = tuple(str(text) for text in np.atleast_1d(np.asarray(read())).ravel()) if read else ()
    "".join(texts).encode()  # UnicodeError for half a character, which no file and no window could show
    return texts


def _features(values: Any, name: str) -> NDArray[np.float32]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise DatasetError(f"the features in {name} are not numbers", remedy="Store them as one array of numbers")
    with np.errstate(over="ignore"):  # a value too large for float32 becomes infinite, which is refused later
        return array.astype(np.float32)


def _labelled(values: Any, names: tuple[str, ...], where: str, task: str = "") -> dict[str, Any]:
    """`y` and `class_names` from numbers of the task, class names, or one-hot rows; task "" where none is given."""
    array = np.asarray(values)
    if array.ndim == 0:
        raise DatasetError(f"the labels in {where} are one value", remedy="Give one label for each event")
    if task == "regression":
        return {"y": _features(array, where), "class_names": names}
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "fiub":
        if np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all():
            return {"y": array.argmax(axis=1).astype(np.int64), "class_names": names}
        if not task:
            raise DatasetError(f"the labels in {where} are rows that are not one-hot",
                               remedy="Give class numbers, or a 1 for the class and 0 elsewhere; where each value of an"
                                      " event has a label of its own, give the file the task 'classification'")
    if array.dtype.kind in "US" and array.ndim == 1:
        return _text_labels(array.astype(str), names, where)
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all() or (array != np.floor(array)).any():
        raise DatasetError(f"the labels in {where} are not whole numbers",
                           remedy="Number the classes from 0, or give the file the task 'regression'")
    if array.size and (array.max() > MAX_LABEL or array.min() < -MAX_LABEL):
        raise DatasetError(f"{where} has labels from {array.min():g} to {array.max():g}",
                           remedy=f"Number the classes from 0 to {MAX_LABEL} at most")
    return {"y": array.astype(np.int64), "class_names": names}


def _text_labels(texts: NDArray[np.str_], names: tuple[str, ...], where: str) -> dict[str, Any]:
    if len(texts) and all(_is_number(text) for text in set(texts.tolist())):
        return _labelled(texts.astype(np.float64), names, where)
    classes = names or tuple(sorted(set(texts.tolist())))
    "".join(classes).encode()
    index = {name: number for number, name in enumerate(classes)}
    unknown = sorted(set(texts.tolist()) - set(index))
    if unknown:
        raise DatasetError(f"{where} has a label {unknown[0]!r} that class_names does not list",
                           remedy="List every class, in the order of the model's outputs")
    return {"y": np.array([index[text] for text in texts.tolist()], dtype=np.int64), "class_names": classes}


def most_bytes() -> int:
    """The most that a file may claim once unpacked: MAX_BYTES, or half of the machine's memory."""
    try:
        return min(MAX_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    except (AttributeError, ValueError, OSError):  # Windows
        return MAX_BYTES


def _check_size(path: Path, size: int) -> None:
    if unpacks_too_far(size, path.stat().st_size, most_bytes(), ALWAYS):
        raise DatasetError(f"{path.name} claims {size / 2**30:.3g} GiB once unpacked",
                           remedy=f"Choose a file below {most_bytes() / 2**30:.3g} GiB that unpacks to at most"
                                  f" {MAX_RATIO} times its own size")
