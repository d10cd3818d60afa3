from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.runs.drafts import drafted


def free(path: Path) -> None:
    """Refuse nothing."""


def refuse(path: Path) -> None:
    """Refuse what exists."""
    if path.exists():
        raise UserError(f"{path} exists")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_was_there_is_replaced_whole(tmp_path: Path, kind: str) -> None:
    """The new file or folder takes the old one's place, and nothing else remains."""
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
    """When the block fails, the old file stays as it was and no draft is left."""
    target = tmp_path / "model"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), drafted(target, free) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(target, "old")]


def test_what_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    """A file that another process writes while the block runs is not replaced unasked."""
    target = tmp_path / "model"
    with pytest.raises(UserError, match="exists"), drafted(target, refuse) as draft:
        draft.write_text("ours")
        target.write_text("theirs")
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(target, "theirs")]


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    """The target may lie in a folder that does not exist yet."""
    with drafted(tmp_path / "new" / "model", refuse) as draft:
        draft.write_text("new")
    assert (tmp_path / "new" / "model").read_text() == "new"


def test_a_target_that_cannot_be_written_is_refused() -> None:
    """The error names it."""
    with (
        pytest.raises(UserError, match="cannot write /proc/model"),
        drafted(Path("/proc/model"), refuse),
    ):
        pytest.fail("a draft was given")
