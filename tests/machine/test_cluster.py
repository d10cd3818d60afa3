"""Of a real scheduler with real workers on this machine, but for the trainings."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lenet_multi.errors import StoppedError, UserError
from lenet_multi.machine import children, cluster, environment
from lenet_multi.machine.children import Child

if TYPE_CHECKING:
    from distributed import LocalCluster

BACKENDS = ("jax",)  # it need not be imported

pytestmark = pytest.mark.threads


def scheduler(n_workers: int) -> "LocalCluster":
    """Return a scheduler with so many workers, each with a thread."""
    from distributed import LocalCluster  # backends' own environments lack it

    return LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0")


@pytest.fixture(scope="module")
def workers() -> "Iterator[LocalCluster]":
    """Three workers."""
    with scheduler(3) as found:
        yield found


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children start in an empty folder."""
    monkeypatch.chdir(tmp_path)


def child(name: str, code: str) -> Child:
    """Return a child that runs Python code with the place of its run folder."""
    folder = Path("study", name)
    return Child(
        name=name,
        command=(sys.executable, "-c", code, str(folder)),
        log=Path("study/logs", f"{name}.txt"),
        folders=(folder, folder.with_name(f"{name}.unfinished")),
    )


LEAVE = (
    "import os, sys; from pathlib import Path\n"
    "place = Path(sys.argv[1]); held = place.with_name(place.name + '.unfinished')\n"
)


def run(workers: "LocalCluster", *wanted: Child, **more: Any) -> list[children.Failure]:
    """Run the children on the workers."""
    Path("study").mkdir(exist_ok=True)
    return cluster.run(wanted, workers.scheduler_address, BACKENDS, timeout=60, **more)


def test_what_a_child_leaves_comes_back(workers: "LocalCluster") -> None:
    """Its folder and its log; it finds what an earlier child left, which it may delete."""
    first = LEAVE + "held.mkdir(); (held / 'step').write_text('7'); raise SystemExit(2)"
    (failure,) = run(workers, child("one", first))
    assert failure.words == "ended with status 2"
    assert Path("study/one.unfinished/step").read_text() == "7"
    second = (
        LEAVE + "print(place.is_absolute(), len(os.sched_getaffinity(0)), os.getcwd())\n"
        "place.mkdir(); (held / 'step').rename(place / 'step'); held.rmdir()"
    )
    assert run(workers, child("one", second)) == []
    assert Path("study/logs/one.txt").read_text() == f"True 1 {os.getcwd()}\n"
    left = {str(path.relative_to("study")) for path in Path("study").rglob("*")}
    assert left == {"one", "one/step", "logs", "logs/one.txt"}


TRIED = LEAVE + (
    "tries = Path({!r}); tries.mkdir(exist_ok=True); count = len([*tries.iterdir()])\n"
    "(tries / str(count)).touch()\n"
)


@pytest.mark.parametrize(
    ("end", "tries", "failures"),
    [
        ("raise SystemExit(1 if count < 1 else 0)", 2, []),
        ("raise SystemExit(1)", 2, ["ended with status 1"]),
        ("print('bad'); raise SystemExit(2)", 1, ["bad"]),
        (
            "import signal; os.kill(os.getppid(), signal.SIGKILL) if count < 1 else print('good')",
            2,
            [],
        ),
    ],
    ids=["fails once", "fails twice", "refuses", "kills its worker"],
)
def test_a_failed_child_is_tried_once_more(
    end: str, tries: int, failures: list[str], workers: "LocalCluster", tmp_path: Path
) -> None:
    """A child that fails or loses its worker runs again; one that refuses its input does not."""
    code = TRIED.format(str(tmp_path / "tries")) + end
    assert [failure.words for failure in run(workers, child("one", code))] == failures
    assert len([*(tmp_path / "tries").iterdir()]) == tries


def test_a_child_that_always_loses_its_worker_fails(workers: "LocalCluster") -> None:
    """After some workers Dask gives up, and the others finish."""
    kills = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    (failure,) = run(workers, child("one", kills), child("two", LEAVE + "place.mkdir()"))
    assert failure.child == "one"
    assert failure.reason.startswith("lost its worker again and again")
    assert Path("study/two").is_dir()


