import dataclasses
import errno
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.errors import UserError
from lenet_multi.runs import folder
from lenet_multi.runs.durable import put_in_place, writing
from lenet_multi.runs.folder import (
    beyond,
    default_folder,
    finished,
    is_finished,
    new_run_folder,
    refuse_used,
    unfinished,
    whole_result,
)
from lenet_multi.runs.record import (
    read_run,
    write_run,
)
from tests.examples import example_run, keep


def entries(folder: Path) -> list[str]:
    """Return the names in `folder`, also hidden ones."""
    return sorted(path.name for path in folder.iterdir())


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    """If the block fails, neither the run folder nor a draft is left."""
    with pytest.raises(KeyboardInterrupt), new_run_folder(tmp_path / "run") as draft:
        (draft / "half").write_text("written")
        raise KeyboardInterrupt
    assert entries(tmp_path) == []


def test_a_failure_leaves_what_was_kept_on_the_way(tmp_path: Path) -> None:
    """If a run fails, its checkpoints stay in a folder named unfinished.

    No other run takes that folder without --overwrite.
    """
    with pytest.raises(KeyboardInterrupt), new_run_folder(tmp_path / "run") as draft:
        (draft / "checkpoints").mkdir()
        (draft / "history.csv").write_text("epoch\n1\n")
        raise KeyboardInterrupt
    assert entries(tmp_path) == ["run.unfinished"]
    assert entries(tmp_path / "run.unfinished") == ["checkpoints", "history.csv"]
    with pytest.raises(UserError) as caught:
        keep(example_run(), tmp_path / "run")
    assert str(caught.value) == (
        f"{tmp_path / 'run.unfinished'} holds an unfinished run; pass --resume "
        f"{tmp_path / 'run'} to continue it, pass --overwrite, or choose another --out"
    )
    keep(example_run(), tmp_path / "run", overwrite=True)
    assert entries(tmp_path) == ["run"]
    assert "checkpoints" not in entries(tmp_path / "run")


@pytest.mark.parametrize("older", [False, True], ids=["free", "occupied"])
def test_a_whole_run_that_a_kill_left_only_has_to_be_moved(tmp_path: Path, older: bool) -> None:
    """--resume only moves a complete run that a kill left unfinished; no other run takes it."""
    folder = tmp_path / "run"
    draft = keep(example_run(seed=2), tmp_path / "draft").rename(tmp_path / "run.unfinished")
    (draft / "resume").mkdir()
    (draft / "journal.json").touch()
    with pytest.raises(UserError, match="holds an unfinished run; pass --resume"):
        keep(example_run(), folder)
    if older:
        keep(example_run(seed=1), tmp_path / "older").rename(folder)
    with new_run_folder(folder, resume=True, overwrite=older) as again:
        record = whole_result(again)
    assert record == read_run(folder).result
    assert record.config["seed"] == 2
    assert entries(tmp_path) == ["run"]
    assert entries(folder) == ["history.csv", "model.keras", "predictions.npz", "result.json"]


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    """A draft that a kill left without checkpoints is deleted."""
    (tmp_path / "run.unfinished").mkdir()
    (tmp_path / "run.unfinished" / "model.keras").write_text("half")
    assert read_run(keep(example_run(), tmp_path / "run"))
    assert entries(tmp_path) == ["run"]


def test_a_folder_that_is_being_written_is_refused(tmp_path: Path) -> None:
    """If another process is writing a run into the folder, a second run is refused at once."""
    with new_run_folder(tmp_path / "run") as draft:
        (draft / "half").write_text("written")
        with pytest.raises(UserError, match="another process writes"):
            keep(example_run(), tmp_path / "run", overwrite=True)
        assert (draft / "half").exists()


def test_an_older_run_is_kept(tmp_path: Path) -> None:
    """A folder with a run is refused and stays as it was."""
    folder = keep(example_run(), tmp_path / "run")
    before = (folder / "result.json").read_bytes()
    with pytest.raises(UserError, match="pass --overwrite"), new_run_folder(folder):
        pytest.fail("the folder was given away")
    assert (folder / "result.json").read_bytes() == before


