"""Draw what recipes learn, epoch by epoch, and how far their confidence can be trusted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from benchmarks.speed_figures import picture
from lenet_multi.runs.palette import LIGHT

_LINES = ("-", "--", ":", "-.")
_COLORS = ("quiet", "jax", "tensorflow", "other")
_FEWEST = 20  # images in a bin that is drawn; of fewer, a share says little


def draw_curves(curves: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Draw the share of wrong validation images after each epoch, by recipe and backend."""
    with picture(path, loc="lower left", ncols=3) as (axes,):  # where no curve is
        for (recipe, of_backends), line in zip(curves.items(), _LINES, strict=False):
            for backend, accuracies in of_backends.items():
                wrong = 100 * (1 - np.array(accuracies))
                epochs = np.arange(1, len(wrong) + 1)
                name = f"{recipe}, {backend}"
                marker = "o" if len(wrong) == 1 else None
                axes.plot(epochs, wrong, line, marker=marker, color=LIGHT[backend], label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.set_xlabel("epochs")
        axes.grid(axis="y", alpha=0.3)
        axes.set_title(
            "Wrong validation images, %, the mean over seeds: less is better", fontsize=11
        )


def draw_reliability(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the share of right test answers over the confidence, by recipe."""
    with picture(path) as (axes,):
        axes.plot([0, 1], [0, 1], color=LIGHT["rule"], label="as sure as right")
        recipes = dict.fromkeys(run["recipe"] for run in runs)
        for recipe, color, line in zip(recipes, _COLORS, _LINES, strict=False):
            images, confidence, right = pooled([run for run in runs if run["recipe"] == recipe])
            drawn = images >= _FEWEST
            axes.plot(
                *(confidence[drawn], right[drawn], f"{line}o"), color=LIGHT[color], label=recipe
            )
        axes.set_xlabel(f"confidence: the largest probability; bins of {_FEWEST} answers or more")
        axes.grid(alpha=0.3)
        axes.set_title("Share of right answers, by confidence", fontsize=11)


def pooled(runs: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return images, mean confidence and share of right answers of the runs' bins: (3, bins)."""
    images, confidence, right = np.moveaxis(np.array([run["calibration"] for run in runs]), -1, 0)
    total = images.sum(axis=0)
    sums = [(images * share).sum(axis=0) / np.maximum(total, 1) for share in (confidence, right)]
    return np.stack([total, *sums])
