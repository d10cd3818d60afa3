"""Every setting of a training run, defined once: default, meaning, unit, limits."""

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
    own: bool = False,
) -> Any:
    """Return a dataclass field with the facts that `--help` shows.

    With `others`, a model of your own may have other values than `choices`. A setting that
    `teaches` affects what the model learns; the others only affect what the run keeps. An `own`
    setting is for the tasks of this package; any other model ignores it.
    """
    facts = {"unit": unit, "choices": choices, "others": others, "teaches": teaches, "own": own}
    return field(default=default, metadata={"meaning": meaning, **facts})


DATA_SOURCES = (
    "'mnist' (in the package), a file (.npz, .csv, .mat, .h5 or .parquet), a folder (of IDX files, "
    "of .npy files, of a folder of pictures for each class, or of pictures with labels.csv), or a "
    "data set of a library: keras:NAME, tfds:NAME[/CONFIG][:VERSION] or hf:NAME_OR_FOLDER"
)

# The tasks of this package, and the place of each (see `models.find`).
TASKS: Mapping[str, str] = {
    "lenet": "lenet_multi.lenet.tasks:LENET",
    "softmax-regression": "lenet_multi.lenet.tasks:SOFTMAX_REGRESSION",
}

MOST_CLASSES = 256  # labels are uint8

# Settings that change the LeNet.
OPTIONS = ("batch_norm", "dropout", "inception")

# Settings that distort the training images.
DISTORTIONS = ("rotation", "shear", "zoom", "translation", "elastic")

# What a model takes for a pixel: the numbers from black to white.
INPUT_RANGES = ("0,1", "0,255", "-1,1")
# How an image file becomes a model's input: the digit on it like MNIST's, or the whole image.
DIGIT, RESIZE = PREPARED = ("digit", "resize")

NOTHING = "none"  # value of start_from: the initial weights are drawn

# What a model of your own brings itself, unless you give another.
MODELS_OWN = "model"
DRAWN = "drawn"  # data: random numbers that fit the model's inputs and its loss
OWN_DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(("loss", "optimizer", "metrics"), MODELS_OWN),
    "data": DRAWN,
    "lr_schedule": "constant",
    "batch_size": 32,  # that of Keras's `fit`
}

# What batch normalisation takes its statistics over, on several devices.
WHOLE, PER_DEVICE, SYNCHRONISED = "whole", "per-device", "synchronised"

# The climb of a model of your own.
PRECISIONS = ("float32", "float64")
CLIMB_STEPS, QUICK_STEPS = 50, 20  # of training
CLIMB_BATCH_SIZE = 16

WARM_UP = 0.25  # one-cycle: the learning rate rises in this share of the steps
STEPS_DOWN = (0.5, 0.75)  # step: it falls after these shares of the steps
STEP_FACTOR = 0.1  # step: each fall multiplies it by this factor

_INTEGERS = ("epochs", "batch_size", "seed", "early_stopping")

