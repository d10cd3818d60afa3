from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.figure import ALLOWED, ONE_ULP, Line, draw_gaps, draw_lines, lines
from lenet_multi.parity.ladder import Ladder
from lenet_multi.parity.plan import Plan

THREE = ("jax", "torch", "tensorflow")


def ladder(*backends: str, twins: float = 0.0) -> Ladder:
    """Return evidence of backends whose losses are off by 0, 1, 2, ... in 10^5 from step 2 on.

    With `twins`, the last loss of a twin of each backend in float32 is off by this share.
    """
    losses = np.array([2.0, 1.0, 0.5])
    found = {}
    for (place, who), precision in product(enumerate(backends), ("float32", "float64")):
        scale = 1 + place * (1e-5 if precision == "float32" else 1e-12)
        arrays = {"L4/losses": losses * [1, scale, scale]}
        if twins and precision == "float32":
            arrays["twins/L4/losses"] = np.array([[0, 0, twins]])
        found[who, precision] = Evidence(who, "", arrays=arrays)
    return Ladder(backends, found, {}, Plan())


@pytest.mark.parametrize(
    ("gaps", "steps", "largest"),
    [
        ([0.0, 3.0, 2.0], [1, 2, 3], [1e-17, 3.0, 3.0]),
        ([5.0], [1], [5.0]),
    ],
    ids=["three", "one"],
)
def test_a_line_never_falls(gaps: list[float], steps: list[int], largest: list[float]) -> None:
    """It has the largest gap so far at each step; none is drawn as a tiny one."""
    assert Line.of("a", "float32", np.array(gaps)) == Line("a", "float32", steps, largest)


def test_a_long_line_has_few_points() -> None:
    """They are dense at the first steps, and have the last step always."""
    line = Line.of("a", "float64", np.arange(5000.0))
    assert line.steps == np.unique(np.geomspace(1, 5000, 100).round()).tolist()
    assert line.gaps[1:] == [step - 1 for step in line.steps[1:]]


@pytest.mark.parametrize(
    ("kind", "label"),
    [("float32", "a, float32"), ("float64", "a, float64"), (ONE_ULP, "a"), (ALLOWED, "a")],
)
def test_a_pair_is_labelled_with_its_precision(kind: str, label: str) -> None:
    """Band and limit have none."""
    assert Line("a", kind, [], []).label == label


def test_each_pair_has_a_line_in_each_precision() -> None:
    """Without twins there is neither a band nor a limit."""
    found = lines(ladder("jax", "torch"))
    assert [(line.name, line.kind) for line in found] == [
        ("jax and torch", "float32"),
        ("jax and torch", "float64"),
    ]
    np.testing.assert_allclose(found[0].gaps, [1e-17, 1e-5, 1e-5], rtol=1e-4)
    np.testing.assert_allclose(found[1].gaps, [1e-17, 1e-12, 1e-12], rtol=1e-3)


def test_many_pairs_share_a_line() -> None:
    """Three pairs have a style each; of six, the largest gap at each step is drawn."""
    assert len(lines(ladder(*THREE))) == 6
    found = lines(ladder(*THREE, "torch:stock"))
    assert [(line.name, line.kind) for line in found] == [
        ("largest of 6 pairs", "float32"),
        ("largest of 6 pairs", "float64"),
    ]
    np.testing.assert_allclose(found[0].gaps, [1e-17, 3e-5, 3e-5], rtol=1e-4)


def test_band_and_limit_come_first() -> None:
    """The limit is five times the band, at twice the step."""
    band, limit, *pairs = lines(ladder("jax", "torch", twins=0.25))
    eps = float(np.finfo(np.float32).eps)
    assert band == Line(
        "one-ulp change of the start, one backend", ONE_ULP, [1, 2, 3], [eps, eps, 0.25]
    )
    assert limit == Line(
        "widest limit: 5 times the band, at 2 times the step",
        ALLOWED,
        [1, 2, 3],
        [5 * eps, 1.25, 1.25],
    )
    assert pairs == lines(ladder("jax", "torch"))


