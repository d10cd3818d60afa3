"""The page's charts: learning curves, seconds by part, the gap between backends."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from lenet_multi.commands.report.groups import Group, Shown
from lenet_multi.commands.report.svg import LOOK, to_svg
from lenet_multi.parity.figure import Line, draw_lines
from lenet_multi.runs.palette import LIGHT, MARKS

_WIDTH = 4.3  # inches, 310 CSS pixels: a phone's width, which keeps the text's size there

# Line and marker face. Training values are means over an epoch, "val_" values are from its end.
_CURVES = {"": ((0, (3, 2)), "none"), "val_": ("-", None)}


_COINCIDE = 0.05  # of the height of a chart: curves that are nearer look like one


def curves(group: Group, metric: str, name: str) -> str:
    """Return the chart of a metric by epoch, in training and validation.

    Where the runs' validation curves coincide, a chart below shows their differences.
    """
    called = metric.replace("_", " ")
    apart = _differences(group, metric)
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(_WIDTH, 3 if apart is None else 4.4), layout="constrained")
        heights = (1,) if apart is None else (2, 1)
        stack = figure.subplots(len(heights), height_ratios=heights, squeeze=False)[:, 0]
        axes, lowest = stack[0], stack[-1]
        single = all(len(shown.result.epochs) == 1 for shown in group.runs)
        ends = []
        for place, shown in enumerate(group.runs):
            epochs = shown.result.epochs
            # With one epoch, the runs' points stand side by side.
            aside = 0.1 * (place - (len(group.runs) - 1) / 2) if single else 0
            for prefix, (style, face) in _CURVES.items():
                axes.plot(
                    [epoch["epoch"] + aside for epoch in epochs],
                    [epoch[prefix + metric] for epoch in epochs],
                    color=LIGHT[shown.accent],
                    linestyle=style,
                    marker=MARKS[shown.mark],
                    markerfacecolor=face,
                    markersize=5,
                )
            first, last = (group.written(metric, epochs[at][f"val_{metric}"]) for at in (0, -1))
            ends.append(f"{shown.label} from {first} to {last}")
        _scale(axes, metric, called, classifies=group.classifies)
        if apart is not None:
            _draw_differences(lowest, group, metric, apart)
            lowest.set_xlim(axes.get_xlim())
        for each in stack:
            each.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        lowest.set_xlabel("epoch")
        if single:
            axes.set(xlim=(0, 2), xticks=[1])
    title = f"{called.capitalize()} of {group.title} by epoch"
    words = f"Validation {called}: {'; '.join(ends)}."
    return to_svg(figure, name=name, title=title, description=words)


def _differences(group: Group, metric: str) -> NDArray[np.float64] | None:
    """Return each run's validation value less the runs' mean (runs, epochs), NaN where far apart.

    None if the runs have not as many epochs, or coincide in less than half of them, or a value is
    not finite.
    """
    values = [
        [[epoch[prefix + metric] for prefix in ("val_", "")] for epoch in run.result.epochs]
        for run in group.runs
    ]
    if len(values) < 2 or len({len(each) for each in values}) > 1 or len(values[0]) < 2:
        return None
    found = np.array(values, np.float64)  # (runs, epochs, validation and training)
    heights = np.log(found) if metric == "loss" and found.min() > 0 else found
    if not np.isfinite(heights).all():
        return None
    coincide = np.ptp(heights[..., 0], axis=0) <= _COINCIDE * np.ptp(heights)
    if 2 * coincide.sum() < len(coincide):
        return None
    return np.where(coincide, found[..., 0] - found[..., 0].mean(axis=0), np.nan)


def _draw_differences(
    axes: Axes, group: Group, metric: str, differences: NDArray[np.float64]
) -> None:
    in_points = metric != "loss" and group.classifies
    for shown, row in zip(group.runs, differences, strict=True):
        axes.plot(
            [epoch["epoch"] for epoch in shown.result.epochs],
            100 * row if in_points else row,
            color=LIGHT[shown.accent],
            marker=MARKS[shown.mark],
            markersize=5,
        )
    axes.yaxis.set_major_locator(MaxNLocator(4))
    unit = ", in points" if in_points else ""
    axes.set_title(f"validation, less the runs' mean{unit}")


def _scale(axes: Axes, metric: str, title: str, *, classifies: bool) -> None:
    if metric == "loss":
        title += ", in nats" if classifies else ""
        if axes.dataLim.ymax > 0:  # a loss of 0 has no logarithm
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            title += " (logarithmic)"
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6))
        if classifies:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
            title = "accuracy, in %"
    axes.set_title(title)


_LABEL = 44  # characters that fit above a bar

_FILLS = ("////", "xxxx", "", "----", "++++", "||||")  # of parts, distinct without colour


def parts_of(runs: Sequence[Shown]) -> list[str]:
    """Return the names of the parts of the runs' seconds, in their order."""
    return list(dict.fromkeys(part for shown in runs for part in shown.result.seconds))


