"""Configuration: keras.json, environment variables, and the values of settings."""

import dataclasses
from random import Random
from typing import Any

from lenet_multi.commands.doctor.settings import CHANGE_RESULTS, CHOOSE_MEANS
from lenet_multi.config import TrainConfig, flag
from lenet_multi.lenet.recipes import RECIPES
from tests.fuzz import stand_ins
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.kinds import models
from tests.fuzz.mutations import NUMBERS, WORDS, changed_json, damaged, json_bytes

_KERAS_JSON = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
    "nnx_enabled": False,
}
_VARIABLES = (*CHANGE_RESULTS, *CHOOSE_MEANS, "COLUMNS", "NO_COLOR", "LANG", "TERM")


def _encodes(value: str) -> bool:
    """Whether the operating system can hold `value` in an argument or a variable."""
    try:
        return b"\0" not in value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


VALUES = (
    *(word for word in WORDS if _encodes(word) and len(word) < 1000),
    *map(str, NUMBERS[:11]),
)


def _make(chance: Random) -> Input:
    files: dict[str, bytes | None] = {"images.npz": models.images()}
    environ = {
        name: chance.choice(VALUES)
        for name in _VARIABLES
        if chance.random() < (0.05 if name == "KERAS_BACKEND" else 0.1)
    }
    if chance.random() < 0.5:
        content = json_bytes(changed_json(_KERAS_JSON, chance), chance)
        files["home/keras.json"] = damaged(content, chance) if chance.random() < 0.2 else content
        environ["KERAS_HOME"] = "home"
        return Input(
            arguments=("doctor", *_sometimes(chance, "--json")), files=files, environ=environ
        )
    arguments = ["train", "--data", "images.npz", "--validation-split", "0.5", "--out", "out"]
    if chance.random() < 0.5:
        arguments += ["--recipe", chance.choice((*RECIPES, *VALUES))]
    for setting in chance.sample(dataclasses.fields(TrainConfig)[1:], chance.choice((1, 1, 2, 4))):
        arguments += _flagged(setting, chance)
    return Input(arguments=tuple(arguments), files=files, environ=environ)


def _flagged(setting: "dataclasses.Field[Any]", chance: Random) -> list[str]:
    """Return the flag of a setting with some value."""
    if setting.type is bool:
        return [chance.choice((flag(setting.name), flag(f"no_{setting.name}")))]
    choices = setting.metadata["choices"] or (str(setting.default),)
    return [flag(setting.name), chance.choice((*choices * 5, *VALUES))]


def _sometimes(chance: Random, *arguments: str) -> tuple[str, ...]:
    return arguments if chance.random() < 0.5 else ()


KIND = Kind(
    name="configuration",
    make=_make,
    share=12,
    mebibytes=128,
    prepare=stand_ins.install,
    told=r"What was kept so far: .*",
)
