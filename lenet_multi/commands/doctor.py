"""`lenet-multi doctor`."""

import json
import sys

import click

from lenet_multi.cli import console
from lenet_multi.errors import UserError


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="print what is found as JSON")
@click.option(
    "--timeout",
    type=float,
    default=60.0,
    show_default=True,
    help="seconds that a backend has to start",
)
def command(as_json: bool, timeout: float) -> None:
    """Look for what keeps this machine from training, or changes its results, and tell the remedy.

    Exit status 0: a backend works and nothing changes its results; 1: something is to be mended.

    \b
    Examples:
      lenet-multi doctor
      lenet-multi doctor --json
    """
    from lenet_multi.doctor.checkup import examine
    from lenet_multi.doctor.tables import print_checkup

    if not 0 < timeout < float("inf"):
        raise UserError(f"--timeout must be a finite number of seconds above 0, not {timeout}")
    found = examine(timeout=timeout)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        print_checkup(found, console())
    sys.exit(0 if found.healthy else 1)
