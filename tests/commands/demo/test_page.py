import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from PIL import Image, ImageDraw

from tests.browser import DESKTOP, PHONE, SIDEWAYS, Open, Visit
from tests.commands.demo.stand_in import served
from tests.commands.demo.test_app import wait_for_backends

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SEVEN = [(0.25, 0.22), (0.75, 0.22), (0.42, 0.82)]  # corners of a 7, as shares of the board
SECONDS = 60  # longest wait for an answer, on a machine with ten other jobs; it mostly takes 0.1 s

AGREED = "All three agree: 7; largest difference 0"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a demo with three stand-ins that answer."""
    with served(**dict.fromkeys(("tensorflow", "jax", "torch"), "answers")) as demo:
        wait_for_backends(demo.address)
        yield demo.address


def draw(page: "Page", corners: list[tuple[float, float]] = SEVEN) -> None:
    """Draw one stroke with the mouse."""
    box = page.locator("#board").bounding_box()
    assert box
    for index, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=10)
        if index == 0:
            page.mouse.down()
    page.mouse.up()


def wait_for(page: "Page", selector: str, words: str | re.Pattern[str]) -> None:
    """Wait until the element at `selector` holds `words`, and nothing else."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(words, timeout=SECONDS * 1000)


def answers(page: "Page") -> list[str]:
    """Return the digit shown for each backend."""
    return page.locator(".answer").all_text_contents()


def brightest(page: "Page", canvas: str) -> int:
    """Return the brightest level of red on a canvas."""
    found: int = page.evaluate(
        "(id) => { const c = document.querySelector(id);"
        " const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        " return data.reduce((most, level, at) => (at % 4 ? most : Math.max(most, level)), 0) }",
        canvas,
    )
    return found


def inked(page: "Page", x: float, y: float) -> bool:
    """Tell whether there is ink at this share of the board's width and height."""
    level: int = page.evaluate(
        "([x, y]) => document.querySelector('#board').getContext('2d')"
        ".getImageData(560 * x, 560 * y, 1, 1).data[0]",
        [x, y],
    )
    return level > 0


def assert_quiet(visit: Visit, address: str) -> None:
    """Check that the page requested nothing from elsewhere and logged no error."""
    assert visit.requests
    assert not [url for url in visit.requests if not url.startswith(address)]
    assert visit.complaints == []


def test_answers_follow_the_mouse(address: str, open_page: Open) -> None:
    """Answers appear while the button is still down; Clear removes them."""
    visit = open_page(address)
    page = visit.page
    box = page.locator("#board").bounding_box()
    assert box
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 200, steps=5)
    wait_for(page, "#agreement", AGREED)
    page.mouse.up()
    assert answers(page) == ["7", "7", "7"]
    assert page.locator(".share").all_text_contents() == ["91.0%"] * 3
    assert page.locator("li.chosen .digit").all_text_contents() == ["7", "7", "7"]
    wait_for(page, "#spoken", AGREED)
    assert_quiet(visit, address)  # Chromium complains about the next step
    assert brightest(page, "#seen") == 255
    page.get_by_role("button", name="Clear").click()
    assert answers(page) == ["", "", ""]
    assert (brightest(page, "#board"), brightest(page, "#seen")) == (0, 0)


def test_answers_follow_the_keyboard(address: str, open_page: Open) -> None:
    """Tab reaches the board, then Undo; Space and arrows draw, Escape clears."""
    visit = open_page(address)
    page = visit.page
    page.keyboard.press("Tab")
    for key in ["Space", *["ArrowRight"] * 8, *["ArrowDown"] * 20, "Space", "ArrowLeft"]:
        page.keyboard.press(key)
    wait_for(page, "#agreement", AGREED)
    page.keyboard.press("Escape")
    assert answers(page) == ["", "", ""]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "undo"
    assert_quiet(visit, address)


