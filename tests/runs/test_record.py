import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lenet_multi.errors import UserError
from lenet_multi.runs.comparison import results_table
from lenet_multi.runs.durable import check_record, write_record
from lenet_multi.runs.folder import (
    new_run_folder,
    whole_result,
)
from lenet_multi.runs.record import (
    SCHEMA_VERSION,
    VERSIONS,
    Result,
    Run,
    file_sha256,
    read_result,
    read_run,
    write_run,
)
from lenet_multi.runs.shown import as_html
from tests.examples import example_run, example_values_run, keep
from tests.runs.test_folder import entries

FILES = dict.fromkeys(("history.csv", "model.keras", "predictions.npz"), "")


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Result, logits and labels are read as written, and the files' hashes are added."""
    run = example_run()
    read = read_run(keep(run, tmp_path / "run"))
    assert read.folder == tmp_path / "run"
    assert dataclasses.replace(read.result, files_sha256={}) == run.result
    assert set(read.result.files_sha256) == {"history.csv", "model.keras", "predictions.npz"}
    np.testing.assert_array_equal(read.outputs, run.outputs)
    np.testing.assert_array_equal(read.targets, run.targets)


def test_a_regression_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """A regression keeps its outputs and targets, of any shape and dtype."""
    run = example_values_run()
    read = read_run(keep(run, tmp_path / "run"))
    assert dataclasses.replace(read.result, files_sha256={}) == run.result
    np.testing.assert_array_equal(read.outputs, run.outputs)
    np.testing.assert_array_equal(read.targets, run.targets)
    with np.load(tmp_path / "run" / "predictions.npz") as file:
        assert file.files == ["outputs", "targets"]


def several_values_run() -> Run:
    """Return a run of a model with two outputs, in a dictionary."""
    run = example_values_run()
    outputs = {"near": run.outputs, "far": run.outputs + 2}
    targets = {"near": run.targets, "far": run.targets}
    return dataclasses.replace(run, outputs=outputs, targets=targets)


def test_several_outputs_read_back_by_name(tmp_path: Path) -> None:
    """Each output and each target has an array of its own name in the file."""
    run = several_values_run()
    read = read_run(keep(run, tmp_path / "run"))
    for found, kept in ((read.outputs, run.outputs), (read.targets, run.targets)):
        assert list(found) == ["near", "far"]
        for name in found:
            np.testing.assert_array_equal(found[name], kept[name])


def test_one_of_several_outputs_that_diverged_is_refused(tmp_path: Path) -> None:
    """A run diverged if any of its outputs did."""
    run = several_values_run()
    run.outputs["far"][3] = np.nan
    with pytest.raises(UserError, match="a run that diverged"):
        read_run(keep(run, tmp_path / "run"))


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
    """The headline is a classifier's accuracy, else the first metric, else the loss."""
    assert run.result.headline == headline
    assert run.result.classifies == (headline[0] == "accuracy")


def test_history_has_a_row_for_each_epoch(tmp_path: Path) -> None:
    """history.csv holds the epochs of result.json under the same names."""
    run = example_run()
    header, *rows = (keep(run, tmp_path / "run") / "history.csv").read_text().splitlines()
    assert header.split(",") == list(run.result.epochs[0])
    assert len(rows) == len(run.result.epochs)


def test_a_run_is_whole_only_with_all_of_its_files(tmp_path: Path) -> None:
    """A record without all its files, as after a power cut, is not a complete run."""
    folder = keep(example_run(), tmp_path / "run")
    assert whole_result(folder)
    (folder / "model.keras").write_text("half")
    assert not whole_result(folder)


def test_what_was_kept_on_the_way_is_hashed(tmp_path: Path) -> None:
    """The record hashes every file except itself and what resuming needed, which is deleted."""
    run = example_run()
    with new_run_folder(tmp_path / "run") as draft:
        for name in ("checkpoints/1.keras", "tensorboard/train/log", "resume/state"):
            (draft / name).parent.mkdir(parents=True)
            (draft / name).touch()
        (draft / "journal.json").touch()
        written = write_run(dataclasses.replace(run, folder=draft), lambda path: Path(path).touch())
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
    """A run with checkpoints and a log is read, and is replaced whole."""
    folder = keep(example_run(seed=1), tmp_path / "run")
    (folder / "tensorboard").mkdir()
    (folder / "checkpoints").mkdir()
    assert read_run(folder).result.config["seed"] == 1
    keep(example_run(seed=2), folder, overwrite=True)
    assert entries(folder) == ["history.csv", "model.keras", "predictions.npz", "result.json"]


