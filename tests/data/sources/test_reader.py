import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.sources import reader
from lenet_multi.errors import UserError

ODD = b"\xff"  # a file's name may be no text
SIDES = ("train.x", "train.y", "test.x", "test.y")


def test_a_reader_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """If a reader fails, stderr shows its traceback, and the error says so."""
    with pytest.raises(UserError, match=r"--data nobody:digits: .* ended with status 1; see above"):
        reader.read("nobody", "digits")
    assert "No module named 'lenet_multi.data.sources.nobody'" in capfd.readouterr().err


def library(monkeypatch: pytest.MonkeyPatch, read: Callable[[str], Any]) -> None:
    """Let `read` be that of a library called fake."""
    module = ModuleType("fake")
    module.__dict__["read"] = read
    monkeypatch.setitem(sys.modules, "lenet_multi.data.sources.fake", module)


@pytest.mark.parametrize("names", [["cat", "dog"], None])
def test_the_second_process_writes_the_arrays_and_the_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    names: list[str] | None,
) -> None:
    """What a library prints goes to stderr; a set without names has an empty list of texts."""

    def read(name: str) -> Any:
        print("from the library")
        parts = {"train": (np.full(2, 0), np.full(2, 1)), "test": (np.full(2, 2), np.full(2, 3))}
        return parts, names if name == "digits" else 1 / 0

    library(monkeypatch, read)
    reader.main("fake", "digits", str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as found:
        assert found.files == [*SIDES, "class_names"]
        assert [int(found[name][0]) for name in SIDES] == [0, 1, 2, 3]
        assert found["class_names"].tolist() == (names or [])
        assert found["class_names"].dtype.kind == "U"
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "from the library\n")


def test_the_second_process_prints_a_refusal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """It ends with status 2, and its stdout is the message, in the bytes of a file's name."""

    def read(name: str) -> Any:
        raise UserError(f"{os.fsdecode(ODD)} is odd; give another")

    library(monkeypatch, read)
    with pytest.raises(SystemExit) as end:
        reader.main("fake", "digits", str(tmp_path / "out.npz"))
    assert end.value.code == 2
    assert capfdbinary.readouterr().out == ODD + b" is odd; give another"


class Done:
    """How a second process ended."""

    def __init__(self, returncode: int, stdout: bytes = b"") -> None:
        self.returncode, self.stdout = returncode, stdout


@pytest.mark.parametrize("names", [("cat", "dog"), ()])
def test_what_the_second_process_wrote_is_returned(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """It is started with the library, the name and a file; it reads nothing from the user."""

    def run(command: list[str], **options: Any) -> Done:
        assert command[:5] == [sys.executable, "-m", reader.__name__, "fake", "digits"]
        assert options == {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        path = Path(command[5])
        assert path.parent.name.startswith("lenet-multi-")
        arrays: dict[str, Any] = {name: np.full(2, at) for at, name in enumerate(SIDES)}
        np.savez(path, **arrays, class_names=np.array(names, str))
        return Done(0)

    monkeypatch.setattr(subprocess, "run", run)
    parts, found = reader.read("fake", "digits")
    assert [int(side[0]) for pair in parts.values() for side in pair] == [0, 1, 2, 3]
    assert found == (names or None)


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (Done(2, ODD + b" is odd; give another"), f"{os.fsdecode(ODD)} is odd; give another"),
        (Done(1), "its reader ended with status 1; see above"),
        (Done(-9), "its reader ended with status -9; see above"),
    ],
)
def test_how_the_second_process_ended_is_one_line(
    monkeypatch: pytest.MonkeyPatch, done: Done, words: str
) -> None:
    """The flag that chose the set comes first."""
    monkeypatch.setattr(subprocess, "run", lambda command, **options: done)
    with pytest.raises(UserError) as refused:
        reader.read("fake", "digits")
    assert str(refused.value) == f"--data fake:digits: {words}"
