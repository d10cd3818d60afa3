"""Show a result in a notebook and at Python's prompt: its tables, and a sentence."""

from html import escape
from io import StringIO

from rich.console import Console
from rich.table import Table

_WIDTH = 140  # columns, as on stdout without a terminal


class Shown:
    """A result with tables for the terminal, which a notebook shows as tables of HTML."""

    def tables(self) -> list[Table]:
        """Return the tables to show."""
        raise NotImplementedError

    @property
    def sentence(self) -> str:
        """What the result says, in one sentence."""
        raise NotImplementedError

    @property
    def pictures(self) -> str:
        """HTML of the result's pictures, if it has any."""
        return ""

    def __repr__(self) -> str:
        file = StringIO()
        Console(file=file, width=_WIDTH, markup=False).print(*self.tables())
        lines = [line.rstrip() for line in file.getvalue().splitlines()]
        return "\n".join([*lines, self.sentence])

    def _repr_html_(self) -> str:
        tables = "".join(map(as_html, self.tables()))
        return f"{tables}<p><b>{escape(self.sentence)}</b></p>{self.pictures}"


def as_html(table: Table) -> str:
    """Return a table as plain HTML without colours of its own."""

    def cell(content: object, tag: str, align: str) -> str:
        return f'<{tag} style="text-align: {align}">{escape(str(content))}</{tag}>'

    aligned = [str(column.justify) for column in table.columns]
    columns = ([column.header, *column.cells] for column in table.columns)
    head, *body = zip(*columns, strict=True)
    rows = [("th", head), *(("td", row) for row in body)]
    lines = (
        "".join(cell(content, tag, align) for content, align in zip(row, aligned, strict=True))
        for tag, row in rows
    )
    inner = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><caption>{escape(str(table.title or ''))}</caption>{inner}</table>"
