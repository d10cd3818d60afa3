"""Draw the gap between backends at each training step, with the one-ulp band."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lenet_multi.config import PRECISIONS
from lenet_multi.parity.evidence import Array
from lenet_multi.parity.ladder import Ladder, loss_gaps
from lenet_multi.runs import tolerances
from lenet_multi.runs.durable import replacing
from lenet_multi.runs.palette import LIGHT

_STYLES = ((LIGHT["jax"], "-"), (LIGHT["tensorflow"], "--"), (LIGHT["torch"], ":"))  # of pairs
_WIDTHS = {"float32": 2.2, "float64": 1.1}
_SMALLEST = 1e-17  # drawn for 0, which has no place on a logarithmic axis
_POINTS = 100  # in a line, evenly spaced on a logarithmic axis

ONE_ULP, ALLOWED = "one ulp", "allowed"
KINDS = (ONE_ULP, ALLOWED, *PRECISIONS)


@dataclass(frozen=True)
class Line:
    """Relative `gaps`, the largest so far, at some training `steps`, always with the last one.

    `kind` is one of `KINDS`; for a pair's gaps, their precision.
    """

    name: str
    kind: str
    steps: list[int]
    gaps: list[float]

    @property
    def label(self) -> str:
        """The name; for a pair, also the precision."""
        return f"{self.name}, {self.kind}" if self.kind in PRECISIONS else self.name

    @classmethod
    def of(cls, name: str, kind: str, gaps: Array) -> "Line":
        """Return the line of gaps (steps,), at `_POINTS` steps or fewer."""
        largest = np.maximum(np.maximum.accumulate(gaps), _SMALLEST)
        steps = np.unique(np.geomspace(1, len(gaps), _POINTS).round().astype(int))
        return cls(name, kind, steps.tolist(), largest[steps - 1].tolist())


def lines(ladder: Ladder) -> list[Line]:
    """Return the lines to draw: band and limit if known, then the pairs in each precision."""
    if not _reached(ladder):
        return []
    of_pairs = [line for precision in PRECISIONS for line in _pair_lines(ladder, precision)]
    band, place = ladder.band(), "L4/losses"
    if not band.covers(place):
        return of_pairs
    steps = max(len(seen.arrays[place]) for seen in band.evidence)
    factor, ahead = tolerances.TWINS.value, tolerances.TRAJECTORY_AHEAD
    allowed = f"widest limit: {factor:g} times the band, at {ahead} times the step"
    return [
        Line.of("one-ulp change of the start, one backend", ONE_ULP, band.of_losses(place, steps)),
        Line.of(allowed, ALLOWED, band.limits_of_losses(place, steps)),
        *of_pairs,
    ]


def _reached(ladder: Ladder) -> bool:
    """Return whether every climber trained, so that there are losses to draw."""
    return all("L4/losses" in seen.arrays for seen in ladder.climbed.values())


def _pair_lines(ladder: Ladder, precision: str) -> list[Line]:
    """Return a line for each pair, or one line of their maximum if styles do not suffice."""
    pairs = ladder.pairs(precision)
    gaps = {" and ".join(pair): loss_gaps(ladder, precision, pair) for pair in pairs}
    if len(gaps) > len(_STYLES):
        gaps = {f"largest of {len(gaps)} pairs": np.max(list(gaps.values()), axis=0)}
    return [Line.of(name, precision, of_pair) for name, of_pair in gaps.items()]


def draw_gaps(ladder: Ladder, path: Path) -> None:
    """Draw the relative gaps of the losses at each step to the picture `path`."""
    with mpl.rc_context({"font.size": 11, "grid.color": "0.9"}):
        figure = Figure(figsize=(9, 6), layout="constrained")
        axes = figure.add_subplot()
        draw_lines(axes, lines(ladder))
        axes.set_ylabel("relative gap of the loss, largest so far")
        figure.suptitle("Same model, weights and batches on two backends: gap of the losses")
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        with replacing(path) as file:
            figure.savefig(file, dpi=130)


def draw_lines(
    axes: Axes, drawn: Sequence[Line], *, band: str = "0.87", limit: str = "0.45"
) -> None:
    """Draw lines on logarithmic axes: each pair in its own colour and style, the rest in greys."""
    pairs = dict.fromkeys(line.name for line in drawn if line.kind in _WIDTHS)
    style_of = dict(zip(pairs, cycle(_STYLES), strict=False))
    axes.set(xscale="log", yscale="log", ylim=(_SMALLEST, 10), xlabel="training step")
    axes.grid(lw=0.5)
    for line in drawn:
        if line.kind == ONE_ULP:
            axes.fill_between(line.steps, _SMALLEST, line.gaps, color=band, lw=0, label=line.label)
        elif line.kind == ALLOWED:
            axes.plot(line.steps, line.gaps, color=limit, lw=1, label=line.label)
        else:
            color, style = style_of[line.name]
            width = _WIDTHS[line.kind]
            axes.plot(line.steps, line.gaps, style, color=color, lw=width, label=line.label)
    axes.set_xlim(left=1)
