"""Draw the gap between backends against the training step, with the one-ulp band."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet_multi import tolerances
from lenet_multi.parity.evidence import Array
from lenet_multi.parity.ladder import Band, Ladder, loss_gaps

# Okabe and Ito's colours, told apart by the colour-blind; the line's style tells them apart too.
_STYLES = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", ":"))
_SMALLEST = 1e-17  # drawn instead of 0, which a logarithmic axis cannot show


def draw_gaps(ladder: Ladder, path: Path) -> None:
    """Write a picture of the relative gaps of the losses, the largest so far, at each step."""
    with mpl.rc_context({"font.size": 11}):
        figure = Figure(figsize=(9, 6), layout="constrained")
        axes = figure.add_subplot(xscale="log", yscale="log")
        if band := ladder.band():
            _draw_band(axes, band)
        for precision, width in (("float32", 2.2), ("float64", 1.1)):
            lines = _lines(ladder, precision).items()
            for (name, gaps), (color, style) in zip(lines, _STYLES, strict=False):
                steps = np.arange(1, len(gaps) + 1)
                label = f"{name}, {precision}"
                axes.plot(steps, gaps, style, color=color, lw=width, label=label)
        axes.set_xlabel("training step")
        axes.set_ylabel("relative gap of the loss, largest so far")
        axes.set_xlim(left=1)
        axes.set_ylim(_SMALLEST, 10)
        axes.grid(color="0.9", lw=0.5)
        figure.suptitle("Same model, weights and batches on two backends: how the losses part")
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        figure.savefig(path, dpi=130)


def _lines(ladder: Ladder, precision: str) -> dict[str, Array]:
    """Return the gaps to draw, by their name: of each pair, or of the worst where there are many.

    No more than `_STYLES` tells apart.
    """
    gaps = {
        f"{pair[0]} and {pair[1]}": so_far(loss_gaps(ladder, precision, pair))
        for pair in ladder.pairs(precision)
    }
    if len(gaps) <= len(_STYLES):
        return gaps
    return {f"largest of {len(gaps)} pairs": np.max(list(gaps.values()), axis=0)}


def _draw_band(axes: Axes, band: Band) -> None:
    steps = np.arange(1, len(band.losses) + 1)
    label = f"one-ulp change of the start, {band.backend} alone"
    axes.fill_between(steps, _SMALLEST, band.losses, color="0.87", label=label)
    factor, ahead = tolerances.TRAJECTORY_FLOAT32.value, tolerances.TRAJECTORY_AHEAD
    label = f"allowed in float32: {factor:g} times that, at {ahead} times the step"
    axes.plot(steps, factor * band.ahead_of_losses(), color="0.45", lw=1, label=label)


def so_far(gaps: Array) -> Array:
    """Return the largest gap up to each step: (steps,)."""
    return np.maximum(np.maximum.accumulate(gaps), _SMALLEST)
