"""`lenet-multi evaluate`."""

import json
from pathlib import Path

import click

from lenet_multi.commands._options import (
    as_json,
    backend_option,
    class_names_option,
    console,
    input_range_option,
    path_option,
)
from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import ANSWERING, choose


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "code",
    metavar="PLACE",
    help="code of a model of your own, as in train: a saved run may not start it by itself",
)
@click.option("--data", help="same as for train  (default: the run's, or mnist)")
@click.option(
    "--transpose",
    is_flag=True,
    help="exchange rows and columns of the images, as in train  (default: the run's)",
)
@backend_option(
    ANSWERING, "same as KERAS_BACKEND  (default: the run's, or the first one installed)"
)
@input_range_option
@class_names_option
@as_json
@path_option("--out", "folder for confusion.png and mistakes.png, the worst mistakes")
def command(
    model: Path,
    code: str | None,
    data: str | None,
    transpose: bool,
    backend: str | None,
    input_range: str | None,
    class_names: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Evaluate MODEL, a run folder or .keras file, on its test examples.

    It counts a classifier of images class by class.

    \b
    Examples:
      lenet-multi evaluate runs/jax
      lenet-multi evaluate runs/jax --backend torch --out runs/jax-on-torch
      lenet-multi evaluate model.keras --data my.npz --json
      lenet-multi evaluate runs/mine --model my_model.py:build

    Any backend can run MODEL, not only the one that trained it.
    """
    from lenet_multi.inference import evaluate, saved, tables, with_code

    found = saved.find(
        model, with_code=code is not None, asked_range=input_range, names=class_names
    )
    chosen = choose(backend, known=ANSWERING, preferred=found.trained_on)
    if code is None:
        evaluation = evaluate.evaluate_saved(found, data, backend=chosen, transpose=transpose)
        if not found.inputs.is_usual:
            click.echo(found.inputs.range_words(), err=True)
    else:
        of_images = {
            "--out": out,
            "--transpose": transpose,
            "--input-range": input_range,
            "--class-names": class_names,
        }
        for flag, given in of_images.items():
            if given:
                raise UserError(f"{flag} is for classifiers of images of this package; drop it")
        evaluation = with_code.evaluate_saved(found, code, data, backend=chosen)
    for line in evaluation.notes:
        click.echo(f"Data: {line}", err=True)
    if as_json:
        figures = evaluate.as_json(evaluation) if code is None else with_code.as_json(evaluation)
        fed = {"input_range": found.inputs.range} if code is None else {}
        content = {"model": str(found.path), "backend": chosen, **fed, **figures}
        click.echo(json.dumps(content, indent=2))
    elif code is None:
        tables.print_evaluation(evaluation, console())
    try:
        if out:
            from lenet_multi.inference.pictures import draw_evaluation
            from lenet_multi.runs.durable import writing

            with writing(out):
                draw_evaluation(evaluation, out)
            click.echo(f"Pictures: {out}", err=as_json)
    finally:
        for doubt in evaluation.doubts:
            click.echo(f"lenet-multi: warning: {doubt}", err=True)
        if not as_json:
            click.echo(f"Test loss: {evaluation.loss}")
            for name, value in evaluation.metrics.items():
                click.echo(f"Test {name}: {value}")
