"""A run's test images, as pictures inside the page."""

import base64
import dataclasses
import functools
import io

import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, are_pictures
from lenet_multi.errors import UserError
from lenet_multi.own.find import of_record
from lenet_multi.runs.record import Result

_LONGEST_SIDE = 64  # pixels of a picture; a larger image shows every second, third, ... pixel


def test_images(result: Result) -> NDArray[np.uint8]:
    """Return the test images (N, height, width, channels) that a run was evaluated on.

    Raises `UserError` when they cannot be read, have changed since, or are no pictures.
    """
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    # A setting newer than the run gets its default.
    dataset = _load(TrainConfig(**{name: v for name, v in result.config.items() if name in known}))
    data = result.config["data"]
    if (dataset.sha256(), len(dataset.test)) != (result.data_sha256, result.test_images):
        raise UserError(f"{data} has changed since the run; put the run's images back")
    images: NDArray[np.uint8] = dataset.test.x
    if not are_pictures(images) or images.shape[-1] not in (1, 3):
        raise UserError(f"{data} must hold images of 1 or 3 channels to be shown")
    return images


@functools.lru_cache(maxsize=1)  # most groups of runs share it
def _load(config: TrainConfig) -> Dataset:
    return of_record(dataclasses.asdict(config), "the run").load(config)


def data_uri(image: NDArray[np.uint8]) -> str:
    """Return an image (height, width, 1 or 3 channels) as the data URI of a PNG."""
    step = -(-max(image.shape[:2]) // _LONGEST_SIDE)
    small = image[::step, ::step]
    colored = np.broadcast_to(small, (*small.shape[:2], 3))
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, colored, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
