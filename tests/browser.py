"""A real Chromium without a window, for the tests of pages."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:  # only the session `across` installs it
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",  # Chromium refuses to run as root with a sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Width and height, in CSS pixels.
PHONE, SIDEWAYS, DESKTOP = (360, 740), (740, 360), (1280, 900)


@dataclass(frozen=True)
class Visit:
    """An open page, with its requests and complaints so far."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def scrolls_sideways(self) -> bool:
        """Return whether the page is wider than its window."""
        root = "document.documentElement"
        return bool(self.page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"))


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A running Chromium; without one the test fails and says what to install."""
    from playwright.sync_api import Error, sync_playwright

    found = next(filter(None, map(shutil.which, _NAMES)), None)
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=[*_FLAGS])
        except Error as error:
            pytest.fail(
                "these tests need Chromium: apt-get install chromium, or "
                f"playwright install chromium: {error.message.splitlines()[0]}",
                pytrace=False,
            )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[Open]:
    """Open a page at an address, in its own window, which closes after the test."""
    contexts = []

    def visit(
        url: str,
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: Literal["light", "dark"] = "light",
    ) -> Visit:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        visit = Visit(context.new_page())
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on("console", lambda message: visit.complaints.append(message.text))
        visit.page.on("pageerror", lambda error: visit.complaints.append(error.message))
        visit.page.goto(url)
        return visit

    yield visit
    for context in contexts:
        context.close()
