import dataclasses
import errno
import json
import math
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lenet_multi.errors import UserError
from lenet_multi.runs import folder
from lenet_multi.runs.durable import check_record, put_in_place, write_record
from lenet_multi.runs.folder import (
    SCHEMA_VERSION,
    Run,
    cannot_write,
    default_folder,
    file_sha256,
    finished,
    new_run_folder,
    read_result,
    read_run,
    unfinished,
    whole_result,
    write_run,
    writing,
)
from tests.examples import example_run, example_values_run, keep


def entries(folder: Path) -> list[str]:
    """Return the names in `folder`, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Result, logits and labels survive the disk unchanged; the files' hashes are added."""
    run = example_run()
    read = read_run(keep(run, tmp_path / "run"))
    assert read.folder == tmp_path / "run"
    assert dataclasses.replace(read.result, files_sha256={}) == run.result
    assert set(read.result.files_sha256) == {"history.csv", "model.keras", "predictions.npz"}
    np.testing.assert_array_equal(read.outputs, run.outputs)
    np.testing.assert_array_equal(read.targets, run.targets)


def test_a_regression_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """What no classifier gave is kept as outputs and targets, of any shape and type."""
    run = example_values_run()
    read = read_run(keep(run, tmp_path / "run"))
    assert dataclasses.replace(read.result, files_sha256={}) == run.result
    np.testing.assert_array_equal(read.outputs, run.outputs)
    np.testing.assert_array_equal(read.targets, run.targets)
    with np.load(tmp_path / "run" / "predictions.npz") as file:
        assert file.files == ["outputs", "targets"]


@pytest.mark.parametrize(
    ("run", "headline"),
    [
        (example_run(), ("accuracy", 0.99)),
        (example_values_run(error=2), ("mean_absolute_error", 2)),
        (example_values_run(test_loss=3.0, test_metrics={}), ("loss", 3)),
    ],
    ids=["classifier", "regression", "no metric"],
)
def test_the_headline_is_the_first_metric(run: Run, headline: tuple[str, float]) -> None:
    """It is a classifier's accuracy, and the loss where there is no metric."""
    assert run.result.headline == headline
    assert run.result.classifies == (headline[0] == "accuracy")


