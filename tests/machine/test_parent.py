import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lenet_multi.machine import parent


def wait_until(true: Callable[[], bool]) -> bool:
    """Return whether it becomes true within seconds."""
    until = time.monotonic() + 10
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()


CHILD = (
    "import time; from pathlib import Path; from lenet_multi.machine import parent\n"
    "parent.end_with_it()\n"
    "while True:\n"
    "    with open('beats', 'a') as file: file.write('x')\n"
    "    time.sleep(0.05)"
)
PARENT = (
    "import os, subprocess, sys; from lenet_multi.machine import parent\n"
    "environ = {**os.environ, **(parent.of_this() if sys.argv[2] else {})}\n"
    "subprocess.Popen([sys.executable, '-c', sys.argv[1]], env=environ).wait()"
)


def test_a_child_ends_with_its_killed_parent(tmp_path: Path) -> None:
    """A child whose parent is killed ends too, if the variable asks for it."""
    beats = tmp_path / "beats"
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD, "yes"], cwd=tmp_path) as process:
        assert wait_until(beats.exists)
        process.kill()
    time.sleep(2 * parent._LOOK_EVERY)
    after = beats.stat().st_size
    time.sleep(0.5)
    assert beats.stat().st_size == after


def test_a_child_that_nobody_asks_lives_on(tmp_path: Path) -> None:
    """Without the variable, a process whose parent is gone goes on."""
    code = CHILD.replace("while True", "for _ in range(40)")  # it ends by itself
    beats = tmp_path / "beats"
    with subprocess.Popen([sys.executable, "-c", PARENT, code, ""], cwd=tmp_path) as process:
        assert wait_until(beats.exists)
        process.kill()
    assert wait_until(lambda: beats.stat().st_size == 40)