@pytest.mark.parametrize("name", ["result.json", "history.csv", "model.keras", "predictions.npz"])
def test_a_folder_that_lacks_a_file_is_no_run(tmp_path: Path, name: str) -> None:
    """The error names the missing file."""
    folder = keep(example_run(), tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"no run folder: it has no readable {name}"):
        read_run(folder)


def test_a_checkpoint_that_is_gone_is_told(tmp_path: Path) -> None:
    """A checkpoint that the record names must exist."""
    run = example_run()
    with new_run_folder(tmp_path / "run") as draft:
        (draft / "best.keras").write_text("kept")
        write_run(dataclasses.replace(run, folder=draft), lambda path: Path(path).touch())
    assert read_run(tmp_path / "run").result.files_sha256["best.keras"]
    (tmp_path / "run" / "best.keras").unlink()
    with pytest.raises(UserError, match=r"lacks best\.keras, which result\.json records"):
        read_run(tmp_path / "run")


def test_a_file_that_cannot_be_hashed_is_told(tmp_path: Path) -> None:
    """The error has the system's reason."""
    with pytest.raises(UserError, match=f"cannot read {tmp_path}: Is a directory; give"):
        file_sha256(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "history.csv", "model.keras", "predictions.npz"])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_is_told(tmp_path: Path, name: str, share: float, bit: int) -> None:
    """If any bit of any file flips, the run is refused."""
    folder = tmp_path / "run"
    if not folder.exists():
        keep(example_run(), folder)
    path = folder / name
    content = path.read_bytes() or b"\0"  # the stand-in model is empty
    flipped = bytearray(content)
    flipped[int(share * len(content))] ^= 1 << bit
    path.write_bytes(flipped)
    with pytest.raises(UserError):
        read_run(folder)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["result.json", "history.csv", "predictions.npz"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    """A truncated file is refused by name."""
    path = keep(example_run(), tmp_path / "run") / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=name):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("name", ["history.csv", "model.keras", "predictions.npz"])
def test_a_stale_file_is_refused(tmp_path: Path, name: str) -> None:
    """The hash reveals a file that another run left."""
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
    """A run with NaN among its logits is refused."""
    run = example_run()
    run.outputs[3, 4] = np.nan
    with pytest.raises(UserError, match="diverged"):
        read_run(keep(run, tmp_path / "run"))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_result_that_is_no_number_is_refused(tmp_path: Path, loss: float) -> None:
    """A loss of NaN or infinity in result.json is reported as a diverged run."""
    with pytest.raises(UserError, match="the run diverged"):
        read_run(keep(example_run(test_loss=loss), tmp_path / "run"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"schema_version": 0},
            f"has schema version 0, this program reads {SCHEMA_VERSION}; train again",
        ),
        (
            {"schema_version": 99},
            f"has schema version 99, this program reads {SCHEMA_VERSION}; install a newer "
            "lenet-multi: pip install --upgrade lenet-multi",
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
    """The error names the invalid field of a record, and the remedy."""
    path = keep(example_run(), tmp_path / "run") / "result.json"
    write_record(path, {**check_record(path, json.loads(path.read_text())), **change})
    with pytest.raises(UserError) as caught:
        read_run(tmp_path / "run")
    assert str(caught.value) == f"{path} {message}"


def test_names_of_classes_are_kept(tmp_path: Path) -> None:
    """The record has the names of the classes; without any it lacks the field."""
    names = [f"class-{label}" for label in range(10)]
    keep(example_run(class_names=names, schema_version=SCHEMA_VERSION), tmp_path / "named")
    assert read_run(tmp_path / "named").result.class_names == names
    path = keep(example_run(), tmp_path / "unnamed") / "result.json"
    assert "class_names" not in json.loads(path.read_text())
    assert read_run(tmp_path / "unnamed").result.class_names == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat", "cat"], "is damaged at class_names; train again"),
        ([1, 2], "is damaged at class_names; train again"),
        (["cat", "dog"], "is damaged: it names 2 classes of 10; train again"),
    ],
    ids=["twice", "numbers", "too few"],
)
def test_names_that_no_model_has_are_refused(
    tmp_path: Path, names: list[Any], message: str
) -> None:
    """A record with a name twice, numbers instead of names or too few names is damaged."""
    path = keep(example_run(class_names=names), tmp_path / "run") / "result.json"
    with pytest.raises(UserError) as caught:
        read_run(tmp_path / "run")
    assert str(caught.value) == f"{path} {message}"


