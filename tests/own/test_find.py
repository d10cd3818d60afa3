import re
from pathlib import Path

import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.own.find import find_task


@pytest.mark.parametrize("name", ["", "lenett", ":TASK", "tests.guest:", ".guest:TASK", "a-b:TASK"])
def test_what_names_no_module_is_refused(name: str) -> None:
    """A name that cannot name a module is refused before anything is imported."""
    wanted = f"no task {name!r}: give lenet, softmax-regression, or package.module:NAME"
    with pytest.raises(UserError, match=re.escape(wanted)):
        find_task(TrainConfig(architecture=name))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import g", ModuleNotFoundError),
        ("import guest_of_mine.other", ModuleNotFoundError),
        ("import os; os.nothing", AttributeError),
    ],
)
def test_what_a_module_raises_is_the_users_to_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception]
) -> None:
    """An error inside a user's module is shown as it is, not as a missing module or task."""
    (tmp_path / "guest_of_mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error):
        find_task(TrainConfig(architecture="guest_of_mine:TASK"))