def test_nothing_is_drawn_before_all_trained() -> None:
    """A climb that ended on an earlier rung has no losses."""
    rungs = ladder("jax", "torch", twins=0.25)
    del rungs.climbed["torch", "float64"].arrays["L4/losses"]
    assert lines(rungs) == []


def test_the_picture_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a PNG of the lines, with words on axes and above, and their names below."""
    drawn: list[tuple[Figure, Any]] = []
    save = Figure.savefig

    def remember(self: Figure, file: Any, **how: Any) -> None:
        drawn.append((self, how))
        save(self, file, **how)

    monkeypatch.setattr(Figure, "savefig", remember)
    draw_gaps(ladder("jax", "torch", twins=0.25), tmp_path / "gaps.any")
    with Image.open(tmp_path / "gaps.any") as image:
        assert (image.format, image.size) == ("PNG", (9 * 130, 6 * 130))
    ((picture, _),) = drawn
    (axes,) = picture.axes
    assert axes.get_ylabel() == "relative gap of the loss, largest so far"
    title = "Same model, weights and batches on two backends: gap of the losses"
    assert picture.get_suptitle() == title
    assert axes.yaxis.label.get_fontsize() == 11
    assert axes.get_xgridlines()[0].get_color() == "0.9"
    assert type(picture.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    legend: Any
    (legend,) = picture.legends
    names = [line.label for line in lines(ladder("jax", "torch", twins=0.25))]
    assert [text.get_text() for text in legend.get_texts()] == names
    assert {text.get_fontsize() for text in legend.get_texts()} == {9}
    assert not legend.get_frame_on()
    assert (legend._ncols, legend._outside_loc) == (3, "lower")


def test_a_line_is_drawn_as_its_kind() -> None:
    """A pair has one colour and style in both precisions; band and limit are greys."""
    axes = Figure().add_subplot()
    kinds = (ONE_ULP, ALLOWED, "float32", "float64")
    drawn = [Line("a", kind, [1, 10], [1e-9, 1e-3]) for kind in kinds]
    drawn += [Line(name, "float32", [1, 10], [1e-9, 1e-3]) for name in "bcd"]
    draw_lines(axes, drawn)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_ylim() == (1e-17, 10)
    assert axes.get_xlim()[0] == 1
    assert axes.get_xlabel() == "training step"
    assert axes.get_xgridlines()[0].get_linewidth() == 0.5
    assert axes.get_xgridlines()[0].get_visible()
    band: Any
    (band,) = axes.collections
    assert band.get_label() == "a"
    assert band.get_linewidth() == 0
    np.testing.assert_allclose(band.get_facecolor()[0], [0.87, 0.87, 0.87, 1])
    corners = band.get_paths()[0].vertices
    assert set(map(tuple, corners)) == {(1, 1e-17), (10, 1e-17), (1, 1e-9), (10, 1e-3)}
    shown = [
        (line.get_label(), line.get_color(), line.get_linestyle(), line.get_linewidth())
        for line in axes.lines
    ]
    assert shown == [
        ("a", "0.45", "-", 1),
        ("a, float32", "#0072b2", "-", 2.2),
        ("a, float64", "#0072b2", "-", 1.1),
        ("b, float32", "#d55e00", "--", 2.2),
        ("c, float32", "#009e73", ":", 2.2),
        ("d, float32", "#0072b2", "-", 2.2),
    ]
    for one in axes.lines:
        assert np.asarray(one.get_data()).tolist() == [[1, 10], [1e-9, 1e-3]]


def test_greys_may_be_others() -> None:
    """A dark page has its own."""
    axes = Figure().add_subplot()
    drawn = [Line("a", kind, [1, 10], [1e-9, 1e-3]) for kind in (ONE_ULP, ALLOWED)]
    draw_lines(axes, drawn, band="0.25", limit="0.75")
    filled: Any = axes.collections[0]
    np.testing.assert_allclose(filled.get_facecolor()[0], [0.25, 0.25, 0.25, 1])
    assert axes.lines[0].get_color() == "0.75"
