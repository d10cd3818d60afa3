"""Draw the samples of one benchmark run: ways of training, and stages of a step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.epoch import OURS, OURS_AGAIN, STOCK
from benchmarks.record import Record
from benchmarks.speed_report import EPOCH, Results, seconds_per_epoch
from benchmarks.study import BATCH, PASSES
from lenet_multi.runs.durable import replacing
from lenet_multi.runs.palette import LIGHT

# Okabe and Ito's colours, which colour-blind readers can distinguish; hatches help too.
_STYLES = ((LIGHT["jax"], ""), (LIGHT["tensorflow"], "//"), (LIGHT["torch"], ".."))
_SIZE = (9, 4.5)


def draw_epochs(results: Results, path: Path) -> None:
    """Draw seconds per 60,000 images: ours, stock `fit`, the best loop by hand."""
    ways: dict[str, Callable[[str, int], Record | None]] = {
        "ours: plain Keras in the fastest form": lambda b, n: results.epoch(b, OURS, n),
        "stock Keras fit, the notebook's model": lambda b, n: results.epoch(b, STOCK, n),
        "best loop by hand, without Keras": lambda b, n: results.best_by_hand(b, n),
    }

    def seconds(record: Record | None) -> float:
        return seconds_per_epoch(record) if record else 0.0

    panels = {
        f"Seconds to train on {EPOCH:,} images, batch {batch:,}, float32: less is better": {
            name: [seconds(find(backend, batch)) for backend in results.backends]
            for name, find in ways.items()
        }
        for batch in results.compared
    }
    _draw(path, results.backends, panels)


def draw_stages(results: Results, path: Path) -> None:
    """Draw the milliseconds of each stage as stock Keras runs it."""
    stages = list(dict.fromkeys(r.context["stage"] for r in results.all("stage") if r.way == STOCK))
    milliseconds = {
        backend: [_longest(results, backend, stage) for stage in stages]
        for backend in results.backends
    }
    title = f"Milliseconds of a batch of {BATCH} through each stage of stock Keras, both passes"
    _draw(path, stages, {title: milliseconds})


def draw_targets(results: Results, path: Path) -> None:
    """Draw seconds to 99 % test accuracy, with one mark per seed and way."""
    ways = {OURS: "one epoch of ours", OURS_AGAIN: "the second time", STOCK: "stock Keras fit"}
    places = {backend: place for place, backend in enumerate(results.backends)}
    with picture(path) as (axes,):
        for (way, name), (color, _), marker in zip(ways.items(), _STYLES, "o^s", strict=True):
            found = [record for record in results.all("time to target") if record.way == way]
            seconds = [value for record in found for value in record.values]
            rows = [places[record.backend] for record in found for _ in record.values]
            axes.plot(seconds, rows, marker, color=color, alpha=0.7, label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.set_yticks(range(len(places)), list(places))
        axes.margins(y=0.2)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        title = (
            "Seconds from the typed command to 99 % test accuracy, for each seed: less is better"
        )
        axes.set_title(title, fontsize=11)


def _longest(results: Results, backend: str, stage: str) -> float:
    """Return a stage's milliseconds, of both passes if it has two."""
    found: list[Record | None] = [
        results.find("stage", backend, STOCK, stage=stage, **{"pass": name}) for name in PASSES
    ]
    return max((record.median for record in found if record), default=0.0)


def _draw(path: Path, groups: list[str], panels: dict[str, dict[str, list[float]]]) -> None:
    """Draw grouped bars, one panel per title, one below the other."""
    with picture(path, len(panels)) as every_axes:
        for axes, (title, bars) in zip(every_axes, panels.items(), strict=True):
            _draw_bars(axes, groups, bars)
            axes.set_title(title, fontsize=11)


@contextmanager
def picture(path: Path, panels: int = 1, **legend: Any) -> Iterator[list[Axes]]:
    """Give the axes of `panels`, one below the other; then write the picture to `path`.

    `legend` is how Matplotlib lays out the legend.
    """
    with mpl.rc_context({"font.size": 11}):
        width, height = _SIZE
        figure = Figure(figsize=(width, height * panels), layout="constrained")
        every_axes = list(figure.subplots(panels, squeeze=False)[:, 0])
        yield every_axes
        for axes in every_axes:
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, **legend)
        with replacing(path) as file:
            figure.savefig(file, dpi=130)


def _draw_bars(axes: Axes, groups: list[str], bars: dict[str, list[float]]) -> None:
    width = 0.8 / len(bars)
    for index, ((name, heights), (color, hatch)) in enumerate(
        zip(bars.items(), _STYLES, strict=False)
    ):
        places = np.arange(len(groups)) + (index - (len(bars) - 1) / 2) * width
        drawn = axes.bar(
            places, heights, width, label=name, color=color, hatch=hatch, edgecolor="white"
        )
        axes.bar_label(drawn, fmt="%.3g", padding=2, fontsize=9)
    axes.set_xticks(range(len(groups)), groups)


FIGURES = {  # name: (the measure that it shows, the function that draws it)
    "epochs": ("epoch", draw_epochs),
    "stages": ("stage", draw_stages),
    "targets": ("time to target", draw_targets),
}