def test_history_has_a_row_for_each_epoch(tmp_path: Path) -> None:
    """history.csv holds the epochs of result.json under the same names."""
    run = example_run()
    header, *rows = (keep(run, tmp_path / "run") / "history.csv").read_text().splitlines()
    assert header.split(",") == list(run.result.epochs[0])
    assert len(rows) == len(run.result.epochs)


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the block fails, neither the run folder nor a draft is left."""
    with pytest.raises(KeyboardInterrupt), new_run_folder(tmp_path / "run") as draft:
        (draft / "half").write_text("written")
        raise KeyboardInterrupt
    assert entries(tmp_path) == []


def test_a_failure_leaves_what_was_kept_on_the_way(tmp_path: Path) -> None:
    """Checkpoints stay in a folder called unfinished, which no other run takes unasked."""
    with pytest.raises(KeyboardInterrupt), new_run_folder(tmp_path / "run") as draft:
        (draft / "checkpoints").mkdir()
        (draft / "history.csv").write_text("epoch\n1\n")
        raise KeyboardInterrupt
    assert entries(tmp_path) == ["run.unfinished"]
    assert entries(tmp_path / "run.unfinished") == ["checkpoints", "history.csv"]
    with pytest.raises(UserError) as caught:
        keep(example_run(), tmp_path / "run")
    assert str(caught.value) == (
        f"{tmp_path / 'run.unfinished'} holds an unfinished run; go on with --resume "
        f"{tmp_path / 'run'}, pass --overwrite, or choose another --out"
    )
    keep(example_run(), tmp_path / "run", overwrite=True)
    assert entries(tmp_path) == ["run"]
    assert "checkpoints" not in entries(tmp_path / "run")


@pytest.mark.parametrize("older", [False, True], ids=["free", "occupied"])
def test_a_whole_run_that_a_kill_left_only_has_to_be_moved(tmp_path: Path, older: bool) -> None:
    """Killed after its last file was written, it is not taken unasked, and --resume finds it."""
    folder = tmp_path / "run"
    draft = keep(example_run(seed=2), tmp_path / "draft").rename(tmp_path / "run.unfinished")
    (draft / "resume").mkdir()
    (draft / "journal.json").touch()
    with pytest.raises(UserError, match="holds an unfinished run; go on with --resume"):
        keep(example_run(), folder)
    if older:
        keep(example_run(seed=1), tmp_path / "older").rename(folder)
    with new_run_folder(folder, resume=True, overwrite=older) as again:
        record = whole_result(again)
    assert record == read_run(folder).result
    assert record.config["seed"] == 2
    assert entries(tmp_path) == ["run"]
    assert entries(folder) == ["history.csv", "model.keras", "predictions.npz", "result.json"]


def test_a_run_is_whole_only_with_all_of_its_files(tmp_path: Path) -> None:
    """A record whose files a power cut took is none; training goes on from the checkpoint."""
    folder = keep(example_run(), tmp_path / "run")
    assert whole_result(folder)
    (folder / "model.keras").write_text("half")
    assert not whole_result(folder)


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    """A draft without anything kept on the way, as a kill leaves it, is cleared away."""
    (tmp_path / "run.unfinished").mkdir()
    (tmp_path / "run.unfinished" / "model.keras").write_text("half")
    assert read_run(keep(example_run(), tmp_path / "run"))
    assert entries(tmp_path) == ["run"]


def test_a_folder_that_is_being_written_is_refused(tmp_path: Path) -> None:
    """Of two runs for one folder at a time the second is refused at once, and harms nothing."""
    with new_run_folder(tmp_path / "run") as draft:
        (draft / "half").write_text("written")
        with pytest.raises(UserError, match="is being written by another process"):
            keep(example_run(), tmp_path / "run", overwrite=True)
        assert (draft / "half").exists()


def test_what_was_kept_on_the_way_is_hashed(tmp_path: Path) -> None:
    """The record covers every file but itself and what it took to go on, which is removed."""
    run = example_run()
    with new_run_folder(tmp_path / "run") as draft:
        for name in ("checkpoints/1.keras", "tensorboard/train/log", "resume/state"):
            (draft / name).parent.mkdir(parents=True)
            (draft / name).touch()
        (draft / "journal.json").touch()
        written = write_run(
            draft,
            run.result,
            outputs=run.outputs,
            targets=run.targets,
            save_model=lambda path: Path(path).touch(),
        )
    assert list(written.files_sha256) == [
        "checkpoints/1.keras",
        "history.csv",
        "model.keras",
        "predictions.npz",
        "tensorboard/train/log",
    ]
    assert entries(tmp_path / "run") == sorted(
        [
            "checkpoints",
            "history.csv",
            "model.keras",
            "predictions.npz",
            "result.json",
            "tensorboard",
        ]
    )
    (tmp_path / "run" / "checkpoints" / "1.keras").unlink()
    with pytest.raises(UserError) as caught:
        read_run(tmp_path / "run")
    assert str(caught.value) == (
        f"{tmp_path / 'run'} lacks checkpoints/1.keras, which result.json records; train again"
    )


def test_what_was_kept_on_the_way_belongs_to_the_run(tmp_path: Path) -> None:
    """A run with checkpoints and a log reads, and is replaced whole."""
    folder = keep(example_run(seed=1), tmp_path / "run")
    (folder / "tensorboard").mkdir()
    (folder / "checkpoints").mkdir()
    assert read_run(folder).result.config["seed"] == 1
    keep(example_run(seed=2), folder, overwrite=True)
    assert entries(folder) == ["history.csv", "model.keras", "predictions.npz", "result.json"]


def test_an_older_run_is_kept(tmp_path: Path) -> None:
    """A folder with a run in it is refused, and stays as it was."""
    folder = keep(example_run(), tmp_path / "run")
    before = (folder / "result.json").read_bytes()
    with pytest.raises(UserError, match="pass --overwrite"), new_run_folder(folder):
        pytest.fail("the folder was given away")
    assert (folder / "result.json").read_bytes() == before


def test_overwrite_replaces_the_run_whole(tmp_path: Path) -> None:
    """With overwrite the new run takes the old one's place, and nothing else remains."""
    folder = keep(example_run(seed=1), tmp_path / "run")
    keep(example_run(seed=2), folder, overwrite=True)
    assert read_run(folder).result.config["seed"] == 2
    assert entries(tmp_path) == ["run"]


