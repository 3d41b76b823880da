"""A dataset as a model sees it: split, scaled, checked. Reading the files is `core.dataset_files`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import resources
from core.dataset_files import ANOMALY_TASKS, RawData, read_file
from core.errors import DatasetError
from core.model_info import ModelInfo
from resources.families import FAMILIES

#: names a user may give instead of a path -> bundled file
BUNDLED = {"jets": "data/jets.npz"}
#: "family:NAME" gives the events of a model family that ships with Quantiscope
FAMILY = "family:"
TEST_SHARE = 0.2
VALIDATION_SHARE = 0.25
MIN_EVENTS = 20

#: events whose hash stands for those of a family
FINGERPRINT_EVENTS = 64

Array = NDArray[np.float32]
Labels = NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """Events in three parts, ready for a model.

    Features are float32 (events, ...), standardized with `mean` and `scale` (one value a feature:
    `x = (raw - mean) / scale`; zeros and ones where the file was taken as it is). What the labels are is told
    by `task`:

    - "classification": int64 indices into `class_names`, (events,), or one for each value of an event (each
      pixel, each edge): (events, ...).
    - "regression": float32 (events, ...), the values to find.
    - "reconstruction", "vae", "flow": int64 (events,), 0 for background and 1 and up for signal; models are
      trained on background alone. The target is the event itself, nothing outside a variational encoder, or
      a flow's velocity, and for a flow the last feature is the time at which it is judged.

    `hash` is the SHA-256 of the unscaled features and labels; `provenance` says in words where the data come
    from and what was done to them.
    """

    name: str
    x_train: Array = field(repr=False)
    y_train: Labels = field(repr=False)
    x_val: Array = field(repr=False)
    y_val: Labels = field(repr=False)
    x_test: Array = field(repr=False)
    y_test: Labels = field(repr=False)
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    mean: Array = field(repr=False)
    scale: Array = field(repr=False)
    provenance: str
    hash: str
    task: str = "classification"

    @property
    def events(self) -> int:
        """Number of events of all three parts."""
        return len(self.y_train) + len(self.y_val) + len(self.y_test)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one event."""
        return tuple(self.x_test.shape[1:])

    def limited(self, events: int) -> Dataset:
        """The first events of each part, in the same shares, about `events` in all."""
        share = events / max(self.events, 1)
        if share >= 1:
            return self
        kept = {}
        for part in ("train", "val", "test"):
            count = max(1, round(len(getattr(self, f"y_{part}")) * share))
            kept[f"x_{part}"] = getattr(self, f"x_{part}")[:count]
            kept[f"y_{part}"] = getattr(self, f"y_{part}")[:count]
        return replace(self, **kept)


def load_dataset(reference: str | Path, seed: int = 42, limit: int | None = None) -> Dataset:
    """Read, check, split and standardize a dataset.

    Args:
        reference: the name of a bundled dataset ("jets"), "family:NAME" for the events of a model family, or
            the path of a file; see `core.dataset_files.read_file` for the formats.
        seed: of the shuffle before splitting; 42 gives the split of the hls4ml tutorial.
        limit: keep about this many events, in the same shares.

    A file with `X` and `y` is split into 20 % test and, of the rest, 25 % validation; its features are
    standardized with mean and deviation of the events that are not test, unless they have more than
    one axis. A file that is split already (`x_train`, `x_test`, ...) is taken as it is.

    Raises:
        DatasetError: unreadable, foreign, empty, not finite, or labels that are not classes.
    """
    if str(reference).startswith(FAMILY):
        dataset = family_dataset(str(reference).removeprefix(FAMILY), seed=seed)
        return dataset.limited(limit) if limit is not None else dataset
    bundled = bundled_path(str(reference))
    path = bundled or Path(reference)
    raw = read_file(path)
    name = str(reference) if bundled else path.stem
    _check(raw, path.name)
    dataset = _presplit(raw, name) if raw.x_test is not None else _split(raw, name, seed)
    return dataset.limited(limit) if limit is not None else dataset


