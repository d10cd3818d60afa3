import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Examples
from lenet_multi.errors import UserError
from lenet_multi.lenet import distortions, tasks, teacher
from lenet_multi.runs.durable import write_record

CONFIG = TrainConfig(epochs=2, rotation=9.0, seed=4, loss="categorical_crossentropy", classes=3)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
TRAINING = Examples(IMAGES, np.array([0, 1, 2, 0, 1], np.uint8))
MODELS = [{"path": "runs/a/model.keras", "sha256": "ab"}]
EPOCHS = np.random.default_rng(1).dirichlet([0.3] * 3, (2, 5))


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    """No test finds what another one read."""
    teacher._read.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a teacher."""
    place = tmp_path / "teacher #1"
    teacher.write(place, CONFIG, TRAINING, MODELS, iter(EPOCHS))
    return place


def taught(folder: Path, **settings: Any) -> TrainConfig:
    """Return the settings of a student."""
    setting = teacher.as_setting(str(folder))
    return dataclasses.replace(CONFIG, **{"teacher": setting, "seed": 7, **settings})


def refused(ask: Any, *given: Any) -> str:
    """Return the message of the error."""
    teacher._read.cache_clear()
    with pytest.raises(UserError) as error:
        ask(*given)
    return str(error.value)


def test_a_student_gets_what_the_teacher_answered(folder: Path) -> None:
    """Answers come back for each epoch, to the precision of float16, as probabilities."""
    assert np.load(folder / "answers.npy").dtype == np.float16
    for epoch in range(2):
        found = teacher.answers(taught(folder), epoch)
        assert found.shape == (5, 3)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(found, EPOCHS[epoch], rtol=2e-3, atol=1e-7)


def test_a_temperature_divides_logarithms(folder: Path) -> None:
    """Logarithms lie T times nearer to each other; an answer of 0 counts as the least above it."""
    plain, soft = (teacher.answers(taught(folder, temperature=t), 0) for t in (1.0, 4.0))

    def gaps(answers: NDArray[np.float32]) -> Any:
        return np.diff(np.log(answers.astype(np.float64)), axis=1)

    np.testing.assert_allclose(gaps(soft), gaps(plain) / 4, atol=1e-5)
    zero = folder.with_name("zero")
    teacher.write(zero, CONFIG, TRAINING, MODELS, [np.eye(3)[TRAINING.y]] * 2)
    least = teacher.answers(taught(zero, temperature=2.0), 1).min()
    assert least == pytest.approx((2.0**-24) ** 0.5, rel=1e-3)


def test_a_student_sees_the_teachers_images(folder: Path) -> None:
    """Whatever its seed is, its images are distorted by the teacher's; the answers are targets."""
    found = tasks.in_epoch(taught(folder), TRAINING, 1)
    np.testing.assert_array_equal(found.x, distortions.distorted(IMAGES, CONFIG, 1))
    np.testing.assert_array_equal(found.y, teacher.answers(taught(folder), 1))
    assert tasks._targets(CONFIG, found.y) is found.y
    np.testing.assert_array_equal(tasks._targets(CONFIG, TRAINING.y), np.eye(3)[TRAINING.y])


def test_a_setting_names_the_answers(folder: Path) -> None:
    """It has the folder and the beginning of their hash; asked again, it stays; none stays none."""
    setting = teacher.as_setting(str(folder))
    hash_of = json.loads((folder / "teacher.json").read_text())["answers_sha256"]
    assert setting == f"{folder}#{hash_of[:16]}"
    assert teacher.as_setting(setting) == setting
    assert teacher.as_setting("none") == "none"
    assert teacher.of(CONFIG) is None


def test_the_record_says_who_answered_what(folder: Path) -> None:
    """It has the settings of the images, the models and the hashes of both."""
    found = teacher.of(taught(folder))
    assert found
    assert found.models == MODELS
    assert found.settings == {
        **dict.fromkeys(("shear", "zoom", "translation", "elastic", "undistorted"), 0.0),
        "epochs": 2,
        "rotation": 9.0,
        "seed": 4,
    }


def test_other_images_are_refused(folder: Path) -> None:
    """A student of other settings or of other training images gets one line that names them."""
    longer = taught(folder, epochs=3)
    assert refused(teacher.of, longer) == (
        f"--teacher {longer.teacher} answered images of --epochs 2, not 3; give --epochs 2, or let "
        "a teacher answer those"
    )
    assert "--elastic 0.0, not 1.0" in refused(teacher.of, taught(folder, elastic=1.0))
    config = taught(folder)
    found = teacher.of(config)
    assert found
    found.refuse_others(TRAINING, config)
    assert refused(found.refuse_others, TRAINING[:4], config) == (
        f"--teacher {config.teacher} answered other training images than those of mnist; give the "
        "--data and the --validation-split that it had"
    )


def test_other_answers_are_refused_by_their_hash(folder: Path, tmp_path: Path) -> None:
    """Answers that were changed, or those of another teacher in the place, are not taken."""
    config = taught(folder)
    other = tmp_path / "other"
    teacher.write(other, CONFIG, TRAINING, MODELS, EPOCHS[::-1])
    (folder / "answers.npy").write_bytes((other / "answers.npy").read_bytes())
    assert refused(teacher.of, config) == (
        f"{folder / 'answers.npy'} has another hash than teacher.json records: it is damaged or of "
        "another teacher; make it again with: lenet-multi teach"
    )
    (folder / "teacher.json").write_bytes((other / "teacher.json").read_bytes())
    assert refused(teacher.of, config) == (
        f"the answers in {folder} are others than those of the setting {config.teacher}; put those "
        "back, or give the folder alone to begin a new run"
    )
    assert teacher.as_setting(str(folder)) != config.teacher


def test_what_is_no_teacher_is_refused(folder: Path, tmp_path: Path) -> None:
    """A folder without answers, and a record that is damaged or of another version."""
    again = "make it again with: lenet-multi teach"
    lacks = f"--teacher {tmp_path} lacks teacher.json; make one with: lenet-multi teach"
    assert refused(teacher.as_setting, str(tmp_path)) == lacks
    file = tmp_path / "file"
    file.touch()
    assert refused(teacher.as_setting, str(file)) == (
        f"cannot read {file / 'teacher.json'}: Not a directory; give a readable file"
    )
    path = folder / "teacher.json"
    content = json.loads(path.read_text())
    path.write_text("[1")
    assert refused(teacher.as_setting, str(folder)) == f"{path} is damaged; {again}"
    path.write_text(json.dumps({**content, "models": []}))
    assert refused(teacher.as_setting, str(folder)) == (
        f"{path} is damaged: its SHA-256 is not that of its content; {again}"
    )
    rest = {name: value for name, value in content.items() if name != "sha256"}
    others: list[dict[str, Any]] = [{"settings": {}}, {"answers_sha256": 3}]
    for wrong in others:
        write_record(path, {**rest, **wrong})
        assert refused(teacher.as_setting, str(folder)) == f"{path} is of another version; {again}"
    (folder / "answers.npy").unlink()
    write_record(path, rest)
    assert "lacks answers.npy" in refused(teacher.as_setting, str(folder))
