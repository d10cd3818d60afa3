from html.parser import HTMLParser

import pytest
from rich.table import Table
from rich.text import Text

from lenet_multi.runs.shown import Shown, as_html


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


def test_a_table_of_html_is_plain() -> None:
    """Each cell stands as in the terminal, and a table without a title has an empty one."""
    table = Table("name")
    table.add_column("value", justify="right")
    table.add_row("a", "1")
    assert as_html(table) == (
        "<table><caption></caption>"
        '<tr><th style="text-align: left">name</th><th style="text-align: right">value</th></tr>'
        '<tr><td style="text-align: left">a</td><td style="text-align: right">1</td></tr></table>'
    )


class Wide(Shown):
    """A result with two tables, one as wide as a screen, and pictures."""

    sentence, pictures = "Both.", "<svg/>"

    def tables(self) -> list[Table]:
        """Return two tables; the words of the first are no markup."""
        return [Table("[bold]", "x" * 120), Table("second")]


def test_all_is_shown_as_it_is() -> None:
    """A line has 140 columns, words in brackets stay, and pictures come last."""
    assert repr(Wide()).splitlines() == [
        *(f"┏━━━━━━━━┳{'━' * 122}┓", f"┃ [bold] ┃ {'x' * 120} ┃", f"┡━━━━━━━━╇{'━' * 122}┩"),
        f"└────────┴{'─' * 122}┘",
        *("┏━━━━━━━━┓", "┃ second ┃", "┡━━━━━━━━┩", "└────────┘", "Both."),
    ]
    assert repr(Example()).splitlines()[0] == "   Two <rows>"
    assert Wide()._repr_html_() == (
        "".join(map(as_html, Wide().tables())) + "<p><b>Both.</b></p><svg/>"
    )
    assert Example()._repr_html_().endswith("<p><b>5 &lt; 6.</b></p>")


def test_a_column_without_cells_loses_no_row() -> None:
    """A column that was added after the rows is an error, and no other is cut."""
    table = Table("name")
    table.add_row("a")
    table.add_column("value")
    with pytest.raises(ValueError, match="shorter"):
        as_html(table)


def test_a_result_must_say_what_it_shows() -> None:
    """Without tables and a sentence nothing can be shown."""
    with pytest.raises(NotImplementedError):
        Shown().tables()
    with pytest.raises(NotImplementedError):
        _ = Shown().sentence
