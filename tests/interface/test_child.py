import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

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
