import os
from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.runs.durable import drafted, put_in_place, write_bytes
from tests.runs.test_folder import entries


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content replaces the old file whole, with usual permissions and no draft."""
    path = tmp_path / "file"
    path.write_text("old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert entries(tmp_path) == ["file"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """A link stays a link, and the file it points to is replaced."""
    (tmp_path / "link").symlink_to("file")
    for content in (b"old", b"new"):
        write_bytes(tmp_path / "link", content)
        assert (tmp_path / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe or a device such as /dev/null receives the content and is not replaced."""
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
    """Whichever call fails, the old file stays as it was, and no draft remains."""
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
    """Whether the target is free or not, it then holds the draft, and nothing else remains."""
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
    """If the draft cannot be moved, the older folder is back in its place."""
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
    """A folder that a kill left between two renames is removed by the next replacement."""
    draft, target = tmp_path / "draft", tmp_path / "target"
    for path in (draft, target, tmp_path / "draft.replaced"):
        path.mkdir()
        (path / "inside").write_text(path.name)
    put_in_place(draft, target)
    assert (target / "inside").read_text() == "draft"
    assert entries(tmp_path) == ["target"]


def free(path: Path) -> None:
    """Refuse nothing."""


def refuse(path: Path) -> None:
    """Refuse a path that exists."""
    if path.exists():
        raise UserError(f"{path} exists")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_was_there_is_replaced_whole(tmp_path: Path, kind: str) -> None:
    """The new file or folder replaces the old one, and nothing else remains."""
    target = tmp_path / "model"
    for text in ("old", "new"):
        with drafted(target, free) as draft:
            file = draft
            if kind == "folder":
                draft.mkdir()
                file = draft / text
            file.write_text(text)
    assert list(tmp_path.iterdir()) == [target]
    left = list(target.iterdir()) if kind == "folder" else [target]
    assert [file.read_text() for file in left] == ["new"]


def test_a_failure_keeps_what_was_there(tmp_path: Path) -> None:
    """If the block fails, the old file stays as it was and no draft is left."""
    target = tmp_path / "model"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), drafted(target, free) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(target, "old")]


def test_what_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    """A file that another process writes during the block is not replaced."""
    target = tmp_path / "model"
    with pytest.raises(UserError, match="exists"), drafted(target, refuse) as draft:
        draft.write_text("ours")
        target.write_text("theirs")
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(target, "theirs")]


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    """The target's folder is made if it does not exist."""
    with drafted(tmp_path / "new" / "model", refuse) as draft:
        draft.write_text("new")
    assert (tmp_path / "new" / "model").read_text() == "new"


def test_a_target_that_cannot_be_written_is_refused() -> None:
    """If the target cannot be written, the error names it before a draft is given."""
    with (
        pytest.raises(UserError, match="cannot write /proc/model"),
        drafted(Path("/proc/model"), refuse),
    ):
        pytest.fail("a draft was given")
