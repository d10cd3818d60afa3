"""Have a loaded model answer: as fast as the backend can, and with probabilities."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi.backends import choice
from lenet_multi.backends.forms import compute_as
from lenet_multi.data.metrics import as_probabilities
from lenet_multi.errors import UserError, reason
from lenet_multi.machine.frameworks import BACKENDS

_AT_ONCE = 1000  # images of a batch: the LeNet's take 60 MB


def quicken(model: keras.Model) -> None:
    """Compute `model` in the backend's fastest form; its answers stay the same to rounding."""
    backend = keras.backend.backend()
    if backend in BACKENDS:
        how = choice.here()
        model.jit_compile = how.jit_compile
        if isinstance(model, keras.Sequential):
            compute_as(model, how.answer_form)


@contextmanager
def computing(path: Path) -> Iterator[None]:
    """Raise `UserError` where the backend cannot compute the model at `path`.

    A backend that only answers may lack what it needs, or the model may make no sense.
    """
    backend = keras.backend.backend()
    try:
        yield
    except Exception as error:  # each refuses in its own way
        raise UserError(
            f"Keras's {backend} backend cannot compute {path}: {reason(error)}; choose another "
            "--backend or model"
        ) from error


def probabilities(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how probable each class is (N, classes) on `images` (N, height, width, channels)."""
    outputs = [
        model.predict_on_batch(np.divide(images[begin : begin + _AT_ONCE], 255, dtype=np.float32))
        for begin in range(0, len(images), _AT_ONCE)
    ]
    return as_probabilities(np.concatenate(outputs).astype(np.float32))
