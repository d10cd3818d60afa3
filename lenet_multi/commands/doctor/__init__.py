"""`lenet-multi doctor`: what prevents training on this machine, or changes its results."""

import dataclasses
import json
import sys

import click

from lenet_multi.commands._options import as_json, console, timeout_option


@click.command("doctor")
@as_json
@timeout_option(60.0, "seconds a backend may take to start")
def command(as_json: bool, timeout: float) -> None:
    """Show what prevents training on this machine or changes its results, with remedies.

    \b
    Examples:
      lenet-multi doctor
      lenet-multi doctor --json

    Exit status 0: a backend works and nothing changes its results; 1: a problem needs its remedy.
    """
    from lenet_multi.commands.doctor.checkup import examine
    from lenet_multi.commands.doctor.tables import print_checkup

    found = examine(timeout=timeout)
    if as_json:
        record = {"healthy": found.healthy, **dataclasses.asdict(found)}
        click.echo(json.dumps(record, indent=2))
    else:
        print_checkup(found, console())
    sys.exit(0 if found.healthy else 1)
