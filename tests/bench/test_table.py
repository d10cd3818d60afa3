import dataclasses
import io
from typing import Any

import pytest
from rich.console import Console

from lenet_multi.bench import table
from lenet_multi.bench.ways import JIT_ON, OURS, STOCK
from tests.bench.material import THREE, bench, row


def printed(*rows: object, width: int = 140, is_terminal: bool = False) -> list[str]:
    """Return the lines of a bench with these rows; a terminal's with its codes for styles."""
    console = Console(
        width=width,
        file=(text := io.StringIO()),
        markup=False,
        force_terminal=is_terminal,
        color_system="standard" if is_terminal else None,
        _environ={},
    )
    table.print_bench(bench(rows), console)  # type: ignore[arg-type]
    return text.getvalue().splitlines()


def cells(line: str) -> list[str]:
    """Return the cells of a table's line."""
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_a_row_has_all_its_figures() -> None:
    """Seconds, the median step with its range, the factor, examples a second, memory."""
    title, *lines = printed(*THREE)
    assert title.strip() == "my_model.py:build (1,234 parameters): batch 32, 1 thread"
    ours = next(cells(line) for line in lines if "│ jax" in line and OURS in line)
    assert ours == [
        *("jax", "ours", "1.0", "0.8", "2.0", "6.1", "6 to 6.2", "2.9", "5,246", "6.1", "400"),
    ]


def test_a_failed_way_is_a_line_below_the_table() -> None:
    """It has no figures; the last line is the sentence."""
    lines = printed(*THREE, row("torch", JIT_ON, failure="no compiler"))
    assert not [line for line in lines if "│" in line and JIT_ON in line]
    assert lines[-3] == "torch, jit on: cannot: no compiler"
    assert lines[-1].startswith("Take torch (ours)")


def test_the_table_has_a_name_over_each_column() -> None:
    """Names are to the left, figures to the right; a memory that is not known is a dash."""
    lines = printed(row("torch", STOCK, 9.0), row("jax", OURS, 8.0, 12.0, peak_mib=None))
    _, _, heads, _, first, second, _, _ = lines
    assert [cell.strip() for cell in heads.strip("┃").split("┃")] == [
        *("backend", "way", "import s", "build s", "first step s", "step ms", "of rounds"),
        *("factor", "examples/s", "predict ms", "peak MiB"),
    ]
    assert first == (
        "│ torch   │ stock │      1.0 │     0.8 │          2.0 │       9 │    9 to 9 │   1.00 │"
        "      3,556 │          9 │      400 │"
    )
    assert second == (
        "│ jax     │ ours  │      1.0 │     0.8 │          2.0 │      10 │   8 to 12 │   0.89 │"
        "      3,200 │         10 │        - │"
    )


def test_a_narrow_terminal_breaks_no_line() -> None:
    """Cells are cut, and remarks and sentence stay in one line, to be copied."""
    assert all(column.no_wrap for column in table.table(bench(THREE)).columns)
    rows = (*THREE, row("torch", JIT_ON, failure="no compiler " * 9))
    wide, narrow = printed(*rows, width=200), printed(*rows, width=50)
    assert narrow[-2:] == wide[-2:]
    assert len(narrow) == len(wide) + 1  # the title has two lines


def test_the_best_way_and_the_sentence_stand_out() -> None:
    """The best row is bold and green, the sentence is bold; remarks have no colour."""
    lines = printed(*THREE, row("torch", JIT_ON, failure="no 1"), is_terminal=True)
    rows = [line for line in lines if line.startswith("│")]
    assert ["\x1b[1;32m" in line for line in rows] == [False] * 5 + [True]
    assert "torch, jit on: cannot: no 1" in lines
    (last,) = lines[-1:]
    assert last.startswith("\x1b[1mTake torch (ours): a step takes 2.1 ms; ")
    assert last.count("\x1b[") == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": None}, "my_model.py:build: batch 32, 1 thread"),
        ({"threads": 2}, "my_model.py:build (1,234 parameters): batch 32, 2 threads"),
    ],
    ids=["no-parameters", "threads"],
)
def test_the_title_names_the_model_and_its_setting(change: dict[str, Any], words: str) -> None:
    """A model whose size is not known has no parameters in it."""
    assert table.table(dataclasses.replace(bench(THREE), **change)).title == words