def test_answers_follow_a_finger(address: str, browser: "Browser") -> None:
    """On a phone a finger draws instead of scrolling; the page is no wider than the screen."""
    width, height = PHONE
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(address)
    box = page.locator("#board").bounding_box()
    assert box
    finger = context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points: list[dict[str, Any]] = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in places
        ]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.5, 0.8))
    for step in range(1, 11):
        touch("touchMove", (0.5, 0.8 - 0.06 * step))
    touch("touchEnd")
    wait_for(page, "#agreement", AGREED)
    assert inked(page, 0.5, 0.25)
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_undo_takes_the_last_step_back(address: str, open_page: Open) -> None:
    """Each stroke, and Clear, goes by itself; Ctrl+Z does the same; then there is nothing left."""
    page = open_page(address).page
    undo = page.get_by_role("button", name="Undo")
    assert undo.is_disabled()
    draw(page, [(0.2, 0.2), (0.4, 0.2)])
    draw(page, [(0.2, 0.8), (0.4, 0.8)])
    undo.click()
    assert (inked(page, 0.3, 0.2), inked(page, 0.3, 0.8)) == (True, False)
    page.get_by_role("button", name="Clear").click()
    assert not inked(page, 0.3, 0.2)
    undo.click()
    assert inked(page, 0.3, 0.2)
    page.keyboard.press("Control+z")
    assert brightest(page, "#board") == 0
    assert undo.is_disabled()


def photograph(folder: Path) -> Path:
    """Write a grey page with a dark bar on it, wider than high."""
    image = Image.new("RGB", (1600, 1200), (200, 190, 180))
    ImageDraw.Draw(image).rectangle((780, 300, 860, 900), (40, 60, 90))
    image.save(folder / "bar.jpg")
    return folder / "bar.jpg"


GIVE = """async ([kind, name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  document.dispatchEvent(kind === "drop"
    ? new DragEvent(kind, { dataTransfer: data, cancelable: true })
    : new ClipboardEvent(kind, { clipboardData: data }));
}"""


@pytest.mark.parametrize("how", ["choose", "drop", "paste"])
def test_a_photograph_is_answered(address: str, open_page: Open, tmp_path: Path, how: str) -> None:
    """It is shown on the board, and Undo and a new stroke take it away."""
    visit = open_page(address)
    page, file = visit.page, photograph(tmp_path)
    if how == "choose":
        page.locator("#photo").set_input_files(file)
    else:
        page.evaluate(GIVE, [how, file.name, base64.b64encode(file.read_bytes()).decode()])
    wait_for(page, "#agreement", AGREED)
    assert brightest(page, "#seen") == 255
    assert inked(page, 0.3, 0.5)  # paper
    assert not inked(page, 0.3, 0.05)  # above the photograph
    draw(page, [(0.8, 0.2), (0.8, 0.4)])
    assert not inked(page, 0.3, 0.5)
    for _ in range(2):  # the stroke, and the board that it began
        page.get_by_role("button", name="Undo").click()
    assert inked(page, 0.3, 0.5)
    assert_quiet(visit, address)


def test_what_cannot_be_read_has_no_answers(address: str, open_page: Open) -> None:
    """After a picture of two digits, the page says why, and the answers before are gone."""
    page = open_page(address).page
    draw(page)
    wait_for(page, "#agreement", AGREED)
    page.get_by_role("button", name="Clear").click()
    draw(page, [(0.2, 0.3), (0.2, 0.6)])
    draw(page, [(0.8, 0.3), (0.8, 0.6)])
    wait_for(page, "#agreement", "2 digits are drawn on it; give an image of each digit")
    assert answers(page) == ["", "", ""]
    assert brightest(page, "#seen") == 0


def test_a_file_that_is_no_picture_is_refused(address: str, open_page: Open) -> None:
    """The page names it, and says what to choose; the board stays as it is."""
    page = open_page(address).page
    draw(page)
    wait_for(page, "#agreement", AGREED)
    page.evaluate(GIVE, ["drop", "notes.txt", base64.b64encode(b"words").decode()])
    words = "This browser cannot read notes.txt; choose a JPEG or PNG."
    wait_for(page, "#agreement", words)
    assert inked(page, 0.5, 0.22)


def test_an_unsure_answer_has_no_green_headline(open_page: Open) -> None:
    """The page says "unsure", in another colour than that of agreement."""
    with served(jax="is unsure", torch="is unsure") as demo:
        wait_for_backends(demo.address)
        page = open_page(demo.address).page
        draw(page)
        wait_for(page, "#agreement", "Both agree: 7; unsure, at 46%; largest difference 0")
        assert page.locator("#agreement").get_attribute("class") == "unsure"


