"""What a reader of files finds: images and labels by part, and how people name them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError, listed

TRAIN, VALIDATION, TEST = "train", "validation", "test"
WHOLE = "whole"  # of data that are in no parts

Pair = tuple[NDArray[Any], NDArray[Any]]  # images and labels as stored, of any shape and dtype


@dataclass(frozen=True)
class Found:
    """Images and labels by part; the other fields are those of `examples.Dataset`."""

    parts: dict[str, Pair]
    notes: tuple[str, ...] = ()
    is_sorted: bool = False
    class_names: tuple[str, ...] | None = None

    def renamed(self, part: str | None) -> "Found":
        """Return this with what is `WHOLE` as `part`, if there is one."""
        if part is None or WHOLE not in self.parts:
            return self
        return replace(self, parts={part: self.parts[WHOLE]})


_PARTS = {
    TRAIN: ("train", "training"),
    TEST: ("test", "testing", "t10k"),
    VALIDATION: ("val", "valid", "validation", "dev"),
}
_SIDES = {
    "x": ("x", "image", "images", "img", "imgs", "data", "pixels", "features", "inputs"),
    "y": ("y", "label", "labels", "target", "targets", "class"),
}
_PART = "|".join(word for words in _PARTS.values() for word in words)
_SIDE = "|".join(word for words in _SIDES.values() for word in words)
# x_train, trainX, train_images, train/data, dataset.train.labels, train_set_y, X, y
_ARRAY = re.compile(
    rf"(?:dataset)?(?P<before>{_PART})?(?:set)?(?P<side>{_SIDE})(?P<after>{_PART})?(?:set)?"
)
# Columns of tables: those of labels, and those that number the images.
LABEL_COLUMNS = ("label", "labels", "class", "target", "y", "digit", "letter", "character")
NUMBERING_COLUMNS = ("", "id", "index", "imageid", "image_id", "unnamed: 0", "__index_level_0__")
NAMES = "x_train, y_train, x_test and y_test"  # those of Keras
_LONGEST = 255  # letters of a class's name, as of a folder's: an array keeps all at the longest


def part_of(name: str) -> str | None:
    """Return the part that the name of a file or folder has among its words, or None."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((part for part, known in _PARTS.items() if {*known} & {*words}), None)


def named_arrays(path: Path, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return, by part, which of `names` are a file's images and labels.

    Raises `UserError` when none are, when two have one meaning, or when a part lacks either.
    """
    names = list(names)
    found: dict[str, dict[str, str]] = {}
    for name in names:
        match = _ARRAY.fullmatch(re.sub(r"[^a-z0-9]", "", name.lower()))
        if not match or (match["before"] and match["after"]):
            continue
        part = part_of(match["before"] or match["after"] or "") or WHOLE
        side = next(side for side, words in _SIDES.items() if match["side"] in words)
        other = found.setdefault(part, {}).setdefault(side, name)
        if other != name:
            raise UserError(f"{path} has both {other} and {name}; name one of them otherwise")
    if not found:
        raise UserError(f"{path} has {listed(names) or 'no arrays'}; name its arrays {NAMES}")
    if len(found) > 1 and (TRAIN in found or len(found.get(WHOLE, ())) < 2):
        found.pop(WHOLE, None)  # else X and y are beside X_test and y_test
    for sides in found.values():
        if len(sides) == 1:
            lacks, (has,) = ("labels" if "x" in sides else "images"), sides.values()
            raise UserError(f"{path} has {has} but not its {lacks}; name its arrays {NAMES}")
    return {part: (sides["x"], sides["y"]) for part, sides in found.items()}


def texts(path: Path, labels: Sequence[str | bytes]) -> NDArray[Any]:
    """Return labels that are names as an array (N,); raise `UserError` for one that is none."""
    if (longest := max(map(len, labels), default=0)) > _LONGEST:
        raise UserError(
            f"{path} has a label of {longest:,} letters; give the classes names of up to {_LONGEST}"
        )
    if not all(labels):
        raise UserError(f"{path} has an example without a label; give it one, or take it out")
    return np.asarray(labels)
