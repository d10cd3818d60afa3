"""Draw images with a model's answers, and a confusion matrix."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenet_multi.data.metrics import as_probabilities, worst_first
from lenet_multi.inference.evaluate import Evaluation
from lenet_multi.runs.durable import replacing

CONFUSION, MISTAKES = "confusion.png", "mistakes.png"

_COLUMNS = 10  # images in a row of a sheet
_CELL, _CAPTION = 1.25, 0.45  # inches: an image's side, the height of two lines under it
_MOST_MISTAKES = 50
_MOST_NUMBERS = 20  # classes; a larger matrix is drawn without numbers
_DPI = 110


def draw_evaluation(found: Evaluation, folder: Path) -> None:
    """Draw the confusion matrix and the most confident mistakes in `folder`, or raise `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_confusion(found.confusion, folder / CONFUSION)
    labels, answers = found.test.y, found.outputs.argmax(axis=1)
    sureness = as_probabilities(found.outputs).max(axis=1)
    worst = worst_first(answers != labels, sureness, _MOST_MISTAKES)
    if len(worst):
        captions = [f"is {labels[i]}, said {answers[i]}\n{sureness[i]:.1%}, #{i}" for i in worst]
        draw_sheet(found.test.x[worst], captions, folder / MISTAKES)
    else:
        (folder / MISTAKES).unlink(missing_ok=True)


def draw_confusion(matrix: NDArray[np.int64], path: Path) -> None:
    """Write a PNG of `matrix` (classes, classes), label first; wrong answers are coloured."""
    classes = len(matrix)
    figure = Figure(figsize=(7.5, 7), layout="constrained")
    axes = figure.add_subplot()
    wrong = np.where(np.eye(classes, dtype=bool), 0, matrix)
    # Lightness alone distinguishes the values.
    axes.imshow(wrong, "Blues", vmin=0, vmax=max(1, wrong.max()))
    if classes <= _MOST_NUMBERS:
        axes.set(xticks=range(classes), yticks=range(classes))
        for (label, answer), count in np.ndenumerate(matrix):
            dark = wrong[label, answer] > wrong.max() / 2
            weight = "bold" if label == answer else "normal"
            font = {"color": "white" if dark else "black", "weight": weight}
            axes.text(answer, label, str(count or ""), font, ha="center", va="center")
    axes.set(xlabel="answer", ylabel="label")
    axes.set_title(f"{matrix.trace():,} of {matrix.sum():,} right; wrong answers are coloured")
    with replacing(path) as file:
        figure.savefig(file, dpi=_DPI, format="png")


def draw_sheet(images: NDArray[np.uint8], captions: Sequence[str], path: Path) -> None:
    """Write a PNG of `images` (N, height, width, channels), each above a caption of two lines."""
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    height = rows * (_CELL + _CAPTION)
    figure = Figure(figsize=(_CELL * columns, height))
    axes = figure.add_axes((0, 0, 1, 1))
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        left, top = (column + 0.05) * _CELL, row * (_CELL + _CAPTION) + 0.05 * _CELL
        side = 0.9 * _CELL
        axes.imshow(image, "gray", vmin=0, vmax=255, extent=(left, left + side, top + side, top))
        font = {"size": 8, "ha": "center", "va": "top"}
        # parse_math=False, because a file's name may contain dollar signs.
        axes.text(left + side / 2, top + side + 0.04, caption, font, parse_math=False)
    axes.set(xlim=(0, columns * _CELL), ylim=(height, 0))
    axes.set_axis_off()
    with warnings.catch_warnings(), replacing(path) as file:
        # Matplotlib draws a box for a letter of a file's name that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, dpi=_DPI, format="png")
