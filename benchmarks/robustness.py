"""Evaluate trained runs on changed test images: `nox -s study -- robustness RUN ...`.

Recipes are fixed before: nothing is chosen by these figures. Other digits are those of
scikit-learn, which are UCI's "Optical Recognition of Handwritten Digits".
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import lenet_multi
from benchmarks import recipe_figures
from benchmarks.report import RESULTS, read
from lenet_multi.data.metrics import calibration, calibration_error
from lenet_multi.errors import UserError
from lenet_multi.lenet import image_sets
from lenet_multi.machine import children, environment
from lenet_multi.runs.durable import write_json
from lenet_multi.runs.record import Run, read_run

Images = NDArray[np.uint8]
Change = Callable[[Images], Images]

SEED = 0  # of directions and of noise
NAMES = ("recipe", "seed", "backend")  # of a run
OTHERS = "scikit-learn's digits, enlarged"


def _each(change: Callable[[NDArray[np.float64], int], Any]) -> Change:
    """Return a change of images (N, H, W, 1) by one of each image (H, W) and its number."""

    def changed(images: Images) -> Images:
        found = [
            change(one.astype(np.float64), number) for number, one in enumerate(images[..., 0])
        ]
        return np.clip(np.rint(found), 0, 255).astype(np.uint8)[..., np.newaxis]

    return changed


def _sign(number: int) -> int:
    return -1 if number % 2 else 1


def shifted(pixels: int) -> Change:
    """Return a move by some pixels, down or up and left or right by turns."""
    return _each(
        lambda image, number: ndimage.shift(
            image, (pixels * _sign(number), pixels * _sign(number // 2)), order=1
        )
    )


def turned(degrees: float) -> Change:
    """Return a turn, to the left and to the right by turns."""
    return _each(
        lambda image, number: ndimage.rotate(image, degrees * _sign(number), reshape=False, order=1)
    )


def zoomed(factor: float) -> Change:
    """Return a change of size around the middle."""

    def change(image: NDArray[np.float64], number: int) -> Any:
        middle = (np.array(image.shape) - 1) / 2
        return ndimage.affine_transform(
            image, np.eye(2) / factor, middle - middle / factor, order=1
        )

    return _each(change)


def noisy(deviation: float) -> Change:
    """Return the addition of Gaussian noise, of so many grey levels of 255."""

    def change(images: Images) -> Images:
        noise = np.random.default_rng(SEED).normal(0, deviation, images.shape)
        return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)

    return change


def _thick(image: NDArray[np.float64], number: int) -> Any:
    return ndimage.grey_dilation(image, (2, 2))


def _thin(image: NDArray[np.float64], number: int) -> Any:
    return ndimage.grey_erosion(image, (2, 2))


CONDITIONS: Mapping[str, Change] = {
    "as they are": lambda images: images,
    "moved by 2 pixels": shifted(2),
    "moved by 4 pixels": shifted(4),
    "turned by 15 degrees": turned(15),
    "turned by 30 degrees": turned(30),
    "0.7 times as large": zoomed(0.7),
    "1.2 times as large": zoomed(1.2),
    "noise of 32 grey levels": noisy(32),
    "noise of 64 grey levels": noisy(64),
    "blurred, sigma 1 pixel": _each(lambda image, number: ndimage.gaussian_filter(image, 1.0)),
    "blurred, sigma 1.5 pixels": _each(lambda image, number: ndimage.gaussian_filter(image, 1.5)),
    "strokes one pixel thicker": _each(_thick),
    "strokes one pixel thinner": _each(_thin),
    "black on white": lambda images: 255 - images,
}


def enlarged(images: NDArray[np.floating]) -> Images:
    """Return digits (N, 8, 8), from 0 to 16, in MNIST's size: 20x20 pixels in the middle of 28x28.

    Pixels between others are interpolated linearly.
    """
    bright = ndimage.zoom(
        images * (255 / 16), (1, 2.5, 2.5), order=1, grid_mode=True, mode="nearest"
    )
    framed = np.pad(np.rint(bright), ((0, 0), (4, 4), (4, 4)))
    found: Images = np.clip(framed, 0, 255).astype(np.uint8)[..., np.newaxis]
    return found


def measured(run: Run, files: Mapping[str, Path]) -> dict[str, Any]:
    """Return a run's accuracy on each file, and its calibration on the test images."""
    accuracies = {
        name: lenet_multi.evaluate(run.folder, data=file).test_accuracy
        for name, file in files.items()
    }
    return {
        "recipe": run.result.config["recipe"],
        "seed": run.result.config["seed"],
        "backend": run.result.backend,
        "accuracy": accuracies,
        "calibration_error": calibration_error(run.outputs, run.targets),
        "calibration": calibration(run.outputs, run.targets).tolist(),
        "machine": environment.machine(),
    }


def write_images(folder: Path) -> dict[str, Path]:
    """Write an .npz of the test images under each condition, and of the other digits."""
    from sklearn.datasets import load_digits

    test, others = image_sets.load().test, load_digits()
    sets = {name: (change(np.asarray(test.x)), test.y) for name, change in CONDITIONS.items()}
    sets[OTHERS] = enlarged(others.images), others.target
    files = {name: folder / f"{place}.npz" for place, name in enumerate(sets)}
    for name, (x, y) in sets.items():
        np.savez(files[name], x_test=x, y_test=y)
    return files


def main() -> int:
    """Write the figures of the named runs beside those of other runs on file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--out", type=Path, default=RESULTS / "robustness.json")
    asked = parser.parse_args()
    try:
        runs = list(map(read_run, asked.runs))
    except UserError as error:
        parser.error(str(error))
    with children.bars() as progress, TemporaryDirectory() as name:
        files = write_images(Path(name))
        done = [measured(run, files) for run in progress.track(runs, description="runs")]
    on_file = read(asked.out)["runs"] if asked.out.exists() else []
    each = {tuple(run[name] for name in NAMES): run for run in (*on_file, *done)}
    write_json(asked.out, {"runs": [*each.values()]})
    recipe_figures.draw_reliability([*each.values()], asked.out.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
