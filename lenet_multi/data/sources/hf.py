"""Image sets of Hugging Face's `datasets`: by name on the Hub, or a local folder."""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.class_names import few
from lenet_multi.data.found import Pair
from lenet_multi.data.sources.pictures import first_of, splits_of, stack
from lenet_multi.errors import UserError, reason
from lenet_multi.machine import extras

_PATIENCE = 5.0  # seconds for the Hub to answer; the library waits half a minute
_MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB"}


def read(name: str) -> tuple[dict[str, Pair], list[str]]:
    """Return the images and labels of a set on the Hub, or in a folder of image files or tables.

    Also return the names of its classes, which for a folder are those of the folders in it.

    The folder may also come from `save_to_disk`. Of the columns, the first Image and the first
    ClassLabel are read. Raises `UserError` when the library is missing, or the set cannot be read
    or lacks a split or column, or its images differ in shape.
    """
    path = Path(name).expanduser()
    if not path.exists() and not _hub_answers():
        os.environ["HF_HUB_OFFLINE"] = "1"  # the library then finds earlier downloads
    datasets = extras.require("datasets", "huggingface")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        saved = (path / datasets.config.DATASETDICT_JSON_FILENAME).exists()
        found = (datasets.load_from_disk if saved else datasets.load_dataset)(str(path))
        splits = splits_of(found)
        pairs = {part: _pair(datasets, found[split], split) for part, split in splits.items()}
        features = {split: found[split].features for split in splits.values()}
        return pairs, _class_names(datasets, features)
    except UserError:
        raise
    except Exception as error:  # the library and its libraries raise errors of any class
        remedy = "give another data set or folder"
        if "HF_HUB_OFFLINE" in os.environ:
            remedy = "the Hub is not reached; give a folder, or a data set downloaded before"
        raise UserError(
            f"Hugging Face's datasets cannot read it: {reason(error)}; {remedy}"
        ) from error


def _hub_answers() -> bool:
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        urllib.request.urlopen(hub, timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        return isinstance(error, urllib.error.HTTPError)
    return True


def _pair(datasets: Any, part: Any, split: str) -> Pair:
    image = first_of(datasets.Image, part.features)
    label = first_of(datasets.ClassLabel, part.features)
    return stack(part.select_columns([image, label]), (image, label), split, _pixels)


def _class_names(datasets: Any, features: dict[str, Any]) -> list[str]:
    named = {
        split: list(each[first_of(datasets.ClassLabel, each)].names)
        for split, each in features.items()
    }
    (first, names), *others = named.items()
    for other, of_other in others:
        if of_other != names:
            raise UserError(
                f"its split {first} names classes {few(names)}, {other} {few(of_other)}; make them "
                "alike"
            )
    return names


def _pixels(picture: Any) -> NDArray[np.uint8]:
    """Return (height, width) uint8 of a grey picture, (height, width, 3) of a coloured one."""
    if picture.mode not in _MODES:
        raise UserError(f"its pictures have mode {picture.mode}; save them with 8 bits per channel")
    return np.asarray(picture.convert(_MODES[picture.mode]), np.uint8)
