"""Whether the events and labels of a dataset go with a model. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.arrays import Several, parts_of
from core.errors import DatasetError
from core.model_info import ModelInfo

if TYPE_CHECKING:
    from core.dataset import Dataset


def check_fits(dataset: Dataset, info: ModelInfo) -> Dataset:
    """The dataset with its arrays in the order of the model's inputs and outputs.

    Raises:
        DatasetError: the events do not fit the model's inputs, or the labels its outputs.
    """
    found = arranged(dataset, info)
    for name, features in zip(info.inputs, parts_of(found.x_test), strict=True):
        entry = info.find(name)
        wanted, have = entry.output_shape if entry else (), features.shape[1:]
        if not _agree(wanted, have):
            which = f" at its input {name!r}" if len(info.inputs) > 1 else ""
            raise DatasetError(
                f"the dataset {dataset.name!r} has {shape_text(have)} an event, the model {info.name!r} takes"
                f" {shape_text(wanted)}{which}",
                remedy="Choose the dataset the model was trained on, or a model made for these features",
            )
    for name, labels in zip(info.outputs, found.by_output, strict=True):
        last = info.find(name)
        of_model = f"{info.name}, output {name}" if len(info.outputs) > 1 else info.name
        _check_outputs(labels, last.output_shape if last else (), of_model)
    return found


def arranged(dataset: Dataset, info: ModelInfo) -> Dataset:
    """As `check_fits`, without looking at shapes and labels."""
    _check_names(dataset.x_test, info.inputs, dataset.name, info.name, "input", "X")
    _check_names(dataset.y_test, info.outputs, dataset.name, info.name, "output", "y")
    return dataset.arranged(info.inputs, info.outputs) if dataset.several else dataset


def _check_names(values: object, wanted: Sequence[str], dataset: str, model: str, what: str, key: str) -> None:
    names = values.names if isinstance(values, Several) else ()
    if (sorted(names) == sorted(wanted)) if names else len(wanted) == 1:
        return
    have = f"arrays for {', '.join(names)}" if names else "one array"
    raise DatasetError(
        f"the model {model!r} has the {what}{'s' if len(wanted) > 1 else ''} {', '.join(wanted)}, the dataset"
        f" {dataset!r} has {have}",
        remedy=f"Store one array for each, named {' and '.join(f'{key}_{name}' for name in wanted)}"
        if len(wanted) > 1 else f"Store one array, named {key}")


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
        raise DatasetError(f"the model {model!r} gives {shape_text(outputs, 'output')}, not means and log variances",
                           remedy="Give the encoder one output that holds the means and then the log variances")
    elif dataset.task in wanted and not any(_agree(outputs, shape) for shape in wanted[dataset.task]):
        raise DatasetError(f"the task of the dataset {dataset.name!r} is {dataset.task}, which needs"
                           f" {shape_text(wanted[dataset.task][0], 'output')}, the model {model!r} gives"
                           f" {shape_text(outputs, 'output')}", remedy="Choose a model made for this task")


def _check_classes(dataset: Dataset, outputs: tuple[int | None, ...], model: str) -> None:
    labels = dataset.y_test.shape[1:]
    per_class = _agree(outputs[:-1], labels) and len(outputs) > 0
    if outputs and not per_class and not _agree(outputs, labels):
        raise DatasetError(
            f"the dataset {dataset.name!r} has {shape_text(labels, 'label')} an event, the model {model!r} gives"
            f" {shape_text(outputs, 'output')}", remedy="Choose the dataset the model was trained on")
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


def shape_text(shape: tuple[int | None, ...], what: str = "feature") -> str:
    """A shape in words: "16 features", "values of shape (8, 8, 1)"."""
    if len(shape) < 2:
        count = shape[0] if shape else 1
        return f"{count} {what}{'' if count == 1 else 's'}"
    return "values of shape (" + ", ".join("any" if side is None else str(side) for side in shape) + ")"
