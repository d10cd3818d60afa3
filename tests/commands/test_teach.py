import json
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.commands.teach import command
from lenet_multi.errors import UserError
from lenet_multi.runs.record import read_run
from tests.conftest import Lenet


def refused(*arguments: str) -> str:
    """Return the message of the error."""
    with pytest.raises(UserError) as error:
        command.main(list(arguments), standalone_mode=False)
    return str(error.value)


def test_what_a_teacher_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    """A student's own settings, a model that is missing, and a folder that is taken."""
    out = str(tmp_path / "out")
    assert refused("a", "--out", out, "--temperature", "2") == (
        "--temperature is the student's; drop it"
    )
    assert refused("a", "--out", out).startswith("no model at a: ")


@pytest.mark.backend
@pytest.mark.any_backend
@pytest.mark.usefixtures("backend")
def test_a_student_learns_from_two_runs(lenet: Lenet, small_npz: Path, tmp_path: Path) -> None:
    """The student's targets are the mean of both; it keeps the teacher's hash, and goes on with it.

    A teacher in its place that answers otherwise is refused.
    """
    data = ("--data", str(small_npz), "--rotation", "10", "--epochs", "2")
    for seed in (0, 1):
        done = lenet("train", *data, "--seed", seed, "--out", f"run-{seed}")
        assert done.returncode == 0, done.stderr
    done = lenet("teach", "run-0", "run-1", *data, "--out", "teacher")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Teacher: teacher\n"
    facts = json.loads((tmp_path / "teacher" / "teacher.json").read_text())
    assert [one["path"] for one in facts["models"]] == ["run-0/model.keras", "run-1/model.keras"]
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
    occupied = lenet("teach", "run-0", *data, "--out", "teacher")
    assert occupied.returncode == 2
    assert "teacher exists; delete it or choose another --out" in occupied.stderr
