import re
from pathlib import Path

import pytest

from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import UserError
from lenet_multi.own.find import find_task


def named(name: str) -> TrainConfig:
    """Return the configuration of a model called `name`."""
    return TrainConfig(architecture=name)


@pytest.mark.parametrize("name", ["", "lenett", "a/b"])
def test_what_is_no_model_is_refused(name: str) -> None:
    """A name that is neither ours nor a place is refused with the nearest name."""
    with pytest.raises(UserError, match=f"^unknown --architecture '{name}'; "):
        named(name)


@pytest.mark.parametrize("name", [":TASK", "tests.guest:", ".guest:TASK", "a-b:TASK"])
def test_what_names_no_module_is_refused(name: str) -> None:
    """A place that cannot be one is refused before anything is imported."""
    with pytest.raises(UserError, match=re.escape("give FILE.py:NAME, or package.module:NAME")):
        find_task(named(name))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import g", "No module named 'g'"),
        ("import guest_of_mine.other", "No module named 'guest_of_mine.other'"),
        ("import os; os.nothing", "has no attribute 'nothing'"),
    ],
    ids=["import", "part", "attribute"],
)
def test_what_a_module_raises_is_the_users_to_see(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: str,
    reason: str,
) -> None:
    """An error inside a user's module is shown with its traceback, not as a missing module."""
    (tmp_path / "guest_of_mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"^guest_of_mine failed.*{re.escape(reason)}"):
        find_task(named("guest_of_mine:TASK"))
    assert "guest_of_mine.py" in capsys.readouterr().err


def test_what_is_no_function_is_refused() -> None:
    """A number is no model."""
    with pytest.raises(UserError, match=r"tests\.guest:TESTING is of type int; give a function"):
        find_task(named("tests.guest:TESTING"))


@pytest.mark.parametrize("setting", ["loss", "optimizer", "metrics"])
def test_a_setting_that_a_task_would_ignore_is_refused(setting: str) -> None:
    """A `Task` brings its own loss, optimizer and metrics; a flag for them would do nothing."""
    given = {"architecture": "tests.guest:GUEST", setting: "mse"}
    with pytest.raises(UserError, match=f"--{setting} mse: tests.guest:GUEST is a Task with its"):
        find_task(with_settings(TrainConfig(), given))
