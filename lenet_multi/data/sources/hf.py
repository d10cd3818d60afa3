"""Image sets of Hugging Face's `datasets`: by name on the Hub, or a local folder."""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.sources.pictures import SPLITS, check_splits, first_of, stack
from lenet_multi.errors import UserError
from lenet_multi.machine import extras

_PATIENCE = 5.0  # seconds for the Hub to answer; the library tries for half a minute
_MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB"}


def read(name: str) -> list[NDArray[Any]]:
    """Return training images and labels, test images and labels of a data set of `datasets`.

    `name` is one of the Hub, or a folder: of image files, of tables, or one that `save_to_disk`
    wrote. The first column of type Image is read, and the first ClassLabel.

    Raises `UserError` when the library is missing, the set cannot be found or read, or it has no
    splits train and test, no such columns, or images of several shapes.
    """
    path = Path(name).expanduser()
    if not path.exists() and not _hub_answers():
        os.environ["HF_HUB_OFFLINE"] = "1"  # what was downloaded before is found all the same
    datasets = extras.require("datasets", "huggingface")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        saved = (path / datasets.config.DATASETDICT_JSON_FILENAME).exists()
        found = (datasets.load_from_disk if saved else datasets.load_dataset)(str(path))
        check_splits(found)
        return [array for split in SPLITS for array in _arrays(datasets, found[split], split)]
    except UserError:
        raise
    except Exception as error:  # what the library and its libraries raise is without number
        reason = str(error).partition("\n")[0]
        if "HF_HUB_OFFLINE" in os.environ:
            reason += "; the Hub does not answer, so give a folder, or a data set downloaded before"
        raise UserError(f"Hugging Face's datasets cannot read it: {reason}") from error


def _hub_answers() -> bool:
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        urllib.request.urlopen(hub, timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _arrays(datasets: Any, part: Any, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    image = first_of(datasets.Image, part.features)
    label = first_of(datasets.ClassLabel, part.features)
    return stack(part.select_columns([image, label]), (image, label), split, _pixels)


def _pixels(picture: Any) -> NDArray[np.uint8]:
    """Return (height, width) of a grey picture, (height, width, 3) of one in colour, uint8."""
    if picture.mode not in _MODES:
        raise UserError(f"its pictures have the mode {picture.mode}, not 8 bits a channel")
    return np.asarray(picture.convert(_MODES[picture.mode]), np.uint8)
