"""Print a bench: a row for each way, the remarks, and the sentence."""

from statistics import median

from rich.console import Console
from rich.table import Table

from lenet_multi.bench import verdict
from lenet_multi.bench.result import Bench, Row, ratio

COLUMNS = (
    *("import s", "build s", "first step s", "step ms", "of rounds", "factor"),
    *("examples/s", "predict ms", "peak MiB"),
)


def print_bench(bench: Bench, console: Console) -> None:
    """Print all rows, the remarks, and last the sentence."""
    console.print(table(bench))
    for line in verdict.remarks(bench):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(verdict.sentence(bench), style="bold", highlight=False, soft_wrap=True)


def table(bench: Bench) -> Table:
    """Return the table of the ways that were timed, the backends in their order."""
    size = f" ({bench.parameters:,} parameters)" if bench.parameters else ""
    threads = f"{bench.threads} thread{'s' if bench.threads > 1 else ''}"
    title = f"{bench.model}{size}: batch {bench.config.batch_size}, {threads}"
    found = Table(title=title, title_justify="left")
    for column in ("backend", "way"):
        found.add_column(column, no_wrap=True)
    for column in COLUMNS:
        found.add_column(column, justify="right", no_wrap=True)
    best = bench.best
    for row in bench.rows:
        if row.is_timed and best:
            style = "bold green" if row is best else None
            cells = _cells(row, best, bench.config.batch_size)
            found.add_row(row.backend, row.way, *cells, style=style)
    return found


def _cells(row: Row, best: Row, batch_size: int) -> list[str]:
    seconds = row.seconds
    return [
        f"{seconds['import']:.1f}",
        f"{seconds['data'] + seconds['build']:.1f}",
        f"{seconds['first step']:.1f}",
        f"{row.step:.3g}",
        f"{min(row.step_ms):.3g} to {max(row.step_ms):.3g}",
        f"{verdict.factor(ratio(row, best))}",
        f"{1000 * batch_size / row.step:,.0f}",
        f"{median(row.predict_ms):.3g}",
        "-" if row.peak_mib is None else f"{row.peak_mib:,.0f}",
    ]
