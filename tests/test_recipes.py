import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import recipes
from benchmarks.report import RESULTS, read
from lenet_multi.lenet.recipes import RECIPES


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that the study runs, which end with status 1 and leave a record."""
    commands: list[list[str]] = []

    def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
        commands.append(command[1:])
        folder = Path(command[-1])
        folder.mkdir(parents=True)
        (folder / "seeds.json").write_text(json.dumps({"of": folder.name}))
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(recipes, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(recipes, "RESULTS", tmp_path)
    monkeypatch.setattr(recipes, "SEEDS", {"one": 3, "two": 5})
    monkeypatch.setattr(recipes, "curves", lambda folder, seeds: {"jax": [0.9] * seeds})
    return commands


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """Run the study with these arguments."""
    monkeypatch.setattr("sys.argv", ["recipes", *arguments])
    return recipes.main()


def test_each_recipe_is_trained_from_its_seeds(
    asked: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each study has its folder, in which it goes on; its record is kept even if it failed."""
    assert run(monkeypatch) == 1
    assert asked == [
        ["-m", "lenet_multi", "parity", "--seeds", seeds, "--recipe", name, "--out", folder]
        for seeds, name, folder in (
            ("3", "one", str(tmp_path / "runs" / "study" / "one")),
            ("5", "two", str(tmp_path / "runs" / "study" / "two")),
        )
    ]
    for name, seeds in (("one", 3), ("two", 5)):
        assert read(tmp_path / f"{name}-seeds.json") == {
            "of": name,
            "curves": {"jax": [0.9] * seeds},
        }
    assert (tmp_path / recipes.FIGURE).read_bytes().startswith(b"\x89PNG")


def test_a_named_recipe_is_studied_alone(
    asked: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name chooses a study; an unknown one is refused with the known ones."""
    assert run(monkeypatch, "two") == 1
    assert len(asked) == 1
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "three")
    assert "there is no study of three" in capsys.readouterr().err


def test_a_curve_is_the_mean_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend's curve has the mean validation accuracy after each epoch of its finished runs."""
    accuracies = {"seed-0-jax": [0.5, 0.75], "seed-1-jax": [0.25, 1.0], "seed-1-torch": [0.5, 0.5]}
    for name in accuracies:
        (tmp_path / name).mkdir()

    def run_of(place: Path) -> Any:
        epochs = [{"val_accuracy": accuracy} for accuracy in accuracies[place.name]]
        return SimpleNamespace(result=SimpleNamespace(epochs=epochs))

    monkeypatch.setattr(recipes, "read_run", run_of)
    found = recipes.curves(tmp_path, seeds=2)
    assert found == {"jax": [0.375, 0.875], "torch": [0.5, 0.5]}


def test_every_study_is_of_a_recipe() -> None:
    """Each study names a recipe, and its record is committed."""
    assert {*recipes.SEEDS} <= {*RECIPES}
    assert all(recipes.record_of(recipe).parent == RESULTS for recipe in recipes.SEEDS)
    assert all(recipes.record_of(recipe).exists() for recipe in recipes.SEEDS)