def bundled_path(reference: str) -> Path | None:
    """The file of a dataset that ships with Quantiscope, or None where `reference` names none."""
    return resources.path(BUNDLED[reference]) if reference in BUNDLED else None


def references() -> list[str]:
    """Every name that `load_dataset` takes instead of a path."""
    return [*BUNDLED, *(FAMILY + name for name in FAMILIES)]


def fingerprint(reference: str) -> str:
    """A hash that changes when the events of "family:NAME" do; raises DatasetError for another name."""
    return family_dataset(reference.removeprefix(FAMILY), FINGERPRINT_EVENTS).hash


def family_dataset(name: str, events: int | None = None, seed: int = 42) -> Dataset:
    """Events of a model family (see `resources.families`), 60 % for training and 20 % each to validate and test.

    Args:
        name: of the family, such as "deep_sets".
        events: how many; as many as train it well by default.
        seed: of the events, or of their choice where they ship as a file.

    Raises:
        DatasetError: no such family.
    """
    family = FAMILIES.get(name)
    if family is None:
        raise DatasetError(f"there is no model family {name!r}", remedy=f"Choose one of {', '.join(FAMILIES)}")
    x, y = family.events(events or family.default_events, seed)
    mean, scale = _identity(x)
    test = len(x) - round(TEST_SHARE * len(x))
    val = test - round(TEST_SHARE * len(x))
    return Dataset(
        name=FAMILY + name, x_train=x[:val], y_train=y[:val], x_val=x[val:test], y_val=y[val:test], x_test=x[test:],
        y_test=y[test:], feature_names=tuple(f"x{i}" for i in range(x.shape[1])) if x.ndim == 2 else (),
        class_names=family.class_names, mean=mean, scale=scale, provenance=f"{family.data}; seed {seed}",
        hash=_hash(x, y), task=family.task,
    )


def check_fits(dataset: Dataset, info: ModelInfo) -> None:
    """Raise DatasetError unless the events fit the model's one input and the labels its one output."""
    if len(info.inputs) != 1 or len(info.outputs) != 1:
        raise DatasetError(
            f"the model {info.name!r} has {len(info.inputs)} inputs and {len(info.outputs)} outputs",
            "a dataset here holds one array of features and one of labels",
            "Choose a model with one input and one output",
        )
    entry, last = info.find(info.inputs[0]), info.find(info.outputs[0])
    wanted = entry.output_shape if entry else ()
    have = dataset.feature_shape
    if not _agree(wanted, have):
        raise DatasetError(
            f"the dataset {dataset.name!r} has {_shape(have)} an event, the model {info.name!r} takes {_shape(wanted)}",
            remedy="Choose the dataset the model was trained on, or a model made for these features",
        )
    _check_outputs(dataset, last.output_shape if last else (), info.name)


def _check_outputs(dataset: Dataset, outputs: tuple[int | None, ...], model: str) -> None:
    """Raise DatasetError unless outputs of that shape are what the task of the dataset asks for."""
    labels, features = dataset.y_test.shape[1:], dataset.feature_shape
    wanted: dict[str, tuple[tuple[int, ...], ...]] = {
        "regression": (labels, (*labels, 1)) if not labels else (labels,),
        "reconstruction": (features,), "flow": ((features[0] - 1,),),
    }
    if dataset.task == "classification":
        _check_classes(dataset, outputs, model)
    elif dataset.task == "vae" and not (len(outputs) == 1 and (outputs[0] or 0) % 2 == 0):
        raise DatasetError(f"the model {model!r} gives {_shape(outputs, 'output')}, not means and log variances",
                           remedy="Give the encoder one output that holds the means and then the log variances")
    elif dataset.task in wanted and not any(_agree(outputs, shape) for shape in wanted[dataset.task]):
        raise DatasetError(f"the task of the dataset {dataset.name!r} is {dataset.task}, which needs"
                           f" {_shape(wanted[dataset.task][0], 'output')}, the model {model!r} gives"
                           f" {_shape(outputs, 'output')}", remedy="Choose a model made for this task")


