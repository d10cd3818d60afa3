import re
import warnings
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from lenet_multi.commands.report import svg
from lenet_multi.commands.report.charts import gap_chart
from lenet_multi.commands.report.svg import to_svg
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.parity.figure import Line
from lenet_multi.runs.palette import DARK, LIGHT


def drawn(name: str = "chart", text: str = "words") -> str:
    """Return a chart with a line, a marker and a hatched bar."""
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([1, 2], [3, 4], "o-", color=LIGHT["jax"], label=text)
    axes.bar([1], [2], facecolor=LIGHT["ground"], edgecolor=LIGHT["torch"], hatch="//")
    axes.legend()
    return to_svg(figure, name=name, title=text, description=text)


def test_colours_become_variables() -> None:
    """Lines, bars and hatches use the page's colours, and text uses its font."""
    chart = drawn()
    assert "stroke: var(--jax)" in chart
    assert "fill: var(--torch); stroke: var(--torch); " in chart
    assert re.findall('fill="([^"]*)"', chart) == ["var(--ground)"]  # of the hatch
    styles = re.findall('<text style="([^"]*)"', chart)
    assert {style.partition(";")[0] for style in styles} == {"font-size: 10px"}
    assert {style.partition(";")[2] for style in styles} == {
        f" text-anchor: {side}" for side in ("start", "middle", "end")
    }


def test_a_font_keeps_its_size_alone() -> None:
    """Some versions of Matplotlib write it as one value, others as several."""
    for style in ("font: 12px 'DejaVu Sans'; x: 1", "font-size: 12px; font-family: a, 'b'; x: 1"):
        assert svg._themed("style", style) == "font-size: 12px; x: 1"


def test_a_chart_is_an_image_with_words() -> None:
    """Its title and its description are its first parts, and nothing styles the page."""
    root = ElementTree.fromstring(drawn(name="one"))
    assert root.tag == "svg"
    assert root.attrib == {
        "viewBox": "0 0 460.8 345.6",
        "class": "chart",
        "role": "img",
        "aria-labelledby": "one-title one-desc",
    }
    title, description, *_ = root
    assert (title.tag, title.attrib, title.text) == ("title", {"id": "one-title"}, "words")
    assert (description.tag, description.attrib) == ("desc", {"id": "one-desc"})
    assert description.text == "words"
    assert not {"style", "metadata"} & {element.tag for element in root.iter()}


def test_a_chart_has_no_ground_of_its_own() -> None:
    """The page's ground shows through."""
    assert "--ground" not in to_svg(Figure(), name="one", title="", description="")


def test_other_warnings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those on letters that a font lacks say nothing of the chart."""

    def save(figure: Figure, *given: Any, **more: Any) -> None:
        warnings.warn("odd", stacklevel=1)
        saved(figure, *given, **more)

    saved = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", save)
    with pytest.warns(UserWarning, match="odd"):
        drawn()


def test_pairs_of_backends_have_the_pages_colours() -> None:
    """Their colours, which `parity.figure` chooses, are in the page's palette."""
    lines = [Line(name, "float32", [1, 2], [1e-7, 1e-6]) for name in ("a and b", "a and c", "b")]
    chart = gap_chart(lines, "gaps")
    assert all(f"stroke: var(--{backend})" in chart for backend in BACKENDS)


def test_text_is_escaped() -> None:
    """Text from a run stays text."""
    assert "<b>" not in drawn(text="<b>&amp;")
    assert "&lt;b&gt;&amp;amp;" in drawn(text="<b>&amp;")


@pytest.mark.filterwarnings("error")
def test_text_need_not_be_in_the_font() -> None:
    """Text in a script that the font lacks is drawn without a warning."""
    assert "七" in drawn(text="七")


def test_two_charts_share_no_id() -> None:
    """Two charts share no id, so both fit on one page."""
    first, second = (set(re.findall(r' id="([^"]*)"', drawn(name))) for name in ("a", "b"))
    assert first
    assert not first & second


def test_a_chart_is_the_same_each_time() -> None:
    """A chart holds no date and no random id, so it is the same each time."""
    assert drawn() == drawn()


def test_both_grounds_have_the_same_colours() -> None:
    """Each name has a colour on light and dark ground; on light ground each has its own."""
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)
