"""Evaluate a model on a test set: every image counted, none averaged over unequal batches."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi.backends.feeds import feed
from lenet_multi.data.batches import EVALUATION_BATCH_SIZE, Batches
from lenet_multi.data.metrics import as_logits, count_correct, cross_entropy
from lenet_multi.data.sets import ImageSet
from lenet_multi.training.model import with_logits


@dataclass(frozen=True)
class Evaluation:
    """Logits (N, classes) float32 and what they say: images right, mean cross-entropy in nats."""

    logits: NDArray[np.float32]
    correct: int
    loss: float


def evaluate(model: keras.Model, images: ImageSet) -> Evaluation:
    """Return the evaluation of `model` on all `images`, through its logits where it has them."""
    batches = Batches(images, batch_size=EVALUATION_BATCH_SIZE)
    logits = with_logits(model).predict(feed(batches), verbose=0)
    logits = as_logits(np.asarray(logits, np.float32))  # of bfloat16 under that policy
    return Evaluation(
        logits, count_correct(logits, images.labels), cross_entropy(logits, images.labels)
    )
