"""The package's own guests: the LeNet and softmax regression, on images of digits."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import DIGIT, INPUT_RANGES, RESIZE, TrainConfig
from lenet_multi.data.examples import Dataset, Examples, split
from lenet_multi.lenet import image_sets, reference, teacher
from lenet_multi.lenet.pixels import RANGES, scaled
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras

_MNIST_SHAPE = (28, 28, 1)  # of an image


def _build(config: TrainConfig, dataset: Dataset) -> "keras.Model":
    from lenet_multi.lenet import networks

    return networks.build(config, dataset)


def in_epoch(config: TrainConfig, examples: Examples, epoch: int) -> Examples:
    """Return the training examples of `epoch`, from 0: distorted, with a teacher's answers."""
    from lenet_multi.lenet import distortions

    taught_by = teacher.of(config)
    seed = taught_by.settings["seed"] if taught_by else config.seed
    x = distortions.distorted(examples.x, dataclasses.replace(config, seed=seed), epoch)
    if taught_by:
        return dataclasses.replace(examples, x=x, y=teacher.answers(config, epoch))
    return examples if x is examples.x else dataclasses.replace(examples, x=x)


def _trained(config: TrainConfig, model: "keras.Model") -> "keras.Model":
    from lenet_multi.lenet import folding

    if config.batch_norm:
        model = folding.folded(model, config)
    if config.temperature != 1:
        folding.sharpen(model, config.temperature)
    return model


def _loss(config: TrainConfig) -> "keras.losses.Loss":
    import keras

    loss_class = {
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    }[config.loss]
    return loss_class(from_logits=config.head == "logits")


def _targets(config: TrainConfig, labels: NDArray[np.uint8]) -> NDArray[Any]:
    """Return labels (N,) unchanged, or one-hot (N, classes) float32 if the loss needs that.

    A teacher's answers (N, classes) are targets already.
    """
    if labels.ndim == 1 and config.loss == "categorical_crossentropy":
        return np.eye(config.classes, dtype=np.float32)[labels]
    return labels


def _read_input(
    source: Any, name: str, shape: tuple[int, ...], prepared: str = DIGIT
) -> NDArray[np.uint8]:
    # Imported here, so that SciPy is imported while Keras is.
    from lenet_multi.lenet import resized
    from lenet_multi.lenet.photographs import digit

    read = digit.read_input if prepared == DIGIT else resized.read_input
    return read(source, name, shape)


def _inputs(config: TrainConfig, dataset: Dataset) -> dict[str, str]:
    """Return how the model's inputs are made, for the record; its training images decide."""
    from lenet_multi.lenet.photographs.likeness import are_prepared

    of_digits = config.data == "mnist" or are_prepared(dataset.train.x)
    return {"prepared": DIGIT if of_digits else RESIZE, "range": INPUT_RANGES[0]}


def _prepared_for(shape: Sequence[int | None] | None) -> str:
    return DIGIT if shape and tuple(shape[1:]) == _MNIST_SHAPE else RESIZE


def _input_words(prepared: str | None, range_: str) -> str:
    pixel = {"0,1": "pixel/255", "0,255": "pixel from 0 to 255", "-1,1": "pixel/127.5 - 1"}[range_]
    return f", {pixel}" + (", light ink on black" if prepared == DIGIT else "")


def _misfit(model: "keras.Model") -> str | None:
    """Return why a model is not an image classifier, if it is none."""
    taken, given = (getattr(model, f"{side}_shape", None) for side in ("input", "output"))
    if [isinstance(shape, tuple) and len(shape) for shape in (taken, given)] == [4, 2]:
        return None
    wanted = "take (N, height, width, channels) and give (N, classes) to be an image classifier"
    return f"must {wanted}, but takes {taken} and gives {given}"


def _load(config: TrainConfig) -> Dataset:
    taught_by = teacher.of(config)
    dataset = image_sets.load(config.data, classes=config.classes, transpose=config.transpose)
    if taught_by:
        taught_by.refuse_others(split(dataset, config)[0], config)
    return dataset


LENET = Task(
    name="lenet",
    load=_load,
    load_test=lambda config: image_sets.load_test(
        config.data, classes=config.classes, transpose=config.transpose
    ),
    build=_build,
    in_epoch=in_epoch,
    trained=_trained,
    loss=_loss,
    metrics=("accuracy",),
    prepare=scaled,
    targets=_targets,
    classifies=True,
    draws=True,
    reference=reference.lenet,
    read_input=_read_input,
    ranges=RANGES,
    inputs=_inputs,
    prepared_for=_prepared_for,
    input_words=_input_words,
    misfit=_misfit,
)
SOFTMAX_REGRESSION = dataclasses.replace(
    LENET, name="softmax-regression", reference=reference.softmax_regression
)
