"""`lenet-multi export`."""

import sys
from functools import partial
from pathlib import Path

import click

from lenet_multi.commands._options import (
    Name,
    backend_option,
    class_names_option,
    input_range_option,
    path_option,
)
from lenet_multi.config import MOST_CLASSES, TrainConfig
from lenet_multi.inference.formats import FORMATS
from lenet_multi.machine.frameworks import BACKENDS


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--format", "wanted", type=Name(list(FORMATS)), required=True, help="format to write")
@backend_option(
    BACKENDS,
    "backend that writes the export  (default: the first that can of KERAS_BACKEND, the one that "
    "trained the model, and the installed ones)",
)
@path_option("--out", "file or folder to write  (default: beside MODEL, with its name)")
@click.option("--overwrite", is_flag=True, help="replace an earlier export in --out")
@click.option("--data", help="data to check on, as for train  (default: the run's, or mnist)")
@input_range_option
@class_names_option
def command(
    model: Path,
    wanted: str,
    backend: str | None,
    out: Path | None,
    overwrite: bool,
    data: str | None,
    input_range: str | None,
    class_names: str | None,
) -> None:
    """Write MODEL, a run folder or .keras file, for another runtime, and check it there.

    \b
    Examples:
      lenet-multi export runs/jax --format onnx
      lenet-multi export runs/jax --format torch --out digits.pt2
      lenet-multi export model.keras --format saved_model --backend tensorflow

    The export takes float32 images in the range that MODEL takes, and returns probabilities; its
    metadata say which. Its runtime answers 1,000 test images; if an answer differs from Keras's,
    nothing is kept and the exit status is 1.
    """
    from lenet_multi.inference import formats
    from lenet_multi.inference.runtimes import ExportError
    from lenet_multi.inference.saved import find
    from lenet_multi.machine import keras_start
    from lenet_multi.runs.durable import drafted
    from lenet_multi.runs.tolerances import EXPORTED

    kind = FORMATS[wanted]
    saved = find(model, asked_range=input_range, names=class_names)
    chosen = formats.choose_backend(kind, asked=backend, trained_on=saved.trained_on)
    out = out or formats.default_path(kind, model)
    try:
        with drafted(out, partial(formats.refuse_target, kind, overwrite=overwrite)) as draft:
            # Labels are not used: allow every class.
            config = TrainConfig(data=data or saved.data, classes=MOST_CLASSES)
            load = saved.task.load_test or saved.task.load
            images = load(config).test[: formats.COMPARED]
            click.echo(f"exporting through {chosen}, then checking in {kind.runtime}", err=True)
            if not saved.inputs.is_usual:
                click.echo(saved.inputs.range_words(), err=True)
            keras_start.start(chosen)
            from lenet_multi.inference.export import export

            deviation, _ = export(saved, kind, draft, images=images)
    except ExportError as failure:
        click.echo(f"Not exported: {failure}")
        sys.exit(1)
    click.echo(f"Exported: {out}")
    click.echo(
        f"Largest deviation of a probability: {deviation:.1e} of {EXPORTED.value:g} allowed, "
        f"over {len(images):,} test images in {kind.runtime}"
    )
