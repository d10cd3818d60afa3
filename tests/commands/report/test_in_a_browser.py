import dataclasses
import re
from pathlib import Path

import pytest

from lenet_multi.commands.report import page
from lenet_multi.commands.report.climb import read_climb
from tests.browser import DESKTOP, PHONE, Open
from tests.commands.report.material import climb_folder, three_folders
from tests.examples import example_run, keep

# JavaScript that returns the contrast, as WCAG 2 defines it, of each text against the ground
# painted behind it. A canvas converts any colour, also a mixed one, into bytes.
TEXT_CONTRASTS = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const bytes = (colors) => {
    context.clearRect(0, 0, 1, 1);
    for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
    return context.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !element.checkVisibility() || element.closest("title, desc")) continue;
    const grounds = [];
    for (let at = element; at; at = at.parentElement)
      grounds.unshift(getComputedStyle(at).backgroundColor);
    const style = getComputedStyle(element);
    const color = element.closest("svg") ? style.fill : style.color;
    const light = [luminance(bytes([...grounds, color])), luminance(bytes(grounds))].sort();
    const mark = element.matches(".mark");
    found.push([mark ? "mark" : "text", text.data.trim(), (light[1] + 0.05) / (light[0] + 0.05)]);
  }
  return found;
}"""
LEAST_CONTRAST = {"text": 4.5, "mark": 3.0}  # WCAG 2.2, 1.4.3 for text and 1.4.11 for shapes


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page of three runs and a climb."""
    folder = tmp_path_factory.mktemp("page")
    climb = read_climb(climb_folder(folder / "climb"))
    made = page.render(page.read_runs(three_folders(folder)), climb)
    page.write(made, folder / "report.html", overwrite=False)
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_is_quiet_and_fits(address: str, open_page: Open, size: tuple[int, int]) -> None:
    """No error, no request except the page, no sideways scrolling, folded or not."""
    visit = open_page(address, size=size)
    assert visit.complaints == []
    assert visit.requests == [address]
    assert not visit.scrolls_sideways()
    for details in visit.page.locator("summary").all():
        details.click()
    assert not visit.scrolls_sideways()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_long_names_fit(tmp_path: Path, open_page: Open, size: tuple[int, int]) -> None:
    """A long path without a place to break does not widen the page."""
    folders = [Path("a" * 90, "b" * 90, name, "run") for name in "cd"]
    runs = [dataclasses.replace(example_run(), folder=folder) for folder in folders]
    page.write(page.render(runs), tmp_path / "page.html", overwrite=False)
    visit = open_page((tmp_path / "page.html").as_uri(), size=size)
    assert "b" * 90 in visit.page.inner_text("table >> nth=0")
    assert not visit.scrolls_sideways()


def test_every_chart_and_picture_is_drawn(address: str, open_page: Open) -> None:
    """Every chart has a size, and every picture has its pixels."""
    visit = open_page(address, size=PHONE)
    charts = visit.page.locator("svg.chart").all()
    assert len(charts) == 4
    for chart in charts:
        box = chart.bounding_box()
        assert box
        assert box["width"] > 250
        assert box["height"] > 100
    sizes = visit.page.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
    assert sizes
    assert set(sizes) == {8}


def test_charts_can_be_read_on_a_phone(address: str, open_page: Open) -> None:
    """No text in a chart is smaller than 9 pixels."""
    visit = open_page(address, size=PHONE)
    sizes = visit.page.eval_on_selector_all(
        "svg.chart text",
        "all => all.map(one => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a)",
    )
    # An exponent is smaller than its base, as in print.
    plain = [size for size in sizes if size > 8]
    assert len(plain) > 0.6 * len(sizes)
    assert min(plain) >= 9


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(address: str, open_page: Open, scheme: str) -> None:
    """All text and all marks have the contrast that WCAG requires, in both colour schemes."""
    visit = open_page(address, scheme=scheme)
    for details in visit.page.locator("summary").all():
        details.click()
    contrasts = visit.page.evaluate(TEXT_CONTRASTS)
    assert len(contrasts) > 500
    assert [one for one in contrasts if one[2] < LEAST_CONTRAST[one[0]]] == []


