"""What several saved classifiers answer together."""

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from lenet_multi.data.examples import Examples
from lenet_multi.data.metrics import as_probabilities
from lenet_multi.errors import UserError, by
from lenet_multi.inference.evaluate import evaluate, quicken
from lenet_multi.inference.heads import with_logits
from lenet_multi.inference.predict import computing
from lenet_multi.inference.saved import SavedModel


class Ensemble:
    """Saved classifiers of images (height, width, channels) on the backend that Keras started on.

    Raises `UserError` when one cannot be loaded, or takes other images or has other classes.
    """

    def __init__(self, models: Sequence[SavedModel], shape: tuple[int, ...], classes: int) -> None:
        self.members: list[tuple[SavedModel, keras.Model]] = []
        for model in models:
            network = model.load()
            taken, given = network.input_shape[1:], network.output_shape[-1]
            if (taken, given) != (shape, classes):
                raise UserError(
                    f"{model.path} takes images of {by(taken)} and has {given} classes; the "
                    f"student has {by(shape)} and {classes}: give models of its data"
                )
            network = with_logits(network)
            quicken(network)
            self.members.append((model, network))

    def answers(self, examples: Examples) -> NDArray[np.float64]:
        """Return the mean of the members' probabilities for stored `examples`: (N, classes).

        Raises `UserError` when the backend cannot compute a member.
        """
        total = np.zeros(())
        for model, network in self.members:
            with computing(model.path):
                outputs = evaluate(network, model.task, examples).outputs
            total = total + as_probabilities(outputs)
        return total / len(self.members)
