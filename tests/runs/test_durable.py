import json
import os
import sys
from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.runs.durable import (
    check_record,
    drafted,
    put_in_place,
    replacing,
    sync,
    write_bytes,
    write_json,
    write_record,
    writing,
)
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
    with drafted(tmp_path / "new" / "deep" / "model", refuse) as draft:
        draft.write_text("new")
    assert (tmp_path / "new" / "deep" / "model").read_text() == "new"


def test_a_target_that_cannot_be_written_is_refused() -> None:
    """If the target cannot be written, the error names it before a draft is given."""
    with (
        pytest.raises(UserError, match="cannot write /proc/model"),
        drafted(Path("/proc/model"), refuse),
    ):
        pytest.fail("a draft was given")


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files and folders in the order in which they are flushed to the disk."""
    names: list[str] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        names.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    return names


def test_a_file_is_on_the_disk_before_it_is_in_its_place(
    tmp_path: Path, flushed: list[str]
) -> None:
    """The draft lies beside the file, hidden; it is flushed, and then the folder that names it."""
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
        (draft,) = entries(tmp_path)
    assert draft.startswith(".file-")
    assert len(draft) == len(".file-") + 8
    assert flushed == [draft, tmp_path.name]


def test_all_of_a_folder_is_on_the_disk_before_it_is_in_its_place(
    tmp_path: Path, flushed: list[str]
) -> None:
    """What is in it first, then the folder, and last the one that names it."""
    (tmp_path / "draft" / "in").mkdir(parents=True)
    (tmp_path / "draft" / "in" / "file").touch()
    put_in_place(tmp_path / "draft", tmp_path / "target")
    assert flushed == ["in", "file", "draft", tmp_path.name]


def test_windows_flushes_no_folder(
    tmp_path: Path, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There nothing is opened to be flushed; elsewhere the handle is closed again."""
    before = len(os.listdir("/proc/self/fd"))
    sync(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
    monkeypatch.setattr(sys, "platform", "win32")
    sync(tmp_path / "missing")
    assert flushed == [tmp_path.name]


def test_json_is_for_people_and_ends_with_its_line(tmp_path: Path) -> None:
    """It is indented by two, unless asked otherwise."""
    write_json(tmp_path / "a", {"b": [1]})
    assert (tmp_path / "a").read_text() == '{\n  "b": [\n    1\n  ]\n}\n'
    write_json(tmp_path / "a", {"b": [1]}, indent=None)
    assert (tmp_path / "a").read_text() == '{"b": [1]}\n'


def test_a_record_is_signed(tmp_path: Path) -> None:
    """The last field is the SHA-256 of the others; a changed one is refused by name."""
    write_record(tmp_path / "a", {"b": 1, "c": "é"})
    content = json.loads((tmp_path / "a").read_text())
    assert list(content) == ["b", "c", "sha256"]
    assert content["sha256"].startswith("61abc9c2")
    assert check_record(tmp_path / "a", content) == {"b": 1, "c": "é"}
    with pytest.raises(UserError) as refused:
        check_record(Path("a"), content | {"b": 2})
    assert str(refused.value) == (
        "a is damaged: its SHA-256 is not that of its content; train again"
    )


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd words"), "odd words"),
        (RuntimeError("Symlink loop from 'a'"), "Symlink loop from 'a'"),
    ],
)
def test_what_cannot_be_written_is_named_with_its_flag(error: Exception, why: str) -> None:
    """The system's words are the reason; the remedy is the flag that chose the place."""
    with pytest.raises(UserError) as refused, writing(Path("a")):
        raise error
    assert str(refused.value) == f"cannot write a: {why}; choose another --out"
    with (
        pytest.raises(UserError, match=r"; choose another --cache$"),
        writing(Path("a"), flag="--cache"),
    ):
        raise error


def test_other_errors_are_not_of_writing() -> None:
    """An error that is no refusal passes as it is."""
    with pytest.raises(ValueError, match="a bug"), writing(Path("a")):
        raise ValueError("a bug")
    with pytest.raises(OSError, match="full"), writing(Path("a"), refusals=(ValueError,)):
        raise OSError("full")


def test_a_draft_lies_hidden_beside_its_target(tmp_path: Path) -> None:
    """It has the target's name, in a folder of its own, and is moved on the same file system."""
    with drafted(tmp_path / "model.keras", free) as draft:
        assert draft.name == "model.keras"
        assert draft.parent.parent == tmp_path
        assert draft.parent.name.startswith(".model.keras-")
        draft.touch()


def test_a_target_is_asked_about_before_and_after(tmp_path: Path) -> None:
    """It is asked about with its whole path, so that a link is seen for what it is."""
    asked: list[Path] = []
    (tmp_path / "link").symlink_to("model")
    with drafted(tmp_path / "link", asked.append) as draft:
        assert asked == [tmp_path / "model"]
        draft.touch()
    assert asked == [tmp_path / "model"] * 2


def test_a_target_that_is_refused_last_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full when the draft is moved gives one line too."""

    def refuse_all(draft: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lenet_multi.runs.durable.put_in_place", refuse_all)
    with (
        pytest.raises(UserError, match=f"cannot write {tmp_path}/model: No space left on device; "),
        drafted(tmp_path / "model", free),
    ):
        pass
