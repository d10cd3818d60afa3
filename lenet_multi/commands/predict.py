"""`lenet-multi predict`."""

import json
import sys
from pathlib import Path

import click

from lenet_multi.commands._options import (
    Name,
    as_json,
    backend_option,
    class_names_option,
    console,
    input_range_option,
    path_option,
)
from lenet_multi.config import PREPARED
from lenet_multi.errors import printable
from lenet_multi.machine.frameworks import ANSWERING, choose


@click.command("predict")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@path_option("--model", "run folder or .keras file  (default: the newest run in runs/)")
@backend_option(
    ANSWERING, "same as KERAS_BACKEND  (default: the run's, or the first one installed)"
)
@click.option(
    "--prepare",
    type=Name(list(PREPARED)),
    help="digit: find the digit on each image and place it as in MNIST; resize: take each image as "
    "a whole  (default: the run's, or a guess from what MODEL takes, which is said)",
)
@input_range_option
@class_names_option
@as_json
@path_option("--show", "picture to write: network inputs and answers", metavar="FILE.png")
def command(
    images: tuple[Path, ...],
    model: Path | None,
    backend: str | None,
    prepare: str | None,
    input_range: str | None,
    class_names: str | None,
    as_json: bool,
    show: Path | None,
) -> None:
    """Print the class of each of IMAGES: files, folders, or - for standard input.

    \b
    Examples:
      lenet-multi predict seven.png
      lenet-multi predict photos/ --model runs/jax --show seen.png
      lenet-multi predict --json --backend torch - < seven.jpg

    For a model of digits, each image is a photograph or drawing of one digit: dark on light or
    light on dark, in colour, off-centre or unevenly lit. This command calls an answer of
    at most 90 % unsure. For other models the image is resized. If an image cannot be used, this
    command names it, answers the others and exits with status 2.
    """
    from lenet_multi.inference import predict, saved, tables
    from lenet_multi.machine import keras_start

    source = model or saved.newest_run()
    found = saved.find(source, asked_range=input_range, asked_prepared=prepare, names=class_names)
    chosen = choose(backend, known=ANSWERING, preferred=found.trained_on)
    if not model:
        click.echo(f"Model: {found.path.parent}", err=True)
    with keras_start.stderr_held_back():  # libtiff writes to stderr too
        prediction = predict.predict(images, found, backend=chosen)
    if not found.inputs.is_usual:
        click.echo(found.inputs.range_words(), err=True)
        click.echo(found.inputs.prepared_words(), err=True)
    if as_json:
        how = {"prepared": found.inputs.prepared, "input_range": found.inputs.range}
        content = {
            "model": str(found.path),
            "backend": chosen,
            **how,
            **predict.as_json(prediction),
        }
        click.echo(json.dumps(content, indent=2))
    else:
        tables.print_prediction(prediction, console())
    for refusal in prediction.refused:
        click.echo(f"lenet-multi: {printable(refusal)}", err=True)
    if show:
        from lenet_multi.inference.pictures import draw_sheet
        from lenet_multi.runs.durable import writing

        with writing(show, flag="--show"):
            draw_sheet(prediction.pixels, predict.captions(prediction), show)
    sys.exit(2 if prediction.refused else 0)
