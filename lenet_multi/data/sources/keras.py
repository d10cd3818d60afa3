"""Keras's own image sets, which Keras downloads into ~/.keras/datasets."""

import contextlib
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from lenet_multi.data.found import TEST, TRAIN, Pair
from lenet_multi.errors import UserError, reason, unknown
from lenet_multi.machine import frameworks, keras_start
from lenet_multi.machine.keras_home import keras_home

# The files that Keras looks for before it downloads them.
FILES = {
    "mnist": ("mnist.npz",),
    "fashion_mnist": (
        "fashion-mnist/train-labels-idx1-ubyte.gz",
        "fashion-mnist/train-images-idx3-ubyte.gz",
        "fashion-mnist/t10k-labels-idx1-ubyte.gz",
        "fashion-mnist/t10k-images-idx3-ubyte.gz",
    ),
    "cifar10": ("cifar-10-batches-py-target_archive",),  # is cifar-10-python.tar.gz
    "cifar100": ("cifar-100-python-target_archive",),  # is cifar-100-python.tar.gz
}

# The names that the authors of each set gave its classes, in the order of their labels.
_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus "
    "butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch "
    "crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house "
    "kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle "
    "mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark "
    "shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table "
    "tank telephone television tiger tractor train trout tulip turtle wardrobe whale "
    "willow_tree wolf woman worm"
)
CLASS_NAMES = {
    "mnist": [*"0123456789"],
    "fashion_mnist": [
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker"),
        *("Bag", "Ankle boot"),
    ],
    "cifar10": _CIFAR10.split(),
    "cifar100": _CIFAR100.split(),
}

_PATIENCE = 15.0  # seconds for a host to answer; Keras alone waits forever


def read(name: str) -> tuple[dict[str, Pair], list[str]]:
    """Return the images and labels of `keras.datasets.NAME` and the names of its classes.

    Raises `UserError` if Keras cannot give them.
    """
    if name not in FILES:
        raise UserError(unknown("data set of Keras", name, FILES))
    home = keras_home()
    keras_start.start(frameworks.choose(None))  # Keras needs a backend, though it computes nothing
    import keras

    if not sys.stderr.isatty():
        keras.config.disable_interactive_logging()  # no progress bar in a file
    socket.setdefaulttimeout(_PATIENCE)
    files = [home / "datasets" / file for file in FILES[name]]
    missing = [file for file in files if not file.exists()]
    with _kept(files):
        try:
            training, test = getattr(keras.datasets, name).load_data()
        except Exception as error:  # Keras raises `Exception`, NumPy and pickle their own classes
            raise UserError(_explain(error, files, missing)) from error
    return {TRAIN: training, TEST: test}, CLASS_NAMES[name]


def _explain(error: Exception, files: list[Path], missing: list[Path]) -> str:
    why = reason(error)
    if missing:
        what = "that file" if len(missing) == 1 else "such files"
        return (
            f"Keras cannot download it ({why}); put {what} at {', '.join(map(str, missing))}, "
            "if there is no network"
        )
    return (
        f"Keras cannot read {', '.join(map(str, files))}, or its hash is wrong and Keras cannot "
        f"download the original ({why}); delete it if there is a network, or give your own data "
        "as --data FILE.npz"
    )


@contextlib.contextmanager
def _kept(files: list[Path]) -> Iterator[None]:
    """Put the user's `files` back if Keras deletes them, as it does when a download fails."""
    kept = {file: file.with_name(f"{file.name}.kept") for file in files if file.exists()}
    for file, copy in kept.items():
        copy.unlink(missing_ok=True)
        try:
            copy.hardlink_to(file)
        except OSError:  # a file system without links
            shutil.copy2(file, copy)
    try:
        yield
    finally:
        for file, copy in kept.items():
            if not file.exists():
                copy.rename(file)
            copy.unlink(missing_ok=True)
