import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.own import place


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's file, whose module is forgotten afterwards."""
    path = tmp_path / "mine_alone.py"
    path.write_text("from neighbour import VALUE\ndef build(): return VALUE\n")
    (tmp_path / "neighbour.py").write_text("VALUE = 7\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield path
    for name in ("mine_alone", "neighbour"):
        sys.modules.pop(name, None)


def test_a_function_of_a_file_is_found(mine: Path) -> None:
    """A file is a module of its own name, may import its neighbours, and is run once."""
    build = place.find(f"{mine}:build")
    assert build() == 7
    assert build.__module__ == "mine_alone"
    assert place.find(f"{mine}:build") is build


def test_a_function_of_a_module_is_found() -> None:
    """A module on Python's path needs no file name."""
    assert place.find("tests.guest:load").__name__ == "load"


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
    ],
    ids=["bare", "number", "no-file", "no-module", "no-name", "no-function", "not-in-module"],
)
def test_a_place_that_is_none_is_refused(
    mine: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    """A missing file, module or function gets one line that names it and the remedy."""
    monkeypatch.chdir(mine.parent)
    wanted = message.format(here=mine.parent)
    mine.write_text("def build(): pass\n")
    with pytest.raises(UserError, match=re.escape(wanted)):
        place.find(name.format(file=mine))


@pytest.mark.parametrize("name", ["json", "tensorflow", "jax", "torch"])
def test_a_file_named_like_a_module_in_use_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's json.py would hide Python's, and torch.py a backend, also where another computes."""
    if name != "json":
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / f"{name}.py").write_text("def build(): pass\n")
    with pytest.raises(UserError, match=rf"{name}\.py has the name of a module .* rename the file"):
        place.find(f"{tmp_path / name}.py:build")
