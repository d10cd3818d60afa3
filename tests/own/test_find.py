import re
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import UserError
from lenet_multi.lenet.tasks import LENET
from lenet_multi.own import find
from lenet_multi.own.find import find_task, of_record
from tests.guest import GUEST


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test find its tasks itself."""
    monkeypatch.setattr(find, "_find", cache(find._find.__wrapped__))


def named(name: str) -> TrainConfig:
    """Return the configuration of a model called `name`."""
    return TrainConfig(architecture=name)


@pytest.mark.parametrize("name", ["", "lenett", "a/b"])
def test_what_is_no_model_is_refused(name: str) -> None:
    """A name that is neither ours nor a place is refused with the nearest name."""
    with pytest.raises(UserError, match=f"^unknown --architecture '{name}'; "):
        named(name)


def test_what_a_file_names_may_be_no_model() -> None:
    """The configuration of an old run is not checked again."""
    with pytest.raises(UserError, match=r"^unknown model 'lenett'; did you mean 'lenet'\?$"):
        find._find("lenett")


@pytest.mark.parametrize("name", [":TASK", "tests.guest:", ".guest:TASK", "a-b:TASK"])
def test_what_names_no_module_is_refused(name: str) -> None:
    """A place that cannot be one is refused before anything is imported."""
    with pytest.raises(UserError, match=re.escape("give FILE.py:NAME, or package.module:NAME")):
        find_task(named(name))


def test_what_is_no_function_is_refused() -> None:
    """A number is no model."""
    with pytest.raises(UserError) as refused:
        find_task(named("tests.guest:TESTING"))
    assert str(refused.value) == (
        "tests.guest:TESTING is of type int; give a function that returns a Keras model"
    )


def test_a_task_is_found_by_its_name() -> None:
    """A task of the package by its short name, a user's by its place; one object each."""
    assert find_task(TrainConfig()) is LENET
    assert find_task(named("tests.guest:GUEST")) is GUEST


def test_a_users_model_becomes_one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function makes a task with the place as its name, a file one with its path."""
    made = SimpleNamespace(
        of_file=lambda path: ("of a file", path), of_builder=lambda *given: ("of a builder", *given)
    )
    monkeypatch.setitem(sys.modules, "lenet_multi.own.task", made)  # the real one imports Keras
    monkeypatch.setattr("lenet_multi.own.task", made, raising=False)
    name = "tests.own.test_find:named"
    found: Any = find_task(named(name))
    assert found == ("of a builder", name, named)
    assert find_task(named(name)) is found
    found = find_task(named("a/b:c.keras"))
    assert found == ("of a file", Path("a/b:c.keras"))


def test_a_saved_run_chooses_no_code() -> None:
    """The record of a run may name a task of the package alone; the error says what else to do."""
    assert of_record({"architecture": "lenet"}, "runs/1") is LENET
    with pytest.raises(UserError) as refused:
        of_record({"architecture": "tests.guest:GUEST"}, "runs/1")
    assert str(refused.value) == (
        "runs/1 is of tests.guest:GUEST, whose code a saved run may not start; give evaluate the "
        "flag --model tests.guest:GUEST; to predict or export, use keras.saving.load_model and "
        "model.export"
    )


@pytest.mark.parametrize("setting", ["loss", "optimizer", "metrics"])
def test_a_setting_that_a_task_would_ignore_is_refused(setting: str) -> None:
    """A `Task` brings its own loss, optimizer and metrics; a flag for them would do nothing."""
    given = {"architecture": "tests.guest:GUEST", setting: "mse"}
    words = f"--{setting} mse: tests.guest:GUEST is a Task with its own; drop it"
    with pytest.raises(UserError, match=f"^{words}$"):
        find_task(with_settings(TrainConfig(), given))