def test_a_signal_does_not_come_between_two_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a run is put in the place of an older one, Ctrl-C waits; what is left is whole."""
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
    """The older run is replaced only by a whole one."""
    folder = keep(example_run(seed=1), tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), new_run_folder(folder, overwrite=True):
        raise KeyboardInterrupt
    assert read_run(folder).result.config["seed"] == 1
    assert entries(tmp_path) == ["run"]


def test_a_folder_of_other_files_is_never_overwritten(tmp_path: Path) -> None:
    """What is no run is refused, with overwrite too."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no run"), new_run_folder(tmp_path, overwrite=True):
        pytest.fail("the folder was given away")
    assert entries(tmp_path) == ["thesis.tex"]


def test_a_run_beside_other_files_is_never_overwritten(tmp_path: Path) -> None:
    """A run folder into which something else was put is refused, with overwrite too."""
    folder = keep(example_run(), tmp_path / "run")
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no run"), new_run_folder(folder, overwrite=True):
        pytest.fail("the folder was given away")
    assert (folder / "thesis.tex").exists()


def test_a_run_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    """Of two runs for one folder the second to finish is refused."""
    with (
        pytest.raises(UserError, match="holds a run"),
        new_run_folder(tmp_path / "run"),
    ):
        keep_elsewhere = keep(example_run(seed=1), tmp_path / "other")
        keep_elsewhere.rename(tmp_path / "run")
    assert read_run(tmp_path / "run").result.config["seed"] == 1
    assert entries(tmp_path) == ["run"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """A folder made beforehand serves as the run folder."""
    (tmp_path / "run").mkdir()
    assert read_run(keep(example_run(), tmp_path / "run"))


def test_a_place_that_cannot_hold_a_folder_is_refused(tmp_path: Path) -> None:
    """A file in the way is named, before any training."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="choose another --out"), new_run_folder(place):
            pytest.fail("the folder was given away")


@pytest.mark.parametrize("lacking", [0, 1], ids=["just enough", "a byte too few"])
def test_a_full_disk_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: int
) -> None:
    """Where a run would not fit, the error comes before the work and says how much it takes."""
    usage = type("Usage", (), {"free": folder.NEEDED_BYTES - lacking})()
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    if not lacking:
        assert read_run(keep(example_run(), tmp_path / "run"))
        return
    with pytest.raises(UserError) as caught, new_run_folder(tmp_path / "run"):
        pytest.fail("the folder was given away")
    assert str(caught.value) == (
        f"the disk that holds {tmp_path / 'run'} is full: 16 MiB are needed; free some, or choose "
        "another --out"
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
    """Whichever step the system refuses, one line says which folder, why, and what to do."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "run.unfinished").mkdir()
    (tmp_path / "run.unfinished" / "half").touch()
    monkeypatch.setattr(call, refuse)  # tests may run as root, who may write anywhere
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
    """The system's word for it, or a message's first line, and the flag that chose the place."""
    with pytest.raises(UserError) as caught, writing(Path("seen.png"), flag="--show"):
        raise error
    assert str(caught.value) == f"cannot write seen.png: {reason}; choose another --show"
    assert str(cannot_write(Path("run"), error)) == (
        f"cannot write run: {reason}; choose another --out"
    )


def test_a_disk_that_fills_while_writing_leaves_nothing(tmp_path: Path) -> None:
    """An error of the disk in any file is one line, and no half-written run remains."""

    def fill(path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = example_run()
    with pytest.raises(UserError) as caught, new_run_folder(tmp_path / "run") as draft:
        write_run(draft, run.result, outputs=run.outputs, targets=run.targets, save_model=fill)
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'run.unfinished'}: No space left on device; choose another --out"
    )
    assert entries(tmp_path) == []


@pytest.mark.parametrize("name", ["result.json", "history.csv", "model.keras", "predictions.npz"])
def test_a_folder_that_lacks_a_file_is_no_run(tmp_path: Path, name: str) -> None:
    """The error names the file that is missing."""
    folder = keep(example_run(), tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"no run folder: it has no readable {name}"):
        read_run(folder)


def test_a_checkpoint_that_is_gone_is_told(tmp_path: Path) -> None:
    """What was kept on the way is recorded, and belongs to a whole run."""
    run = example_run()
    with new_run_folder(tmp_path / "run") as draft:
        (draft / "best.keras").write_text("kept")
        write_run(
            draft,
            run.result,
            outputs=run.outputs,
            targets=run.targets,
            save_model=lambda path: Path(path).touch(),
        )
    assert read_run(tmp_path / "run").result.files_sha256["best.keras"]
    (tmp_path / "run" / "best.keras").unlink()
    with pytest.raises(UserError, match=r"lacks best\.keras, which result\.json records"):
        read_run(tmp_path / "run")


