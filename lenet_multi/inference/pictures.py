"""Draw images with a model's answers, and a confusion matrix."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenet_multi.data.class_names import Names, shortened, shown
from lenet_multi.data.metrics import as_probabilities, worst_first
from lenet_multi.inference.evaluate import Evaluation
from lenet_multi.runs.durable import replacing
from lenet_multi.runs.palette import LIGHT

CONFUSION, MISTAKES = "confusion.png", "mistakes.png"

_COLUMNS = 10  # images in a row of a sheet
_CELL, _CAPTION = 1.25, 0.45  # inches: an image's side, the height of two lines under it
_MOST_MISTAKES = 50
_MOST_NUMBERS = 20  # classes; a larger matrix is drawn without numbers
_NAME, _TICK = 8, 24  # letters of a class's name under an image, and beside the matrix
_DPI = 110
_SHADES = LinearSegmentedColormap.from_list("wrong", [LIGHT["ground"], LIGHT["jax"]])


def draw_evaluation(found: Evaluation, folder: Path) -> None:
    """Draw the confusion matrix and the most confident mistakes in `folder`, or raise `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix = found.confusion
    draw_confusion(matrix, folder / CONFUSION, found.class_names)
    labels, answers = found.test.y, found.outputs.argmax(axis=1)
    sureness = as_probabilities(found.outputs).max(axis=1)
    worst = worst_first(answers != labels, sureness, _MOST_MISTAKES)
    if len(worst):
        names = [shortened(shown(found.class_names, i), _NAME) for i in range(len(matrix))]
        captions = [
            f"is {names[labels[i]]}, said {names[answers[i]]}\n{sureness[i]:.1%}, #{i}"
            for i in worst
        ]
        draw_sheet(found.test.x[worst], captions, folder / MISTAKES)
    else:
        (folder / MISTAKES).unlink(missing_ok=True)


def draw_confusion(matrix: NDArray[np.int64], path: Path, names: Names | None = None) -> None:
    """Write a PNG of `matrix` (classes, classes), label first; wrong answers are coloured.

    `names` are those of the classes.
    """
    classes = len(matrix)
    figure = Figure(figsize=(7.5, 7), layout="constrained")
    axes = figure.add_subplot()
    wrong = np.where(np.eye(classes), 0, matrix)
    # Lightness alone distinguishes the values.
    axes.imshow(wrong, _SHADES, vmin=0, vmax=max(1, wrong.max()))
    if classes <= _MOST_NUMBERS:
        axes.set(xticks=range(classes), yticks=range(classes))
        for (label, answer), count in np.ndenumerate(matrix):
            dark = wrong[label, answer] > wrong.max() / 2
            weight = "bold" if label == answer else "normal"
            font = {"color": "white" if dark else "black", "weight": weight}
            axes.text(answer, label, str(count or ""), font, ha="center", va="center")
        if names:
            words = [shortened(shown(names, label), _TICK) for label in range(classes)]
            axes.set_xticklabels(words, rotation=90, parse_math=False)
            axes.set_yticklabels(words, parse_math=False)
    axes.set(xlabel="answer", ylabel="label")
    axes.set_title(f"{matrix.trace():,} of {matrix.sum():,} right; wrong answers are coloured")
    _save(figure, path)


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
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings(), replacing(path) as file:
        # Matplotlib draws a box for a letter of a name that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, dpi=_DPI, format="png")
