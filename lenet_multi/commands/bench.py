"""`lenet-multi bench`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click

from lenet_multi.commands._options import (
    as_json,
    console,
    given_settings,
    model_argument,
    path_option,
    timeout_option,
)
from lenet_multi.config import with_settings
from lenet_multi.errors import StoppedError
from lenet_multi.lenet.recipes import DEFAULT_RECIPE, RECIPES


@click.command("bench")
@model_argument
@click.option(
    "--backend",
    "backends",
    multiple=True,
    help="backend to time; give it several times for several  (default: all installed)",
)
@click.option("--data", help="data to train on, as in train")
@click.option("--loss", help="loss, as in train")
@click.option("--optimizer", help="optimizer, as in train")
@click.option("--metrics", help="metrics, as in train")
@click.option("--batch-size", type=int, help="size of a batch, as in train")
@click.option("--rounds", type=int, help="times that each way is timed  (default: 7, quick: 3)")
@click.option("--quick", is_flag=True, help="fewer rounds, and stock Keras with its own jit only")
@click.option("--threads", type=int, help="processors to train on  (default: all that it may use)")
@timeout_option(180.0, "seconds after which a way that gives no answer is ended, and fails")
@path_option("--out", "folder for bench.json  (default: runs/bench-TIME)")
@as_json
def command(
    model: str | None,
    backends: tuple[str, ...],
    rounds: int | None,
    quick: bool,
    threads: int | None,
    timeout: float,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Time stock Keras and ours on each backend with MODEL, and say which to take, and why.

    MODEL is the LeNet by default; or your own, as in train. Each way trains in a process of its
    own, and the processes measure in turn, so that all of them see the same machine.

    \b
    Examples:
      lenet-multi bench
      lenet-multi bench my_model.py:build --quick
      lenet-multi bench my_model.py:build --data my_model.py:data --batch-size 64
      lenet-multi bench my_model.py:build --backend jax --backend torch --threads 1
      lenet-multi bench model.keras --loss mse --optimizer adam --json
    """
    from lenet_multi.bench import session, table, verdict
    from lenet_multi.runs.folder import default_folder, refuse_used

    config = with_settings(RECIPES[DEFAULT_RECIPE], given_settings(model, settings))
    out = out or default_folder("bench")
    refuse_used(out)
    rounds = rounds if rounds is not None else session.FEW_ROUNDS if quick else session.ROUNDS
    found = session.run(
        dataclasses.replace(config, epochs=1),
        backends,
        rounds=rounds,
        tries_jit=not quick,
        threads=threads,
        timeout=timeout,
    )
    try:
        found.write(out)
    finally:  # the figures are shown even if the disk refuses them
        if as_json:
            click.echo(json.dumps(found.as_json(), indent=2))
        else:
            click.echo(f"Figures: {out}")
            table.print_bench(found, console())
    if found.stopped_by is not None:
        raise StoppedError(found.stopped_by)
    sys.exit(1 if verdict.failed(found) else 0)
