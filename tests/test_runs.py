import dataclasses
import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lenet_multi import runs
from lenet_multi.durable import check_record, write_record
from lenet_multi.errors import UserError
from lenet_multi.runs import Run, new_run_folder, read_run, write_run
from tests.examples import example_run, keep


def entries(folder: Path) -> list[str]:
    """Return the names in `folder`, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Result, logits and labels survive the disk unchanged; the files' hashes are added."""
    run = example_run()
    read = read_run(keep(run, tmp_path / "run"))
    assert dataclasses.replace(read.result, files_sha256={}) == run.result
    assert set(read.result.files_sha256) == {"history.csv", "model.keras", "predictions.npz"}
    np.testing.assert_array_equal(read.logits, run.logits)
    np.testing.assert_array_equal(read.labels, run.labels)


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
    with pytest.raises(UserError, match="holds an unfinished run; go on with --resume"):
        keep(example_run(), tmp_path / "run")
    keep(example_run(), tmp_path / "run", overwrite=True)
    assert entries(tmp_path) == ["run"]
    assert "checkpoints" not in entries(tmp_path / "run")


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
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="choose another --out"), new_run_folder(folder):
            pytest.fail("the folder was given away")


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of the operating system becomes one line, before any training."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)  # tests may run as root, who may write anywhere
    with (
        pytest.raises(UserError, match=r"cannot write .*Permission denied"),
        new_run_folder(tmp_path / "run"),
    ):
        pytest.fail("the folder was given away")


def test_a_full_disk_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a run would not fit, the error comes before the work."""
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="is full"), new_run_folder(tmp_path / "run"):
        pytest.fail("the folder was given away")


def test_a_disk_that_fills_while_writing_leaves_nothing(tmp_path: Path) -> None:
    """An error of the disk in any file is one line, and no half-written run remains."""

    def fill(path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = example_run()
    with (
        pytest.raises(UserError, match="No space left on device"),
        new_run_folder(tmp_path / "run") as draft,
    ):
        write_run(draft, run.result, logits=run.logits, labels=run.labels, save_model=fill)
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
            logits=run.logits,
            labels=run.labels,
            save_model=lambda path: Path(path).touch(),
        )
    assert read_run(tmp_path / "run").result.files_sha256["best.keras"]
    (tmp_path / "run" / "best.keras").unlink()
    with pytest.raises(UserError, match=r"lacks best\.keras, which result\.json records"):
        read_run(tmp_path / "run")


def test_a_file_that_cannot_be_hashed_is_told(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(UserError, match=f"cannot read {tmp_path}: Is a directory"):
        runs.file_sha256(tmp_path)


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
    with pytest.raises(UserError, match=f"{name} has another hash"):
        read_run(folder)


def test_a_run_that_diverged_is_refused(tmp_path: Path) -> None:
    """Logits with NaN among them are not compared."""
    run = example_run()
    run.logits[3, 4] = np.nan
    with pytest.raises(UserError, match="diverged"):
        read_run(keep(run, tmp_path / "run"))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_result_that_is_no_number_is_refused(tmp_path: Path, loss: float) -> None:
    """NaN and infinity in result.json are told as what they are."""
    with pytest.raises(UserError, match="the run diverged"):
        read_run(keep(example_run(test_loss=loss), tmp_path / "run"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 0}, "schema version 0"),
        ({"schema_version": 99}, "newer lenet-multi"),
        ({"files_sha256": {}}, "damaged at files_sha256"),
        ({"test_accuracy": "high"}, "damaged at test_accuracy"),
        ({"surprise": 1}, "damaged at surprise"),
        ({"epochs": []}, "there are none"),
        ({"epochs": [1]}, "an object expected, not int"),
        ({"epochs": [{"epoch": 1}]}, "epochs: accuracy, loss"),
        ({"seconds": {"train": "long"}}, "damaged at seconds"),
        ({"files_sha256": {"../other": ""}}, "damaged at files_sha256"),
    ],
)
def test_a_result_of_another_make_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """An unknown schema, an ill-typed and an unknown field are named."""
    path = keep(example_run(), tmp_path / "run") / "result.json"
    write_record(path, {**check_record(path, json.loads(path.read_text())), **change})
    with pytest.raises(UserError, match=message):
        read_run(tmp_path / "run")


def test_predictions_of_another_run_are_refused(tmp_path: Path) -> None:
    """Logits that do not fit the result's counts are not compared."""
    run = example_run()
    stranger = Run(run.folder, run.result, run.logits[:-1], run.labels[:-1])
    with pytest.raises(UserError, match="is not of the run"):
        read_run(keep(stranger, tmp_path / "run"))


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    """A label that no logit belongs to is told as damage."""
    run = example_run()
    stranger = dataclasses.replace(run, labels=np.full_like(run.labels, 10))
    with pytest.raises(UserError, match="a label is 10, of 10 classes from 0 on"):
        read_run(keep(stranger, tmp_path / "run"))


def test_every_field_of_a_result_is_written(tmp_path: Path) -> None:
    """result.json has the fields of `Result`, no more and no fewer."""
    path = keep(example_run(), tmp_path / "run") / "result.json"
    fields = [field.name for field in dataclasses.fields(runs.Result)]
    assert list(json.loads(path.read_text())) == [*fields, "sha256"]
