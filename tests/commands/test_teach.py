import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lenet_multi.commands.teach import command
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError
from lenet_multi.inference import saved
from lenet_multi.lenet import distortions, image_sets, teacher
from lenet_multi.machine import children, frameworks, keras_start
from lenet_multi.runs.record import read_run
from tests.conftest import Lenet

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 1), np.uint8)
LABELS = (np.arange(20) % 4).astype(np.uint8)


class Stage:
    """The command with stand-ins for its models, its data and its backend."""

    def __init__(self) -> None:
        self.asked: list[Any] = []  # what was asked for, in order
        self.seen: list[Examples] = []  # of each epoch

    def find(self, path: Path) -> Any:
        """Return a model."""
        return SimpleNamespace(path=path / "model.keras", sha256=f"hash of {path}")

    def load(self, source: str, **settings: Any) -> Dataset:
        """Return the images; a tenth validates."""
        self.asked.append((source, settings))
        return Dataset(Examples(IMAGES, LABELS), Examples(IMAGES, LABELS))

    def start_and_load(self, backend: str, load: Callable[[], Dataset]) -> Dataset:
        """Start nothing."""
        self.asked.append(backend)
        return load()

    def ensemble(self, models: list[Any], shape: tuple[int, ...], classes: int) -> Any:
        """Return what answers with the number of the epoch."""
        self.asked.append(([model.path.parent.name for model in models], shape, classes))
        return self

    def track(self, numbers: range, *, description: str) -> range:
        """Show nothing."""
        self.asked.append((description, numbers))
        return numbers

    def answers(self, examples: Examples) -> Any:
        """Return the class of the epoch's number."""
        self.seen.append(examples)
        return np.eye(4)[[len(self.seen) - 1] * len(examples)]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """The command in an empty folder, on a machine with all backends."""
    stage = Stage()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(frameworks, "installed", tuple)
    monkeypatch.setattr(saved, "find", stage.find)
    monkeypatch.setattr(image_sets, "load", stage.load)
    monkeypatch.setattr(keras_start, "start_and_load", stage.start_and_load)
    monkeypatch.setattr(children, "bars", lambda: nullcontext(stage))
    ensemble = SimpleNamespace(Ensemble=stage.ensemble)
    monkeypatch.setitem(sys.modules, "lenet_multi.inference.ensemble", ensemble)
    teacher._read.cache_clear()
    return stage


def ask(*arguments: str) -> None:
    """Run the command."""
    command.main(list(arguments), standalone_mode=False)


def refused(*arguments: str) -> str:
    """Return the message of the error."""
    with pytest.raises(UserError) as error:
        ask(*arguments)
    return str(error.value)


SMALL = ("--epochs", "3", "--classes", "4", "--validation-split", "0.1", "--rotation", "20")


def test_each_epochs_images_are_answered(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The models answer the training images of each epoch as a student sees them."""
    ask("a", "b", *SMALL, "--data", "my.npz", "--seed", "5", "--backend", "torch", "--out", "t")
    config = TrainConfig(
        epochs=3,
        classes=4,
        validation_split=0.1,
        rotation=20.0,
        seed=5,
        data="my.npz",
        loss="categorical_crossentropy",
        teacher=teacher.as_setting("t"),
    )
    assert stage.asked == [
        "torch",
        ("my.npz", {"classes": 4, "transpose": False}),
        (["a", "b"], (16, 16, 1), 4),
        ("epochs", range(3)),
    ]
    for epoch, examples in enumerate(stage.seen):
        wanted = distortions.distorted(IMAGES[:18], config, epoch)
        np.testing.assert_array_equal(examples.x, wanted)
        found = teacher.answers(config, epoch)
        assert found.shape == (18, 4)
        assert (found.argmax(axis=1) == epoch).all()
    assert len(stage.seen) == 3
    found_teacher = teacher.of(config)
    assert found_teacher
    assert found_teacher.models == [
        {"path": f"{name}/model.keras", "sha256": f"hash of {name}"} for name in "ab"
    ]
    assert capsys.readouterr().out == "Teacher: t\n"


def test_a_recipe_gives_settings(stage: Stage) -> None:
    """A recipe is that of the student, and flags change it; the first backend answers."""
    ask("a", "--recipe", "one-epoch", "--classes", "4", "--validation-split", "0.1", "--out", "t")
    assert stage.asked[0] == frameworks.BACKENDS[0]
    assert np.load("t/answers.npy").shape == (1, 18, 4)
    assert stage.seen[0].x.base is IMAGES  # without distortions, nothing is copied


def test_what_a_teacher_cannot_do_is_refused(stage: Stage, tmp_path: Path) -> None:
    """A student's own settings, and a folder that is taken; nothing is started then."""
    for name, value in (("temperature", "2"), ("teacher", "none")):
        assert (
            refused("a", "--out", "t", f"--{name}", value) == f"--{name} is the student's; drop it"
        )
    Path("taken").mkdir()
    assert refused("a", *SMALL, "--out", "taken") == (
        f"{tmp_path / 'taken'} exists; delete it or choose another --out"
    )
    assert stage.asked == []


def test_a_full_disk_is_one_line(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the folder; nothing half-written is left."""
    errors: list[Exception] = [OSError(28, "No space left on device"), RuntimeError("a bug")]

    def fail(*given: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(teacher, "write", fail)
    assert refused("a", *SMALL, "--out", "t") == (
        "cannot write t: No space left on device; choose another --out"
    )
    assert list(Path().iterdir()) == []
    with pytest.raises(RuntimeError, match="a bug"):  # not the disk's
        ask("a", *SMALL, "--out", "t")


@pytest.mark.backend
@pytest.mark.any_backend
@pytest.mark.usefixtures("backend")
def test_a_student_learns_from_two_runs(lenet: Lenet, small_npz: Path, tmp_path: Path) -> None:
    """The student's targets are the mean of both; it keeps the hash of the answers."""
    data = ("--data", str(small_npz), "--rotation", "10", "--epochs", "2")
    for seed in (0, 1):
        done = lenet("train", *data, "--seed", seed, "--out", f"run-{seed}")
        assert done.returncode == 0, done.stderr
    done = lenet("teach", "run-0", "run-1", *data, "--out", "teacher")
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "teacher" / "teacher.json").read_text())
    answers = np.load(tmp_path / "teacher" / "answers.npy")
    assert answers.shape == (2, 950, 10)
    assert np.abs(answers.sum(axis=-1, dtype=np.float32) - 1).max() < 5e-3  # of float16
    student = (*data, "--loss", "categorical_crossentropy", "--teacher", "teacher")
    done = lenet("train", *student, "--seed", 3, "--temperature", 2, "--out", "student")
    assert done.returncode == 0, done.stderr
    run = read_run(tmp_path / "student")
    assert run.result.config["teacher"] == f"teacher#{facts['answers_sha256'][:16]}"
    assert run.result.test_accuracy is not None
    assert run.result.test_accuracy > 0.5
