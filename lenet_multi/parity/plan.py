"""What every climber of the ladder does: the same for all, so that evidence can be compared."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_multi.config import CLIMB_STEPS, PRECISIONS, QUICK_STEPS, TrainConfig
from lenet_multi.data.examples import Dataset, Examples, split
from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import BACKENDS

Tell = Callable[[str, int, int], None]  # reports what is climbed, steps done, steps in all

ORACLE = "oracle"

# The optimizers of L3: the class, which Keras and the oracle both have, and its arguments.
OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "SGD": ("SGD", {"learning_rate": 0.01}),
    "momentum": ("SGD", {"learning_rate": 0.01, "momentum": 0.9}),
    "Adam": ("Adam", {"learning_rate": 0.001}),
}

# L1 and L2 look at the initial weights, and at answers so confident (logits of some tens) that
# they would show a probability that is clipped on its way to the loss.
INITIAL = "initial"
CONFIDENCE = {INITIAL: 1.0, "confident": 256.0}

DEVICES_STEPS = 100  # of L7, at most

ONE_EPOCH = TrainConfig(epochs=1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How far each rung goes.

    L1 to L3 see the first training images in batches of `small_batch_size`; L3 takes
    `optimizer_steps`. L4 trains one epoch of `config`: in float32 on all training images (or
    `float32_images`), in float64 on `float64_images` in small batches, because the oracle climbs
    too and float64 has no fast convolution. L6 saves L4's model after `saved_after` steps and
    trains it for as many again; 0 leaves L6 out. In float32, `one_ulp_runs` twins of each backend
    set the limits of L2 to L6 (see `twins`). In L4 all but the first stop after `one_ulp_steps`.

    Raises `UserError` when there are too few images for that.
    """

    config: TrainConfig = ONE_EPOCH
    small_batch_size: int = 32
    optimizer_steps: int = 10
    saved_after: int = 10
    one_ulp_runs: int = 4
    one_ulp_steps: int = 50
    float32_images: int | None = None
    float64_images: int = 100 * 32 - 7  # a hundred steps, the last batch smaller
    precisions: Sequence[str] = PRECISIONS
    dropout: bool = True  # hashed masks; without it Dropout does nothing
    devices: Sequence[int] = ()  # L7: numbers of devices that train L4's steps too

    @classmethod
    def for_own(
        cls,
        config: TrainConfig,
        *,
        steps: int | None = None,
        quick: bool = False,
        precisions: Sequence[str] = PRECISIONS,
        dropout: bool = True,
        devices: Sequence[int] = (),
    ) -> "Plan":
        """Return the plan for a model of one's own: the same steps in both precisions.

        The last batch of L4 is smaller. `quick` takes fewer steps and leaves L6 out. Raises
        `UserError` when there are too few steps.
        """
        steps = (QUICK_STEPS if quick else CLIMB_STEPS) if steps is None else steps
        if steps < QUICK_STEPS:
            raise UserError(f"--steps must be at least {QUICK_STEPS}, not {steps}")
        examples = steps * config.batch_size - config.batch_size // 2
        return cls(
            config=config,
            small_batch_size=config.batch_size,
            saved_after=0 if quick else QUICK_STEPS // 2,
            one_ulp_steps=steps,
            float32_images=examples,
            float64_images=examples,
            precisions=tuple(precisions),
            dropout=dropout,
            devices=tuple(devices),
        )

    def __post_init__(self) -> None:
        if self.float32_images is not None and self.float32_images < 1:
            raise UserError(f"--images must be at least 1, not {self.float32_images}")

    def training_config(self, precision: str) -> TrainConfig:
        """Return the settings of L4.

        In float32, round Adam's betas first. TensorFlow's kernel rounds them anyway, which changes
        1 - beta_2 by 1.3e-5 of its value. Unless all backends round them, losses differ by 1e-6
        within ten steps. In float64, use no schedule: Keras rounds it to float32 (see `float64`).
        """
        own, size = self.config, self.small_batch_size
        if precision == "float64":
            return dataclasses.replace(own, lr_schedule="constant", batch_size=size)
        beta_1, beta_2 = (float(np.float32(beta)) for beta in (own.beta_1, own.beta_2))
        return dataclasses.replace(own, beta_1=beta_1, beta_2=beta_2)

    def training_examples(self, dataset: Dataset, precision: str) -> Examples:
        """Return the examples that L4 trains on."""
        if self.config.is_own:  # a small data set is used again
            wanted = self.float64_images
            return dataset.train[np.arange(wanted) % len(dataset.train)]
        training, _ = split(dataset, self.config)
        images = training[: self.float32_images if precision == "float32" else self.float64_images]
        steps = self.training_config(precision).steps_per_epoch(len(images))
        if steps < 2 * self.saved_after:
            raise UserError(
                f"parity needs {2 * self.saved_after} steps in an epoch; {len(images)} training "
                f"images give {steps} in {precision}: give more --images, or --data with more"
            )
        return images

    def first_examples(self, dataset: Dataset) -> Examples:
        """Return the examples that L1 to L3 see."""
        return dataset.train[: self.small_batch_size * self.optimizer_steps]


def require_two(backends: Sequence[str]) -> None:
    """Raise `UserError` unless there are two backends or more to compare."""
    if len(backends) < 2:
        raise UserError(
            f"parity needs two backends, found {', '.join(backends) or 'none'}; give another "
            f"--backend, or install one of {', '.join(BACKENDS)} with pip"
        )


def confident(
    names: Sequence[str], weights: Sequence[NDArray[Any]], factor: float
) -> list[NDArray[Any]]:
    """Return `weights`, those of the last layer times `factor`; `names` are their paths."""
    head = names[-1].rpartition("/")[0]
    return [
        weight * weight.dtype.type(factor) if name.rpartition("/")[0] == head else weight
        for name, weight in zip(names, weights, strict=True)
    ]


def is_kept(step: int, *, last: int) -> bool:
    """Return whether L4 keeps the weights after `step`, from 1: at 1, 2, 5, 10, ... and the last.

    >>> [step for step in range(1, 446) if is_kept(step, last=445)]
    [1, 2, 5, 10, 20, 50, 100, 200, 445]
    """
    return step == last or str(step).rstrip("0") in {"1", "2", "5"}
