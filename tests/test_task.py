import re
from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.task import find_task


@pytest.mark.parametrize("name", ["", "lenett", ":TASK", "tests.guest:", ".guest:TASK", "a-b:TASK"])
def test_what_names_no_module_is_refused(name: str) -> None:
    """A name without a module is refused before any import."""
    wanted = f"no task {name!r}: give lenet, softmax-regression, or package.module:NAME"
    with pytest.raises(UserError, match=re.escape(wanted)):
        find_task(name)


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
    """An error inside the module is not reported as a missing module or task."""
    (tmp_path / "guest_of_mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error):
        find_task("guest_of_mine:TASK")
