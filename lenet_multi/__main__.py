"""The `lenet-multi` command: one verb each for training, comparing and proving parity."""

import dataclasses
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lenet_multi import __version__
from lenet_multi.backends import BACKENDS
from lenet_multi.config import DEFAULT_RECIPE, RECIPES, TrainConfig, flag
from lenet_multi.errors import UserError, unknown
from lenet_multi.speed import FORMS, execution, forms_of

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130  # as a shell reports a process that Ctrl-C ended


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lenet-multi")
def cli() -> None:
    """One LeNet, trained the same on TensorFlow, JAX and PyTorch, and compared.

    \b
    Examples:
      lenet-multi train --backend jax
      KERAS_BACKEND=torch lenet-multi train --recipe notebook
      lenet-multi compare runs/one runs/two
      lenet-multi parity
    """


class Name(click.Choice[str]):
    """One of a few names; a wrong one gets the nearest right one suggested."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return `value`, or fail with a suggestion."""
        if value not in self.choices:
            self.fail(unknown(param.opts[0] if param else "name", value, self.choices), param, ctx)
        return value


def setting_options(command: Any) -> Any:
    """Give `command` a flag for each setting of `TrainConfig`, with its unit and default."""
    for setting in reversed(dataclasses.fields(TrainConfig)):
        if setting.name == "recipe":
            continue
        choices = setting.metadata["choices"]
        unit = f" [{setting.metadata['unit']}]" if setting.metadata["unit"] else ""
        command = click.option(
            flag(setting.name),
            setting.name,
            type=Name(choices) if choices else setting.type,
            default=None,
            help=f"{setting.metadata['meaning']}{unit}  (default: {setting.default})",
        )(command)
    return command


@cli.command("train")
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
@setting_options
def train_command(
    recipe: str,
    backend: str | None,
    out: Path | None,
    overwrite: bool,
    form: str | None,
    **settings: Any,
) -> None:
    """Train and evaluate on one backend, and keep the run in a folder.

    \b
    Examples:
      lenet-multi train --backend jax
      lenet-multi train --recipe baseline --seed 1 --out runs/seed-1
    """
    from lenet_multi import backends, data
    from lenet_multi.runs import default_folder, new_run_folder, write_run
    from lenet_multi.train import train

    given = {name: value for name, value in settings.items() if value is not None}
    config = dataclasses.replace(RECIPES[recipe], **given)
    chosen = backends.choose(backend)
    out = out or default_folder(f"{recipe}-{chosen}")
    run = None
    try:
        with new_run_folder(out, overwrite=overwrite) as draft:
            load = partial(data.load, config.data, classes=config.classes)
            run = train(config, load, backend=chosen, form=form, announce=click.echo)
            write_run(
                draft,
                run.result,
                logits=run.evaluation.logits,
                labels=run.labels,
                save_model=run.save_model,
            )
        click.echo(f"Run folder: {out}")
    finally:
        if run:  # what was computed is told even where it could not be kept
            click.echo(f"Test loss: {run.result.test_loss}")
            click.echo(f"Test accuracy: {run.result.test_accuracy}")


@cli.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="comparison.json",
    show_default=True,
    help="file for the comparison as JSON",
)
def compare_command(runs: tuple[Path, ...], out: Path) -> None:
    """Compare two or more run folders; exit status 0 when they agree, 1 when they differ."""
    from lenet_multi.compare import compare, print_tables, write_json

    comparison = compare(runs)
    print_tables(comparison, console())
    write_json(comparison, out)
    sys.exit(0 if comparison.passed else 1)


