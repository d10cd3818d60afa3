import click
import pytest

from lenet_multi.commands._arguments import flags
from lenet_multi.commands.parity import command as parity
from lenet_multi.commands.train import command as train

ODD = click.Command(
    "odd", params=[click.Option(["-s", "--seed-of"]), click.Option(["--loud/--quiet", " /-q"])]
)


@pytest.mark.parametrize(
    ("command", "given", "expected"),
    [
        (
            train,
            {"batch_size": 32, "learning_rate": 0.1},
            ["--batch-size=32", "--learning-rate=0.1"],
        ),
        (train, {"seed": None, "loss": None}, []),
        (train, {"tensorboard": True}, ["--tensorboard"]),
        (train, {"tensorboard": False}, ["--no-tensorboard"]),
        (train, {"quiet": False}, []),
        (train, {"metrics": ["mae", "mse"]}, ["--metrics=mae,mse"]),
        (train, {"seed": -1}, ["--seed=-1"]),
        (parity, {"backend": ["jax", "torch"]}, ["--backend=jax", "--backend=torch"]),
        (parity, {"precision": "float32"}, ["--precision=float32"]),
        (ODD, {"seed_of": 1}, ["--seed-of=1"]),
        (ODD, {"loud": False}, ["--quiet"]),
    ],
    ids=[
        *("values", "none", "on", "off", "no-off", "names", "negative", "several"),
        *("one-of-several", "short", "short-off"),
    ],
)
def test_arguments_become_flags(
    command: click.Command, given: dict[str, object], expected: list[str]
) -> None:
    """Each argument is the command's flag, in the way that the command reads it."""
    assert flags(command, given) == expected


@pytest.mark.parametrize("name", ["json", "out", "help"])
def test_the_functions_own_flags_are_no_arguments(name: str) -> None:
    """A flag that the function sets itself is refused."""
    with pytest.raises(TypeError, match=name):
        flags(train, {name: True})


def test_an_unknown_argument_names_the_nearest() -> None:
    """A misspelt argument is a `TypeError` that says what was meant."""
    message = r"unknown argument of train\(\) 'epocs'; did you mean 'epochs'\?"
    with pytest.raises(TypeError, match=message):
        flags(train, {"epocs": 1})