def test_a_file_that_cannot_be_hashed_is_told(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(UserError, match=f"cannot read {tmp_path}: Is a directory"):
        folder.file_sha256(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "history.csv", "model.keras", "predictions.npz"])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_is_told(tmp_path: Path, name: str, share: float, bit: int) -> None:
    """Wherever a bit of a file flips, the run is refused."""
    folder = tmp_path / "run"
    if not folder.exists():
        keep(example_run(), folder)
    path = folder / name
    content = path.read_bytes() or b"\0"  # the stand-in for the model is empty
    flipped = bytearray(content)
    flipped[int(share * len(content))] ^= 1 << bit
    path.write_bytes(flipped)
    with pytest.raises(UserError):
        read_run(folder)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["result.json", "history.csv", "predictions.npz"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    """A file cut short is named."""
    path = keep(example_run(), tmp_path / "run") / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=name):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["history.csv", "model.keras", "predictions.npz"])
def test_a_stale_file_is_refused(tmp_path: Path, name: str) -> None:
    """A file that another run left is told by its hash."""
    folder = keep(example_run(), tmp_path / "run")
    other = example_run(right=900)
    with (folder / name).open("ab") as file:
        file.write((keep(other, tmp_path / "other") / name).read_bytes() or b"other")
    with pytest.raises(UserError) as caught:
        read_run(folder)
    assert str(caught.value) == (
        f"{folder / name} has another hash than result.json records: it is damaged or of another "
        "run; train again"
    )


def test_a_run_that_diverged_is_refused(tmp_path: Path) -> None:
    """Logits with NaN among them are not compared."""
    run = example_run()
    run.outputs[3, 4] = np.nan
    with pytest.raises(UserError, match="diverged"):
        read_run(keep(run, tmp_path / "run"))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_result_that_is_no_number_is_refused(tmp_path: Path, loss: float) -> None:
    """NaN and infinity in result.json are told as what they are."""
    with pytest.raises(UserError, match="the run diverged"):
        read_run(keep(example_run(test_loss=loss), tmp_path / "run"))


FILES = dict.fromkeys(("history.csv", "model.keras", "predictions.npz"), "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"schema_version": 0},
            f"has schema version 0, this program reads {SCHEMA_VERSION}; train again",
        ),
        (
            {"schema_version": 99},
            f"has schema version 99, this program reads {SCHEMA_VERSION}; it was written by a "
            "newer lenet-multi: pip install --upgrade lenet-multi",
        ),
        ({"test_accuracy": "high"}, "is damaged at test_accuracy; train again"),
        ({"surprise": 1}, "is damaged at surprise; train again"),
        (
            {"epochs": [1]},
            "is damaged at epochs; train again",
        ),
        (
            {"epochs": [{"epoch": 1}]},
            "is damaged at epochs: loss, train_seconds, val_loss, validation_seconds; train again",
        ),
        ({"epochs": [], "test_images": 0}, "is damaged at epochs, test_images; train again"),
        ({"versions": {"keras": {}}}, "is damaged at versions; train again"),
        ({"config": {"classes": 10}}, "is damaged at config; train again"),
        (
            {"config": {"data": "mnist", "classes": "ten"}},
            "is damaged at config; train again",
        ),
        ({"peak_memory_bytes": 10**400}, "is damaged at peak_memory_bytes; train again"),
        ({"seconds": {"train": "long"}}, "is damaged at seconds; train again"),
        ({"files_sha256": {}}, "is damaged at files_sha256; train again"),
        ({"files_sha256": {**FILES, "../other": ""}}, "is damaged at files_sha256; train again"),
        ({"files_sha256": {**FILES, "/etc/other": ""}}, "is damaged at files_sha256; train again"),
    ],
    ids=[
        "older schema",
        "newer schema",
        "ill-typed field",
        "unknown field",
        "ill-typed epoch",
        "incomplete epoch",
        "no epochs or images",
        "ill-typed version",
        "no data",
        "ill-typed setting",
        "huge number",
        "ill-typed seconds",
        "no files",
        "file outside",
        "file elsewhere",
    ],
)
def test_a_result_of_another_make_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """What cannot be so in a record is named, and what to do."""
    path = keep(example_run(), tmp_path / "run") / "result.json"
    write_record(path, {**check_record(path, json.loads(path.read_text())), **change})
    with pytest.raises(UserError) as caught:
        read_run(tmp_path / "run")
    assert str(caught.value) == f"{path} {message}"


