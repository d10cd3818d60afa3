"""`lenet-multi doctor`: what keeps this machine from training, or makes it train otherwise."""

import dataclasses
import json
import sys

import click

from lenet_multi.commands._options import as_json, console, timeout_option


@click.command("doctor")
@as_json
@timeout_option(60.0, "seconds that a backend has to start")
def command(as_json: bool, timeout: float) -> None:
    """Look for what keeps this machine from training, or changes its results, and tell the remedy.

    Exit status 0: a backend works and nothing changes its results; 1: something is to be mended.

    \b
    Examples:
      lenet-multi doctor
      lenet-multi doctor --json
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
