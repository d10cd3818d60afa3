import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.own import place, sent


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's file, whose module is forgotten afterwards."""
    path = tmp_path / "day:night" / "mine_alone.py"
    path.parent.mkdir()
    path.write_text("from neighbour import VALUE\ndef build(): return VALUE\n")
    path.with_name("neighbour.py").write_text("VALUE = 7\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield path
    for name in ("mine_alone", "neighbour"):
        sys.modules.pop(name, None)


def test_a_function_of_a_file_is_found(mine: Path) -> None:
    """A file is a module of its own name, may import its neighbours, and is run once.

    Its folder comes first among those that Python looks in, once, whatever is in its name.
    """
    build = place.find(f"{mine}:build")
    assert build() == 7
    assert build.__module__ == "mine_alone"
    assert place.find(f"{mine}:build") is build
    del sys.modules["mine_alone"]
    assert place.find(f"{mine}:build") is not build
    assert sys.path[0] == str(mine.parent)
    assert str(mine.parent) not in sys.path[1:]


def test_a_function_of_a_module_is_found() -> None:
    """A module on Python's path needs no file name."""
    assert place.find("tests.guest:load").__name__ == "load"


def test_a_function_that_was_sent_is_received(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place whose function came by value is looked for nowhere else."""
    monkeypatch.setattr(sent, "is_sent", lambda name: name == "nowhere:build")
    monkeypatch.setattr(sent, "receive", lambda name: f"received {name}")
    assert place.find("nowhere:build") == "received nowhere:build"


def test_a_file_that_fails_is_named_and_forgotten(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next attempt runs it again."""
    mine.write_text("1 / 0")
    for _ in range(2):
        with pytest.raises(UserError, match=r"^mine_alone\.py failed.*: ZeroDivisionError: "):
            place.find(f"{mine}:build")
    assert capsys.readouterr().err.count("1 / 0") == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("build", "'build' names nothing; give FILE.py:NAME, or package.module:NAME"),
        ("a.py:1", "'a.py:1' names nothing"),
        ("no_such.py:build", "cannot read {here}/no_such.py: No such file or directory"),
        ("no.such:build", "there is no module no.such; install it, or add its folder"),
        ("a-b:build", "'a-b' is no module"),
        ("{file}:builds", "has no builds; give one of build"),
        ("tests.guest:builds", "tests.guest has no builds; give one of load, build"),
        ("tests.own:builds", "tests.own has no builds; give one of its functions"),
    ],
    ids=[
        *("bare", "number", "no-file", "no-module", "no-name", "no-function", "not-in-module"),
        "empty-module",
    ],
)
def test_a_place_that_is_none_is_refused(
    mine: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    """A missing file, module or function gets one line that names it and the remedy."""
    monkeypatch.chdir(mine.parent)
    wanted = message.format(here=mine.parent)
    mine.write_text("plus = (1).__add__  # of no module\ndef build(): pass\n")
    with pytest.raises(UserError, match=re.escape(wanted)):
        place.find(name.format(file=mine))


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
        place.find("guest_of_mine:TASK")
    assert "guest_of_mine.py" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["json", "sys", "tensorflow", "jax", "torch"])
def test_a_file_named_like_a_module_in_use_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's json.py would hide Python's, and torch.py a backend, also where another computes."""
    if name in BACKENDS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / f"{name}.py").write_text("def build(): pass\n")
    with pytest.raises(UserError, match=rf"{name}\.py has the name of a module .* rename the file"):
        place.find(f"{tmp_path / name}.py:build")