def _check_classes(dataset: Dataset, outputs: tuple[int | None, ...], model: str) -> None:
    labels = dataset.y_test.shape[1:]
    per_class = _agree(outputs[:-1], labels) and len(outputs) > 0
    if outputs and not per_class and not _agree(outputs, labels):
        raise DatasetError(
            f"the dataset {dataset.name!r} has {_shape(labels, 'label')} an event, the model {model!r} gives"
            f" {_shape(outputs, 'output')}", remedy="Choose the dataset the model was trained on")
    columns = (outputs[-1] or 0) if per_class else 1
    classes = int(max(part.max() for part in (dataset.y_train, dataset.y_val, dataset.y_test) if len(part))) + 1
    if columns and classes > max(columns, 2):  # one output scores the second of two classes
        raise DatasetError(
            f"the labels of {dataset.name!r} go up to {classes - 1}, the model {model!r} has {columns} outputs",
            remedy="Labels must be 0 to outputs - 1: choose the dataset the model was trained on",
        )


def _agree(shape: tuple[int | None, ...], other: tuple[int, ...]) -> bool:
    """True where two shapes are equal; None is any length."""
    return len(shape) == len(other) and all(a is None or a == b for a, b in zip(shape, other, strict=True))


def _shape(shape: tuple[int | None, ...], what: str = "feature") -> str:
    if len(shape) < 2:
        count = shape[0] if shape else 1
        return f"{count} {what}{'' if count == 1 else 's'}"
    return "values of shape (" + ", ".join("any" if side is None else str(side) for side in shape) + ")"


def _check(raw: RawData, name: str) -> None:
    parts = [(raw.x, raw.y), (raw.x_val, raw.y_val), (raw.x_test, raw.y_test)]
    total = 0
    for x, y in parts:
        if x is None or y is None:
            continue
        total += len(x)
        if len(x) != len(y):
            raise DatasetError(f"{name} has {len(x)} events but {len(y)} labels",
                               remedy="Give one label for each event")
        if x.ndim < 2 or 0 in x.shape[1:]:
            raise DatasetError(f"the features in {name} have shape {x.shape}", remedy="Give one row for each event")
        if len(x) and not np.isfinite(x).all():
            bad = int((~np.isfinite(x.reshape(len(x), -1))).any(axis=1).sum())
            raise DatasetError(f"{name} holds NaN or infinite features in {bad} of {len(x)} events",
                               remedy="Remove or fill these events")
        if x.shape[1:] != raw.x.shape[1:]:
            raise DatasetError(f"the parts of {name} differ in their features: {x.shape[1:]} and {raw.x.shape[1:]}",
                               remedy="Give every part the same features")
        if y.shape[1:] != raw.y.shape[1:]:
            raise DatasetError(f"the parts of {name} differ in their labels: {y.shape[1:]} and {raw.y.shape[1:]}",
                               remedy="Give every part the same labels")
        if raw.task == "regression" and not np.isfinite(y).all():
            raise DatasetError(f"{name} holds NaN or infinite targets", remedy="Remove or fill these events")
        if raw.task == "regression" or not len(y):
            continue
        if y.min() < 0:
            raise DatasetError(f"{name} has a label {int(y.min())}", remedy="Number the classes from 0")
        if raw.class_names and y.max() >= len(raw.class_names):
            raise DatasetError(f"{name} has a label {int(y.max())} but names {len(raw.class_names)} classes",
                               remedy="Name every class, or none")
    if total < MIN_EVENTS:
        raise DatasetError(f"{name} has {total} events", f"at least {MIN_EVENTS} are needed to split and judge",
                           "Choose a larger file")
    if raw.task in ANOMALY_TASKS and (raw.y.ndim != 1 or not (raw.y == 0).any()):
        raise DatasetError(f"{name} has no background events to train on",
                           f"its task is {raw.task}, which learns from label 0", "Give one label for each event")
    if raw.feature_names and (raw.x.ndim != 2 or len(raw.feature_names) != raw.x.shape[1]):
        raise DatasetError(f"{name} names {len(raw.feature_names)} features but has {_shape(raw.x.shape[1:])}",
                           remedy="Name every feature, or none")


