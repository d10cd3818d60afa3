"""The test images of a run, as pictures that stand in the page itself."""

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
from lenet_multi.runs.record import Result
from lenet_multi.task import of_record

_LONGEST_SIDE = 64  # pixels of a picture; of a larger image every second, third, ... is shown


def test_images(result: Result) -> NDArray[np.uint8]:
    """Return the test images (N, height, width, channels) that a run was evaluated on.

    Raises `UserError` when they cannot be had, are others by now, or are no pictures.
    """
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    # A setting that has come since has its default.
    dataset = _load(TrainConfig(**{name: v for name, v in result.config.items() if name in known}))
    if (dataset.sha256(), len(dataset.test)) != (result.data_sha256, result.test_images):
        raise UserError(f"{result.config['data']} now holds other images than the run saw")
    if not are_pictures(dataset.test.x):
        raise UserError("its inputs are no images")
    images: NDArray[np.uint8] = dataset.test.x
    if (channels := images.shape[-1]) not in (1, 3):
        raise UserError(f"images of {channels} channels are no pictures")
    return images


@functools.lru_cache(maxsize=1)  # groups of runs mostly share it
def _load(config: TrainConfig) -> Dataset:
    return of_record(dataclasses.asdict(config), "the run").load(config)


def data_uri(image: NDArray[np.uint8]) -> str:
    """Return an image (height, width, 1 or 3 channels) as the address of a PNG inside itself."""
    step = -(-max(image.shape[:2]) // _LONGEST_SIDE)
    small = image[::step, ::step]
    colored = np.broadcast_to(small, (*small.shape[:2], 3))
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, colored, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
