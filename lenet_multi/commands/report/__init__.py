"""`lenet-multi report`: one HTML page about runs that needs no other file."""

from pathlib import Path

import click

from lenet_multi.commands._options import path_option


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_option("--parity", "--out folder of lenet-multi parity, to show its ladder  (default: none)")
@path_option("--out", "page to write", default="report.html")
@click.option("--overwrite", is_flag=True, help="replace the file in --out")
def command(runs: tuple[Path, ...], parity: Path | None, out: Path, overwrite: bool) -> None:
    """Write one HTML page about run folders, for any browser and without a network.

    \b
    Examples:
      lenet-multi report runs/jax
      lenet-multi report runs/tensorflow runs/jax runs/torch --parity runs/parity
    """
    from lenet_multi.commands.report import page
    from lenet_multi.commands.report.climb import read_climb

    page.refuse_occupied(out, overwrite=overwrite)
    found = page.read_runs(runs)
    climb = read_climb(parity) if parity else None
    click.echo(f"Drawing {len(found)} runs", err=True)
    page.write(page.render(found, climb), out, overwrite=overwrite)
    click.echo(f"Report: {out}")