def test_overwrite_replaces_the_run_whole(tmp_path: Path) -> None:
    """With overwrite the new run replaces the old one, and nothing else remains."""
    folder = keep(example_run(seed=1), tmp_path / "run")
    keep(example_run(seed=2), folder, overwrite=True)
    assert read_run(folder).result.config["seed"] == 2
    assert entries(tmp_path) == ["run"]


def test_a_signal_does_not_come_between_two_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C waits while a run replaces an older one, so the folder holds a complete run."""
    keep(example_run(), tmp_path / "run")

    def strike(draft: Path, target: Path) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        put_in_place(draft, target)

    monkeypatch.setattr(folder, "put_in_place", strike)
    newer = example_run(seed=1)
    with pytest.raises(KeyboardInterrupt):
        keep(newer, tmp_path / "run", overwrite=True)
    assert entries(tmp_path) == ["run"]
    assert read_run(tmp_path / "run").result.config == newer.result.config


def test_overwrite_that_fails_keeps_the_older_run(tmp_path: Path) -> None:
    """With overwrite the older run is replaced only by a complete run."""
    folder = keep(example_run(seed=1), tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), new_run_folder(folder, overwrite=True):
        raise KeyboardInterrupt
    assert read_run(folder).result.config["seed"] == 1
    assert entries(tmp_path) == ["run"]


def test_a_folder_of_other_files_is_never_overwritten(tmp_path: Path) -> None:
    """A folder with other files than a run's is refused, even with overwrite."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no run"), new_run_folder(tmp_path, overwrite=True):
        pytest.fail("the folder was given away")
    assert entries(tmp_path) == ["thesis.tex"]


def test_a_run_beside_other_files_is_never_overwritten(tmp_path: Path) -> None:
    """A run folder with an extra file is refused, even with overwrite."""
    folder = keep(example_run(), tmp_path / "run")
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no run"), new_run_folder(folder, overwrite=True):
        pytest.fail("the folder was given away")
    assert (folder / "thesis.tex").exists()


def test_a_run_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    """If another run appears in the folder before the end, the later run is refused."""
    with (
        pytest.raises(UserError, match="holds a run"),
        new_run_folder(tmp_path / "run"),
    ):
        keep_elsewhere = keep(example_run(seed=1), tmp_path / "other")
        keep_elsewhere.rename(tmp_path / "run")
    assert read_run(tmp_path / "run").result.config["seed"] == 1
    assert entries(tmp_path) == ["run"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """An empty folder is accepted as the run folder."""
    (tmp_path / "run").mkdir()
    assert read_run(keep(example_run(), tmp_path / "run"))


def test_a_place_that_cannot_hold_a_folder_is_refused(tmp_path: Path) -> None:
    """A file in the way is named before any training."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="choose another --out"), new_run_folder(place):
            pytest.fail("the folder was given away")


@pytest.mark.parametrize("lacking", [0, 1], ids=["just enough", "a byte too few"])
def test_a_full_disk_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: int
) -> None:
    """If the disk lacks the space for a run, the error gives the need before training."""
    usage = type("Usage", (), {"free": folder.NEEDED_BYTES - lacking})()
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    if not lacking:
        assert read_run(keep(example_run(), tmp_path / "run"))
        return
    with pytest.raises(UserError) as caught, new_run_folder(tmp_path / "run"):
        pytest.fail("the folder was given away")
    assert str(caught.value) == (
        f"the disk of {tmp_path / 'run'} has less than 16 MiB free; free some, or choose another "
        "--out"
    )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("pathlib.Path.mkdir", "run"),
        ("os.open", "run.unfinished"),
        ("pathlib.Path.unlink", "run.unfinished"),
        ("os.fsync", "run"),
    ],
    ids=["make", "lock", "empty", "put in place"],
)
def test_what_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str
) -> None:
    """Whichever step the system refuses, one line gives the folder, the reason and the remedy."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "run.unfinished").mkdir()
    (tmp_path / "run.unfinished" / "half").touch()
    monkeypatch.setattr(call, refuse)  # root may write anywhere, and tests may run as root
    with pytest.raises(UserError) as caught, new_run_folder(tmp_path / "run"):
        assert call == "os.fsync"
    assert str(caught.value) == (
        f"cannot write {tmp_path / name}: Permission denied; choose another --out"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("in the writer\nat line 3"), "in the writer"),
        (RuntimeError("a loop\nof links\nin all"), "a loop"),
    ],
    ids=["of the system", "of a library", "of another kind"],
)
def test_a_refusal_is_one_line_that_names_the_flag(error: Exception, reason: str) -> None:
    """The error is one line with the system's reason, or the message's first line, and the flag."""
    with pytest.raises(UserError) as caught, writing(Path("seen.png"), flag="--show"):
        raise error
    assert str(caught.value) == f"cannot write seen.png: {reason}; choose another --show"
    with pytest.raises(UserError) as caught, writing(Path("run")):
        raise error
    assert str(caught.value) == f"cannot write run: {reason}; choose another --out"


