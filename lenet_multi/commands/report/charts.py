"""The charts of a page: learning curves, seconds by part, the gap between backends."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from lenet_multi.commands.report.groups import Group, Shown
from lenet_multi.commands.report.palette import LIGHT
from lenet_multi.commands.report.svg import LOOK, to_svg
from lenet_multi.parity.figure import Line, draw_lines
from lenet_multi.runs.record import Epoch

_WIDTH = 4.3  # inches, 310 CSS pixels: a phone's, so that text keeps its size there

# Training is an epoch's mean, validation what the epoch's end gave.
_CURVES = {"training": ((0, (3, 2)), "none"), "validation": ("-", None)}


def loss_curves(group: Group, name: str) -> str:
    """Return the chart of training and validation losses over the epochs."""
    unit = ", in nats" if group.runs[0].result.classifies else ""
    return _curves(group, name, "loss", "{:.4f}", lambda axes: _on_a_log_axis(axes, unit))


def headline_curves(group: Group, name: str) -> str:
    """Return the chart of the headline metric in training and validation over the epochs."""
    metric = group.metric
    if group.runs[0].result.classifies:
        return _curves(group, name, metric, "{:.2%}", _in_percent)
    return _curves(group, name, metric, "{:.4g}", lambda axes: _plainly(axes, metric))


def _curves(
    group: Group, name: str, figure_name: str, shape: str, scale: Callable[[Axes], None]
) -> str:
    called = figure_name.replace("_", " ")
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(_WIDTH, 3), layout="constrained")
        axes = figure.add_subplot()
        single = all(len(shown.result.epochs) == 1 for shown in group.runs)
        for place, shown in enumerate(group.runs):
            epochs = shown.result.epochs
            aside = 0.1 * (place - (len(group.runs) - 1) / 2) if single else 0  # points, not lines
            for kind, (style, face) in _CURVES.items():
                axes.plot(
                    [epoch["epoch"] + aside for epoch in epochs],
                    _values(epochs, kind, figure_name),
                    color=LIGHT[shown.accent],
                    linestyle=style,
                    marker=shown.mark.marker,
                    markerfacecolor=face or LIGHT[shown.accent],
                    markersize=5,
                    linewidth=1.5,
                )
        scale(axes)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("epoch")
        if single:
            axes.set_xlim(0, 2)
            axes.set_xticks([1])
    ends = "; ".join(
        f"{shown.label} from {shape.format(values[0])} to {shape.format(values[-1])}"
        for shown in group.runs
        for values in [_values(shown.result.epochs, "validation", figure_name)]
    )
    return to_svg(
        figure,
        name=name,
        title=f"{called.capitalize()} of {group.title} by epoch",
        description=f"Validation {called}: {ends}.",
    )


def _values(epochs: Sequence[Epoch], kind: str, figure_name: str) -> list[float]:
    key = f"val_{figure_name}" if kind == "validation" else figure_name
    return [epoch[key] for epoch in epochs]


def _on_a_log_axis(axes: Axes, unit: str) -> None:
    if axes.dataLim.ymax <= 0:  # a perfect model's losses, which have no logarithm
        axes.set_title(f"loss{unit}")
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"loss{unit} (logarithmic)")


def _plainly(axes: Axes, name: str) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_title(name.replace("_", " "))


def _in_percent(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    axes.set_title("accuracy, in %")


_LABEL = 44  # characters that fit over a bar

_FILLS = ("////", "xxxx", "", "----", "++++", "||||")  # a part's, told apart without colour


def parts_of(runs: Sequence[Shown]) -> list[str]:
    """Return the names of the parts that the runs' seconds are split into, in their order."""
    return list(dict.fromkeys(part for shown in runs for part in shown.result.seconds))


