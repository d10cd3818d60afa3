"""Shared by commands: flags made from settings, names with suggestions, the console."""

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet_multi.config import INPUT_RANGES, TrainConfig, flag
from lenet_multi.errors import UserError, unknown

if TYPE_CHECKING:
    from rich.console import Console


class Name(click.Choice[str]):
    """One of a few names, or with `others` any text; suggests the nearest name."""

    def __init__(self, choices: Sequence[str], *, others: bool = False) -> None:
        super().__init__(choices)
        self.others = others

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return `value`, or fail with a suggestion."""
        if value not in self.choices and not self.others:  # `TrainConfig` refuses others' values
            self.fail(unknown(param.opts[0] if param else "name", value, self.choices), param, ctx)
        return value


as_json = click.option("--json", "as_json", is_flag=True, help="print JSON instead of text")


def backend_option(known: Sequence[str], help_text: str) -> Callable[[Any], Any]:
    """Return the flag --backend for one of the `known` backends."""
    return click.option("--backend", metavar=f"[{'|'.join(known)}]", help=help_text)


def path_option(name: str, help_text: str, **more: Any) -> Callable[[Any], Any]:
    """Return the flag `name` for a path; its help shows the default, if any."""
    path = click.Path(path_type=Path)
    return click.option(name, type=path, show_default=True, help=help_text, **more)


input_range_option = click.option(
    "--input-range",
    type=Name(list(INPUT_RANGES)),
    help="numbers that MODEL takes for black to white  (default: the run's, or as the first layers "
    f"tell, or {INPUT_RANGES[0]}, which is said)",
)
class_names_option = click.option(
    "--class-names",
    help="names of MODEL's classes, if it has none: with commas between them, or a file with one "
    "on each line  (default: the run's)",
)


def timeout_option(default: float, help_text: str) -> Callable[[Any], Any]:
    """Return the flag --timeout, a finite number of seconds above 0."""

    def finite(context: click.Context, parameter: click.Parameter, seconds: float) -> float:
        if not 0 < seconds < math.inf:
            raise UserError(f"--timeout must be a finite number of seconds above 0, not {seconds}")
        return seconds

    return click.option(
        "--timeout", default=default, show_default=True, callback=finite, help=help_text
    )


def setting_options(command: Any) -> Any:
    """Give `command` a flag for each setting of `TrainConfig`, with its unit and default."""
    for setting in reversed(dataclasses.fields(TrainConfig)[1:]):  # train defines --recipe
        choices = setting.metadata["choices"]
        unit = f" [{setting.metadata['unit']}]" if setting.metadata["unit"] else ""
        switch = setting.type is bool
        default = ("no", "yes")[setting.default] if switch else setting.default
        default = "none" if default == "" else default
        command = click.option(
            flag(setting.name) + (f"/{flag('no_' + setting.name)}" if switch else ""),
            type=Name(choices, others=setting.metadata["others"]) if choices else setting.type,
            default=None,
            help=f"{setting.metadata['meaning']}{unit}  (default: {default})",
        )(command)
    return command


cluster_option = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="share the work among the workers of this Dask scheduler, such as tcp://one:8786; they "
    "need the same versions, and files of yours at the same place  (default: this machine alone)",
)


model_argument = click.argument("model", required=False)


def given_settings(model: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a user gave, MODEL as `architecture`, a teacher with its hash."""
    given = {name: v for name, v in settings.items() if v is not None and v != ()}
    if model is not None and given.setdefault("architecture", model) != model:
        raise UserError(f"--architecture conflicts with the MODEL {model}; drop one of them")
    if "teacher" in given:
        from lenet_multi.lenet import teacher

        given["teacher"] = teacher.as_setting(given["teacher"])
    return given


def console() -> "Console":
    """Return the console for tables on stdout: 140 columns wide if stdout is no terminal."""
    from rich.console import Console

    return Console(markup=False, width=None if sys.stdout.isatty() else 140)
