"""Predict the classes of images."""

import mimetypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import DIGIT
from lenet_multi.data.class_names import Names, shortened, shown
from lenet_multi.data.metrics import as_probabilities
from lenet_multi.errors import UserError, printable, reason
from lenet_multi.inference.doubts import SURE
from lenet_multi.inference.saved import SavedModel
from lenet_multi.machine.environment import threads
from lenet_multi.machine.keras_start import start_and_load
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras

STDIN = Path("-")

_AT_ONCE = 1000  # images in a batch: takes 60 MB in the LeNet
_MOST_SIDE = 1024  # pixels; no classifier of digits has more
_IMAGES = (".avif", ".heic", ".heif", ".webp")  # some systems' `mimetypes` lack them
_CAPTION = 18  # letters; more do not fit under an image
_NAME = 11  # letters of a class's name, before a probability


@dataclass(frozen=True)
class Prediction:
    """A model's probabilities (N, classes) for images `pixels` (N, height, width, channels)."""

    names: list[str]
    pixels: NDArray[np.uint8]
    refused: list[str]  # messages about the images that could not be used
    probabilities: NDArray[np.float64]
    class_names: Names | None = None  # without them labels are the names
    of_digits: bool = False

    @property
    def unsure(self) -> list[bool]:
        """Whether each answer is to be doubted; known of digits alone, whose classes are alike."""
        return [self.of_digits and not row.max() > SURE for row in self.probabilities]

    def ranked(self) -> Iterator[tuple[str, list[tuple[int, float]]]]:
        """Yield each image's name, and its labels with their probabilities, likeliest first."""
        for name, row in zip(self.names, self.probabilities, strict=True):
            yield name, [(int(place), float(row[place])) for place in np.argsort(-row)]


def predict(paths: Sequence[Path], model: SavedModel, *, backend: str) -> Prediction:
    """Import Keras on `backend` while preparing the images at `paths`; return their prediction.

    A path is an image, a folder (all its images, ordered by name), or "-" for standard input.
    Raises `UserError` when no image can be used, or the model takes no images.
    """
    read_input = model.task.read_input
    if read_input is None:
        raise UserError(f"{model.path} is of a task that reads no image files; use another model")
    shape = _image_shape(model)
    read = partial(read_input, prepared=model.inputs.prepared)
    names, pixels, refused = start_and_load(backend, lambda: prepare_all(paths, read, shape))
    network = model.load()
    with computing(model.path):
        found = probabilities(network, model.task, pixels)
    is_digit = model.inputs.prepared == DIGIT
    return Prediction(names, pixels, refused, found, model.class_names, of_digits=is_digit)


def _image_shape(model: SavedModel) -> tuple[int, int, int]:
    is_digit = model.inputs.prepared == DIGIT
    match model.input_shape:
        case (_, int(height), int(width), 1 | 3 as channels) if (
            min(height, width) > 0
            and max(height, width) <= _MOST_SIDE
            and (height == width or not is_digit)
        ):
            return height, width, channels
        case shape:
            wanted, remedy = "(N, height, width, 1 or 3)", ""
            if is_digit:
                wanted, remedy = "(N, side, side, 1 or 3)", ", or --prepare resize"
            raise UserError(
                f"{model.path} takes {shape}, but image files are read as {wanted}, sides at most "
                f"{_MOST_SIDE}; use another model{remedy}"
            )


@contextmanager
def computing(path: Path) -> Iterator[None]:
    """Raise `UserError` when the backend cannot compute the model at `path` in this context."""
    import keras

    backend = keras.backend.backend()
    try:
        yield
    except Exception as error:  # each backend raises its own classes
        raise UserError(
            f"{backend} cannot compute {path}: {reason(error)}; choose another --backend or model"
        ) from error


def probabilities(
    model: "keras.Model", task: Task, images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return the probabilities (N, classes) for `images` (N, height, width, channels)."""
    outputs = [
        model.predict_on_batch(task.prepare(images[begin : begin + _AT_ONCE], "float32"))
        for begin in range(0, len(images), _AT_ONCE)
    ]
    return as_probabilities(np.concatenate(outputs).astype(np.float32))


def prepare_all(
    paths: Sequence[Path], read_input: Callable[..., NDArray[np.uint8]], shape: tuple[int, ...]
) -> tuple[list[str], NDArray[np.uint8], list[str]]:
    """Return the images' names, pixels and refusals; raise `UserError` if all are refused."""

    def prepare(source: Path) -> tuple[str, NDArray[np.uint8] | UserError]:
        name = "standard input" if source == STDIN else str(source)
        try:
            if os.path.isdir(source):
                raise UserError(f"{name} is a folder without readable images; give images")
            return name, read_input(sys.stdin.buffer if source == STDIN else source, name, shape)
        except UserError as error:
            return name, error

    with ThreadPoolExecutor(threads()) as pool:
        tried = list(pool.map(prepare, [source for path in paths for source in _sources(path)]))
    refused = [str(image) for _, image in tried if isinstance(image, UserError)]
    if len(refused) == len(tried):
        raise UserError("; ".join(refused))
    prepared = [(name, image) for name, image in tried if not isinstance(image, UserError)]
    names, pixels = zip(*prepared, strict=True)
    return list(names), np.stack(pixels), refused


def _sources(path: Path) -> list[Path]:
    """Return the images in `path` if it is a folder with images, else `path`."""
    try:
        entries = sorted(path.iterdir()) if os.path.isdir(path) else []
    except OSError:
        entries = []
    return [entry for entry in entries if _is_called_image(entry)] or [path]


def _is_called_image(path: Path) -> bool:
    kind, _ = mimetypes.guess_type(path.name, strict=False)
    is_image = (kind or "").startswith("image/") or path.suffix.lower() in _IMAGES
    return is_image and not path.name.startswith(".")


def as_json(prediction: Prediction) -> dict[str, Any]:
    """Return the prediction as `--json` prints it."""
    names = prediction.class_names
    return {
        **({"class_names": list(names)} if names else {}),
        "images": [
            {
                "image": name,
                "class": ranked[0][0],
                **({"name": names[ranked[0][0]]} if names else {}),
                "probability": ranked[0][1],
                **({"unsure": unsure} if prediction.of_digits else {}),
                "probabilities": [probability for _, probability in sorted(ranked)],
            }
            for (name, ranked), unsure in zip(prediction.ranked(), prediction.unsure, strict=True)
        ],
        "refused": prediction.refused,
    }


def captions(prediction: Prediction) -> list[str]:
    """Return the caption that `--show` writes under each image."""
    return [
        f"{shortened(printable(Path(name).name), _CAPTION)}\n"
        f"{shortened(shown(prediction.class_names, ranked[0][0]), _NAME)} ({ranked[0][1]:.1%})"
        for name, ranked in prediction.ranked()
    ]
