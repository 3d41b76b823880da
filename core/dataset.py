"""A dataset as a model sees it: split, scaled, checked. Reading the files is `core.dataset_files`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import resources
from core.arrays import Arrays, Several, each, joined, named_parts, parts_of, shapes_of
from core.dataset_files import ANOMALY_TASKS, Head, RawData, read_file
from core.dataset_fit import check_fits, shape_text
from core.errors import DatasetError
from resources.families import FAMILIES

#: names a user may give instead of a path -> bundled file
BUNDLED = {"jets": "data/jets.npz"}
#: "family:NAME" gives the events of a model family that ships with Quantiscope
FAMILY = "family:"
PARTS = ("train", "val", "test")
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
    - "several": an array for each of several outputs, what each is for is in `heads`, in the same order; each is
      to be classified or a regression.

    Features of several inputs and labels of several outputs are `core.arrays.Several`, by the names of the model's
    layers; `check_fits` gives them the order of the model. `mean` and `scale` are then of each input too.

    `hash` is the SHA-256 of the unscaled features and labels; `provenance` says in words where the data come
    from and what was done to them.
    """

    name: str
    x_train: Arrays = field(repr=False)
    y_train: Arrays = field(repr=False)
    x_val: Arrays = field(repr=False)
    y_val: Arrays = field(repr=False)
    x_test: Arrays = field(repr=False)
    y_test: Arrays = field(repr=False)
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    mean: Arrays = field(repr=False)
    scale: Arrays = field(repr=False)
    provenance: str
    hash: str
    task: str = "classification"
    heads: tuple[Head, ...] = ()

    @property
    def events(self) -> int:
        """Number of events of all three parts."""
        return len(self.y_train) + len(self.y_val) + len(self.y_test)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one event; that of the first input where there are several."""
        return shapes_of(self.x_test)[0]

    @property
    def several(self) -> bool:
        """True where there are several inputs or outputs."""
        return isinstance(self.x_test, Several) or isinstance(self.y_test, Several)

    @property
    def by_output(self) -> tuple[Dataset, ...]:
        """This dataset, or one for each of several outputs with its labels, task and classes."""
        if not self.heads:
            return (self,)
        return tuple(replace(self, task=head.task, class_names=head.class_names, heads=(), **{
            f"y_{part}": getattr(self, f"y_{part}").part(head.name) for part in PARTS}) for head in self.heads)

    def arranged(self, inputs: Sequence[str], outputs: Sequence[str]) -> Dataset:
        """The arrays of several inputs and outputs in the order of these names, which are all of theirs."""
        kept: dict[str, Any] = {"heads": tuple(sorted(self.heads, key=lambda head: list(outputs).index(head.name)))}
        for name, value in ((one.name, getattr(self, one.name)) for one in fields(self)):
            if isinstance(value, Several):
                kept[name] = value.ordered(outputs if name.startswith("y_") else inputs)
        return replace(self, **kept)

    def limited(self, events: int) -> Dataset:
        """The first events of each part, in the same shares, about `events` in all."""
        share = events / max(self.events, 1)
        if share >= 1:
            return self
        kept = {}
        for part in PARTS:
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


def _check(raw: RawData, name: str) -> None:
    total = 0
    for x, y in ((raw.x, raw.y), (raw.x_val, raw.y_val), (raw.x_test, raw.y_test)):
        if x is None or y is None:
            continue
        total += len(x)
        if len(x) != len(y):
            raise DatasetError(f"{name} has {len(x)} events but {len(y)} labels",
                               remedy="Give one label for each event")
        _check_same(x, raw.x, "features", name)
        _check_same(y, raw.y, "labels", name)
        for called, array in named_parts(x):
            _check_features(array, _called(called, "X", name))
        for (called, labels), head in zip(named_parts(y), raw.heads or [Head("", raw.task, raw.class_names)],
                                          strict=True):
            _check_labels(labels, head, _called(called, "y", name))
    if total < MIN_EVENTS:
        raise DatasetError(f"{name} has {total} events", f"at least {MIN_EVENTS} are needed to split and judge",
                           "Choose a larger file")
    _check_anomalies(raw, name)
    count = raw.x.shape[1] if not isinstance(raw.x, Several) and raw.x.ndim == 2 else 0
    if raw.feature_names and len(raw.feature_names) != count:
        have = f"{len(raw.x.parts)} arrays of features" if isinstance(raw.x, Several) else shape_text(raw.x.shape[1:])
        raise DatasetError(f"{name} names {len(raw.feature_names)} features but has {have}",
                           remedy="Name every feature, or none")


def _called(array: str, what: str, file: str) -> str:
    return f"{what}_{array} of {file}" if array else file


def _check_same(part: Arrays, first: Arrays, what: str, name: str) -> None:
    """Raise DatasetError where the arrays of a part are not those of the first part."""
    told = [dict(named_parts(arrays)) for arrays in (part, first)]
    if told[0].keys() != told[1].keys():
        raise DatasetError(f"the parts of {name} differ in their {what}: {' '.join(told[0])} and {' '.join(told[1])}",
                           remedy=f"Give every part the same {what}")
    for mine, theirs in zip(shapes_of(part), shapes_of(first), strict=True):
        if mine != theirs:
            raise DatasetError(f"the parts of {name} differ in their {what}: {mine} and {theirs}",
                               remedy=f"Give every part the same {what}")


def _check_features(x: Array, name: str) -> None:
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise DatasetError(f"the features in {name} have shape {x.shape}", remedy="Give one row for each event")
    if len(x) and not np.isfinite(x).all():
        bad = int((~np.isfinite(x.reshape(len(x), -1))).any(axis=1).sum())
        raise DatasetError(f"{name} holds NaN or infinite features in {bad} of {len(x)} events",
                           remedy="Remove or fill these events")


def _check_labels(y: Labels, head: Head, name: str) -> None:
    if head.task == "regression":
        if not np.isfinite(y).all():
            raise DatasetError(f"{name} holds NaN or infinite targets", remedy="Remove or fill these events")
        return
    if not len(y):
        return
    if y.min() < 0:
        raise DatasetError(f"{name} has a label {int(y.min())}", remedy="Number the classes from 0")
    if head.class_names and y.max() >= len(head.class_names):
        raise DatasetError(f"{name} has a label {int(y.max())} but names {len(head.class_names)} classes",
                           remedy="Name every class, or none")


def _check_anomalies(raw: RawData, name: str) -> None:
    """Raise DatasetError for a task without labels to learn that the arrays do not go with."""
    task = next((head.task for head in raw.heads if head.task in ANOMALY_TASKS), raw.task)
    if task not in ANOMALY_TASKS:
        return
    if raw.heads or isinstance(raw.x, Several):
        raise DatasetError(f"the task of {name} is {task}, which takes one array of features and one of labels",
                           remedy="Give several inputs or outputs the tasks classification or regression")
    if raw.y.ndim != 1 or not (raw.y == 0).any():
        raise DatasetError(f"{name} has no background events to train on",
                           f"its task is {raw.task}, which learns from label 0", "Give one label for each event")


def _split(raw: RawData, name: str, seed: int) -> Dataset:
    count = len(raw.x)
    order = np.random.RandomState(seed).permutation(count)  # scikit-learn's train_test_split, same seed, same split
    tests = int(np.ceil(TEST_SHARE * count))
    rest = order[tests:]
    validation = int(len(rest) * VALIDATION_SHARE)
    test, train, val = order[:tests], rest[: len(rest) - validation], rest[len(rest) - validation:]
    scalings = [_scaling(x, rest, raw.task) for x in parts_of(raw.x)]
    mean, scale = (_like(raw.x, [found[number] for found in scalings]) for number in (0, 1))

    def part(rows: NDArray[np.int64]) -> Arrays:
        return each(lambda x, m, s: np.ascontiguousarray((x[rows] - m) / s, dtype=np.float32), raw.x, mean, scale)

    return Dataset(
        name=name, x_train=part(train), y_train=raw.y[train], x_val=part(val), y_val=raw.y[val],
        x_test=part(test), y_test=raw.y[test], mean=mean, scale=scale, feature_names=_feature_names(raw),
        **_classes(raw, raw.y), hash=_hash(raw.x, raw.y), task=raw.task,
        provenance=f"{raw.provenance or name}; split with seed {seed}; {_done(raw.x)}",
    )


def _presplit(raw: RawData, name: str) -> Dataset:
    assert raw.x_test is not None
    x_train, y_train, x_val, y_val = raw.x, raw.y, raw.x_val, raw.y_val
    if x_val is None or y_val is None:
        cut = len(x_train) - int(len(x_train) * VALIDATION_SHARE)
        x_train, x_val, y_train, y_val = x_train[:cut], x_train[cut:], y_train[:cut], y_train[cut:]
    if not len(x_train) or not len(x_val) or not len(raw.x_test):
        raise DatasetError(f"{name} has an empty part", remedy="Give events for training, validation and test")
    mean, scale = (_like(x_train, [_identity(x)[number] for x in parts_of(x_train)]) for number in (0, 1))
    labels = joined([y_train, y_val, raw.y_test])
    return Dataset(
        name=name, x_train=x_train, y_train=y_train, x_val=x_val, y_val=y_val,
        x_test=raw.x_test, y_test=raw.y_test, mean=mean, scale=scale,
        feature_names=_feature_names(raw), **_classes(raw, labels),
        provenance=f"{raw.provenance or name}; split and features as in the file",
        hash=_hash(x_train, x_val, raw.x_test, labels), task=raw.task,
    )


def _like(x: Arrays, parts: Sequence[Array]) -> Arrays:
    """An array for each input, as the features have them."""
    return Several(x.names, tuple(parts)) if isinstance(x, Several) else parts[0]


def _scaling(x: Array, rows: NDArray[np.int64], task: str) -> tuple[Array, Array]:
    """Mean and scale of one input, of these events."""
    if x.ndim != 2:
        return _identity(x)
    mean, scale = _standardization(x[rows])
    if task == "flow":  # the time is no feature
        mean[-1], scale[-1] = 0, 1
    return mean, scale


def _done(x: Arrays) -> str:
    """What was done to the features, in words."""
    scaled = [name for name, part in named_parts(x) if part.ndim == 2]
    if not scaled:
        return "features as in the file"
    whose = "" if len(scaled) == len(parts_of(x)) else f" of {', '.join(scaled)}"
    return f"features{whose} standardized"


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
    count = raw.x.shape[1] if not isinstance(raw.x, Several) and raw.x.ndim == 2 else 0
    return raw.feature_names or tuple(f"x{i}" for i in range(count))


def _classes(raw: RawData, labels: Arrays) -> dict[str, Any]:
    """`class_names` and `heads`, with a number for each class that has no name."""
    def named(head: Head, found: Labels) -> Head:
        if head.task == "regression" or head.class_names:
            return head
        return replace(head, class_names=tuple(str(i) for i in range(int(found.max()) + 1)))

    if not raw.heads:
        return {"class_names": named(Head("", raw.task, raw.class_names), labels).class_names}
    return {"class_names": (),
            "heads": tuple(named(*pair) for pair in zip(raw.heads, parts_of(labels), strict=True))}


def _hash(*values: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in (pair for value in values for pair in named_parts(value)):
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


__all__ = ["BUNDLED", "FAMILY", "Dataset", "bundled_path", "check_fits", "family_dataset", "fingerprint",
           "load_dataset", "references"]