def test_names_of_a_regression_are_refused(tmp_path: Path) -> None:
    """A model without classes has no names for them."""
    with pytest.raises(UserError, match="is damaged at class_names"):
        read_run(keep(example_values_run(class_names=["cat"]), tmp_path / "run"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_record_of_each_version_is_read(version: int, tmp_path: Path) -> None:
    """A record reads back as it was written, also where it lacks fields that came later."""
    run = example_run(schema_version=version)
    content = json.loads((keep(run, tmp_path / "run") / "result.json").read_text())
    assert content["schema_version"] == version
    assert not {"test_metrics", "inputs", "class_names"} & content.keys()
    read = read_run(tmp_path / "run").result
    assert dataclasses.replace(read, files_sha256={}) == run.result


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
    """A result that is not JSON, not signed or not an object is refused by name."""
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_result(path)
    assert str(caught.value) == f"{path} {message}"


def test_a_single_test_image_is_enough(tmp_path: Path) -> None:
    """A run with one test image can be read."""
    run = example_run(test_images=1)
    few = dataclasses.replace(run, outputs=run.outputs[:1], targets=run.targets[:1])
    assert len(read_run(keep(few, tmp_path / "run")).targets) == 1


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Hashing something that is not a file gives the system's reason."""
    with pytest.raises(UserError) as caught:
        file_sha256(tmp_path)
    assert str(caught.value) == f"cannot read {tmp_path}: Is a directory; give a readable file"


def test_predictions_of_another_run_are_refused(tmp_path: Path) -> None:
    """Logits that do not fit the result's counts are refused."""
    run = example_run()
    stranger = Run(run.folder, run.result, run.outputs[:-1], run.targets[:-1])
    with pytest.raises(UserError, match="is not of the run"):
        read_run(keep(stranger, tmp_path / "run"))


@pytest.mark.parametrize(
    "change",
    [lambda array: array[:-1], lambda array: array.astype(str), lambda array: np.float32(1)],
    ids=["one too few", "no numbers", "a single number"],
)
@pytest.mark.parametrize("name", ["outputs", "targets"])
def test_values_of_another_run_are_refused(
    tmp_path: Path, name: str, change: Callable[[Any], Any]
) -> None:
    """Outputs and targets that are not numbers, or not one per test example, are refused."""
    run = example_values_run()
    stranger = dataclasses.replace(run, **{name: change(getattr(run, name))})
    with pytest.raises(
        UserError, match=r"predictions\.npz is not of the run .* 1000 test examples"
    ):
        read_run(keep(stranger, tmp_path / "run"))


def test_a_regression_that_diverged_is_refused(tmp_path: Path) -> None:
    """A regression with NaN among its outputs is refused."""
    run = example_values_run()
    run.outputs[3] = np.nan
    with pytest.raises(UserError, match="diverged: its outputs are not all finite numbers; train"):
        read_run(keep(run, tmp_path / "run"))


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    """A label without a logit is reported as damage."""
    run = example_run()
    stranger = dataclasses.replace(run, targets=np.full_like(run.targets, 10))
    with pytest.raises(UserError, match="a label is 10, but labels end at 9; train again"):
        read_run(keep(stranger, tmp_path / "run"))


def test_every_field_of_a_result_is_written(tmp_path: Path) -> None:
    """result.json has exactly the fields of `Result` that are not empty, and its signature."""
    given: dict[str, Any] = {
        "test_metrics": {"mae": 1.0},
        "inputs": {"range": "0,1"},
        "class_counts": {"training": {"0": 1}},
        "class_names": [f"class-{label}" for label in range(10)],
        "earlier": [{"epochs": 1}],
        "start_from": {"path": "m"},
        "class_weights": {"0": 1.0},
    }
    fields = [field.name for field in dataclasses.fields(Result)]
    empty = {name: type(value)() for name, value in given.items()}
    for name, some in (("whole", given), ("bare", empty)):
        path = keep(example_run(**some), tmp_path / name) / "result.json"
        wanted = [field for field in fields if some.get(field, True)]
        assert list(json.loads(path.read_text())) == [*wanted, "sha256"]


def test_inputs_that_no_program_makes_are_refused(tmp_path: Path) -> None:
    """A record of inputs that this package does not know is reported as damage."""
    for name, value in (("range", "0,2"), ("prepared", "cut")):
        run = keep(example_run(inputs={name: value}), tmp_path / name)
        with pytest.raises(UserError, match="damaged at inputs"):
            read_run(run)


def test_a_run_says_what_it_is(tmp_path: Path) -> None:
    """Its sentence names the model and the folder, and its table is that of a comparison."""
    run = dataclasses.replace(example_run(), folder=Path("runs/a"))
    assert run.sentence == "lenet, trained, is in runs/a."
    (table,) = run.tables()
    assert as_html(table) == as_html(results_table([run]))


def test_a_classifiers_predictions_have_their_names(tmp_path: Path) -> None:
    """Logits and labels, and no other arrays."""
    keep(example_run(), tmp_path / "run")
    with np.load(tmp_path / "run" / "predictions.npz") as file:
        assert file.files == ["logits", "labels"]


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    """The error names the folder and the flag that chooses another."""
    run = dataclasses.replace(example_run(), folder=tmp_path / "missing")
    with pytest.raises(
        UserError, match=f"^cannot write {tmp_path}/missing: .*; choose another --out$"
    ):
        write_run(run, lambda path: Path(path).touch())


def test_a_users_classifier_has_as_many_classes_as_its_outputs(tmp_path: Path) -> None:
    """The setting is for the package's own models, also in a record that is older than others."""
    config = example_run().result.config | {"classes": 7}
    own = example_run(config=config | {"architecture": "my_model.py:build"})
    assert read_run(keep(own, tmp_path / "own")).outputs.shape == (1000, 10)
    for name, architecture in (("lenet", {"architecture": "lenet"}), ("older", {})):
        others = {key: value for key, value in config.items() if key != "architecture"}
        run = example_run(config=others | architecture)
        with pytest.raises(UserError) as refused:
            read_run(keep(run, tmp_path / name))
        assert str(refused.value) == (
            f"{tmp_path / name / 'predictions.npz'} is not of the run in result.json: logits "
            "(1000, 10), labels (1000,) for 1000 test images; train again"
        )
        read_run(
            keep(
                example_run(config=others | architecture | {"classes": 10}),
                tmp_path / name,
                overwrite=True,
            )
        )


@pytest.mark.parametrize(
    "change",
    [
        {"targets": np.zeros(1000, np.float32)},
        {"targets": np.zeros((1000, 1), np.uint8)},
        {"targets": np.full(1000, "1")},
        {"outputs": np.zeros((1000, 10))},
        {"outputs": np.zeros((1000, 9), np.float32)},
        {"outputs": np.zeros((1000, 10, 1), np.float32)},
        {"outputs": np.array(1.0, np.float32)},
    ],
    ids=[
        *("float labels", "a column", "texts", "float64", "nine logits", "three axes"),
        "one number",
    ],
)
@pytest.mark.parametrize("architecture", ["lenet", "my_model.py:build"])
def test_what_is_no_classifiers_is_refused(
    tmp_path: Path, change: dict[str, Any], architecture: str
) -> None:
    """Logits are float32 (N, classes), and labels whole numbers (N,)."""
    if architecture != "lenet" and change.get("outputs", np.zeros(0)).shape == (1000, 9):
        change = {"outputs": np.zeros((999, 9), np.float32)}  # any number of classes will do
    run = example_run()
    run.result.config["architecture"] = architecture
    with pytest.raises(UserError, match=r"is not of the run in result\.json: logits "):
        read_run(keep(dataclasses.replace(run, **change), tmp_path / "run"))


def test_values_of_another_run_are_shown(tmp_path: Path) -> None:
    """The error has the dtype and the shape of each array."""
    run = dataclasses.replace(example_values_run(), outputs=np.zeros((9, 2)))
    with pytest.raises(UserError) as refused:
        read_run(keep(run, tmp_path / "run"))
    assert str(refused.value) == (
        f"{tmp_path / 'run' / 'predictions.npz'} is not of the run in result.json: outputs and "
        "targets float64 (9, 2), float32 (1000,) for 1000 test examples; train again"
    )


@pytest.mark.parametrize("earlier", [{"run": "a"}, {"epochs": "many"}])
def test_an_earlier_run_without_its_epochs_is_damage(tmp_path: Path, earlier: Any) -> None:
    """The number of epochs tells where a run goes on."""
    run = example_run(earlier=[{"epochs": 1}, earlier], schema_version=SCHEMA_VERSION)
    with pytest.raises(UserError, match="is damaged at earlier; train again"):
        read_run(keep(run, tmp_path / "run"))


def test_earlier_runs_read_back(tmp_path: Path) -> None:
    """What a run goes on from is in its record."""
    earlier = [{"epochs": 1, "run": "a"}, {"epochs": 3}]
    run = example_run(earlier=earlier, schema_version=SCHEMA_VERSION)
    assert read_run(keep(run, tmp_path / "run")).result.earlier == earlier
