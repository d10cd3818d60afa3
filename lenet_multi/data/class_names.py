"""The names of a classifier's classes: from the user, from the data, of the model.

The place of a name in a tuple is its label. Without names, each label is the name of its class.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError, cannot_read, printable

if TYPE_CHECKING:
    from lenet_multi.data.examples import Dataset

Names = tuple[str, ...]

FLAG = "--class-names"

_LISTED = 5  # names in a message
_LONG = 80  # letters of such a name, or of a list as the user typed it
_LONGEST = 9  # figures of a whole number


def shown(names: Sequence[str] | None, label: int) -> str:
    """Return the name of the class `label` as a person reads it; without names, its number."""
    return printable(names[label]) if names else str(label)


def shortened(name: str, most: int) -> str:
    """Return a name with at most so many letters: its beginning and its end."""
    begin = most // 2 - 2
    return name if len(name) <= most else f"{name[:begin]}…{name[begin - most + 1 :]}"


def given(text: str) -> Names | None:
    """Return the names in a user's `text`, between commas or on lines, or on the lines of a file.

    None if the text is empty. Raises `UserError` when the file cannot be read, or a name is empty
    or there twice.
    """
    if not text:
        return None
    said = shortened(text, _LONG)
    if os.path.isfile(text):
        found = _lines(Path(text))
    elif "\n" in text:
        found = text.splitlines()
    elif "," in text:
        found = text.split(",")
    else:
        raise UserError(
            f"{FLAG} {said} is no file; give one with a name on each line, or names with commas "
            "between them"
        )
    names = tuple(name.strip() for name in found)
    if "" in names:
        raise UserError(f"{FLAG} {said}: name {names.index('') + 1} is empty; name every class")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        again = shortened(twice[0], _LONG)
        raise UserError(f"{FLAG} {said}: {again!r} is there twice; name each class differently")
    return names


def as_setting(text: str) -> str:
    """Return the names that `given` finds in a user's `text`, for a record: without a file.

    Raises `UserError` like `given`.
    """
    names = given(text) or ()
    return ("\n" if any("," in name for name in names) else ",").join(names)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise UserError(cannot_read(path, error)) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{FLAG} {path} is no text; give a file with a name on each line"
        ) from error


def named(dataset: "Dataset", text: str, source: str) -> "Dataset":
    """Return `dataset`, read from `source`, with the names in the user's `text` if it has none.

    Raises `UserError` for text that `given` refuses, and when the data have other names.
    """
    names = given(text)
    if names is None or names == dataset.class_names:
        return dataset
    if dataset.class_names:
        raise UserError(f"{source} names its classes {few(dataset.class_names)}; drop {FLAG}")
    return replace(dataset, class_names=names)


def few(names: Sequence[str]) -> str:
    """Return the first names, for a message."""
    more = ", ..." if len(names) > _LISTED else ""
    return printable(", ".join(shortened(name, _LONG) for name in names[:_LISTED])) + more


def refuse_misfit(names: Sequence[str] | None, classes: int, source: object, remedy: str) -> None:
    """Raise `UserError` when the `names` from `source` are not as many as the model's classes."""
    if names and len(names) != classes:
        raise UserError(
            f"{source} names {len(names)} classes ({few(names)}), but the model has {classes}; "
            f"{remedy}"
        )


def by_value(
    labels: Sequence[NDArray[Any]], names: Names | None, classes: int
) -> tuple[list[NDArray[Any]], Names | None]:
    """Return labels and names so that names which are whole numbers keep their value.

    If all `names` are numbers below `classes`, the labels are these numbers. Names are returned
    where they still say more than the labels do, or where no class is without a name.
    """
    values = _values(names)
    if values is None or max(values) >= classes or any(_is_outside(y, values) for y in labels):
        return list(labels), names
    table = np.array(values)
    whole = sorted(values) == list(range(classes))
    return [table[y] for y in labels], tuple(map(str, range(classes))) if whole else None


def _is_outside(labels: NDArray[Any], known: Sequence[Any]) -> bool:
    return bool(labels.size and (labels.min() < 0 or labels.max() >= len(known)))


def is_whole(name: str) -> bool:
    """Return whether a name is a whole number of up to nine figures, which counts by its value."""
    return name.isascii() and name.isdecimal() and len(name) <= _LONGEST


def _values(names: Names | None) -> list[int] | None:
    """Return the names as numbers, if all are different whole numbers."""
    if not names or not all(map(is_whole, names)):
        return None
    values = [int(name) for name in names]
    return values if len({*values}) == len(values) else None


def matched(
    labels: NDArray[Any], of_data: Names | None, of_model: Names | None, classes: int, source: str
) -> tuple[NDArray[Any], Names | None, tuple[str, ...]]:
    """Return labels (N,) as the model's, the names of its `classes`, and what was done, in lines.

    `labels` are those of data from `source`, whose classes are named `of_data`. Names that are all
    whole numbers count by their value. Raises `UserError` when the data have a class that the model
    lacks, or names that the model may not have.
    """
    if of_data is None:
        return _matched_numbers(labels, of_model, source)
    if _is_outside(labels, of_data):
        raise UserError(
            f"{source} has labels up to {labels.max()}, but names only {len(of_data)} classes; "
            "give data with a name for each"
        )
    numbers = _values(of_data)
    if of_model is None and numbers is None:
        remedy = f"give {FLAG} with the {classes} names of the model's classes"
        refuse_misfit(of_data, classes, source, remedy)
        note = (
            f"the model does not name its classes; they are taken for those of {source} in their "
            f"order: {few(of_data)}; if they are others, give {FLAG}"
        )
        return labels, of_data, (note,)
    of_model = of_model or tuple(map(str, range(classes)))
    others = _values(of_model)
    if numbers is not None and others is not None:
        known: dict[Any, int] = {value: place for place, value in enumerate(others)}
        keys: Sequence[Any] = numbers
    else:
        known, keys = {name: place for place, name in enumerate(of_model)}, of_data
    if unknown := [name for name, key in zip(of_data, keys, strict=True) if key not in known]:
        raise UserError(
            f"{source} has a class {printable(unknown[0])!r}, but the model has {few(of_model)}; "
            f"give data of the model's classes, or {FLAG} for a model without names"
        )
    places = [known[key] for key in keys]
    if places == list(range(len(places))):
        return labels, of_model, ()
    note = f"the classes of {source} have other labels than the model's; they are matched by name"
    return np.array(places, labels.dtype)[labels], of_model, (note,)


def _matched_numbers(
    labels: NDArray[Any], of_model: Names | None, source: str
) -> tuple[NDArray[Any], Names | None, tuple[str, ...]]:
    """Return the same for data without names: labels are values where the model's names are."""
    values = _values(of_model)
    if (
        values is None
        or values == list(range(len(values)))
        or not {*np.unique(labels).tolist()} <= {*values}
    ):
        return labels, of_model, ()
    table = np.zeros(max(values) + 1, labels.dtype)
    table[values] = range(len(values))
    note = f"the labels of {source} are taken for the model's names, which are numbers"
    return table[labels], of_model, (note,)
