import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import recipes
from benchmarks.report import RESULTS
from lenet_multi.lenet.recipes import RECIPES


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that the study runs, which end with status 1 and leave a record."""
    commands: list[list[str]] = []

    def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
        commands.append(command[1:])
        folder = Path(command[-1])
        folder.mkdir(parents=True)
        (folder / "seeds.json").write_text(f'"{folder.name}"')
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(recipes, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(recipes, "RESULTS", tmp_path)
    monkeypatch.setattr(recipes, "SEEDS", {"one": 3, "two": 5})
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
    assert [(tmp_path / f"{name}-seeds.json").read_text() for name in ("one", "two")] == [
        '"one"',
        '"two"',
    ]


def test_a_named_recipe_is_studied_alone(
    asked: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name chooses a study; an unknown one is refused with the known ones."""
    assert run(monkeypatch, "two") == 1
    assert len(asked) == 1
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "three")
    assert "there is no study of three" in capsys.readouterr().err


def test_every_study_is_of_a_recipe() -> None:
    """Each study names a recipe, and its record is committed."""
    assert {*recipes.SEEDS} <= {*RECIPES}
    assert all(recipes.record_of(recipe).parent == RESULTS for recipe in recipes.SEEDS)
    assert all(recipes.record_of(recipe).exists() for recipe in recipes.SEEDS)
