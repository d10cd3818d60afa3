"""The command line: every verb, with flags and values that exist and that do not."""

from random import Random

import click

from lenet_multi.__main__ import cli
from tests.fuzz import stand_ins
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.kinds import models, runs
from tests.fuzz.kinds.settings import VALUES

_FILES: dict[str, bytes | None] = {
    "model.keras": models.valid(),
    "images.npz": models.images(),
    "seven.png": models.seven(),
    "empty": b"",
    "folder": None,
    **{
        f"{name}/{file}": content
        for name in runs.NAMES
        for file, content in runs.whole(name).items()
    },
}
_PLACES = ("model.keras", "images.npz", "seven.png", "empty", "folder", *runs.NAMES, "nowhere", "-")
# A command may write to any path that the user gives, so paths that lead elsewhere are left out.
_VALUES = tuple(value for value in VALUES if ".." not in value and "canary" not in value)
_NUMBERS = ("0", "1", "2", "3", "0.5", "10", "256", "1000000", "1e9", "9" * 30, "-1", "1_0", "٣")


def _make(chance: Random) -> Input:
    arguments: list[str] = []
    if chance.random() < 0.05:
        arguments += chance.choice(
            (["--version"], ["-h"], ["--wrong"], ["--", "train"], ["=", "x"])
        )
    name = chance.choice((*cli.commands, chance.choice(_VALUES)))
    arguments.append(name)
    if verb := cli.commands.get(name):
        for parameter in verb.params:
            if parameter.required or chance.random() < 0.3:
                arguments += _given(parameter, chance)
    if chance.random() < 0.2:
        arguments.insert(chance.randint(0, len(arguments)), chance.choice((*_VALUES, "--", "-x")))
    if chance.random() < 0.1:
        chance.shuffle(arguments)
    return Input(arguments=tuple(arguments), files=_FILES, stdin=models.seven())


def _given(parameter: click.Parameter, chance: Random) -> list[str]:
    """Return arguments for a parameter of a verb, mostly of the right type."""
    count = chance.choice((1, 1, 2)) if parameter.nargs == -1 or parameter.multiple else 1
    values = [_value(parameter, chance) for _ in range(count)]
    if isinstance(parameter, click.Argument):
        return values
    names = [*parameter.opts, *parameter.secondary_opts]
    name = chance.choice(names)
    if chance.random() < 0.03:
        name = name[:-1] if chance.random() < 0.5 else name.upper()
    if getattr(parameter, "is_flag", False):
        return [name]
    joined = chance.random() < 0.2
    return [part for value in values for part in ([f"{name}={value}"] if joined else [name, value])]


def _value(parameter: click.Parameter, chance: Random) -> str:
    if chance.random() < 0.15:
        return chance.choice(_VALUES)
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return str(chance.choice([*kind.choices]))
    if isinstance(kind, click.Path):
        return chance.choice(_PLACES)
    if isinstance(kind, click.IntRange | click.types.IntParamType | click.types.FloatParamType):
        return chance.choice(_NUMBERS)
    if parameter.name == "data":
        return chance.choice(("images.npz", "mnist", "folder", "keras:x", "tfds:x", "hf:x"))
    if parameter.name in ("backend", "wanted"):
        return chance.choice(
            ("tensorflow", "jax", "torch", "numpy", "jax:tiles", "torch:x", "jacks")
        )
    return chance.choice(_VALUES)


KIND = Kind(
    name="command line",
    make=_make,
    share=15,
    mebibytes=640,  # a pool of threads, each with its own reserve
    prepare=stand_ins.install,
    told=r"Continue with: .*|What was kept so far: .*|Drawing \d+ runs|Model: .*|Pictures: .*"
    r"|(Fed|Images): .*|exporting through .*|trying an earlier checkpoint: .*",
)
