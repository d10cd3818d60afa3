import os
from pathlib import Path

import pytest

from lenet_multi.durable import put_in_place, write_bytes
from tests.test_runs import entries


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content stands in the old one's place, readable as any file, and alone."""
    path = tmp_path / "file"
    path.write_text("old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert entries(tmp_path) == ["file"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whichever call fails, the file is as it was, and no draft remains."""
    path = tmp_path / "file"
    path.write_text("old")

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["file"]


def test_a_draft_that_cannot_be_placed_leaves_the_old_one(tmp_path: Path) -> None:
    """What stood there before stands there again."""
    target = tmp_path / "run"
    target.mkdir()
    (target / "model").write_text("old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "draft", target)
    assert (target / "model").read_text() == "old"
    assert entries(tmp_path) == ["run"]
