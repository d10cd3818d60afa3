import os
from pathlib import Path

import pytest

from lenet_multi.runs.durable import put_in_place, write_bytes
from tests.runs.test_folder import entries


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content stands in the old one's place, readable as any file, and alone."""
    path = tmp_path / "file"
    path.write_text("old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert entries(tmp_path) == ["file"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file that it leads to is replaced."""
    (tmp_path / "link").symlink_to("file")
    for content in (b"old", b"new"):
        write_bytes(tmp_path / "link", content)
        assert (tmp_path / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe, or /dev/null, takes the content and stays what it is."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_bytes(path, b"new")
    assert os.read(end, 10) == b"new"
    os.close(end)
    assert path.is_fifo()


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


@pytest.mark.parametrize("older", [False, True], ids=["free", "occupied"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_draft_comes_to_its_place(tmp_path: Path, kind: str, older: bool) -> None:
    """Free or not, the place holds the draft, and nothing else remains."""
    draft, target = tmp_path / "draft", tmp_path / "target"
    for path in [draft, *([target] if older else [])]:
        if kind == "folder":
            path.mkdir()
        (path / "inside" if kind == "folder" else path).write_text(path.name)
    put_in_place(draft, target)
    assert (target / "inside" if kind == "folder" else target).read_text() == "draft"
    assert entries(tmp_path) == ["target"]


def test_a_place_that_is_refused_keeps_what_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the draft cannot be moved, the older folder is back in its place."""
    draft, target = tmp_path / "draft", tmp_path / "target"
    draft.mkdir()
    target.mkdir()
    (target / "inside").write_text("older")
    rename = Path.rename

    def refuse(path: Path, to: Path) -> Path:
        if path == draft:
            raise OSError(28, "No space left on device")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="No space left"):
        put_in_place(draft, target)
    assert (target / "inside").read_text() == "older"
    assert entries(tmp_path) == ["draft", "target"]


def test_what_a_kill_between_two_renames_left_is_no_obstacle(tmp_path: Path) -> None:
    """An older folder that was moved away and never removed is removed by the next one."""
    draft, target = tmp_path / "draft", tmp_path / "target"
    for path in (draft, target, tmp_path / "draft.replaced"):
        path.mkdir()
        (path / "inside").write_text(path.name)
    put_in_place(draft, target)
    assert (target / "inside").read_text() == "draft"
    assert entries(tmp_path) == ["target"]
