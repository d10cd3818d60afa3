import io
import os
import signal
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from lenet_multi.data import apart
from lenet_multi.data.found import Found
from lenet_multi.errors import UserError
from tests.conftest import PROJECT

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 25), dtype=np.uint8)
LABELS = np.arange(6) % 3
COLUMN = LABELS[:, np.newaxis]


@pytest.fixture(autouse=True)
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second process run no mutant: mutmut's settings are not found there."""
    monkeypatch.delenv("MUTANT_UNDER_TEST", raising=False)


def write(path: Path) -> Path:
    """Write the images and labels as HDF5."""
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = IMAGES, LABELS
    return path


def test_modules_in_the_working_folder_hide_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's random.py or numpy.py is neither imported nor run."""
    monkeypatch.chdir(tmp_path)
    for name in ("random", "numpy", "csv", "lenet_multi"):
        Path(f"{name}.py").write_text("raise SystemExit(3)")
    images, labels = apart.read("h5", write(Path("a.h5"))).parts["whole"]
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_a_name_that_is_no_text_is_in_the_message(tmp_path: Path) -> None:
    """The bytes of a file's name come back as they are."""
    path = tmp_path / os.fsdecode(b"\xff\n.h5")
    path.write_bytes(b"x")
    with pytest.raises(UserError, match="is no readable HDF5 file") as found:
        apart.read("h5", path)
    assert str(path) in str(found.value)


def zeros(mebibytes: int) -> bytes:
    """Return a zlib stream of many zeros, without its end."""
    pump = zlib.compressobj(9)
    first, next_ = (pump.compress(bytes(2**20)) + pump.flush(zlib.Z_FULL_FLUSH) for _ in "ab")
    return first + next_ * (mebibytes - 1)


def _of_huge_chunk(path: Path) -> None:
    """Write a few numbers in a chunk of 4 GiB."""
    with h5py.File(path, "w") as file:
        shape = (2**32 - 1, 1)
        x = file.create_dataset(
            "x", (6, 25), "u1", chunks=shape, maxshape=(None, None), compression="gzip"
        )
        x.id.write_direct_chunk((0, 0), zeros(4 * 1024))
        file["y"] = LABELS


def _of_one_text(path: Path) -> None:
    """Write 9,000 labels that all point to one text of 1 MB."""
    buffer, count = io.BytesIO(), 9000
    with h5py.File(buffer, "w") as file:
        file["x"] = np.zeros((count, 3, 3), np.uint8)
        labels = ["x" * 10**6, *["a"] * (count - 1)]
        file.create_dataset("y", data=labels, dtype=h5py.string_dtype())
        place = file["y"].id.get_offset()
    content = buffer.getvalue()
    first = content[place : place + 16]
    path.write_bytes(content[:place] + first * count + content[place + 16 * count :])


def _of_zeros(path: Path) -> None:
    """Write 90 MiB of zeros, packed."""
    content: Any = {"X": np.zeros((90, 2**20), np.uint8), "y": LABELS}
    savemat(path, content, do_compression=True)


def _of_one_picture(path: Path) -> None:
    """Write a table that keeps a text of 1 MB once, for 9,000 rows."""
    import pyarrow
    from pyarrow import parquet

    repeated = pyarrow.DictionaryArray.from_arrays([0] * 9000, ["x" * 10**6])
    parquet.write_table(pyarrow.table({"label": repeated, "p": [0] * 9000}), path)


@pytest.mark.parametrize(
    ("kind", "bomb"),
    [
        ("h5", _of_huge_chunk),
        ("h5", _of_one_text),
        ("mat", _of_zeros),
        ("parquet", _of_one_picture),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_no_file_takes_far_more_memory_than_it_has_bytes(
    tmp_path: Path, kind: str, bomb: Callable[[Path], None]
) -> None:
    """A file that unpacks to far more is refused in one line, and this process takes none of it."""
    path = tmp_path / f"a.{kind}"
    bomb(path)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"a\.\w+ ") as found:
            apart.read(kind, path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "\n" not in str(found.value)
    assert peak < 4 * 2**20  # bytes


def test_objects_do_not_cross(tmp_path: Path) -> None:
    """Labels that are missing are objects: the message names the file, and nothing is pickled."""
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"label": [1, None], "p": [0, 0]}), path)
    with pytest.raises(UserError, match=r"a\.parquet has images or labels that are neither"):
        apart.read("parquet", path)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A .mat file with a training and a test set."""
    part = {"images": IMAGES, "labels": COLUMN}
    savemat(tmp_path / "a.mat", {"dataset": {"train": part, "test": part}})
    return tmp_path / "a.mat"


def test_what_the_second_process_finds_comes_back(parts: Path) -> None:
    """Images and labels of every part are as the module's own `read` returns them."""
    found = apart.read("mat", parts)
    assert set(found.parts) == {"train", "test"}
    for images, labels in found.parts.values():
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, COLUMN)


def test_a_refusal_is_that_of_the_reader(tmp_path: Path) -> None:
    """The error of the second process is the whole error of this one."""
    with pytest.raises(UserError) as refused:
        apart.read("mat", tmp_path / "no.mat")
    missing = f"cannot read {tmp_path / 'no.mat'}: No such file or directory; give a readable file"
    assert str(refused.value) == missing