def test_nobody_but_the_command_waits(workers: "LocalCluster", tmp_path: Path) -> None:
    """When the command is stopped, the workers end their children within seconds."""
    beats = tmp_path / "beats"
    code = (
        "import time\nfor _ in range(400):\n"
        f"    open({str(beats)!r}, 'a').write('x'); time.sleep(0.05)"
    )

    def stop() -> None:
        while not beats.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=stop)
    sender.start()
    with pytest.raises(StoppedError, match="SIGTERM"):
        run(workers, child("one", code))
    sender.join()
    time.sleep(3)
    after = beats.stat().st_size
    time.sleep(0.5)
    assert beats.stat().st_size == after


def test_a_worker_with_other_versions_is_named(
    workers: "LocalCluster", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker, the package and both versions; nothing is trained."""
    own = dict(cluster.versions(BACKENDS), keras="1.0")
    monkeypatch.setattr(environment, "versions", lambda backend: own)  # of this process alone
    with pytest.raises(UserError, match=r"^worker tcp://\S+ has keras 3\.\S+, not 1\.0 as here"):
        run(workers, child("one", ""))
    assert not Path("study/logs").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "foo://x:1"])
def test_without_a_scheduler_a_line_says_so(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the stated seconds: the address, and how to start a scheduler."""
    monkeypatch.setattr(cluster, "ANSWERS_WITHIN", 1)
    said = f"--cluster {address}: no scheduler answered within 1 seconds; start one"
    with pytest.raises(UserError, match=re.escape(said)):
        cluster.run([child("one", "")], address, BACKENDS, timeout=60)


@contextmanager
def once_begun(leave: Callable[[], object]) -> Iterator[Child]:
    """Yield a child that waits for a minute; once it has begun, call `leave`."""
    code = f"import time; open({str(Path('began').resolve())!r}, 'w'); time.sleep(60)"

    def watch() -> None:
        while not Path("began").exists():
            time.sleep(0.05)
        leave()

    leaver = threading.Thread(target=watch)
    leaver.start()
    yield child("one", code)
    leaver.join()


def test_without_workers_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler alone is named, at the start and when its last worker is gone."""
    with scheduler(0) as empty:
        monkeypatch.setattr(cluster, "ANSWERS_WITHIN", 1)
        with pytest.raises(UserError, match="the scheduler has no worker; start some with"):
            run(empty, child("one", ""))
        monkeypatch.setattr(cluster, "ANSWERS_WITHIN", 10)
        monkeypatch.setattr(cluster, "COMES_BACK_WITHIN", 2)
        empty.scale(1)
        with (
            once_begun(lambda: empty.scale(0)) as waiting,
            pytest.raises(UserError, match="no worker is left for 2 seconds"),
        ):
            run(empty, waiting)


def test_a_scheduler_that_goes_is_named() -> None:
    """One line says that it is gone, and how to go on."""
    found = scheduler(1)
    with (
        once_begun(found.close) as waiting,
        pytest.raises(UserError, match="the scheduler is gone; start it and its workers"),
    ):
        run(found, waiting)


def test_workers_of_one_machine_take_different_processors() -> None:
    """Each worker begins after those of its machine, in the order of addresses."""
    threads = {"tcp://one:3": 2, "tcp://one:1": 1, "tcp://two:1": 4, "tcp://one:2": 1}
    first = cluster._places_of(threads)
    assert first == {"tcp://one:1": 0, "tcp://one:2": 1, "tcp://one:3": 2, "tcp://two:1": 0}
    assert cluster._one_of_each_machine(first) == ["tcp://one:1", "tcp://two:1"]


def test_children_of_a_worker_take_different_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that run at one time, from the worker's first place on; then places are free again."""
    monkeypatch.setattr(children, "_places", lambda threads: [[0], [1]])
    taken: list[Any] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, place: taken.append(place))
    with cluster._bound(1, 1), cluster._bound(1, 1):
        assert taken == [[1], [0]]
    taken.clear()
    with cluster._bound(1, 1):
        assert taken == [[1]]


def test_a_whole_machine_is_for_one_child() -> None:
    """A child that needs the machine waits for the one before it."""
    order = []

    def second() -> None:
        with cluster._bound(0, None):
            order.append("second")

    with cluster._bound(0, None):
        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_nothing_to_do_needs_no_cluster() -> None:
    """Without children nobody is asked."""
    assert cluster.run([], "tcp://127.0.0.1:9", BACKENDS, timeout=1) == []
