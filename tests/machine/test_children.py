import dataclasses
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TaskID

from lenet_multi.errors import StoppedError
from lenet_multi.machine import children
from lenet_multi.machine.children import Child


def child(folder: Path, name: str, code: str, after: tuple[str, ...] = ()) -> Child:
    """Return a child that runs Python code."""
    return Child(
        name=name, command=(sys.executable, "-c", code), log=folder / name / "log.txt", after=after
    )


def test_a_crash_is_told_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure holds the status and the end of the log, and children without room run later."""
    room = children._places(1)[:1]
    monkeypatch.setattr(children, "_places", lambda threads: room)
    crash = "for line in range(7): print('line', line)\nraise SystemExit('no memory left')"
    (failure,) = children.run(
        [child(tmp_path, "one", crash), child(tmp_path, "two", "open('done', 'w')")], timeout=60
    )
    assert (failure.child, failure.reason) == ("one", "ended with status 1")
    assert failure.last_lines == [*(f"line {line}" for line in range(3, 7)), "no memory left"]
    assert Path("done").exists()


def test_a_child_computes_on_its_processors_alone(tmp_path: Path) -> None:
    """A child uses one processor per thread, one by default, and gets its own variables."""
    code = "import os; print(len(os.sched_getaffinity(0)), os.environ['HELD'])"
    for threads in {1, len(os.sched_getaffinity(0))}:
        held = dataclasses.replace(
            child(tmp_path, "one", code),
            environ={"HELD": "to avx2"},
            log=tmp_path / "a new" / "folder" / "log.txt",
        )
        assert children.run([held], timeout=60, threads=threads) == []
        assert held.log.read_text() == f"{threads} to avx2\n"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children start in an empty folder."""
    monkeypatch.chdir(tmp_path)


def test_a_slow_child_is_killed_and_fails(tmp_path: Path) -> None:
    """A child that takes too long is a failure, reported in time."""
    began = time.monotonic()
    failures = children.run([child(tmp_path, "slow", "import time; time.sleep(10)")], timeout=0.5)
    assert [failure.reason for failure in failures] == ["took longer than 0.5 s"]
    assert time.monotonic() - began < 8


