import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lenet_multi.errors import UserError
from lenet_multi.interface import child

STARTS_ANOTHER = """
import subprocess, sys, pathlib, time, signal
if {deaf}: signal.signal(signal.SIGTERM, signal.SIG_IGN)
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("pids").write_text(f"{{other.pid}}")
time.sleep(60)
"""


class Process:
    """Stands for a command's process that ends when it is asked, or is deaf."""

    pid = 7

    def __init__(self, *, deaf: bool) -> None:
        self.deaf = deaf
        self.done: list[Any] = []

    def terminate(self) -> None:
        """Ask it to end."""
        self.done.append("terminate")

    def wait(self, seconds: float) -> None:
        """Wait until it has ended."""
        self.done.append(seconds)
        if self.deaf:
            raise subprocess.TimeoutExpired("it", seconds)

    def kill(self) -> None:
        """End it."""
        self.done.append("kill")


@pytest.mark.parametrize("deaf", [False, True], ids=["obedient", "deaf"])
@pytest.mark.parametrize("ended", [False, True], ids=["others are left", "all have ended"])
def test_a_command_is_asked_to_stop_before_it_is_ended(
    monkeypatch: pytest.MonkeyPatch, deaf: bool, ended: bool
) -> None:
    """It has some time for that; then all processes of its group end, if there are any."""
    process: Any = Process(deaf=deaf)

    def end(group: int, number: int) -> None:
        process.done.append((group, number))
        if ended:
            raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", end, raising=False)
    child._stop(process)
    assert process.done == ["terminate", 30.0, (7, signal.SIGKILL)]


def test_where_there_are_no_groups_the_command_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows it is one process."""
    monkeypatch.delattr(os, "killpg", raising=False)
    process: Any = Process(deaf=True)
    child._stop(process)
    assert process.done == ["terminate", 30.0, "kill"]


@pytest.mark.parametrize("arguments", [[], ["--backend=jax"]], ids=["without", "with"])
@pytest.mark.parametrize("is_terminal", [False, True], ids=["a file", "a terminal"])
def test_a_command_finds_what_is_found_here(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], is_terminal: bool
) -> None:
    """The same modules, the terminal's width, and the backend unless the arguments name one."""
    monkeypatch.setattr(sys, "path", ["", "/a"])
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: is_terminal))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((77, 9)))
    monkeypatch.setattr(os, "environ", {"KERAS_BACKEND": "torch", "X": "x", "COLUMNS": "5"})
    wanted = {"KERAS_BACKEND": "torch", "X": "x", "COLUMNS": "5"}
    wanted["PYTHONPATH"] = os.pathsep.join([os.getcwd(), "/a"])
    if is_terminal:
        wanted |= {"TTY_COMPATIBLE": "1", "COLUMNS": "77"}
    if arguments:
        del wanted["KERAS_BACKEND"]
    assert child._environment(["train", *arguments]) == wanted
    monkeypatch.setattr(os, "environ", {})
    assert "KERAS_BACKEND" not in child._environment(["train", *arguments])


def test_only_the_commands_error_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """Other lines appear at once, as they are; of two errors the last one is kept."""
    warning = "lenet-multi: warning: chance\n"
    text = f"one\r\nlenet-multi: first\n{warning}lenet-multi: give a file. \nthe end"
    lines = io.TextIOWrapper(io.BytesIO(text.encode()), newline="")
    assert child._pass_on(lines) == "give a file."
    assert capsys.readouterr().err == f"one\r\n{warning}the end"
    assert child._pass_on(io.TextIOWrapper(io.BytesIO(b""))) == ""


