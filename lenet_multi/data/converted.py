"""Turn images and labels as people store them into bytes (N, height, width, channels) and integers.

Every conversion is said in a note. What could mean two things is refused, never guessed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.class_names import by_value, is_whole
from lenet_multi.data.found import Found, Pair
from lenet_multi.errors import UserError, by

_CHANNELS = (1, 3, 4)
_LARGEST = 255
_FAINT = 16  # the brightest pixel of 4 bits: an image of bytes is hardly that dark

_NEARLY = 0.9  # floats in [-1, 1] come this near to both ends; in [-0.5, 0.5] they do not

_DARK = "the brightest pixel is {:g} of 255; if that is white, divide the pixels by it"

Array = NDArray[Any]


def converted(found: Found, source: str, *, classes: int) -> Found:
    """Return the images of `found` as uint8 of 4 axes, and its labels as integers of one axis.

    Classes named by whole numbers below `classes` keep their number; others are counted in the
    order of their names, whole numbers by value. Raises `UserError` when arrays are no images or
    labels, or could mean two things.
    """
    if not found.parts:
        return found
    notes: dict[str, None] = dict.fromkeys(found.notes)
    pairs: dict[str, Pair] = {}
    for part, (x, y) in found.parts.items():
        name = f"{source} ({_SAID.get(part, part)})"
        x, y = np.asarray(x), np.asarray(y)
        said, images = _laid_out(x, y, name)
        notes |= dict.fromkeys(said)
        said, labels = _flat(y, len(images), name)
        notes |= dict.fromkeys(said)
        if len(images) != len(labels):
            raise UserError(
                f"{name}: {len(images)} images but {len(labels)} labels; give as many of both"
            )
        if not images.size:
            raise UserError(f"{name}: there are no images, or they have no pixels; give others")
        pairs[part] = images, labels
    said, images_of = _bytes({part: x for part, (x, _) in pairs.items()}, source)
    notes |= dict.fromkeys(said)
    stored = {part: y for part, (_, y) in pairs.items()}
    labels_of, class_names = _numbered(stored, found.class_names, classes)
    parts = {part: (images_of[part], labels_of[part]) for part in pairs}
    return replace(found, parts=parts, notes=tuple(notes), class_names=class_names)


_SAID = {"train": "training"}


def _laid_out(x: Array, y: Array, name: str) -> tuple[list[str], Array]:
    """Return images as (N, height, width, channels), and what was done to get there."""
    shape, notes = x.shape, []
    count = y.size if y.ndim < 2 or 1 in y.shape else len(y)
    if x.ndim > 1 and x.shape[-1] == count and count not in (*x.shape[:-1], *_CHANNELS):
        x = np.moveaxis(x, -1, 0)  # MATLAB's order
        notes.append("the last axis of the images counts them; it was put first")
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        if side > 1 and side**2 == x.shape[1]:
            x = x.reshape(-1, side, side)
            notes.append(f"rows of {side**2} pixels are taken for images of {side}x{side}")
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4:
        raise UserError(
            f"{name}: images must have 3 or 4 axes, or rows of as many pixels as a square has, not "
            f"the shape {by(shape) or 'of one number'}"
        )
    if x.shape[1] in _CHANNELS and x.shape[3] not in _CHANNELS:
        x = np.moveaxis(x, 1, -1)
        notes.append("images have their channels first; they were put last")
    return notes, x


def _flat(y: Array, images: int, name: str) -> tuple[list[str], Array]:
    """Return labels of one axis, integers or texts, and what was done to get there."""
    shape, dtype, notes = y.shape, y.dtype, []
    if y.ndim == 2 and 1 in y.shape:
        y = y.reshape(-1)  # a column, as CIFAR's, or MATLAB's row
    if y.ndim == 2 and images in y.shape and y.dtype.kind in "fiub":
        rows = y if len(y) == images else y.T
        if ((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all():
            y = rows.argmax(axis=1)
            notes.append(f"one-hot labels of {rows.shape[1]} classes were turned into integers")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "b" or (y.dtype.kind == "f" and y.size and _are_whole(y)):
        y = y.astype(np.int64)
    if y.ndim != 1 or y.dtype.kind not in "iuU":
        raise UserError(
            f"{name}: labels must be integers of 1 axis, names, or one-hot rows, not {dtype} of "
            f"the shape {by(shape) or 'of one number'}"
        )
    return notes, y


def _are_whole(values: Array) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):  # 2**53 is no float16
        return bool((np.abs(values) < 2**53).all() and (values == np.rint(values)).all())


def _bytes(images: Mapping[str, Array], source: str) -> tuple[list[str], dict[str, Array]]:
    """Return all images as uint8, on one scale, and what was done to get there."""
    arrays = list(images.values())
    if any(array.dtype.kind not in "fiub" for array in arrays):
        kinds = " and ".join(dict.fromkeys(str(array.dtype) for array in arrays))
        raise UserError(f"{source}: images must be numbers from 0 to {_LARGEST}, not {kinds}")
    if all(array.dtype == np.uint8 for array in arrays) and _is_bright(arrays):
        return [], dict(images)
    _refuse_two_scales(images, source)
    low = min(float(array.min()) for array in arrays)
    high = max(float(array.max()) for array in arrays)
    scale, shift, note = _scale(arrays, low, high, source)
    notes = [note] if note else []
    return notes, {part: _scaled(array, scale, shift) for part, array in images.items()}


def _is_bright(arrays: Sequence[Array]) -> bool:
    """Return whether bytes are beyond doubt: looks at all of them only if the first are dark."""
    return any(array[:100].max() > _FAINT for array in arrays) or any(
        array.max() > _FAINT for array in arrays
    )


def _refuse_two_scales(images: Mapping[str, Array], source: str) -> None:
    """Raise `UserError` when floats of one part end at 1, or begin at 0, and another's do not."""
    ends = {part: (float(array.min()), float(array.max())) for part, array in images.items()}
    floats = [part for part, array in images.items() if array.dtype.kind == "f"]
    to_one = [part for part in floats if 0 < ends[part][1] <= 1]
    beyond = [part for part, (_, high) in ends.items() if high > 1]
    from_zero = [part for part in floats if 0 <= ends[part][0] < ends[part][1]]
    below = [part for part, (low, _) in ends.items() if low < 0]
    for these, others in ((to_one, beyond), (from_zero, below)):
        if these and others:
            first, second = (
                f"{_SAID.get(part, part)} pixels run from {ends[part][0]:g} to {ends[part][1]:g}"
                for part in (these[0], others[0])
            )
            raise UserError(f"{source}: {first}, but {second}; give both on one scale")


