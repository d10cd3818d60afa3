"""A `Task`: a model to train, compare and measure, with its data, loss and metrics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import RESIZE, TrainConfig
from lenet_multi.data.examples import Arrays, Dataset, Examples, Prepare, as_stored

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float64]


class Reference(Protocol):
    """The same model in float64 without Keras: the values that every backend must compute."""

    @property
    def names(self) -> Sequence[str]:
        """The paths of the weights, without the model's name; weights are in the model's order."""

    def initial_weights(self, seed: int) -> list[Array]:
        """Return the initial weights."""

    def forward(self, weights: Sequence[Array], x: Array) -> Array:
        """Return the model's outputs."""

    def gradients(
        self, weights: Sequence[Array], x: Array, y: NDArray[Any]
    ) -> tuple[float, list[Array]]:
        """Return the loss, and its gradient with respect to each weight."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model to train, with its data, loss and metrics.

    `load` reads the examples; `load_test` (default: `load`) reads them for an evaluation, where
    training examples may be missing. `build` returns the uncompiled model for them. `loss` returns
    a loss of Keras or its name. The first of `metrics` is the headline. `prepare` turns stored
    inputs (NumPy arrays or a backend's tensors) into the model's, and `targets` stored targets into
    the loss's. `classifies`: outputs are logits of classes or their softmax, targets are labels.
    `draws`: `build` itself draws the same initial weights on every backend. `reference` returns an
    independent float64 model. `read_input` makes an input (height, width, channels) of an image
    file, given the model's input shape and one of `config.PREPARED`. `ranges` holds a `prepare` for
    each of `config.INPUT_RANGES`, for saved models from elsewhere. `inputs` returns what
    `result.json` records of both: `prepared` and `range`. `prepared_for` guesses `prepared` from
    the input shape of a model without a record. `input_words` describes a model's input to users of
    its export, given `prepared`, if it is recorded, and `range`. `misfit` says why a saved model is
    none of this task.
    `in_epoch` returns the stored training examples of an epoch, from 0, where it changes them.
    `trained` returns the model that a run keeps and evaluates for the model that was trained
    (default: the same), with the same answers.
    `compile_arguments` returns what Keras's `compile` takes (default: our Adam, `loss`, `metrics`);
    `reads_settings`: it obeys the settings loss, optimizer and metrics.
    """

    name: str
    load: Callable[[TrainConfig], Dataset]
    load_test: Callable[[TrainConfig], Dataset] | None = None
    build: Callable[[TrainConfig, Dataset], "keras.Model"]
    loss: Callable[[TrainConfig], Any]
    metrics: tuple[str, ...] = ()
    prepare: Prepare = as_stored
    targets: Callable[[TrainConfig, Arrays], Arrays] = lambda config, y: y
    classifies: bool = False
    draws: bool = False
    reference: Callable[[TrainConfig, Dataset], Reference] | None = None
    read_input: Callable[..., NDArray[Any]] | None = None
    ranges: Mapping[str, Prepare] = field(default_factory=dict)
    inputs: Callable[[TrainConfig, Dataset], dict[str, str]] = lambda config, dataset: {}
    prepared_for: Callable[[Sequence[int | None] | None], str] = lambda shape: RESIZE
    input_words: Callable[[str | None, str], str] = lambda prepared, range_: ""
    misfit: Callable[["keras.Model"], str | None] = lambda model: None
    in_epoch: Callable[[TrainConfig, Examples, int], Examples] | None = None
    trained: Callable[[TrainConfig, "keras.Model"], "keras.Model"] = lambda config, model: model
    compile_arguments: Callable[[TrainConfig], dict[str, Any]] | None = None
    reads_settings: bool = False