@pytest.mark.parametrize("size", [PHONE, SIDEWAYS, DESKTOP], ids=["phone", "sideways", "desktop"])
def test_each_number_is_on_one_line(address: str, open_page: Open, size: tuple[int, int]) -> None:
    """Runners-up have their shares; no share is broken, nor cut by its card."""
    page = open_page(address, size=size).page
    draw(page)
    wait_for(page, "#agreement", AGREED)
    assert page.locator(".percent").all_text_contents() == ([*["1%"] * 7, "91%", "1%", "1%"] * 3)
    whole = """() => [...document.querySelectorAll(".percent, .share")].every((one) => {
      const words = document.createRange();
      words.selectNodeContents(one);
      const [box, card] = [words.getBoundingClientRect(), one.closest("article")];
      return words.getClientRects().length === 1 && box.width > 0
        && box.right <= card.getBoundingClientRect().right;
    })"""
    assert page.evaluate(whole)


def test_board_and_answers_share_the_screen_of_a_phone_held_sideways(
    address: str, open_page: Open
) -> None:
    """The board and each answer are in view at once; there is room to scroll beside the board."""
    page = open_page(address, size=SIDEWAYS).page
    draw(page)
    wait_for(page, "#agreement", AGREED)
    width, height = SIDEWAYS
    for selector in ("#board", "#agreement", ".verdict"):
        for found in page.locator(selector).all():
            box = found.bounding_box()
            assert box
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height
            assert box["x"] + box["width"] <= width
    board = page.locator("#board").bounding_box()
    assert board
    assert board["width"] <= width / 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_boards_edge_is_seen(
    address: str, open_page: Open, scheme: Literal["light", "dark"]
) -> None:
    """Its colour has three times the light of the ground, or a third (WCAG 2.2, 1.4.11)."""
    page = open_page(address, scheme=scheme).page
    edge, ground = (
        page.evaluate(f"getComputedStyle(document.querySelector('{one}')).{name}")
        for one, name in (("#board", "borderTopColor"), ("body", "backgroundColor"))
    )
    light = sorted(luminance(color) + 0.05 for color in (edge, ground))
    assert light[1] / light[0] >= 3


def luminance(color: str) -> float:
    """Return the relative luminance of a CSS colour rgb(R, G, B), as WCAG 2 defines it."""
    levels = [int(level) / 255 for level in re.findall(r"\d+", color)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_how_backends_fare_is_shown(open_page: Open) -> None:
    """A failed backend shows its reason, a starting one says so, a ready one answers."""
    with served(tensorflow="never starts", jax="starts for ever", torch="answers") as demo:
        visit = open_page(demo.address)
        draw(visit.page)
        wait_for(visit.page, "#agreement", "torch answers 7")
        reason, starting, time = visit.page.locator(".note").all_text_contents()
        assert (reason, starting) == (
            "Failed: RuntimeError: out of luck (status 1)",
            "starting …",
        )
        assert time == "1.5 ms"
        assert_quiet(visit, demo.address)


def test_disagreement_is_shown(open_page: Open) -> None:
    """The page says which backend answers which digit."""
    with served(jax="answers", torch="says 1") as demo:
        wait_for_backends(demo.address)
        visit = open_page(demo.address)
        draw(visit.page)
        wait_for(visit.page, "#agreement", "They disagree: jax 7, torch 1; largest difference 0.99")
        assert answers(visit.page) == ["7", "1"]


def test_a_page_whose_demo_has_ended_says_so(open_page: Open) -> None:
    """After a drawing, the page says what to do."""
    with served(jax="answers") as demo:
        wait_for_backends(demo.address)
        page = open_page(demo.address).page
    draw(page)
    wait_for(page, "#agreement", "The demo has ended; start it again.")


@pytest.mark.parametrize(
    ("names", "heading", "words"),
    [
        ("", "Draw a digit", "Draw a digit from 0 to 9."),
        ("0,1,2,3,4,5,6,7,8,9", "Draw a digit", "Draw a digit from 0 to 9."),
        (
            "shirt,bag,<b>boot</b>,3,4,5,6,7,8,9",
            "Draw a picture",
            "Draw one of these: shirt, bag, <b>boot</b>, 3, 4, 5, 6, 7, 8, 9.",
        ),
    ],
    ids=["no names", "digits", "others"],
)
def test_the_page_asks_for_what_the_model_knows(
    names: str, heading: str, words: str, open_page: Open
) -> None:
    """Only a model of digits asks for a digit; after Clear the words are there again."""
    with served(names=names, jax="answers") as demo:
        wait_for_backends(demo.address)
        page = open_page(demo.address).page
        wait_for(page, "h1", heading)
        wait_for(page, "#agreement", words)
        assert page.title() == f"lenet-multi: {heading.lower()}"
        draw(page)
        wait_for(page, "#agreement", re.compile("jax answers "))
        page.get_by_role("button", name="Clear").click()
        wait_for(page, "#agreement", words)