@cli.command("parity")
@click.option(
    "--backend",
    "wanted",
    multiple=True,
    metavar="BACKEND[:FORM]",
    help="backend to compare, two or more times; each must be installed  "
    "(default: all that are installed, each in its fastest form)",
)
@click.option(
    "--every-form", is_flag=True, help="compare every form of these backends with every other"
)
@click.option("--seed", type=int, help="of the weights and the order  (default: 0)")
@click.option("--data", help="as of train  (default: mnist)")
@click.option("--images", type=int, help="training images of float32's epoch  (default: all)")
@click.option(
    "--seeds",
    type=int,
    help="train from this many seeds on each backend instead, and test whether the accuracies are "
    "equivalent; goes on where it was stopped",
)
@click.option("--recipe", type=Name(list(RECIPES)), help=f"of --seeds  (default: {DEFAULT_RECIPE})")
@click.option("--epochs", type=int, help="of --seeds  (default: the recipe's)")
@click.option("--dtype-policy", help="of --seeds, as of train  (default: the recipe's)")
@click.option(
    "--timeout",
    type=float,
    default=1800.0,
    show_default=True,
    help="seconds after which a backend's process is ended, which is a failure",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="folder for what is found  (default: runs/parity-TIME, or runs/parity-seeds)",
)
def parity_command(
    wanted: tuple[str, ...],
    every_form: bool,
    seeds: int | None,
    timeout: float,
    out: Path | None,
    **settings: Any,
) -> None:
    """Prove rung by rung that backends train the same; exit status 0: they do, 1: they differ.

    \b
    Examples:
      lenet-multi parity
      lenet-multi parity --backend jax --backend torch --images 6400
      lenet-multi parity --backend jax:stock --backend jax:tiles
      lenet-multi parity --seeds 10
      lenet-multi parity --seeds 5 --recipe one-epoch --out runs/one-epoch
    """
    from lenet_multi import backends

    chosen = list(dict.fromkeys(wanted)) or list(backends.installed())
    for name in chosen:
        backend, _, form = name.partition(":")
        execution(backends.choose(backend, {}), form or None)
        if form and (every_form or seeds is not None):
            other = "--every-form" if every_form else "--seeds"
            raise UserError(f"--backend {name} names a form, which {other} does not take; drop it")
    if every_form and seeds is not None:
        raise UserError("--every-form is no setting of --seeds; drop it")
    if every_form:
        chosen = [f"{name}:{form}" for name in chosen for form in forms_of(name)]
    given = {name: value for name, value in settings.items() if value is not None}
    of_seeds = {"recipe", "epochs", "dtype_policy"}
    for name in given.keys() & (of_seeds if seeds is None else {"seed", "images"}):
        without = "a setting of --seeds alone" if seeds is None else "no setting of --seeds"
        raise UserError(f"{flag(name)} is {without}; drop it")
    if not 0 < timeout < float("inf"):
        raise UserError(f"--timeout must be a finite number of seconds above 0, not {timeout}")
    if seeds is None:
        climb_ladder(chosen, timeout, out, **given)
    else:
        compare_seeds(chosen, seeds, timeout, out, **given)


def climb_ladder(
    chosen: list[str], timeout: float, out: Path | None, *, images: int | None = None, **config: Any
) -> NoReturn:
    """Climb rungs L0 to L4 and L6, show and record what is found, and exit."""
    from lenet_multi.parity import ascent, report
    from lenet_multi.parity.plan import ONE_EPOCH, Plan
    from lenet_multi.runs import default_folder

    plan = Plan(config=dataclasses.replace(ONE_EPOCH, **config), float32_images=images)
    folder = out or default_folder("parity")
    found = ascent.ascend(chosen, plan, folder, timeout=timeout)
    ascent.write_json(found, folder / ascent.COMPARISON)
    if found.ladder.pairs("float32"):
        from lenet_multi.parity.figure import draw_gaps

        draw_gaps(found.ladder, folder / ascent.FIGURE)
    click.echo(f"Evidence, comparison and figure: {folder}")
    report.print_ascent(found, console())
    sys.exit(0 if found.passed else 1)


def compare_seeds(
    chosen: list[str],
    count: int,
    timeout: float,
    out: Path | None,
    *,
    recipe: str = DEFAULT_RECIPE,
    **config: Any,
) -> NoReturn:
    """Climb rung L5, show and record what is found, and exit."""
    from lenet_multi.parity import report, seeds

    wanted = dataclasses.replace(RECIPES[recipe], **config)
    folder = out or Path("runs", "parity-seeds")
    found = seeds.study(chosen, count, wanted, folder, timeout=timeout)
    seeds.write_json(found, wanted, folder / seeds.STUDY)
    click.echo(f"Runs and {seeds.STUDY}: {folder}")
    report.print_study(found, console())
    sys.exit(0 if found.passed else 1)


def console() -> "Console":
    """Return the console for tables on stdout; wide where nobody set its width."""
    from rich.console import Console

    return Console(markup=False, width=None if sys.stdout.isatty() else 140)


def main(*verb: str) -> NoReturn:
    """Run the command line, after `verb` where given; every error is one line on stderr."""
    try:
        cli.main([*verb, *sys.argv[1:]], prog_name="lenet-multi", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        sys.exit(2)
    except click.ClickException as error:
        fail(error.format_message())
    except UserError as error:
        fail(str(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("lenet-multi: interrupted; what was not finished is not kept", err=True)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # TensorFlow's threads may abort a process that tidies up
    sys.exit(0)


def fail(message: str) -> NoReturn:
    """Print one line on stderr and exit with status 2."""
    click.echo(f"lenet-multi: {' '.join(message.split())}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
