"""Stand-ins, in a worker, for what trains, starts or asks a backend, or serves.

Everything before that is the command's own code.
"""

import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import lenet_multi.bench.process
import lenet_multi.commands.demo.app
import lenet_multi.commands.doctor.checkup
import lenet_multi.commands.report.page
import lenet_multi.data.sources.reader

# Imported before the fork, so that each worker has them.
import lenet_multi.inference.evaluate
import lenet_multi.inference.pictures
import lenet_multi.inference.predict
import lenet_multi.inference.tables
import lenet_multi.lenet.image_sets
import lenet_multi.lenet.photographs.digit
import lenet_multi.lenet.tasks
import lenet_multi.machine.children
import lenet_multi.machine.environment
import lenet_multi.machine.keras_start
import lenet_multi.train
from lenet_multi.commands.doctor.probe import Probe
from lenet_multi.config import TrainConfig
from lenet_multi.data import class_names
from lenet_multi.inference.saved import SavedModel
from lenet_multi.own.find import find_task


class ReachedError(BaseException):
    """The command has read everything and would now start its long work."""


def reached(*arguments: Any, **options: Any) -> NoReturn:
    """Stand in for a long function."""
    raise ReachedError


def read_data_only(config: TrainConfig, **options: Any) -> NoReturn:
    """Stand in for `train.train`: only read the data; a user's model would be built first."""
    if config.is_own:
        raise ReachedError
    class_names.named(find_task(config).load(config), config.class_names, config.data)
    raise ReachedError


def read_images_only(backend: str, load: Callable[[], Any], **options: Any) -> NoReturn:
    """Stand in for `start_and_load` if the next step would run a model."""
    load()
    raise ReachedError


def install() -> None:
    """Install all stand-ins for good."""
    places: dict[str, object] = {
        "lenet_multi.train.train": read_data_only,
        "lenet_multi.own.find.import_module": _import_of_ours,
        "lenet_multi.own.place.import_module": _import_of_ours,
        "lenet_multi.inference.predict.start_and_load": lambda backend, load, **options: load(),
        "lenet_multi.inference.evaluate.start_and_load": read_images_only,
        "lenet_multi.machine.keras_start.start": reached,
        "lenet_multi.data.sources.reader.read": reached,
        "lenet_multi.machine.children.run": reached,
        "lenet_multi.bench.process.Worker.__init__": reached,
        "lenet_multi.inference.saved.SavedModel.load": _check_names,
        "lenet_multi.machine.environment.versions": lambda backend: {backend: "1"},
        "lenet_multi.commands.doctor.checkup.probe_all": _probes,
        "lenet_multi.inference.predict.computing": lambda path: nullcontext(),
        "lenet_multi.inference.predict.probabilities": _as_probable,
        "lenet_multi.lenet.image_sets._read": _keeping_mnist(lenet_multi.lenet.image_sets._read),
        "click.shell_completion.BashComplete._check_version": lambda *arguments: (
            None
        ),  # it runs bash
        # An address is resolved as usual; a name is not looked up in the network.
        "socket.getaddrinfo": partial(socket.getaddrinfo, flags=socket.AI_NUMERICHOST),
        "socket.create_server": reached,
    }
    for place, stand_in in places.items():
        patch(place, stand_in).start()


def _import_of_ours(module: str) -> ModuleType:
    """Stand in for `import_module`: a module that the user asked `train` for would be imported."""
    if module.startswith("lenet_multi."):
        return import_module(module)
    if sys.argv[1:2] == ["train"]:
        raise ReachedError
    raise AssertionError(f"{module} is imported, which a file names")


def _probes(names: Sequence[str], **options: object) -> list[Probe]:
    return [Probe(backend=name, installed=True) for name in names]


def _keeping_mnist(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `read`, with the packaged MNIST read only once."""
    once = cache(read)
    return lambda source: (once if source == "mnist" else read)(source)


def _check_names(model: SavedModel) -> None:
    """Stand in for loading a model of ten classes."""
    class_names.refuse_misfit(model.class_names, 10, class_names.FLAG, "give 10 names")


def _as_probable(model: object, task: object, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Stand in for a model: every class is equally probable."""
    return np.full((len(images), 10), 0.1)
