import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.errors import UserError
from lenet_multi.runs.earlier import epochs_of, is_sound, of_run, read_last
from lenet_multi.runs.record import read_run
from tests.examples import example_epochs, example_run, keep


def finished(folder: Path, **change: Any) -> dict[str, Any]:
    """Keep a run of two epochs in `folder`; return what a run that goes on keeps of it."""
    keep(example_run(epochs=example_epochs(2), **change), folder, overwrite=True)
    return of_run(folder, read_run(folder).result)


def test_what_is_kept_says_what_was_trained_with_which_settings(tmp_path: Path) -> None:
    """The entry has the run's own settings, its backend, its epochs and the hash of its model."""
    entry = finished(tmp_path / "run")
    result = read_run(tmp_path / "run").result
    of_result = ("backend", "versions", "config", "starts", "start_from", "initial_weights_sha256")
    assert entry == {
        "run": str(tmp_path / "run"),
        "epochs": 2,
        **{name: getattr(result, name) for name in (*of_result, "final_weights_sha256")},
        "model_sha256": result.files_sha256["model.keras"],
    }
    assert is_sound([entry])
    assert (epochs_of([]), epochs_of([entry])) == (0, 2)


def test_the_last_run_is_read_again(tmp_path: Path) -> None:
    """A run that was stopped before its first checkpoint reads the finished one once more."""
    folder, result = read_last([{"model_sha256": "old"}, finished(tmp_path / "run")])
    assert folder == tmp_path / "run"
    assert result.epochs == example_epochs(2)


def test_another_run_in_its_place_is_refused(tmp_path: Path) -> None:
    """A run does not go on from what was put in the finished run's folder since."""
    entry = finished(tmp_path / "run")
    with pytest.raises(UserError) as refused:
        read_last([entry | {"model_sha256": "0" * 64}])
    assert str(refused.value) == (
        f"{tmp_path / 'run'} is not the run that this one goes on from; put that run back"
    )


@pytest.mark.parametrize(
    "name",
    ["run", "epochs", "starts", "start_from", "initial_weights_sha256", "model_sha256"],
)
def test_a_damaged_entry_is_seen(name: str, tmp_path: Path) -> None:
    """An entry without what going on reads is not sound."""
    entry = finished(tmp_path / "run")
    assert not is_sound([{key: value for key, value in entry.items() if key != name}])
    assert not is_sound([entry | {name: None}])
    assert not is_sound(entry)
    assert is_sound([])


def test_a_record_with_earlier_runs_reads_back(tmp_path: Path) -> None:
    """result.json holds the finished runs, and is of a version that older programs refuse."""
    entry = finished(tmp_path / "run")
    run = example_run(schema_version=6, earlier=[entry], class_weights={"0": 1.5})
    read = read_run(keep(run, tmp_path / "longer")).result
    assert dataclasses.replace(read, files_sha256={}) == run.result
    assert not {"earlier", "start_from", "class_weights"} & example_run().result.as_json().keys()