def _split(raw: RawData, name: str, seed: int) -> Dataset:
    count = len(raw.x)
    order = np.random.RandomState(seed).permutation(count)  # scikit-learn's train_test_split, same seed, same split
    tests = int(np.ceil(TEST_SHARE * count))
    rest = order[tests:]
    validation = int(len(rest) * VALIDATION_SHARE)
    test, train, val = order[:tests], rest[: len(rest) - validation], rest[len(rest) - validation:]
    if raw.x.ndim == 2:
        mean, scale = _standardization(raw.x[rest])
        if raw.task == "flow":  # the time is no feature
            mean[-1], scale[-1] = 0, 1
        done = "features standardized"
    else:
        mean, scale = _identity(raw.x)
        done = "features as in the file"

    def part(rows: NDArray[np.int64]) -> Array:
        return np.ascontiguousarray((raw.x[rows] - mean) / scale, dtype=np.float32)

    return Dataset(
        name=name, x_train=part(train), y_train=raw.y[train], x_val=part(val), y_val=raw.y[val],
        x_test=part(test), y_test=raw.y[test], mean=mean, scale=scale,
        feature_names=_feature_names(raw), class_names=_class_names(raw, raw.y),
        provenance=f"{raw.provenance or name}; split with seed {seed}; {done}",
        hash=_hash(raw.x, raw.y), task=raw.task,
    )


def _presplit(raw: RawData, name: str) -> Dataset:
    assert raw.x_test is not None and raw.y_test is not None
    x_train, y_train, x_val, y_val = raw.x, raw.y, raw.x_val, raw.y_val
    if x_val is None or y_val is None:
        cut = len(x_train) - int(len(x_train) * VALIDATION_SHARE)
        x_train, x_val, y_train, y_val = x_train[:cut], x_train[cut:], y_train[:cut], y_train[cut:]
    if not len(x_train) or not len(x_val) or not len(raw.x_test):
        raise DatasetError(f"{name} has an empty part", remedy="Give events for training, validation and test")
    mean, scale = _identity(x_train)
    labels = np.concatenate([y_train, y_val, raw.y_test])
    return Dataset(
        name=name, x_train=x_train, y_train=y_train, x_val=x_val, y_val=y_val,
        x_test=raw.x_test, y_test=raw.y_test, mean=mean, scale=scale,
        feature_names=_feature_names(raw), class_names=_class_names(raw, labels),
        provenance=f"{raw.provenance or name}; split and features as in the file",
        hash=_hash(x_train, x_val, raw.x_test, labels), task=raw.task,
    )


def _standardization(x: Array) -> tuple[Array, Array]:
    """Mean and population deviation of each column, as scikit-learn's StandardScaler; 1 for a constant one."""
    mean = x.mean(axis=0, dtype=np.float64)
    scale = x.std(axis=0, dtype=np.float64)
    scale[scale < 10 * np.finfo(np.float32).eps * np.maximum(np.abs(mean), 1e-30)] = 1.0
    scale[scale == 0] = 1.0
    return mean.astype(np.float32), scale.astype(np.float32)


def _identity(x: Array) -> tuple[Array, Array]:
    return np.zeros(x.shape[1:], np.float32), np.ones(x.shape[1:], np.float32)


def _feature_names(raw: RawData) -> tuple[str, ...]:
    count = raw.x.shape[1] if raw.x.ndim == 2 else 0
    return raw.feature_names or tuple(f"x{i}" for i in range(count))


def _class_names(raw: RawData, labels: Labels) -> tuple[str, ...]:
    if raw.task == "regression":
        return raw.class_names
    return raw.class_names or tuple(str(i) for i in range(int(labels.max()) + 1))


def _hash(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
