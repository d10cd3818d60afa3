"""Stand-ins, within a worker, for what trains, starts a backend, asks it, or serves.

Everything up to there is the command's own.
"""

import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn
from unittest.mock import patch

import numpy as np

import lenet_multi.commands.demo.serve
import lenet_multi.commands.doctor.checkup
import lenet_multi.commands.report.page
import lenet_multi.data.sets
import lenet_multi.data.sources.reader

# Imported before a worker is forked, so that each has them.
import lenet_multi.inference.assess
import lenet_multi.inference.pictures
import lenet_multi.inference.predict
import lenet_multi.lenet.photographs
import lenet_multi.machine.children
import lenet_multi.machine.environment
import lenet_multi.machine.keras_start
import lenet_multi.train
from lenet_multi.commands.doctor.probe import Probe


class ReachedError(BaseException):
    """The command has read everything, and would now do what takes long."""


def reached(*arguments: Any, **options: Any) -> NoReturn:
    """Stand in for something long."""
    raise ReachedError


def read_data_only(config: Any, load: Callable[[], Any], **options: Any) -> NoReturn:
    """Stand in for `train.train`: read the images, and no more."""
    load()
    raise ReachedError


def read_images_only(backend: str, load: Callable[[], Any], **options: Any) -> NoReturn:
    """Stand in for `start_and_load` where a model is asked next."""
    load()
    raise ReachedError


def install() -> None:
    """Put all stand-ins in their places, for good."""
    places: dict[str, object] = {
        "lenet_multi.train.train": read_data_only,
        "lenet_multi.inference.predict.start_and_load": lambda backend, load, **options: load(),
        "lenet_multi.inference.assess.start_and_load": read_images_only,
        "lenet_multi.machine.keras_start.start": reached,
        "lenet_multi.data.sources.reader.read": reached,
        "lenet_multi.machine.children.run": reached,
        "lenet_multi.inference.saved.SavedModel.load": lambda self: None,
        "lenet_multi.machine.environment.versions": lambda backend: {backend: "1"},
        "lenet_multi.commands.doctor.checkup.probe_all": _probes,
        "lenet_multi.data.sets._read_folder": _keeping_mnist(lenet_multi.data.sets._read_folder),
        "click.shell_completion.BashComplete._check_version": lambda *arguments: (
            None
        ),  # it asks bash
        # A number is looked up as ever, a name without asking the network for it.
        "socket.getaddrinfo": partial(socket.getaddrinfo, flags=socket.AI_NUMERICHOST),
        "socket.create_server": reached,
    }
    for place, stand_in in places.items():
        patch(place, stand_in).start()
    patch.dict(sys.modules, {"lenet_multi.inference.answer": _answer()}).start()


def _probes(names: Sequence[str], **options: object) -> list[Probe]:
    return [Probe(backend=name, installed=True) for name in names]


def _keeping_mnist(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Return `read`, which reads the packaged MNIST once."""
    once = cache(read)
    return lambda folder: (once if folder == lenet_multi.data.sets.PACKAGED_MNIST else read)(folder)


def _answer() -> ModuleType:
    """Return a stand-in for `answer`, which imports Keras: every class is as probable."""
    module = ModuleType("lenet_multi.inference.answer")
    module.computing = lambda path: nullcontext()  # type: ignore[attr-defined]
    module.probabilities = lambda model, images: np.full((len(images), 10), 0.1)  # type: ignore[attr-defined]
    return module
