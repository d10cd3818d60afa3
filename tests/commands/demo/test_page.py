import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import PHONE, Open, Visit
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
    """Tab reaches the board, then Clear; Space and arrows draw, Escape clears."""
    visit = open_page(address)
    page = visit.page
    page.keyboard.press("Tab")
    for key in ["Space", *["ArrowRight"] * 8, *["ArrowDown"] * 20, "Space", "ArrowLeft"]:
        page.keyboard.press(key)
    wait_for(page, "#agreement", AGREED)
    page.keyboard.press("Escape")
    assert answers(page) == ["", "", ""]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "clear"
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
