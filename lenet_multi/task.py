"""What a user brings to be trained, compared and measured: a model, its data, its loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import TASKS, TrainConfig
from lenet_multi.data.examples import Arrays, Dataset, Prepare, as_stored
from lenet_multi.errors import UserError

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float64]


class Reference(Protocol):
    """The same model in float64 by other means than Keras: what every backend has to compute.

    Weights are in the model's order.
    """

    @property
    def names(self) -> Sequence[str]:
        """The weights' paths without the model's name."""

    def initial_weights(self, seed: int) -> list[Array]:
        """Return the weights that the model starts from."""

    def forward(self, weights: Sequence[Array], x: Array) -> Array:
        """Return the model's outputs."""

    def gradients(
        self, weights: Sequence[Array], x: Array, y: NDArray[Any]
    ) -> tuple[float, list[Array]]:
        """Return the loss, and its gradient with respect to each weight."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model to train, with its data, its loss and what else belongs to it.

    `load` reads the examples. `build` returns the uncompiled model for them. `prepare` makes a
    model's input of what is stored, NumPy's or a backend's tensors; `targets` makes what the loss
    takes of the stored ones. `loss` returns Keras's loss, or its name; the first of `metrics` is
    the headline. `classifies` says that outputs are logits of classes, or their softmax, and
    targets are labels. `draws` says that `build` draws the same initial weights on every backend
    by itself. `reference` returns an independent float64 model, where there is one. `read_input`
    makes an input (height, width, channels) of an image file, given the model's input shape.
    `input_words` says what a prepared input of the set `data` is, for who uses an exported model.
    """

    name: str
    load: Callable[[TrainConfig], Dataset]
    build: Callable[[TrainConfig, Dataset], "keras.Model"]
    loss: Callable[[TrainConfig], Any]
    metrics: tuple[str, ...] = ()
    prepare: Prepare = as_stored
    targets: Callable[[TrainConfig, Arrays], Arrays] = lambda config, y: y
    classifies: bool = False
    draws: bool = False
    reference: Callable[[TrainConfig, Dataset], Reference] | None = None
    read_input: Callable[..., NDArray[Any]] | None = None
    input_words: Callable[[str], str] = lambda data: ""


def find_task(name: str) -> Task:
    """Return the task called `name`: one of the package's, or "package.module:NAME".

    Raises `UserError` when there is none. What the module itself raises is the user's to see.
    """
    module, _, attribute = TASKS.get(name, name).partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise UserError(f"no task {name!r}: give {', '.join(TASKS)}, or package.module:NAME")
    try:
        content = vars(import_module(module))
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UserError(f"no task {name!r}: there is no module {module}") from error
    if attribute not in content:
        raise UserError(f"no task {name!r}: {module} has no {attribute}")
    task = content[attribute]
    if not isinstance(task, Task):
        raise UserError(f"{name} is no Task, but {type(task).__name__}")
    return task


def of_record(config: dict[str, Any]) -> Task:
    """Return the package's task that a saved run names, or raise `UserError`; import no other."""
    if (name := str(config.get("architecture"))) not in TASKS:
        raise UserError(f"the run is of a model of somebody else's, {name}, which is not run here")
    return find_task(name)