def test_another_kind_of_error_is_none_of_the_disks() -> None:
    """A backend's `RuntimeError` is not reported as a disk's."""
    with pytest.raises(RuntimeError, match="of JAX"), writing(Path("run"), refusals=(OSError,)):
        raise RuntimeError("of JAX")


def test_a_disk_that_fills_while_writing_leaves_nothing(tmp_path: Path) -> None:
    """If the disk fills up while a run is written, the error is one line and nothing remains."""

    def fill(path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = example_run()
    with pytest.raises(UserError) as caught, new_run_folder(tmp_path / "run") as draft:
        write_run(dataclasses.replace(run, folder=draft), fill)
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'run.unfinished'}: No space left on device; choose another --out"
    )
    assert entries(tmp_path) == []


def test_a_run_without_a_folder_gets_one_named_after_the_time() -> None:
    """A run without --out gets a folder in runs/ named after the time, so names sort by age."""
    before = datetime.now().replace(microsecond=0)
    folder = default_folder("standard-jax")
    time = datetime.strptime(folder.name, "standard-jax-%Y%m%d-%H%M%S")
    assert folder.parent == Path("runs")
    assert before <= time <= datetime.now()


def test_where_a_run_comes_to_be(tmp_path: Path) -> None:
    """From a draft's name, or a run's, comes the run's folder."""
    assert unfinished(tmp_path / "run") == tmp_path / "run.unfinished"
    for name in ("run.unfinished", "run"):
        assert finished(tmp_path / name) == tmp_path / "run"


def test_a_run_goes_on_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """A longer run gets a folder beside that of the finished run."""
    folder = keep(example_run(), tmp_path / "a-run")
    draft = keep(example_run(), tmp_path / "b-run.unfinished")
    assert is_finished(folder)
    assert not is_finished(draft)  # a kill at the end leaves that
    assert not is_finished(tmp_path / "none")
    assert beyond(folder, 9) == tmp_path / "a-run-9-epochs"
    assert beyond(Path(), 9) == Path.cwd().with_name(f"{Path.cwd().name}-9-epochs")


def test_only_an_empty_folder_is_unused(tmp_path: Path) -> None:
    """What does not exist is unused too; a file is not, and neither is a folder with one."""
    refuse_used(tmp_path)
    refuse_used(tmp_path / "missing")
    (tmp_path / "file").touch()
    for used in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError) as refused:
            refuse_used(used)
        assert str(refused.value) == f"{used} is not an empty folder; choose another --out"


def test_a_longer_run_lies_beside_the_shorter_one() -> None:
    """A path stays relative, unless it has no name of its own."""
    assert beyond(Path("runs/a"), 9) == Path("runs/a-9-epochs")
    parent = Path.cwd().parent
    assert beyond(Path(".."), 9) == parent.with_name(f"{parent.name}-9-epochs")


def test_folders_on_the_way_to_a_run_are_made(tmp_path: Path) -> None:
    """However many there are."""
    with new_run_folder(tmp_path / "new" / "deep" / "run") as draft:
        (draft / "file").touch()
    assert entries(tmp_path / "new" / "deep" / "run") == ["file"]