class Ended:
    """Stands for `subprocess.Popen`: a command that has ended, and wrote bytes that are no text."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.stdout, self.stderr = io.BytesIO(b"A\xff"), io.BytesIO(b"a\rb\xff\n")

    def __call__(self, words: list[str], **how: Any) -> "Ended":
        """Remember how it was to start."""
        self.words, self.how = words, how
        return self

    def __enter__(self) -> "Ended":
        return self

    def __exit__(self, *error: object) -> None:
        self.left = True

    def wait(self) -> int:
        """Return the exit status."""
        return self.status


def test_a_command_has_no_input_and_a_group_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it writes comes back or is passed on, as well as bytes that are no text can be."""
    monkeypatch.setenv("X", "here")
    monkeypatch.setenv("Y", "here")
    process = Ended(3)
    monkeypatch.setattr(subprocess, "Popen", process)
    assert child.run(["train", "--backend=jax"], {"X": "given"}) == (
        3,
        "A\N{REPLACEMENT CHARACTER}",
    )
    assert process.left
    assert process.words == [sys.executable, "-m", "lenet_multi", "train", "--backend=jax"]
    environ = process.how.pop("env")
    assert (environ["X"], environ["Y"]) == ("given", "here")
    assert "KERAS_BACKEND" not in environ
    pipe = subprocess.PIPE
    how = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "process_group": 0}
    assert process.how == how
    assert capsys.readouterr().err == "a\rb\N{REPLACEMENT CHARACTER}\n"


def test_a_refusal_without_a_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where to look."""
    monkeypatch.setattr(subprocess, "Popen", Ended(2))
    with pytest.raises(UserError, match=r"^train failed; see what it printed$"):
        child.run(["train"], {})


def test_what_the_command_prints_comes_back() -> None:
    """The status and the text on stdout are returned."""
    status, output = child.run(["--version"], {})
    assert status == 0
    assert output.startswith("lenet-multi, version")


def test_a_refusal_is_raised_with_the_commands_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line that the command prints is the error's text, and is not printed once more."""
    with pytest.raises(
        UserError, match=r"^no model at nowhere: give a run folder or a .keras file$"
    ):
        child.run(["evaluate", "nowhere"], {})
    assert capsys.readouterr().err == ""


def as_module(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a child run `code` instead of the command: as a package of its name in `folder`."""
    (folder / "lenet_multi").mkdir()
    (folder / "lenet_multi" / "__init__.py").touch()
    (folder / "lenet_multi" / "__main__.py").write_text(code)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


def test_what_it_writes_to_stderr_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Progress and a traceback appear on stderr once, and variables reach the child."""
    code = "import os, sys; print('one\\rtwo\\nthree', os.environ['X'], file=sys.stderr)"
    as_module(tmp_path, code, monkeypatch)
    assert child.run([], {"X": "x"}) == (0, "")
    assert capsys.readouterr().err == "one\rtwo\nthree x\n"


def test_a_warning_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning of a command, such as that a model is no better than chance, appears on stderr."""
    line = "lenet-multi: warning: 9 of 99 right is no better than chance\n"
    as_module(tmp_path, f"import sys; sys.stderr.write({line!r})", monkeypatch)
    assert child.run([], {}) == (0, "")
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("arguments", "left"),
    [(["train"], "jax"), (["train", "--backend=torch"], "None")],
    ids=["without", "with"],
)
def test_an_argument_overrules_the_backend_of_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], left: str
) -> None:
    """KERAS_BACKEND is for the child only when the call names no backend."""
    code = "import os; print(os.environ.get('KERAS_BACKEND'), end='')"
    as_module(tmp_path, code, monkeypatch)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert child.run(arguments, {}) == (0, left)


@pytest.mark.parametrize("deaf", [False, True], ids=["obedient", "deaf"])
def test_ctrl_c_ends_the_command_and_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    """After Ctrl-C neither the command nor a process of its own is left, even one that is deaf."""
    as_module(tmp_path, STARTS_ANOTHER.format(deaf=deaf), monkeypatch)
    monkeypatch.setattr(child, "_PATIENCE", 1.0)

    def press() -> None:
        while not (tmp_path / "pids").exists():
            time.sleep(0.05)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        child.run([], {})
    thread.join()
    assert has_ended(int((tmp_path / "pids").read_text()))


def has_ended(pid: int) -> bool:
    """Return whether a process ends within five seconds."""
    for _ in range(100):
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
        )
        if not state.stdout.strip() or state.stdout.startswith("Z"):
            return True
        time.sleep(0.05)
    return False
