"""`lenet-multi parity`."""

import dataclasses
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from lenet_multi.backends.choice import forms_of
from lenet_multi.commands._options import (
    Name,
    as_json,
    cluster_option,
    console,
    given_settings,
    model_argument,
    path_option,
    timeout_option,
)
from lenet_multi.config import (
    CLIMB_BATCH_SIZE,
    CLIMB_STEPS,
    PRECISIONS,
    QUICK_STEPS,
    TASKS,
    TrainConfig,
    flag,
    with_settings,
)
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.lenet.recipes import DEFAULT_RECIPE, RECIPES
from lenet_multi.machine.instruction_sets import INSTRUCTION_SETS
from lenet_multi.runs.tolerances import EQUIVALENCE

# Flags of a climb of one's own model, and those that its --seeds take too.
_OF_CLIMB = {"steps", "precision", "quick", "no_dropout"}
_OF_OWN = _OF_CLIMB | {"batch_size", "loss", "optimizer", "metrics"}


@click.command("parity")
@model_argument
@click.option(
    "--backend",
    "wanted",
    multiple=True,
    metavar="BACKEND[:FORM][@INSTRUCTIONS]",
    help="backend to compare, installed; give two or more; INSTRUCTIONS limits it to an older "
    f"processor's: {', '.join(INSTRUCTION_SETS)}  (default: all installed, each as fast as it can)",
)
@click.option("--every-form", is_flag=True, help="compare all forms of these backends, in pairs")
@click.option(
    "--architecture",
    type=Name(list(TASKS), others=True),
    help=f"network to train, as in train  (default: {TrainConfig.architecture})",
)
@click.option("--seed", type=int, help="seed of the weights and the order  (default: 0)")
@click.option("--data", help="data to train on, as in train  (default: mnist)")
@click.option("--threads", type=int, help="threads of each backend's process  (default: 1)")
@click.option("--steps", type=int, help=f"for MODEL: steps of training  (default: {CLIMB_STEPS})")
@click.option(
    "--batch-size", type=int, help=f"for MODEL: examples in a batch  (default: {CLIMB_BATCH_SIZE})"
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    multiple=True,
    help="for MODEL: climb in this precision alone  (default: both)",
)
@click.option(
    "--quick", is_flag=True, default=None, help=f"for MODEL: {QUICK_STEPS} steps, and no L6"
)
@click.option("--no-dropout", is_flag=True, default=None, help="for MODEL: let Dropout do nothing")
@click.option("--loss", help="for MODEL, as in train")
@click.option("--optimizer", help="for MODEL, as in train")
@click.option("--metrics", help="for MODEL, as in train; the first one is that of --seeds")
@click.option(
    "--devices",
    type=click.IntRange(min=2),
    multiple=True,
    help="also train on so many devices, as train --devices does, and compare with one: L7",
)
@click.option("--images", type=int, help="training images of float32's epoch  (default: all)")
@click.option(
    "--seeds",
    type=int,
    help="instead, train each backend from this many seeds, and test whether the accuracies, or "
    "the first metrics of MODEL, are equivalent; a stopped test continues",
)
@click.option(
    "--margin",
    type=float,
    help="for --seeds: the largest gap that is no difference, of a classifier of ours in "
    f"percentage points  (default: {EQUIVALENCE.value}; for MODEL give one, in its metric's unit)",
)
@click.option(
    "--recipe", type=Name(list(RECIPES)), help=f"for --seeds  (default: {DEFAULT_RECIPE})"
)
@click.option("--epochs", type=int, help="for --seeds  (default: the recipe's)")
@click.option("--dtype-policy", help="for --seeds, as in train  (default: the recipe's)")
@click.option("--class-weights", help="for --seeds, as in train  (default: the recipe's)")
@cluster_option
@timeout_option(1800.0, "seconds after which a backend's process is killed, which is a failure")
@path_option(
    "--out",
    "folder for the results  (default: runs/parity-TIME; with --seeds runs/parity-seeds-MODEL)",
)
@as_json
def command(
    model: str | None,
    wanted: tuple[str, ...],
    every_form: bool,
    seeds: int | None,
    cluster: str | None,
    timeout: float,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Test rung by rung whether backends train the same; exit status 0: they do, 1: they differ.

    MODEL is the LeNet by default. Your own is FILE.py:FUNCTION or package.module:FUNCTION, a
    function that returns a Keras model; or a .keras file.

    \b
    Examples:
      lenet-multi parity
      lenet-multi parity --backend jax --backend torch --images 6400
      lenet-multi parity --backend jax:stock --backend jax:tiles
      lenet-multi parity --backend torch --backend torch@avx2
      lenet-multi parity --architecture softmax-regression
      lenet-multi parity my_model.py:build
      lenet-multi parity my_model.py:build --data my_model.py:data --quick
      lenet-multi parity --seeds 10
      lenet-multi parity --seeds 5 --recipe one-epoch --out runs/one-epoch
      lenet-multi parity --seeds 30 --cluster tcp://one:8786
      lenet-multi parity my_model.py:build --data my_model.py:data --seeds 5 --margin 0.02
    """
    from lenet_multi.machine import frameworks
    from lenet_multi.parity.climber import Climber
    from lenet_multi.runs.folder import default_folder

    chosen = list(dict.fromkeys(wanted)) or list(frameworks.installed())
    for name in chosen:
        climber = Climber.of(name)
        frameworks.choose(climber.backend, {})
        climber.execution()
        climber.environment()
        if climber != Climber(climber.backend) and (every_form or seeds is not None):
            other = "--every-form" if every_form else "--seeds"
            raise UserError(
                f"--backend {name}: {other} takes no form and no instructions; give "
                f"--backend {climber.backend}"
            )
    if every_form and seeds is not None:
        raise UserError("--every-form is no setting of --seeds; drop it")
    if every_form:
        chosen = [f"{name}:{form}" for name in chosen for form in forms_of(name)]
    given = given_settings(model, settings)
    is_own = TrainConfig(architecture=given.get("architecture", TrainConfig.architecture)).is_own
    refused = {"images"} if seeds is None else _OF_CLIMB
    for name in given.keys() & (refused if is_own else _OF_OWN):
        kind = "a setting of a climb of your own MODEL alone" if name in _OF_OWN else "for ours"
        raise UserError(f"{flag(name)} is {kind}; drop it")
    of_seeds = {"recipe", "epochs", "dtype_policy", "class_weights", "margin"}
    for name in given.keys() & (
        of_seeds if seeds is None else {"seed", "images", "threads", "devices"}
    ):
        without = "a setting of --seeds alone" if seeds is None else "no setting of --seeds"
        raise UserError(f"{flag(name)} is {without}; drop it")
    if seeds is None and cluster is not None:
        raise UserError("--cluster is a setting of --seeds alone; drop it")
    if seeds is None:
        climb_ladder(chosen, given, timeout, out or default_folder("parity"), as_json)
    else:
        margin = given.pop("margin", None)
        config = with_settings(RECIPES[given.pop("recipe", DEFAULT_RECIPE)], given)
        folder = out or _folder_of_seeds(config.architecture)
        compare_seeds(
            chosen, seeds, config, timeout, folder, as_json, margin=margin, scheduler=cluster
        )


def _folder_of_seeds(architecture: str) -> Path:
    """Return the folder in which the same command goes on, one for each model."""
    from lenet_multi.runs.folder import RUNS, named_after

    return RUNS / f"parity-seeds-{named_after(architecture)}"


def climb_ladder(
    chosen: list[str], given: dict[str, Any], timeout: float, folder: Path, as_json: bool
) -> NoReturn:
    """Climb rungs L0 to L4 and L6, record and show the findings, and exit."""
    from lenet_multi.parity import ascent, figure, report
    from lenet_multi.parity.plan import ONE_EPOCH, Plan

    images, threads = given.pop("images", None), given.pop("threads", 1)
    shape = {name: given.pop(name) for name in ("steps", "quick") if name in given}
    precisions = given.pop("precision", PRECISIONS)
    devices = given.pop("devices", ())
    dropout = not given.pop("no_dropout", False)
    config = with_settings(ONE_EPOCH, given)
    if config.is_own:
        if "batch_size" not in given:
            config = dataclasses.replace(config, batch_size=CLIMB_BATCH_SIZE)
        plan = Plan.for_own(
            config, precisions=precisions, dropout=dropout, devices=devices, **shape
        )
    else:
        plan = Plan(config=config, float32_images=images, devices=devices)
    found = ascent.ascend(
        chosen,
        plan,
        folder,
        timeout=timeout,
        threads=threads,
        announce=lambda line: click.echo(line, err=True),
    )
    ascent.write_json(found, folder / ascent.COMPARISON)
    if found.ladder.pairs("float32") and not found.stopped:
        figure.draw_gaps(found.ladder, folder / ascent.FIGURE)
    if as_json:
        click.echo((folder / ascent.COMPARISON).read_text(), nl=False)
    else:
        click.echo(f"Evidence, comparison and figure: {folder}")
        report.print_ascent(found, console())
    if found.stopped:
        raise found.stopped
    sys.exit(0 if found.passed else 1)


def compare_seeds(
    chosen: list[str],
    count: int,
    config: TrainConfig,
    timeout: float,
    folder: Path,
    as_json: bool,
    *,
    margin: float | None = None,
    scheduler: str | None = None,
) -> NoReturn:
    """Climb rung L5, record and show the outcomes, and exit."""
    from lenet_multi.parity import report, seeds

    try:
        found = seeds.study(
            chosen, count, config, folder, timeout=timeout, margin=margin, scheduler=scheduler
        )
    except StoppedError:
        click.echo(f"Run the same command again to continue with the runs in {folder}", err=True)
        raise
    seeds.write_json(found, config, folder / seeds.STUDY)
    for line in seeds.notes(folder):
        click.echo(line, err=True)
    if as_json:
        click.echo((folder / seeds.STUDY).read_text(), nl=False)
    else:
        click.echo(f"Runs and {seeds.STUDY}: {folder}")
        report.print_study(found, console())
    sys.exit(0 if found.passed else 1)