def test_a_crash_of_the_library_is_a_message(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some damaged structures crash SciPy 1.17, and only the second process ends."""
    killed = f"{sys.executable} -c 'import os; print(1); os.abort()' #"
    (tmp_path / "python").write_text(f"#!/bin/sh\nexec {killed}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(UserError) as refused:
        apart.read("mat", parts)
    ended = "is damaged: its reader ended with status -6; save it again, or as .npz"
    assert str(refused.value) == f"{parts} {ended}"


def test_the_second_process_is_started_with_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the module, the path, and a file to write to; it reads nothing from the user."""

    def run(command: list[str], **options: Any) -> Any:
        *given, arrays = command
        start = [sys.executable, "-P", "-c", apart.START, str(PROJECT)]
        assert given == [*start, "mat", "a folder/a.mat"]
        assert options == {
            "stdin": subprocess.DEVNULL,
            "capture_output": True,
            "env": {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        }
        assert Path(arrays).parent.name.startswith("lenet-multi-")
        parts = {"train": (IMAGES, LABELS), "test": (IMAGES[:2], LABELS[:2])}
        apart.write_found(Path(arrays), Found(parts, class_names=("cat", "dog")))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    found = apart.read("mat", Path("a folder/a.mat"))
    assert list(found.parts) == ["train", "test"]
    np.testing.assert_array_equal(found.parts["train"][0], IMAGES)
    np.testing.assert_array_equal(found.parts["test"][1], LABELS[:2])
    assert found.class_names == ("cat", "dog")


class System:
    """A system that allows a process so much memory."""

    RLIMIT_DATA, RLIM_INFINITY = 2, -1

    def __init__(self, hard: int) -> None:
        self.hard = hard
        self.limits: list[tuple[int, tuple[int, int]]] = []

    def getrlimit(self, what: int) -> tuple[int, int]:
        """Return the limit of the memory, and no other one."""
        return {2: (-1, self.hard)}[what]

    def setrlimit(self, what: int, limits: tuple[int, int]) -> None:
        """Note the limit."""
        self.limits.append((what, limits))


def module(monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Found]) -> ModuleType:
    """Let `read` be that of a module `fake` of the folder."""
    fake = ModuleType("fake")
    fake.__dict__["read"] = read
    monkeypatch.setitem(sys.modules, "lenet_multi.data.fake", fake)
    return fake


MOST = 2**29 + 3 * 2**24 + 4 * 100 * 2**20  # bytes, for a file of 1 MiB and three threads


@pytest.mark.parametrize(
    ("processors", "hard", "most"),
    [
        (3, -1, MOST),
        (3, MOST - 1, MOST - 1),
        (3, MOST + 1, MOST),
        (None, -1, MOST - 2 * 2**24),
    ],
    ids=["no limit", "a stricter one", "a wider one", "unknown processors"],
)
def test_memory_is_for_libraries_threads_and_copies(
    processors: int | None, hard: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is read within that; what is no file is left to its reader."""
    system, found = System(hard), Found({})
    monkeypatch.setattr(apart, "resource", system)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    path = tmp_path / "a.mat"
    fake = module(monkeypatch, {path: found}.__getitem__)
    with pytest.raises(KeyError):
        apart._within_limits(fake, tmp_path)
    assert system.limits == []
    path.write_bytes(bytes(2**20))
    assert apart._within_limits(fake, path) is found
    assert system.limits == [(2, (most, hard))]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The signals that are set; the memory and the signals of this process stay as they are."""
    monkeypatch.setattr(apart, "resource", None)
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(signal, "signal", lambda *setting: given.append(setting))
    return given


def refusal(path: str, end: pytest.ExceptionInfo[SystemExit], printed: str) -> str:
    """Return the words after the path of what the second process printed, which ended with 2."""
    assert end.value.code == 2
    assert printed.startswith(f"{path} ")
    return printed.removeprefix(f"{path} ")


def test_a_lack_of_memory_is_a_message(
    signals: list[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The first process alone reports Ctrl-C, and what a library prints is no message."""

    def read(path: Path) -> Found:
        print("from the library")
        raise MemoryError

    module(monkeypatch, read)
    with pytest.raises(SystemExit) as end:
        apart.main("fake", "a.h5", "out.npz")
    printed = capfd.readouterr()
    assert refusal("a.h5", end, printed.out) == (
        "takes far more memory than it has bytes: it is damaged or a decompression bomb; save it "
        "again, or give its content unpacked"
    )
    assert printed.err == "from the library\n"
    assert signals == [(signal.SIGINT, signal.SIG_DFL)]


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("side", [0, 1], ids=["images", "labels"])
def test_objects_are_a_message(
    side: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """On either side of a pair, and in any part; nothing is ever pickled."""
    pair: list[Any] = [IMAGES, LABELS]
    pair[side] = pair[side].astype(object)
    found = Found({"train": (IMAGES, LABELS), "test": (pair[0], pair[1])})
    module(monkeypatch, lambda path: found)
    with pytest.raises(SystemExit) as end:
        apart.main("fake", "a.h5", "out.npz")
    assert refusal("a.h5", end, capfd.readouterr().out) == (
        "has images or labels that are neither numbers nor texts; save them as such"
    )
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        apart.write_found(tmp_path / "out.npz", found)


@pytest.mark.usefixtures("signals")
def test_the_second_process_writes_each_side_of_each_part(parts: Path, tmp_path: Path) -> None:
    """The archive has the parts in their order, images before labels."""
    apart.main("mat", str(parts), str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays.files == ["train.x", "train.y", "test.x", "test.y", "class_names"]
        np.testing.assert_array_equal(arrays["test.x"], IMAGES)
        np.testing.assert_array_equal(arrays["train.y"], COLUMN)


@pytest.mark.usefixtures("signals")
def test_the_second_process_prints_a_refusal_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It ends with status 2, and its stdout is the message."""
    with pytest.raises(SystemExit) as end:
        apart.main("mat", str(tmp_path / "no.mat"), str(tmp_path / "out.npz"))
    assert end.value.code == 2
    printed = capfd.readouterr().out
    assert printed.startswith("cannot read")
    assert printed.endswith("give a readable file")
