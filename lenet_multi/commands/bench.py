"""`lenet-multi bench`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from lenet_multi.commands._options import (
    as_json,
    cluster_option,
    console,
    given_settings,
    path_option,
    timeout_option,
)
from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.lenet.recipes import DEFAULT_RECIPE, RECIPES


@click.command("bench")
@click.argument("models", metavar="[MODEL]...", nargs=-1)
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
@cluster_option
@path_option(
    "--out",
    "folder for bench.json, or for several models' folders  (default: runs/bench-TIME)",
)
@as_json
def command(
    models: tuple[str, ...],
    backends: tuple[str, ...],
    rounds: int | None,
    quick: bool,
    threads: int | None,
    timeout: float,
    cluster: str | None,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Time stock Keras and ours on each backend with MODEL, and say which to take, and why.

    MODEL is the LeNet by default; or your own, as in train. Each way trains in a process of its
    own, and the processes measure in turn, so that all of them see the same machine. Several
    models are benched one after another, or on the machines of a cluster, each model on one.

    \b
    Examples:
      lenet-multi bench
      lenet-multi bench my_model.py:build --quick
      lenet-multi bench my_model.py:build --data my_model.py:data --batch-size 64
      lenet-multi bench my_model.py:build --backend jax --backend torch --threads 1
      lenet-multi bench model.keras --loss mse --optimizer adam --json
      lenet-multi bench one.py:build two.py:build --cluster tcp://one:8786
    """
    from lenet_multi.bench import session, table, verdict
    from lenet_multi.runs.folder import default_folder, refuse_used

    out = out or default_folder("bench")
    refuse_used(out)
    if cluster is not None or len(models) > 1:
        timing = {"rounds": rounds, "quick": quick, "threads": threads, "timeout": timeout}
        given = {"backend": backends, **timing, **settings}
        _bench_several(models or (TrainConfig.architecture,), given, cluster, out, as_json)
    model = models[0] if models else None
    config = with_settings(RECIPES[DEFAULT_RECIPE], given_settings(model, settings))
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


def _bench_several(
    models: tuple[str, ...],
    given: dict[str, Any],
    scheduler: str | None,
    out: Path,
    as_json: bool,
) -> NoReturn:
    """Bench each model with a command of its own, show what each printed, and exit."""
    from lenet_multi.bench import several
    from lenet_multi.bench.result import FILE
    from lenet_multi.commands import _arguments as arguments
    from lenet_multi.machine import frameworks

    if len(models) > len(set(models)):
        raise UserError("a MODEL is given twice; drop one of them")
    backends = given["backend"] or frameworks.installed()
    flags = arguments.flags(command, {**given, "backend": backends})
    found = several.run(models, flags, out, scheduler=scheduler, backends=backends)
    if as_json:
        files = [folder / FILE for folder in found.folders]
        kept = [json.loads(file.read_text()) for file in files if file.exists()]
        click.echo(json.dumps(kept, indent=2))
    else:
        click.echo(f"Figures: {out}")
        for tables in found.printed:
            click.echo(f"{tables}\n")
    for failure in found.failures:
        click.echo(f"{failure.child}: {failure.words}", err=True)
    sys.exit(1 if found.failures else 0)