def time_bars(runs: Sequence[Shown], name: str) -> str:
    """Return the chart of each run's seconds, a bar for each and a piece for each part."""
    parts = parts_of(runs)
    with mpl.rc_context(LOOK | {"axes.grid.axis": "x", "axes.spines.bottom": False}):
        height = 0.7 + 0.55 * len(runs) + 0.1 * len(parts)  # inches: axis, bars, legend
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        for row, shown in enumerate(runs):
            _bar(axes, row, shown, parts)
        axes.set_ylim(len(runs) - 0.5, -0.7)
        axes.set_yticks([])
        axes.set_axisbelow(True)
        axes.margins(x=0.12)
        axes.set_xlim(left=0)
        axes.set_xlabel("seconds")
        axes.tick_params(length=0)
        handles = [
            Patch(
                facecolor=LIGHT["ground"] if hatch else LIGHT["quiet"],
                edgecolor=LIGHT["quiet"],
                hatch=hatch,
                label=part.replace("_", " "),
            )
            for part, hatch in zip(parts, cycle(_FILLS), strict=False)
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2)
    sums = "; ".join(
        f"{shown.label} {sum(seconds.values()):.1f}, of which "
        + ", ".join(f"{part.replace('_', ' ')} {value:.1f}" for part, value in seconds.items())
        for shown in runs
        for seconds in [shown.result.seconds]
    )
    return to_svg(figure, name=name, title="Seconds of each run by part", description=f"{sums}.")


def _bar(axes: Axes, row: int, shown: Shown, parts: Sequence[str]) -> None:
    color, left = LIGHT[shown.accent], 0.0
    for part, hatch in zip(parts, cycle(_FILLS), strict=False):
        seconds = shown.result.seconds.get(part, 0.0)
        face = LIGHT["ground"] if hatch else color
        axes.barh(
            row, seconds, 0.42, left, facecolor=face, edgecolor=color, hatch=hatch, linewidth=1
        )
        left += seconds
    label = shown.label
    if len(label) > _LABEL:
        label = f"\u2026{label[-_LABEL:]}"  # a path's end tells most
    axes.text(0, row - 0.29, label, va="bottom", fontsize=9)
    axes.annotate(
        f"{left:.1f}", (left, row), (4, 0), textcoords="offset points", va="center", fontsize=9
    )


def gap_chart(lines: Sequence[Line], name: str) -> str:
    """Return the chart of the gaps between backends' losses, with the one-ulp band."""
    with mpl.rc_context(LOOK | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(_WIDTH, 4.2), layout="constrained")
        axes = figure.add_subplot()
        draw_lines(
            axes,
            lines,
            styles=((LIGHT["jax"], "-"), (LIGHT["tensorflow"], "--"), (LIGHT["torch"], ":")),
            band=LIGHT["rule"],
            limit=LIGHT["quiet"],
            grid=LIGHT["faint"],
        )
        axes.set_xlabel("training step")
        axes.set_title("relative gap of the loss, largest so far")
        _name_pairs(figure, axes, lines)
        for line in {line.kind: line for line in lines if line.kind in _BESIDE}.values():
            end = line.steps[-1], line.gaps[-1]
            axes.annotate(line.kind, end, textcoords="offset points", **_BESIDE[line.kind])
    ends = "; ".join(f"{line.label}: {line.gaps[-1]:.1e}" for line in lines)
    return to_svg(
        figure,
        name=name,
        title="How the losses of two backends part, step by step",
        description=f"At the last step: {ends}.",
    )


# Where a precision is named: inside the band, and behind the shorter lines' end.
_BESIDE: dict[str, dict[str, Any]] = {
    "float32": {"xytext": (0, -6), "ha": "right", "va": "top", "fontsize": 9},
    "float64": {"xytext": (5, 0), "ha": "left", "va": "center", "fontsize": 9},
}


def _name_pairs(figure: Figure, axes: Axes, lines: Sequence[Line]) -> None:
    """Draw the legend, in which a pair stands once for both precisions."""
    handles, labels = axes.get_legend_handles_labels()
    handle_of = dict(zip(labels, handles, strict=True))
    entries = {line.name: handle_of.get(line.label) for line in reversed(lines)}
    named = [(name, handle) for name, handle in reversed(entries.items()) if handle]
    figure.legend(
        [handle for _, handle in named],
        [name for name, _ in named],
        loc="outside lower left",
        fontsize=9,
    )
