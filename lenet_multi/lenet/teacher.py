"""A teacher's answers to the training images of each epoch, in a folder: targets of a student.

The images follow from a seed and the distortions. All students see the images that the teacher
answered, whatever their own seeds are. Source: Hinton, Vinyals and Dean, 2015, "Distilling the
Knowledge in a Neural Network".
"""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import DISTORTIONS, NOTHING, TrainConfig, flag
from lenet_multi.data.examples import Examples
from lenet_multi.errors import UserError, cannot_read
from lenet_multi.runs.durable import check_record, write_record
from lenet_multi.runs.record import file_sha256
from lenet_multi.runs.schema import wrong_fields

FACTS, ANSWERS = "teacher.json", "answers.npy"
OF_IMAGES = ("epochs", *DISTORTIONS, "undistorted")  # settings that an epoch's images follow from
_DIGITS = 16  # of the hash in the setting
_SETTING = re.compile(rf"(.*)#([0-9a-f]{{{_DIGITS}}})", re.DOTALL)  # FOLDER#HASH
_SMALLEST = np.finfo(np.float16).smallest_subnormal  # of an answer; 0 has no logarithm


@dataclasses.dataclass(frozen=True)
class Teacher:
    """What `teacher.json` says: the images that were answered, by which models, and hashes.

    `settings` are those of `OF_IMAGES` and the `seed` of the distortions.
    """

    settings: dict[str, Any]
    images_sha256: str
    models: list[dict[str, str]]
    answers_sha256: str

    def refuse_misfit(self, config: TrainConfig) -> None:
        """Raise `UserError` if the images of `config` are others than those that were answered."""
        for name in OF_IMAGES:
            asked, answered = getattr(config, name), self.settings[name]
            if asked != answered:
                raise UserError(
                    f"--teacher {config.teacher} answered images of {flag(name)} {answered}, not "
                    f"{asked}; give {flag(name)} {answered}, or let a teacher answer those"
                )

    def refuse_others(self, training: Examples, config: TrainConfig) -> None:
        """Raise `UserError` unless the stored `training` images are those that were answered."""
        if _images_sha256(training) != self.images_sha256:
            raise UserError(
                f"--teacher {config.teacher} answered other training images than those of "
                f"{config.data}; give the --data and the --validation-split that it had"
            )


def write(
    folder: Path,
    config: TrainConfig,
    training: Examples,
    models: Sequence[dict[str, str]],
    answers: Iterable[NDArray[np.floating]],
) -> None:
    """Write the `answers` to each epoch's images, probabilities (N, classes), as float16.

    `models` are the paths and the SHA-256 of the models that answered. Raises `OSError` when the
    disk refuses.
    """
    folder.mkdir()
    shape = (config.epochs, len(training), config.classes)
    stored = np.lib.format.open_memmap(folder / ANSWERS, "w+", np.float16, shape)
    for epoch, of_epoch in enumerate(answers):
        stored[epoch] = of_epoch
    stored.flush()
    facts = Teacher(
        settings={name: getattr(config, name) for name in (*OF_IMAGES, "seed")},
        images_sha256=_images_sha256(training),
        models=list(models),
        answers_sha256=file_sha256(folder / ANSWERS),
    )
    write_record(folder / FACTS, dataclasses.asdict(facts))


def as_setting(text: str) -> str:
    """Return the setting for a user's `text`: the folder with the beginning of its answers' hash.

    So a run that goes on finds the answers that it began with, or none. Raises `UserError` when
    there is no teacher, or the hash in the text is of other answers.
    """
    if text == NOTHING:
        return text
    folder, found = _read(text)
    return f"{folder}#{found.answers_sha256[:_DIGITS]}"


def of(config: TrainConfig) -> Teacher | None:
    """Return the teacher of `config`, if it names one.

    Raises `UserError` when it is missing or damaged, has other answers than the setting's hash
    says, or answered other images.
    """
    if config.teacher == NOTHING:
        return None
    _, found = _read(config.teacher)
    found.refuse_misfit(config)
    return found


def answers(config: TrainConfig, epoch: int) -> NDArray[np.float32]:
    """Return the teacher's answers to the images of `epoch`, from 0: targets (N, classes).

    Probabilities p become p^(1/T), divided by their sum, at the temperature T of `config`.
    """
    folder, _ = _read(config.teacher)
    stored = np.load(folder / ANSWERS, mmap_mode="r")[epoch].astype(np.float32)
    powers = np.maximum(stored, _SMALLEST) ** np.float32(1 / config.temperature)
    found: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return found


@functools.lru_cache(maxsize=1)  # hashes all answers
def _read(setting: str) -> tuple[Path, Teacher]:
    hashed = _SETTING.fullmatch(setting)
    name, digits = hashed.groups() if hashed else (setting, "")
    folder = Path(name)
    path = folder / FACTS
    try:
        content = check_record(
            path, json.loads(path.read_bytes()), remedy="make it again with: lenet-multi teach"
        )
        (folder / ANSWERS).stat()  # raises where it is missing
    except FileNotFoundError as error:
        raise UserError(
            f"--teacher {name} lacks {Path(error.filename).name}; make one with: lenet-multi teach"
        ) from error
    except OSError as error:
        raise UserError(cannot_read(error.filename, error)) from error
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged; make it again with: lenet-multi teach") from error
    hints = {field.name: field.type for field in dataclasses.fields(Teacher)}
    if wrong_fields(content, hints) or {*content["settings"]} != {*OF_IMAGES, "seed"}:
        raise UserError(f"{path} is of another version; make it again with: lenet-multi teach")
    found = Teacher(**content)
    found_sha256 = file_sha256(folder / ANSWERS)
    if found_sha256 != found.answers_sha256:
        raise UserError(
            f"{folder / ANSWERS} has another hash than {FACTS} records: it is damaged or of "
            "another teacher; make it again with: lenet-multi teach"
        )
    if not found_sha256.startswith(digits):
        raise UserError(
            f"the answers in {folder} are others than those of the setting {setting}; put those "
            "back, or give the folder alone to begin a new run"
        )
    return folder, found


def _images_sha256(training: Examples) -> str:
    return hashlib.sha256(np.ascontiguousarray(training.x).data).hexdigest()
