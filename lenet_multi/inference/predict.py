"""Say which class each of some images shows."""

import mimetypes
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lenet_multi.errors import UserError, printable
from lenet_multi.inference.saved import SavedModel
from lenet_multi.machine.environment import threads
from lenet_multi.machine.keras_start import start_and_load

STDIN = Path("-")

_MOST_SIDE = 1024  # pixels; no classifier of digits has more

_CAPTION = 18  # letters that fit under an image


@dataclass(frozen=True)
class Prepared:
    """Images as a network sees them (N, side, side) uint8, and why others were refused."""

    names: list[str]
    pixels: NDArray[np.uint8]
    refused: list[str]


@dataclass(frozen=True)
class Prediction:
    """How probable each class is (N, classes) on each of the prepared images."""

    images: Prepared
    probabilities: NDArray[np.float64]

    def ranked(self) -> Iterator[tuple[str, list[tuple[int, float]]]]:
        """Give each image's name, and the classes with their probabilities, likeliest first."""
        for name, row in zip(self.images.names, self.probabilities, strict=True):
            yield name, [(int(place), float(row[place])) for place in np.argsort(-row)]


def predict(paths: Sequence[Path], model: SavedModel, *, backend: str) -> Prediction:
    """Return what `model` answers to the images at `paths`, all of them in one batch.

    A path is an image's, a folder's, of which all images are taken in the order of their names,
    or "-" for standard input. Keras is imported here, on `backend`, and the images are prepared
    meanwhile.

    Raises `UserError` when no image can be used, or the model takes none of a digit.
    """
    side, channels = _side_and_channels(model)
    prepared = start_and_load(backend, partial(prepare_all, paths, side=side))
    from lenet_multi.inference.answer import computing, probabilities

    network = model.load()
    pixels = np.repeat(prepared.pixels[..., np.newaxis], channels, axis=-1)
    with computing(model.path):
        return Prediction(prepared, probabilities(network, pixels))


def _side_and_channels(model: SavedModel) -> tuple[int, int]:
    """Return the side and the channels of the images that `model` takes."""
    match model.input_shape:
        case (_, int(height), int(width), 1 | 3 as channels) if 0 < height == width <= _MOST_SIDE:
            return height, channels
        case shape:
            raise UserError(
                f"{model.path} takes {shape}, and a digit can be made (N, side, side, 1 or 3) "
                f"alone, with a side of {_MOST_SIDE} at most; use another model"
            )


def prepare_all(paths: Sequence[Path], *, side: int) -> Prepared:
    """Return all images at `paths`, prepared for a network; each refusal is one line.

    Raises `UserError` when none is left.
    """
    sources = [source for path in paths for source in _sources(path)]
    with ThreadPoolExecutor(threads()) as pool:
        tried = list(pool.map(partial(_try_to_prepare, side=side), sources))
    refused = [image for image in tried if isinstance(image, str)]
    if len(refused) == len(tried):
        raise UserError("; ".join(refused))
    prepared = [
        (_name(source), image)
        for source, image in zip(sources, tried, strict=True)
        if not isinstance(image, str)
    ]
    names, pixels = zip(*prepared, strict=True)
    return Prepared(list(names), np.stack(pixels), refused)


def _sources(path: Path) -> list[Path]:
    """Return `path`, or the images in it where it is a folder that has some."""
    try:
        entries = sorted(path.iterdir()) if os.path.isdir(path) else []
    except OSError:
        entries = []
    return [entry for entry in entries if _is_called_image(entry)] or [path]


def _is_called_image(path: Path) -> bool:
    kind, _ = mimetypes.guess_type(path.name, strict=False)
    return (kind or "").startswith("image/") and not path.name.startswith(".")


def _try_to_prepare(source: Path, *, side: int) -> NDArray[np.uint8] | str:
    """Return the image prepared, or the reason why it cannot be."""
    from lenet_multi.lenet.photographs import prepare, read  # SciPy too is imported while Keras is

    name = _name(source)
    try:
        if os.path.isdir(source):
            raise UserError(f"{name} is a folder without images, or cannot be read")
        image = read(sys.stdin.buffer if source == STDIN else source, name=name)
    except UserError as error:
        return str(error)
    try:
        return prepare(image, side)
    except UserError as error:
        return f"{name}: {error}"


def _name(source: Path) -> str:
    return "standard input" if source == STDIN else str(source)


def print_prediction(prediction: Prediction, console: Console) -> None:
    """Print a row for each image: its class, how probable that is, and the next likely class."""
    table = Table("image", title="What the images show", title_justify="left")
    for column in ("class", "probability", "or else", "probability"):
        table.add_column(column, justify="right")
    for name, [(first, likely), (second, less), *_] in prediction.ranked():
        table.add_row(printable(name), str(first), f"{likely:.1%}", str(second), f"{less:.1%}")
    console.print(table)


def as_json(prediction: Prediction) -> dict[str, Any]:
    """Return the prediction as what `--json` prints."""
    return {
        "images": [
            {
                "image": name,
                "class": ranked[0][0],
                "probability": ranked[0][1],
                "probabilities": [probability for _, probability in sorted(ranked)],
            }
            for name, ranked in prediction.ranked()
        ],
        "refused": prediction.images.refused,
    }


def captions(prediction: Prediction) -> list[str]:
    """Return what `--show` writes under each image."""
    return [
        f"{_shortened(printable(Path(name).name))}\n{ranked[0][0]} ({ranked[0][1]:.1%})"
        for name, ranked in prediction.ranked()
    ]


def _shortened(name: str) -> str:
    return name if len(name) <= _CAPTION else f"{name[:7]}…{name[7 - _CAPTION + 1 :]}"
