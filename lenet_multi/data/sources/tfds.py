"""Image sets of TensorFlow Datasets, read without TensorFlow."""

import os
import re
from pathlib import Path
from typing import Any

from lenet_multi.data.found import Pair
from lenet_multi.data.sources.pictures import first_of, splits_of, stack
from lenet_multi.errors import UserError, reason, unknown
from lenet_multi.machine import extras


def read(name: str) -> tuple[dict[str, Pair], list[str]]:
    """Return images, labels and names of NAME[/CONFIG][:VERSION], prepared in TFDS_DATA_DIR.

    Nothing is downloaded, because preparing a set needs TensorFlow. Raises `UserError` when the
    library is missing, or the set is unknown, not prepared or in another format, or lacks a split,
    image or label, or its images differ in shape.
    """
    tfds = extras.require("tensorflow_datasets", "tfds")
    logging = extras.require("absl.logging", "tfds")
    logging.set_verbosity(logging.ERROR)  # it warns that OpenCV is missing, and more
    builder = _builder(tfds, name)
    remedy = (
        'prepare it, which needs TensorFlow, with: python -c "import tensorflow_datasets; '
        f"tensorflow_datasets.builder('{name}').download_and_prepare(file_format='array_record')\""
    )
    if not builder.is_prepared():
        raise UserError(f"it is not at {builder.data_path} (see TFDS_DATA_DIR); {remedy}")
    splits = splits_of(builder.info.splits)
    try:
        pairs = {part: _pair(tfds, builder, split) for part, split in splits.items()}
        features = dict(builder.info.features)
        return pairs, list(features[first_of(tfds.features.ClassLabel, features)].names)
    except UserError:
        raise
    except NotImplementedError as error:  # the library raises it for the format tfrecord
        stored = builder.info.file_format.value
        raise UserError(
            f"it is stored as {stored}, which only TensorFlow can read; delete {builder.data_path} "
            f"and {remedy}"
        ) from error
    except Exception as error:  # the library and its libraries raise errors of any class
        why = reason(error)
        raise UserError(f"TensorFlow Datasets cannot read it: {why}; prepare it again") from error


def _builder(tfds: Any, name: str) -> Any:
    folder = Path(os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR)
    try:
        return tfds.builder(name, data_dir=folder, try_gcs=False)
    except tfds.core.registered.DatasetNotFoundError as error:
        prepared = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        known = [*prepared, *re.findall(r"^\t- (\w+)$", str(error), re.MULTILINE)]
        raise UserError(unknown("data set", name, known)) from error
    except Exception as error:
        why = reason(error)
        raise UserError(f"TensorFlow Datasets lacks it: {why}; choose another data set") from error


def _pair(tfds: Any, builder: Any, split: str) -> Pair:
    features = dict(builder.info.features)
    image = first_of(tfds.features.Image, features)
    label = first_of(tfds.features.ClassLabel, features)
    return stack(builder.as_data_source(split=split), (image, label), split)
