from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from lenet_multi.commands.report import charts
from lenet_multi.commands.report.groups import Group, Shown, group
from lenet_multi.parity.figure import Line
from lenet_multi.runs.palette import LIGHT
from lenet_multi.runs.record import Run
from tests.examples import example_epochs, example_run, example_values_run

Drawn = list[tuple[Any, dict[str, str]]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The figures that charts draw, each with its name and its words."""
    kept: Drawn = []
    monkeypatch.setattr(charts, "to_svg", lambda figure, **words: kept.append((figure, words)))
    return kept


def group_of(*runs: Run) -> Group:
    """Return the runs as one group."""
    (found,) = group(runs)
    return found


def size(figure: Any) -> list[float]:
    """Return the inches of a figure whose parts make room for each other."""
    assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    return [round(float(inches), 3) for inches in figure.get_size_inches()]


def grids(axes: Any) -> tuple[bool, bool]:
    """Return whether the x axis has grid lines, and whether the y axis has some."""
    x, y = (
        any(line.get_visible() for line in axis.get_gridlines())
        for axis in (axes.xaxis, axes.yaxis)
    )
    return x, y


def legend(figure: Any) -> dict[str, Any]:
    """Return what the figure's legend holds, and its place."""
    (found,) = figure.legends
    facts = vars(found)
    return {
        "texts": [text.get_text() for text in found.get_texts()],
        "sizes": {text.get_fontsize() for text in found.get_texts()},
        "columns": facts["_ncols"],
        "place": (facts["_outside_loc"], facts["_loc_real"]),
    }


LOWER_LEFT = ("lower", 3)  # Matplotlib's number for the corner


def test_curves_have_each_epoch_in_training_and_validation(drawn: Drawn) -> None:
    """Training is dashed with open markers, validation is solid; colour and mark are the run's."""
    runs = group_of(example_run("jax", epochs=example_epochs(2)), example_run("torch"))
    charts.curves(runs, "accuracy", "one")
    ((figure, words),) = drawn
    (axes,) = figure.axes
    assert size(figure) == [4.3, 3]
    lines = axes.get_lines()
    assert [list(line.get_xdata()) for line in lines] == [[1, 2], [1, 2], [1], [1]]
    assert [list(line.get_ydata()) for line in lines] == [[0.9, 0.95], [0.95, 0.975], [0.9], [0.95]]
    assert [line.is_dashed() for line in lines] == [True, False] * 2
    faces = ["none", LIGHT["jax"], "none", LIGHT["torch"]]
    assert [line.get_markerfacecolor() for line in lines] == faces
    assert [line.get_color() for line in lines] == [LIGHT["jax"]] * 2 + [LIGHT["torch"]] * 2
    assert [line.get_marker() for line in lines] == ["o", "o", "s", "s"]
    assert {line.get_markersize() for line in lines} == {5}
    assert (axes.get_xlabel(), axes.get_title(loc="left")) == ("epoch", "accuracy, in %")
    assert grids(axes) == (False, True)
    assert not axes.spines["left"].get_visible()
    assert words == {
        "name": "one",
        "title": "Accuracy of standard by epoch",
        "description": (
            "Validation accuracy: jax from 95.00% to 97.50%; torch from 95.00% to 95.00%."
        ),
    }


def test_axes_have_few_whole_epochs(drawn: Drawn) -> None:
    """There are six steps at most, none of them a part of an epoch."""
    charts.curves(group_of(example_run(epochs=example_epochs(6))), "loss", "one")
    (axes,) = drawn[0][0].axes
    epochs = axes.xaxis.get_major_locator()
    assert list(epochs.tick_values(0, 7)) == [0, 2, 4, 6, 8]
    assert list(epochs.tick_values(0, 1)) == [0, 1]
    assert axes.get_xlim() != (0, 2)


def test_a_loss_is_on_a_logarithmic_axis(drawn: Drawn) -> None:
    """A classifier's is in nats; ticks are at 1, 2 and 5 and its powers of ten, without more."""
    charts.curves(group_of(example_run(epochs=example_epochs(2))), "loss", "one")
    charts.curves(group_of(example_values_run()), "loss", "two")
    first, second = (figure.axes[0] for figure, _ in drawn)
    assert first.get_title(loc="left") == "loss, in nats (logarithmic)"
    assert second.get_title(loc="left") == "loss (logarithmic)"
    assert (first.get_yscale(), second.get_yscale()) == ("log", "log")
    assert drawn[0][1]["description"] == "Validation loss: jax from 0.1000 to 0.0500."
    ticks = first.yaxis.get_major_locator().tick_values(0.1, 1)
    assert {0.1, 0.2, 0.5, 1} <= {round(float(tick), 6) for tick in ticks}
    assert 0.3 not in {round(float(tick), 6) for tick in ticks}
    assert first.yaxis.get_major_formatter()(0.05) == "0.05"
    assert first.yaxis.get_minor_formatter()(0.03) == ""


def test_a_loss_of_0_is_on_a_linear_axis(drawn: Drawn) -> None:
    """It has no logarithm."""
    epochs = [{**epoch, "loss": 0.0, "val_loss": 0.0} for epoch in example_epochs(2)]
    charts.curves(group_of(example_run(epochs=epochs)), "loss", "one")
    (axes,) = drawn[0][0].axes
    assert (axes.get_yscale(), axes.get_title(loc="left")) == ("linear", "loss, in nats")


def test_a_metric_has_its_name_and_a_few_ticks(drawn: Drawn) -> None:
    """A classifier's accuracy is a percentage; any other metric is as it is."""
    charts.curves(group_of(example_run()), "accuracy", "one")
    charts.curves(group_of(example_values_run()), "mean_absolute_error", "two")
    first, second = (figure.axes[0] for figure, _ in drawn)
    assert first.yaxis.get_major_formatter()(0.985, None) == "98.5"
    assert second.get_title(loc="left") == "mean absolute error"
    assert second.get_yscale() == "linear"
    for axes in (first, second):
        assert list(axes.yaxis.get_major_locator().tick_values(0, 7)) == [0, 1.5, 3, 4.5, 6, 7.5]
    assert drawn[1][1]["title"].startswith("Mean absolute error of standard")
    assert drawn[1][1]["description"] == ("Validation mean absolute error: jax from 0.95 to 0.95.")


def test_runs_of_one_epoch_stand_side_by_side(drawn: Drawn) -> None:
    """Their points would hide each other."""
    runs = group_of(*map(example_run, ("tensorflow", "jax", "torch")))
    charts.curves(runs, "loss", "one")
    (axes,) = drawn[0][0].axes
    places = [float(line.get_xdata()[0]) for line in axes.get_lines()]
    assert places == pytest.approx([0.9, 0.9, 1.0, 1.0, 1.1, 1.1])
    assert axes.get_xlim() == (0, 2)
    assert list(axes.get_xticks()) == [1]


LONG = "runs/" + "x" * 60
SECONDS = [{"import_all": 1.0, "train": 2.5}, {"train": 4.0, "evaluate": 0.25}]


def bars() -> list[Shown]:
    """Return two runs with other parts; the label of the second is long."""
    runs = group_of(*(example_run(seconds=seconds) for seconds in SECONDS)).runs
    return [Shown(runs[0].run, "jax", "jax", "o"), Shown(runs[1].run, LONG, "torch", "s")]


def test_each_run_has_a_bar_of_its_parts(drawn: Drawn) -> None:
    """Parts follow each other in one order, each with its hatch; the sum stands at the end."""
    runs = bars()
    assert charts.parts_of(runs) == ["import_all", "train", "evaluate"]
    with mpl.rc_context({"patch.linewidth": 3}):  # a user's own
        charts.time_bars(runs, "time")
    ((figure, words),) = drawn
    (axes,) = figure.axes
    assert size(figure) == [4.3, 2.4]
    places = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert places == [(0, 1), (1, 2.5), (0, 4), (4, 0.25)]
    rows = [round(bar.get_y() + bar.get_height() / 2, 6) for bar in axes.patches]
    assert rows == [0, 0, 1, 1]
    assert {round(bar.get_height(), 6) for bar in axes.patches} == {0.36}
    assert {bar.get_linewidth() for bar in axes.patches} == {1}
    assert [bar.get_hatch() or "" for bar in axes.patches] == ["////", "xxxx", "xxxx", ""]
    colors = [LIGHT["jax"]] * 2 + [LIGHT["torch"]] * 2
    assert [to_hex(bar.get_edgecolor()) for bar in axes.patches] == colors
    ground = LIGHT["ground"]
    faces = [ground, ground, ground, LIGHT["torch"]]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == faces
    assert words == {
        "name": "time",
        "title": "Seconds of each run by part",
        "description": (
            f"jax 3.5: import all 1.0, train 2.5; {LONG} 4.2: train 4.0, evaluate 0.2."
        ),
    }


def test_a_bar_has_its_runs_name_above_and_its_sum_behind(drawn: Drawn) -> None:
    """The end of a long name identifies it best."""
    charts.time_bars(bars(), "time")
    (axes,) = drawn[0][0].axes
    name, total, long, other = axes.texts
    assert (name.get_text(), name.get_position()) == ("jax", (0, -0.22))
    assert (long.get_text(), long.get_position()) == ("…" + "x" * 44, (0, 0.78))
    assert (total.get_text(), total.xy, total.get_position()) == ("3.5", (3.5, 0), (4, 0))
    assert (other.get_text(), other.xy) == ("4.2", (4.25, 1))
    assert total.anncoords == "offset points"
    assert [text.get_va() for text in axes.texts] == ["bottom", "center"] * 2
    assert {text.get_fontsize() for text in axes.texts} == {9}


def test_a_part_too_short_to_see_is_written(drawn: Drawn) -> None:
    """It stands below its run's bar, is no piece of it, and the sum has it."""
    seconds = {"train": 9.0, "save_model": 0.04, "evaluate": 0.5}
    (run,) = group_of(example_run(seconds=seconds)).runs
    charts.time_bars([run], "time")
    figure, words = drawn[0]
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [9, 0.5]
    short, _, total = axes.texts
    assert (short.get_text(), short.get_position()) == ("and save model 0.04", (0, 0.22))
    assert short.get_color() == LIGHT["quiet"]
    assert total.get_text() == "9.5"
    assert legend(figure)["texts"] == ["train", "evaluate"]
    assert "save model 0.0" in words["description"]


def alike(*apart: float) -> Group:
    """Return runs whose losses fall from 2 to 1, apart from each other at the second epoch."""
    runs = []
    for backend, more in zip(("tensorflow", "jax", "torch"), apart, strict=False):
        epochs = example_epochs(3)
        for epoch, loss in zip(epochs, (2.0, 1.5 + more, 1.0), strict=True):
            epoch["loss"] = epoch["val_loss"] = loss
            epoch["val_accuracy"] = 1 - loss / 4
        runs.append(example_run(backend, epochs=epochs))
    return group_of(*runs)


def test_where_curves_coincide_their_difference_is_drawn(drawn: Drawn) -> None:
    """Below them: each run's validation value less the runs' mean."""
    charts.curves(alike(0, 0.02, 0.04), "loss", "one")
    charts.curves(alike(0, 0.02, 0.04), "accuracy", "two")
    for (figure, _), unit, factor in zip(drawn, ("", ", in points"), (1, -25), strict=True):
        above, below = figure.axes
        assert size(figure) == [4.3, 4.4]
        assert len(above.get_lines()) == 6
        found = [line.get_ydata()[1] for line in below.get_lines()]
        assert found == pytest.approx([-0.02 * factor, 0, 0.02 * factor])
        assert below.get_xlim() == above.get_xlim()
        assert [line.get_color() for line in below.get_lines()] == [
            LIGHT[name] for name in ("tensorflow", "jax", "torch")
        ]
        assert below.get_title(loc="left") == f"validation, less the runs' mean{unit}"
        assert (above.get_xlabel(), below.get_xlabel()) == ("", "epoch")


def test_only_where_curves_coincide_their_difference_is_drawn(drawn: Drawn) -> None:
    """Another epoch has none; if most have none, there is no chart of it."""
    charts.curves(alike(0, 0.3), "loss", "one")
    _, below = drawn[0][0].axes
    assert [np.isnan(line.get_ydata()).tolist() for line in below.get_lines()] == [
        [False, True, False]
    ] * 2
    far = alike(0, 0.3)
    for epoch in far.runs[0].result.epochs:
        epoch["val_loss"] *= 2
    charts.curves(far, "loss", "two")
    assert len(drawn[1][0].axes) == 1


def test_one_run_has_no_difference(drawn: Drawn) -> None:
    """Nor have runs of other lengths, or a loss that is no number."""
    charts.curves(alike(0), "loss", "one")
    other = group_of(example_run("jax", epochs=example_epochs(2)), example_run("torch"))
    charts.curves(other, "loss", "two")
    infinite = alike(0, 0)
    infinite.runs[0].result.epochs[1]["val_loss"] = float("inf")
    charts.curves(infinite, "loss", "three")
    assert [len(figure.axes) for figure, _ in drawn] == [1, 1, 1]


def test_bars_stand_on_seconds_alone(drawn: Drawn) -> None:
    """The first run is above; the axis begins at 0, and has room for the sums."""
    charts.time_bars(bars(), "time")
    (axes,) = drawn[0][0].axes
    assert axes.get_ylim() == (1.5, -0.7)
    assert list(axes.get_yticks()) == []
    assert axes.get_xlim() == pytest.approx((0, 4.25 * 1.12))
    assert axes.get_xlabel() == "seconds"
    assert axes.get_axisbelow() is True
    assert grids(axes) == (True, False)
    assert not axes.spines["bottom"].get_visible()
    assert axes.xaxis.get_major_ticks()[0].tick1line.get_markersize() == 0
    told = legend(drawn[0][0])
    assert told["texts"] == ["import all", "train", "evaluate"]
    assert (told["columns"], told["place"]) == (2, LOWER_LEFT)
    patches = drawn[0][0].legends[0].get_patches()
    assert [patch.get_hatch() or "" for patch in patches] == ["////", "xxxx", ""]
    assert [to_hex(patch.get_edgecolor()) for patch in patches] == [LIGHT["quiet"]] * 3


def test_without_seconds_the_axis_still_begins_at_0(drawn: Drawn) -> None:
    """An older program recorded none."""
    charts.time_bars(group_of(example_run(seconds={})).runs, "time")
    assert drawn[0][0].axes[0].get_xlim()[0] == 0


def test_a_name_that_fits_is_not_cut(drawn: Drawn) -> None:
    """It has 44 letters at most."""
    run = bars()[0].run
    charts.time_bars([Shown(run, "x" * 44, "jax", "o")], "time")
    assert drawn[0][0].axes[0].texts[0].get_text() == "x" * 44


LINES = [
    Line("the band", "one ulp", [1, 2], [1e-7, 1e-6]),
    Line("the limit", "allowed", [1, 2], [1e-6, 1e-5]),
    Line("jax and torch", "float32", [1, 2, 4], [1e-8, 2e-8, 4e-8]),
    Line("jax and torch", "float64", [1, 2, 3], [1e-16, 2e-16, 3e-16]),
    Line("a and b", "float32", [1, 2, 4], [1e-8, 2e-8, 5e-8]),
]


def test_gaps_are_drawn_with_their_limits(drawn: Drawn) -> None:
    """The legend names each pair once; a precision is written where its line ends."""
    charts.gap_chart(LINES, "gaps")
    ((figure, words),) = drawn
    (axes,) = figure.axes
    assert size(figure) == [4.3, 4.2]
    assert axes.get_title(loc="left") == "relative gap of the loss, largest so far"
    assert grids(axes) == (True, True)
    limit, *pairs = axes.get_lines()
    assert limit.get_color() == LIGHT["quiet"]
    assert len(pairs) == 3
    assert to_hex(axes.collections[0].get_facecolor()[0]) == LIGHT["rule"]
    told = legend(figure)
    assert told["texts"] == ["the band", "the limit", "jax and torch", "a and b"]
    _, *handles = figure.legends[0].legend_handles
    colors = [line.get_color() for line in (limit, pairs[0], pairs[2])]
    assert [handle.get_color() for handle in handles] == colors
    assert (told["sizes"], told["place"]) == ({9}, LOWER_LEFT)
    beside = [
        (text.get_text(), text.xy, text.get_position(), text.get_ha(), text.get_va())
        for text in axes.texts
    ]
    assert beside == [
        ("float32", (4, 5e-8), (0, -6), "right", "top"),
        ("float64", (3, 3e-16), (5, 0), "left", "center"),
    ]
    assert {text.anncoords for text in axes.texts} == {"offset points"}
    assert words == {
        "name": "gaps",
        "title": "Gap between the losses of two backends, step by step",
        "description": (
            "At the last step: the band: 1.0e-06; the limit: 1.0e-05; jax and torch, float32: "
            "4.0e-08; jax and torch, float64: 3.0e-16; a and b, float32: 5.0e-08."
        ),
    }


@pytest.mark.usefixtures("drawn")
def test_charts_leave_other_figures_alone() -> None:
    """Their look ends with them."""
    before = dict(mpl.rcParams)
    charts.gap_chart(LINES, "gaps")
    assert dict(mpl.rcParams) == before
