import dataclasses
import io
import re
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from lenet_multi.commands import _options
from lenet_multi.commands._options import Name
from lenet_multi.config import TrainConfig, flag, setting
from lenet_multi.errors import UserError
from lenet_multi.lenet import teacher


def command(*options: Any) -> click.Command:
    """Return a command with these options, which prints what it was given."""

    def told(**given: Any) -> None:
        click.echo(repr(given))

    for option in options:
        told = option(told)
    return click.command("one")(told)


def asked(given: click.Command, *arguments: str) -> str:
    """Return what the command prints, on one line."""
    done = CliRunner().invoke(given, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return " ".join(done.output.split())


def test_an_unknown_name_is_refused_with_the_flag_and_the_nearest() -> None:
    """The message names the flag, or a "name" where no flag is known; others may be allowed."""
    name = Name(["jax", "torch"])
    assert list(name.choices) == ["jax", "torch"]
    assert "Invalid value for '--on': unknown --on 'jaxx'; did you mean 'jax'?" in asked(
        command(click.option("--on", type=name)), "--on", "jaxx"
    )
    with pytest.raises(click.BadParameter) as raised:
        name.convert("jaxx", None, None)
    assert str(raised.value) == "unknown name 'jaxx'; did you mean 'jax'?"
    assert name.convert("torch", None, None) == "torch"
    assert Name(["jax"], others=True).convert("mine.py:build", None, None) == "mine.py:build"
    parameter, context = click.Option(["--on"]), click.Context(click.Command("one"))
    with pytest.raises(click.BadParameter) as raised:
        name.convert("jaxx", parameter, context)
    assert (raised.value.param, raised.value.ctx) == (parameter, context)


def test_flags_show_what_they_take() -> None:
    """The help shows a backend's names, a path's default, and the seconds of a timeout."""
    told = asked(
        command(
            _options.backend_option(("jax", "torch"), "where to compute"),
            _options.path_option("--out", "what to write", default="a.json"),
            _options.timeout_option(60.0, "seconds to wait"),
        ),
        "--help",
    )
    assert "--backend [jax|torch] where to compute" in told
    assert "--out PATH what to write [default: a.json]" in told
    assert "--timeout FLOAT seconds to wait [default: 60.0]" in told
    given = asked(command(_options.path_option("--out", "")), "--out", "a")
    assert given == repr({"out": Path("a")})


@pytest.mark.parametrize("seconds", ["0", "inf", "nan"])
def test_a_timeout_is_finite_and_above_0(seconds: str) -> None:
    """The error names the flag and the value; a part of a second is enough."""
    given = command(_options.timeout_option(60.0, ""))
    assert asked(given) == "{'timeout': 60.0}"
    assert asked(given, "--timeout", "0.5") == "{'timeout': 0.5}"
    message = f"--timeout must be a finite number of seconds above 0, not {float(seconds)}"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        asked(given, "--timeout", seconds)


def test_every_setting_has_a_flag_in_its_order() -> None:
    """The flags are those of `TrainConfig` without the recipe, each with the setting's type."""
    options = command(_options.setting_options).params
    settings = dataclasses.fields(TrainConfig)[1:]
    assert [option.name for option in options] == [one.name for one in settings]
    names = {int: "integer", float: "float", bool: "boolean", str: "text"}
    for option, one in zip(options, settings, strict=True):
        assert option.opts == [flag(one.name)]
        assert option.secondary_opts == ([flag(f"no_{one.name}")] if one.type is bool else [])
        if choices := one.metadata["choices"]:
            assert isinstance(option.type, Name)
            assert list(option.type.choices) == list(choices)
            assert option.type.others == one.metadata["others"]
        else:
            assert option.type.name == names[one.type]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("epochs", "passes over the training images [epochs]  (default: 6)"),
        (
            "seed",
            "seed of the initial weights, of the batch order, and of what the layers draw  "
            "(default: 0)",
        ),
        (
            "tensorboard",
            "write a log for TensorBoard to tensorboard/ of the run folder  (default: no)",
        ),
    ],
)
def test_a_setting_shows_its_meaning_unit_and_default(name: str, words: str) -> None:
    """A setting without a unit has no brackets; a switch is "no"."""
    told = {option.name: option for option in command(_options.setting_options).params}
    option = told[name]
    assert isinstance(option, click.Option)
    assert option.help == words
    names = told["class_names"]
    assert isinstance(names, click.Option)
    assert (names.help or "").endswith(" on each line  (default: none)")


def test_a_switch_says_yes_where_its_default_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of that kind would be turned off by its second flag."""

    @dataclasses.dataclass
    class Settings:
        recipe: str = ""
        is_on: bool = setting(True, "whether")

    monkeypatch.setattr(_options, "TrainConfig", Settings)
    told = asked(command(_options.setting_options), "--help")
    assert "--is-on / --no-is-on whether (default: yes)" in told


def test_flags_that_are_not_given_are_none() -> None:
    """Switches too, so that a user's own model can tell what the user said."""
    told = {one.name: None for one in dataclasses.fields(TrainConfig)[1:]}
    given = command(_options.setting_options)
    assert literal_eval(asked(given)) == told
    assert literal_eval(asked(given, "--no-tensorboard")) == told | {"tensorboard": False}


def test_what_was_not_given_is_no_setting() -> None:
    """None and an empty tuple are left out; 0 and False stay; MODEL is the architecture."""
    given = {"seed": None, "metrics": (), "epochs": 0, "tensorboard": False}
    kept = {"epochs": 0, "tensorboard": False}
    assert _options.given_settings(None, given) == kept
    assert _options.given_settings("lenet", given) == kept | {"architecture": "lenet"}
    assert _options.given_settings("a:b", {"architecture": "a:b"}) == {"architecture": "a:b"}
    message = "--architecture conflicts with the MODEL a:b; drop one of them"
    with pytest.raises(UserError, match=f"^{message}$"):
        _options.given_settings("a:b", {"architecture": "lenet"})


@pytest.mark.parametrize(("is_terminal", "width"), [(False, 140), (True, 99)])
def test_tables_are_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, width: int
) -> None:
    """Without a terminal they have 140 columns; brackets in a name are no markup."""
    text = io.StringIO()
    monkeypatch.setattr(text, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdout", text)
    monkeypatch.setenv("COLUMNS", "99")
    monkeypatch.setenv("TERM", "xterm")
    console = _options.console()
    assert console.width == width
    console.print("[bold]a[/bold]", highlight=False)
    assert text.getvalue() == "[bold]a[/bold]\n"


def test_a_teacher_gets_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting that a run keeps names the answers, not the folder alone."""
    monkeypatch.setattr(teacher, "as_setting", lambda text: f"{text}#hash")
    settings = {"teacher": "runs/t", "epochs": 2, "seed": None}
    assert _options.given_settings(None, settings) == {"teacher": "runs/t#hash", "epochs": 2}
    assert _options.given_settings(None, {"epochs": 2}) == {"epochs": 2}
