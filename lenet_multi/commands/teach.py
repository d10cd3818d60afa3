"""`lenet-multi teach`."""

from pathlib import Path
from typing import Any

import click

from lenet_multi.commands._options import (
    Name,
    backend_option,
    given_settings,
    path_option,
    setting_options,
)
from lenet_multi.config import flag, with_settings
from lenet_multi.errors import UserError
from lenet_multi.lenet.recipes import DEFAULT_RECIPE, RECIPES
from lenet_multi.machine.frameworks import BACKENDS


@click.command("teach")
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--recipe",
    type=Name(list(RECIPES)),
    help=f"recipe of the student; flags below change single settings  (default: {DEFAULT_RECIPE})",
)
@backend_option(BACKENDS, "same as KERAS_BACKEND  (default: the first one installed)")
@path_option("--out", "folder to write", required=True)
@setting_options
def command(
    models: tuple[Path, ...], recipe: str | None, backend: str | None, out: Path, **settings: Any
) -> None:
    """Store what MODELS answer to the training images of each epoch, for a student to learn from.

    MODELS are run folders or .keras files of the same classes. Their answers are the mean of their
    probabilities. The settings are those of the student: its data, its distortions, its epochs. The
    --seed is that of the distortions; every student of this teacher sees these images.

    \b
    Examples:
      lenet-multi teach runs/a runs/b --rotation 10 --out runs/teacher
      lenet-multi train --rotation 10 --loss categorical_crossentropy --teacher runs/teacher
    """
    from lenet_multi.data.examples import split
    from lenet_multi.inference import saved
    from lenet_multi.lenet import teacher
    from lenet_multi.lenet.tasks import LENET, in_epoch
    from lenet_multi.machine import children, frameworks
    from lenet_multi.machine.keras_start import start_and_load
    from lenet_multi.runs.durable import drafted, writing

    given = given_settings(None, settings)
    for name in given.keys() & {"teacher", "temperature"}:
        raise UserError(f"{flag(name)} is the student's; drop it")
    config = with_settings(RECIPES[recipe or DEFAULT_RECIPE], given)
    found = [saved.find(model) for model in models]
    hashes = [{"path": str(model.path), "sha256": model.sha256} for model in found]
    chosen = frameworks.choose(backend)
    with drafted(out, _refuse_occupied) as draft, children.bars() as progress:
        dataset = start_and_load(chosen, lambda: LENET.load(config))
        from lenet_multi.inference.ensemble import Ensemble

        training, _ = split(dataset, config)
        ensemble = Ensemble(found, training.x.shape[1:], config.classes)
        epochs = progress.track(range(config.epochs), description="epochs")
        answers = (ensemble.answers(in_epoch(config, training, epoch)) for epoch in epochs)
        with writing(out, refusals=(OSError,)):
            teacher.write(draft, config, training, hashes, answers)
    click.echo(f"Teacher: {out}")


def _refuse_occupied(target: Path) -> None:
    if target.exists():
        raise UserError(f"{target} exists; delete it or choose another --out")