def test_a_result_of_schema_4_is_read(tmp_path: Path) -> None:
    """It is of a classifier, and has no metrics but the accuracy."""
    run = example_run(schema_version=4)
    path = keep(run, tmp_path / "run") / "result.json"
    content = check_record(path, json.loads(path.read_text()))
    del content["test_metrics"]
    write_record(path, content)
    read = read_run(tmp_path / "run").result
    assert dataclasses.replace(read, files_sha256={}) == run.result
    assert (read.schema_version, read.test_metrics) == (4, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", f"has schema version None, this program reads {SCHEMA_VERSION}; train again"),
        (
            f'{{"schema_version": {SCHEMA_VERSION}}}',
            "is damaged: its SHA-256 is not that of its content; train again",
        ),
        ("half", "is damaged: Expecting value: line 1 column 1 (char 0); train again"),
    ],
    ids=["no object", "not signed", "no JSON"],
)
def test_a_result_that_was_edited_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """JSON of something else, and what is no JSON, is named."""
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_result(path)
    assert str(caught.value) == f"{path} {message}"


def test_a_single_test_image_is_enough(tmp_path: Path) -> None:
    """A run of one test image reads."""
    run = example_run(test_images=1)
    few = dataclasses.replace(run, outputs=run.outputs[:1], targets=run.targets[:1])
    assert len(read_run(keep(few, tmp_path / "run")).targets) == 1


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A hash of what is no file gives the system's reason."""
    with pytest.raises(UserError) as caught:
        file_sha256(tmp_path)
    assert str(caught.value) == f"cannot read {tmp_path}: Is a directory"


def test_a_run_without_a_folder_gets_one_named_after_the_time() -> None:
    """It lies in runs/, so that names sort by age."""
    before = datetime.now().replace(microsecond=0)
    folder = default_folder("standard-jax")
    time = datetime.strptime(folder.name, "standard-jax-%Y%m%d-%H%M%S")
    assert folder.parent == Path("runs")
    assert before <= time <= datetime.now()


def test_where_a_run_comes_to_be(tmp_path: Path) -> None:
    """A draft's name tells its run's folder; a run's own folder is its own."""
    assert unfinished(tmp_path / "run") == tmp_path / "run.unfinished"
    for name in ("run.unfinished", "run"):
        assert finished(tmp_path / name) == tmp_path / "run"


def test_predictions_of_another_run_are_refused(tmp_path: Path) -> None:
    """Logits that do not fit the result's counts are not compared."""
    run = example_run()
    stranger = Run(run.folder, run.result, run.outputs[:-1], run.targets[:-1])
    with pytest.raises(UserError, match="is not of the run"):
        read_run(keep(stranger, tmp_path / "run"))


@pytest.mark.parametrize("name", ["outputs", "targets"])
def test_values_of_another_run_are_refused(tmp_path: Path, name: str) -> None:
    """So are outputs and targets that are not as many as the test examples."""
    run = example_values_run()
    stranger = dataclasses.replace(run, **{name: getattr(run, name)[:-1]})
    with pytest.raises(
        UserError, match=r"predictions\.npz is not of the run .* 1000 test examples"
    ):
        read_run(keep(stranger, tmp_path / "run"))


def test_a_regression_that_diverged_is_refused(tmp_path: Path) -> None:
    """Outputs with NaN among them are not compared."""
    run = example_values_run()
    run.outputs[3] = np.nan
    with pytest.raises(UserError, match="diverged: its outputs are not all finite numbers"):
        read_run(keep(run, tmp_path / "run"))


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    """A label that no logit belongs to is told as damage."""
    run = example_run()
    stranger = dataclasses.replace(run, targets=np.full_like(run.targets, 10))
    with pytest.raises(UserError, match="a label is 10, of 10 classes from 0 on"):
        read_run(keep(stranger, tmp_path / "run"))


def test_every_field_of_a_result_is_written(tmp_path: Path) -> None:
    """result.json has the fields of `Result`, no more and no fewer."""
    path = keep(example_run(), tmp_path / "run") / "result.json"
    fields = [field.name for field in dataclasses.fields(folder.Result)]
    assert list(json.loads(path.read_text())) == [*fields, "sha256"]
