import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import io

from lenet_multi.data import apart
from lenet_multi.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 25), dtype=np.uint8)
LABELS = np.arange(6)[:, np.newaxis] % 3


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A .mat file with a training and a test set."""
    part = {"images": IMAGES, "labels": LABELS}
    io.savemat(tmp_path / "a.mat", {"dataset": {"train": part, "test": part}})
    return tmp_path / "a.mat"


def test_what_the_second_process_finds_comes_back(parts: Path) -> None:
    """Images and labels of every part are as the module's own `read` returns them."""
    found = apart.read("mat", parts)
    assert set(found.parts) == {"train", "test"}
    for images, labels in found.parts.values():
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)


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


def test_the_second_process_writes_each_side_of_each_part(parts: Path, tmp_path: Path) -> None:
    """The archive has the parts in their order, images before labels."""
    apart.main("mat", str(parts), str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays.files == ["train.x", "train.y", "test.x", "test.y"]
        np.testing.assert_array_equal(arrays["test.x"], IMAGES)
        np.testing.assert_array_equal(arrays["train.y"], LABELS)


def test_the_second_process_prints_a_refusal_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with status 2, and its stdout is the message."""
    with pytest.raises(SystemExit) as end:
        apart.main("mat", str(tmp_path / "no.mat"), str(tmp_path / "out.npz"))
    assert end.value.code == 2
    printed = capsys.readouterr().out
    assert printed.startswith("cannot read")
    assert printed.endswith("give a readable file")