def test_dark_is_dark_and_paper_is_light(address: str, open_page: Open) -> None:
    """The background follows the colour scheme on screen, but not on paper."""
    ground = "getComputedStyle(document.body).backgroundColor"
    visit = open_page(address, scheme="dark")
    assert visit.page.evaluate(ground) == "rgb(15, 19, 24)"
    visit.page.emulate_media(media="print")
    assert visit.page.evaluate(ground) == "rgb(255, 255, 255)"


def test_the_page_prints(address: str, open_page: Open) -> None:
    """The page prints as an A4 PDF, with nothing cut off at the right and all tables unfolded."""
    visit = open_page(address, size=(688, 1000))  # A4 without its margins, in CSS pixels
    assert visit.page.pdf(format="A4").startswith(b"%PDF")
    visit.page.emulate_media(media="print")
    assert not visit.scrolls_sideways()
    assert visit.page.get_by_role("columnheader", name="validation accuracy").first.is_visible()


def test_a_reader_of_the_screen_hears_it(address: str, open_page: Open) -> None:
    """Charts, tables and headings have accessible names; on a phone a table stays a table."""
    visit = open_page(address, size=PHONE)
    heard = visit.page.locator("body").aria_snapshot()
    assert 'heading "They agree." [level=1]' in heard
    assert 'img "Loss of standard' in heard
    assert 'table "Results of each run"' in heard
    assert re.search(r'cell "accuracy ?99\.00%"', heard)
    assert 'img "Test image 999, labelled 9"' in heard


def test_a_hostile_run_runs_nothing(tmp_path: Path, open_page: Open) -> None:
    """A script in a backend's name stays text."""
    hostile = "<script>document.title='caught'</script><img src=x onerror=document.title='caught'>"
    run = keep(example_run(hostile), tmp_path / "run")
    page.write(page.render(page.read_runs([run])), tmp_path / "page.html", overwrite=False)
    visit = open_page((tmp_path / "page.html").as_uri())
    assert visit.complaints == []
    assert visit.page.title().startswith("lenet-multi: One run. <script>")
    assert visit.page.locator("script").count() == 0


def test_two_runs_stand_side_by_side_on_a_phone(address: str, open_page: Open) -> None:
    """Each has a card of half the width, with all of its results."""
    page = open_page(address, size=PHONE).page
    cards = [row.bounding_box() for row in page.locator("#results tbody tr").all()]
    assert len(cards) == 3
    first, second, third = (card for card in cards if card)
    assert first["y"] == second["y"] < third["y"]
    assert first["x"] + first["width"] <= second["x"]
    assert second["x"] + second["width"] <= PHONE[0]


def test_each_section_leads_back_to_the_top(address: str, open_page: Open) -> None:
    """The last section's link scrolls there."""
    page = open_page(address, size=PHONE).page
    assert page.locator("section .top").count() == page.locator("section h2").count()
    page.locator("#environment .top").click()
    for _ in range(100):  # the page scrolls smoothly
        if page.evaluate("scrollY") == 0:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page is not at its top")


def test_finding_and_limit_have_columns_of_their_own(address: str, open_page: Open) -> None:
    """Both precisions have both; a rung that asks for equality has a limit of 0."""
    page = open_page(address).page
    heads = page.locator("#ladder .ladder thead th").all_text_contents()
    assert heads == ["float32", "float64", "rung", *["found", "limit"] * 2]
    row = page.locator("#ladder .ladder tbody tr").first
    cells = [" ".join(words.split()) for words in row.locator("td").all_text_contents()]
    assert cells == ["✓ 0", "0"] * 2
