"""`lenet-multi predict`."""

import json
import sys
from pathlib import Path

import click

from lenet_multi.commands._options import as_json, backend_option, console, path_option
from lenet_multi.errors import printable
from lenet_multi.machine.frameworks import ANSWERING, choose


@click.command("predict")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@path_option("--model", "run folder or .keras file  (default: the newest run in runs/)")
@backend_option(
    ANSWERING, "as KERAS_BACKEND does  (default: the run's own, or the first one installed)"
)
@as_json
@path_option(
    "--show",
    "save what the network saw as a picture, with its answers",
    metavar="FILE.png",
)
def command(
    images: tuple[Path, ...],
    model: Path | None,
    backend: str | None,
    as_json: bool,
    show: Path | None,
) -> None:
    """Say which digit is on each of IMAGES: files, folders, or - for standard input.

    A photograph or a drawing will do, dark on light or light on dark, in colour, off-centre and
    unevenly lit, with one digit on it. An image that cannot be used is named, the others are
    answered, and the exit status is 2.

    \b
    Examples:
      lenet-multi predict seven.png
      lenet-multi predict photos/ --model runs/jax --show seen.png
      lenet-multi predict --json --backend torch - < seven.jpg
    """
    from lenet_multi.inference import predict, saved, tables
    from lenet_multi.machine import keras_start

    found = saved.find(model or saved.newest_run())
    chosen = choose(backend, known=ANSWERING, preferred=found.trained_on)
    if not model:
        click.echo(f"Model: {found.path.parent}", err=True)
    with keras_start.stderr_held_back():  # libtiff writes there too
        prediction = predict.predict(images, found, backend=chosen)
    if as_json:
        content = {"model": str(found.path), "backend": chosen, **predict.as_json(prediction)}
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
