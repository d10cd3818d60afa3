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
from lenet_multi.data.sources.pictures import SPLITS, check_splits, first_of, stack
from lenet_multi.errors import UserError, reason
from lenet_multi.machine import extras

_PATIENCE = 5.0  # seconds for the Hub to answer; the library waits half a minute
_MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB"}


def read(name: str) -> tuple[list[NDArray[Any]], list[str]]:
    """Return the four arrays of a set on the Hub, or in a folder of image files or tables.

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
        check_splits(found)
        arrays = [array for split in SPLITS for array in _arrays(datasets, found[split], split)]
        return arrays, _class_names(datasets, [found[split].features for split in SPLITS])
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


def _arrays(datasets: Any, part: Any, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    image = first_of(datasets.Image, part.features)
    label = first_of(datasets.ClassLabel, part.features)
    return stack(part.select_columns([image, label]), (image, label), split, _pixels)


def _class_names(datasets: Any, features: list[Any]) -> list[str]:
    first, second = (list(each[first_of(datasets.ClassLabel, each)].names) for each in features)
    if first != second:
        raise UserError(
            f"its split train names classes {few(first)}, test {few(second)}; make them alike"
        )
    return first


def _pixels(picture: Any) -> NDArray[np.uint8]:
    """Return (height, width) uint8 of a grey picture, (height, width, 3) of a coloured one."""
    if picture.mode not in _MODES:
        raise UserError(f"its pictures have mode {picture.mode}; save them with 8 bits per channel")
    return np.asarray(picture.convert(_MODES[picture.mode]), np.uint8)
