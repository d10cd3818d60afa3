import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.backends.devices.machines import Machine
from tests.faults import devices
from tests.faults.devices import _ended, _left_open


def rank(code: str, folder: Path | None = None) -> "subprocess.Popen[str]":
    """Return a process that stands for a rank."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(words: str) -> str:
    """Return code of a rank that prints words and ends with status 3."""
    return f"import sys; print({words!r}, file=sys.stderr); sys.exit(3)"


def test_a_rank_that_names_the_killed_one_is_right(tmp_path: Path) -> None:
    """A line that names another rank, or none, is a loss."""
    for words, lost in [("rank 0 ends: rank 1 is gone", False), ("rank 0 ends", True)]:
        killed = rank("import time; time.sleep(60)")
        killed.kill()
        assert bool(_ended([rank(said(words)), killed], [1], tmp_path / "none")) == lost


def test_a_rank_that_goes_on_alone_is_a_loss(tmp_path: Path) -> None:
    """Others that do not end within seconds are a loss, and are ended."""
    before, devices.ENDS_WITHIN = devices.ENDS_WITHIN, 1
    try:
        killed = rank("")
        lost = _ended([rank("import time; time.sleep(60)"), killed], [1], tmp_path / "none")
    finally:
        devices.ENDS_WITHIN = before
    assert lost
    assert lost.startswith("the others ended after 3 s")


def test_what_lives_on_is_a_loss(tmp_path: Path) -> None:
    """A process in a rank's folder and an open port are found; then nothing is left."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        port = int(opened.getsockname()[1])
        machines = [Machine(tmp_path, [], {}, (port,))]
        orphan = rank("import time; time.sleep(60)", tmp_path)
        time.sleep(0.2)
        assert f"process {orphan.pid} lives on" in str(_left_open(machines))
        os.kill(orphan.pid, signal.SIGKILL)
        orphan.wait()
        assert _left_open(machines) == f"port {port} is still open"
    assert _left_open(machines) is None
