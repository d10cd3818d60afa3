import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.errors import UserError
from lenet_multi.runs.earlier import epochs_of, is_sound, of_run, read_last, refuse_other_split
from lenet_multi.runs.record import read_run
from tests.examples import example_epochs, example_run, keep


def finished(folder: Path, **change: Any) -> dict[str, Any]:
    """Keep a run of two epochs in `folder`; return what a run that goes on keeps of it."""
    keep(example_run(epochs=example_epochs(2), **change), folder, overwrite=True)
    return of_run(folder, read_run(folder).result)


def test_an_entry_has_the_settings_of_its_run(tmp_path: Path) -> None:
    """An entry has the run's settings, backend, epochs and the hash of its model."""
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
    """`read_last` returns the folder and the record of the last entry."""
    folder, result = read_last([{"model_sha256": "old"}, finished(tmp_path / "run")])
    assert folder == tmp_path / "run"
    assert result.epochs == example_epochs(2)


def test_another_run_in_its_place_is_refused(tmp_path: Path) -> None:
    """Another run in the folder of a finished one is refused."""
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
    """result.json has the finished runs, and only where there are any."""
    entry = finished(tmp_path / "run")
    run = example_run(schema_version=6, earlier=[entry], class_weights={"0": 1.5})
    read = read_run(keep(run, tmp_path / "longer")).result
    assert dataclasses.replace(read, files_sha256={}) == run.result
    assert not {"earlier", "start_from", "class_weights"} & example_run().result.as_json().keys()


def test_a_set_of_hf_that_was_split_otherwise_is_refused() -> None:
    """Only a run on a set of `hf:` that does not know the setting was split otherwise."""
    for config in (
        {"data": "hf:digits", "shuffle_split": False},
        {"data": "mnist"},
        {"data": "hf", "shuffle_split": True},
        {},
    ):
        refuse_other_split(config, "runs/a")
    with pytest.raises(UserError) as refused:
        refuse_other_split({"data": "hf:digits"}, "runs/a")
    assert str(refused.value) == (
        "runs/a is of an older program, which split hf:digits otherwise into training and "
        "validation; train again"
    )
