from html.parser import HTMLParser

from rich.table import Table
from rich.text import Text

from lenet_multi.runs.shown import Shown


class Example(Shown):
    """A result with one table."""

    sentence = "5 < 6."

    def tables(self) -> list[Table]:
        """Return a table with a style and a sign of HTML."""
        table = Table("name", title="Two <rows>")
        table.add_column("value", justify="right")
        table.add_row("a & b", Text("1", "green"))
        table.add_row("c", "2")
        return [table]


class Cells(HTMLParser):
    """Collects the texts of a page, each with its tag."""

    def __init__(self) -> None:
        super().__init__()
        self.tag, self.found = "", list[tuple[str, str]]()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Remember the tag."""
        self.tag = tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.found.append((self.tag, data))


def test_a_notebook_shows_a_table_of_html() -> None:
    """Every cell, the title and the sentence are there, escaped."""
    cells = Cells()
    cells.feed(Example()._repr_html_())
    assert cells.found == [
        ("caption", "Two <rows>"),
        *(("th", "name"), ("th", "value")),
        *(("td", "a & b"), ("td", "1"), ("td", "c"), ("td", "2")),
        ("b", "5 < 6."),
    ]


def test_a_prompt_shows_the_table_as_text() -> None:
    """`repr` has the rows and ends with the sentence, without codes for colours."""
    shown = repr(Example())
    assert "a & b" in shown
    assert shown.splitlines()[-1] == "5 < 6."
    assert "\x1b" not in shown
