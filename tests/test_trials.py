import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lenet_multi
from benchmarks import trials
from benchmarks.report import RESULTS, read
from lenet_multi.config import TrainConfig

FIGURES = {"loss": 0.1, "accuracy": 0.9, "val_loss": 0.2, "val_accuracy": 0.8}
SOME = {"some": [{"epochs": 1}, {"epochs": 2}]}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The settings of all runs, which take no time; their test figures would be seen."""
    asked: list[dict[str, Any]] = []

    def train(*, backend: str, out: Path, **settings: Any) -> Any:
        asked.append(settings)
        out.mkdir()
        result = SimpleNamespace(
            epochs=[FIGURES], seconds={"train": 1.23}, versions={}, test_accuracy=0.99
        )
        return SimpleNamespace(result=result)

    monkeypatch.setattr(lenet_multi, "train", train)
    monkeypatch.setattr(trials, "TRIALS", SOME)
    monkeypatch.setattr(trials, "SEEDS", {"some": 3})
    return asked


def run(out: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[dict[str, Any]]:
    """Run the study; return the trials on file."""
    monkeypatch.setattr("sys.argv", ["trials", "--out", str(out), *arguments])
    assert trials.main() == 0
    found: list[dict[str, Any]] = read(out)["trials"]
    return found


def test_every_trial_is_on_file(
    trained: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial of each seed is on file with its validation figures, and without the test's."""
    found = run(tmp_path / "trials.json", monkeypatch)
    assert [one["settings"] for one in found] == trained
    assert [(one["epochs"], one["seed"]) for one in trained] == [
        (epochs, seed) for seed in range(3) for epochs in (1, 2)
    ]
    assert found[0] == {
        "recipe": "some",
        "settings": {"epochs": 1, "validation_split": trials.SPLIT, "seed": 0},
        **FIGURES,
        "seconds": 1.2,
        "versions": {},
    }


def test_a_stopped_study_goes_on(
    trained: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on file is not tried again."""
    first = run(tmp_path / "trials.json", monkeypatch)
    content = json.loads((tmp_path / "trials.json").read_text())
    (tmp_path / "trials.json").write_text(json.dumps({**content, "trials": first[:4]}))
    del trained[:]
    assert run(tmp_path / "trials.json", monkeypatch) == first
    assert [(one["epochs"], one["seed"]) for one in trained] == [(1, 2), (2, 2)]


def test_all_trials_are_settings_of_the_command() -> None:
    """Each trial is a valid training of the LeNet."""
    for recipe in trials.TRIALS:
        for trial in trials.TRIALS[recipe]:
            TrainConfig(**trials.settings(trial, 0))


def test_the_committed_trials_have_no_test_figures() -> None:
    """Nothing that could be chosen by is of the test images."""
    record = read(RESULTS / "trials.json")
    for one in record["trials"] + record["earlier"]["trials"]:
        assert not [name for name in one if "test" in name]
        assert one["settings"]["validation_split"] == trials.SPLIT
