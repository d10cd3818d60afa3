"""Other systems than Linux, simulated here; the workflow runs the real ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import child_environment

# Modules and functions that this package uses or used, and that Windows lacks.
WITHOUT = """
import os, select, signal, sys
for name in ("fcntl", "resource", "pty", "termios"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "sched_setaffinity", "killpg", "sysconf"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGPIPE", "pthread_kill"):
    delattr(signal, name)
def no_pipes(*given):
    raise OSError("An operation was attempted on something that is not a socket")
select.select = no_pipes
"""


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process that lacks what Windows lacks."""
    start = (
        "sys.argv = ['lenet-multi', *sys.argv[1:]]; from lenet_multi.__main__ import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", f"{WITHOUT}{start}", *arguments],
        cwd=folder,
        env=child_environment(KERAS_BACKEND=os.environ.get("KERAS_BACKEND", "jax")),
        capture_output=True,
        text=True,
    )


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_run_trains_without_what_windows_lacks(small_npz: Path, tmp_path: Path) -> None:
    """A tiny run trains, is kept and is evaluated."""
    data = "--data", str(small_npz)
    done = run(tmp_path, "train", "--epochs", "1", *data, "--out", "a-run", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "Test accuracy: " in done.stdout
    assert json.loads((tmp_path / "a-run" / "result.json").read_text())["test_images"] == 500
    done = run(tmp_path, "evaluate", "a-run", *data)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["compare", "none", "none"],
        ["train", "--resume", "none"],
        ["completion", "bash"],
    ],
    ids=" ".join,
)
def test_a_command_starts_without_what_windows_lacks(command: list[str], tmp_path: Path) -> None:
    """The command answers or refuses, without a traceback."""
    done = run(tmp_path, *command)
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