_VISIBLE = 0.01  # of the longest bar; a shorter part is written below the bar


def time_bars(runs: Sequence[Shown], name: str) -> str:
    """Return the chart of seconds: one bar for each run, one piece for each part.

    Parts that are too short to see are written below the bar.
    """
    least = _VISIBLE * max(sum(shown.result.seconds.values()) for shown in runs)
    visible = [
        part
        for part in parts_of(runs)
        if any(shown.result.seconds.get(part, 0) >= least for shown in runs)
    ]
    fills = dict(zip(visible, cycle(_FILLS), strict=False))
    with mpl.rc_context(LOOK | {"axes.grid.axis": "x", "axes.spines.bottom": False}):
        height = 0.7 + 0.7 * len(runs) + 0.1 * len(fills)  # inches: axis, bars, legend
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        for row, shown in enumerate(runs):
            _bar(axes, row, shown, fills, least)
        axes.set(ylim=(len(runs) - 0.5, -0.7), yticks=[], axisbelow=True, xlabel="seconds")
        axes.margins(x=0.12)
        axes.set_xlim(left=0)
        axes.tick_params(length=0)
        handles = [
            Patch(**_fill(LIGHT["quiet"], hatch), label=part.replace("_", " "))
            for part, hatch in fills.items()
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2)
    sums = "; ".join(
        f"{shown.label} {sum(seconds.values()):.1f}: "
        + ", ".join(f"{part.replace('_', ' ')} {value:.1f}" for part, value in seconds.items())
        for shown in runs
        for seconds in [shown.result.seconds]
    )
    return to_svg(figure, name=name, title="Seconds of each run by part", description=f"{sums}.")


def _fill(color: str, hatch: str) -> dict[str, Any]:
    face = LIGHT["ground"] if hatch else color
    return {"facecolor": face, "edgecolor": color, "hatch": hatch}


def _bar(axes: Axes, row: int, shown: Shown, fills: Mapping[str, str], least: float) -> None:
    color, left = LIGHT[shown.accent], 0.0
    short = []
    for part, seconds in shown.result.seconds.items():
        if seconds < least:
            short.append(f"{part.replace('_', ' ')} {seconds:.2g}")
        else:
            axes.barh(row, seconds, 0.36, left, linewidth=1, **_fill(color, fills[part]))
            left += seconds
    if short:
        words = f"and {', '.join(short)}"
        axes.text(0, row + 0.22, words, va="top", fontsize=9, color=LIGHT["quiet"])
    label = shown.label
    if len(label) > _LABEL:
        label = f"\u2026{label[-_LABEL:]}"  # the end of a path identifies it best
    axes.text(0, row - 0.22, label, va="bottom", fontsize=9)
    axes.annotate(
        f"{sum(shown.result.seconds.values()):.1f}",
        (left, row),
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
    )


def gap_chart(lines: Sequence[Line], name: str) -> str:
    """Return the chart of the gaps between backends' losses, with the one-ulp band."""
    with mpl.rc_context(LOOK | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(_WIDTH, 4.2), layout="constrained")
        axes = figure.add_subplot()
        draw_lines(axes, lines, band=LIGHT["rule"], limit=LIGHT["quiet"])
        axes.set_title("relative gap of the loss, largest so far")
        name_of = {line.label: line.name for line in lines}
        entries: dict[str, Artist] = {}  # of the legend: each pair once for both precisions
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(name_of[label], handle)
        figure.legend(list(entries.values()), list(entries), loc="outside lower left", fontsize=9)
        for line in {line.kind: line for line in lines if line.kind in _BESIDE}.values():
            end = line.steps[-1], line.gaps[-1]
            axes.annotate(line.kind, end, textcoords="offset points", **_BESIDE[line.kind])
    ends = "; ".join(f"{line.label}: {line.gaps[-1]:.1e}" for line in lines)
    title = "Gap between the losses of two backends, step by step"
    return to_svg(figure, name=name, title=title, description=f"At the last step: {ends}.")


# Where to write a precision: inside the band, and after the end of the shorter lines.
_BESIDE: dict[str, dict[str, Any]] = {
    "float32": {"xytext": (0, -6), "ha": "right", "va": "top", "fontsize": 9},
    "float64": {"xytext": (5, 0), "ha": "left", "va": "center", "fontsize": 9},
}
