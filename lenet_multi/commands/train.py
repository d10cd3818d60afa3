"""`lenet-multi train`."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from lenet_multi.backends import BACKENDS
from lenet_multi.cli import Name, as_json, setting_options
from lenet_multi.config import DEFAULT_RECIPE, RECIPES
from lenet_multi.speed import FORMS


@click.command("train")
@click.option(
    "--recipe",
    type=Name(list(RECIPES)),
    default=DEFAULT_RECIPE,
    show_default=True,
    help="named settings to start from; the flags below, shown with the defaults of "
    f"{DEFAULT_RECIPE}, change single ones",
)
@click.option(
    "--backend",
    metavar=f"[{'|'.join(BACKENDS)}]",
    help="as KERAS_BACKEND does  (default: the first one installed)",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="run folder to write  (default: runs/RECIPE-BACKEND-TIME)",
)
@click.option("--overwrite", is_flag=True, help="replace the run in --out")
@click.option(
    "--form",
    type=Name(FORMS),
    help="how convolution and pooling are computed, which changes the time and not the function  "
    "(default: the backend's fastest)",
)
@click.option("--quiet", is_flag=True, help="show no progress, on stderr")
@as_json
@setting_options
def command(
    recipe: str,
    backend: str | None,
    out: Path | None,
    overwrite: bool,
    form: str | None,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train and evaluate on one backend, and keep the run in a folder.

    \b
    Examples:
      lenet-multi train --backend jax
      lenet-multi train --recipe baseline --seed 1 --out runs/seed-1
      lenet-multi train --tensorboard --checkpoint best --early-stopping 3 --epochs 30
    """
    from lenet_multi import backends, data
    from lenet_multi.runs import default_folder, new_run_folder, write_run
    from lenet_multi.train import train

    given = {name: value for name, value in settings.items() if value is not None}
    config = dataclasses.replace(RECIPES[recipe], **given)
    chosen = backends.choose(backend)
    out = out or default_folder(f"{recipe}-{chosen}")
    say = (lambda line: None) if as_json else click.echo
    run = draft = None
    try:
        with new_run_folder(out, overwrite=overwrite) as draft:
            load = partial(data.load, config.data, classes=config.classes)
            run = train(
                config,
                load,
                backend=chosen,
                form=form,
                folder=draft,
                announce=say,
                quiet=quiet,
            )
            write_run(
                draft,
                run.result,
                logits=run.evaluation.logits,
                labels=run.labels,
                save_model=run.save_model,
            )
        say(f"Run folder: {out}")
    finally:
        if draft and draft.exists():
            click.echo(f"What was kept so far: {draft}", err=True)
        if run and as_json:  # what was computed is told even where it could not be kept
            click.echo(json.dumps(dataclasses.asdict(run.result), indent=2))
        elif run:
            click.echo(f"Test loss: {run.result.test_loss}")
            click.echo(f"Test accuracy: {run.result.test_accuracy}")