def test_a_child_that_memory_ended_says_so(tmp_path: Path) -> None:
    """A child that was killed is reported with a word on memory, and the others finish."""
    killed = child(tmp_path, "killed", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    (failure,) = children.run([killed, child(tmp_path, "good", "open('done', 'w')")], timeout=60)
    assert failure.child == "killed"
    assert failure.reason == "was killed; the system does that when memory runs out"
    assert Path("done").exists()


def test_a_child_waits_for_those_it_comes_after(tmp_path: Path) -> None:
    """A child starts when those before it have ended, well or not."""
    slow = "import time; time.sleep(0.5); open('done', 'w'); raise SystemExit(1)"
    failures = children.run(
        [
            child(tmp_path, "first", slow),
            child(tmp_path, "second", "open('done'); open('seen', 'w')", after=("first",)),
        ],
        timeout=60,
    )
    assert [failure.child for failure in failures] == ["first"]
    assert Path("seen").exists()


def test_a_child_gets_no_variable_of_keras_but_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of Keras's variables, a child gets only the folder of downloads."""
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    code = "import os; print({k: v for k, v in os.environ.items() if k.startswith('KERAS_')})"
    assert children.run([child(tmp_path, "one", code)], timeout=60) == []
    home = str(tmp_path / "keras")
    assert (tmp_path / "one" / "log.txt").read_text() == f"{ {'KERAS_HOME': home} }\n"


class Noted(Progress):
    """Bars that note what they are told, and show nothing."""

    def __init__(self) -> None:
        super().__init__(disable=True)
        self.added: list[tuple[str, object]] = []
        self.told: list[dict[str, object]] = []

    def add_task(self, description: str, *given: Any, **options: Any) -> TaskID:
        """Note the words and the total."""
        self.added.append((description, options["total"]))
        return super().add_task(description, *given, **options)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Note the changes."""
        self.told.append(changes)
        super().update(task_id, **changes)


def test_progress_is_not_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of progress move the child's bar; all other lines go to the log."""
    bars = Noted()
    monkeypatch.setattr(children, "bars", lambda: bars)
    start, options = subprocess.Popen, {}

    def started(command: tuple[str, ...], **given: Any) -> Any:
        options.update(given)
        return start(command, **given)

    monkeypatch.setattr(subprocess, "Popen", started)
    code = (
        "import os; print('[\"L4\", 3, 10]'); print('a word'); print('[1]'); print('7');"
        "os.write(2, b'an odd \\xff\\n')"
    )
    assert children.run([child(tmp_path, "one", code)], timeout=60) == []
    said = ["a word", "[1]", "7", r"an odd \xff"]
    assert (tmp_path / "one" / "log.txt").read_text().splitlines() == said
    assert options["stdin"] == subprocess.DEVNULL
    assert bars.added == [("processes finished", 1), ("one", None)]
    assert {"description": "one: L4", "completed": 3, "total": 10} in bars.told
    (task,) = bars.tasks  # that of the child has ended
    assert (task.description, task.completed) == ("processes finished", 1)


def test_bars_show_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs, how much of it is done, and the time that is left; at the end they vanish."""
    assert children.bars().console.stderr
    assert children.bars().disable
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(children, "Console", lambda stderr: terminal)
    bars = children.bars()
    assert not bars.disable
    assert bars.live.transient
    bars.add_task("a: L4", completed=3, total=10)
    with terminal.capture() as seen:
        terminal.print(bars)
    found = re.sub(r"\x1b\[[\d;]*m", "", seen.get()).split()
    assert set(found.pop(2)) <= {*"━╸╺"}
    assert found == ["a:", "L4", "3/10", "0:00:00", "left", "-:--:--"]


@pytest.mark.parametrize(
    ("processors", "threads", "places"),
    [
        ({7, 3, 5, 4, 9}, 1, [[3], [4], [5], [7], [9]]),
        ({7, 3, 5, 4, 9}, 2, [[3, 4], [5, 7]]),
        ({7, 3, 5, 4}, 2, [[3, 4], [5, 7]]),
        ({3, 4}, 2, [[3, 4]]),
        (3, 2, [range(2)]),
        (None, 1, [range(1)]),
    ],
    ids=["each", "a rest", "no rest", "all", "no names", "no number"],
)
def test_processors_are_shared_out(
    processors: set[int] | int | None,
    threads: int,
    places: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In order, and each once; where the system does not name them, their number counts."""
    if isinstance(processors, set):
        monkeypatch.setattr(os, "sched_getaffinity", {0: processors}.get, raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert children._places(threads) == places


def test_a_child_prints_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is this one, but for Keras's variables."""
    monkeypatch.setattr(os, "environ", {"KERAS_HOME": "a", "KERAS_BACKEND": "jax", "KERAS": "b"})
    assert children.environment() == {"KERAS_HOME": "a", "KERAS": "b", "PYTHONUNBUFFERED": "1"}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux names processors")
def test_a_child_is_bound_to_one_processor(tmp_path: Path) -> None:
    """A child gets one processor, so it waits for no other's threads; the parent keeps all."""
    before = os.sched_getaffinity(0)
    code = "import os; print(len(os.sched_getaffinity(0)))"
    assert children.run([child(tmp_path, "one", code)], timeout=60) == []
    assert (tmp_path / "one" / "log.txt").read_text() == "1\n"
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_a_signal_ends_all_children(number: signal.Signals, tmp_path: Path) -> None:
    """A signal ends the running children at once, and no waiting child starts."""
    started, ended = tmp_path / "started", threading.Event()
    code = "import time; open('started', 'a').write('x'); time.sleep(10)"

    def send() -> None:
        while not started.exists():
            if ended.wait(0.02):
                return
        ended.wait(0.1)  # Python may overlook a signal just as its thread begins to wait
        os.kill(os.getpid(), number)  # only to the parent, not to its children

    sender = threading.Thread(target=send)
    sender.start()
    began = time.monotonic()
    try:
        with pytest.raises(StoppedError, match=f"stopped by {number.name}"):
            children.run([child(tmp_path, str(i), code) for i in range(50)], timeout=60)
    finally:
        ended.set()
        sender.join()
    assert time.monotonic() - began < 8
    assert len(started.read_text()) <= (os.cpu_count() or 1)
    assert len([*tmp_path.glob("*/log.txt")]) <= (os.cpu_count() or 1)
