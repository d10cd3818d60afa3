"""Every setting of a training run, defined once: values, meaning, units, recipes."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lenet_multi.errors import UserError, unknown


def setting(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    others: bool = False,
    teaches: bool = True,
) -> Any:
    """Return a dataclass field that carries what `--help` says about it.

    With `others` a value may also be "package.module:NAME". `teaches` is whether the setting has a
    say in what is learned, or only in what is kept.
    """
    return field(
        default=default,
        metadata={
            "meaning": meaning,
            "unit": unit,
            "choices": choices,
            "others": others,
            "teaches": teaches,
        },
    )


DATA_SOURCES = (
    "'mnist' (in the package), a folder of IDX files (plain or .gz), an .npz, or a data set of a "
    "library: keras:NAME, tfds:NAME[/CONFIG][:VERSION] or hf:NAME_OR_FOLDER"
)

# The models that the package brings, and where each is (see `task.find_task`).
TASKS: Mapping[str, str] = {
    "lenet": "lenet_multi.lenet.tasks:LENET",
    "softmax-regression": "lenet_multi.lenet.tasks:SOFTMAX_REGRESSION",
}

MOST_CLASSES = 256  # labels are uint8

WARM_UP = 0.25  # share of the steps of a one-cycle run in which the learning rate rises
STEPS_DOWN = (0.5, 0.75)  # shares of the steps of a run after which the rate falls
STEP_FACTOR = 0.1  # to this much of itself, each time


# What the values of settings must do, in words and as a test.
_LIMITS: tuple[tuple[tuple[str, ...], str, Callable[[Any], bool]], ...] = (
    (("epochs", "batch_size"), "be at least 1", lambda value: value >= 1),
    (("classes",), f"lie between 2 and {MOST_CLASSES}", lambda value: 2 <= value <= MOST_CLASSES),
    (("seed", "early_stopping"), "be 0 or more", lambda value: value >= 0),
    (
        ("epochs", "batch_size", "seed", "early_stopping"),
        "be below 2^63",
        lambda value: value < 2**63,
    ),
    (("learning_rate",), "be a finite number above 0", lambda value: 0 < value < math.inf),
    (("beta_1", "beta_2"), "be 0 or more and below 1", lambda value: 0 <= value < 1),
    (
        ("validation_split",),
        "lie between 0 and 1, both excluded, so that training and validation images are left",
        lambda value: 0 < value < 1,
    ),
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a run trains, how, and what it keeps of it; the same on every backend.

    Raises `UserError` when a value is out of its range.
    """

    recipe: str = "standard"
    architecture: str = setting(
        "lenet",
        "network to train, or a Task of your own as package.module:NAME",
        choices=tuple(TASKS),
        others=True,
    )
    head: str = setting(
        "logits",
        "what the model gives: logits, or their softmax",
        choices=("logits", "softmax"),
    )
    loss: str = setting(
        "sparse_categorical_crossentropy",
        "loss on integer labels, or on one-hot labels",
        choices=("sparse_categorical_crossentropy", "categorical_crossentropy"),
    )
    data: str = setting("mnist", f"image sets: {DATA_SOURCES}")
    classes: int = setting(10, "number of classes", unit="classes")
    validation_split: float = setting(
        0.05,
        "share of the training images, the last ones, kept for VALIDATION",
        unit="fraction",
    )
    batch_size: int = setting(128, "training batch", unit="images")
    epochs: int = setting(6, "passes over the training images", unit="epochs")
    learning_rate: float = setting(0.001, "Adam's learning rate, the largest", unit="per step")
    lr_schedule: str = setting(
        "cosine",
        "learning rate over the run: constant; falling to 0 along a cosine; or one cycle, rising "
        f"in a straight line for {WARM_UP:.0%} of the run and then falling along a cosine; or a "
        f"step down to a {round(1 / STEP_FACTOR)}th after each of "
        f"{' and '.join(f'{share:.0%}' for share in STEPS_DOWN)}",
        choices=("constant", "cosine", "one-cycle", "step"),
    )
    beta_1: float = setting(0.9, "Adam's decay of the mean gradient", unit="per step")
    beta_2: float = setting(0.999, "Adam's decay of the mean square", unit="per step")
    dtype_policy: str = setting(
        "float32",
        "precision of the computation; weights and sums are float32 in both",
        choices=("float32", "mixed_bfloat16"),
    )
    seed: int = setting(0, "of the initial weights and the batch order")
    early_stopping: int = setting(
        0,
        "patience: training ends when the validation loss has not improved for so long, and the "
        "best epoch's weights are taken; 0 goes on to the end",
        unit="epochs",
    )
    checkpoint: str = setting(
        "none",
        "models kept in checkpoints/ of the run folder, besides the one at the end: of the lowest "
        "validation loss, or of each epoch",
        choices=("none", "best", "every-epoch"),
        teaches=False,
    )
    tensorboard: bool = setting(
        False,
        "keep a log for TensorBoard in tensorboard/ of the run folder",
        teaches=False,
    )
    save_every: str = setting(
        "10s",
        "what --resume needs is kept so often: after so many steps (500) or seconds (10s)",
        teaches=False,
    )

    def __post_init__(self) -> None:
        self.save_interval()  # or it raises
        for names, words, is_right in _LIMITS:
            for name in names:
                if not is_right(value := getattr(self, name)):
                    raise UserError(f"{flag(name)} must {words}, not {value}")
        for known in dataclasses.fields(self):
            choices, value = known.metadata.get("choices"), getattr(self, known.name)
            is_others = known.metadata.get("others") and ":" in str(value)
            if choices and value not in choices and not is_others:
                raise UserError(unknown(flag(known.name), value, choices))

    def save_interval(self) -> tuple[float, float]:
        """Return the steps and the seconds, one of them infinite, that `save_every` says."""
        text = self.save_every
        number = text.removesuffix("s")
        with suppress(ValueError):
            if text != number and 0 < (seconds := float(number)) < math.inf:
                return math.inf, seconds
            if text == number and (steps := int(number)) > 0:
                return steps, math.inf
        raise UserError(f"--save-every must be steps (500) or seconds (10s) above 0, not {text!r}")

    def steps_per_epoch(self, images: int) -> int:
        """Return the number of batches in an epoch of `images`; the last may be smaller."""
        return -(-images // self.batch_size)


TEACHING = frozenset(
    field.name for field in dataclasses.fields(TrainConfig) if field.metadata.get("teaches", True)
)


def flag(name: str) -> str:
    """Return the command-line flag of the setting `name`."""
    return "--" + name.replace("_", "-")


def flags(config: TrainConfig) -> list[str]:
    """Return the command-line flags that ask for every setting of `config` but its recipe."""
    asked = []
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, bool):
            asked.append(flag(name) if value else flag(f"no_{name}"))
        elif name != "recipe":
            asked += [flag(name), str(value)]
    return asked
