"""`lenet-multi report`: one page about runs that needs nothing beside it."""

from pathlib import Path

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--parity",
    type=click.Path(path_type=Path),
    help="folder that `lenet-multi parity --out` wrote, to show the ladder  (default: none)",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="report.html",
    show_default=True,
    help="file for the page",
)
@click.option("--overwrite", is_flag=True, help="replace the file in --out")
def command(runs: tuple[Path, ...], parity: Path | None, out: Path, overwrite: bool) -> None:
    """Show run folders on one page, in any browser, without a network.

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