def _scale(
    arrays: Sequence[Array], low: float, high: float, source: str
) -> tuple[float, float, str]:
    """Return what pixels are to be multiplied by and then increased by, and what to say."""
    are_floats = any(array.dtype.kind == "f" for array in arrays)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{source}: pixels must be finite numbers, but some are not")
    if low >= 0 and high <= 1:
        kind = "floats in [0, 1]" if are_floats else "of 0 and 1"
        words = f"pixels are {kind}; they were multiplied by 255 and kept as bytes"
        if high * _LARGEST <= _FAINT:
            words += f"; {_DARK.format(high * _LARGEST)}"
        return _LARGEST, 0, words
    if are_floats and -1 <= low <= -_NEARLY and _NEARLY <= high <= 1:
        words = "pixels are floats in [-1, 1]; they were brought to 0 to 255 and kept as bytes"
        return _LARGEST / 2, _LARGEST / 2, words
    if low >= 0 and high <= _LARGEST:
        if are_floats and not all(_are_whole(array) for array in arrays):
            return 1, 0, "pixels are floats from 0 to 255; they were rounded to bytes"
        dark = high <= _FAINT
        return 1, 0, _DARK.format(high) if dark else ""
    raise UserError(
        f"{source}: pixels run from {low:g} to {high:g}; give them from 0 to 255, or in [0, 1]"
    )


def _scaled(array: Array, scale: float, shift: float) -> NDArray[np.uint8]:
    if array.dtype == np.uint8 and scale == 1:
        return array
    if array.dtype.kind in "iub" and not shift:
        return array.astype(np.uint8) * np.uint8(scale)
    found = np.empty(array.shape, np.uint8)
    step = max(1, 2**22 // max(1, array[:1].size))  # images: few megabytes of floats at a time
    for at in range(0, len(array), step):
        some = array[at : at + step].astype(np.float64)
        found[at : at + step] = np.rint(some * scale + shift)
    return found


def _numbered(
    labels: Mapping[str, Array], names: tuple[str, ...] | None, classes: int
) -> tuple[dict[str, Array], tuple[str, ...] | None]:
    """Return labels as integers and the names of their classes, if any."""
    found = dict(labels)
    if any(array.dtype.kind == "U" for array in found.values()):
        known = {str(name) for array in found.values() for name in np.unique(array.astype(str))}
        names = tuple(sorted(known, key=_order))
        number = {name: place for place, name in enumerate(names)}
        for part, array in found.items():
            of_part, places = np.unique(array.astype(str), return_inverse=True)
            found[part] = np.array([number[str(name)] for name in of_part])[places]
    numbers, names = by_value(list(found.values()), names, classes)
    return dict(zip(found, numbers, strict=True)), names


def _order(name: str) -> tuple[bool, int, str]:
    """Sort whole numbers first and by value, then other names as texts."""
    return (False, int(name), name) if is_whole(name) else (True, 0, name)
