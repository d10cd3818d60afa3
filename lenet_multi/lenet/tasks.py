"""The package's own guests: the LeNet and softmax regression, on images of digits."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet import image_sets, reference
from lenet_multi.lenet.pixels import scaled
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras


def _build(config: TrainConfig, dataset: Dataset) -> "keras.Model":
    from lenet_multi.lenet import networks

    return networks.build(config, dataset)


def _loss(config: TrainConfig) -> "keras.losses.Loss":
    import keras

    loss_class = {
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    }[config.loss]
    return loss_class(from_logits=config.head == "logits")


def _targets(config: TrainConfig, labels: NDArray[np.uint8]) -> NDArray[Any]:
    """Return labels (N,) unchanged, or one-hot (N, classes) float32 if the loss needs that."""
    if config.loss == "categorical_crossentropy":
        return np.eye(config.classes, dtype=np.float32)[labels]
    return labels


def _read_digit(source: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    from lenet_multi.lenet import photographs  # here, to import SciPy while Keras is imported

    return photographs.read_input(source, name, shape)


def _misfit(model: "keras.Model") -> str | None:
    """Return why a model is not an image classifier, if it is none."""
    taken, given = (getattr(model, f"{side}_shape", None) for side in ("input", "output"))
    if [isinstance(shape, tuple) and len(shape) for shape in (taken, given)] == [4, 2]:
        return None
    wanted = "take (N, height, width, channels) and give (N, classes) to be an image classifier"
    return f"must {wanted}, but takes {taken} and gives {given}"


LENET = Task(
    name="lenet",
    load=lambda config: image_sets.load(
        config.data, classes=config.classes, transpose=config.transpose
    ),
    load_test=lambda config: image_sets.load_test(
        config.data, classes=config.classes, transpose=config.transpose
    ),
    build=_build,
    loss=_loss,
    metrics=("accuracy",),
    prepare=scaled,
    targets=_targets,
    classifies=True,
    draws=True,
    reference=reference.lenet,
    read_input=_read_digit,
    input_words=lambda data: ", pixel/255" + (", light ink on black" if data == "mnist" else ""),
    misfit=_misfit,
)
SOFTMAX_REGRESSION = dataclasses.replace(
    LENET, name="softmax-regression", reference=reference.softmax_regression
)
