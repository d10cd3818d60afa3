"""`lenet-multi compare`."""

import sys
from pathlib import Path

import click

from lenet_multi.commands._options import as_json, console, path_option


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_option("--out", "JSON file to write", default="comparison.json")
@as_json
def command(runs: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Show whether two or more run folders agree (exit status 0) or differ (exit status 1).

    \b
    Example:
      lenet-multi compare runs/jax runs/torch
    """
    from lenet_multi.runs.comparison import compare, print_tables, write_json

    comparison = compare(runs)
    write_json(comparison, out)
    if as_json:
        click.echo(out.read_text(), nl=False)
    else:
        print_tables(comparison, console())
    sys.exit(0 if comparison.passed else 1)
