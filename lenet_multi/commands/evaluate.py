"""`lenet-multi evaluate`."""

import json
from pathlib import Path

import click

from lenet_multi.commands._options import as_json, backend_option, console, path_option
from lenet_multi.machine.frameworks import ANSWERING, choose


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", help="same as for train  (default: the run's, or mnist)")
@backend_option(
    ANSWERING, "same as KERAS_BACKEND  (default: the run's, or the first one installed)"
)
@as_json
@path_option("--out", "folder for confusion.png and mistakes.png, the worst mistakes")
def command(
    model: Path, data: str | None, backend: str | None, as_json: bool, out: Path | None
) -> None:
    """Evaluate MODEL, a run folder or .keras file, on its test images, class by class.

    \b
    Examples:
      lenet-multi evaluate runs/jax
      lenet-multi evaluate runs/jax --backend torch --out runs/jax-on-torch
      lenet-multi evaluate model.keras --data my.npz --json

    Any backend can run MODEL, not only the one that trained it.
    """
    from lenet_multi.inference import evaluate, saved, tables

    found = saved.find(model)
    chosen = choose(backend, known=ANSWERING, preferred=found.trained_on)
    evaluation = evaluate.evaluate_saved(found, data, backend=chosen)
    if as_json:
        content = {"model": str(found.path), "backend": chosen, **evaluate.as_json(evaluation)}
        click.echo(json.dumps(content, indent=2))
    else:
        tables.print_evaluation(evaluation, console())
    try:
        if out:
            from lenet_multi.inference.pictures import draw_evaluation
            from lenet_multi.runs.durable import writing

            with writing(out):
                draw_evaluation(evaluation, out)
            click.echo(f"Pictures: {out}", err=as_json)
    finally:
        if not as_json:
            click.echo(f"Test loss: {evaluation.loss}")
            click.echo(f"Test accuracy: {evaluation.metrics['accuracy']}")
