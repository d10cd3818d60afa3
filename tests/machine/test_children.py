import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lenet_multi.machine import children
from lenet_multi.machine.children import Child


def child(folder: Path, name: str, code: str, after: tuple[str, ...] = ()) -> Child:
    """Return a child that runs Python code."""
    return Child(
        name=name, command=(sys.executable, "-c", code), log=folder / name / "log.txt", after=after
    )


def test_a_crash_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """A failure holds the status and the end of the log, and the other children finish."""
    crash = "for line in range(9): print('line', line)\nraise SystemExit('no memory left')"
    failures = children.run(
        [child(tmp_path, "one", crash), child(tmp_path, "two", "open('done', 'w')")], timeout=60
    )
    assert [(f.child, f.reason) for f in failures] == [("one", "ended with status 1")]
    assert "no memory left" in failures[0].last_lines
    assert len(failures[0].last_lines) == 5
    assert Path("done").exists()


def test_a_child_computes_on_its_processors_alone(tmp_path: Path) -> None:
    """A child uses one processor per thread, one by default, and gets its own variables."""
    code = "import os; print(len(os.sched_getaffinity(0)), os.environ['HELD'])"
    for threads in {1, len(os.sched_getaffinity(0))}:
        held = dataclasses.replace(child(tmp_path, "one", code), environ={"HELD": "to avx2"})
        assert children.run([held], timeout=60, threads=threads) == []
        assert held.log.read_text() == f"{threads} to avx2\n"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children start in an empty folder."""
    monkeypatch.chdir(tmp_path)


def test_a_slow_child_is_killed_and_fails(tmp_path: Path) -> None:
    """A child that takes too long is a failure, reported in time."""
    began = time.monotonic()
    failures = children.run([child(tmp_path, "slow", "import time; time.sleep(60)")], timeout=0.5)
    assert [failure.reason for failure in failures] == ["took longer than 0.5 s"]
    assert time.monotonic() - began < 30


def test_a_child_that_memory_ended_says_so(tmp_path: Path) -> None:
    """A child that was killed is reported with a word on memory, and the others finish."""
    killed = child(tmp_path, "killed", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    (failure,) = children.run([killed, child(tmp_path, "good", "open('done', 'w')")], timeout=60)
    assert failure.child == "killed"
    assert "when memory runs out" in failure.reason
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


def test_progress_is_not_logged(tmp_path: Path) -> None:
    """Lines of progress move the bar; all other lines go to the log."""
    code = "print('[\"L4\", 3, 10]'); print('a word'); print('[1]'); print('7')"
    assert children.run([child(tmp_path, "one", code)], timeout=60) == []
    assert (tmp_path / "one" / "log.txt").read_text() == "a word\n[1]\n7\n"


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
    code = (
        "import sys; from pathlib import Path; from lenet_multi.machine import children;"
        'sleep = \'import time; open("started", "a").write("x"); time.sleep(60)\';'
        "children.run([children.Child(name=str(i), command=(sys.executable, '-c', sleep),"
        " log=Path('log', str(i))) for i in range(50)], timeout=60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    started = tmp_path / "started"
    while not started.exists():
        assert parent.poll() is None
        time.sleep(0.05)
    began = time.monotonic()
    parent.send_signal(number)  # only to the parent, not to its children
    assert f"StoppedError: stopped by {number.name}" in parent.communicate(timeout=60)[1]
    assert time.monotonic() - began < 20
    assert len(started.read_text()) <= (os.cpu_count() or 1)
