import dataclasses
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.examples import Examples, as_stored
from lenet_multi.data.metrics import count_correct
from lenet_multi.inference import transposed
from lenet_multi.inference.evaluate import Evaluation
from lenet_multi.lenet.tasks import LENET

TASK = dataclasses.replace(LENET, prepare=as_stored)

LABELS = (np.arange(3000) % 10).astype(np.uint8)
LIT = np.zeros((len(LABELS), 10, 10, 1), np.uint8)
LIT[np.arange(len(LABELS)), LABELS] = 255  # the row with the number of the class


class Rows:
    """A stand-in for a model: it answers with the brightest row."""

    asked = 0

    def predict(self, x: np.ndarray, **options: Any) -> np.ndarray:
        """Return logits, and count the images."""
        self.asked += len(x)
        return np.asarray(x.sum(axis=(2, 3)), np.float32)


def evaluated(x: np.ndarray, labels: np.ndarray = LABELS) -> Evaluation:
    """Return the evaluation of the stand-in."""
    logits = Rows().predict(x)
    accuracy = count_correct(logits, labels) / len(labels)
    return Evaluation(Examples(x, labels), logits, 0.0, {"accuracy": accuracy})


def hint(x: np.ndarray, *, labels: np.ndarray = LABELS, transpose: bool = False) -> tuple[str, ...]:
    """Return the hint on images of the stand-in."""
    model: Any = Rows()
    return transposed.hint(model, TASK, evaluated(x, labels), transpose=transpose)


@pytest.mark.parametrize(
    ("transpose", "remedy"),
    [(False, "give --transpose, as for EMNIST"), (True, "drop --transpose")],
)
def test_transposed_images_are_recognised(transpose: bool, remedy: str) -> None:
    """A model that is right only on transposed images gets a line with both accuracies."""
    (line,) = hint(LIT.swapaxes(1, 2), transpose=transpose)
    assert "answers 10.0% of these images right, but 100.0% of 1,000" in line
    assert remedy in line


@pytest.mark.parametrize("seed", range(5))
def test_other_failures_are_not_called_so(seed: int) -> None:
    """Upright images, wrong labels, noise, and images that are no squares get no hint."""
    chance = np.random.default_rng(seed)
    noise = chance.integers(0, 256, LIT.shape, dtype=np.uint8)
    assert not hint(LIT)
    assert not hint(LIT, labels=(LABELS + 1) % 10)
    assert not hint(noise)
    assert not hint(LIT.swapaxes(1, 2)[:, :, :9])
    assert not hint(LIT.swapaxes(1, 2), labels=(LABELS + 1) % 10)


def test_a_good_model_is_not_asked_again() -> None:
    """A model with a good accuracy computes nothing more; a bad one answers 1,000 more."""
    model: Any = Rows()
    transposed.hint(model, TASK, evaluated(LIT), transpose=False)
    assert model.asked == 0
    transposed.hint(model, TASK, evaluated(LIT.swapaxes(1, 2)), transpose=False)
    assert model.asked == 1000