# The limits of settings: their names, what their values must do in words, the same as a test.
_LIMITS: tuple[tuple[tuple[str, ...], str, Callable[[Any], bool]], ...] = (
    (("epochs", "batch_size"), "be at least 1", lambda value: value >= 1),
    (("classes",), f"lie between 2 and {MOST_CLASSES}", lambda value: 2 <= value <= MOST_CLASSES),
    (("seed", "early_stopping"), "be 0 or more", lambda value: value >= 0),
    (_INTEGERS, "be below 2^63", lambda value: value < 2**63),
    (
        ("learning_rate", "temperature"),
        "be a finite number above 0",
        lambda value: 0 < value < math.inf,
    ),
    (("beta_1", "beta_2", "dropout"), "be 0 or more and below 1", lambda value: 0 <= value < 1),
    (DISTORTIONS, "be a finite number, 0 or more", lambda value: 0 <= value < math.inf),
    (("rotation", "shear"), "be at most 45 degrees", lambda value: value <= 45),
    (("zoom",), "be below 1", lambda value: value < 1),
    (("undistorted",), "lie between 0 and 1", lambda value: 0 <= value <= 1),
    # Both excluded, so that training and validation images are left.
    (("validation_split",), "be above 0 and below 1", lambda value: 0 < value < 1),
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a run trains, how, and what it keeps; raises `UserError` for a value out of range."""

    recipe: str = "standard"
    architecture: str = setting(
        "lenet",
        "model to train; or your own: FILE.py:FUNCTION, package.module:FUNCTION or a .keras file",
        choices=tuple(TASKS),
        others=True,
    )
    head: str = setting(
        "logits",
        "outputs of the model: logits or their softmax",
        choices=("logits", "softmax"),
        own=True,
    )
    batch_norm: bool = setting(
        False,
        "normalise the numbers before each ReLU of the LeNet over the batch; the trained model has "
        "it folded into its weights",
        own=True,
    )
    dropout: float = setting(
        0.0, "share of the LeNet's 500 units that each step leaves out", unit="fraction", own=True
    )
    inception: bool = setting(
        False, "put an inception block in the place of the LeNet's second convolution", own=True
    )
    loss: str = setting(
        "sparse_categorical_crossentropy",
        "loss on integer labels or on one-hot labels; for your own model Keras's name of any loss",
        choices=("sparse_categorical_crossentropy", "categorical_crossentropy"),
        others=True,
    )
    optimizer: str = setting(
        "adam",
        "optimizer; for your own model Keras's name of any optimizer",
        choices=("adam",),
        others=True,
    )
    metrics: str = setting(
        "accuracy",
        "metrics; for your own model Keras's names of any metrics, with commas between them",
        choices=("accuracy",),
        others=True,
    )
    data: str = setting(
        "mnist",
        f"image sets: {DATA_SOURCES}; for your own model FILE.py:FUNCTION that returns (x, y), or "
        f"an .npz with x and y, or {DRAWN!r}: numbers that fit the model",
    )
    classes: int = setting(10, "number of classes", unit="classes", own=True)
    class_names: str = setting(
        "",
        "names of the classes in the order of their labels, if the data have none: with commas "
        "between them, or a file with one on each line",
        teaches=False,
        own=True,
    )
    validation_split: float = setting(
        0.05,
        "share of the training images, the last ones, used for VALIDATION, unless the data have a "
        "validation set",
        unit="fraction",
    )
    shuffle_split: bool = setting(
        False,
        "draw the validation images by --seed instead of taking the last ones; folders of pictures "
        "and hf: sets always do",
    )
    transpose: bool = setting(
        False,
        "exchange rows and columns of the images; EMNIST's files store them exchanged",
        own=True,
    )
    rotation: float = setting(
        0.0,
        "turn each training image by up to this angle, another one in each epoch",
        unit="degrees",
        own=True,
    )
    shear: float = setting(
        0.0, "shear each training image by up to this angle", unit="degrees", own=True
    )
    zoom: float = setting(
        0.0,
        "stretch or shrink each training image by up to this share, down and across",
        unit="fraction",
        own=True,
    )
    translation: float = setting(
        0.0, "move each training image by up to this, down and across", unit="pixels", own=True
    )
    elastic: float = setting(
        0.0,
        "bend each training image: standard deviation of the displacement of its pixels",
        unit="pixels",
        own=True,
    )
    undistorted: float = setting(
        0.0, "share of the epochs, at the end, without distortions", unit="fraction", own=True
    )
    teacher: str = setting(
        NOTHING,
        "folder that `lenet-multi teach` wrote: its answers to the distorted images are the "
        "targets of training",
        own=True,
    )
    temperature: float = setting(
        1.0,
        "with --teacher: training sees each answer p as p^(1/TEMPERATURE), so that small ones "
        "count; the trained model undoes it",
        own=True,
    )
    batch_size: int = setting(128, "size of a training batch", unit="images")
    batch_statistics: str = setting(
        WHOLE,
        "what batch normalisation takes its statistics over, on several devices. whole: the batch, "
        f"which JAX can; {PER_DEVICE}: each device takes its part, another function; "
        f"{SYNCHRONISED}: TensorFlow adds up over the devices",
        choices=(WHOLE, PER_DEVICE, SYNCHRONISED),
    )
    epochs: int = setting(6, "passes over the training images", unit="epochs")
    learning_rate: float = setting(0.001, "Adam's largest learning rate", unit="per step")
    lr_schedule: str = setting(
        "cosine",
        "learning rate over the run. cosine: it falls to 0 along a cosine; one-cycle: it rises in "
        f"a straight line for {WARM_UP:.0%} of the run, then falls along a cosine; step: it falls "
        f"to a {round(1 / STEP_FACTOR)}th after each of "
        f"{' and '.join(f'{share:.0%}' for share in STEPS_DOWN)} of the run",
        choices=("constant", "cosine", "one-cycle", "step"),
    )
    beta_1: float = setting(0.9, "Adam's decay of the mean gradient", unit="per step")
    beta_2: float = setting(0.999, "Adam's decay of the mean squared gradient", unit="per step")
    dtype_policy: str = setting(
        "float32",
        "precision of the computation; weights are always float32. With mixed_float16 Keras "
        "scales the loss, and skips a step whose gradient is not finite",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    class_weights: str = setting(
        "none",
        "weights of the classes in the training loss. balanced: a class with n of N training "
        "labels weighs N / (classes * n), as in scikit-learn; validation and test do not weigh",
        choices=("none", "balanced"),
    )
    start_from: str = setting(
        NOTHING,
        "model whose weights training begins with: a run folder or .keras file of the same "
        "architecture, from any backend; the optimizer begins anew",
    )
    seed: int = setting(
        0, "seed of the initial weights, of the batch order, and of what the layers draw"
    )
    early_stopping: int = setting(
        0,
        "patience: stop when the validation loss has not improved for this long, and take the best "
        "epoch's weights; 0 trains all epochs",
        unit="epochs",
    )
    checkpoint: str = setting(
        "none",
        "models to keep in checkpoints/ of the run folder, besides the final one: the one with the "
        "lowest validation loss, or one of each epoch",
        choices=("none", "best", "every-epoch"),
        teaches=False,
    )
    tensorboard: bool = setting(
        False, "write a log for TensorBoard to tensorboard/ of the run folder", teaches=False
    )
    save_every: str = setting(
        "10s",
        "how often to save what --resume needs: every so many steps (500) or seconds (10s)",
        teaches=False,
    )

    def __post_init__(self) -> None:
        self.save_interval()  # raises on a bad `save_every`
        for names, words, is_right in _LIMITS:
            for name in names:
                if not is_right(value := getattr(self, name)):
                    raise UserError(f"{flag(name)} must {words}, not {value}")
        for name in OPTIONS:
            if getattr(self, name) and self.architecture == "softmax-regression":
                raise UserError(f"{flag(name)} is an option of the LeNet; give {_without(name)}")
        if self.teacher != NOTHING and self.loss != "categorical_crossentropy":
            raise UserError(
                f"--teacher {self.teacher} gives a share to each class; give "
                "--loss categorical_crossentropy"
            )
        if self.teacher == NOTHING and self.temperature != 1:
            raise UserError("--temperature is of a teacher's answers; give --teacher, or drop it")
        if self.batch_norm and self.start_from != NOTHING:
            raise UserError(
                f"--start-from {self.start_from}: a run keeps its network without batch "
                "normalisation, so --batch-norm cannot begin with it; give --no-batch-norm"
            )
        for known in dataclasses.fields(self):
            choices, value = known.metadata.get("choices"), getattr(self, known.name)
            is_others = known.metadata.get("others") and self.is_own
            if choices and value not in choices and not is_others:
                raise UserError(unknown(flag(known.name), value, choices))
            is_ignored = known.metadata.get("own") and self.is_own
            if is_ignored and value != known.default:
                raise UserError(
                    f"{flag(known.name)} {value} is for {', '.join(TASKS)} only; "
                    f"give {_without(known.name)}"
                )

    @property
    def is_own(self) -> bool:
        """Whether the model is a user's own: a place such as FILE.py:FUNCTION, or a saved model."""
        return ":" in self.architecture or self.architecture.endswith(".keras")

    def save_interval(self) -> tuple[float, float]:
        """Return the steps and the seconds between two saves; one of them is infinite."""
        text = self.save_every
        number = text.removesuffix("s")
        with suppress(ValueError):
            if text != number and 0 < (seconds := float(number)) < math.inf:
                return math.inf, seconds
            if text == number and (steps := int(number)) > 0:
                return steps, math.inf
        raise UserError(f"--save-every must be steps (500) or seconds (10s) above 0, not {text!r}")

    def steps_per_epoch(self, images: int) -> int:
        """Return the number of batches in an epoch of `images`; the last batch may be smaller."""
        return -(-images // self.batch_size)


TEACHING = frozenset(
    field.name for field in dataclasses.fields(TrainConfig) if field.metadata.get("teaches", True)
)


def with_settings(config: TrainConfig, given: Mapping[str, Any]) -> TrainConfig:
    """Return the recipe `config` with the settings that a user gave.

    Another model than the LeNet leaves out what a recipe says of the LeNet's network; a model of
    one's own also has defaults of its own.
    """
    wanted = TrainConfig(architecture=given.get("architecture", config.architecture))
    others: dict[str, Any] = {}
    if wanted.is_own:
        ours = (known for known in dataclasses.fields(TrainConfig) if known.metadata.get("own"))
        others = {**{known.name: known.default for known in ours}, **OWN_DEFAULTS}
    elif wanted.architecture != TrainConfig.architecture:
        others = {name: getattr(TrainConfig, name) for name in OPTIONS}
    return dataclasses.replace(config, **{**others, **given})


def flag(name: str) -> str:
    """Return the command-line flag of the setting `name`."""
    return "--" + name.replace("_", "-")


def flags(config: TrainConfig) -> list[str]:
    """Return the command-line flags for every setting of `config` except its recipe."""
    settings = dataclasses.asdict(config).items()
    return [word for name, value in settings if name != "recipe" for word in _words(name, value)]


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag(name) if value else flag(f"no_{name}")]
    return [flag(name), str(value)]


def _without(name: str) -> str:
    """Return the words that give a setting its default, whether a flag or a recipe changed it."""
    return " ".join(_words(name, getattr(TrainConfig, name)))
