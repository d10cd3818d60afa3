import io

from rich.console import Console

from lenet_multi.bench import table
from lenet_multi.bench.ways import JIT_ON, OURS
from tests.bench.material import THREE, bench, row


def printed(*rows: object) -> list[str]:
    """Return the lines of a bench with these rows."""
    console = Console(width=140, file=(text := io.StringIO()), markup=False)
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
